"""Muon against the loops of the papers in float64, what its iterations do to singular values, which leaves it takes."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import frames
from gradtx.layout import JoinedLeavesError
from gradtx.transforms.newton_schulz import COEFFICIENTS, iterated
from tests.double import enable_x64

KELLER = ((3.4445, -4.7750, 2.0315),) * 5
RANGES = {
    "keller": (0.68, 1.14),
    "polar_express": (0.85, 1.15),
    "polar_express_8": (0.999, 1.001),
    "quintic": (0.977, 1.032),
    "cans": (0.88, 1.13),
    "cubic": (0.77, 1.31),
    "deepseek": (0.999, 1.001),
    "newton_schulz": (0.999, 1.001),
}


def polar(x, triples=KELLER, eps=1e-7):
    """The iteration of one matrix, as published: on the wide side, from X/(‖X‖ + eps)."""
    y = x.T if x.shape[0] > x.shape[1] else x
    y = y / (np.linalg.norm(y) + eps)
    for a, b, c in triples:
        gram = y @ y.T
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y.T if x.shape[0] > x.shape[1] else y


def with_singular_values(s, n, seed=0):
    random = np.random.default_rng(seed)
    u = np.linalg.qr(random.normal(size=(len(s), len(s))))[0]
    v = np.linalg.qr(random.normal(size=(n, len(s))))[0]
    return u @ np.diag(s) @ v.T


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_ranges_of_singular_values(name):
    """The ranges that the docstring states, for values in [.01, 1] after the division by the norm."""
    assert RANGES.keys() == COEFFICIENTS.keys()
    low, high = RANGES[name]
    s = np.geomspace(0.01, 1.0, 20_001)
    for a, b, c in COEFFICIENTS[name]:
        s = a * s + b * s**3 + c * s**5
    assert low <= s.min()
    assert s.max() <= high
    assert (s.max() - s.min()) > 0.8 * (high - low) or high - low < 0.01


@pytest.mark.parametrize("shape", [(24, 24), (16, 40), (40, 16), (16, 64), (64, 16)])
def test_iteration_is_the_published_one(shape):
    """In float64 to 1e-12, for square and wide ones, and those whose small square products are iterated."""
    x = np.random.default_rng(1).normal(size=shape)
    with enable_x64(True):
        for name in ("keller", "polar_express", "cubic"):
            tx = gradtx.orthogonalize(name)
            u, _ = jax.jit(tx.update)(x, ())
            np.testing.assert_allclose(u, polar(x, COEFFICIENTS[name]), rtol=0, atol=1e-12)


SPECTRA = {
    "three decades": np.geomspace(1e-3, 1.0, 32) / 4,
    "six decades": np.geomspace(1e-6, 1.0, 32) / 4,
    "low rank": np.r_[np.ones(4), np.zeros(28)] / 2,
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_small_products_in_single_precision(name, spectrum):
    """Within 1e-3 of exact arithmetic."""
    x = with_singular_values(SPECTRA[spectrum], 128)
    u = iterated(jnp.asarray(x, jnp.float32), COEFFICIENTS[name])
    for a, b, c in COEFFICIENTS[name]:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    np.testing.assert_allclose(u, x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in COEFFICIENTS if name != "cans"])
def test_half_precision_stays_in_range(name):
    """Wide and square, of full and of low rank: no singular value above the range by more than .02."""
    update = jax.jit(gradtx.orthogonalize(name, iterate_in="bfloat16").update)
    low_rank = with_singular_values(SPECTRA["low rank"], 128)
    gaussian = np.random.default_rng(0).normal(size=(32, 32))
    for x in (low_rank, gaussian, with_singular_values(SPECTRA["six decades"], 128)):
        largest = np.linalg.norm(np.asarray(update(np.float32(x), ())[0]), 2)
        assert largest < max(RANGES[name][1], 1.21 if name == "keller" else 1.15 if name == "quintic" else 0) + 0.02


def test_decomposition_is_the_polar_factor():
    x = with_singular_values(np.array([3.0, 1.0, 1e-3, 0.0]), 6)
    u, _, v = np.linalg.svd(x, full_matrices=False)
    tx = gradtx.orthogonalize("svd")
    got, _ = tx.update(jnp.asarray(x, jnp.float32), tx.init(jnp.zeros((4, 6))))
    np.testing.assert_allclose(got, u[:, :3] @ v[:3], atol=1e-4)
    np.testing.assert_allclose(gradtx.orthogonalize("svd", dual_norm=True).update(got, ())[0], 3 * got, atol=1e-5)


@pytest.mark.parametrize("coefficients", ["keller", "svd"])
def test_derivatives(coefficients):
    """As finite differences say, also where singular values are equal; zero at zero."""
    random = np.random.default_rng(0)
    tx = gradtx.orthogonalize(coefficients)
    with enable_x64(True):
        for x in (random.normal(size=(3, 2)), random.normal(size=(2, 7)), np.eye(3, 4)):
            d, weight = random.normal(size=(2, *x.shape))

            @jax.jit
            def slopes(x, d, weight):
                def along(t):
                    return jnp.sum(weight * tx.update(x + t * d, ())[0])

                return jax.jvp(along, (0.0,), (1.0,))[1], jnp.diff(jax.lax.map(along, jnp.asarray([-1e-5, 1e-5])))[0]

            slope, difference = slopes(x, d, weight)
            np.testing.assert_allclose(slope, difference / 2e-5, rtol=1e-6, atol=1e-8)
        gradient = jax.jit(jax.grad(lambda x: tx.update(x, ())[0].sum()))(np.zeros((2, 3)))
        assert not np.any(gradient)


def test_zero_tiny_and_huge_matrices():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5)), jnp.float32)
    tx = gradtx.orthogonalize(eps=0.0)
    update = jax.jit(tx.update)
    plain = update(x, ())[0]
    for factor in (1e-30, 1e30):
        np.testing.assert_allclose(update(factor * x, ())[0], plain, rtol=1e-3)
    assert not np.any(tx.update({"a": jnp.zeros((2, 3)), "b": jnp.zeros((0, 3))}, ())[0]["a"])


def test_leaves_of_one_shape_are_one_stack():
    """Tall and wide ones and those with more axes together; each gets what it would get alone."""
    random = np.random.default_rng(0)
    shapes = {"a": (4, 6), "b": (6, 4), "c": (2, 3, 4, 6), "d": (5, 5)}
    updates = {name: jnp.asarray(random.normal(size=shape), jnp.float32) for name, shape in shapes.items()}
    update = jax.jit(gradtx.orthogonalize().update)
    together = update(updates, ())[0]
    for name, x in updates.items():
        np.testing.assert_allclose(together[name], update(x, ())[0], atol=2e-6)
    np.testing.assert_allclose(together["b"], update(updates["b"].T, ())[0].T, atol=2e-6)
    whole = update.lower(updates, ()).as_text()
    assert whole.count("stablehlo.while") == 1  # 8 matrices of one shape in one loop, and one alone


@pytest.mark.parametrize("count", [2, 9, 13])
def test_stacks_that_do_not_divide_among_those_of_the_loop(count):
    updates = list(jnp.asarray(np.random.default_rng(0).normal(size=(count, 4, 6)), jnp.float32))
    for u, x in zip(jax.jit(gradtx.orthogonalize().update)(updates, ())[0], updates, strict=True):
        np.testing.assert_allclose(u, polar(np.asarray(x)), atol=1e-5)


def test_half_precision_iterates_in_bfloat16():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 16)), jnp.float32)
    tx = gradtx.orthogonalize(iterate_in="bfloat16")
    update = jax.jit(tx.update)
    u = update(x, ())[0]
    assert u.dtype == jnp.float32
    assert "bf16" in update.lower(x, ()).as_text()
    np.testing.assert_allclose(u, polar(np.asarray(x)), atol=0.06)


@pytest.mark.parametrize(
    ("rule", "shape", "outputs", "expected"),
    [
        ("keller", (4, 16), -1, 2.0),
        ("keller", (16, 4), -1, 1.0),
        ("keller", (16, 4), -2, 2.0),
        ("moonlight", (4, 25), -1, 1.0),
        ("spectral", (4, 16), -1, 2.0),
        ("spectral", (4, 16), -2, 0.5),
        ("longest", (4, 16), -1, 4.0),
        ("sides", (4, 16), -1, 0.1),
    ],
)
def test_factors_of_shapes(rule, shape, outputs, expected):
    tx = gradtx.scale_by_shape(rule, outputs)
    u, _ = tx.update(jnp.ones(shape), tx.init(jnp.ones(shape)))
    np.testing.assert_allclose(u, expected, rtol=1e-6)


def test_moonlight_makes_the_root_mean_square_a_fifth():
    tx = gradtx.chain(gradtx.orthogonalize("svd"), gradtx.scale_by_shape("moonlight"))
    for shape in ((8, 8), (8, 50), (50, 8)):
        x = np.float32(np.random.default_rng(0).normal(size=shape))
        u = np.asarray(jax.jit(tx.update)(x, tx.init(x))[0])
        np.testing.assert_allclose(np.sqrt(np.mean(u**2)), 0.2, rtol=1e-5)


def loop(gradients, w, rate, norm_rows, momentum=0.95, decay=0.1, b2=0.95):
    """A kernel (inputs × outputs) under Muon or NorMuon."""
    mean, v = np.zeros_like(w), 0.0
    for g in gradients:
        mean = momentum * mean + (1 - momentum) * g
        u = polar(momentum * mean + (1 - momentum) * g)
        if norm_rows:
            v = b2 * v + (1 - b2) * np.mean(u * u, axis=0)
            scaled = u / (np.sqrt(v) + 1e-10)
            u = scaled * np.linalg.norm(u) / np.linalg.norm(scaled)
        w = w - rate * (0.2 * np.sqrt(max(w.shape)) * u + decay * w)
    return w


@pytest.mark.parametrize("norm_rows", [False, True])
def test_a_thousand_steps(norm_rows):
    """In float32 within 2e-5 of the largest entry, of a float64 loop of the papers."""
    random = np.random.default_rng(0)
    w, gradients = random.normal(size=(6, 4)), random.normal(size=(1000, 6, 4))
    tx = (gradtx.normuon if norm_rows else gradtx.muon)(0.01)
    state, p, step = tx.init(jnp.asarray(w, jnp.float32)), jnp.asarray(w, jnp.float32), jax.jit(tx.step)
    for g in gradients:
        p, state = step(jnp.asarray(g, jnp.float32), state, p)
    expected = loop(gradients, w, 0.01, norm_rows)
    np.testing.assert_allclose(p, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_first_step_of_normuon_makes_outputs_alike():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 5)), jnp.float32)
    tx = gradtx.normuon(1.0, weight_decay=0.0, polar=gradtx.orthogonalize("svd"))
    u, _ = jax.jit(tx.update)(x, tx.init(x), x)
    np.testing.assert_allclose(np.sqrt(np.mean(np.asarray(u) ** 2, axis=0)), 0.2, rtol=1e-5)


PARAMS = {
    "embed": {"table": jnp.ones((7, 4))},
    "layers": [{"kernel": jnp.ones((4, 4)), "bias": jnp.ones(4), "norm": jnp.ones((1, 4))}],
    "conv": jnp.ones((3, 3, 2, 4)),
    "lm_head": jnp.ones((4, 7)),
    "multi_head": {"query": jnp.ones((4, 8))},
}


def taken(tx):
    groups = tx.piece.leaf_groups(PARAMS)
    names = gradtx.core.trees.leaf_names(PARAMS)
    return {names[k] for k, group in groups.items() if group.label == "matrices"}


def test_which_leaves_are_matrices():
    assert taken(gradtx.muon(0.1)) == {"layers/0/kernel", "multi_head/query"}
    assert taken(gradtx.muon(0.1, exclude=())) == {"embed/table", "layers/0/kernel", "lm_head", "multi_head/query"}
    assert taken(gradtx.muon(0.1, exclude="embed")) == {"layers/0/kernel", "lm_head", "multi_head/query"}
    framed = gradtx.muon(0.1, frame=frames.matrices(rows=None))
    assert taken(framed) == {"conv", "layers/0/kernel", "multi_head/query"}
    shown = str(gradtx.plan(gradtx.muon(0.1), PARAMS))
    for why in (
        "others: 4 axes",
        "others: an embedding by its name",
        "others: the head by its name",
        "no matrix, shape (4,)",
    ):
        assert why in shown


def test_convolutions_in_a_frame_are_one_matrix():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 2, 4)), jnp.float32)
    tx = gradtx.muon(1.0, weight_decay=0.0, nesterov=False, momentum=0.0, frame=frames.matrices(rows=None))
    u, _ = jax.jit(tx.update)(x, tx.init(x), x)
    expected = -0.2 * np.sqrt(18) * polar(np.asarray(x).reshape(18, 4)).reshape(x.shape)
    np.testing.assert_allclose(u, expected, atol=1e-5)


def test_a_network_of_matrices_alone_and_one_without_any():
    for params in ({"w": jnp.ones((3, 3))}, {"b": jnp.ones(3)}, {}):
        tx = gradtx.muon(0.1)
        updates, _ = jax.eval_shape(tx.update, params, tx.init(params), params)
        assert jax.tree.structure(updates) == jax.tree.structure(params)


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (
            lambda: gradtx.orthogonalize().init({"a": {"b": jnp.ones(3)}}),
            ValueError,
            r"at a/b has shape \(3,\)",
        ),
        (lambda: gradtx.scale_by_shape().init({"a": jnp.ones(())}), ValueError, "a matrix has two axes"),
        (lambda: gradtx.orthogonalize("keler"), ValueError, "keller"),
        (lambda: gradtx.orthogonalize(((1.0, 2.0),)), TypeError, "triples"),
        (lambda: gradtx.orthogonalize(iterate_in="float16"), ValueError, "iterate_in"),
        (lambda: gradtx.orthogonalize("cans", iterate_in="bfloat16"), ValueError, "cans"),
        (lambda: gradtx.orthogonalize(eps=-1.0), ValueError, "eps"),
        (lambda: gradtx.scale_by_shape("muon"), ValueError, "rule"),
        (lambda: gradtx.scale_by_shape(outputs=0), ValueError, "outputs must be -1 or -2"),
        (lambda: gradtx.muon(0.1, exclude="nothing").init(PARAMS), ValueError, "matches no leaf"),
        (lambda: gradtx.muon(0.1, exclude=3), TypeError, "exclude must be"),
        (lambda: gradtx.muon(0.1, frame="rows"), TypeError, "frame must be a frame"),
        (lambda: gradtx.orthogonalize().init(gradtx.pack(PARAMS)), JoinedLeavesError, "orthogonalize"),
    ],
)
def test_bad_input(make, kind, said):
    with pytest.raises(kind, match=said):
        make()


MESHES = """
import jax, jax.numpy as jnp, numpy as np
import gradtx
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

