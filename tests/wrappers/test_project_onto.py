"""`project_onto`: steps and projections against float64, the ends to the bit, and what it refuses."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import project_onto, sets, sgd
from tests.reference_averages import walk
from tests.sharding.meshes import EXPLICIT, mesh_of, put
from tests.transforms.agreement import enable_x64, gradients

RATE = 0.125
W0 = np.linspace(-3, 3, 48).reshape(6, 8).astype(np.float32)
GS = np.tanh(gradients()).reshape(-1, 6, 8)  # of both signs, many near 1 in size, some tiny, some 0


def projected_descent(gs, w, rate, project):
    """w = P(w - rate·g), in float64."""
    path, w = [], w.astype(np.float64)
    for g in gs.astype(np.float64):
        w = project(w - rate * g)
        path.append(w)
    return np.stack(path)


def on_simplex(x):
    """By the definition: the largest k for which the k-th largest entry stays above 0."""
    s = np.sort(x.ravel())[::-1]
    cuts = (np.cumsum(s) - 1) / np.arange(1, s.size + 1)
    return np.maximum(x - cuts[s > cuts][-1], 0)


def polar(x):
    u, _, vt = np.linalg.svd(x, full_matrices=False)
    return u @ vt


R0 = np.linalg.norm(W0.astype(np.float64))
LOOPS = {
    sets.box(-1.0, 2.0): lambda x: np.clip(x, -1, 2),
    sets.nonnegative(): lambda x: np.maximum(x, 0),
    sets.sphere(): lambda x: x * (R0 / np.linalg.norm(x)),
    sets.sphere(2.0, axis=0): lambda x: x * (2 / np.linalg.norm(x, axis=0, keepdims=True)),
    sets.l2_ball(2.0): lambda x: x * min(1, 2 / np.linalg.norm(x)),
    sets.simplex(): on_simplex,
    sets.stiefel(): polar,
}


@pytest.mark.parametrize("onto", LOOPS, ids=repr)
def test_projected_descent(onto):
    """1,000 steps, within what the docstring says, and to 1e-12 in float64."""
    text = " ".join(project_onto.factory.body.__doc__.split())
    bounds = re.findall(r"Within (\d+) ulp of the largest parameter over 1,000 steps .*stiefel\(\), within (\d+)", text)
    bound = bounds[0][onto == sets.stiefel()]
    tx = project_onto(sgd(RATE), onto)
    want = projected_descent(GS, W0, RATE, LOOPS[onto])
    off = np.max(np.abs(np.asarray(walk(tx, GS, W0)[0], np.float64) - want)) / np.spacing(np.float32(abs(want).max()))
    assert off <= int(bound)
    with enable_x64(True):
        got = np.asarray(walk(tx, GS.astype(np.float64), W0.astype(np.float64))[0])
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11 * abs(want).max())


def test_everywhere_is_the_inner_transformation_to_the_bit():
    """Also the update -0, which leaves a parameter of -0 as it is."""
    tx, w = project_onto(gradtx.identity(), sets.everywhere()), jnp.array([-0.0, 1.0])
    updates, state = tx.update(jnp.array([-0.0, 1e-9]), tx.init(w), w)
    np.testing.assert_array_equal(np.signbit(updates), [True, False])
    np.testing.assert_array_equal(updates, jnp.array([-0.0, 1e-9]))
    assert not jax.tree.leaves(state)


def test_inside_the_set_the_update_is_the_inner_one_to_the_bit():
    tx, w = project_onto(sgd(1.0), sets.box(-1.0, 1.0)), jnp.array([0.5, 0.5])
    updates, _ = tx.update(jnp.array([1e-9, -1.0]), tx.init(w), w)
    np.testing.assert_array_equal(updates, np.array([-1e-9, 0.5], np.float32))


def test_a_bound_of_zero_is_reached_exactly():
    """From any number, so that no entry is ever below it."""
    w = jnp.asarray(np.abs(gradients()[0]) + np.float32(1e-3))
    tx = project_onto(sgd(1.0), sets.nonnegative())
    updates, _ = tx.update(10 * w, tx.init(w), w)
    np.testing.assert_array_equal(gradtx.apply_updates(w, updates), np.zeros_like(w))


def test_the_sphere_is_that_of_the_initial_parameters():
    """Of each leaf, and in half precision to the digits of its type. The state keeps the norms in float32."""
    w = {"a": jnp.asarray(W0), "b": jnp.asarray(W0[0], jnp.bfloat16), "n": jnp.arange(3)}
    tx = project_onto(gradtx.adam(0.1), sets.sphere())
    state, now = tx.init(w), w
    assert jax.tree.map(lambda x: (x.dtype.name, x.shape), state.start) == {
        "a": ("float32", ()),
        "b": ("float32", ()),
        "n": None,
    }
    step = jax.jit(tx.step)
    for g in GS[:5]:
        now, state = step({"a": g, "b": g[0].astype(jnp.bfloat16), "n": None}, state, now)
    for leaf, rtol in (("a", 3e-7), ("b", 4e-3)):
        norms = [np.linalg.norm(np.asarray(x[leaf], np.float64)) for x in (w, now)]
        np.testing.assert_allclose(norms[1], norms[0], rtol=rtol)
        assert (w[leaf] != now[leaf]).any()


def test_a_scalar_on_a_sphere_keeps_its_size():
    tx, w = project_onto(sgd(1.0), sets.sphere()), jnp.float32(2.0)
    u, state = tx.update(jnp.float32(1.5), tx.init(w), w)
    assert float(w + u) == 2.0
    u, _ = tx.update(jnp.float32(5.0), state, w)
    assert float(w + u) == -2.0


def test_what_starts_at_zero():
    """An error outside jit. Under jit, where it is not known, it stays at 0. With a radius it moves at once."""
    w = {"layers": [{"w": jnp.zeros((2, 2)), "b": jnp.ones(2)}]}
    g = jax.tree.map(jnp.ones_like, w)
    tx = project_onto(sgd(0.1), sets.sphere())
    with pytest.raises(ValueError, match=r"sphere\(.*: the parameter at layers/0/w starts at 0, and would stay there"):
        tx.init(w)
    state = jax.jit(tx.init)(w)
    for _ in range(2):
        updates, state = tx.update(g, state, w)
        np.testing.assert_array_equal(updates["layers"][0]["w"], np.zeros((2, 2)))
    tx = project_onto(sgd(0.1), sets.sphere(1.0))
    updates, _ = tx.update(g, tx.init(w), w)
    np.testing.assert_allclose(updates["layers"][0]["w"], -0.5 * np.ones((2, 2)), rtol=1e-6)


def test_leaves_that_a_set_cannot_take():
    tree = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(3), "z": jnp.ones((2, 2), jnp.complex64)}
    for onto, words in (
        (
            sets.stiefel(),
            r"stiefel\(\) cannot take the parameter at bias, float32 of shape \(3,\): it must be a matrix",
        ),
        (sets.nonnegative(), r"box\(.* at z, complex64 of shape \(2, 2\): it must be real"),
        (sets.simplex(), "simplex.* at z, .*: it must be real"),
        (sets.sphere(axis=1), "at bias, .*: it must be an array with axis 1"),
        (sets.l2_ball(axis=(0, -1)), r"at bias, .*: it must be an array where \(0, -1\) are different axes"),
        (sets.line(((1.0, 2.0),)), r"at bias, .*: it must be of shape \(1, 2\); give this leaf another"),
    ):
        with pytest.raises(ValueError, match=words):
            project_onto(sgd(0.1), onto).init(tree)
    with pytest.raises(ValueError, match=r"at empty, .*: it must be an array with at least one entry"):
        project_onto(sgd(0.1), sets.simplex()).init({"empty": jnp.ones(0)})
    rules = {"kernel": project_onto(sgd(0.1), sets.stiefel()), "**": sgd(0.1)}
    jax.eval_shape(gradtx.route(rules).init, tree)


def test_hostile_arguments():
    with pytest.raises(
        TypeError, match=r"onto must be a set, such as gradtx.sets.sphere\(\); got .*: call it, sphere\(\)"
    ):
        project_onto(sgd(0.1), sets.sphere)
    with pytest.raises(TypeError, match="onto must be a set"):
        project_onto(sgd(0.1), 1.0)
    inside = project_onto(sgd(0.1), sets.nonnegative())
    with pytest.raises(ValueError, match="changes the updates of project_onto, which must be added unchanged"):
        project_onto(inside, sets.box(-1, 1))
    with pytest.raises(ValueError, match="changes the updates of project_onto"):
        gradtx.chain(inside, gradtx.scale(2.0))
    with pytest.raises(ValueError, match="project_onto needs the parameters"):
        inside.update(jnp.ones(2), inside.init(jnp.ones(2)))


def test_optax_keeps_parameters_nonnegative_in_the_same_way():
    """To the bit, over 50 steps."""
    optax = pytest.importorskip("optax")
    w, gs = jnp.abs(jnp.asarray(W0)), GS[:50]
    theirs = optax.chain(optax.sgd(RATE), optax.keep_params_nonnegative())
    path, want = (walk(tx, gs, w)[0] for tx in (project_onto(sgd(RATE), sets.nonnegative()), theirs))
    np.testing.assert_array_equal(path, want)
    assert (np.asarray(path) == 0).any()


ON_MESHES = [
    sets.simplex(),
    sets.simplex(axis=0),
    sets.l1_ball(axis=1),
    sets.l1_sphere(),
    sets.stiefel(),
    sets.sphere(),
]


@pytest.mark.parametrize("onto", ON_MESHES, ids=repr)
def test_an_explicit_mesh_gives_the_numbers_of_one_device(onto):
    """A set need not know how a parameter is split: sorts and decompositions are of whole axes."""
    mesh = mesh_of(8, kind=EXPLICIT, names=("x",))
    w, tx = np.random.default_rng(0).normal(size=(16, 24)).astype(np.float32), project_onto(sgd(RATE), onto)
    update = jax.jit(tx.update)
    want = np.asarray(update(w, tx.init(w), w)[0])
    for spec in (("x", None), (None, "x")):
        split = put(mesh, w, *spec)
        updates, _ = update(split, tx.init(split), split)
        np.testing.assert_allclose(updates, want, atol=1e-6)
        assert jax.typeof(updates) == jax.typeof(split)


def test_everywhere_on_an_explicit_mesh_is_the_inner_update_to_the_bit():
    """Also where the update is not finite."""
    mesh = mesh_of(8, kind=EXPLICIT, names=("x",))
    g = np.array([-0.0, np.nan, np.inf, 1.0, 2.0, 3.0, 4.0, 1e-30], np.float32)
    g, w = (put(mesh, x, "x") for x in (g, np.ones(8, np.float32)))
    tx = project_onto(gradtx.identity(), sets.everywhere())
    np.testing.assert_array_equal(np.asarray(tx.update(g, tx.init(w), w)[0]).view("u4"), np.asarray(g).view("u4"))
