"""Differential privacy: the clipped gradients of single examples, summed, with noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.numerics import increment, zero_count
from gradtx.core.states import RandomKey
from gradtx.core.transformation import transformation
from gradtx.core.trees import flatten, is_trained, leaf_names, require_arrays
from gradtx.errors import finite, non_negative, positive
from gradtx.transforms.norms import leaf_norm, within
from gradtx.transforms.seeds import key_data_of, key_of, leaf_keys, require_seed


class DifferentiallyPrivateAggregateState(NamedTuple):
    """The state of `differentially_private_aggregate`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    rng_key: RandomKey  # the data of the random key; uint32; the same at every step


@transformation(whole_tree=True, takes_examples=True)
def differentially_private_aggregate(l2_norm_clip: Hyper, noise_multiplier: Hyper, key: int | jax.Array):
    """Clip the gradient of each example to a norm, average them, and add Gaussian noise: DP-SGD's gradient.

        G = Σ_i g_i·min(1, l2_norm_clip/‖g_i‖)      ‖g_i‖ over all leaves
        u = (G + n)/B                               n ~ N(0, (noise_multiplier·l2_norm_clip)²), B examples

    The updates are gradients of single examples: each leaf has one more axis, in front, of length B, as from
    `jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, batch)`. So it stands first in a chain. An example whose norm
    is not finite counts as zero: otherwise one example could do more than move the sum by l2_norm_clip.

    What epsilon this gives, for a number of steps and a share of the data in each batch, an accountant computes, for
    instance that of the package dp-accounting. The noise is that of `jax.random`, which is not made for cryptography.

    Args:
        l2_norm_clip: the largest norm of an example's gradient; finite, greater than 0; gradient units.
        noise_multiplier: the standard deviation of the noise in the sum, over l2_norm_clip; finite, at least 0.
        key: an integer in [0, 2**32), or a key of `jax.random`, typed or raw.

    State: `DifferentiallyPrivateAggregateState`: count, int32 scalar, 0 at init; rng_key, uint32.
    Raises: ValueError: an argument is out of range, or a leaf has no axis of examples, or one of another length.
        TypeError: key is neither an integer nor a key.
    Source: Abadi et al. 2016 (arXiv:1607.00133), algorithm 1. optax.contrib has the same sum with other random numbers,
        and lets an example that is not finite through. Within 1e-6 of exact arithmetic in float32, of l2_norm_clip.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.differentially_private_aggregate(1.0, noise_multiplier=0.0, key=0)
        >>> examples = jnp.array([[3.0, 4.0], [0.2, 0.0]])
        >>> print(tx.update(examples, tx.init(jnp.zeros(2)))[0])
        [0.4 0.4]
    """
    positive(l2_norm_clip=l2_norm_clip)
    finite(l2_norm_clip=l2_norm_clip)
    non_negative(noise_multiplier=noise_multiplier)
    require_seed(key=key)

    def init(params):
        return DifferentiallyPrivateAggregateState(zero_count(), key_data_of(key))

    def update(updates, state, params=None):
        require_arrays("update", updates)
        leaves, structure = flatten(updates)
        places = [k for k, g in enumerate(leaves) if is_trained(g)]
        batch = _examples(leaves, places, leaf_names(updates), params)
        width = float_dtype(updates)
        own = jax.random.fold_in(
            jax.random.wrap_key_data(state.rng_key, impl=jax.random.key_impl(key_of(key))), state.count
        )
        keys = leaf_keys(own, updates)
        rows = [jnp.asarray(leaves[k]).astype(at_width(jnp.result_type(leaves[k]), width)) for k in places]
        factors, known = _factors(rows, l2_norm_clip, width)
        stddev = jnp.asarray(noise_multiplier * l2_norm_clip, width)
        for k, g in zip(places, rows, strict=True):
            factor, right = (x.reshape([-1] + [1] * (g.ndim - 1)) for x in (factors.astype(g.dtype), known))
            clipped = jnp.where(right, g * factor, jnp.zeros((), g.dtype))
            noise = jax.random.normal(keys[k], g.shape[1:], at_width(g.dtype, jnp.dtype("float32")))
            leaves[k] = (clipped.sum(0) + stddev.astype(g.dtype) * noise.astype(g.dtype)) / batch
        return jax.tree.unflatten(structure, leaves), state._replace(count=increment(state.count))

    return init, update


def _examples(leaves: list, places: list[int], names: list[str], params: Any) -> int:
    """B, the length of the first axis of all leaves; each must be that of its parameter with this axis in front."""
    shapes = {names[k]: jnp.shape(leaves[k]) for k in places}
    old = [] if params is None else zip(leaf_names(params), flatten(params)[0], strict=True)
    wanted = {name: jnp.shape(p) for name, p in old if is_trained(p)}
    batch = 1
    for count, (name, shape) in enumerate(shapes.items()):
        batch = shape[0] if shape and not count else batch
        if not shape or not batch or shape[0] != batch or shape[1:] != wanted.get(name, shape[1:]):
            like = f"({batch or 'B'}, *{wanted[name]})" if name in wanted else f"({batch or 'B'}, ...)"
            raise ValueError(
                f"gradients of examples at {name} have shape {shape}; expected {like}: the axis of examples in front, "
                "as from jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, batch)"
            )
    return batch


def _factors(rows: list[jax.Array], bound: Any, width: Any) -> tuple[jax.Array, jax.Array]:
    """min(1, bound/‖g_i‖) of each example, and whether its norm is finite."""
    batch = rows[0].shape[0] if rows else 1
    # The barrier hides factors: XLA turns (c*k*unit)**2 of a constant c into c**2 * (k*unit)**2, which overflows.
    norms = [leaf_norm(g.reshape(batch, -1), (1,)) for g in jax.lax.optimization_barrier(rows)]
    norm = leaf_norm(jnp.concatenate([jnp.zeros((batch, 1), width), *norms], axis=1), (1,))[:, 0]
    known = jnp.isfinite(norm)
    return within(bound, jnp.where(known, norm, 0.0)), known
