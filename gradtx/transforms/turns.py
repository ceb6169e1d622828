"""Large leaves one after another, so that they share one buffer, and huge ones part by part."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.deferred import Deferred, deferred, is_staged
from gradtx.core.special import SpecialLeaf
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import flatten, is_trained
from gradtx.transforms.joining import is_whole
from gradtx.transforms.norms import leaf_norm, sum_of_squares
from gradtx.transforms.split import varying

_LARGE = 65_536
_HUGE = 8_388_608
_PARTS = 8


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def take_turns():
    """Return the updates unchanged, to the bit; in a program for the CPU, large leaves are computed one after another.

        u = g

    What divides a leaf by its norm, such as `scale_by_trust_ratio` and `keep_norm`, must have the whole leaf before it
    can use the first entry. XLA on CPU computes all leaves first, then all norms, so it holds a second copy of the
    parameters. A system that frees this memory after each step spends half of the step on allocating it again. With
    this piece between the two, a leaf and, in a chain, its state wait for the sum of squares of the leaf before, and
    about three leaves are held. In front of `scale_by_trust_ratio`, leaves of more than 8 million entries are never
    held: their norms are computed in eight parts.

    Put it where updates are computed and then measured leaf by leaf, behind `scale_by_adam` for example. It is of no
    use where the gradients themselves are measured, since they are there already: it would copy them. Leaves of fewer
    than 65,536 entries do not wait. On other backends, outside jit, and for rows of a table it does nothing.

    State: none. Its update needs `params`.
    Source: none. A dependency that XLA cannot see through: where a sum of squares is negative, which never happens, the
        update is the parameter. optax has nothing like it.

    Example:
        >>> import gradtx
        >>> tx = gradtx.keep_norm(gradtx.chain(gradtx.scale_by_adam(), gradtx.take_turns()))
    """

    def init(params):
        return EmptyState()

    def update(updates, state, params):
        if jax.default_backend() != "cpu":
            return updates, state
        (leaves, structure), before = flatten(updates), None
        for k, w in enumerate(flatten(params)[0]):
            if not _is_large(leaves[k]):
                continue
            if before is not None and isinstance(leaves[k], Deferred):
                leaves[k].begin_with(lambda g, norm=before: _behind(g, norm))
            if _is_huge(leaves[k]):
                continue
            leaves[k] = jnp.asarray(leaves[k])
            if before is not None and _may_wait(leaves[k], before, w):
                # Two arrays to read: what reads one is computed again by each of its readers, rather than held.
                leaves[k] = jax.lax.select(before < 0, jax.lax.convert_element_type(w, leaves[k].dtype), leaves[k])
            before = jax.lax.stop_gradient(sum_of_squares(leaves[k], None))
        return jax.tree.unflatten(structure, leaves), state

    return init, update


def norms_in_parts(updates: Any, params: Any) -> tuple[Any, list | None]:
    """The updates for `map_leaves`, and the norm of each huge leaf that is not computed yet, or None.

    In a program for the CPU such a leaf is computed twice: part by part, for its norm, and where it is used. So it is
    never in memory. What it is made of waits for its norm: it is overwritten later, and XLA makes no copies.
    """
    leaves, structure = flatten(updates)
    weights = flatten(params)[0]
    huge = [k for k, x in enumerate(leaves) if _is_huge(x) and is_whole(weights[k])]
    norms: list = [None] * len(leaves)
    for k in huge:
        norms[k] = _norm_in_parts(leaves[k], jnp.asarray(weights[k]))
        leaves[k].begin_with(lambda g, norm=norms[k]: _behind(g, jax.lax.stop_gradient(norm)))
    leaves = [jnp.asarray(x) if isinstance(x, Deferred) and norms[k] is None else x for k, x in enumerate(leaves)]
    made = jax.tree.unflatten(structure, leaves)
    first: Any = leaves[huge[0]] if huge else None
    return (made, None) if first is None else (deferred(made, first.line.shared), norms)


def _norm_in_parts(x: Deferred, w: jax.Array) -> jax.Array:
    count = min(_PARTS, x.shape[0])
    ends = [x.shape[0] * k // count for k in range(count + 1)]
    norms: list = []
    for start, stop in itertools.pairwise(ends):
        part = x.part(start, stop)
        if norms:  # one after another, and not within the sum, where XLA divides slowly
            before = jax.lax.stop_gradient(norms[-1])
            row = jax.lax.slice_in_dim(w, start, stop).astype(part.dtype)
            part = jax.lax.select(before < 0, row, part)
        norms.append(leaf_norm(part))
    return leaf_norm(jnp.stack(norms))


def _is_large(x: Any) -> bool:
    if isinstance(x, SpecialLeaf) or not (isinstance(x, Deferred) or (is_trained(x) and is_staged(x))):
        return False
    return math.prod(x.shape) >= _LARGE


def _is_huge(x: Any) -> bool:
    """Whether its norm is computed in parts: a large leaf that is made of several arrays, all of them whole."""
    if jax.default_backend() != "cpu" or not isinstance(x, Deferred) or math.prod(x.shape) < _HUGE:
        return False
    return bool(x.divisible) and not jnp.issubdtype(x.dtype, jnp.complexfloating) and all(map(is_whole, x.divisible))


def _behind(g: Any, before: jax.Array) -> Any:
    """The same gradient, made to depend on a number that is at least 0; it is multiplied where it is read."""
    g = jnp.asarray(g)
    if jnp.iscomplexobj(g) or not varying(before) <= varying(g):
        return g
    one = jax.lax.select(before < 0, jnp.full_like(before, 2), jnp.ones_like(before))
    return g * one.astype(g.dtype)


def _may_wait(x: jax.Array, before: jax.Array, w: Any) -> bool:
    """Not for what differs between devices where the update does not: it would then differ too, as far as JAX knows."""
    same_kind = jax.numpy.iscomplexobj(x) == jax.numpy.iscomplexobj(w)
    return same_kind and varying(before) | varying(w) <= varying(x)
