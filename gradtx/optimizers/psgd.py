"""PSGD: a preconditioner that whitens, of one factor for each side of a matrix, fitted by a gradient descent."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper, Number
from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.numerics import increment, zero_count
from gradtx.core.states import RandomKey
from gradtx.core.transformation import transformation
from gradtx.core.trees import flatten, is_trained, shape_of
from gradtx.errors import below_one, finite, in_unit_interval, one_of, positive, whole
from gradtx.meshes import gathered_once
from gradtx.schedules.decay import exponential_decay
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.clipping import clip_by_block_rms
from gradtx.transforms.momentum import ema
from gradtx.transforms.seeds import key_data_of, key_of, leaf_keys, require_seed
from gradtx.transforms.stacks import map_stacks, require_rule, require_vectors, split_shape
from gradtx.transforms.whiten import FORMS, learned, preconditioned
from gradtx.wrappers.conditional import only_where
from gradtx.wrappers.decay import add_decayed_weights

_SIDES = ("both", "smaller", "none")


class ScaleByPsgdKronState(NamedTuple):
    """The state of `scale_by_psgd_kron`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    waited: jax.Array  # steps since Q last changed; int32 scalar; 0 at init
    key: RandomKey  # the data of the random key; uint32; the same at every step
    left: Any  # Q_L, m × m or its diagonal; None for vectors; float32 or wider; the identity times a number at init
    right: Any  # Q_R, n × n or its diagonal; like left
    left_bound: Any  # a running bound of the curvature of Q_L, a number for each matrix; 0 at init; or None
    right_bound: Any  # the same of Q_R
    failures: Any  # how often the new Q was not finite, and stayed as it was; int32, for each matrix; 0 at init


