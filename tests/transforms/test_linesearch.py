"""Line searches: the conditions they promise, and where they begin."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.sharding import Mesh, PartitionSpec

import gradtx
from gradtx.transforms.split import summed
from tests import reference_lbfgs
from tests.double import enable_x64
from tests.reference_norms import shard_map

ZOOM = gradtx.scale_by_zoom_linesearch(25)
BACKTRACKING = gradtx.scale_by_backtracking_linesearch(25, store_grad=True)
NONE = {"value": None, "grad": None}


def bowl(w):
    return jnp.sum((w - 1) ** 2)


@functools.cache
def jitted(tx, f):
    return jax.jit(lambda u, state, w, value, grad: tx.update(u, state, w, value=value, grad=grad, value_fn=f))


def search(tx, f, u, w, guess=None):
    """The update and the state of one search from w along u."""
    u, w = (jnp.asarray(np.asarray(x, float)) for x in (u, w))
    state = tx.init(w)
    if guess is not None:
        state = state._replace(learning_rate=jnp.asarray(guess, state.learning_rate.dtype))
    return jitted(tx, f)(u, state, w, None, None)


def more_thuente(number):
    """The functions of tests/reference_lbfgs.py, for JAX."""
    if number == 1:
        return lambda a: -a / (a * a + 2)
    if number == 2:
        return lambda a: (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4
    if number == 3:
        b, wave = 0.01, 39 * np.pi / 2

        def corner(a):
            near = (a - 1) ** 2 / (2 * b) + b / 2
            return jnp.where(jnp.abs(a - 1) >= b, jnp.abs(a - 1), near) + (1 - b) / wave * jnp.sin(wave * a)

        return corner
    b1, b2 = {4: (1e-3, 1e-3), 5: (1e-2, 1e-3), 6: (1e-3, 1e-2)}[number]
    g1, g2 = (float(np.sqrt(1 + b**2) - b) for b in (b1, b2))
    return lambda a: g1 * jnp.sqrt((1 - a) ** 2 + b2**2) + g2 * jnp.sqrt(a**2 + b1**2)


@pytest.mark.parametrize("start", [1e-3, 1e-1, 10.0, 1e3])
@pytest.mark.parametrize("number", range(1, 7))
def test_the_functions_of_more_and_thuente(number, start):
    """The searches of their tables 1 to 6: strong Wolfe conditions, some of them very tight, in at most 20 points."""
    phi, slope, c1, c2 = reference_lbfgs.more_thuente(number)
    with enable_x64(True):
        tx = gradtx.scale_by_zoom_linesearch(20, slope_rtol=c1, curv_rtol=c2, stepsize_precision=0.0)
        u, state = search(tx, more_thuente(number), 1.0, 0.0, guess=start)
    t = float(u)
    assert phi(t) <= phi(0.0) + c1 * t * slope(0.0)
    assert abs(slope(t)) <= c2 * abs(slope(0.0))
    assert not state.info.failed
    assert float(state.info.decrease_error) == float(state.info.curvature_error) == 0
    np.testing.assert_allclose([state.value, state.grad], [phi(t), slope(t)], rtol=1e-9, atol=1e-9)


@hypothesis.given(
    roots=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    guess=st.floats(1e-3, 1e3),
    c2=st.sampled_from([0.9, 0.1]),
)
def test_wolfe_conditions_on_polynomials(roots, guess, c2):
    def phi(t):
        return t**4 / 4 + roots[0] * t**3 + roots[1] * t**2 + roots[2] * t

    def slope(t):
        return t**3 + 3 * roots[0] * t**2 + 2 * roots[1] * t + roots[2]

    hypothesis.assume(abs(slope(0.0)) > 1e-3)
    u = -np.sign(slope(0.0))
    with enable_x64(True):
        state = ZOOM.init(jnp.asarray(0.0))._replace(learning_rate=jnp.asarray(guess))
        got, state = polynomial_step(c2)(jnp.asarray(roots), jnp.asarray(u), state)
    t = float(got)
    assert not state.info.failed
    assert phi(t) <= phi(0.0) + 1e-4 * t * slope(0.0) + 1e-12
    assert abs(slope(t)) <= c2 * abs(slope(0.0)) + 1e-12


@functools.cache
def polynomial_step(c2):
    tx = gradtx.scale_by_zoom_linesearch(40, curv_rtol=c2, stepsize_precision=0.0, approx_dec_rtol=0.0)

    @jax.jit
    def step(a, u, state):
        def f(w):
            return w**4 / 4 + a[0] * w**3 + a[1] * w**2 + a[2] * w

        return tx.update(u, state, jnp.asarray(0.0), **NONE, value_fn=f)

    return step


@pytest.mark.parametrize(("factor", "c1"), [(0.8, 1e-4), (0.5, 0.5), (0.3, 0.9)])
@pytest.mark.parametrize("last", [1e-3, 0.3, 1.0])
def test_backtracking_takes_the_first_step_with_enough_decrease(factor, c1, last):
    f = quartic
    tx = gradtx.scale_by_backtracking_linesearch(60, c1, factor, increase_factor=1.5)
    with enable_x64(True):
        u, state = search(tx, f, -7.0, 1.0, guess=last)
        want, tried = reference_lbfgs.backtracking(
            lambda t: (1 - 7 * t) ** 4 + (1 - 7 * t),
            -35.0,
            min(1.5 * last, 1.0),
            slope_rtol=c1,
            decrease_factor=factor,
            most=60,
        )
        np.testing.assert_allclose([u, state.learning_rate], [-7 * want, want], rtol=1e-12)
    assert int(state.info.num_linesearch_steps) == tried
    assert state.grad is None


def quartic(w):
    return w**4 + w


@pytest.mark.parametrize(("last", "want"), [(0.25, 0.375), (0.9, 1.0), (0.0, 1.0)])
def test_backtracking_begins_with_a_longer_step_than_the_last(last, want):
    tx = gradtx.scale_by_backtracking_linesearch(25)
    _, state = search(tx, bowl, 1e-3, 0.0, guess=last)
    assert float(state.learning_rate) == want
    longest = gradtx.scale_by_backtracking_linesearch(25, increase_factor=np.inf, max_learning_rate=3.0)
    assert float(search(longest, bowl, 1e-3, 0.0, guess=last)[1].learning_rate) == 3.0


def test_a_search_that_runs_out_of_tries_goes_on_where_it_stopped():
    """The curvature asks for a step of 1e-4; 0.8 to the power of 15 is 0.035."""
    tx = gradtx.chain(gradtx.sgd(1.0), gradtx.scale_by_backtracking_linesearch(15))

    def steep(w):
        return jnp.sum(1e4 * w**2)

    @jax.jit
    def step(w, state):
        return tx.step(jax.grad(steep)(w), state, w, **NONE, value_fn=steep)

    w = jnp.array([1.0, 2.0])
    state = tx.init(w)
    w, state = step(w, state)
    held = state["scale_by_backtracking_linesearch"]
    assert bool(held.info.failed)
    assert float(held.learning_rate) == 0.0
    np.testing.assert_allclose(held.untried, 0.8**15, rtol=1e-5)
    for _ in range(60):
        w, state = step(w, state)
    assert float(steep(w)) < 1e-3
    assert float(state["scale_by_backtracking_linesearch"].untried) == 0.0


def test_zoom_without_a_curvature_condition():
    """An infinite curv_rtol accepts any slope: the first step that decreases enough."""
    tx = gradtx.scale_by_zoom_linesearch(25, curv_rtol=np.inf)
    u, state = search(tx, bowl, 1e-3, 0.0)
    assert float(u) == np.float32(1e-3)
    assert float(state.info.curvature_error) == 0.0
    assert not state.info.failed
    _, state = search(tx, bowl, 1.0, 1.0)  # at the minimum, where the first slope is 0
    assert float(state.info.curvature_error) == 0.0


@pytest.mark.parametrize("tx", [ZOOM, BACKTRACKING], ids=["zoom", "back"])
def test_eager_searches_keep_no_arrays(tx):
    w, counts = jnp.ones(1013), []
    state = tx.init(w)
    for k in range(10):
        value, grad = jnp.float32(1013 * (1 - k) ** 2), 2 * (w - k)
        _, state = tx.update(-grad, state, w, value=value, grad=grad, value_fn=lambda w, k=k: jnp.sum((w - k) ** 2))
        counts.append(sum(x.shape == w.shape for x in jax.live_arrays()))
    assert counts[-1] <= counts[4] + 2, counts


def test_backtracking_allows_the_rise_that_it_is_told():
    for numbers, want in (({"atol": 0.5}, True), ({"rtol": 0.5}, True), ({"atol": 0.2}, False)):
        tx = gradtx.scale_by_backtracking_linesearch(1, **numbers)
        _, state = search(tx, bowl, 2.1, 0.0)  # to 2.1: the value goes from 1 to 1.21, where 0.9996 is asked for
        assert bool(state.info.failed) is not want, numbers
        assert float(state.learning_rate) == float(want)


@pytest.mark.parametrize(("strategy", "last", "want"), [("keep", 0.5, 0.5), ("keep", 0.0, 1.0), ("one", 0.5, 1.0)])
def test_the_first_guess_of_zoom(strategy, last, want):
    tx = gradtx.scale_by_zoom_linesearch(20, initial_guess_strategy=strategy)
    _, state = search(tx, bowl, 1.0, 0.0, guess=last)  # every step up to 1.9 keeps the conditions
    assert float(state.learning_rate) == want


def test_the_bound_of_zoom():
    tx = gradtx.scale_by_zoom_linesearch(20, max_learning_rate=4.0)
    _, state = search(tx, bowl, 1e-3, 0.0)
    assert float(state.learning_rate) == 4.0
    assert not state.info.failed
    assert float(state.info.curvature_error) > 0
    assert int(state.info.num_linesearch_steps) == 3


def test_tolerances_of_zoom():
    assert float(search(gradtx.scale_by_zoom_linesearch(20, tol=10.0), bowl, 1e-3, 0.0)[0]) == np.float32(1e-3)
    exact = search(gradtx.scale_by_zoom_linesearch(20, curv_rtol=0.0, slope_rtol=0.0), cosh, 0.9, -1.0)
    loose = search(
        gradtx.scale_by_zoom_linesearch(20, curv_rtol=0.0, slope_rtol=0.0, stepsize_precision=0.5), cosh, 0.9, -1.0
    )
    assert int(loose[1].info.num_linesearch_steps) < int(exact[1].info.num_linesearch_steps)
    np.testing.assert_allclose(exact[0], 1.0, rtol=1e-3)


def cosh(w):
    return jnp.cosh(w) + w**4


def test_near_the_floor_the_slope_decides():
    """Values of 1e4 + 1e-4·(w - 1)² are all 1e4 in float32; the slopes show where the minimum is."""

    def f(w):
        return 1e4 + 1e-4 * (w - 1) ** 2

    tx = gradtx.scale_by_zoom_linesearch(25, curv_rtol=1e-4)
    u, state = search(tx, f, 4.0, 0.0)
    assert not state.info.failed
    np.testing.assert_allclose(u, 1.0, rtol=1e-3)


def test_values_that_rounding_orders_mislead_no_search():
    """Values with four times as much noise as shape: the bracket must follow the slopes, from 200 first points."""

    def f(w):
        noise = jax.lax.stop_gradient(4e-5 * jnp.sin(1e6 * w))
        return 100 + 1e-5 * (jnp.cosh(w - 1) - 1) + noise

    tx = gradtx.scale_by_zoom_linesearch(25, curv_rtol=1e-3)
    with enable_x64(True):
        w = jnp.asarray(0.0)
        step = jax.jit(jax.vmap(lambda u: tx.update(u, tx.init(w), w, **NONE, value_fn=f)))
        u, state = step(jnp.linspace(0.1, 12.0, 200))
    assert not np.any(state.info.failed)
    np.testing.assert_allclose(u, 1.0, rtol=2e-3)
    assert np.max(state.info.num_linesearch_steps) <= 10


def on_devices(fn, trees, checked):
    """fn of trees whose last axis of length 16 is split over the devices; with check_vma as it is, or False."""
    unchecked = {"check_vma": False} if hasattr(jax, "shard_map") else {"check_rep": False}

    def spec(x):
        return PartitionSpec(*[None] * (jnp.ndim(x) - 1), "x") if jnp.shape(x)[-1:] == (16,) else PartitionSpec()

    specs, how = jax.tree.map(spec, trees), {} if checked else unchecked
    mesh = Mesh(np.array(jax.devices()[:8]), "x")
    return jax.jit(shard_map(fn, mesh=mesh, in_specs=specs, out_specs=specs, **how))(*trees)


def split_bowl(w, a, axis_name=None):
    return summed(jnp.sum(a * (w - 1) ** 2 + (w - 1) ** 4), axis_name)


def gathered_bowl(w, a, axis_name):
    """Each device computes the whole of it."""
    return split_bowl(*(jax.lax.all_gather(x, axis_name, tiled=True) for x in (w, a)))


def minimised(tx, f, axis_name):
    value_and_grad = gradtx.value_and_grad_from_state(f, axis_name=axis_name)

    def steps(w, a, state):
        def step(carry, _):
            w, state = carry
            value, grad = value_and_grad(w, a, state=state)
            kept = {"value": value, "grad": grad, "value_fn": lambda w: f(w, a)}
            u, state = tx.update(grad, state, w, **kept)
            return (w + u, state), None

        (w, state), _ = jax.lax.scan(step, (w, state), length=4)
        return w, a, state

    return steps


@functools.cache
def minimised_alone(search):
    tx = gradtx.lbfgs(memory_size=3, linesearch=search)
    trees = (TestOverDevices.w, TestOverDevices.a, tx.init(TestOverDevices.w))
    return trees, jax.jit(minimised(tx, split_bowl, None))(*trees)


@pytest.mark.parametrize("checked", [True, False], ids=["check_vma", "unchecked"])
@pytest.mark.parametrize("f", [split_bowl, gathered_bowl])
class TestOverDevices:
    """Parameters that are split over eight devices take the steps that they take on one."""

    w, a = np.zeros(16, np.float32), np.logspace(0, 1, 16).astype(np.float32)

    @pytest.mark.parametrize("search", [ZOOM.replace(initial_guess_strategy="one"), BACKTRACKING], ids=["zoom", "back"])
    def test_a_minimum_in_a_scan(self, f, checked, search):
        trees, (want, _, state) = minimised_alone(search)
        tx = gradtx.lbfgs(memory_size=3, linesearch=search, axis_name="x")
        got, _, there = on_devices(minimised(tx, functools.partial(f, axis_name="x"), "x"), trees, checked)
        np.testing.assert_allclose(got, want, rtol=1e-5)
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), there, state)
        assert np.linalg.norm(got - 1) < 0.2 * np.linalg.norm(self.w - 1)

    def test_what_is_computed_and_what_is_known(self, f, checked):
        """One device's part of what is known is not finite: then all compute, or some would wait for the others."""
        f = functools.partial(f, axis_name="x")

        def step(w, a, state):
            value, grad = gradtx.value_and_grad_from_state(f, axis_name="x")(w, a, state=state)
            return w, a, state._replace(value=value, grad=grad)

        state = ZOOM.init(self.w)._replace(count=jnp.int32(1), value=jnp.float32(7.0), grad=jnp.full(16, 3.0))
        known = on_devices(step, (self.w, self.a, state), checked)[2]
        np.testing.assert_array_equal([known.value, *known.grad], [7.0, *[3.0] * 16])
        state = state._replace(grad=state.grad.at[5].set(jnp.nan))
        computed = on_devices(step, (self.w, self.a, state), checked)[2]
        value, grad = jax.value_and_grad(split_bowl)(self.w, self.a)
        np.testing.assert_allclose([computed.value, *computed.grad], [value, *grad], rtol=1e-6)


