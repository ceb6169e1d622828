"""diffrax: a neural differential equation, trained through an adaptive solver."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from tests.clients.agreement import ALGORITHMS, Client, agrees, follow

diffrax = pytest.importorskip("diffrax", reason="pip install -e '.[clients]'")
pytestmark = pytest.mark.nightly

import equinox as eqx  # noqa: E402

TIMES = jnp.linspace(0.0, 2.0, 6)
SPIRAL = jnp.exp(-0.2 * TIMES)[:, None] * jnp.stack([jnp.cos(2 * TIMES), jnp.sin(2 * TIMES)], axis=1)


class Field(eqx.Module):
    net: eqx.nn.MLP

    def __call__(self, t, y, args):
        return self.net(y)


FIXED, ADAPTIVE = diffrax.ConstantStepSize(), diffrax.PIDController(rtol=1e-3, atol=1e-4)


def path(field, controller):
    times = diffrax.SaveAt(ts=TIMES)
    solver, term = diffrax.Tsit5(), diffrax.ODETerm(field)
    return diffrax.diffeqsolve(term, solver, 0.0, 2.0, 0.1, SPIRAL[0], saveat=times, stepsize_controller=controller).ys


def train(tx, controller=FIXED):
    field = Field(eqx.nn.MLP(2, 2, 8, 1, activation=jnp.tanh, key=jax.random.key(0)))

    def step(carry):
        field, state = carry
        value, grads = eqx.filter_value_and_grad(lambda f: jnp.mean((path(f, controller) - SPIRAL) ** 2))(field)
        updates, state = tx.update(grads, state, eqx.filter(field, eqx.is_inexact_array))
        return (eqx.apply_updates(field, updates), state), value

    carry = (field, tx.init(eqx.filter(field, eqx.is_inexact_array)))
    return follow(step, carry, lambda carry: eqx.filter(carry[0], eqx.is_array), jit=eqx.filter_jit)


CLIENTS = [Client("diffrax", "neural ODE in equinox", train)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_trains_as_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


def test_an_adaptive_solver():
    """It chooses its steps by errors near rounding, which moves gradients by 1e-4; 20 steps of training add that up."""
    mine, theirs = train(gradtx.adam(0.05), ADAPTIVE), train(optax.adam(0.05), ADAPTIVE)
    np.testing.assert_allclose(mine.losses, theirs.losses, rtol=3e-3)
    assert mine.traces == theirs.traces == 1
    assert mine.losses[-1] < mine.losses[0] / 4
