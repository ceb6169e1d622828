"""A transformation that runs in every k-th step only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Count
from gradtx.core.leaves import map_leaves
from gradtx.core.numerics import zero_count
from gradtx.core.traits import agreed
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import at_least_one, one_of
from gradtx.wrappers.conditional import Decision, conditional


class EveryState(NamedTuple):
    """The state of `every`.

    count: updates since the inner transformation last ran, int32 scalar. 0 at init, and when it runs in the next step.
    inner: the inner transformation's state, unchanged since it last ran.
    """

    count: jax.Array
    inner: Any


def _sign(given: Mapping[str, Any], signs: list[int]) -> int:
    """That of the inner transformation; where others pass, only if they have the same."""
    return agreed([*signs, 1] if given["otherwise"] == "pass" else signs)


@transformation(any_leaves=True, sparse_rows=True, sign=_sign, words={"rest": "no step: it runs in some steps only"})
def every(inner: Transformation, steps: Count, *, otherwise: str = "zero"):
    """Run a transformation in every k-th update: the first, the one k later, and so on.

    Args:
        inner: the transformation. In the other updates its state stays unchanged.
        steps: k; a whole number, at least 1.
        otherwise: the result in the other updates. "zero": no parameter moves; for a whole optimizer. "pass": the
            updates that came in; for one member of a chain.

    State: `EveryState`.
    Raises: ValueError: `steps` is below 1, or `otherwise` is another word. TypeError: `steps` is not a whole number.
    Source: optax's `conditionally_mask` ("zero") and `conditionally_transform` ("pass"), which take a function of the
        step.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.every(gradtx.scale(-0.1), steps=2)
        >>> state = tx.init(jnp.zeros(1))
        >>> for _ in range(3):
        ...     updates, state = tx.update(jnp.ones(1), state)
        ...     print(updates)
        [-0.1]
        [-0.]
        [-0.1]
    """
    at_least_one(steps=steps)
    one_of(("zero", "pass"), otherwise=otherwise)

    def init(params):
        return EveryState(zero_count(), inner.init(params))

    def decide(updates, state, params=None, **extra):
        def advance(ran, inner_state):
            return EveryState((state.count + 1) % jnp.maximum(steps, 1), inner_state)

        return Decision(state.count == 0, lambda: updates, advance)

    def passed(updates):
        return map_leaves(lambda g: g, updates)

    return conditional(inner, init, decide, passed if otherwise == "pass" else None)
