"""Training in bfloat16, end to end: where it stalls, each wrapper ends where float32 does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.apps.race.tasks import data, networks
from gradtx.precision.compensate import compensate
from gradtx.precision.master import keep_master
from gradtx.precision.rounding import round_stochastically
from gradtx.precision.split import split24

SEEDS, STEPS, BATCH = 3, 250, 32


def loss(layers, x, y):
    """Cross-entropy in float32 of a network that computes in the type of its weights."""
    scores = networks.logits(layers, x.astype(layers[0].weights.dtype))
    return networks.cross_entropy(scores.astype("float32"), y)


def ends(tx, dtype, digits):
    """The test losses at the end, one for each seed: of the start and of the batches."""

    def run(seed):
        start, batches = jax.random.split(jax.random.key(seed))
        layers = jax.tree.map(lambda p: p.astype(dtype), networks.initial(start, (64, 32, 10)))

        def body(carry, key):
            layers, state = carry
            rows = jax.random.randint(key, (BATCH,), 0, len(digits.train_y))
            grads = jax.grad(loss)(layers, digits.train_x[rows], digits.train_y[rows])
            return tx.step(grads, state, layers), None

        (layers, _), _ = jax.lax.scan(body, (layers, tx.init(layers)), jax.random.split(batches, STEPS))
        return loss(jax.tree.map(lambda p: p.astype("float32"), layers), digits.test_x, digits.test_y)

    return np.asarray(jax.jit(jax.vmap(run))(jnp.arange(SEEDS)))


@pytest.mark.slow
def test_digits():
    """Adam at a rate of 3e-4, where most steps are below half a last place of the weights."""
    digits, adam = data.load_digits(0), gradtx.adam(3e-4)
    single = ends(adam, "float32", digits)
    spread = single.std(ddof=1)
    plain = ends(adam, "bfloat16", digits)
    assert plain.mean() > single.mean() + 5 * spread
    for wrap in (functools.partial(round_stochastically, key=0), compensate, keep_master, split24):
        came = ends(wrap(adam), "bfloat16", digits)
        assert abs(came.mean() - single.mean()) < spread, wrap
