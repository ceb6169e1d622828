"""Each moment against its means written out in NumPy, what it keeps, and the leaves that it refuses."""

import dataclasses
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import divide_by_rms, moments, scale_by_rms, storage
from tests.sharding.meshes import EXPLICIT, mesh_of, put
from tests.transforms.agreement import enable_x64, run, ulps

SHAPE = (6, 8)


@functools.cache
def matrices(steps=1000):
    """Gradients of a matrix, (steps, 6, 8): rows and columns of their own sizes, some entries zero."""
    rng = np.random.default_rng(1)
    sizes = 10.0 ** rng.uniform(-4, 4, (6, 1)) * 10.0 ** rng.uniform(-3, 3, (1, 8))
    return (rng.standard_cauchy((steps, *SHAPE)) * sizes * (rng.random((steps, *SHAPE)) < 0.8)).astype(np.float32)


def factored(g_sq, kept, step):
    row, column = kept or (0, 0)
    row, column = step(row, g_sq.mean(1, keepdims=True)), step(column, g_sq.mean(0, keepdims=True))
    return (row, column), row * column / row.mean()


def largest(g_sq, kept, step):
    row, column = kept or (np.zeros((6, 1)), np.zeros((1, 8)))
    v = step(np.minimum(row, column), g_sq)
    return (v.max(1, keepdims=True), v.max(0, keepdims=True)), v


def blocked(g_sq):
    return np.repeat(np.stack([g_sq[:, :4].mean(), g_sq[:, 4:].mean()])[None], 4, axis=1)


def of_mean(means):
    def one(g_sq, kept, step):
        kept = step(0 if kept is None else kept, means(g_sq))
        return kept, kept

    return one


MOMENTS = {
    moments.full(): of_mean(lambda x: x),
    moments.per_leaf(): of_mean(lambda x: x.mean(keepdims=True)),
    moments.per_leaf(total=True): of_mean(lambda x: x.sum(keepdims=True)),
    moments.per_row(): of_mean(lambda x: x.mean(0, keepdims=True)),
    moments.per_row(output_axis=0): of_mean(lambda x: x.mean(1, keepdims=True)),
    moments.per_column(): of_mean(lambda x: x.mean(1, keepdims=True)),
    moments.per((0, -1)): of_mean(lambda x: x),
    moments.blocks(2): of_mean(blocked),
    moments.factored(): factored,
    moments.factored(eps=0.0, axes=(-1, -2)): factored,
    moments.max_of_axes(): largest,
}


def quotients(gs, moment, decay, corrected):
    kept = None
    for t, g in enumerate(gs, 1):
        kept, v = MOMENTS[moment](g * g, kept, lambda old, new: decay * old + (1 - decay) * new)
        root = np.sqrt(np.broadcast_to(v / (1 - decay**t if corrected else 1), g.shape))
        yield np.divide(g, root, out=np.zeros_like(g), where=root > 0)


def off_by(tx):
    """The error over 1,000 steps in float32 of what divides by the moment of this decay, without eps."""
    gs = matrices()
    want = np.stack([*quotients(gs.astype(np.float64), tx.moment, 0.99, True)])
    return ulps(run(tx, gs)[0], want, np.abs(want))


@pytest.mark.parametrize("moment", [moments.full(), moments.per_row(), moments.factored()], ids=repr)
def test_divide_by_rms(moment):
    assert off_by(divide_by_rms(gradtx.identity(), 0.99, 0.0, moment=moment)) <= 20


