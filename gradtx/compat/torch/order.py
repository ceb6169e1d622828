"""The order of the pieces that all of torch's optimizers have."""

from __future__ import annotations

from typing import Any

from gradtx.compat.terms import given
from gradtx.core.chain import chain
from gradtx.core.pair import GradientTransformation
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights


def assembled(
    lr: Any, direction: Any, weight_decay: Any, maximize: bool, decoupled: bool = False
) -> GradientTransformation:
    """The order that all of torch's optimizers have."""
    decay = (add_decayed_weights(weight_decay),) if given(weight_decay) else ()
    pieces = direction if isinstance(direction, tuple) else (direction,) if direction is not None else ()
    before, after = ((), decay) if decoupled else (decay, ())
    return chain(*ascent(maximize), *before, *pieces, *after, scale_by_learning_rate(lr))


def ascent(maximize: bool) -> tuple[GradientTransformation, ...]:
    """What stands in front for `maximize`."""
    return (scale(-1.0),) if maximize else ()
