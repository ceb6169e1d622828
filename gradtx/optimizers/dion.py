"""Dion: momentum that is orthogonalized within a low rank, and keeps what that rank leaves out."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import at_width, float_dtype, map_leaves, zeros
from gradtx.core.numerics import increment
from gradtx.core.states import Signed
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import OwnShapes, flatten, is_trained, leaf_names, shape_of
from gradtx.errors import describe, in_unit_interval
from gradtx.meshes import anywhere, spec_of
from gradtx.optimizers.hidden import for_hidden_matrices
from gradtx.transforms.decompositions import qr
from gradtx.transforms.exchange import count_of, gathered, own_part
from gradtx.transforms.norms import leaf_norm
from gradtx.transforms.orthogonal import require_matrices, scale_by_shape
from gradtx.transforms.owners import Owners, require_owners, sides_of
from gradtx.transforms.products import adjoint, bounded, product
from gradtx.transforms.seeds import key_of, path_hashes, require_seed
from gradtx.transforms.split import summed


class ScaleByDionState(NamedTuple):
    """The state of `scale_by_dion`.

    trace: the momentum M with what past updates left out; like params, float32 or wider; 0 at init.
    basis: the directions Q of the columns, n × r for each matrix m × n, float32 or wider; Gaussian at init.
    failures: steps that were not finite and left M and Q as they were, int32, for each matrix; 0 at init.
    """

    trace: Signed
    basis: Any
    failures: Any


@transformation(needs_matrices=True)
def scale_by_dion(
    rank: int | float = 0.25, momentum: Hyper = 0.95, *, key: int | jax.Array = 0, devices: Owners | None = None
):
    """Orthogonalize the momentum within a rank r, by one power iteration in each step; what r leaves out stays in it.

        B = M + g
        P = orthogonal columns of B·Q, by a QR decomposition
        R = Bᴴ·P
        M = B - (1 - momentum)·P·Rᴴ
        Q = R with columns of length 1
        u = P·Qᴴ

    At most r singular values of u are not zero, and these are near one. On a mesh the devices exchange matrices of r
    columns only: m × r where rows are split, and n × r. With r the whole side, u tends to the polar factor of a
    constant M. Entries above 8e37/√(m·n) (float32) count as that.

    Columns of R that are zero, or as small as the rounding error of the largest one, add nothing to u, and their
    columns of Q do not change. So a zero matrix gives zero. Where B or a product is not finite, M and Q stay as they
    were, and `failures` counts the matrix; the NaN itself comes out, for `skip_nonfinite` to see. In derivatives, P
    counts as a constant. The last two axes of a leaf are the matrix, those in front count matrices.

    Args:
        rank: r, a whole number of at least 1 and at most the shorter side; or, as a float in (0, 1], r over that side,
            rounded up.
        momentum: the share of P·Rᴴ, which the update uses, that stays in M; in [0, 1].
        key: of the first Q, together with the path of the leaf: an integer in [0, 2**32), or a key of `jax.random`.
        devices: inside `shard_map`, `owners(split_over(...))`, which says how the leaves are split; Q is split as their
            columns are. Elsewhere it does nothing.

    State: `ScaleByDionState`: trace, like params, 0 at init; basis, n × r, Gaussian at init; failures, int32, 0.
    Raises:
        TypeError, ValueError: an argument is something else. ValueError, naming the leaf: it has fewer than two axes,
            or a side shorter than the rank.
    Source: Ahn et al. 2025 (arXiv:2504.05295), algorithm 1. Its authors' code adds 1e-8 to the lengths of columns, and
        decomposes B·Q by Cholesky's method after a random projection. Not in optax, torch or Keras. Within 1e-4 of
        exact arithmetic over 1,000 steps in float32, median 1e-6, where the rank leaves out no equal singular values.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> state = jax.eval_shape(gradtx.scale_by_dion(rank=16).init, jnp.zeros((256, 1024)))
        >>> state.trace.shape, state.basis.shape
        ((256, 1024), (1024, 16))
    """
    _require_rank(rank)
    in_unit_interval(momentum=momentum)
    shared = require_owners(devices)
    require_seed(key=key)

    def init(params):
        require_matrices("scale_by_dion", "parameter", params)
        (leaves, structure), bases, failures = flatten(params), [], []
        drawn, names, axes = key_of(key), leaf_names(params), sides_of(params, shared)
        for salt, x, name, (rows, columns) in zip(path_hashes(params), leaves, names, axes, strict=True):
            if not is_trained(x):
                bases.append(None)
                failures.append(None)
                continue
            *front, m, n = shape_of(x)
            shape = (*front, m * count_of(rows), n * count_of(columns))
            own = jax.random.fold_in(jax.random.fold_in(drawn, salt[0]), salt[1])
            dtype = at_width(jnp.result_type(x), float_dtype(x))
            bases.append(own_part(_first_basis(own, shape, dtype, rank, name), columns, len(front)))
            failures.append(jnp.zeros(front, jnp.int32))
        return ScaleByDionState(zeros(params), *(jax.tree.unflatten(structure, x) for x in (bases, failures)))

    def update(updates, state, params=None):
        require_matrices("scale_by_dion", "update", updates)

        def leaf(g, *kept, rows=(), columns=()):
            if g.ndim < 2:
                return g, *kept  # of a tree without matrices
            step = functools.partial(_step, momentum=momentum, rows=rows, columns=columns)
            return anywhere(step, lambda: tuple(map(spec_of, (g, *kept))), g, *kept)

        axes, own = sides_of(updates, shared), [OwnShapes(x) for x in state[1:]]
        if not any(rows or columns for rows, columns in axes):
            updates, *kept = map_leaves(leaf, updates, state.trace, *own)
            return updates, ScaleByDionState(*kept)
        leaves, structure = flatten(updates)
        trees = [structure.flatten_up_to(tree) for tree in state]
        done = [
            map_leaves(
                functools.partial(leaf, rows=rows, columns=columns), g, trace, OwnShapes(basis), OwnShapes(failed)
            )
            for g, trace, basis, failed, (rows, columns) in zip(leaves, *trees, axes, strict=True)
        ]
        updates, *kept = (jax.tree.unflatten(structure, x) for x in zip(*done, strict=True))
        return updates, ScaleByDionState(*kept)

    return init, update


@transformation
def dion(
    learning_rate: Hyper,
    rank: int | float = 0.25,
    momentum: Hyper = 0.95,
    *,
    key: int | jax.Array = 0,
    devices: Owners | None = None,
    outputs: int = -1,
    weight_decay: Hyper = 0.01,
    others: Transformation | None = None,
    exclude: Any = None,
):
    """Dion: `scale_by_dion` and `scale_by_shape("spectral")` for hidden matrices, and AdamW for all other leaves.

    `plan` shows which leaf goes where, and why. All matrices have one rank; as a share of the shorter side it fits
    every shape.

    Args:
        learning_rate: at least 0; usually 0.01. The weight decay is multiplied by it too.
        rank, momentum, key, devices: as in `scale_by_dion`.
        outputs: the axis of the outputs, as in `scale_by_shape`.
        weight_decay: as in `add_decayed_weights`; also that of the default AdamW.
        others: the transformation for all other leaves; None: `adamw(learning_rate, b1=0.9, b2=0.95)`.
        exclude: which matrices go to `others`, as in `on_matrices`; None: embeddings and heads, by their names.

    State: that of `on_matrices`. Its update needs `params`. For a matrix m × n, m·n + n·r numbers.
    Source: Ahn et al. 2025 (arXiv:2504.05295), algorithm 1 and section 3 for its scale. Not in optax, torch or Keras.
    """
    in_unit_interval(momentum=momentum)
    direction = scale_by_dion(rank, momentum, key=key, devices=devices)
    shape = scale_by_shape("spectral", outputs, devices=devices)
    return for_hidden_matrices(direction, shape, learning_rate, weight_decay, others, exclude, None)


def _require_rank(rank: Any) -> None:
    if isinstance(rank, bool) or not isinstance(rank, int | float):
        raise TypeError(f"rank must be a whole number, or a float in (0, 1], a share; got {describe(rank)}")
    if not (rank >= 1 if isinstance(rank, int) else 0.0 < rank <= 1.0):
        raise ValueError(f"rank must be at least 1, or a float in (0, 1], a share of the shorter side; got {rank!r}")


def _first_basis(key: jax.Array, shape: tuple[int, ...], dtype: Any, rank: int | float, name: str) -> jax.Array:
    *front, m, n = shape
    short = min(m, n)
    r = rank if isinstance(rank, int) else math.ceil(round(rank * short, 6))
    if r > short and short:
        raise ValueError(
            f"scale_by_dion: rank={rank} is above the shorter side of the parameter at {name}, which has shape "
            f"{shape}: choose a smaller rank, or a share of the side, such as 0.25"
        )
    return jax.random.normal(key, (*front, n, min(r, short)), jnp.float32).astype(dtype)


def _step(
    g: jax.Array,
    trace: jax.Array,
    basis: jax.Array,
    failures: jax.Array,
    *,
    momentum: Any,
    rows: tuple[str, ...],
    columns: tuple[str, ...],
) -> tuple[jax.Array, ...]:
    """The update, M, Q and failures, of a part of a matrix whose rows and columns are split over these axes."""
    parts = count_of(rows) * count_of(columns)
    b = bounded(trace, parts) + bounded(g, parts)
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(b), (-2, -1), keepdims=True, initial=0.0))
    size = jax.lax.pmax(size, (*rows, *columns)) if rows or columns else size
    unit = b / jnp.where(size == 0, 1.0, size).astype(b.dtype)  # a product of large entries may overflow
    along = summed(jax.lax.stop_gradient(product(unit, basis)), columns or None)
    p = own_part(qr(gathered(along, rows, along.ndim - 2)), rows, along.ndim - 2)
    r = summed(product(adjoint(unit), p), rows or None)
    length = leaf_norm(r, (-2,), columns or None)
    rounding = jnp.finfo(length.dtype).eps * max(b.shape[-2] * count_of(rows), b.shape[-1] * count_of(columns))
    seen = ~(length <= rounding * jnp.max(length, -1, keepdims=True, initial=0.0))  # NaN is seen
    q = jnp.where(seen, r / jnp.where(seen, length, 1.0).astype(r.dtype), 0.0)
    kept = b - ((1.0 - momentum) * size).astype(b.dtype) * product(p, adjoint(r))
    finite = jnp.isfinite(size) & jnp.isfinite(jnp.sum(length, -1, keepdims=True))
    new = jnp.where(finite, kept, trace), jnp.where(seen & finite, q, basis)
    return product(p, adjoint(q)), *new, increment(failures, ~finite[..., 0, 0])
