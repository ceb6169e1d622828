"""optimistix: `OptaxMinimiser` keeps the transformation as a pytree, so a rate is an argument of the compiled solve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.clients.agreement import ALGORITHMS, STEPS, Client, Run, agrees

optimistix = pytest.importorskip("optimistix", reason="pip install -e '.[peers]'")
pytestmark = pytest.mark.peers
optax = pytest.importorskip("optax", reason="pip install -e '.[peers]'")

START = {"x": jnp.array([-1.0, 2.0]), "y": jnp.array(3.0)}


def bowl(w, scale):
    return scale * jnp.sum((w["x"] - jnp.array([1.0, -2.0])) ** 2) + (w["y"] - 0.5) ** 2


def solution(tx):
    solver = optimistix.OptaxMinimiser(tx, rtol=1e-5, atol=1e-6)
    return optimistix.minimise(bowl, solver, START, args=3.0, max_steps=2000)


def train(tx):
    """The losses are of the whole solve: first and last."""
    solver = optimistix.OptaxMinimiser(tx, rtol=0.0, atol=0.0)
    traces = []

    def traced(w, scale):
        traces.append(1)
        return bowl(w, scale)

    end = optimistix.minimise(traced, solver, START, args=0.5, max_steps=STEPS, throw=False).value
    return Run(np.array([bowl(START, 0.5), bowl(end, 0.5)]), end, len(traces))


CLIENTS = [Client("optimistix", "`OptaxMinimiser`", train)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_takes_the_steps_that_it_takes_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(gradtx.adam(0.1), optax.adam(0.1)), (gradtx.sgd(0.05, 0.5), optax.sgd(0.05, 0.5))],
    ids=["adam", "sgd"],
)
def test_it_converges_where_optax_does(ours, theirs):
    got, expected = solution(ours), solution(theirs)
    np.testing.assert_allclose(got.value["x"], [1.0, -2.0], atol=1e-3)
    np.testing.assert_allclose(got.value["y"], 0.5, atol=1e-3)
    assert abs(int(got.stats["num_steps"]) - int(expected.stats["num_steps"])) <= 2


def test_a_new_rate_is_no_new_trace():
    traces = []

    @jax.jit
    def solve(tx):
        traces.append(1)
        return solution(tx).value["y"]

    for rate in (0.05, 0.1, 0.2):
        np.testing.assert_allclose(solve(gradtx.adam(jnp.asarray(rate))), 0.5, atol=1e-3)
    assert len(traces) == 1


def test_a_line_search_gets_what_optimistix_passes():
    """optimistix hands `value`, `grad` and `value_fn` to every update: optax's line search in our chain uses them."""
    tx = gradtx.chain(gradtx.sgd(1.0), search=optax.scale_by_backtracking_linesearch(max_backtracking_steps=15))
    got = solution(tx)
    np.testing.assert_allclose(got.value["x"], [1.0, -2.0], atol=1e-2)
