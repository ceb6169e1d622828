"""Frames that are a reshape: the numbers arrive where NumPy puts them, on one device and on eight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import gradtx
from gradtx.frames import Frame, identity, matrices, real_and_imaginary


@gradtx.transformation
def number_matrices(axis: int):
    """Add to each entry its place along an axis of its leaf, so that it shows what the leaf looks like inside."""

    def init(params):
        return gradtx.EmptyState()

    def update(updates, state, params=None):
        def leaf(g):
            return g + jax.lax.broadcasted_iota(g.dtype, g.shape, g.ndim + axis)

        return gradtx.map_leaves(leaf, updates), state

    return init, update


def inside(frame, x):
    """A leaf in the frame, as an inner transformation sees it."""
    seen = []
    probe = (lambda params: gradtx.EmptyState(), lambda g, state, params=None: (seen.append(g) or g, state))
    tx = gradtx.in_frame(probe, frame)
    out = tx.update(x, tx.init(x))[0]
    np.testing.assert_array_equal(out, x)
    return np.asarray(seen[-1])


X = np.arange(4 * 6 * 10.0, dtype=np.float32).reshape(4, 6, 10)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (matrices(), X),
        (matrices(rows=None), X.reshape(24, 10)),
        (matrices(rows=(0, 1), columns=2), X.reshape(24, 10)),
        (matrices(rows=0, columns=None), X.reshape(4, 60)),
        (matrices(rows=0, columns=2), X.transpose(1, 0, 2)),
        (matrices(rows=(2, 0), columns=1), X.transpose(2, 0, 1).reshape(40, 6)),
        (matrices(blocks=(3, 5)), X.reshape(4, 2, 3, 2, 5).transpose(0, 1, 3, 2, 4)),
        (matrices(blocks=(None, 2)), X.reshape(4, 1, 6, 5, 2).transpose(0, 1, 3, 2, 4)),
        (matrices(blocks=(100, 100)), X),
        (matrices(rows=None, blocks=(12, None)), X.reshape(2, 12, 1, 10).transpose(0, 2, 1, 3)),
    ],
    ids=lambda x: repr(x) if isinstance(x, Frame) else "",
)
def test_matrices(frame, expected):
    """Inside are the matrices that NumPy makes; outside are the same numbers again."""
    np.testing.assert_array_equal(inside(frame, jnp.asarray(X)), expected)


def test_what_is_inside_acts_on_rows_of_the_matrices():
    """A transformation of the columns of a matrix counts the columns of the convolution, and of each head."""
    place = gradtx.in_frame(number_matrices(axis=-2), matrices(rows=None))
    zeros = jnp.zeros((2, 2, 3, 4))
    updates, _ = place.update(zeros, place.init(zeros))
    np.testing.assert_array_equal(updates, np.broadcast_to(np.arange(12.0).reshape(2, 2, 3, 1), (2, 2, 3, 4)))
    place = gradtx.in_frame(number_matrices(axis=-1), matrices(blocks=(None, 2)))
    zeros = jnp.zeros((3, 6))
    np.testing.assert_array_equal(place.update(zeros, place.init(zeros))[0], [[0.0, 1.0] * 3] * 3)


def test_vectors_pass_as_they_are():
    params = {"b": jnp.ones(3), "gain": jnp.asarray(2.0), "none": None, "w": jnp.ones((2, 3, 4))}
    state = gradtx.in_frame(gradtx.ema(0.9), matrices(rows=None)).init(params)
    assert jax.tree.map(jnp.shape, state.inner.mu) == {"b": (3,), "gain": (), "none": None, "w": (6, 4)}


def test_the_inner_transformation_gets_the_parameters_inside():
    """Weight decay inside a reshape is weight decay outside."""
    params = {"w": jnp.asarray(X)}
    decay = gradtx.add_decayed_weights(0.1)
    expected, _ = decay.update(params, decay.init(params), params)
    tx = gradtx.in_frame(decay, matrices(rows=None, blocks=(2, 2)))
    np.testing.assert_array_equal(tx.update(params, tx.init(params), params)[0]["w"], expected["w"])


def parts_adam_loop(gradients, rate, b1=0.9, b2=0.999, eps=1e-8):
    """Adam on the real and the imaginary part of each entry, each with moments of its own, in float64."""
    w, history = np.zeros((2, gradients[0].size)), []
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, z in enumerate(gradients, 1):
        g = np.stack([z.real, z.imag]).astype(np.float64)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w = w - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        history.append(w[0] + 1j * w[1])
    return np.asarray(history)


def test_complex_adam_by_parts_over_1000_steps():
    """Within 30 ulp of the learning rate, as Adam; and it is not Adam of complex numbers."""
    random = np.random.default_rng(0)
    size = np.exp(random.normal(size=(1000, 2, 5)) * 2)
    gradients = (random.normal(size=(1000, 2, 5)) * size * [[[1.0], [1e-3]]]).astype(np.float32)
    gradients = (gradients[:, 0] + 1j * gradients[:, 1]).astype(np.complex64)
    tx = gradtx.in_frame(gradtx.adam(0.1), real_and_imaginary())
    zeros = jnp.zeros(5, jnp.complex64)

    def body(state, g):
        updates, state = tx.update(g, state)
        return state, updates

    state, updates = jax.lax.scan(body, tx.init(zeros), jnp.asarray(gradients))
    assert state.inner["scale_by_adam"].nu.shape == (2, 5)
    expected = np.diff(parts_adam_loop(gradients, 0.1), axis=0, prepend=0)
    for part in (np.real, np.imag):
        np.testing.assert_allclose(part(updates), part(expected), rtol=0, atol=30 * 2**-23 * 0.1)
    plain = gradtx.adam(0.1)
    whole = jax.lax.scan(lambda s, g: plain.update(g, s)[::-1], plain.init(zeros), jnp.asarray(gradients))[1]
    assert np.max(np.abs(np.imag(whole))) < 0.1 * np.max(np.abs(np.imag(updates)))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: matrices(rows=None, columns=None), ValueError, "one of rows and columns must name axes"),
        (lambda: matrices(rows="0"), TypeError, "rows must be a whole number; got '0'"),
        (lambda: matrices(rows=(0, 0.5)), TypeError, r"rows\[1\] must be a whole number; got 0.5"),
        (lambda: matrices(columns=()), ValueError, "columns must name an axis"),
        (lambda: matrices(blocks=4), TypeError, "blocks must be two sizes"),
        (lambda: matrices(blocks=(0, 4)), ValueError, r"blocks\[0\] must be at least 1; got 0"),
        (lambda: gradtx.in_frame(gradtx.scale(1.0), matrices), TypeError, r"call it, matrices\(\)"),
        (lambda: gradtx.in_frame(gradtx.scale(1.0), "svd"), TypeError, "frame must be a frame.*got 'svd'"),
        (lambda: gradtx.in_frame(gradtx.scale(1.0), identity(), carry="trun"), ValueError, "did you mean 'turn'"),
        (
            lambda: gradtx.in_frame(gradtx.sam(gradtx.sgd(0.1)), matrices()),
            TypeError,
            "sam needs grad_fn, which belongs to the coordinates that the parameters have outside",
        ),
    ],
)
def test_bad_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (matrices(blocks=(2, 3)), "leaf at net/w has shape .4, 10.: its 10 columns cannot be cut into blocks of 3"),
        (matrices(rows=(0, 1), columns=2), "leaf at net/w has shape .4, 10.: columns=2 name axis 2, which it lacks"),
        (matrices(rows=0, columns=-2), "leaf at net/w has shape .4, 10.: rows=0 and columns=-2 name an axis twice"),
        (matrices(rows=None, columns=(0, 1)), "leaf at net/w .*leave no axis there for one of them"),
    ],
)
def test_leaves_that_a_frame_cannot_take(frame, words):
    with pytest.raises(ValueError, match=words):
        gradtx.in_frame(gradtx.scale(1.0), frame).init({"net": {"w": jnp.ones((4, 10))}})


def test_extras_of_the_coordinates_outside_are_refused():
    """Where something inside might use them; others pass."""

    def update(updates, state, params=None, **extra):
        return updates, state

    tx = gradtx.in_frame((lambda params: gradtx.EmptyState(), update), matrices())
    x = jnp.ones((2, 2))
    tx.update(x, tx.init(x), x, value=1.0)
    with pytest.raises(TypeError, match=r"value_fn was given for .*belongs to the coordinates"):
        tx.update(x, tx.init(x), x, value_fn=jnp.sum)
    same = gradtx.in_frame((lambda params: gradtx.EmptyState(), update), identity())
    same.update(x, same.init(x), x, value_fn=jnp.sum)


def test_updates_of_another_tree_are_refused():
    tx = gradtx.in_frame(gradtx.scale(1.0), matrices())
    with pytest.raises(ValueError, match="the updates have other leaves than the state was made for"):
        tx.update({"a": jnp.ones(2), "b": jnp.ones(2)}, tx.init({"a": jnp.ones(2)}))


class Halves(Frame):
    """A user's frame that lacks everything."""


