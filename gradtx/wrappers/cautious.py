"""Steps whose entries never go against the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.hyper import Hyper
from gradtx.core.numerics import COUNT_MAX, on_real_and_imag
from gradtx.core.pair import GradientTransformation, require_changeable
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import require_same_tree
from gradtx.errors import in_unit_interval, positive
from gradtx.transforms.split import AxisName, device_count, map_split, own_axes, require_axis_name, summed


def _sign(given: Mapping[str, Any], signs: list[int]) -> int:
    return given["sign"] or signs[0]


@transformation(sign=_sign, words={"out": "no entry against the gradient"})
def cautious(inner: Transformation, floor: Hyper = 1e-3, *, sign: int | None = None, axis_name: AxisName = None):
    """Drop the entries of a step that would go against the gradient, and make the others larger in their place.

        keep = (s·u·g > 0),   u = inner(g);   s is 1 if u points along g, -1 if against it
        u = u·keep/max(mean(keep), floor)        the mean of the leaf

    It goes round a piece, such as `scale_by_adam()`, or round a whole optimizer, such as `adam(1e-3)`: the trait `sign`
    tells which of the two it is. Weight decay inside is dropped and enlarged with the rest of the step; so put it
    outside: `chain(cautious(scale_by_adam()), add_decayed_weights(...), scale_by_learning_rate(...))`.

    An entry without gradient does not move, and does not count as kept. So where most gradients of a leaf are zero, as
    those of an embedding, the rest are multiplied by up to 1/floor. A complex entry is kept if the real part of u·g*
    is positive. An update that is NaN stays NaN.

    Args:
        inner: the transformation.
        floor: the least share of kept entries that the others make up for; in (0, 1]; with 1 nothing is enlarged.
        sign: s, for what has no sign of its own, such as an optimizer of optax: -1 for an optimizer, 1 for a piece
            in front of a learning rate.
        axis_name: as in `clip_by_leaf_norm`, for the mean.

    State: that of `inner`.
    Raises: ValueError: `floor` is out of range; the sign is not known; `inner` sets the parameters, such as
        `compensate`. TypeError: axis_name is not a name.
    Source: Liang et al. 2024 (arXiv:2411.16085), algorithm 1, which adds a small number to the mean; the authors' code
        and timm divide as here. Not in optax. Within 4 ulp of exact arithmetic on the updates of `inner`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.cautious(gradtx.sgd(0.1, momentum=0.9))
        >>> _, state = tx.update(jnp.array([1.0, 1.0]), tx.init(jnp.zeros(2)))
        >>> print(tx.update(jnp.array([1.0, -0.5]), state)[0])  # the second entry has momentum the other way
        [-0.38  0.  ]
    """
    positive(floor=floor)
    in_unit_interval(floor=floor)
    require_axis_name(axis_name)
    require_changeable("cautious", inner)
    along = _known(inner, sign)

    def init(params):
        return inner.init(params)

    def update(updates, state, params=None, **extra):
        new, state = inner.update(updates, state, params, **inner.extras.taken(extra))
        require_same_tree("update", new, "gradient", updates)

        def leaf(axes: AxisName, u: jax.Array, g: jax.Array) -> jax.Array:
            # By signs, since the product of two small numbers may be 0; what is NaN is kept.
            keep = ~((jnp.sign(u) * jnp.sign(g).conj()).real * along <= 0)
            axes = own_axes(u, axes)
            share = summed(_share(keep, u.real.dtype), axes) / device_count(axes)
            divisor = jnp.maximum(share, floor)
            return on_real_and_imag(lambda x: (jnp.where(keep, x / divisor, 0.0),))(u)[0]

        return map_split(leaf, axis_name, new, updates), state

    return init, update


def _share(keep: jax.Array, dtype: Any) -> jax.Array:
    """The mean of a mask; counted in whole numbers, since a sum of ones in float32 may stop at 2**24."""
    if keep.size <= COUNT_MAX:
        return jnp.sum(keep, dtype=jnp.int32).astype(dtype) / max(keep.size, 1)
    longest = int(np.argmax(keep.shape))  # the count of all may be too large for an int32
    return jnp.mean(jnp.sum(keep, longest, dtype=jnp.int32).astype(dtype) / keep.shape[longest])


def _known(inner: GradientTransformation, sign: int | None) -> int:
    """The sign; ValueError if it is not known."""
    if sign is not None:
        if sign not in (1, -1):
            raise ValueError(f"sign must be 1 or -1; got {sign!r}")
        return sign
    known: Any = inner.traits.sign
    if known not in (1, -1):
        raise ValueError(
            f"it is not known whether the updates of {inner.name} point along the gradients or against them (its trait "
            f"sign is 0): give sign=-1 for an optimizer, sign=1 for a piece in front of a learning rate"
        )
    return known
