"""The optimizers that the page offers: what the catalog says an editor may set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from gradtx.catalog import OPTIMIZERS, Entry, Range, Setting
from gradtx.core.pair import GradientTransformation


class Offered(NamedTuple):
    """An optimizer of the page.

    label: the name that people read. recipe: its factory.
    sliders: what can be set -> in which range. first: the values at first. fixed: the other arguments of the call.
    about: what can be set -> what it is.
    """

    label: str
    recipe: Callable[..., GradientTransformation]
    sliders: Mapping[str, Range]
    first: Mapping[str, Any]
    fixed: Mapping[str, Any]
    about: Mapping[str, str]


def _offered(entry: Entry, setting: Setting) -> Offered:
    return Offered(
        label=setting.label,
        recipe=entry.factory,
        sliders={name: entry.range(name) for name in setting.offered},
        first=setting.offered,
        fixed={name: value for name, value in setting.arguments.items() if name not in setting.offered},
        about={name: entry.about(name) for name in setting.offered},
    )


OFFERED: Mapping[str, Offered] = MappingProxyType(
    {name: _offered(entry, setting) for name, (entry, setting) in OPTIMIZERS.items() if setting.offered}
)
"""By name. `lbfgs` is not among them: its line search needs the function itself, and its state keeps pairs of steps."""