@pytest.mark.parametrize("moment", MOMENTS, ids=repr)
class TestAgreement:
    def test_float32(self, moment):
        """Without an average as numerator nothing cancels: the error is that of each entry."""
        assert off_by(scale_by_rms(0.99, eps=0.0, bias_correction=True, moment=moment)) <= 20  # as scale_by_rms states

    def test_float64(self, moment):
        gs = matrices()[:200].astype(np.float64)
        want = np.stack([*quotients(gs, moment, 0.9, False)])
        with enable_x64(True):
            got, _ = run(scale_by_rms(0.9, eps=0.0, moment=moment), gs)
            assert got.dtype == jnp.float64
        np.testing.assert_allclose(got, want, rtol=1e-12)

    def test_it_is_a_value(self, moment):
        back = pickle.loads(pickle.dumps(moment))
        assert back == moment == eval(repr(moment), vars(gradtx))
        assert len({moment, back}) == 1

    def test_large_and_small(self, moment):
        """The means overflow nowhere, and nothing is divided by zero."""
        tx = scale_by_rms(0.5, eps=0.0, bias_correction=True, moment=moment)
        first = jax.jit(lambda g: tx.update(g, tx.init(g))[0])
        for g in np.float32([1e25, 1e-12, 0.0])[:, None, None] * np.ones(SHAPE, np.float32):
            u = first(g)
            total = getattr(moment, "total", False)
            expected = 0.0 if not g.any() else 48**-0.5 if total else 1.0
            if not (total and g.max() > 1):  # the sum itself is above the largest number
                np.testing.assert_allclose(u, expected, rtol=1e-5)

    def test_sharded_as_on_one_device(self, moment):
        mesh = jax.make_mesh((2,), ("x",))
        spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "x", None))
        gs, tx = matrices()[:3], scale_by_rms(0.9, moment=moment)
        updates = jax.jit(lambda gs: jax.lax.scan(lambda s, g: tx.update(g, s)[::-1], tx.init(gs[0]), gs)[1])
        np.testing.assert_allclose(updates(jax.device_put(gs, spread)), updates(gs), rtol=1e-5)


TREE = {"w": jnp.ones((6, 4)), "deep": [jnp.ones((2, 3, 4))], "b": jnp.ones(4), "gain": jnp.ones(())}
KEPT = {
    moments.max_of_axes(): (
        {"w": (6, 1), "deep": [(2, 1, 1)], "b": (4,), "gain": ()},
        {"w": (1, 4), "deep": [(1, 3, 1)], "b": None, "gain": None},
        {"w": None, "deep": [(1, 1, 4)], "b": None, "gain": None},
    ),
    moments.factored(min_dim_size=4): (
        {"w": (6, 1), "deep": [None], "b": None, "gain": None},
        {"w": (1, 4), "deep": [None], "b": None, "gain": None},
        {"w": None, "deep": [(2, 3, 4)], "b": (4,), "gain": ()},
    ),
}


@pytest.mark.parametrize("moment", KEPT, ids=repr)
def test_what_is_kept(moment):
    nu = scale_by_rms(moment=moment).init(TREE).nu
    assert tuple(jax.tree.map(jnp.shape, nu)) == tuple(KEPT[moment])


def test_a_product_is_factored_exactly():
    """|g| of rank one: the update is the sign."""
    rng = np.random.default_rng(0)
    g = jnp.asarray(np.outer(rng.normal(size=30), rng.normal(size=20)), jnp.float32)
    tx = scale_by_rms(0.0, eps=0.0, moment=moments.factored())
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0], jnp.sign(g), rtol=1e-5)


@dataclasses.dataclass(frozen=True)
class MeanCodec:
    """Keeps the mean of a second moment between steps."""

    def supports(self, role, leaf):
        return role == "nonnegative"

    def encode(self, role, x, bits):
        return jnp.mean(x, keepdims=True), None

    def decode(self, role, codes, scales, leaf):
        return jnp.broadcast_to(codes, leaf.shape)


@pytest.mark.parametrize(
    ("codec", "moment"), [(MeanCodec(), moments.per_leaf()), (storage.factored(), moments.factored())], ids=repr
)
def test_a_moment_is_no_codec(codec, moment):
    """A step with a codec still divides by the square of its own gradient, entry by entry: 60% off, then under 1%."""
    gs, whole = np.random.default_rng(0).normal(size=(200, 6, 8)).astype(np.float32), moments.full()
    tx = scale_by_rms(0.999, 0.0, bias_correction=True, moment=whole)
    stored, own = (
        np.asarray(run(tx, gs)[0]) for tx in (gradtx.store(tx, codec, min_size=1), tx.replace(moment=moment))
    )
    off = np.linalg.norm(stored - own, axis=(1, 2)) / np.linalg.norm(own, axis=(1, 2))
    assert off[0] > 0.5
    assert off[-1] < 0.01


