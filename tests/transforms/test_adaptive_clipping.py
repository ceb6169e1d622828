"""Clipping by the parameters' norms and by the norms so far, against Brock et al. and Kumar et al."""

from functools import partial

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import gradtx
from tests.reference_norms import Held, clipped_by_units, clipped_by_z, over_devices
from tests.transforms import agreement
from tests.transforms.agreement import Case, enable_x64

W = np.float32(np.random.default_rng(1).standard_normal((6, 8)) * 10.0 ** np.linspace(-2, 8, 8)).astype(np.float64)

CASES = [
    Case(Held(gradtx.adaptive_grad_clip(0.01), W), partial(clipped_by_units, w=W, lam=0.01, eps=1e-3), 4, False),
    Case(Held(gradtx.adaptive_grad_clip(0.5, 10.0), W), partial(clipped_by_units, w=W, lam=0.5, eps=10.0), 4, False),
    Case(gradtx.clip_by_z_score(), partial(clipped_by_z, z_thres=2.5, alpha=0.97, warmup=25), 20, False),
    Case(
        gradtx.clip_by_z_score(1.0, 0.5, warmup_steps=2),
        partial(clipped_by_z, z_thres=1.0, alpha=0.5, warmup=2),
        20,
        False,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


@partial(jax.jit, static_argnames=("axis", "axis_name"))
def agc(g, w, clipping=0.5, **how):
    return gradtx.adaptive_grad_clip(clipping, **how).update(g, gradtx.EmptyState(), w)[0]


class TestAdaptive:
    @pytest.mark.parametrize(
        ("shape", "axes"),
        [
            ((), None),
            ((5,), None),
            ((1, 5), None),
            ((5, 1), None),
            ((1, 1, 5, 1), None),
            ((4, 5), (0,)),
            ((4, 2, 3), (0,)),
            ((3, 3, 4, 5), (0, 1, 2)),
            ((2, 3, 3, 4, 5), (0, 1, 2, 3)),
        ],
        ids=str,
    )
    def test_units_by_the_number_of_axes(self, shape, axes):
        """Every unit keeps its direction, and gets half the norm of its parameters, along these axes."""
        rng = np.random.default_rng(len(shape))
        w, g = (np.float32(rng.standard_normal(shape)) for _ in range(2))
        of_w, of_g = (np.sqrt(np.sum(np.float64(x) ** 2, axis=axes, keepdims=True)) for x in (w, g))
        np.testing.assert_allclose(agc(jnp.asarray(100 * g), jnp.asarray(w)), 0.5 * of_w / of_g * g, rtol=1e-5)

    @pytest.mark.parametrize("axis", [0, 1, -1, (0, 1), ()], ids=str)
    def test_units_that_are_given(self, axis):
        w, g = jnp.arange(1.0, 7.0).reshape(2, 3), jnp.full((2, 3), 1e3)
        axes = (axis,) if isinstance(axis, int) else axis
        u = agc({"w": g, "b": g[0], "s": g[0, 0]}, {"w": w, "b": w[0], "s": w[0, 0]}, axis=axis)
        want = 0.5 * np.sqrt((np.asarray(w) ** 2).sum(axes)) if axes else 0.5 * np.asarray(w)
        np.testing.assert_allclose(np.sqrt((np.asarray(u["w"]) ** 2).sum(axes)), want, rtol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(u["b"]), 0.5 * np.linalg.norm(w[0]), rtol=1e-5)
        np.testing.assert_allclose(u["s"], 0.5, rtol=1e-6)

    def test_leaves_without_such_units_are_named(self):
        six = {"k": [jnp.ones((2,) * 6)]}
        five = agc({"k": [jnp.full((2,) * 6, 9.0)]}, six, axis=(0, 1, 2, 3, 4))
        np.testing.assert_allclose(five["k"][0], np.full((2,) * 6, 0.5), rtol=1e-6)
        with pytest.raises(ValueError, match=r"update at k/0 has 6 axes: say with axis"):
            agc(six, six)
        with pytest.raises(ValueError, match=r"update at k/0 has shape \(2, 3\), which has no axis \(2,\)"):
            agc({"k": [jnp.ones((2, 3))]}, {"k": [jnp.ones((2, 3))]}, axis=2)

    @pytest.mark.parametrize("axis", [None, (0, -1)], ids=str)
    def test_units_over_all_devices(self, axis):
        """Also of a matrix of which each device has one row: that is no vector."""
        rng = np.random.default_rng(0)
        shapes = [(16,), (16, 3), (8, 3), (8, 2, 3), (8, 1, 2, 3)]
        w, g = ([jnp.asarray(size * rng.standard_normal(s), jnp.float32) for s in shapes] for size in (1, 100))
        split = over_devices(partial(agc, axis_name="x", axis=axis), "x")
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), split(g, w), agc(g, w, axis=axis))

    def test_whole_units_on_each_device_need_no_name(self):
        w, g = jnp.arange(1.0, 17.0).reshape(2, 8), jnp.full((2, 8), 1e3)
        np.testing.assert_allclose(over_devices(agc, None, "x")(g, w), agc(g, w), rtol=1e-6)

    def test_parameters_at_zero_can_move(self):
        np.testing.assert_allclose(agc(jnp.array([3.0, 4.0]), jnp.zeros(2), eps=0.1), [0.03, 0.04], rtol=1e-6)

    @pytest.mark.parametrize(("of_g", "of_w"), [(1.0, 1e-30), (1e-30, 1e-30), (1e25, 1e25), (1e25, 1.0), (1.0, 1e25)])
    def test_every_size(self, of_g, of_w):
        """A unit is cut to half its parameters' norm, or is far inside it."""
        g, w = jnp.array([[3.0], [4.0]]) * of_g, jnp.array([[0.0], [2.0]]) * of_w
        u = np.asarray(agc(g, w, eps=1e-38), np.float64)
        np.testing.assert_allclose(u / of_w, [[0.6], [0.8]] if of_g >= of_w else np.asarray(g) / of_w, rtol=1e-5)

    def test_faults_stay_in_their_unit(self):
        g = jnp.array([[jnp.inf, jnp.nan, 3.0], [1.0, 1.0, 4.0]])
        np.testing.assert_allclose(agc(g, jnp.ones((2, 3)))[:, 2], np.sqrt(0.5) * np.array([0.6, 0.8]), rtol=1e-6)
        np.testing.assert_array_equal(agc(g, jnp.ones((2, 3)))[:, :2], [[np.nan, np.nan], [0.0, np.nan]])

    def test_derivatives_at_zero(self):
        at = jnp.zeros((2, 2))
        for k in (0, 1):
            assert np.isfinite(jax.jit(jax.jacobian(lambda g, w: agc(g, w), argnums=k))(at, at)).all()

    @pytest.mark.parametrize(("name", "numbers"), [("clipping", (-0.1,)), ("eps", (0.1, 0.0))])
    def test_numbers_that_are_none(self, name, numbers):
        with pytest.raises(ValueError, match=f"{name} must be (at least|greater than) 0"):
            gradtx.adaptive_grad_clip(*numbers)


