"""Dion against a loop of the paper in float64, its limits, and what it sends on a mesh."""

import math
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import gradtx
from tests.reference_norms import shard_map
from tests.sharding.hlo import collectives
from tests.sharding.meshes import AUTO, EXPLICIT, mesh_of, put

STEPS = 1000


def dion_loop(gradients, q, momentum=0.95):
    """Algorithm 1: one power iteration, and error feedback."""
    q, m, out = q.astype(np.float64), np.zeros(gradients[0].shape), []
    for g in gradients.astype(np.float64):
        b = m + g
        p = np.linalg.qr(b @ q)[0]
        r = b.T @ p
        m = b - (1 - momentum) * p @ r.T
        q = r / np.linalg.norm(r, axis=0)
        out.append(p @ q.T)
    return np.asarray(out)


@pytest.mark.parametrize(("shape", "rank"), [((6, 10), 3), ((10, 6), 1.0)])
def test_as_the_paper(shape, rank):
    """Within 1e-4, and half of the steps within 1e-6."""
    random = np.random.default_rng(0)
    mix = np.linalg.qr(random.normal(size=(shape[0], shape[0])))[0] * np.exp(-0.4 * np.arange(shape[0]))
    g = (mix @ random.normal(size=(STEPS, *shape))).astype(np.float32)
    tx = gradtx.scale_by_dion(rank)
    state = tx.init(jnp.zeros(shape))
    u = jax.jit(lambda state, g: jax.lax.scan(lambda s, g: tx.update(g, s)[::-1], state, g))(state, jnp.asarray(g))[1]
    error = np.abs(np.asarray(u) - dion_loop(g, np.asarray(state.basis))).max(axis=(1, 2))
    assert error.max() < 1e-4
    assert np.median(error) < 1e-6


def test_the_recipe_decays_and_takes_the_shape_into_account():
    """w - rate·(√(m/n)·u + decay·w), with m outputs, the last axis of a kernel here."""
    w, g = np.ones((4, 9), np.float32), np.random.default_rng(1).normal(size=(1, 4, 9)).astype(np.float32)
    tx = gradtx.dion(0.1, 2, weight_decay=0.5, exclude=())
    state = tx.init({"w": w})
    u, _ = jax.jit(tx.update)({"w": g[0]}, state, {"w": w})
    first = dion_loop(g, np.asarray(state["matrices"]["scale_by_dion"].basis["w"]))[0]
    np.testing.assert_allclose(u["w"], -0.1 * (math.sqrt(9 / 4) * first + 0.5), atol=1e-6)


def test_a_constant_momentum_of_full_rank_ends_in_its_polar_factor():
    tx, g = gradtx.scale_by_dion(1.0, 1.0), np.random.default_rng(0).normal(size=(6, 9)).astype(np.float32)
    state = tx.init(jnp.zeros((6, 9)))
    gs = np.concatenate([g[None], np.zeros((300, 6, 9), np.float32)])
    run = jax.jit(lambda s: jax.lax.scan(lambda s, g: tx.update(g, s)[::-1], s, gs)[1][-1])
    u, _, vh = np.linalg.svd(g, full_matrices=False)
    np.testing.assert_allclose(run(state), u @ vh, atol=2e-6)


def test_pathologies():
    """Zero gives zero and leaves the directions; so do those that a matrix of rank 1 lacks; 1e25 is like 1."""
    tx, g = gradtx.scale_by_dion(2), np.outer(np.arange(1.0, 4.0), np.arange(1.0, 6.0)).astype(np.float32)
    state, update = tx.init(g), jax.jit(tx.update)
    u, after = update(np.zeros_like(g), state)
    assert not u.any()
    assert (after.basis == state.basis).all()
    u, after = update(g, state)
    assert np.linalg.matrix_rank(u, tol=1e-4) == 1
    assert np.linalg.norm(u) == pytest.approx(1.0)
    assert jnp.isfinite(after.basis).all()
    huge, after = update(g * np.float32(1e25), state)
    np.testing.assert_allclose(huge, u, atol=1e-6)
    assert jnp.isfinite(after.trace).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_counted_and_leaves_momentum_and_basis(bad):
    """One matrix of two; the bad number comes out, and the next step is as if there had been none."""
    tx, g = gradtx.scale_by_dion(2), np.random.default_rng(0).normal(size=(3, 2, 4, 6)).astype(np.float32)
    step, wrong = jax.jit(tx.update), g[1].copy()
    wrong[0, 1, 2] = bad
    _, before = step(g[0], tx.init(g[0]))
    assert not before.failures.any()
    u, after = step(wrong, before)
    assert not jnp.isfinite(u[0]).all()
    assert jnp.isfinite(u[1]).all()
    assert after.failures.tolist() == [1, 0]
    for old, new in zip(before[:2], after[:2], strict=True):
        np.testing.assert_array_equal(new[0], old[0])
        assert (new[1] != old[1]).any()
    np.testing.assert_array_equal(step(g[2], after)[0][0], step(g[2], before)[0][0])


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda: gradtx.scale_by_dion(4).init({"w": jnp.ones((3, 5))}), ValueError, r"rank=4 .* at w, .*\(3, 5\)"),
        (lambda: gradtx.scale_by_dion().init({"b": jnp.ones(3)}), ValueError, r"at b has shape \(3,\)"),
        (lambda: gradtx.scale_by_dion(0), ValueError, "rank must be at least 1, or a float in"),
        (lambda: gradtx.scale_by_dion(1.5), ValueError, "rank must be at least 1, or a float in"),
        (lambda: gradtx.scale_by_dion("all"), TypeError, "rank must be a whole number"),
        (lambda: gradtx.scale_by_dion(key=-1), ValueError, "key must be"),
        (lambda: gradtx.dion(0.1, momentum=2.0), ValueError, "momentum must be in"),
    ],
)
def test_bad_input(make, kind, said):
    with pytest.raises(kind, match=said):
        make()


