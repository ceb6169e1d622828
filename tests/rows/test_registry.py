"""Every registered transformation on gradients that name their rows: lazily, or refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core.rows import RowSparse
from tests.contract.registry import CASES

N, D = 7, 2
ROWS = np.array([1, 4, 6])
OTHERS = np.array([0, 2, 3, 5])
PARAMS = {"layers": {"table": jnp.arange(1.0, N * D + 1).reshape(N, D) / 10}}
DENSE = {"layers": {"table": jnp.sin(jnp.arange(N * D, dtype=jnp.float32)).reshape(N, D) + 0.1}}
VALUES = jnp.asarray([[0.5, -1.0], [0.25, 2.0], [-0.75, 0.125], [0.1, 0.2]])
SPARSE = {"layers": {"table": RowSparse([6, 1, 4, 1], VALUES, (N, D))}}
SUMMED = {"layers": {"table": jnp.stack([VALUES[1] + VALUES[3], VALUES[2], VALUES[0]])}}


def without_rows(case):
    """One that was told that no leaf has such gradients refuses them on purpose."""
    return case.tx.name == "decay_skipped_rows"


KNOWN = {name: case for name, case in CASES.items() if case.is_value and case.any_tree and not without_rows(case)}
TAKES = [name for name, case in KNOWN.items() if case.tx._has("sparse_rows")]
REFUSES = [name for name, case in KNOWN.items() if not case.tx._has("sparse_rows")]


def of_rows(tree, rows):
    """The tree with these rows only, where it has a row for each of the table's."""
    return jax.tree.map(lambda x: x[rows] if jnp.shape(x)[:1] == (N,) else x, tree)


def learned(state):
    """The state without the readings of a watch, which are of whole leaves."""
    return state.inner if isinstance(state, gradtx.WatchState) else state


def of_rows_alone(case, state, params):
    """The state, as if these rows were the whole table."""
    cut = of_rows(learned(state), ROWS)
    return case.init(of_rows(params, ROWS))._replace(inner=cut) if isinstance(state, gradtx.WatchState) else cut


@pytest.mark.parametrize("name", TAKES)
def test_rows_without_gradient_rest_and_the_others_are_as_if_alone(name):
    case = CASES[name]
    state = case.init(PARAMS)
    _, state, params = case.eager_step(DENSE, state, PARAMS)
    updates, after, new = case.eager_step(SPARSE, state, params)
    assert isinstance(updates["layers"]["table"], RowSparse)
    for old_leaf, new_leaf in zip(jax.tree.leaves((params, state)), jax.tree.leaves((new, after)), strict=True):
        assert (old_leaf.shape, old_leaf.dtype) == (new_leaf.shape, new_leaf.dtype)
        if old_leaf.shape[:1] == (N,):
            np.testing.assert_array_equal(old_leaf[OTHERS], new_leaf[OTHERS])
    _, alone, moved = case.eager_step(SUMMED, of_rows_alone(case, state, params), of_rows(params, ROWS))
    got_all, want_all = of_rows((new, learned(after)), ROWS), (moved, learned(alone))
    for got, want in zip(jax.tree.leaves(got_all), jax.tree.leaves(want_all), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", REFUSES)
def test_who_looks_at_whole_leaves_says_so(name):
    case = CASES[name]
    state = case.init(PARAMS)
    with pytest.raises(TypeError, match=r"\w+ cannot take the RowSparse gradient at layers/table row by row: give its"):
        case.update(SPARSE, state, PARAMS)


def test_there_are_both():
    assert len(TAKES) > 60
    assert len(REFUSES) > 40
