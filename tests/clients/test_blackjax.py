"""blackjax: variational inference, Stein's particles and the ChEES adaptation call `init` and `update` alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from tests.clients.agreement import ALGORITHMS, EPS, STEPS, Client, agrees, difference, follow

blackjax = pytest.importorskip("blackjax", reason="pip install -e '.[clients]'")
pytestmark = pytest.mark.nightly


def logdensity(position):
    """A correlated Gaussian about (1, -1) and 0.5."""
    x, y = position["x"] - jnp.array([1.0, -1.0]), position["y"] - 0.5
    return -0.5 * (x @ jnp.array([[2.0, 0.6], [0.6, 1.0]]) @ x + 3.0 * y**2)


POSITION = {"x": jnp.zeros(2), "y": jnp.zeros(())}
KEYS = jax.random.split(jax.random.key(0), STEPS)


def variational(family, read):
    def train(tx):
        algorithm = family(logdensity, tx, 8)

        def step(carry):
            k, state = carry
            state, info = algorithm.step(KEYS[k], state)
            return (k + 1, state), info.elbo

        return follow(step, (0, algorithm.init(POSITION)), lambda carry: read(carry[1]))

    return train


def stein(tx):
    """The loss is the distance of the particles' mean from the target's."""
    algorithm = blackjax.svgd(jax.grad(logdensity), tx)
    x = jax.random.normal(jax.random.key(2), (16, 2))
    state = algorithm.init({"x": x, "y": x[:, 0]})

    def step(state):
        state = algorithm.step(state)
        return state, jnp.sum((state.particles["x"].mean(axis=0) - jnp.array([1.0, -1.0])) ** 2)

    return follow(step, state, lambda state: state.particles)


CLIENTS = [
    Client("blackjax", "`meanfield_vi`", variational(blackjax.meanfield_vi, lambda s: (s.mu, s.rho))),
    Client("blackjax", "`fullrank_vi`", variational(blackjax.fullrank_vi, lambda s: (s.mu, s.chol_params))),
    Client("blackjax", "`svgd`", stein),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.entry.strip("`"))
def test_it_trains_as_with_optax(client, algorithm):
    agrees(client, algorithm)


def test_the_chees_adaptation():
    """It keeps a state of the optimizer in a scan, made from one scalar, and goes back to the old one at times."""

    def adapted(tx):
        adaptation = blackjax.chees_adaptation(logdensity, num_chains=8)
        positions = jax.vmap(lambda k: {"x": jax.random.normal(k, (2,)), "y": jax.random.normal(k)})(KEYS[:8])
        (states, _), info = adaptation.run(jax.random.key(3), positions, 0.1, tx, 30)
        return states.position, info.adaptation_state.trajectory_length, info.adaptation_state.step_size

    mine, theirs = adapted(gradtx.adam(0.02)), adapted(optax.adam(0.02))
    assert difference(mine, theirs) <= 256 * EPS
    assert np.std(np.log(mine[1][10:])) > 1e-3  # the lengths did change
