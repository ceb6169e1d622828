"""jaxopt: `OptaxSolver` calls `init` and `update` alone; its solutions have implicit derivatives."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from tests.clients.agreement import ALGORITHMS, EPS, STEPS, Client, X, Y, agrees, difference, follow

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "JAXopt is no longer maintained", DeprecationWarning)
    jaxopt = pytest.importorskip("jaxopt", reason="pip install -e '.[clients]'")
pytestmark = pytest.mark.nightly

START = {"w": jnp.ones((2, 1)), "b": jnp.zeros(1)}


def ridge(params, decay, x, y):
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2) + decay * jnp.sum(params["w"] ** 2)


def train(tx):
    solver = jaxopt.OptaxSolver(ridge, tx)

    def step(carry):
        params, state = solver.update(*carry, 0.1, X, Y)
        return (params, state), state.value

    return follow(step, (START, solver.init_state(START, 0.1, X, Y)), lambda carry: carry[0])


CLIENTS = [Client("jaxopt", "`OptaxSolver`", train)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_trains_as_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


def test_a_run_is_one_program():
    """`run` jits a while loop over the whole solve."""
    mine, theirs = (
        jaxopt.OptaxSolver(ridge, lib.adam(0.05), maxiter=STEPS, tol=0.0).run(START, 0.1, X, Y)
        for lib in (gradtx, optax)
    )
    assert int(mine.state.iter_num) == STEPS
    assert difference(mine.params, theirs.params) <= 256 * EPS


def test_derivatives_of_the_solution():
    def solution(decay, tx):
        solver = jaxopt.OptaxSolver(ridge, tx, maxiter=300, tol=1e-5, implicit_diff=True)
        return jnp.sum(solver.run(START, decay, X, Y).params["w"])

    mine, theirs = (jax.grad(solution)(0.1, lib.sgd(0.3, 0.5)) for lib in (gradtx, optax))
    h = 1e-2
    slope = (solution(0.1 + h, gradtx.sgd(0.3, 0.5)) - solution(0.1 - h, gradtx.sgd(0.3, 0.5))) / (2 * h)
    np.testing.assert_allclose(mine, theirs, rtol=1e-4)
    np.testing.assert_allclose(mine, slope, rtol=2e-2)


def test_a_sweep_over_rates():
    """The solver is made where the transformation is known: inside vmap, from a rate that is mapped over."""

    def final(rate):
        solver = jaxopt.OptaxSolver(ridge, gradtx.adam(rate), maxiter=STEPS, tol=0.0)
        return solver.run(START, 0.1, X, Y).state.value

    rates = jnp.array([0.01, 0.05, 0.2])
    np.testing.assert_allclose(jax.vmap(final)(rates), [final(rate) for rate in rates], rtol=1e-5)