def test_a_frame_without_methods_says_which_one_it_lacks():
    with pytest.raises(NotImplementedError, match="Halves has no takes"):
        gradtx.in_frame(gradtx.scale(1.0), Halves()).init(jnp.ones(2))


@pytest.mark.parametrize(
    ("spec", "rows"), [((None, None, "x"), (0, 1)), ((None, "x", None), (1, 0)), (("x", None, None), (0, 1))], ids=str
)
def test_eight_devices(spec, rows):
    """The numbers of one device, and no device has more of the state than its part."""
    mesh = Mesh(np.asarray(jax.devices()[:8]), ("x",))
    params = {"w": jnp.asarray(np.random.default_rng(0).normal(size=(8, 16, 24)), jnp.float32)}
    split = jax.device_put(params, NamedSharding(mesh, PartitionSpec(*spec)))
    tx = gradtx.in_frame(gradtx.scale_by_adam(), matrices(rows))
    step = jax.jit(lambda g, s, p: tx.step(g, s, p))
    new, state = step(split, tx.init(split), split)
    expected, _ = step(params, tx.init(params), params)
    np.testing.assert_allclose(new["w"], expected["w"], rtol=1e-6)
    assert new["w"].sharding.is_equivalent_to(split["w"].sharding, 3)
    for moments in (tx.init(split).inner, jax.jit(tx.init)(split).inner, state.inner):
        for leaf in (moments.mu["w"], moments.nu["w"]):
            assert leaf.shape == (128, 24)
            assert leaf.addressable_shards[0].data.size * 8 == leaf.size


def test_a_reshape_costs_no_memory():
    """The step needs no temporary of the size of a leaf, as the step without the frame."""
    params = jnp.ones((4, 64, 128))
    step = jax.jit(lambda p, s, g: gradtx_step(p, s, g), donate_argnums=(0, 1))
    tx = gradtx.in_frame(gradtx.adam(0.1), matrices(rows=None))

    def gradtx_step(p, s, g):
        return tx.step(g, s, p)

    memory = step.lower(params, tx.init(params), params).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 1000
