"""Decompositions of stacks: right, also under vmap; and many at once end on a machine with two cores."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.transforms.decompositions import eigh, qr, svd

MATRICES = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
MATRICES = MATRICES + MATRICES.swapaxes(-1, -2)

MANY = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import jax, numpy as np
from gradtx.transforms.decompositions import eigh
stacks = np.random.default_rng(0).normal(size=(16, 2, 4, 32, 32)).astype(np.float32)
run = jax.jit(lambda xs: [(jax.vmap(eigh)(x), x) for x in xs])
for _ in range(40):
    jax.block_until_ready(run(list(stacks)))
"""


@pytest.mark.parametrize("over", [lambda f: f, jax.vmap, lambda f: jax.vmap(jax.vmap(f))], ids=["stack", "vmap", "two"])
def test_they_are_those_of_each_matrix(over):
    """The factors have the usual properties, and give the matrix."""
    (values, vectors), q, (u, s, vh) = jax.jit(lambda x: (over(eigh)(x), over(qr)(x), over(svd)(x)))(MATRICES)
    for made in ((vectors * values[..., None, :]) @ vectors.mT, (u * s[..., None, :]) @ vh):
        np.testing.assert_allclose(made, MATRICES, atol=1e-5)
    np.testing.assert_allclose(q @ q.mT, np.broadcast_to(np.eye(4), MATRICES.shape), atol=1e-6)
    np.testing.assert_allclose(jnp.tril(q.mT @ MATRICES, -1), 0, atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the number of cores cannot be chosen here")
def test_many_at_once_end():
    """With JAX 0.10, `jnp.linalg.eigh` in place of `eigh` waits for ever here."""
    environment, root = os.environ | {"JAX_PLATFORMS": "cpu"}, Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", MANY], check=True, timeout=120, cwd=root, env=environment)