@pytest.mark.parametrize("tx", [ZOOM, BACKTRACKING], ids=["zoom", "back"])
def test_a_search_under_vmap_computes_what_it_is_not_given(tx):
    w, a = jnp.zeros((8, 2)), jnp.asarray(TestOverDevices.a.reshape(8, 2))

    def step(w, a, tx, axis_name):
        return tx.update(a, tx.init(w), w, **NONE, value_fn=lambda w: split_bowl(w, a, axis_name))

    split = functools.partial(step, tx=tx.replace(axis_name="x"), axis_name="x")
    u, state = jax.jit(jax.vmap(split, axis_name="x"))(w, a)
    want, alone = jax.jit(functools.partial(step, tx=tx, axis_name=None))(w, a)
    np.testing.assert_allclose(u, want, rtol=1e-5)
    np.testing.assert_allclose(state.grad, alone.grad, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state.value, np.full(8, alone.value), rtol=1e-5)


def test_lbfgs_and_its_search_have_one_axis_name():
    with pytest.raises(ValueError, match="the linesearch has axis_name='y', lbfgs has 'x': give both the same"):
        gradtx.lbfgs(linesearch=ZOOM.replace(axis_name="y"), axis_name="x")
    with pytest.raises(ValueError, match="the linesearch has axis_name='y', lbfgs has None"):
        gradtx.lbfgs(linesearch=ZOOM.replace(axis_name="y"))
    gradtx.lbfgs(linesearch=None, axis_name="x")
    gradtx.lbfgs(linesearch=ZOOM.replace(axis_name="x"), axis_name="x")