M, N, R = 16, 40, 2


@pytest.mark.parametrize("kind", [AUTO, EXPLICIT], ids=str)
@pytest.mark.parametrize(
    ("spec", "kinds", "most"),
    [
        (("x", None), {"all-gather": 1, "all-reduce": 1}, (M + N) * R),
        ((None, "x"), {"all-reduce": 1, "all-gather": 1}, (M + N) * R),
    ],
    ids=["rows", "columns"],
)
def test_devices_exchange_matrices_of_a_few_columns(kind, spec, kinds, most):
    """P is gathered and R summed where rows are split; where columns are, P is summed and R gathered."""
    tx, mesh = gradtx.scale_by_dion(R), mesh_of(8, kind=kind, names=("x",))
    g = np.random.default_rng(0).normal(size=(M, N)).astype(np.float32)
    one, state = jax.jit(tx.update)(g, tx.init(g))
    split = put(mesh, g, *spec)
    there = tx.init(split)
    how = {"out_shardings": (split.sharding, jax.tree.map(lambda x: x.sharding, there))}
    compiled = jax.jit(partial(tx.update), **how).lower(split, there).compile()
    found = [c for c in collectives(compiled) if not c.in_branch]
    large = [c for c in found if sum(math.prod(shape) for _, shape in c.arrays) > R]
    assert Counter(c.kind for c in large) == kinds
    assert sum(math.prod(shape) for c in large for _, shape in c.arrays) <= most
    u, after = compiled(split, there)
    np.testing.assert_allclose(u, one, atol=2e-6)
    np.testing.assert_allclose(after.trace, state.trace, atol=2e-5)
    assert after.trace.sharding == split.sharding


def test_inside_shard_map():
    """Split along rows, columns, both, or not at all: as on one device, and what is sent has a few columns."""
    specs = {
        "rows": PartitionSpec("x"),
        "columns": PartitionSpec(None, "x"),
        "both": PartitionSpec("x", "y"),
        "stack": PartitionSpec(None, "y", "x"),
        "whole": PartitionSpec(),
    }
    shapes = {name: (2, M, N) if name == "stack" else (M, N) for name in specs}
    bases = {
        "rows": PartitionSpec(),
        "columns": PartitionSpec("x"),
        "both": PartitionSpec("y"),
        "stack": PartitionSpec(None, "x"),
        "whole": PartitionSpec(),
    }
    random, mesh = np.random.default_rng(0), mesh_of(4, 2, names=("x", "y"))
    g = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    def two(tx, g):
        u, state = tx.update(g, tx.init(g))
        u, state = tx.update(u, state)
        return u, state["scale_by_dion"]

    def made(devices):
        piece = gradtx.scale_by_dion(0.125, devices=devices)
        return gradtx.chain(piece, gradtx.scale_by_shape("spectral", devices=devices))

    told = gradtx.owners(gradtx.split_over(("x", "y"), specs))
    out = (specs, gradtx.ScaleByDionState(specs, bases, dict.fromkeys(specs, PartitionSpec())))
    split = {name: put(mesh, x, *specs[name]) for name, x in g.items()}
    step = jax.jit(shard_map(partial(two, made(told)), mesh=mesh, in_specs=(specs,), out_specs=out))
    compiled = step.lower(split).compile()
    sides = max(math.prod(s) for c in collectives(compiled) for _, s in c.arrays)
    assert sides <= 2 * N * R  # of the stack of two
    u, state = compiled(split)
    want, alone = jax.jit(partial(two, made(None)))(g)
    for name in specs:
        np.testing.assert_allclose(u[name], want[name], atol=1e-5)
        np.testing.assert_allclose(state.trace[name], alone.trace[name], atol=1e-5)
        np.testing.assert_allclose(np.abs(state.basis[name]), np.abs(alone.basis[name]), atol=1e-5)
