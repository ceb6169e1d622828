"""How arguments that are dataclasses print: codecs, frames, moments, sets."""

from __future__ import annotations

import dataclasses
from typing import ClassVar


class ShownAsCall:
    """Prints as the call that makes it, `storage.int8(block=256)`. `maker` is the public name of that function."""

    maker: ClassVar[str]

    def __repr__(self) -> str:
        fields = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))  # pyright: ignore[reportArgumentType]
        return f"{self.maker}({', '.join(f'{name}={value!r}' for name, value in fields)})"
