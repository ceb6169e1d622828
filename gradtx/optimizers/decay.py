"""Weight decay in recipes, for all leaves or some."""

from __future__ import annotations

from typing import Any

from gradtx.core.pair import GradientTransformation
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.masked import masked


def weight_decay_of(weight_decay: Any, mask: Any) -> GradientTransformation:
    """`add_decayed_weights`, only for the leaves of the mask if there is one."""
    decay = add_decayed_weights(weight_decay)
    return decay if mask is None else masked(decay, mask)
