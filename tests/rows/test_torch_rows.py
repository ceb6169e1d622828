"""torch's SparseAdam: lazily, as here; the bound is that of Adam's test."""

import numpy as np
import pytest

import gradtx
from gradtx.sparse.rows import RowSparse

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

N, D, K, STEPS = 20, 4, 6, 100


def test_lazy_adam_is_torchs_sparse_adam():
    """Within 2e-6 of parameters of size 1, over 100 steps of random rows, some of them twice a step."""
    import jax
    import jax.numpy as jnp

    random = np.random.default_rng(0)
    start = random.normal(size=(N, D)).astype(np.float32)
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.SparseAdam([theirs], lr=0.01, betas=(0.9, 0.99), eps=1e-8)
    tx = gradtx.adam(0.01, b1=0.9, b2=0.99, eps=1e-8)
    ours = jnp.asarray(start)
    state = tx.init(ours)
    step = jax.jit(lambda p, s, i, v: tx.step(RowSparse(i, v, (N, D)), s, p))
    for _ in range(STEPS):
        ids = random.integers(0, N, K)
        values = random.normal(size=(K, D)).astype(np.float32)
        theirs.grad = torch.sparse_coo_tensor(
            torch.from_numpy(ids)[None], torch.from_numpy(values), (N, D), check_invariants=True
        )
        optimizer.step()
        ours, state = step(ours, state, jnp.asarray(ids, jnp.int32), jnp.asarray(values))
    assert np.abs(np.asarray(ours) - start).max() > 0.1
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=2e-6)
