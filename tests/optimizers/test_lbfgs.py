"""L-BFGS to the optimum that SciPy finds: Rosenbrock's function and a logistic regression, with either search."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize
from sklearn.datasets import load_wine

import gradtx
from tests.double import enable_x64

ZOOM = gradtx.lbfgs()
BACKTRACKING = gradtx.lbfgs(linesearch=gradtx.scale_by_backtracking_linesearch(25, store_grad=True))
BOTH = pytest.mark.parametrize("tx", [ZOOM, BACKTRACKING], ids=["zoom", "backtracking"])
STEPS = 90


def rosenbrock(w):
    return jnp.sum(100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2)


@functools.cache
def wine():
    x, y = load_wine(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), np.eye(3)[y]


def logistic(w):
    """The mean cross entropy of three classes, with l2 of 0.01."""
    x, y = (jnp.asarray(a.astype(w["bias"].dtype)) for a in wine())
    logits = jax.nn.log_softmax(x @ w["weight"] + w["bias"][None])
    return -jnp.mean(jnp.sum(y * logits, axis=1)) + 0.005 * jnp.sum(w["weight"] ** 2)


PROBLEMS = {
    "rosenbrock-2": (rosenbrock, np.array([-1.2, 1.0])),
    "rosenbrock-10": (rosenbrock, np.zeros(10)),
    "wine": (logistic, {"weight": np.zeros((13, 3)), "bias": np.zeros(3)}),
}
EACH = pytest.mark.parametrize("name", PROBLEMS)


@functools.partial(jax.jit, static_argnums=(0, 1, 3))
def scanned(tx, f, w, steps):
    def step(carry, _):
        w, state = carry
        value, grad = gradtx.value_and_grad_from_state(f)(w, state=state)
        updates, state = tx.update(grad, state, w, value=value, grad=grad, value_fn=f)
        search = state[tx.linesearch.name]
        return (gradtx.apply_updates(w, updates), state), (search.info, search.value)

    (w, _), seen = jax.lax.scan(step, (w, tx.init(w)), length=steps)
    return w, *seen


def run(tx, f, w, steps=STEPS):
    """The parameters after some steps, and what the search said of each."""
    w, infos, values = scanned(tx, f, w, steps)
    return w, jax.tree.map(np.asarray, infos), np.asarray(values)


@functools.cache
def scipys(name):
    """The optimum by `minimize(method="L-BFGS-B")` in float64, as one vector, its value, and the points it tried."""
    f, start = PROBLEMS[name]
    with enable_x64(True):
        first, tree = ravel_pytree(jax.tree.map(jnp.asarray, start))
        both = jax.jit(jax.value_and_grad(lambda x: f(tree(x))))
        options = {"maxiter": 1000, "maxfun": 2000, "ftol": 0.0, "gtol": 1e-10, "maxcor": 10}

        def numbers(x):
            return jax.tree.map(np.asarray, both(jnp.asarray(x)))

        found = minimize(numbers, np.asarray(first), jac=True, method="L-BFGS-B", options=options)
    return found.x, float(found.fun), found.nfev


def flat(w):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(w)])


def start(name, dtype):
    f, w = PROBLEMS[name]
    return f, jax.tree.map(lambda x: jnp.asarray(x.astype(dtype)), w)


@BOTH
@EACH
def test_the_optimum_in_float64(tx, name):
    """To 5e-8 of SciPy's parameters, which are themselves that exact, and to 1e-15 of its value."""
    want, lowest, _ = scipys(name)
    with enable_x64(True):
        f, w = start(name, np.float64)
        w, _, values = run(tx, f, w)
        assert float(f(w)) <= lowest + 1e-15
        slope = max(np.max(np.abs(g)) for g in jax.tree.leaves(jax.jit(jax.grad(f))(w)))
    np.testing.assert_allclose(flat(w), want, rtol=0, atol=5e-8)
    assert slope <= (1e-12 if tx is ZOOM else 1e-9)
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(values))


@BOTH
@EACH
def test_the_optimum_in_float32(tx, name):
    """The value to 1e-11 and the parameters to 1e-5; by values alone, which see a square root of the digits, to three
    roundings of the value and to 1e-3."""
    want, lowest, _ = scipys(name)
    f, w = start(name, np.float32)
    w, infos, _ = run(tx, f, w)
    with enable_x64(True):
        value = float(f(jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), w)))
    assert value <= lowest + (1e-11 if tx is ZOOM else max(1e-11, 3 * np.spacing(np.float32(lowest))))
    np.testing.assert_allclose(flat(w), want, rtol=0, atol=1e-5 if tx is ZOOM else 1e-3)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(infos))


@EACH
def test_points_tried_are_about_as_many_as_scipys(name):
    """Up to a gradient of 1e-6 of the first, in float64."""
    with enable_x64(True):
        f, w = start(name, np.float64)
        _, lowest, points = scipys(name)
        _, infos, values = run(ZOOM, f, w)
    tried = np.cumsum(infos.num_linesearch_steps)
    assert tried[np.argmax(values <= lowest + 1e-14)] <= 1.2 * points + 5


@BOTH
def test_many_starting_points_at_once(tx):
    """Under vmap in a scan; each goes where it goes alone."""
    starts = jnp.array([[-1.2, 1.0], [0.0, 0.0], [3.0, -2.0], [1.0, 1.0], [-0.5, 2.5]])

    def solve(w):
        def step(carry, _):
            w, state = carry
            value, grad = gradtx.value_and_grad_from_state(rosenbrock)(w, state=state)
            updates, state = tx.update(grad, state, w, value=value, grad=grad, value_fn=rosenbrock)
            return (gradtx.apply_updates(w, updates), state), value

        (w, _), values = jax.lax.scan(step, (w, tx.init(w)), length=80)
        return w, values

    got, values = jax.jit(jax.vmap(solve))(starts)
    np.testing.assert_allclose(got, np.ones((5, 2)), atol=1e-3)
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values[3], 0.0)  # the optimum from the first


