"""What gradtx has no name for: Lion with softer signs, norms of leaves and units, line searches that print."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import gradtx
from gradtx.compat.optax.protocol import optaxed
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves, zeros
from gradtx.core.numerics import ema
from gradtx.core.states import EmptyState
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import in_unit_interval, non_negative, one_of
from gradtx.transforms.adaptive_clipping import unit_axes
from gradtx.transforms.norms import leaf_norm

__all__ = ["scale_by_param_block_norm"]


@transformation(any_leaves=True, sparse_rows=True)
def scale_by_softer_lion(b1: Hyper, b2: Hyper, mode: str, smooth_beta: Hyper = 1.0):
    """Lion with another function in place of the sign of x = b1·m + (1 - b1)·g.

    Args:
        b1, b2: as in `scale_by_lion`.
        mode: "smooth": tanh(smooth_beta·x); "refined": x where |x| < 1, else its sign.
        smooth_beta: of "smooth"; finite, at least 0.

    State: `ScaleByLionState`.
    """
    in_unit_interval(b1=b1, b2=b2)
    one_of(("smooth", "refined"), mode=mode)
    non_negative(smooth_beta=smooth_beta)

    def init(params):
        return gradtx.ScaleByLionState(mu=zeros(params))

    def update(updates, state, params=None):
        def leaf(g, mu):
            x = ema(mu, g, b1)
            u = jnp.tanh(smooth_beta * x) if mode == "smooth" else jnp.where(jnp.abs(x) < 1.0, x, jnp.sign(x))
            return u, ema(mu, g, b2)

        updates, mu = map_leaves(leaf, updates, state.mu, idle=(b2,))
        return updates, gradtx.ScaleByLionState(mu)

    return init, update


@optaxed
@transformation
def scale_by_param_block_norm(min_scale: Hyper = 1e-3):
    """Multiply the update of each leaf by the norm of its parameters: `scale_by_param_block_rms` times √n.

    Args:
        min_scale: the least factor; finite, at least 0; parameter units.

    State: none. Its update needs `params`.
    """
    non_negative(min_scale=min_scale)

    def init(params):
        return EmptyState()

    def update(updates, state, params):
        return map_leaves(lambda g, w: jnp.maximum(leaf_norm(w), min_scale) * g, updates, params), state

    return init, update


def unitwise_norm(x: Any, axis: Any = None) -> jax.Array:
    """The norm of each unit of an array, as `adaptive_grad_clip` sees it, in the shape of the array."""
    x = jnp.asarray(x)
    given = None if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    if given is None and x.ndim > 5:
        raise ValueError(f"unitwise_norm: x has shape {x.shape}: say with axis which axes form a unit")
    return jnp.broadcast_to(leaf_norm(x, given or unit_axes(x.shape, None, split=False)), x.shape)


def unitwise_clip(g_norm: Any, max_norm: Any, grad: Any, div_eps: Any = 1e-6) -> jax.Array:
    """A gradient whose norms are clipped, entry by entry; norms below `div_eps` count as that."""
    shapes = {jnp.shape(x) for x in (g_norm, max_norm, grad)}
    if len(shapes) > 1:
        raise ValueError(f"unitwise_clip: g_norm, max_norm and grad must have one shape; got {sorted(shapes)}")
    norm = jnp.asarray(g_norm)
    return jnp.where(norm < max_norm, grad, grad * (max_norm / jnp.maximum(norm, div_eps)))


@transformation(any_leaves=True)
def reported(inner: Transformation):
    """Print what a line search did where it failed, for optax's `verbose`.

    Args:
        inner: the line search.

    State: that of `inner`.
    """

    def update(updates, state, params=None, **extra):
        updates, state = inner.update(updates, state, params, **extra)
        errors = {field: x for field, x in state.info._asdict().items() if field.endswith("error")}
        text = ", ".join(f"{field} {{{field}}}" for field in errors)
        text = f"{inner.name}: no step met the conditions in {{tries}} tries; it took the step {{step}}, {text}"

        def say() -> None:
            jax.debug.print(text, tries=state.info.num_linesearch_steps, step=state.learning_rate, **errors)

        jax.lax.cond(state.info.failed, say, lambda: None)
        return updates, state

    return inner.init, update
