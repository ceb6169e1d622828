"""Names for annotations that programs import from optax; gradtx's own code does not need them."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from gradtx.core.pair import GradientTransformation

Params: TypeAlias = Any
"""A tree of parameters."""

Updates: TypeAlias = Any
"""A tree of gradients or updates, like the parameters."""

OptState: TypeAlias = Any
"""The state of a transformation, as `tx.init` makes it."""

ScalarOrSchedule: TypeAlias = Any
"""A number, a scalar array, a schedule, or a function of the step; `Hyper` annotates such an argument of a factory."""

GradientTransformationExtraArgs = GradientTransformation
"""Every gradtx transformation may take extra arguments: there is one type."""


class MaskedNode(NamedTuple):
    """optax's mark for a leaf that belongs to another transformation. In gradtx's states such a leaf is None."""