REFUSED = [
    (moments.per_row(), "gain", r"parameter at gain of shape \(\): it has no axis -1"),
    (moments.per_column(), "b", r"parameter at b of shape \(4,\): it needs two axes"),
    (moments.per((0, 1)), "b", r"parameter at b of shape \(4,\): it has no axis 1"),
    (moments.per((0, -2)), "w", r"parameter at w of shape \(6, 4\): two of the axes \(0, -2\) are the same"),
    (moments.blocks(3), "w", r"parameter at w of shape \(6, 4\): its axis -1 cannot be divided into 3 equal blocks"),
    (moments.factored(axes=(1, 2)), "w", r"parameter at w of shape \(6, 4\): it has no axis 2"),
]


@pytest.mark.parametrize(("moment", "leaf", "error"), REFUSED, ids=lambda x: repr(x)[:40])
def test_leaves_that_it_cannot_take(moment, leaf, error):
    for tx in (scale_by_rms(moment=moment), divide_by_rms(gradtx.ema(), moment=moment)):
        with pytest.raises(ValueError, match=error):
            tx.init({"deep": jnp.ones((3, 3, 3)), leaf: TREE[leaf]})


def test_a_state_of_another_moment():
    g = {"layers": [{"w": jnp.ones((6, 4))}]}
    state = scale_by_rms(moment=moments.per_row()).init(g)
    with pytest.raises(ValueError, match=r"per_row\(output_axis=0\) keeps .* gradient at layers/0/w"):
        scale_by_rms(moment=moments.per_row(0)).update(g, state)


def test_rows_and_packed_leaves_are_refused():
    tx = scale_by_rms(moment=moments.per_leaf())
    assert not tx.traits.any_leaves
    assert not tx.traits.sparse_rows
    assert scale_by_rms().traits.any_leaves
    with pytest.raises(ValueError, match="joined the small leaves"):
        tx.init(gradtx.pack(TREE))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: scale_by_rms(moment=moments.per_leaf), TypeError, "call it, moments.per_leaf"),
        (lambda: scale_by_rms(moment="factored"), TypeError, "must be one of gradtx.moments"),
        (lambda: moments.per(3), TypeError, "axes must be a tuple"),
        (lambda: moments.per((0, "a")), TypeError, r"axes\[1\] must be a whole number"),
        (lambda: moments.per_row(1.5), TypeError, "output_axis must be a whole number"),
        (lambda: moments.blocks(0), ValueError, "count must be at least 1"),
        (lambda: moments.factored(-1.0), ValueError, "eps must be"),
        (lambda: moments.factored(axes=(1,)), ValueError, "axes must be two axes"),
        (lambda: moments.factored(min_dim_size=0), ValueError, "min_dim_size must be at least 1"),
    ],
)
def test_bad_arguments(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_none_in_the_place_of_an_array_is_an_error():
    """Only a leaf that has none may get none."""
    with pytest.raises((TypeError, ValueError), match="None"):
        gradtx.map_leaves(lambda g, mu: (g, None), jnp.ones(2), jnp.ones(2))


@pytest.mark.parametrize("moment", [moments.blocks(2), moments.blocks(8), moments.blocks(4, axis=0)], ids=repr)
def test_blocks_on_an_explicit_mesh(moment):
    """The numbers of one device; the update is split as the gradient, and the state keeps its types."""
    mesh = mesh_of(8, kind=EXPLICIT, names=("x",))
    g, tx = np.random.default_rng(0).normal(size=(16, 24)).astype(np.float32), scale_by_rms(moment=moment)
    update = jax.jit(tx.update)
    want = np.asarray(update(g, tx.init(g), g)[0])
    for spec in (("x", None), (None, "x")):
        split = put(mesh, g, *spec)
        state = tx.init(split)
        updates, after = update(split, state, split)
        np.testing.assert_allclose(updates, want, rtol=1e-6)
        assert jax.typeof(updates) == jax.typeof(split)
        assert jax.tree.map(jax.typeof, after) == jax.tree.map(jax.typeof, state)
