"""The order of the pieces that all of torch's optimizers have."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import is_schedule, product_schedules
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


def product(a: Any, b: Any) -> Any:
    """Of two numbers or schedules."""
    return product_schedules(a, b) if is_schedule(a) or is_schedule(b) else a * b


def given(value: Any) -> bool:
    """Whether it is not the number 0, torch's word for "without"."""
    return not (isinstance(value, int | float) and value == 0)
