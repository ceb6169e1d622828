"""Matrices with all singular values near one: orthogonalized updates, and the factors that set their size."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import OwnShapes, flatten, is_trained, leaf_names, shape_of
from gradtx.errors import describe, non_negative, one_of
from gradtx.transforms.exchange import count_of
from gradtx.transforms.newton_schulz import COEFFICIENTS, PRECONDITIONINGS, Triples, by_svd, each_of, iterated, sizes
from gradtx.transforms.norms import leaf_norm
from gradtx.transforms.owners import Owners, of_matrices, require_owners, sides_of
from gradtx.transforms.split import summed

SHAPE_RULES = ("keller", "moonlight", "spectral", "longest", "inputs", "sides")


@transformation(needs_matrices=True)
def orthogonalize(
    coefficients: str | Triples = "keller",
    eps: Hyper = 1e-7,
    *,
    dual_norm: bool = False,
    iterate_in: str | None = None,
    preconditioning: str = "frobenius",
    devices: Owners | None = None,
):
    """Replace each matrix by the nearest orthogonal one, or nearly: its singular values become about one.

        X = N/(‖N‖_F + eps),      N the update; transposed where it has more rows than columns
        X = a·X + (b·A + c·A²)·X,      A = X·X*,      for each (a, b, c)
        u = X;      with dual_norm, X·Re⟨X, N⟩

    A step maps every singular value σ to a·σ + b·σ³ + c·σ⁵, so a few steps bring those that are not tiny near one. A
    zero matrix stays zero, and one with a norm above 8e37 becomes zero. The last two axes of a leaf are the matrix, and
    axes in front of them count matrices; for other arrangements put it into `in_frame(..., frames.matrices(...))`.
    Matrices of one shape are iterated together.

    Args:
        coefficients: triples (a, b, c), one for each step, or the name of such a list. Intervals where singular values
            in [.01, 1], after the division by the norm, end: "keller" [.68, 1.14], 5 steps; "polar_express" [.85,
            1.15], 5 steps; "polar_express_8" [.999, 1.001], 8 steps; "quintic" [.977, 1.032], 5 steps; "cans" [.88,
            1.13], 5 steps; "cubic" [.77, 1.31], 5 steps with one product fewer each; "deepseek" [.999, 1.001], 10
            steps; "newton_schulz" [.999, 1.001], 12 steps; "svd" exactly 1, by a singular value decomposition.
        eps: added to the norm; finite, at least 0; in the units of the update. With 0 the result does not depend on the
            size of the update.
        dual_norm: multiply by the inner product of result and update, which is the sum of the singular values: then
            steps become small where gradients do.
        iterate_in: the dtype of the iteration, "float32" or "bfloat16"; None: that of the update, at least float32. In
            bfloat16 the ranges are wider by .02, and "cans" is refused, as its singular values grow without a bound.
            Complex matrices are iterated in their own type.
        preconditioning: the divisor of N before the iteration, so that no singular value is above 1: "frobenius" is
            ‖N‖_F, "schatten" the fourth root of Σσ⁴, "spectral" the largest σ; "aol" divides each row i by the root of
            Σ_j |(N·Nᴴ)_ij|. With the smaller divisors of "schatten" and "spectral", few steps bring more singular
            values near one; "aol" turns the result a little. The last three cost a product more, and do not go with
            "svd".
        devices: `owners(...)`, how matrices are shared out among the devices of a mesh; None: `owners()`.

    State: none.
    Raises: ValueError: a leaf has fewer than two axes; an argument is out of range. TypeError: coefficients are neither
        a name nor triples.
    Source: Jordan et al. 2024 (Muon, on kellerjordan.github.io); "polar_express" from Amsel et al. 2025
        (arXiv:2505.16932), divided as in the authors' code by a safety of 1.02, "polar_express_8" by 1.01; "cans" from
        Grishina et al. 2025 (arXiv:2506.10935); dual_norm as in PolarGrad (Lau et al. 2025, arXiv:2505.21799);
        "aol" from Prach & Lampert 2022 (arXiv:2208.03160), theorem 1. torch iterates in bfloat16. optax has it inside
        `scale_by_muon`, in the dtype of the update.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.orthogonalize("svd")
        >>> print(tx.update(jnp.array([[3.0, 0.0], [0.0, -0.1]]), tx.init(jnp.zeros((2, 2))))[0])
        [[ 1.  0.]
         [ 0. -1.]]
    """
    triples, shared = _triples(coefficients), require_owners(devices)
    non_negative(eps=eps)
    if iterate_in is not None:
        one_of(("float32", "bfloat16"), iterate_in=iterate_in)
    if iterate_in == "bfloat16" and coefficients == "cans":
        raise ValueError('coefficients="cans" cannot be iterated in bfloat16: choose "polar_express", or float32')
    one_of(PRECONDITIONINGS, preconditioning=preconditioning)
    by_norm = preconditioning == "frobenius"
    if triples is None and not by_norm:
        raise ValueError(f'coefficients="svd" needs no preconditioning; got {describe(preconditioning)}')

    def narrow(x: jax.Array) -> jax.Array:
        return x if jnp.iscomplexobj(x) or iterate_in is None else x.astype(iterate_in)

    def polar(x: jax.Array, over: tuple[str, ...]) -> jax.Array:
        """Of a stack of matrices with at least as many columns as rows; these may be split over some devices."""
        norm = leaf_norm(x, (-2, -1), over or None)
        nothing = norm == 0
        # The quotient is taken in two steps: the norm of a subnormal matrix has no finite reciprocal.
        unit = x / jnp.where(nothing, 1.0, norm).astype(x.dtype)
        shrunk = jnp.where(nothing, 0.0, norm / jnp.where(nothing, 1.0, norm + eps)).astype(x.dtype)
        start = narrow(unit * shrunk) if by_norm else unit

        def finished(start: jax.Array, x: jax.Array, nothing: jax.Array, norm: jax.Array) -> jax.Array:
            if not by_norm:
                size = sizes(start, preconditioning, over)
                factor = jnp.where(size == 0, 0.0, norm / jnp.where(size == 0, 1.0, norm * size + eps))
                start = narrow(start * factor.astype(start.dtype))
            u = by_svd(start) if triples is None else iterated(start, triples, over).astype(x.dtype)
            if dual_norm:
                inner = summed(jnp.sum((u.conj() * x).real, (-2, -1), keepdims=True), over or None)
                u = u * inner.astype(u.dtype)
            return jnp.where(nothing, jnp.zeros_like(u), u)

        return finished(unit, x, nothing, norm) if triples is None else each_of(finished, start, x, nothing, norm)

    def init(params):
        require_matrices("orthogonalize", "parameter", params)
        return EmptyState()

    def update(updates, state, params=None):
        require_matrices("orthogonalize", "update", updates)
        return of_matrices("orthogonalize", polar, updates, shared, sums=triples is not None), state

    return init, update


@transformation(needs_matrices=True)
def scale_by_shape(rule: str = "keller", outputs: int = -1, *, devices: Owners | None = None):
    """Multiply each matrix by a number that depends on its shape alone, so that one rate suits all shapes.

        u = factor·g,      m outputs, n inputs

    For an orthogonal matrix, "keller" makes the root mean square 1/√n for every shape, and "moonlight" makes it 0.2, as
    in Adam. "spectral" makes the largest change of the outputs per change of the inputs 1, both as root mean squares.

    Args:
        rule: "keller": √max(1, m/n); "moonlight": 0.2·√max(m, n); "spectral": √(m/n); "longest": √max(m, n); "inputs":
            1/n; "sides": 2/(m + n).
        outputs: the axis of the outputs, -1 for kernels of Flax, Haiku and Keras, which are inputs × outputs; -2 for
            those of torch and equinox. The other one of the last two axes is that of the inputs.
        devices: inside `shard_map`, `owners(split_over(...))`, which says how the leaves are split; elsewhere it does
            nothing.

    State: none.
    Raises: ValueError: rule or outputs is none of these; a leaf has fewer than two axes.
    Source: "keller": Jordan et al. 2024, torch's "original". "moonlight": Liu et al. 2025 (arXiv:2502.16982), torch's
        "match_rms_adamw", Keras' default, optax's `consistent_rms`. "spectral": Pethick et al. 2025 (arXiv:2502.07529),
        Scion, as "inputs"; NVIDIA's "unit_rms_norm". NVIDIA's "spectral" is "longest" here. "sides": Frans et al. 2025
        (arXiv:2506.07254).

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_shape("moonlight")
        >>> print(tx.update(jnp.ones((4, 25)), tx.init(jnp.zeros((4, 25))))[0][0, 0])
        1.0
    """
    one_of(SHAPE_RULES, rule=rule)
    shared = require_owners(devices)
    if outputs not in (-1, -2) or isinstance(outputs, bool):
        raise ValueError(f"outputs must be -1 or -2, an axis counted from the end; got {describe(outputs)}")

    def factor(shape: tuple[int, ...]) -> float:
        if len(shape) < 2 or not shape[-1] * shape[-2]:
            return 1.0  # of a tree without matrices
        m, n = shape[outputs], shape[-3 - outputs]
        largest = max(m, n)
        squares = {"keller": max(1.0, m / n), "moonlight": 0.04 * largest, "spectral": m / n, "longest": largest}
        plain = {"inputs": n, "sides": (m + n) / 2}
        return 1.0 / plain[rule] if rule in plain else math.sqrt(squares[rule])

    def init(params):
        require_matrices("scale_by_shape", "parameter", params)
        return EmptyState()

    def update(updates, state, params=None):
        require_matrices("scale_by_shape", "update", updates)
        sides = sides_of(updates, shared)
        if not any(rows or columns for rows, columns in sides):
            return map_leaves(lambda g: factor(g.shape) * g, updates), state
        leaves, structure = flatten(updates)
        factors = [
            np.asarray(factor((x.shape[-2] * count_of(rows), x.shape[-1] * count_of(columns))), float_dtype(x))
            if is_trained(x)
            else None
            for x, (rows, columns) in zip(leaves, sides, strict=True)
        ]
        factors = OwnShapes(jax.tree.unflatten(structure, factors))
        return map_leaves(lambda g, factor: factor * g, updates, factors), state

    return init, update


def _triples(given: Any) -> Triples | None:
    """The steps of the iteration; None for a decomposition."""
    if isinstance(given, str):
        one_of(("svd", *COEFFICIENTS), coefficients=given)
        return None if given == "svd" else COEFFICIENTS[given]
    steps = given if isinstance(given, tuple) else ()
    if not steps or not all(isinstance(x, tuple) and len(x) == 3 and all(map(_is_number, x)) for x in steps):
        raise TypeError(
            f"coefficients must be one of {('svd', *COEFFICIENTS)}, or a tuple of triples ((a, b, c), ...), one for "
            f"each step; got {describe(given)}"
        )
    return steps


def _is_number(x: Any) -> bool:
    return isinstance(x, float | int) and not isinstance(x, bool) and math.isfinite(x)


def require_matrices(who: str, what: str, tree: Any) -> None:
    for name, x in zip(leaf_names(tree), flatten(tree)[0], strict=True):
        if is_trained(x) and len(shape_of(x)) < 2:
            raise ValueError(
                f"{who}: the {what} at {name} has shape {shape_of(x)}, and a matrix has two axes: give such leaves "
                f"another transformation, with route or on_matrices"
            )
