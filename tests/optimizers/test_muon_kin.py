"""Optimizers that are Muon with other parts: each against a loop of its paper in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.double import enable_x64

STEPS = 1000
SHAPE = (6, 4)  # inputs × outputs
KELLER = ((3.4445, -4.7750, 2.0315),) * 5
EXACT = (
    (8.2051, -22.9019, 16.4607),
    (4.0664, -2.8612, 0.5184),
    (3.9096, -2.8234, 0.5250),
    (3.2856, -2.4153, 0.4853),
    (2.2779, -1.6198, 0.3985),
    (1.8726, -1.2307, 0.3585),
    (1.8564, -1.2132, 0.3568),
    (1.875, -1.25, 0.375),
)


def newton_schulz(w, triples=KELLER):
    """Of W as in the papers, outputs × inputs."""
    x = w.T if w.shape[0] > w.shape[1] else w
    x = x / (np.linalg.norm(x) + 1e-7)
    for a, b, c in triples:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if w.shape[0] > w.shape[1] else x


def moonlight(w):
    return 0.2 * np.sqrt(max(w.shape))


class Nesterov:
    """The momentum of all of them."""

    def __init__(self, ahead=True, decay=0.95):
        self.mean, self.ahead, self.decay = 0.0, ahead, decay

    def __call__(self, g):
        self.mean = self.decay * self.mean + (1 - self.decay) * g
        return self.decay * self.mean + (1 - self.decay) * g if self.ahead else self.mean


def adamuon(gradients, w, ahead=True):
    n, v = Nesterov(ahead), 0.0
    for g in gradients:
        u = newton_schulz(np.sign(n(g)))
        v = 0.95 * v + 0.05 * u * u
        u = u / (np.sqrt(v) + 1e-8)
        w = w - 0.01 * (0.2 * np.sqrt(u.size) * u / np.linalg.norm(u) + 0.1 * w)
        yield w


def muon2(gradients, w, ahead=True):
    n, v = Nesterov(ahead), 0.0
    for g in gradients:
        v = 0.95 * v + 0.05 * g * g
        w = w - 0.01 * (moonlight(w) * newton_schulz(n(g) / (np.sqrt(v) + 1e-10)) + 0.1 * w)
        yield w


def rmnp(gradients, w, ahead=True):
    n, (m, k) = Nesterov(ahead), w.shape
    for g in gradients:
        x = n(g)
        u = np.stack([row / np.linalg.norm(row) for row in x])
        w = w - 0.01 * (np.sqrt(max(1.0, m / k)) * u + 0.1 * w)
        yield w


def polargrad(gradients, w):
    n = Nesterov(ahead=False)
    for g in gradients:
        x = n(g)
        u = newton_schulz(x, EXACT)
        w = w - 0.01 * np.sum(u * x) * u
        yield w


def muonh(gradients, w):
    n, radius = Nesterov(), np.linalg.norm(w)
    for g in gradients:
        u = newton_schulz(n(g))
        w = w - 0.01 * u * radius / np.linalg.norm(u)
        w = w * radius / np.linalg.norm(w)
        yield w


def scion(gradients, w, norm="spectral"):
    n, (m, k) = Nesterov(ahead=False, decay=0.9), w.shape
    for g in gradients:
        x = n(g)
        if norm == "spectral":
            u = np.sqrt(m / k) * newton_schulz(x)
        elif norm == "row":
            u = x / np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(k)
        elif norm == "column":
            u = np.sqrt(m) * x / np.linalg.norm(x, axis=0, keepdims=True)
        else:
            u = np.sign(x) / k
        w = (1 - 0.01) * w - 0.01 * 5.0 * u
        yield w


def scion_of(norm):
    return lambda gradients, w: scion(gradients, w, norm)


OTHERS = gradtx.adamw(1e-3)
CASES = {
    "adamuon": (gradtx.adamuon(0.01), adamuon),
    "muon2": (gradtx.muon2(0.01), muon2),
    "rmnp": (gradtx.rmnp(0.01), rmnp),
    "rmnp of the mean": (gradtx.rmnp(0.01, nesterov=False), lambda gradients, w: rmnp(gradients, w, ahead=False)),
    "muon2 of the mean": (gradtx.muon2(0.01, nesterov=False), lambda gradients, w: muon2(gradients, w, ahead=False)),
    "polargrad": (gradtx.polargrad(0.01, others=OTHERS), polargrad),
    "muonh": (gradtx.muonh(0.01, others=OTHERS), muonh),
    **{
        f"scion {norm}": (gradtx.scion(0.01, hidden=(norm, 5.0)), scion_of(norm))
        for norm in ("spectral", "row", "column", "sign")
    },
}


def path(tx, gradients, w, dtype, **extra):
    """The parameters after each step."""
    with enable_x64(dtype == np.float64):

        def step(carry, g):
            w, state = carry
            u, state = tx.update(g, state, w, **extra)
            w = gradtx.apply_updates(w, u)
            return (w, state), w

        w = jnp.asarray(w, dtype)
        run = jax.jit(lambda gs: jax.lax.scan(step, (w, tx.init(w)), gs)[1])
        return np.asarray(run(jnp.asarray(gradients, dtype)))


@pytest.mark.parametrize("name", CASES)
def test_the_loop_of_the_paper(name):
    """Over 1,000 steps in float32 within the bound of the docstring; over 30 in float64 to 1e-12."""
    tx, loop = CASES[name]
    random = np.random.default_rng(0)
    gradients = random.normal(size=(STEPS, *SHAPE)).astype(np.float32).astype(np.float64)
    w = random.normal(size=SHAPE).astype(np.float32).astype(np.float64)
    expected = np.stack([x.T for x in loop([g.T for g in gradients], w.T)])
    largest = np.abs(expected).max()
    error = np.abs(path(tx, gradients, w, np.float32) - expected).max() / largest
    print(f"{name}: {error:.1e}")
    assert error <= 4e-6
    assert "Within 4e-6 of the largest entry" in " ".join(tx.made_by.__doc__.split())
    exact = path(tx, gradients[:30], w, np.float64)
    np.testing.assert_allclose(exact, expected[:30], rtol=0, atol=1e-12 * largest)


@pytest.mark.parametrize("factory", [gradtx.normuon, gradtx.soap_muon], ids=lambda factory: factory.__name__)
def test_parts_of_matrices_are_refused_where_other_norms_count(factory):
    parts = gradtx.orthogonalize(devices=gradtx.owners(gradtx.split_over("x", {"w": jax.sharding.PartitionSpec("x")})))
    with pytest.raises(ValueError, match=r"polar says that leaves are parts of matrices.*use muon, muon2 or adamuon"):
        factory(0.1, polar=parts)
    gradtx.muon(0.1, polar=parts)


@pytest.mark.parametrize("name", ["normuon", "adamuon", "rmnp", "soap_muon", "muonclip"])
def test_nesterov(name):
    """It says which mean there is."""
    more = {"exponents": {"**/query": 0.5}} if name == "muonclip" else {}
    factory, params = getattr(gradtx, name), {"attn": {"query": jnp.ones((4, 4))}}
    for nesterov, there, gone in ((True, "'nesterov_ema'", "'ema'"), (False, "'ema'", "'nesterov_ema'")):
        state = jax.eval_shape(factory(0.1, nesterov=nesterov, **more).init, params)
        paths = " ".join(jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state))
        assert there in paths
        assert gone not in paths
