"""Shampoo: matrices between the inverse roots of the covariances of their rows and columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.numerics import abs_sq, increment, zero_count
from gradtx.core.transformation import transformation
from gradtx.core.trees import flatten, is_trained, shape_of
from gradtx.errors import finite, fixed, in_unit_interval, non_negative, one_of, positive, whole
from gradtx.meshes import gathered_once
from gradtx.optimizers.adagrad import accumulate_squares
from gradtx.optimizers.adam import scale_by_adam
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.transforms.basic import identity, scale_by_learning_rate
from gradtx.transforms.blocks import joined, sides_of_blocks, split
from gradtx.transforms.filters import nesterov_ema
from gradtx.transforms.gram import (
    cut_for_sums,
    divided_by_power,
    finite_or_old,
    mean_or_sum,
    new_root,
    weight_so_far,
)
from gradtx.transforms.momentum import ema
from gradtx.transforms.products import adjoint, product
from gradtx.transforms.stacks import map_stacks, require_rule, require_vectors, split_shape
from gradtx.wrappers.conditional import only_where
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.graft import graft

MAGNITUDES = ("none", "sgd", "adagrad", "rmsprop", "adam")


class ScaleByShampooState(NamedTuple):
    """The state of `scale_by_shampoo`; in a field, leaves that have nothing there are None."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    left: Any  # L, running means or sums of g·gᴴ; m × m for each block; float32 or wider; 0 at init
    right: Any  # R, those of gᴴ·g; n × n; like left
    left_root: Any  # L^(-power) of some step before; like left; the identity at init
    right_root: Any  # R^(-power); like right; the identity at init
    nu: Any  # of vectors and scalars, running mean or sum of |g|²; like params; 0 at init
    failures: Any  # how often a block was not finite, and stayed as it was; int32, for each leaf; 0 at init


