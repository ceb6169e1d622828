"""Sets: their projections are in the set, nearest, where optax says, and right for extreme numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import sets
from tests.transforms.agreement import enable_x64

A = ((1.0, -2.0, 0.5), (0.25, 0.0, 3.0))
X = np.random.default_rng(3).standard_normal((4, 2, 3))
INSIDE = {  # set -> whether a point is in it
    sets.everywhere(): lambda x: True,
    sets.box(-0.5, 0.25): lambda x: x.min() >= -0.5 and x.max() <= 0.25,
    sets.nonnegative(): lambda x: x.min() >= 0,
    sets.hypercube(0.5): lambda x: x.min() >= 0 and x.max() <= 0.5,
    sets.linf_ball(0.5): lambda x: abs(x).max() <= 0.5,
    sets.l2_ball(0.5): lambda x: np.linalg.norm(x) <= 0.5 * (1 + 1e-12),
    sets.l2_ball(0.5, axis=1): lambda x: np.linalg.norm(x, axis=1).max() <= 0.5 * (1 + 1e-12),
    sets.sphere(2.0): lambda x: abs(np.linalg.norm(x) - 2) < 1e-12,
    sets.sphere(2.0, axis=(0, 1)): lambda x: abs(np.linalg.norm(x) - 2) < 1e-12,
    sets.sphere(2.0, axis=0): lambda x: abs(np.linalg.norm(x, axis=0) - 2).max() < 1e-12,
    sets.l1_ball(1.5): lambda x: abs(x).sum() <= 1.5 + 1e-12,
    sets.l1_ball(0.5, axis=-1): lambda x: abs(x).sum(-1).max() <= 0.5 + 1e-12,
    sets.l1_sphere(1.5): lambda x: abs(abs(x).sum() - 1.5) < 1e-12,
    sets.simplex(2.0): lambda x: x.min() >= 0 and abs(x.sum() - 2) < 1e-12,
    sets.simplex(1.0, axis=0): lambda x: x.min() >= 0 and abs(x.sum(0) - 1).max() < 1e-12,
    sets.hyperplane(A, 0.5): lambda x: abs((np.array(A) * x).sum() - 0.5) < 1e-12,
    sets.halfspace(A, -0.5): lambda x: (np.array(A) * x).sum() <= -0.5 + 1e-12,
    sets.line(A): lambda x: np.linalg.matrix_rank(np.stack([np.ravel(A), x.ravel()]), 1e-10) == 1,
    sets.stiefel(): lambda x: abs(x @ x.T - np.eye(2)).max() < 1e-12,
}
IN_OPTAX = {
    "projection_box": (sets.box(-0.5, 0.25), (-0.5, 0.25)),
    "projection_non_negative": (sets.nonnegative(), ()),
    "projection_hypercube": (sets.hypercube(0.5), (0.5,)),
    "projection_linf_ball": (sets.linf_ball(0.5), (0.5,)),
    "projection_l2_ball": (sets.l2_ball(0.5), (0.5,)),
    "projection_l2_sphere": (sets.sphere(2.0), (2.0,)),
    "projection_l1_ball": (sets.l1_ball(1.5), (1.5,)),
    "projection_l1_sphere": (sets.l1_sphere(1.5), (1.5,)),
    "projection_simplex": (sets.simplex(2.0), (2.0,)),
    "projection_hyperplane": (sets.hyperplane(A, 0.5), (jnp.array(A), 0.5)),
    "projection_halfspace": (sets.halfspace(A, -0.5), (jnp.array(A), -0.5)),
    "projection_vector": (sets.line(A), (jnp.array(A),)),
}


@functools.partial(jax.jit, static_argnums=0)
def project(onto, x):
    return onto.project(x, onto.starts(x))


def projected(onto, x):
    with enable_x64(True), jax.numpy_dtype_promotion("standard"):
        return np.asarray(project(onto, jnp.asarray(x, jnp.float64)))


@pytest.mark.parametrize("onto", INSIDE, ids=repr)
def test_the_point_is_in_the_set_and_the_nearest_of_it(onto):
    """It is in the set; it is its own projection; no other point of the set, found by projecting, is nearer."""
    for x in X:
        p = projected(onto, x)
        assert INSIDE[onto](p)
        np.testing.assert_allclose(projected(onto, p), p, rtol=1e-12, atol=1e-13)
        for other in [*X, *(p + 0.01 * X), *(p - 0.1 * X)]:
            assert np.linalg.norm(x - p) <= np.linalg.norm(x - projected(onto, other)) + 1e-12


@pytest.mark.parametrize("name", IN_OPTAX)
def test_optax(name):
    """Of one array it does the same, to 1e-12 in float64."""
    projections = pytest.importorskip("optax").projections
    onto, arguments = IN_OPTAX[name]
    with enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for x in X:
            arguments = [jnp.asarray(a, jnp.float64) for a in arguments]
            want = getattr(projections, name)(jnp.asarray(x), *arguments)
            np.testing.assert_allclose(projected(onto, x), want, rtol=1e-12, atol=1e-12)


def test_every_projection_of_optax_has_a_set():
    projections = pytest.importorskip("optax").projections
    assert {n for n in dir(projections) if n.startswith("projection_")} == IN_OPTAX.keys()
    assert all(name in sets.__doc__ for name in IN_OPTAX)


@pytest.mark.parametrize("onto", [onto for onto in INSIDE if getattr(onto, "axis", None) is None], ids=repr)
def test_huge_and_tiny_points_in_float32(onto):
    """Finite, and in the set as far as float32 goes."""
    with jax.numpy_dtype_promotion("standard"):
        for size in (0.0, 1e-30, 1e25):
            x = jnp.asarray(np.sign(X[0]) * size, jnp.float32)
            p = np.asarray(onto.project(x, onto.starts(x)))
            assert np.isfinite(p).all()
            if "simplex" in repr(onto):
                np.testing.assert_allclose(p.sum(), 2.0, rtol=1e-6)
            if "l1" in repr(onto):
                assert abs(p).sum() <= 1.5 * (1 + 1e-6)
            if "sphere(r" in repr(onto) and "l1" not in repr(onto):
                np.testing.assert_allclose(np.linalg.norm(p.astype(np.float64)), 2.0, rtol=1e-6)


def test_a_long_simplex_keeps_its_sum():
    """A million entries in float32, of which half a million stay."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal(1_000_000) * 1e-6, jnp.float32)
    p = np.asarray(sets.simplex().project(x, None), np.float64)
    np.testing.assert_allclose(p.sum(), 1.0, rtol=2e-6)