SHAPES = {"up": ((8, 16), P("x", None)), "down": ((16, 8), P("x", None)), "wide": ((8, 64), P(None, "x"))}
SHAPES |= {"stack": ((8, 4, 6), P("x", None, None)), "whole": ((8, 16), P())}
values = {name: np.random.default_rng(0).normal(size=shape).astype("float32") for name, (shape, _) in SHAPES.items()}
TXS = {AxisType.Auto: (gradtx.muon(0.1, exclude=()),)}
TXS[AxisType.Explicit] = (gradtx.normuon(0.1, exclude=()), gradtx.orthogonalize("svd"))
for kind, txs in TXS.items():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(kind,))
    split = {name: jax.device_put(values[name], NamedSharding(mesh, spec)) for name, (_, spec) in SHAPES.items()}
    for tx in txs:
        one, state = jax.jit(tx.update)(values, tx.init(values), values)
        step = jax.jit(tx.update)
        for _ in range(2):
            eight, state = step(split, tx.init(split), split)
        assert step._cache_size() == 1
        for name in SHAPES:
            np.testing.assert_allclose(eight[name], one[name], atol=1e-4)
            if kind == AxisType.Explicit:
                assert jax.typeof(eight[name]).sharding.spec == jax.typeof(split[name]).sharding.spec, name
print("as on one device")
"""


def test_eight_devices():
    """Split along either side and along a stack, on Auto and Explicit meshes: as on one device, split as before."""
    flags = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run([sys.executable, "-c", MESHES], env=flags, capture_output=True, text=True)
    assert done.stdout.strip() == "as on one device", done.stderr[-2000:]
