"""The estimator that learns nothing."""

from __future__ import annotations

from gradtx.core.hyper import Number
from gradtx.core.states import EmptyState
from gradtx.errors import non_negative
from gradtx.rates.estimator import Advice, estimator


@estimator()
def constant(rate: Number = 1.0):
    """A rate that is never changed.

    With 1.0, `adapt_learning_rate` changes nothing, to the bit.

    Args:
        rate: the rate; finite, at least 0.

    State: none.
    Raises: ValueError: the rate is negative or not finite.
    """
    non_negative(rate=rate)

    def before(g, state, params, now):
        return Advice(None if isinstance(rate, float) and rate == 1.0 else rate), state

    return lambda params: EmptyState(), before
