"""gpjax: `fit` asks for optax's own type, so ours goes in through `to_optax`; its models are equinox modules."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.compat import to_optax
from tests.clients.agreement import ALGORITHMS, STEPS, Client, Run, X, Y, agrees, difference

gpjax = pytest.importorskip("gpjax", reason="pip install -e '.[clients]'")
pytestmark = pytest.mark.nightly

import equinox  # noqa: E402


def posterior():
    prior = gpjax.gps.Prior(mean_function=gpjax.mean_functions.Constant(), kernel=gpjax.kernels.RBF())
    return prior * gpjax.likelihoods.Gaussian(obs_stddev=0.3)


def fit(tx, **options):
    traces = []

    def objective(model, data):
        traces.append(1)
        return -gpjax.objectives.conjugate_mll(model, data)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[Xy] is not of type float64")
        model, losses = gpjax.fit(
            model=posterior(),
            objective=objective,
            train_data=gpjax.Dataset(X=X, y=Y),
            optim=tx,
            num_iters=STEPS,
            verbose=False,
            **options,
        )
    return Run(np.asarray(losses), equinox.filter(model, equinox.is_array), len(traces))


CLIENTS = [Client("gpjax", "`fit`", fit, to_optax, slack=4)]  # a Cholesky factor between loss and parameters


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_fits_as_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


def test_it_asks_for_the_type_unless_told_not_to():
    tx = gradtx.adam(0.05)
    with pytest.raises(TypeError, match=r"optax\.GradientTransformation"):
        fit(tx)
    assert difference(fit(tx, safe=False), fit(to_optax(tx))) == 0


def test_a_part_of_the_model_is_held_by_its_path():
    mine = fit(to_optax(gradtx.freeze(gradtx.adam(0.05), "prior/kernel")))
    free = fit(to_optax(gradtx.adam(0.05)))
    start = equinox.filter(posterior(), equinox.is_array)
    assert difference(mine.params.prior.kernel, start.prior.kernel) == 0
    assert difference(free.params.prior.kernel, start.prior.kernel) > 1e-2
    assert float(jnp.max(jnp.abs(mine.params.prior.mean_function.constant - 0.0))) > 0
