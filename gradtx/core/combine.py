"""Sums and products of schedules, which `+`, `-`, `*` and `/` make."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any

from gradtx.core.errors import finite
from gradtx.core.factory import Leaves
from gradtx.core.schedule import as_hyper, is_schedule, schedule

Term = Annotated[Any, Leaves(as_hyper)]
"""A number, a scalar array or a schedule, inside a schedule."""


def at(term: Any, step: Any) -> Any:
    """The value of a schedule at a step; a number is what it is."""
    return term(step) if is_schedule(term) else term


@schedule
def sum_schedules(*terms: Term):
    """The sum of schedules and numbers at each step; `a + b` and `a - b` make it.

    Args:
        *terms: schedules, functions of the step, finite numbers; of none the sum is 0.

    Example:
        >>> import gradtx
        >>> float((gradtx.linear_schedule(0.0, 1.0, transition_steps=4) + 0.5)(2))
        1.0
    """
    finite(**{f"terms[{i}]": term for i, term in enumerate(terms)})
    return lambda step: functools.reduce(operator.add, (at(term, step) for term in terms), 0.0)


@schedule
def product_schedules(*factors: Term):
    """The product of schedules and numbers at each step; `a * b` makes it: `warmup * cosine`.

    Args:
        *factors: schedules, functions of the step, finite numbers; of none the product is 1.

    Example:
        >>> import gradtx
        >>> warmup, decay = gradtx.linear_schedule(0.0, 1.0, 10), gradtx.exponential_decay(0.5, 10, decay_rate=0.5)
        >>> [round(float((warmup * decay)(t)), 3) for t in (0, 5, 10, 20)]
        [0.0, 0.177, 0.25, 0.125]
    """
    finite(**{f"factors[{i}]": factor for i, factor in enumerate(factors)})
    return lambda step: functools.reduce(operator.mul, (at(factor, step) for factor in factors), 1.0)
