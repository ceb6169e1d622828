"""netket: ground states by variational Monte Carlo, with complex parameters."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from tests.clients.agreement import ALGORITHMS, EPS, STEPS, Client, Run, agrees, difference

os.environ["NETKET_ENABLE_X64"] = "0"  # its import would switch the whole process to float64
os.environ["NETKET_SHARDING"] = "0"  # the eight devices are simulated
nk = pytest.importorskip("netket", reason="pip install -e '.[clients]'")
pytestmark = pytest.mark.nightly

HILBERT = nk.hilbert.Spin(0.5, 5)
ISING = nk.operator.IsingJax(HILBERT, nk.graph.Chain(5), h=1.0)


def state(sampled=False):
    machine = nk.models.RBM(alpha=1, param_dtype=jnp.complex64)
    if sampled:
        return nk.vqs.MCState(nk.sampler.ExactSampler(HILBERT), machine, n_samples=64, seed=1, sampler_seed=2)
    return nk.vqs.FullSumState(HILBERT, machine, seed=1)


def train(tx, sampled=False, **options):
    psi, log = state(sampled), nk.logging.RuntimeLog()
    nk.VMC(ISING, tx, variational_state=psi, **options).run(STEPS, out=log, show_progress=False)
    return Run(np.asarray(log.data["Energy"]["Mean"].real, np.float32), psi.parameters, 1)


CLIENTS = [Client("netket", "`VMC`, complex parameters", train, slack=4)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_trains_as_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


def test_parameters_stay_complex_and_second_moments_are_real():
    run = train(gradtx.adam(0.05))
    assert {x.dtype for x in jax.tree.leaves(run.params)} == {jnp.dtype("complex64")}
    second = gradtx.adam(0.05).init(run.params)["scale_by_adam"].nu
    assert {x.dtype for x in jax.tree.leaves(second)} == {jnp.dtype("float32")}
    assert not jax.config.jax_enable_x64


def test_natural_gradients_and_sampled_energies():
    options = {"sampled": True, "preconditioner": nk.optimizer.SR(diag_shift=0.05, holomorphic=True)}
    mine, theirs = train(gradtx.sgd(0.0625), **options), train(optax.sgd(0.0625), **options)
    assert difference(mine[:2], theirs[:2]) <= 64 * EPS
    assert mine.losses[-1] < mine.losses[0]
