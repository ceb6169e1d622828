"""Five gradients of 1e19, 1e25 and 1e38 against float64: what is not the same number has its bound in a docstring."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.catalog import ENTRIES
from gradtx.double_precision import double_precision
from tests.catalog.pieces import pieces

SIZES = (1e19, 1e25, 1e38)
FACTORS = {"the same": [1.0, 1.0, 1.0, 1.0, 1.0], "others": [1.0, -0.5, 0.25, 1.0, -1.0]}
ENTRY = np.array([1.0, -1.0, 0.5, 0.7])
WEIGHTS = np.array([1.0, 2.0, -3.0, 0.5])
MOST = float(np.finfo(np.float32).max)


def parts(tx):
    """The pieces of which a transformation is made, but for a learning rate."""
    made = [piece for piece in pieces(tx) if piece.piece is piece]
    return tuple(repr(piece) for piece in made if piece.made_by.__name__ not in ("chain", "scale_by_learning_rate"))


# What treats leaves as matrices is tried elsewhere: gradients that are multiples of one matrix are diagonal in its
# singular vectors, and what is divided there besides the diagonal is rounding. What is made of the same is tried once.
GIVEN = {
    parts(e.make(setting)): (e, setting)
    for e in ENTRIES.values()
    for setting in e.settings
    if e.kind in ("piece", "recipe") and not (e.make(setting).extras.needed or e.make(setting).traits.needs_matrices)
}


def steps(tx, gradients, dtype):
    """The updates, and the largest number of the states, for each sequence of gradients, in a precision."""

    def step(carry, g):
        w, state = carry
        u, state = tx.update(g, state, w)
        sizes = [jnp.max(jnp.abs(x)) for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)]
        return (w, state), (u, jnp.max(jnp.array([0.0, *sizes])))

    @jax.jit
    def sequence(gs):
        w = jnp.asarray(WEIGHTS.reshape(2, 2), dtype)
        return jax.lax.scan(step, (w, tx.init(w)), gs)[1]

    with double_precision():
        found = [sequence(gs) for gs in gradients.reshape(-1, 5, 2, 2).astype(dtype)]
        return tuple(np.stack([np.asarray(x, np.float64) for x in xs]) for xs in zip(*found, strict=True))


def cut_at(docs):
    """The size to which the docstrings say that gradients are cut; what they print is rounded."""
    found = re.search(r"[Gg]radients\s+above\s+(\S+)\s+\(float32\)\s+count\s+as", docs)
    shares = {f"{math.sqrt(MOST) * 2.0**-k:.1e}".replace("+", ""): math.sqrt(MOST) * 2.0**-k for k in range(40)}
    return shares[found[1]] if found else None


@pytest.mark.parametrize(("entry", "setting"), GIVEN.values(), ids=[f"{e.name} {s}".strip() for e, s in GIVEN.values()])
def test_right_or_bound_stated(entry, setting):
    tx = entry.make(setting)
    docs = "\n".join(piece.made_by.__doc__ for piece in pieces(tx))
    limit = cut_at(docs)
    gradients = np.stack([np.outer(f, ENTRY) * size for size in SIZES for f in FACTORS.values()])
    came, _ = steps(tx, gradients, "float32")
    cut = np.clip(gradients, -limit, limit) if limit else gradients[:0]
    wide, states = steps(tx, np.concatenate([gradients, cut]), "float64")  # in one program
    true = wide[: len(gradients)]
    counted = wide[len(gradients) :] if limit else true
    told = "its docstring must say where gradients are cut: `Gradients above 1.8e19 (float32) count as 1.8e19.`"
    for k, gs in enumerate(gradients):
        for step, u in enumerate(came[k]):
            alike = functools.partial(np.isclose, u, rtol=1e-4, atol=1e-5 * np.max(np.abs(true[k, step])))
            vanishes = (u == 0) & ("8e37" in docs and np.linalg.norm(gs[step]) > 8e36)  # bounds are 0.1 or more
            overflows = "infinite" in docs and states[k, step] + np.max(np.abs(gs[step])) > MOST
            least, most = (1 - 1e-5) * counted[k, step], (step + 1 + 1e-4) ** 0.5 * counted[k, step]
            stops = ("by at most √k" in docs) & (np.abs(u) >= np.abs(least)) & (np.abs(u) <= np.abs(most))
            right = alike(true[k, step]) | alike(counted[k, step]) | vanishes | overflows | stops
            assert right.all(), f"{tx} for gradients of {gs[: step + 1, 0]}: {told}"
