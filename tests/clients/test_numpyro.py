"""numpyro: SVI asks for optax's own type, so ours goes in through `to_optax`; `optax_to_numpyro` takes either."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.compat import to_optax
from tests.clients.agreement import ALGORITHMS, EPS, STEPS, Client, Run, X, Y, agrees, difference, follow

numpyro = pytest.importorskip("numpyro", reason="pip install -e '.[clients]'")
pytestmark = pytest.mark.nightly

from numpyro import distributions as dist  # noqa: E402
from numpyro.infer import SVI, Trace_ELBO, autoguide  # noqa: E402


def model(x, y):
    weights = numpyro.sample("weights", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(x @ weights, noise), obs=y)


def svi(optimizer, guide=autoguide.AutoNormal):
    return SVI(model, guide(model), optimizer, Trace_ELBO(num_particles=4))


def train(tx):
    inference = svi(tx)
    state = inference.init(jax.random.key(0), X, Y[:, 0])
    return follow(lambda state: inference.update(state, X, Y[:, 0]), state, inference.get_params)


CLIENTS = [Client("numpyro", "`SVI`", train, to_optax)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_svi_trains_as_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


def test_svi_asks_for_the_type():
    with pytest.raises(TypeError, match=r"Got <class 'gradtx.*GradientTransformation'>"):
        svi(gradtx.adam(0.05))


def test_optax_to_numpyro_takes_the_value_itself():
    tx = gradtx.adam(0.05)
    wrapped = train(numpyro.optim.optax_to_numpyro(tx))
    assert difference(wrapped.params, train(to_optax(tx)).params) == 0


def plateau(lib):
    reduce = lib.reduce_on_plateau if lib is gradtx else lib.contrib.reduce_on_plateau
    return lib.chain(lib.adam(0.2), reduce(0.5, patience=2))


def test_svi_hands_the_loss_to_who_needs_it():
    mine, theirs = train(to_optax(plateau(gradtx))), train(plateau(optax))
    assert difference(mine[:2], theirs[:2]) <= 256 * EPS
    assert difference(mine.params, train(optax.adam(0.2)).params) > 1e-3  # the scale did fall


def test_optax_to_numpyro_drops_it_unless_the_type_is_optax_s():
    with pytest.raises(TypeError, match="reduce_on_plateau needs value"):
        train(numpyro.optim.optax_to_numpyro(plateau(gradtx)))


def test_a_whole_run_and_what_stable_steps_keep():
    """`SVI.run` is one scan; a stable update keeps the old state where the loss is not finite."""

    def whole(tx):
        result = svi(tx, autoguide.AutoMultivariateNormal).run(
            jax.random.key(1), STEPS, X, Y[:, 0], progress_bar=False, stable_update=True
        )
        return Run(np.asarray(result.losses), result.params, 1)

    mine, theirs = whole(to_optax(gradtx.adam(0.05))), whole(optax.adam(0.05))
    assert difference(mine[:2], theirs[:2]) <= 256 * EPS
    inference = svi(to_optax(gradtx.adam(0.05)))
    state = inference.init(jax.random.key(0), X, Y[:, 0])
    after, loss = jax.jit(inference.stable_update)(state, X, jnp.full(8, jnp.nan))
    assert not np.isfinite(loss)
    assert difference(after.optim_state, state.optim_state) == 0