@transformation(needs_matrices=True, gradient_powers=lambda arguments: {"eps": 0})
def scale_by_shampoo(
    b2: Hyper = 0.999,
    eps: Hyper = 1e-6,
    *,
    power: float = 0.25,
    block_size: int = 1024,
    every: int = 1,
    start: int = 0,
    vectors: str = "diagonal",
):
    """Multiply each matrix, from both sides, by inverse roots of the running means of g·gᴴ and gᴴ·g.

        L = b2·L + (1 - b2)·g·gᴴ,      R = b2·R + (1 - b2)·gᴴ·g;      with b2 = 1, L = L + g·gᴴ, R = R + gᴴ·g
        every few steps: K_L = (L̂ + eps·λ)^(-power),      K_R = (R̂ + eps·λ)^(-power)
        u = K_L·g·K_R;      g as it is in the first `start` steps

    L̂ = L/(1 - b2^t), with b2 = 1 L itself; λ is the largest eigenvalue of each. The last two axes of a leaf are the
    matrix, and axes in front of them count matrices; for other arrangements put it into `in_frame(...,
    frames.matrices(...))`. A side longer than block_size is cut into the fewest equal blocks; the last one may end in
    zeros. Blocks of leaves of one shape are computed together. In derivatives, roots count as constants. The state
    cannot follow a frame that turns, such as `eigenbasis`: leave it out of one. Inside `shard_map` matrices must be
    whole; under `jit` on a mesh they need not.

    After an update that is NaN, L, R, a root, or an entry of a vector's squares may not be finite. Then the old one
    stays, and `failures` counts it. The NaN itself is in the result, where `skip_nonfinite` sees it. A block whose
    updates have all been zero keeps its roots. Entries above 9e15/√n (float32), n the longer side, count as that.

    Args:
        b2: the weight of the past in L and R; in [0, 1]; with 1 they are sums.
        eps: added to the eigenvalues, relative to the largest; finite, at least 0. Those that are still below 1e-9 of
            it (float64: 1e-18) count as that.
        power: of L and R, without its sign; finite, greater than 0. 1/4 makes u of the same size for all gradients; 1/2
            is the square of the paper's preconditioner.
        block_size: the longest side of a block; a whole number, at least 1.
        every: steps between two roots; a whole number, at least 1.
        start: steps without a preconditioner, which only fill L and R; a whole number, at least 0.
        vectors: what becomes of vectors and scalars: "diagonal" (divided by the power 2·power of the running mean or
            sum of squares), "pass" (they stay as they are), or "refuse" (an error).

    State: `ScaleByShampooState`: for a block m × n, 2·(m² + n²) numbers, float32 or wider; failures, int32.
    Raises: ValueError: an argument is out of range, or a leaf is refused.
    Source: Gupta et al. 2018 (arXiv:1802.09568), algorithm 1, sums with power 1/4; Anil et al. 2020 (arXiv:2002.09018):
        means, blocks, an interval, a relative eps. Power 1/2 with means is Adafactor in the eigenvectors of L and R,
        except for the factor √trace L. Not in optax, torch or Keras. Within 1e-4 of the largest entry of exact
        arithmetic over 1,000 steps in float32 (median 2e-6), for gradients whose covariances have condition 100; for
        condition 1e6, where rounding of L counts, 5e-3 (median 5e-4).

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_shampoo()
        >>> g = jnp.asarray([[2.0, 0.0], [0.0, -0.5]])
        >>> print(tx.update(g, tx.init(g))[0].round(3))  # at first, the polar factor
        [[ 1.  0.]
         [ 0. -1.]]
    """
    in_unit_interval(b2=b2)
    non_negative(eps=eps)
    fixed(power=power)
    positive(power=power)
    finite(power=power)
    whole(1, block_size=block_size, every=every)
    whole(0, start=start)
    require_rule(vectors)

    def shapes(shape):
        batch = split_shape(shape)[0]
        if len(shape) < 2:
            return (*(None,) * 4, shape, ()) if vectors == "diagonal" else (None,) * 6
        front, m, n = sides_of_blocks(shape, block_size)
        return ((*front, m, m), (*front, n, n)) * 2 + (None, batch)

    def init(params):
        require_vectors("scale_by_shampoo", vectors, params)
        leaves, structure = flatten(params)
        rows = [_begun(p, shapes(shape_of(p))) if is_trained(p) else (None,) * 6 for p in leaves]
        fields = (jax.tree.unflatten(structure, [row[k] for row in rows]) for k in range(6))
        return ScaleByShampooState(zero_count(), *fields)

    def update(updates, state, params=None):
        count = increment(state.count)
        begun = state.count >= start
        due = begun & ((state.count - start) % every == 0)

        def stack(places, shared, g, *kept):
            if kept[-1] is None:
                return g, *kept
            count, begun, due, eps, b2 = shared
            weight = weight_so_far(b2, count, g.real.dtype)
            cut = cut_for_sums(g)
            seen = jax.lax.stop_gradient(cut)
            *_, nu, failures = kept
            if nu is not None:
                new = mean_or_sum(nu, abs_sq(seen).reshape(nu.shape), b2)
                failed = ~jnp.isfinite(new).reshape(len(new), -1).all(-1)
                nu = jnp.where(jnp.isfinite(new), new, nu)
                u = divided_by_power(cut, nu.reshape(g.shape) / weight, power, eps)
                return jnp.where(begun, u, g), *kept[:4], nu, increment(failures, failed)
            blocks, seen = (split(gathered_once(x), block_size) for x in (cut, seen))
            stacks = [x.reshape(-1, *x.shape[-2:]) for x in kept[:4]]
            means, roots = stacks[:2], stacks[2:]
            grams = product(seen, adjoint(seen)), product(adjoint(seen), seen)
            means, lost = zip(
                *(finite_or_old(x, mean_or_sum(x, y, b2)) for x, y in zip(means, grams, strict=True)), strict=True
            )

            def again():
                return (), tuple(new_root(x / weight, y, power, eps) for x, y in zip(means, roots, strict=True))

            unchanged = tuple((x, jnp.zeros(len(x), bool)) for x in roots)
            _, found = only_where(due, again, tuple, unchanged)
            roots, failed = zip(*found, strict=True)
            by_rows, by_columns = (gathered_once(jax.lax.stop_gradient(x)) for x in roots)
            u = product(product(by_rows, blocks), by_columns)
            u = joined(u, g.shape, block_size)
            counted = (lost[0] | lost[1] | failed[0] | failed[1]).reshape(len(g), -1).any(-1)
            fields = [x.reshape(y.shape) for x, y in zip((*means, *roots), kept[:4], strict=True)]
            return jnp.where(begun, u, g), *fields, None, increment(failures, counted)

        fields = zip(state._fields[1:], state[1:], strict=True)
        updates, *kept = map_stacks(stack, shapes, updates, *fields, shared=(count, begun, due, eps, b2))
        return updates, ScaleByShampooState(count, *kept)

    return init, update


