"""Laws of the declared traits: what a transformation says that it can take, it takes; all else it refuses by name."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.chain import chain
from gradtx.core.pair import is_transformation
from gradtx.core.schedule import is_schedule
from gradtx.core.states import EmptyState
from gradtx.core.transformation import as_transformation
from gradtx.core.trees import is_trained
from gradtx.packing import pack, unpack
from gradtx.sparse.rows import RowSparse
from gradtx.sparse.skipped_rows import decay_skipped_rows
from gradtx.testing.case import Case, like
from gradtx.testing.compare import (
    BrokenError,
    SkippedError,
    all_finite,
    error_of,
    first_line,
    named,
    near,
    same_bits,
    same_types,
)
from gradtx.testing.law import law

RUNS = ("traceable", "updates_fit", "state_types")

ROWS, WIDTH = 7, 2
ULPS = 8  # of the largest entry
TOUCHED, AT_REST = np.array([1, 4, 6]), np.array([0, 2, 3, 5])
TABLE = np.arange(1.0, ROWS * WIDTH + 1, dtype=np.float32).reshape(ROWS, WIDTH) / 10
DENSE = np.sin(np.arange(ROWS * WIDTH, dtype=np.float32)).reshape(ROWS, WIDTH) + np.float32(0.1)
VALUES = np.asarray([[0.5, -1.0], [0.25, 2.0], [-0.75, 0.125], [0.1, 0.2]], np.float32)


@law(values_only=True, after=RUNS)
def packed_leaves(case: Case) -> None:
    """With `any_leaves` it does on packed leaves what it does on each alone; without, it refuses packed leaves."""
    packed = pack(case.params)
    if case.has("any_leaves"):
        _same_when_packed(case, packed)
        return
    grads = pack(case.gradients(1)[0], like=packed)
    # A member in front of the one that refuses may find first that the state, which is not packed, does not fit.
    misfit = (*REFUSED, "instead", "at packed_float32", "the state has codes")
    for what, call, words in (
        ("packed parameters", lambda: case.init(packed), REFUSED),
        ("parameters with a packed part", lambda: case.init({"net": packed, "scale": jnp.ones(2)}), REFUSED),
        ("packed gradients", lambda: case.update(grads, case.init(case.params), packed), misfit),
    ):
        error = error_of(call)
        if not isinstance(error, ValueError) or not any(word in str(error) for word in words):
            came = "no error" if error is None else first_line(error)
            raise BrokenError(f"it does not declare any_leaves, and {what} gave {came}; a ValueError was expected")


REFUSED = ("joined the small leaves into one vector",)


def _same_when_packed(case: Case, packed: Any) -> None:
    gradients = case.gradients(2)
    jit = "value_fn" in case.extras  # a search is slow op by op, all else is slower to compile
    history, state, params = case.run([pack(g, like=packed) for g in gradients], params=packed, jit=jit)
    expected, expected_state, expected_params = case.run(gradients, jit=jit)
    if case.is_coarse:
        what = "a step with packed leaves, unpacked,"
        same_types(what, unpack((history, params)), (expected, expected_params))
        all_finite("a step with packed leaves", (history, params))
        return
    near("the update of packed leaves, unpacked,", unpack(history), expected)
    near("the state of packed leaves, unpacked,", unpack(state), expected_state)
    near("the packed parameters, unpacked,", unpack(params), expected_params)


@law(values_only=True, after=RUNS)
def sparse_rows(case: Case) -> None:
    """With `sparse_rows` a row without gradient rests and the others step as if alone; without, it refuses rows."""
    if not case.any_tree:
        raise SkippedError("it is made for its own parameters")
    if not case.takes_rows:
        raise SkippedError("it refuses rows on purpose")
    params = {"layers": {"table": jnp.asarray(TABLE)}}
    rows = {"layers": {"table": RowSparse(jnp.asarray([6, 1, 4, 1], jnp.int32), jnp.asarray(VALUES), TABLE.shape)}}
    state = case.init(params)
    if not case.has("sparse_rows"):
        error = error_of(lambda: case.update(rows, state, params))
        if not isinstance(error, TypeError) or "gradient at layers/table row by row" not in str(error):
            came = "no error" if error is None else first_line(error)
            raise BrokenError(f"it does not declare sparse_rows, and rows gave {came}; a TypeError was expected")
        return
    for ids in (AT_REST, [4, 6, 1, 6]):  # every row has a past
        past = RowSparse(jnp.asarray(ids, jnp.int32), jnp.asarray(VALUES[::-1]), TABLE.shape)
        _, state, params = case.step({"layers": {"table": past}}, state, params)
    updates, after, new = case.step(rows, state, params)
    if not isinstance(updates["layers"]["table"], RowSparse):
        raise BrokenError("the update for rows is a whole table; rows were expected")
    before, now = {"parameters": params, "state": state}, {"parameters": new, "state": after}
    same_types("a step with rows", now, before, weak=False)
    same_bits("after a step, a row without gradient", _at_rest(now), _at_rest(before))
    summed = {"layers": {"table": jnp.asarray([VALUES[1] + VALUES[3], VALUES[2], VALUES[0]])}}
    few = _of_rows(params, TOUCHED)
    start, whole = _taken(_of_rows(state, TOUCHED), case.init(few))
    _, alone, moved = case.step(summed, start, few)
    near("the parameters of rows in a table", _of_rows(new, TOUCHED), moved, ulps=ULPS)
    came = dict(named(_of_rows(after, TOUCHED)))
    whole = whole and case.neutral is None  # what changes nothing may keep readings of whole leaves
    expected = {name: x for name, x in named(alone) if whole or jnp.shape(x)[:1] == TOUCHED.shape}
    near("the state of rows in a table", {name: came[name] for name in expected}, expected, ulps=ULPS)


@law(values_only=True, after=(*RUNS, "sparse_rows"))
def idle_factors(case: Case) -> None:
    """What it says of steps without gradient is so: a row steps as after dense gradients, zero where it had none."""
    if not (case.any_tree and case.takes_rows and case.has("sparse_rows")):
        raise SkippedError("it does not take rows")
    pieces = [piece for piece in case.inside if is_transformation(piece)]
    if any(piece.branch is not None for piece in pieces):
        raise SkippedError("it does not run in every step")
    if any(is_schedule(child) for piece in pieces for child in piece.children.values()):
        raise SkippedError("its factors may change with the steps")
    params = {"layers": {"table": jnp.asarray(TABLE)}}
    exact = case.with_tx(decay_skipped_rows(case.tx, "layers"))
    state, dense_state = exact.init(params), case.init(params)

    @jax.jit  # op by op it is much slower
    def update(grads: Any, state: Any, params: Any) -> Any:
        updates, state = exact.update({"layers": {"table": grads}}, state, params)
        return _dense(updates["layers"]["table"]), state

    @jax.jit
    def dense_update(grads: Any, state: Any, params: Any) -> Any:
        updates, state = case.update({"layers": {"table": _dense(grads)}}, state, params)
        return updates["layers"]["table"], state

    rows = [RowSparse(jnp.asarray(ids, jnp.int32), jnp.asarray(VALUES[: len(ids)]), TABLE.shape) for ids in TOUCHES]
    for k, grads in enumerate([jnp.asarray(DENSE), *rows]):
        try:
            came, state = update(grads, state, params)
        except TypeError as error:
            raise SkippedError(first_line(error)) from None
        expected, dense_state = dense_update(grads, dense_state, params)
        ids = np.asarray(TOUCHES[k - 1] if k else range(ROWS))
        near(f"step {k + 1} of rows that return", np.asarray(came)[ids], np.asarray(expected)[ids], ulps=ULPS)


@law(values_only=True, after=RUNS)
def signs(case: Case) -> None:
    """Large constant gradients move the parameters along them if the sign is 1, and against them if it is -1."""
    sign: Any = as_transformation("tx", case.tx).traits.sign
    if sign not in (1, -1):
        raise SkippedError("its sign is not known")
    if any(map(callable, case.extras.values())):
        raise SkippedError("its gradients may come from elsewhere")
    grads = like(case.params, lambda p: jnp.asarray(100.0 * (1 + np.arange(p.size).reshape(p.shape) % 3), p.dtype))
    history, _, _ = case.run([grads] * 3)
    moved = sum(float(np.sum(np.real(np.asarray(u)))) for u in jax.tree.leaves(history) if is_trained(u))
    if moved * sign < 0:
        way = "against" if sign > 0 else "along"
        raise BrokenError(
            f"its sign is {sign}, and three steps of constant gradients moved the parameters {way} them: declare "
            f"@transformation(sign={-sign}), or 0 if it may be either"
        )


@law(values_only=True, after=RUNS)
def deferred_leaves(case: Case) -> None:
    """With `leafwise` it gives the same in a traced chain, where its leaves are deferred."""
    if not case.has("leafwise"):
        raise SkippedError("it does not declare leafwise")
    grads, state, around = case.gradients(1)[0], case.init(case.params), case.with_tx(chain(of=case.tx))
    expected = jax.eval_shape(case.update, grads, state, case.params)
    updates, states = jax.jit(around.update)(grads, around.init(case.params), case.params)
    came = jax.eval_shape(lambda: (updates, states.get("of", EmptyState())))
    if jax.tree.map(lambda x: (x.shape, x.dtype), came) != jax.tree.map(lambda x: (x.shape, x.dtype), expected):
        raise BrokenError(f"it declares leafwise; alone it returns {expected}, and in a traced chain {came}")
    alone, _, _ = case.step(grads, state, case.params)
    near("the update in a traced chain, which `leafwise` lets join its leaf function,", updates, alone)


@law(values_only=True, after=RUNS)
def matrices(case: Case) -> None:
    """What needs matrices cannot have its leaves joined, and takes no rows alone."""
    if case.has("needs_matrices") and (case.has("any_leaves") or case.has("sparse_rows")):
        raise BrokenError(
            "it declares needs_matrices together with any_leaves or sparse_rows: these exclude each other"
        )


TOUCHES = [[6, 1], [4, 3], [1, 6], [0, 4]]


def _dense(table: Any) -> Any:
    return table.dense() if isinstance(table, RowSparse) else table


def _of_rows(tree: Any, rows: np.ndarray) -> Any:
    """The tree with these rows of each table in it."""
    return jax.tree.map(lambda x: np.asarray(x)[rows] if jnp.shape(x)[:1] == (ROWS,) else x, tree)


def _taken(state: Any, made: Any) -> tuple[Any, bool]:
    """The state in the shapes that were made, and whether that is all of it: fields that sample a whole leaf start
    again."""
    fits = [jnp.shape(a) == jnp.shape(b) for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(made), strict=True)]
    leaves = [a if fit else b for fit, a, b in zip(fits, jax.tree.leaves(state), jax.tree.leaves(made), strict=True)]
    return jax.tree.unflatten(jax.tree.structure(made), leaves), all(fits)


def _at_rest(tree: Any) -> dict[str, Any]:
    """The rows without gradient of each table in a tree, by its name."""
    return {name: np.asarray(x)[AT_REST] for name, x in named(tree) if jnp.shape(x)[:1] == (ROWS,)}
