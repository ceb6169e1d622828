"""Double precision for a while, under the name it has in every supported JAX."""

from __future__ import annotations

from typing import Any

import jax
from jax import experimental


def double_precision() -> Any:
    """JAX with 64-bit types inside a `with`."""
    enable: Any = getattr(jax if hasattr(jax, "enable_x64") else experimental, "enable_x64")  # noqa: B009
    return enable(True)
