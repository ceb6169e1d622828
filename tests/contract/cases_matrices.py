"""Cases of what treats leaves as matrices."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

import gradtx
from tests.contract.adding import ADAM, SGD, add

TALL = np.asarray([[1.0, -2.0], [0.25, 3.0], [-0.5, 0.125]], np.float32)
WIDE = np.asarray([[0.5, 1.0, -1.5, 2.0, 0.25, -3.0, 1.0]] * 2, np.float32) + np.eye(2, 7, dtype=np.float32)
MATRICES = {"params": {"layers": [{"w": jnp.asarray(TALL)}, {"w": jnp.asarray(WIDE)}]}, "any_tree": False}
POLAR = {"eps": 1e-7, "dual_norm": False, "iterate_in": None, "devices": None}

# Its polynomial is so steep that finite differences over five steps are wrong; a test of its own has smaller ones.
steep = {**MATRICES, "smooth": False}
add("orthogonalize", gradtx.orthogonalize, coefficients="keller", **POLAR, case=steep)
add("orthogonalize-svd", gradtx.orthogonalize, coefficients="svd", **POLAR, case=MATRICES)
add("scale_by_shape", gradtx.scale_by_shape, rule="keller", outputs=-1, case=MATRICES)
add("scale_by_dion", gradtx.scale_by_dion, rank=1, momentum=0.95, seed=0, case=steep)
add("on_matrices", gradtx.on_matrices, matrices=SGD, others=ADAM, exclude=None, stacks=False)
add("on_matrices-neutral", gradtx.on_matrices, matrices=SGD, others=SGD, exclude=(), stacks=True, case={"neutral": SGD})