@BOTH
def test_a_function_with_a_region_of_nan(tx):
    """The logarithmic barrier of w > 0, from far: full steps lead out of the domain."""

    def barrier(w):
        return jnp.sum(jnp.array([1.0, 2.0, 3.0]) * w - jnp.log(w))

    w, _, values = run(tx, barrier, jnp.array([30.0, 0.01, 5.0]), 40)
    np.testing.assert_allclose(w, [1.0, 1 / 2, 1 / 3], rtol=2e-3)
    assert np.isfinite(values).all()
    assert all(b <= a + 1e-6 * abs(a) for a, b in itertools.pairwise(values))


@BOTH
def test_a_flat_function_and_a_start_at_the_optimum(tx):
    for f, w in ((lambda w: 0 * jnp.sum(w) + 2.0, jnp.array([1.0, -2.0])), (rosenbrock, jnp.ones(3))):
        got, infos, values = run(tx, f, w, 5)
        np.testing.assert_array_equal(got, w)
        assert not np.any(infos.failed)
        assert np.isfinite(values).all()


@BOTH
def test_leaves_that_are_not_trained(tx):
    params = {"w": jnp.array([-1.2, 1.0]), "scale": jnp.array(2), "none": None}

    def f(p):
        return rosenbrock(p["w"]) * p["scale"].astype(jnp.float32)

    got, _, _ = run(tx, f, params, 60)
    np.testing.assert_allclose(got["w"], [1.0, 1.0], atol=1e-3)
    assert int(got["scale"]) == 2
    assert got["none"] is None


def test_complex_parameters():
    """A complex vector as two real ones; the gradient is the conjugate of `jax.grad`'s, which the state gives."""

    def f(z):
        return rosenbrock(jnp.concatenate([z.real, z.imag]))

    got, _, _ = run(ZOOM, f, jnp.zeros(2, jnp.complex64), 60)
    np.testing.assert_allclose(got, [1 + 1j, 1 + 1j], atol=1e-3)


def test_after_a_search_that_failed_the_memory_is_empty():
    f, w = start("rosenbrock-2", np.float32)
    tx = BACKTRACKING.replace(linesearch=gradtx.scale_by_backtracking_linesearch(1, slope_rtol=0.9))
    state = tx.init(w)
    step = jax.jit(lambda g, state, w: tx.update(g, state, w, value=None, grad=None, value_fn=f))
    kept = []
    for _ in range(6):
        u, state = step(jax.grad(f)(w), state, w)
        kept.append((bool(state["scale_by_backtracking_linesearch"].info.failed), not np.any(u)))
        w = gradtx.apply_updates(w, u)
        if kept[-1] == (True, True):
            _, state = step(jax.grad(f)(w), state, w)
            np.testing.assert_array_equal(state["scale_by_lbfgs"].weights_memory, 0.0)
            return
    raise AssertionError(kept)


def test_without_a_search_it_is_the_rate_alone():
    tx, w = gradtx.lbfgs(0.5, linesearch=None), jnp.array([1.0, 2.0])
    assert tx == gradtx.lbfgs(0.5, linesearch=None)
    assert list(tx.init(w)) == ["scale_by_lbfgs"]
    u, _ = jax.jit(tx.update)(jnp.array([0.3, 0.4]), tx.init(w), w)
    np.testing.assert_allclose(u, [-0.15, -0.2], rtol=1e-6)
    u, _ = jax.jit(gradtx.lbfgs(linesearch=None).update)(jnp.array([0.3, 0.4]), tx.init(w), w)
    np.testing.assert_allclose(u, [-0.3, -0.4], rtol=1e-6)


def test_a_clip_holds_steps_where_the_curvature_nearly_vanishes():
    """Himmelblau's function between its valleys: a cosine of 0.01 makes a step of hundreds if nothing shortens it."""

    def himmelblau(w):
        return (w[0] ** 2 + w[1] - 11) ** 2 + (w[0] + w[1] ** 2 - 7) ** 2

    directions = gradtx.lbfgs(1e-3, linesearch=None, scale_init_precond=False)
    tx = gradtx.chain(directions, gradtx.clip_by_global_norm(0.01))

    @jax.jit
    @jax.vmap
    def values(w):
        def step(carry, _):
            w, state = carry
            value, grad = jax.value_and_grad(himmelblau)(w)
            updates, state = tx.update(grad, state, w)
            return (gradtx.apply_updates(w, updates), state), value

        return jax.lax.scan(step, (w, tx.init(w)), length=6000)[1]

    seen = np.asarray(values(np.float32([(0, 0), (1, 1), (-1, -1), (-0.3, -0.9), (4, -1)])))
    assert np.max(np.diff(seen)) < 0.5
    assert np.max(seen[:, -1]) < 0.1


def test_the_search_is_an_argument_like_any_other():
    tx = gradtx.lbfgs()
    assert tx.linesearch == gradtx.scale_by_zoom_linesearch(20, initial_guess_strategy="one")
    other = tx.replace(linesearch=tx.linesearch.replace(curv_rtol=0.5))
    assert other != tx
    assert eval(repr(other), vars(gradtx)) == other
    assert len(jax.tree.leaves(tx)) == len(jax.tree.leaves(tx.linesearch))
    with pytest.raises(TypeError, match="lbfgs: linesearch must be a transformation or a pair"):
        gradtx.lbfgs(linesearch="zoom")
    with pytest.raises(TypeError, match="scale_by_zoom_linesearch needs value: call update"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2))
