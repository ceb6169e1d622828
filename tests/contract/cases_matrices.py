"""Cases of what treats leaves as matrices."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

import gradtx
from tests.contract.adding import ADAM, SGD, add

TALL = np.asarray([[1.0, -2.0], [0.25, 3.0], [-0.5, 0.125]], np.float32)
WIDE = np.asarray([[0.5, 1.0, -1.5, 2.0, 0.25, -3.0, 1.0]] * 2, np.float32) + np.eye(2, 7, dtype=np.float32)
MATRICES = {"params": {"layers": [{"w": jnp.asarray(TALL)}, {"w": jnp.asarray(WIDE)}]}, "any_tree": False}
POLAR = {"eps": 1e-7, "dual_norm": False, "iterate_in": None, "preconditioning": "frobenius", "devices": None}

# Its polynomial is so steep that finite differences over five steps are wrong; a test of its own has smaller ones.
steep = {**MATRICES, "smooth": False}
add("orthogonalize", gradtx.orthogonalize, coefficients="keller", **POLAR, case=steep)
add("orthogonalize-svd", gradtx.orthogonalize, coefficients="svd", **POLAR, case=MATRICES)
add("scale_by_shape", gradtx.scale_by_shape, rule="keller", outputs=-1, devices=None, case=MATRICES)
add("scale_by_dion", gradtx.scale_by_dion, rank=1, momentum=0.95, key=0, devices=None, case=steep)
add("on_matrices", gradtx.on_matrices, matrices=SGD, others=ADAM, exclude=None, stacks=False)
add("on_matrices-neutral", gradtx.on_matrices, matrices=SGD, others=SGD, exclude=(), stacks=True, case={"neutral": SGD})

KERNEL = jnp.asarray(np.linspace(-1.0, 2.0, 12, dtype=np.float32).reshape(3, 2, 2))
ATTENTION = {"attn": {"query": {"kernel": KERNEL}, "key": {"kernel": 0.5 * KERNEL}, "value": {"kernel": -KERNEL}}}
CLIPPED = {
    "params": ATTENTION,
    "extras": {"max_logits": {"attn": jnp.asarray([200.0, 50.0], jnp.float32)}},
    "any_tree": False,
    "needs_params": True,
}
CLIP = {"exponents": {"**/query/kernel": 0.5, "**/key/kernel": 0.5}, "threshold": 100.0, "heads": -2}
add("qk_clip", gradtx.qk_clip, **CLIP, case=CLIPPED)
add(
    "muonclip",
    gradtx.muonclip,
    learning_rate=1e-3,
    momentum=0.95,
    nesterov=True,
    **CLIP,
    outputs=-1,
    weight_decay=0.1,
    others=None,
    exclude=None,
    frame=gradtx.frames.matrices(rows=0, columns=2),
    case={**CLIPPED, "smooth": False},
)
# Its steps land on a sphere, to a rounding of the parameters; the usual ones are so short that this is seen.
add(
    "muonh",
    gradtx.muonh,
    learning_rate=0.03,
    momentum=0.95,
    nesterov=True,
    polar=gradtx.orthogonalize(coefficients="keller", **POLAR),
    others=ADAM,
    exclude=None,
    frame=None,
    case={"needs_params": True, "smooth": False},
)
# With an eps that leaves no small eigenvalues: their eigenvectors depend on rounding.
ROOTS = {"b2": 0.9, "eps": 1e-2, "power": 0.25, "block_size": 2, "every": 2, "start": 0, "vectors": "diagonal"}
add("scale_by_shampoo", gradtx.scale_by_shampoo, **ROOTS, case={"smooth": False})