def _begun(p: Any, shapes: tuple) -> list:
    """What is kept of a parameter before the first step: zeros, roots that are the identity, no failures."""
    width = float_dtype(p)
    dtype = at_width(jnp.result_type(p), width)

    def made(k: int, shape: tuple[int, ...] | None) -> jax.Array | None:
        if shape is None:
            return None
        if k in (2, 3):
            return jnp.broadcast_to(jnp.eye(shape[-1], dtype=dtype), shape)
        return jnp.zeros(shape, (dtype, dtype, dtype, dtype, width, jnp.int32)[k])

    return [made(k, shape) for k, shape in enumerate(shapes)]


@transformation
def shampoo(
    learning_rate: Hyper,
    momentum: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-6,
    *,
    magnitude: str = "rmsprop",
    power: float = 0.25,
    block_size: int = 1024,
    every: int = 10,
    start: int = 10,
    nesterov: bool = True,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """Shampoo: the direction of `scale_by_shampoo`, each leaf with the length of another step; a mean; a decay.

    A chain of `graft`, `nesterov_ema` or `ema`, `add_decayed_weights` and `scale_by_learning_rate`. All matrices get
    two preconditioners, also embeddings and heads; vectors are divided entry by entry, as in Adagrad. To leave all but
    hidden matrices to AdamW, write `on_matrices(shampoo(rate), adamw(rate))`.

    Args:
        learning_rate: at least 0; as for the optimizer that gives the lengths, with "rmsprop" usually 1e-3. The weight
            decay is multiplied by it too.
        momentum: the weight of the past in the running mean of the steps; in [0, 1].
        b2, eps, power, block_size, every, start: as in `scale_by_shampoo`. In the first `start` steps the direction is
            that of the gradient.
        magnitude: whose length a leaf has: "sgd" (the gradient's), "adagrad", "rmsprop" (with a correction of its start
            at 0), "adam", or "none" (its own). Others: `graft(scale_by_shampoo(), tx)`.
        nesterov: look one step ahead, as in `nesterov_ema`; else `ema` without correction.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict: `GraftState`, with `ScaleByShampooState` and that of the other, and the mean. For a matrix
        m × n with "rmsprop", 2·(m·n + m² + n²) numbers. Its update needs `params`.
    Source: Anil et al. 2020 (arXiv:2002.09018), with grafting from Agarwal et al. 2020 (arXiv:2002.11803). There the
        first steps are those of the optimizer that gives the lengths, in its own direction, and the momentum is a sum.
        Meta's code takes lengths for each block, and filters before it preconditions. Not in optax, torch or Keras.
    """
    in_unit_interval(momentum=momentum)
    one_of(MAGNITUDES, magnitude=magnitude)
    whitened = scale_by_shampoo(b2, eps, power=power, block_size=block_size, every=every, start=start)
    lengths = {
        "sgd": identity(),
        "adagrad": accumulate_squares(0.0, 1e-10),
        "rmsprop": scale_by_rms(0.999, bias_correction=True),
        "adam": scale_by_adam(),
    }
    return chain(
        whitened if magnitude == "none" else graft(whitened, lengths[magnitude]),
        nesterov_ema(momentum) if nesterov else ema(momentum, debias=False),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
