"""`remove_radial` and `floor_by_weight_norm` against their formulas in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import floor_by_weight_norm, remove_radial
from tests.reference_norms import Held
from tests.transforms import agreement
from tests.transforms.agreement import Case, enable_x64

W = np.float32(np.random.default_rng(2).standard_normal((6, 8)) * 10.0 ** np.linspace(-2, 3, 8)).astype(np.float64)


def without_radial(gs, axis, factor=1.0, outward=False, keep_norm=False):
    """g - factor·w⟨w, g⟩/‖w‖², slice by slice, and back to its norm."""
    gs, w = gs.reshape(-1, 6, 8), W.astype(gs.dtype)
    axes = (-2, -1) if axis is None else axis
    dot = np.sum(w * gs, axes, keepdims=True)
    on = dot < 0 if outward else np.ones_like(dot, bool)
    u = gs - np.where(on, factor * dot / np.sum(w * w, axes, keepdims=True), 0) * w
    if keep_norm:
        norms = [np.sqrt(np.sum(x * x, axes, keepdims=True)) for x in (gs, u)]
        u = u * np.divide(norms[0], norms[1], where=norms[1] > 0, out=np.zeros_like(norms[0]))
    return u


def floored(gs, axis, ratio=0.35):
    gs, w = gs.reshape(-1, 6, 8), W.astype(gs.dtype)
    axes = (-2, -1) if axis is None else axis
    of_g, of_w = (np.sqrt(np.sum(x * x, axes, keepdims=True)) for x in (gs, w))
    return gs * np.maximum(1, np.divide(ratio * of_w, of_g, where=of_g > 0, out=np.ones_like(of_g)))


CASES = [
    Case(remove_radial(), partial(without_radial, axis=None), 20),
    Case(remove_radial(axis=0), partial(without_radial, axis=-2), 20),
    Case(remove_radial(0.5, "outward", axis=1), partial(without_radial, axis=-1, factor=0.5, outward=True), 20),
    Case(remove_radial(keep_norm=True), partial(without_radial, axis=None, keep_norm=True), 20),
    Case(floor_by_weight_norm(), partial(floored, axis=None), 12),
    Case(floor_by_weight_norm(2.0, axis=(0,)), partial(floored, axis=-2, ratio=2.0), 12),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement:
    """At the size of the largest entry of a leaf, since parts along the parameters are taken from it."""

    def run(self, case, gs, precision):
        want = case.reference(gs.astype(precision))
        got, _ = agreement.run(Held(case.tx, W), gs.reshape(-1, 6, 8))
        size = np.maximum(np.abs(gs).max(1), np.abs(want).max((1, 2)))[:, None, None]
        return np.asarray(got), want, np.broadcast_to(size, want.shape)

    def test_float32(self, case):
        got, want, size = self.run(case, agreement.gradients(), np.float64)
        assert agreement.ulps(got, want, size) <= case.ulp

    def test_float64(self, case):
        with enable_x64(True):
            got, want, size = self.run(case, agreement.gradients()[:300].astype(np.float64), np.longdouble)
        assert np.all(np.abs(got - want) <= 1e-12 * size)

    def test_docstring(self, case):
        agreement.assert_docstring_states(case)


def apply(tx, g, w):
    return tx.update(g, tx.init(w), w)[0]


def test_the_rest_turns_the_parameters():
    """It is orthogonal to them; with keep_norm it is as long as the gradient."""
    g = jnp.asarray(agreement.gradients()[3].reshape(6, 8))
    w = jnp.asarray(W, jnp.float32)
    u = np.asarray(apply(remove_radial(), g, w), np.float64)
    assert abs(np.sum(u * W)) <= 1e-6 * np.linalg.norm(u) * np.linalg.norm(W)
    u = apply(remove_radial(keep_norm=True), g, w)
    np.testing.assert_allclose(np.linalg.norm(u), np.linalg.norm(g), rtol=1e-6)


def test_only_outward():
    """A step -g along w makes w longer where w·g < 0."""
    tx, w = remove_radial(0.5, "outward"), jnp.array([2.0, 0.0])
    np.testing.assert_array_equal(apply(tx, jnp.array([-4.0, 1.0]), w), [-2.0, 1.0])
    np.testing.assert_array_equal(apply(tx, jnp.array([4.0, 1.0]), w), [4.0, 1.0])
    np.testing.assert_array_equal(apply(tx.replace(keep_norm=True), jnp.array([4.0, 1.0]), w), [4.0, 1.0])


def test_zeros():
    """Of w: nothing is radial. Of g: 0. A gradient that is only radial: 0, not its rounding, also with keep_norm."""
    w, g = jnp.asarray(W, jnp.float32), jnp.ones((6, 8))
    for keep_norm in (False, True):
        tx = remove_radial(keep_norm=keep_norm)
        np.testing.assert_array_equal(apply(tx, g, 0 * w), g)
        np.testing.assert_array_equal(apply(tx, 0 * g, w), 0 * g)
        rest = np.abs(apply(tx, 3 * w, w)).max()
        assert rest == 0 if keep_norm else rest <= 1e-6 * np.abs(W).max()
    np.testing.assert_array_equal(apply(floor_by_weight_norm(), 0 * g, w), 0 * g)
    np.testing.assert_array_equal(apply(floor_by_weight_norm(), g, 0 * w), g)


@pytest.mark.parametrize("tx", [remove_radial(0.0), remove_radial(0.0, keep_norm=True), floor_by_weight_norm(0.0)])
def test_neutral_settings_change_nothing_to_the_bit(tx):
    g = jnp.array([-0.0, 0.0, 1.5, -3e20])
    u = apply(tx, g, jnp.array([1.0, -1.0, 2.0, 0.0]))
    np.testing.assert_array_equal(u, g)
    np.testing.assert_array_equal(jnp.signbit(u), jnp.signbit(g))


@pytest.mark.parametrize("size", [1e-30, 1e20, 1e25])
def test_every_size(size):
    g, w = jnp.array([1.0, 1.0]) * size, jnp.array([3.0, 4.0]) * size
    np.testing.assert_allclose(apply(remove_radial(), g, w) / size, [0.16, -0.12], rtol=1e-5)
    np.testing.assert_allclose(
        apply(floor_by_weight_norm(10.0), g, w / size) / size, np.maximum(g, 50 / 2**0.5) / size, rtol=1e-6
    )


def test_complex_parameters_keep_their_length():
    w, g = jnp.array([3.0 + 4.0j]), jnp.array([1.0 + 0.0j])
    u = apply(remove_radial(), g, w)
    np.testing.assert_allclose((w.conj() * u).real, 0.0, atol=1e-6)
    np.testing.assert_allclose(u, [0.64 - 0.48j], rtol=1e-6)


def test_split_leaves():
    """With axis_name, the norms are those of all parts."""
    g, w = jnp.asarray(agreement.gradients()[:2].reshape(2, 48)), jnp.asarray(np.stack([W.ravel()] * 2), jnp.float32)
    for tx in (remove_radial(keep_norm=True), floor_by_weight_norm(3.0)):
        whole = apply(tx, g, w)
        parts = jax.vmap(partial(apply, tx.replace(axis_name="parts")), axis_name="parts")(g, w)
        np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6 * np.max(np.abs(whole)))


B = {"b": jnp.ones(3)}


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: remove_radial(1.5), ValueError, r"factor must be in \[0, 1\]; got 1.5"),
        (lambda: remove_radial(when="outwards"), ValueError, "did you mean 'outward'"),
        (lambda: remove_radial(axis=0.5), TypeError, "axis must be a whole number, a tuple of them, or None; got 0.5"),
        (lambda: floor_by_weight_norm(-0.1), ValueError, "ratio must be finite and at least 0"),
        (lambda: floor_by_weight_norm(axis_name=1), TypeError, "axis_name must be"),
        (
            lambda: apply(remove_radial(axis=1), B, B),
            ValueError,
            r"b has shape \(3,\), no axis 1",
        ),
        (
            lambda: apply(floor_by_weight_norm(axis=(0, -1)), B, B),
            ValueError,
            r"b has shape \(3,\), of which \(0, -1\) names one axis twice",
        ),
        (lambda: gradtx.remove_radial().update(jnp.ones(2), gradtx.EmptyState()), ValueError, "needs the parameters"),
    ],
)
def test_hostile_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()