@pytest.mark.parametrize(
    ("factory", "numbers", "message"),
    [
        (gradtx.scale_by_zoom_linesearch, {"max_linesearch_steps": 0}, "max_linesearch_steps must be at least 1"),
        (gradtx.scale_by_zoom_linesearch, {"max_learning_rate": 0.0}, "max_learning_rate must be greater than 0"),
        (gradtx.scale_by_zoom_linesearch, {"tol": -1.0}, "tol must be finite and at least 0"),
        (gradtx.scale_by_zoom_linesearch, {"increase_factor": 0.5}, "increase_factor must be greater than 1 and"),
        (gradtx.scale_by_zoom_linesearch, {"curv_rtol": 1.0}, r"curv_rtol must be in \[0, 1\)"),
        (gradtx.scale_by_zoom_linesearch, {"initial_guess_strategy": "on"}, "did you mean 'one'"),
        (gradtx.scale_by_backtracking_linesearch, {"max_backtracking_steps": 0}, "steps must be at least 1; got 0"),
        (gradtx.scale_by_backtracking_linesearch, {"decrease_factor": 1.0}, r"decrease_factor must be in \[0, 1\)"),
        (gradtx.scale_by_zoom_linesearch, {"increase_factor": 1.0}, "increase_factor must be greater than 1"),
        (
            gradtx.scale_by_zoom_linesearch,
            {"slope_rtol": 0.95, "curv_rtol": 0.5},
            "slope_rtol must not be greater than curv_",
        ),
        (gradtx.scale_by_backtracking_linesearch, {"slope_rtol": -0.1}, r"slope_rtol must be in \[0, 1\)"),
        (gradtx.scale_by_backtracking_linesearch, {"increase_factor": 0.0}, "increase_factor must be greater than 0"),
        (gradtx.scale_by_backtracking_linesearch, {"max_learning_rate": np.inf}, "max_learning_rate must be finite"),
        (gradtx.scale_by_backtracking_linesearch, {"rtol": -1.0}, "rtol must be finite and at least 0"),
    ],
)
def test_arguments_out_of_range(factory, numbers, message):
    first = "max_linesearch_steps" if factory is gradtx.scale_by_zoom_linesearch else "max_backtracking_steps"
    with pytest.raises(ValueError, match=message):
        factory(**{first: 10, **numbers})