@transformation(needs_matrices=True)
def scale_by_psgd_kron(
    preconditioner_rate: Hyper = 0.1,
    probability: Hyper = 1.0,
    *,
    form: str = "triangular",
    sides: str = "both",
    max_dim: int = 8192,
    vectors: str = "diagonal",
    initial_scale: Number = 1.0,
    key: int | jax.Array = 0,
):
    """Whiten each matrix by two factors, which a gradient descent of their own fits to the updates seen so far.

        u = Q_Lᴴ·Q_L·g·Q_Rᴴ·Q_R,      Q after this step
        h = g + √(1.2e-7)·mean|g|·V,      V normal
        triangular:      A = Q_L·h·Q_Rᴴ,   B = Q_L^(-H)·V·Q_R⁻¹
                         Q_L = Q_L - (preconditioner_rate/ℓ)·triu(A·Aᴴ - B·Bᴴ)·Q_L,      ℓ ≈ ‖A·Aᴴ + B·Bᴴ‖₂
        inverse_free:    P = Q_Lᴴ·Q_L·h·Q_Rᴴ·Q_R
                         Q_L = Q_L - (preconditioner_rate/b)·(P·Pᴴ - n·1)·Q_L,   then turned towards a Hermitian one
                         b = max(0.9·b + 0.1·ℓ, ℓ),      ℓ ≈ ‖P·Pᴴ‖₂ + n
        and Q_R in the same way, with Aᴴ·A, Bᴴ·B, Pᴴ·P and m

    At rest the entries of u have mean square 1 and no correlation. The spectral norms are bounded from below by two
    products with the longest row. Both Q are scaled so that their largest entries are alike, which leaves u as it is.
    The last two axes of a leaf are the matrix, and axes in front of them count matrices; for other arrangements put it
    into `in_frame(..., frames.matrices(...))`. Matrices of one shape are computed together. In derivatives, Q counts as
    a constant. The state cannot follow a frame that turns, such as `eigenbasis`: leave it out of one. Inside
    `shard_map` matrices must be whole; under `jit` on a mesh they need not.

    A matrix whose updates are all zero keeps its Q. Where the new Q is not finite, as after an update that is NaN, it
    stays as it was, and `failures` counts the matrix; the NaN itself comes out, for `skip_nonfinite` to see.

    Args:
        preconditioner_rate: the largest relative change of Q in a step; in [0, 1).
        probability: how often Q changes, as a share of the steps: it does when 1/probability steps have passed since
            the last time; in [0, 1].
        form: "triangular" or "inverse_free", which solves no equations.
        sides: which sides may have a Q with all entries: "both", "smaller" (the shorter one; both of a square), "none".
            The others have a diagonal one.
        max_dim: a side that is longer than this has a diagonal one; a whole number, at least 0.
        vectors: what becomes of vectors and scalars: "diagonal" (a diagonal Q), "pass" (they stay as they are), or
            "refuse" (an error).
        initial_scale: the factor of the identity in u at the start; finite, greater than 0; per unit of the
            updates.
        key: of V: an integer in [0, 2**32), or a key of `jax.random`.

    State: `ScaleByPsgdKronState`: count, waited and failures, int32; key, uint32; for a matrix m × n, left and right,
        m² + n² numbers or fewer, float32 or wider; left_bound and right_bound for inverse_free alone, else None.
    Raises: ValueError: an argument is out of range, or a leaf is refused.
    Source: Li 2015 (arXiv:1512.04202) and 2024 (arXiv:2402.11858), the whitening criterion with Kronecker factors; the
        inverse-free form is the one for dQ = Q^½·E·Q^(3/2) of the author's code. Other codes balance Q now and then,
        and bound norms from random vectors. Not in optax, torch or Keras. Within 2e-5 of exact arithmetic over 1,000
        steps in float32, where entries have mean square 1; median 2e-6.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_psgd_kron(initial_scale=4.0, probability=0.0)
        >>> print(tx.update(jnp.eye(2), tx.init(jnp.eye(2)))[0].round(3))
        [[4. 0.]
         [0. 4.]]
    """
    below_one(preconditioner_rate=preconditioner_rate)
    in_unit_interval(probability=probability)
    one_of(FORMS, form=form)
    one_of(_SIDES, sides=sides)
    whole(0, max_dim=max_dim)
    require_rule(vectors)
    positive(initial_scale=initial_scale)
    finite(initial_scale=initial_scale)
    require_seed(key=key)

    def shapes(shape):
        batch, m, n = split_shape(shape)
        learns = form == "inverse_free"
        if len(shape) < 2:
            return (None, (n,), None, () if learns else None, ()) if vectors == "diagonal" else (None,) * 5
        dense = {"both": (True, True), "smaller": (m <= n, n <= m), "none": (False, False)}[sides]
        q = [(*batch, k, k) if on and k <= max_dim else (*batch, k) for on, k in zip(dense, (m, n), strict=True)]
        return *q, *[batch if learns else None] * 2, batch

    def init(params):
        require_vectors("scale_by_psgd_kron", vectors, params)
        leaves, structure = flatten(params)
        rows = [_begun(p, shapes(shape_of(p)), initial_scale) if is_trained(p) else (None,) * 5 for p in leaves]
        fields = [jax.tree.unflatten(structure, [row[k] for row in rows]) for k in range(5)]
        return ScaleByPsgdKronState(zero_count(), zero_count(), key_data_of(key), *fields)

    def update(updates, state, params=None):
        impl, often = jax.random.key_impl(key_of(key)), jnp.asarray(probability)
        due = increment(state.waited).astype(often.dtype) * often >= 1.0 - 1e-6  # 41/41 is less than 1 in float32
        now = jax.random.fold_in(jax.random.wrap_key_data(state.key, impl=impl), state.count)
        keys = jax.random.key_data(leaf_keys(now, updates))

        def stack(places, shared, g, *kept):
            if kept[1] is None:
                return g, *kept
            due, rate, keys = shared
            g, (*qs, failures) = gathered_once(g), kept

            def learn():
                own = jax.random.wrap_key_data(keys[np.asarray(places)], impl=impl)
                shape = (len(g) // len(places), *g.shape[1:])
                kind = at_width(g.dtype, jnp.dtype("float32"))
                noise = jax.vmap(lambda key: jax.random.normal(key, shape, kind))(own).reshape(g.shape).astype(g.dtype)
                whole = jax.tree.map(gathered_once, qs[:2])
                new, failed = learned(form, jax.lax.stop_gradient(g), gathered_once(noise), (*whole, *qs[2:]), rate)
                new = (*jax.tree.map(gathered_once, new[:2]), *new[2:])
                return (), (new, increment(failures, failed))

            _, (new, counted) = only_where(due, learn, tuple, (tuple(qs), failures))
            factors = (q if q is None else gathered_once(jax.lax.stop_gradient(q)) for q in new[:2])
            return preconditioned(g, *factors), *new, counted

        fields = zip(state._fields[3:], state[3:], strict=True)
        updates, *kept = map_stacks(stack, shapes, updates, *fields, shared=(due, preconditioner_rate, keys))
        waited = jnp.where(due, 0, increment(state.waited)).astype(jnp.int32)
        return updates, ScaleByPsgdKronState(increment(state.count), waited, state.key, *kept)

    return init, update


def _begun(p: Any, shapes: tuple, scale: Any) -> list:
    """What is kept of a parameter before the first step: multiples of the identity, zero bounds, no failures."""
    width = float_dtype(p)
    *qs, left_bound, right_bound, failures = shapes
    factors = sum(shape is not None for shape in qs)
    size = jnp.asarray(scale, width) ** (0.5 / max(factors, 1))
    front = len(split_shape(shape_of(p))[0])

    def q(shape: tuple[int, ...] | None) -> jax.Array | None:
        if shape is None:
            return None
        if len(shape) == front + 1:
            return jnp.full(shape, size, width)
        return jnp.broadcast_to(size * jnp.eye(shape[-1], dtype=width), shape).astype(
            at_width(jnp.result_type(p), width)
        )

    def zero(shape: tuple[int, ...] | None, dtype: Any) -> jax.Array | None:
        return None if shape is None else jnp.zeros(shape, dtype)

    return [*map(q, qs), zero(left_bound, width), zero(right_bound, width), zero(failures, jnp.int32)]


@transformation
def psgd_kron(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    preconditioner_rate: Hyper = 0.1,
    probability: Hyper | None = None,
    max_rms: Hyper = 1.1,
    *,
    form: str = "triangular",
    sides: str = "both",
    max_dim: int = 8192,
    initial_scale: Number = 1.0,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
    key: int | jax.Array = 0,
):
    """PSGD Kron: `ema`, `scale_by_psgd_kron`, `clip_by_block_rms`, `add_decayed_weights`, `scale_by_learning_rate`.

    Vectors and scalars have a diagonal factor.

    Args:
        learning_rate: at least 0; usually a third of Adam's. It multiplies the weight decay too.
        b1: the weight of the past in the running mean of gradients, which is preconditioned and fitted; in [0, 1).
        preconditioner_rate, form, sides, max_dim, initial_scale, key: as in `scale_by_psgd_kron`.
        probability: as there; None: 1 in the first 500 steps, then falling by the factor e in 1,000 steps, to 0.03.
        max_rms: the largest root mean square of the update of a leaf, before the learning rate; greater than 0.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict: `EmaState` and `ScaleByPsgdKronState`. For a matrix m × n, m·n + m² + n² numbers.
    Source: Li 2024 (arXiv:2402.11858); the schedule, the mean and the clip as in the code kron_torch. There, vectors do
        not decay unless told. Not in optax, torch or Keras.
    """
    below_one(b1=b1)
    positive(max_rms=max_rms)
    often = exponential_decay(1.0, 1000, math.exp(-1), 500, end_value=0.03) if probability is None else probability
    settings = {"form": form, "sides": sides, "max_dim": max_dim, "initial_scale": initial_scale, "key": key}
    return chain(
        ema(b1),
        scale_by_psgd_kron(preconditioner_rate, often, **settings),
        clip_by_block_rms(max_rms),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
