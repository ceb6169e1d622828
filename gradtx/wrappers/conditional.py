"""What wrappers that decide *when* share: a branch that leaves no trace, updates at rest, whether a tree is finite."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core.apply import apply_updates
from gradtx.core.leaves import map_leaves
from gradtx.core.norms import AxisName, on_all
from gradtx.core.trees import flatten, is_trained


def at_rest(updates: Any) -> Any:
    """Updates that leave every parameter as it is, to the bit: -0, since -0 + 0 would be 0 were it 0."""
    return map_leaves(lambda g: jnp.full_like(g, complex(-0.0, -0.0) if jnp.iscomplexobj(g) else -0.0), updates)


def resting(how: str, updates: Any, params: Any) -> Callable[[], Any]:
    """What comes where nothing is done: of an "update", updates at rest; of a "step", the parameters, unwritten."""
    return lambda: params if how == "step" else at_rest(updates)


def all_finite(tree: Any) -> jax.Array:
    """Whether every entry of every trained leaf is finite: a bool scalar. For arrays that exist; see `_finite`."""
    # Zero times what is not finite is NaN, and a sum is one pass; XLA on CPU writes an array of bools for isfinite.
    return _all(jnp.isfinite(jnp.sum(x * jnp.zeros((), x.dtype))) for x in map(jnp.asarray, _trained(tree)))


def _finite(tree: Any) -> jax.Array:
    """The same for what is computed to be looked at: written so, it is looked at where it is computed."""
    return _all(jnp.all(jnp.isfinite(x)) for x in _trained(tree))


def _trained(tree: Any) -> list:
    return [x for x in jax.tree.leaves(tree) if is_trained(x)]


def _all(finite: Iterable[jax.Array]) -> jax.Array:
    return functools.reduce(operator.and_, finite, jnp.asarray(True))


def only_where(
    condition: jax.Array, run: Callable[[], tuple[Any, Any]], rest: Callable[[], Any], state: Any
) -> tuple[Any, Any]:
    """`run()` where the condition holds, elsewhere `(rest(), state)`; what was not chosen leaves no trace.

    One branch is computed, not both with a product: so a NaN in the other does nothing. Under `vmap` it is a select.

    Args:
        condition: a bool scalar.
        run: gives updates and a state like `state`.
        rest: gives the updates for where it does not run, in the structure of those that run gives.
        state: the state for where it does not run.
    """
    staged = isinstance(condition, Tracer)  # a cond outside jit would be compiled at every call
    if not staged and condition:
        return run()
    resting = rest()
    traced = _traced(run, resting, state)
    if not staged:
        # Without float64 all updates are of one width, and nothing need be traced to know it.
        return _resting(traced, resting) if jax.config.read("jax_enable_x64") else resting, state
    return _branch(condition, traced, resting, state)


def where_finite(
    condition: jax.Array,
    run: Callable[[str], tuple[Any, Any]],
    how: str,
    updates: Any,
    params: Any,
    state: Any,
    through: jax.Array,
    *,
    once: bool,
    axis_name: AxisName = None,
) -> tuple[Any, Any, jax.Array]:
    """As `only_where`, and only where the updates are finite, or may come `through`; also says where that is.

    Under jit they are computed twice, to look at and to keep: to keep two states until it is known which one stays
    would move more memory than the second computation does (measured: four times the time of it, with Adam). What
    evaluates the model is computed `once` all the same.

    Args:
        run: gives the result of an "update" or of a "step".
        how: which of them is wanted.
        updates, params: what the caller was given; of them is what comes where nothing is done.
        state: the inner state for where it does not run.
    """
    rest = resting(how, updates, params)
    if once or not isinstance(condition, Tracer):

        def looked_at() -> tuple[Any, Any]:
            new, after = run("update")
            fine = on_all(_finite(new), axis_name) | through
            new, after = only_where(
                fine, lambda: (new if how == "update" else apply_updates(params, new), after), rest, state
            )
            return new, (after, fine)

        new, (after, fine) = only_where(condition, looked_at, rest, (state, condition))
        return new, after, fine
    still = at_rest(updates)
    looked = _traced(lambda: run("update"), still, state)
    still, kept = (still, looked) if how == "update" else (params, _traced(lambda: run(how), params, state))
    fine = jax.lax.cond(condition, lambda: on_all(_finite(looked()[0]), axis_name) | through, lambda: condition)
    return *_branch(fine, kept, still, state), fine


def _branch(condition: jax.Array, traced: Callable[[], tuple[list, Any]], rest: Any, state: Any) -> tuple[Any, Any]:
    leaves, structure = flatten(_resting(traced, rest))
    places = [k for k, x in enumerate(leaves) if is_trained(x)]
    chosen, state = jax.lax.cond(condition, traced, lambda: ([leaves[k] for k in places], state))
    for k, x in zip(places, chosen, strict=True):
        leaves[k] = x
    return jax.tree.unflatten(structure, leaves), state


def _resting(traced: Callable[[], tuple[list, Any]], rest: Any) -> Any:
    """Updates at rest in the types of those that run would give; what it would raise, it raises here."""
    types, leaves = iter(jax.eval_shape(traced)[0]), flatten(rest)[0]
    arrays = [jnp.asarray(x) if isinstance(x, float | complex) else x for x in leaves]
    cast = [x.astype(next(types).dtype) if is_trained(x) else x for x in arrays]
    return jax.tree.unflatten(flatten(rest)[1], cast)


def _traced(run: Callable[[], tuple[Any, Any]], rest: Any, state: Any) -> Callable[[], tuple[list, Any]]:
    """run, traced once however often it is called; of its updates those leaves alone that are trained.

    Another library's state may change its type at an update, which a branch cannot: it keeps the types that it had.
    """
    places = [k for k, x in enumerate(flatten(rest)[0]) if is_trained(x)]

    def trained_part() -> tuple[list, Any]:
        updates, after = run()
        leaves = flatten(updates)[0]
        same = jax.tree.structure(after) == jax.tree.structure(state)
        after = jax.tree.map(_as, after, state) if same else after
        return [leaves[k] for k in places], after

    return jax.jit(trained_part, inline=True)


def _as(new: Any, old: Any) -> Any:
    return new if jnp.result_type(new) == jnp.result_type(old) else jnp.asarray(new).astype(jnp.result_type(old))
