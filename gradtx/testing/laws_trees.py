"""Laws of trees: every shape of tree works, and what does not fit is an error that names the leaf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.leaves import apply_updates
from gradtx.core.trees import flatten
from gradtx.testing.case import Case
from gradtx.testing.compare import (
    BrokenError,
    SkippedError,
    all_finite,
    error_of,
    first_line,
    named,
    same_bits,
    same_results,
    same_structure,
)
from gradtx.testing.law import law


@jax.tree_util.register_pytree_with_keys_class
class Node:
    """A container that JAX knows by registration only, with a static part."""

    def __init__(self, left: Any, right: Any, label: str = "node"):
        self.left, self.right, self.label = left, right, label

    def tree_flatten_with_keys(self):
        """The children with their names."""
        key = jax.tree_util.GetAttrKey
        return ((key("left"), self.left), (key("right"), self.right)), self.label

    @classmethod
    def tree_unflatten(cls, label: str, children: tuple[Any, Any]) -> Node:
        """A node of these children."""
        return cls(*children, label)


class StrangeState(NamedTuple):
    """A state that no transformation has."""

    strange: Any


@law(after=("traceable", "updates_fit"))
def empty_trees(case: Case) -> None:
    """Trees without leaves work."""
    for tree in ({}, (), {"a": [], "b": {}}):
        updates, state = case.update(tree, case.init(tree), tree)
        same_structure("the update of an empty tree", updates, tree)
        same_structure("the state of an empty tree", state, case.init(tree))


@law(after=("traceable", "updates_fit"))
def odd_trees(case: Case) -> None:
    """Scalars, leaves of no size, deep trees, registered containers, None, and a bare array work."""
    w = jnp.asarray([1.0, -2.0])
    deep: Any = jnp.asarray(0.5)
    for _ in range(20):
        deep = [deep]
    _require_any_tree(case)
    odd = {"none": None, "scalar": jnp.asarray(2.0), "void": jnp.zeros((0, 3)), "deep": deep, "node": Node(w, w)}
    history, _, _ = case.run(case.gradients(2, odd), params=odd)
    all_finite("the update of an odd tree", history[-1])
    for params in (odd, w, (w, [w])):
        before = jax.eval_shape(case.init, params)
        update, state, after = case.step.eval_shape(case.gradients(1, params)[0], before, params)
        same_structure("the update", update, params)
        same_structure("the parameters after a step", after, params)
        same_structure("the state after update", state, before)


@law(after=("traceable", "updates_fit"))
def integers_pass(case: Case) -> None:
    """Integers and booleans among the parameters are not trained: their updates pass untouched."""
    _require_any_tree(case)
    odd = {"count": jnp.asarray([1, 2, 3]), "flag": jnp.asarray([True, False])}
    passed = {"count": jnp.asarray([4, 5, 6]), "flag": jnp.asarray([False, False])}
    params = {**odd, "w": jnp.asarray([1.0, -2.0])}
    grads = {**passed, "w": jnp.asarray([0.5, 0.25])}

    def update(w: Any, g: Any) -> Any:
        now = {**params, "w": w}
        updates, _ = case.update({**grads, "w": g}, case.init(now), now)
        came.update({k: updates[k] for k in odd})

    came: dict[str, Any] = {}
    jax.eval_shape(update, params["w"], grads["w"])
    if any(came[k] is not passed[k] for k in odd):
        update(params["w"], grads["w"])
        same_bits("the update of untrained leaves", came, passed)


@law(values_only=True, after=("traceable", "updates_fit"))
def untrained_leaves_pass(case: Case) -> None:
    """Integers, booleans, keys and None pass untouched, have no state, and keep their value."""
    _require_ours(case)
    _require_any_tree(case)
    odd = {"count": jnp.asarray([1, 2, 3]), "flag": jnp.asarray(True), "key": jax.random.key(1), "none": None}
    given = {"count": np.zeros(3, jax.dtypes.float0), "flag": None, "key": jax.random.key(2), "none": None}

    nothing = dict.fromkeys(odd)  # as many leaves, by whose number random numbers are drawn

    def alone(w: Any, g: Any) -> Any:
        params = {"w": w, **nothing}
        state = case.init(params)
        updates, _ = case.update({"w": g, **nothing}, state, params)
        return jax.tree.leaves(state), apply_updates(params, updates)["w"], updates["w"]

    def beside(w: Any, g: Any) -> Any:
        params, state = {"w": w, **odd}, case.init({"w": w, **odd})
        if len(jax.tree.leaves(state)) != len(jax.tree.leaves(jax.eval_shape(case.init, {"w": w}))):
            raise BrokenError(f"the state has leaves for what is not trained: {[name for name, _ in named(state)]}")
        updates, _ = case.update({"w": g, **given}, state, params)
        if any(updates[k] is not given[k] for k in odd):
            raise BrokenError(f"the updates of untrained leaves became { {k: updates[k] for k in odd} }")
        after = apply_updates(params, updates)
        if any(after[k] is not params[k] for k in odd):
            raise BrokenError(f"the untrained leaves became { {k: after[k] for k in odd} }")
        return jax.tree.leaves(state), after["w"], updates["w"]

    values = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 0.25])
    same_results("the state and the update next to untrained leaves", beside, alone, *values)


@law(values_only=True)
def mismatches_are_errors(case: Case) -> None:
    """A gradient that does not fit its parameter is a ValueError or TypeError that names the leaf."""
    params, state = case.params, case.init(case.params)
    found = [_complaint(case, what, path, grads, state, params) for what, path, grads in _misfits(case)]
    complaints = [complaint for complaint in found if complaint]
    if complaints:
        raise BrokenError("; ".join(complaints))


@law(values_only=True)
def wrong_states_are_errors(case: Case) -> None:
    """A state of something else, and updates and state in the wrong order, are errors that say so."""
    grads, state = case.gradients(1)[0], case.init(case.params)
    calls = (
        ("a state of another type", lambda: case.update(grads, StrangeState(grads), case.params), ("state",)),
        ("None for a state", lambda: case.update(grads, None, case.params), ("state",)),
        ("swapped arguments", lambda: case.update(state, grads, case.params), ("swapped", "state", "no gradient")),
    )
    for what, call, words in calls:
        if what == "None for a state" and not jax.tree.leaves(state):
            continue  # it has none to lose
        error = error_of(call)
        if not isinstance(error, ValueError | TypeError) or not any(word in str(error) for word in words):
            came = "no error" if error is None else first_line(error)
            raise BrokenError(f"{what} gave {came}; an error that speaks of the state was expected")


@law(values_only=True)
def states_of_other_params_are_errors(case: Case) -> None:
    """A state made for parameters of another shape is an error that names the leaf."""
    _require_ours(case)
    _require_any_tree(case)
    name, leaf = _matrix(case.params)
    other = _with(case.params, leaf, jnp.ones((*leaf.shape, 2), leaf.dtype))
    grads, state = case.gradients(1)[0], jax.eval_shape(case.init, other)
    shapes = [np.shape(x) for x in jax.tree.leaves(state)]
    if shapes == [np.shape(x) for x in jax.tree.leaves(jax.eval_shape(case.init, case.params))]:
        raise SkippedError("its state does not depend on the shapes")
    error = error_of(lambda: jax.eval_shape(case.update, grads, state, case.params))
    if error is None or name not in str(error):  # a branch that is traced may fail for another reason
        error = error_of(lambda: case.update(grads, case.init(other), case.params))
    if not isinstance(error, ValueError | TypeError) or name not in str(error):
        came = "no error" if error is None else first_line(error)
        raise BrokenError(
            f"a state whose {name} has another shape gave {came}; an error that names {name} was expected"
        )


@law(values_only=True, after=("traceable", "updates_fit"))
def extras_are_checked(case: Case) -> None:
    """An extra argument that nobody declares is an error that names it; those that others always pass are taken."""
    grads, state = case.gradients(1)[0], case.init(case.params)
    error = error_of(lambda: case.tx.update(grads, state, case.params, **case.extras, no_such_extra=1.0))
    if case.tx.extras.anything and case.holds_foreign:
        raise SkippedError("another library's transformation inside takes any extra argument")
    if not isinstance(error, TypeError) or "no_such_extra" not in str(error):
        raise BrokenError("an unknown extra argument was taken, or not named")
    always = {"value": 1.0, "grad": grads, "value_fn": None, **case.extras}
    jax.eval_shape(lambda *given: case.tx.update(*given, **always), grads, state, case.params)


def _require_any_tree(case: Case) -> None:
    if not case.any_tree:
        raise SkippedError("it is made for its own parameters")


def _require_ours(case: Case) -> None:
    if case.holds_foreign:
        raise SkippedError("another library's transformation is inside")


def _misfits(case: Case) -> Iterator[tuple[str, str, Any]]:
    """Gradients that do not fit: what is wrong, the path of the leaf, the tree."""
    grads = case.gradients(1)[0]
    name, leaf = _matrix(grads)
    yield "a leaf of another shape", name, _with(grads, leaf, jnp.zeros((*leaf.shape, 1), leaf.dtype))
    yield "a leaf that would be broadcast", name, _with(grads, leaf, jnp.zeros((), leaf.dtype))
    yield "None for a gradient", name, _with(grads, leaf, None)
    yield "a string", name, _with(grads, leaf, "gradient")
    yield "a function", name, _with(grads, leaf, jnp.sin)
    yield "integers", name, _with(grads, leaf, jnp.zeros(leaf.shape, int))
    if isinstance(grads, dict) and grads:
        first, last = min(grads), max(grads)
        yield "a missing leaf", first, {k: v for k, v in grads.items() if k != first}
        yield "an extra leaf", "extra", {**grads, "extra": grads[last]}
    yield "None for the whole tree", "", None


def _complaint(case: Case, what: str, path: str, grads: Any, state: Any, params: Any) -> str:
    error = error_of(lambda: case.update(grads, state, params))
    if error is None:
        return f"{what} at {path} was taken; an error was expected"
    if not isinstance(error, ValueError | TypeError) or path not in str(error):
        return f"{what} at {path} raised {first_line(error)}; the error does not name {path}"
    return ""


def _matrix(tree: Any) -> tuple[str, Any]:
    """The name and value of the leaf with the most axes."""
    leaves = [(name, jnp.asarray(x)) for name, x in named(tree) if jnp.issubdtype(jnp.result_type(x), jnp.inexact)]
    if not leaves:
        raise SkippedError("there is no trained leaf to try it on")
    name, _ = max(leaves, key=lambda row: row[1].ndim)
    return name, dict(named(tree))[name]


def _with(tree: Any, leaf: Any, new: Any) -> Any:
    leaves, structure = flatten(tree)
    return jax.tree.unflatten(structure, [new if x is leaf else x for x in leaves])
