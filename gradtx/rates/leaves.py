"""An estimator for each leaf by itself, and scalars for the leaves of a tree."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.leaves import float_dtype
from gradtx.core.trees import flatten, is_trained, require_same_tree
from gradtx.rates.estimator import Advice, Estimate
from gradtx.roles import declared_roles


def require_fitting(g: Any, state: Any) -> None:
    """Raise ValueError, naming the leaf, unless the fields of a state that have a role fit the gradients."""
    for field in declared_roles(type(state)):
        require_same_tree("gradient", g, field, getattr(state, field))


def each_leaf(one: Estimate) -> Estimate:
    """The estimate that does to each trained leaf what `one` does to a tree of this leaf alone.

    Each field of its state is a tree like the parameters, with the value of the field for each leaf. Its rate is a tree
    of scalars.
    """

    def init(params: Any) -> Any:
        leaves, structure = flatten(params)
        states = [one.init(p) if is_trained(p) else None for p in leaves]
        return _together(states, structure, jax.eval_shape(one.init, jnp.zeros(())))

    def before(g: Any, state: Any, params: Any, now: Any) -> tuple[Advice, Any]:
        leaves, structure = flatten(g)
        rows = zip(leaves, flatten(params)[0], _apart(state, leaves), strict=True)
        done = [one.before(x, s, p, now) if is_trained(x) else (None, None) for x, p, s in rows]
        rates = [
            None if advice is None else _scalar(advice.rate, x) for (advice, _), x in zip(done, leaves, strict=True)
        ]
        after = _together([s for _, s in done], structure, state)
        return Advice(jax.tree.unflatten(structure, rates)), after

    def after(u: Any, state: Any, rate: Any) -> tuple[Any, Any]:
        leaves, structure = flatten(u)
        rows = zip(leaves, flatten(rate)[0], _apart(state, leaves), strict=True)
        done = [one.after(x, s, r) if is_trained(x) else (x, None) for x, r, s in rows]
        return jax.tree.unflatten(structure, [x for x, _ in done]), _together([s for _, s in done], structure, state)

    return Estimate(init, before, after)


def _scalar(rate: Any, leaf: Any) -> jax.Array:
    return jnp.array(1.0 if rate is None else rate, float_dtype(leaf))


def _together(states: list, structure: Any, like: Any) -> Any:
    """The states of the leaves, as one state whose fields are trees."""
    columns = ([None if s is None else s[k] for s in states] for k in range(len(like)))
    return type(like)(*(jax.tree.unflatten(structure, column) for column in columns))


def _apart(state: Any, leaves: list) -> list:
    """A state whose fields are trees, as the states of the leaves."""
    columns = [flatten(field)[0] for field in state]
    return [type(state)(*(column[k] for column in columns)) for k in range(len(leaves))]