@partial(jax.jit, static_argnums=0)
def z_step(tx, g, state):
    return tx.update(g, state)


def z_steps(norms, **how):
    """The norms of the updates, and the states, for one gradient entry of these sizes."""
    tx = gradtx.clip_by_z_score(**{"z_threshold": 2.0, "decay": 0.5, "warmup_steps": 3, **how})
    state, out = tx.init({"w": jnp.zeros(2)}), []
    for norm in norms:
        u, state = z_step(tx, {"w": np.float32([0.6, -0.8]) * np.float32(norm)}, state)
        out.append(float(np.linalg.norm(np.asarray(u["w"], np.float64))))
    return out, state


class TestZScore:
    def test_worked_example(self):
        """Warm-up 1, 2, 3: mean 2, variance 2/3. 10 is cut to 2 + (2σ)²/8 = 2 + 1/3."""
        out, state = z_steps([1.0, 2.0, 3.0])
        np.testing.assert_allclose([*out, state.mean, state.stddev], [1, 2, 3, 2, np.sqrt(2 / 3)], rtol=1e-6)
        out, state = z_steps([1.0, 2.0, 3.0, 10.0])
        mean = 2 + 1 / 6
        stddev = np.sqrt(0.5 * 2 / 3 + 0.5 * (1 / 6) ** 2)
        np.testing.assert_allclose([out[-1], state.mean, state.stddev], [2 + 1 / 3, mean, stddev], rtol=1e-6)

    def test_what_is_near_or_below_passes(self):
        norms = [1.0, 2.0, 3.0, 3.6, 0.01, 2.0]
        np.testing.assert_allclose(z_steps(norms)[0], norms, rtol=1e-6)

    def test_without_deviation_the_mean_is_the_bound(self):
        out, state = z_steps([2.0, 2.0, 2.0, 5.0, 2.0, 1.0])
        np.testing.assert_allclose(out, [2.0, 2.0, 2.0, 2.0, 2.0, 1.0], rtol=1e-6)
        assert state.stddev > 0

    @pytest.mark.parametrize("fault", [np.inf, -np.inf, np.nan])
    def test_faults_pass_and_teach_nothing(self, fault):
        for before in ([], [1.0], [1.0, 2.0, 3.0, 10.0]):
            out, state = z_steps([*before, fault])
            jax.tree.map(np.testing.assert_array_equal, state, z_steps(before)[1])
            assert not np.isfinite(out[-1])
        np.testing.assert_allclose(z_steps([1.0, fault, 2.0, 3.0, 10.0])[0][-1], 2 + 1 / 3, rtol=1e-6)

    @pytest.mark.parametrize("size", [1e-30, 1e25, 1e36])
    def test_every_size(self, size):
        norms = np.array([1.0, 2.0, 3.0, 10.0, 2.0, 4.0])
        out, state = z_steps(norms * size)
        np.testing.assert_allclose(np.array(out) / size, z_steps(norms)[0], rtol=1e-5)
        np.testing.assert_allclose(float(state.stddev) / size, z_steps(norms)[1].stddev, rtol=1e-5)

    @pytest.mark.parametrize("decay", [0.0, 1.0])
    def test_the_ends_of_decay(self, decay):
        _, state = z_steps([1.0, 2.0, 3.0, 2.5], decay=decay)
        want = [2.5, 0.0] if decay == 0 else [2.0, np.sqrt(2 / 3)]
        np.testing.assert_allclose([state.mean, state.stddev], want, rtol=1e-6)

    @hypothesis.given(st.lists(st.floats(0, 2.0**100, width=32), min_size=4, max_size=12))
    def test_no_update_grows(self, norms):
        out, state = z_steps(norms)
        assert all(0 <= o <= n * (1 + 1e-6) + 1e-37 for o, n in zip(out, np.abs(norms), strict=True))
        assert np.isfinite([state.mean, state.stddev]).all()

    def test_a_chain_against_infinity(self):
        """As the docstring says: what passes is skipped behind it."""
        tx = gradtx.chain(gradtx.clip_by_z_score(), gradtx.clip_by_global_norm(1.0, nonfinite="skip"))
        np.testing.assert_array_equal(tx.update(jnp.array([jnp.inf, 1.0]), tx.init(jnp.zeros(2)))[0], [0.0, 0.0])

    def test_float64_where_the_parameters_are(self):
        with enable_x64(True):
            state = gradtx.clip_by_z_score().init(jnp.zeros(2, jnp.float64))
            assert state.mean.dtype == state.stddev.dtype == jnp.float64

    def test_across_devices(self):
        def run(gs, axis_name=None):
            tx = gradtx.clip_by_z_score(2.0, 0.5, warmup_steps=3, axis_name=axis_name)
            return jax.lax.scan(lambda s, g: tx.update(g, s)[::-1], tx.init(gs[0]), gs)[1]

        gs = agreement.gradients(20)[:, :8]
        split, want = over_devices(partial(run, axis_name="x"), None, "x"), jax.jit(run)(gs)
        np.testing.assert_allclose(split(gs), want, rtol=1e-5)
        assert not np.allclose(want, gs)

    @pytest.mark.parametrize("steps", [1, 2.0, True, "3"])
    def test_warm_ups_that_are_none(self, steps):
        with pytest.raises((TypeError, ValueError), match=r"warmup_steps must be (a whole number|at least 2); got"):
            gradtx.clip_by_z_score(warmup_steps=steps)

    @pytest.mark.parametrize("numbers", [{"z_threshold": -0.1}, {"z_threshold": np.inf}, {"decay": 1.5}], ids=str)
    def test_numbers_that_are_none(self, numbers):
        with pytest.raises(ValueError, match=f"{next(iter(numbers))} must be"):
            gradtx.clip_by_z_score(**numbers)