def test_worked_examples():
    """(0.8, 0.6, 0.1) on the simplex loses 1/6 each, and the last would be below 0: so 0.2 for the first two."""
    np.testing.assert_allclose(projected(sets.simplex(), [0.8, 0.6, 0.1]), [0.6, 0.4, 0.0], rtol=1e-15)
    np.testing.assert_allclose(projected(sets.stiefel(), np.diag([3.0, -2.0])), np.diag([1.0, -1.0]), atol=1e-15)
    np.testing.assert_allclose(projected(sets.sphere(), [[3.0, 4.0]]), [[3.0, 4.0]], rtol=1e-15)


def test_complex_matrices_become_unitary():
    x = (
        np.random.default_rng(0).standard_normal((2, 3, 5))
        @ np.array([1, 1j] + [0] * 3).reshape(5, 1)
        * np.ones((1, 3))
    )
    x = x + np.eye(3)
    with enable_x64(True):
        p = np.asarray(sets.stiefel().project(jnp.asarray(x), None))
    np.testing.assert_allclose(p @ p.conj().swapaxes(-1, -2), np.broadcast_to(np.eye(3), p.shape), atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 3), (2, 3, 2)])
def test_the_derivative_of_the_orthogonal_factor(shape):
    """As finite differences say, also where all singular values are equal."""
    with enable_x64(True), jax.numpy_dtype_promotion("standard"):
        r = np.random.default_rng(1)
        d = r.standard_normal(shape)
        project = jax.jit(lambda x: sets.stiefel().project(x, None))
        derivative = jax.jit(lambda x: jax.jvp(project, (x,), (d,))[1])
        for x in (r.standard_normal(shape), np.asarray(project(r.standard_normal(shape)))):
            difference = np.asarray(project(x + 1e-5 * d)) - project(x - 1e-5 * d)
            np.testing.assert_allclose(derivative(x), difference / 2e-5, rtol=1e-7, atol=1e-7)
        assert np.isfinite(jax.jit(jax.grad(lambda x: project(x).sum()))(np.zeros(shape))).all()


@pytest.mark.parametrize("onto", INSIDE, ids=repr)
def test_values(onto):
    back = eval(repr(onto), {"sets": sets, "inf": np.inf})
    assert (back, hash(back)) == (onto, hash(onto))
    assert isinstance(onto, sets.Set)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: sets.sphere(0.0), ValueError, "radius must be finite and greater than 0; got 0.0"),
        (lambda: sets.sphere(-1.0), ValueError, "radius must be"),
        (lambda: sets.sphere(jnp.ones(())), TypeError, "radius must be a Python number"),
        (lambda: sets.sphere(axis=1.5), TypeError, "axis must be a whole number, a tuple of them, or None; got 1.5"),
        (lambda: sets.l2_ball(np.inf), ValueError, "radius must be finite"),
        (lambda: sets.simplex(0), ValueError, "total must be finite and greater than 0; got 0"),
        (lambda: sets.simplex(axis=(0, 1)), TypeError, "axis must be a whole number or None"),
        (lambda: sets.box(2.0, 1.0), ValueError, "lower must not be greater than upper; got 2.0 and 1.0"),
        (lambda: sets.box(float("nan")), ValueError, "lower must not be greater"),
        (lambda: sets.box("0"), TypeError, "lower must be a Python number; got '0'"),
        (lambda: sets.hypercube(-1), ValueError, "side must be finite and at least 0"),
        (lambda: sets.linf_ball(True), TypeError, "radius must be a Python number"),
        (lambda: sets.line((0.0, 0.0)), ValueError, "a must be finite real numbers, not all 0"),
        (lambda: sets.hyperplane((1.0,), np.nan), ValueError, "b must be finite"),
    ],
)
def test_hostile_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_orthogonal_factors_are_multiplied_at_full_precision():
    """Also in the derivative. An accelerator would otherwise multiply with three digits."""
    text = str(jax.make_jaxpr(jax.grad(lambda x: jnp.sum(sets.stiefel().project(x, None))))(jnp.ones((3, 2))))
    assert text.count("dot_general[") == text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") >= 5


def test_the_derivative_of_the_simplex():
    """Among the entries above 0 it takes out the mean, the largest entry included."""
    jacobian = jax.jacrev(lambda x: sets.simplex().project(x, None))(jnp.array([0.7, 0.4, 0.5, -2.0]))
    inside = jnp.diag(jnp.array([1.0, 1.0, 1.0, 0.0]))
    np.testing.assert_allclose(jacobian, inside - jnp.outer(jnp.diag(inside), jnp.diag(inside)) / 3, atol=1e-6)
