"""What holds at the edges for every algorithm: corrections, counts, half precision, huge, tiny and zero gradients."""

import decimal
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core.numerics import COUNT_MAX, bias_correction, increment
from tests.transforms.agreement import enable_x64

SCALINGS = {
    "add_momentum": gradtx.add_momentum(),
    "add_nesterov_momentum": gradtx.add_nesterov_momentum(),
    "add_damped_momentum": gradtx.add_damped_momentum(0.9, 0.5),
    "ema": gradtx.ema(),
    "accumulate_squares": gradtx.accumulate_squares(0.0),
    "accumulate_squares outside": gradtx.accumulate_squares(0.0, eps_in_sqrt=False),
    "scale_by_rms": gradtx.scale_by_rms(),
    "scale_by_rms outside": gradtx.scale_by_rms(eps_in_sqrt=False),
    "scale_by_rms corrected": gradtx.scale_by_rms(bias_correction=True),
    "scale_by_stddev": gradtx.scale_by_stddev(),
    "scale_by_stddev outside": gradtx.scale_by_stddev(eps_in_sqrt=False),
    "scale_by_stddev corrected": gradtx.scale_by_stddev(bias_correction=True),
    "scale_by_adadelta": gradtx.scale_by_adadelta(),
    "scale_by_adam": gradtx.scale_by_adam(),
    "scale_by_adam root": gradtx.scale_by_adam(eps=0.0, eps_root=1e-8),
    "scale_by_amsgrad corrected": gradtx.scale_by_amsgrad(),
    "scale_by_amsgrad raw": gradtx.scale_by_amsgrad(maximum_of="raw"),
    "scale_by_adamax": gradtx.scale_by_adamax(),
    "scale_by_nadam": gradtx.scale_by_nadam(),
    "scale_by_scheduled_nadam": gradtx.scale_by_scheduled_nadam(),
    "scale_by_sign": gradtx.scale_by_sign(),
    "scale_by_lion": gradtx.scale_by_lion(),
    "scale_by_rprop": gradtx.scale_by_rprop(),
    "scale_by_supersab": gradtx.scale_by_supersab(),
}
LINEAR = ("add_", "ema", "scale_by_supersab")  # their steps grow with the gradient
every_scaling = pytest.mark.parametrize("tx", SCALINGS.values(), ids=SCALINGS.keys())
every_normalising_one = pytest.mark.parametrize(
    "tx", [pytest.param(tx, id=name) for name, tx in SCALINGS.items() if not name.startswith(LINEAR)]
)


def play(tx, gs):
    state, out = tx.init(jnp.zeros_like(gs[0])), []
    for g in gs:
        u, state = tx.update(g, state)
        out.append(u)
    return jnp.stack(out), state


def all_finite(tree):
    return all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(tree))


class TestBiasCorrection:
    COUNTS = (1, 2, 3, 10, 1000, 65_537, 10**6, 2**24 + 1, 10**8, 2**31 - 1)
    DECAYS = (0.0, 1e-8, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 1e-6, 1 - 1e-7, 1 - 1e-8)

    @staticmethod
    def exact(decay, t):
        with decimal.localcontext(decimal.Context(prec=60, Emin=-(10**15), Emax=10**15)):
            d = decimal.Decimal(decay)
            return float(1 - (d**t if d else 0))

    @pytest.mark.parametrize("decay", DECAYS)
    def test_python_decay(self, decay):
        """In float32 the step is rounded to it (1 ulp), the product too, and expm1 adds its own: 4 ulp."""
        got = bias_correction(decay, jnp.array(self.COUNTS, jnp.int32), jnp.float32)
        want = np.array([self.exact(decay, t) for t in self.COUNTS])
        assert np.max(np.abs(got - want) / np.spacing(want.astype(np.float32))) <= 4

    @pytest.mark.parametrize("decay", DECAYS)
    def test_python_decay_in_float64(self, decay):
        with enable_x64(True):
            got = np.asarray(bias_correction(decay, jnp.array(self.COUNTS, jnp.int32), jnp.float64))
        np.testing.assert_allclose(got, [self.exact(decay, t) for t in self.COUNTS], rtol=1e-14)

    @pytest.mark.parametrize("decay", [0.0, 0.1, 0.3, 0.499, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 2**-24])
    def test_array_decay(self, decay):
        """Exact for the decay as float32 holds it; its logarithm is right to an ulp, and so is the correction."""
        decay = np.float32(decay)
        got = bias_correction(jnp.asarray(decay), jnp.array(self.COUNTS, jnp.int32), jnp.float32)
        want = np.array([self.exact(float(decay), t) for t in self.COUNTS])
        assert np.max(np.abs(got - want) / np.spacing(want.astype(np.float32))) <= 6

    def test_the_derivative_with_respect_to_the_decay(self):
        for decay, t in [(0.0, 3), (0.3, 2), (0.9, 10), (0.999, 1000)]:
            got = jax.grad(lambda d, t=t: bias_correction(d, jnp.int32(t), jnp.float32))(jnp.float32(decay))
            assert float(got) == pytest.approx(-t * decay ** (t - 1), rel=1e-4)


class TestCount:
    def test_it_stops_at_the_largest_number(self):
        assert COUNT_MAX == 2**31 - 1
        assert int(increment(jnp.int32(COUNT_MAX - 1))) == COUNT_MAX
        assert int(increment(jnp.int32(COUNT_MAX))) == COUNT_MAX

    @pytest.mark.parametrize(
        "tx", [gradtx.scale_by_adam(), gradtx.scale_by_nadam(), gradtx.scale_by_rms(), gradtx.ema()]
    )
    def test_a_step_at_the_end_of_the_count(self, tx):
        g = jnp.array([1.0, -3.0])
        state = tx.init(g)._replace(count=jnp.int32(COUNT_MAX))
        u, state = tx.update(g, state)
        assert int(state.count) == COUNT_MAX
        assert all_finite(u)
        assert np.array_equal(jnp.sign(u), jnp.sign(g))


class TestHalfPrecision:
    @every_scaling
    @pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
    def test_zero_small_and_large(self, tx, dtype):
        """As the same numbers in float32, over three steps, from parameters in half precision."""
        gs = jnp.array([[0.0, 1e-4, 300.0], [0.0, 1e-4, 300.0], [0.0, -1e-4, 300.0]], dtype)
        got, state = play(tx, gs)
        want, _ = play(tx, gs.astype(jnp.float32))
        assert got.dtype == jnp.float32
        assert all(x.dtype in (jnp.float32, jnp.int32) for x in jax.tree.leaves(state))
        np.testing.assert_array_equal(got, want)
        assert all_finite((got, state))
        assert not np.any(got[:, 0])
        assert np.array_equal(np.sign(got[0, 1:]), [1, 1])

    def test_adam_normalises_them(self):
        gs = jnp.array([[0.0, 1e-4, 300.0]], jnp.float16)
        np.testing.assert_allclose(play(gradtx.scale_by_adam(), gs)[0][0], [0.0, 1.0, 1.0], rtol=2e-4)


class TestHugeGradients:
    """1e25: its square is beyond float32."""

    @every_scaling
    def test_finite_with_the_right_sign(self, tx):
        u, state = play(tx, jnp.array([[1e25, -1e25, 1.0]]))
        assert all_finite((u, state))
        assert np.array_equal(np.sign(u[0]), [1, -1, 1])

    @every_normalising_one
    def test_the_right_size(self, tx):
        """The first step is that of a gradient of 1e15, whose square is no problem."""
        (u,), _ = play(tx, jnp.array([[1e25, -1e25]]))
        (want,), _ = play(tx, jnp.array([[1e15, -1e15]]))
        if tx._factory.name == "scale_by_stddev" and tx.bias_correction:  # no variance yet: the step is g/√eps
            np.testing.assert_array_equal(np.sign(u), [1, -1])
            assert np.all(np.abs(u) > 1e22)
        else:
            np.testing.assert_allclose(u, want, rtol=1e-5)

    @every_normalising_one
    def test_it_recovers(self, tx):
        """Ten thousand steps later gradients of 1 make steps again, except where the past is never forgotten."""
        gs = jnp.concatenate([jnp.full((1, 1), 1e25), jnp.where(jnp.arange(10_000) % 3 == 0, -1.0, 1.0)[:, None]])

        @jax.jit
        def scan():
            def step(state, g):
                u, state = tx.update(g, state)
                return state, u

            return jax.lax.scan(step, tx.init(gs[0]), gs)

        state, us = scan()
        assert all_finite((state, us))
        name = tx._factory.name
        if name == "scale_by_amsgrad" or name == "accumulate_squares":
            assert 0 < np.max(np.abs(us[-10:])) < 1e-6
        elif "adam" in name and name != "scale_by_adamax":  # b2 0.999: √(0.999^10000·1e38) is 1e17 still
            assert np.max(np.abs(us[-10:])) > 0
            halved = np.abs(us[-1001:-1]).reshape(2, 500).max(1)
            assert halved[1] > 1.2 * halved[0]
        elif name == "scale_by_rprop":
            assert np.max(np.abs(us[-10:])) > 0
        elif name != "scale_by_adamax":
            assert np.max(np.abs(us[-10:])) > 1e-3

    @pytest.mark.parametrize("corrected", [False, True])
    def test_opposite_ones_do_not_freeze_the_variance(self, corrected):
        """Each is cut to the bound of squares, but their difference is twice that."""
        tx = gradtx.scale_by_stddev(bias_correction=corrected)
        us, state = play(tx, jnp.array([[1e25], [-1e25], [1e25], [-1e25]]))
        assert all_finite((us, state))
        assert np.array_equal(np.sign(us[:, 0]), [1, -1, 1, -1])


class TestTinyGradients:
    @every_scaling
    def test_zero_gives_zero(self, tx):
        u, state = play(tx, jnp.zeros((3, 2)))
        assert not np.any(u)
        assert all_finite(state)

    @every_scaling
    def test_subnormal_and_nearly_so(self, tx):
        us, state = play(tx, jnp.array([[1e-45, -1e-40, 1e-38, -1e-30]] * 3))
        assert all_finite((us, state))
        assert np.all(np.sign(us) * np.array([1, -1, 1, -1]) >= 0)

    WITHOUT_EPS = (
        gradtx.accumulate_squares(0.0, 0.0),
        gradtx.accumulate_squares(0.0, 0.0, eps_in_sqrt=False),
        gradtx.scale_by_rms(eps=0.0),
        gradtx.scale_by_rms(eps=0.0, eps_in_sqrt=False),
        gradtx.scale_by_rms(eps=0.0, bias_correction=True),
        gradtx.scale_by_stddev(eps=0.0),
        gradtx.scale_by_stddev(eps=0.0, bias_correction=True),
        gradtx.scale_by_adam(eps=0.0),
        gradtx.scale_by_amsgrad(eps=0.0),
        gradtx.scale_by_amsgrad(eps=0.0, maximum_of="raw"),
        gradtx.scale_by_adamax(eps=0.0),
        gradtx.scale_by_nadam(eps=0.0),
        gradtx.scale_by_scheduled_nadam(eps=0.0),
    )

    @pytest.mark.parametrize("tx", WITHOUT_EPS, ids=repr)
    def test_zero_without_eps_gives_zero(self, tx):
        us, state = play(tx, jnp.array([[0.0, 1.0], [0.0, 2.0], [0.0, 0.0]]))
        assert not np.any(us[:, 0])
        assert all_finite((us, state))
        assert np.any(us[:, 1])

    @pytest.mark.parametrize(
        "factory", [gradtx.scale_by_adam, gradtx.scale_by_rms, gradtx.accumulate_squares, gradtx.scale_by_nadam]
    )
    @pytest.mark.parametrize("eps", [1e-50, 1e-40, 1e-30])
    def test_an_eps_below_float32(self, factory, eps):
        us, _ = play(factory(eps=eps), jnp.array([[0.0, 1.0]] * 2))
        assert not np.any(us[:, 0])
        assert all_finite(us)
        assert np.all(us[:, 1] > 0)

    def test_adadelta_refuses_no_eps_and_bears_a_tiny_one(self):
        with pytest.raises(ValueError, match="eps must be greater than 0"):
            gradtx.scale_by_adadelta(eps=0.0)
        us, state = play(gradtx.scale_by_adadelta(eps=1e-50), jnp.array([[0.0, 1.0]] * 2))
        assert all_finite((us, state))


class TestEndsOfTheIntervals:
    @pytest.mark.parametrize("factory", [gradtx.scale_by_adam, gradtx.scale_by_nadam, gradtx.scale_by_amsgrad])
    def test_without_memory_adam_is_the_sign(self, factory):
        gs = jnp.array([[1.0, -2.0], [0.5, -3.0]])
        us, _ = play(factory(b1=0.0, b2=0.0, eps=0.0), gs)
        want = gs / jax.lax.cummax(jnp.abs(gs)) if factory is gradtx.scale_by_amsgrad else jnp.sign(gs)
        np.testing.assert_allclose(us, want, rtol=1e-6)

    def test_adamax_without_memory_is_the_sign(self):
        us, _ = play(gradtx.scale_by_adamax(0.0, 0.0, 0.0), jnp.array([[1.0, -2.0], [0.5, -3.0]]))
        np.testing.assert_allclose(us, [[1, -1], [1, -1]], rtol=1e-6)

    def test_b1_zero_keeps_the_gradient_and_b2_its_size(self):
        gs = jnp.array([[3.0], [-1.0]])
        us, _ = play(gradtx.scale_by_adam(b1=0.0, b2=0.5, eps=0.0), gs)
        np.testing.assert_allclose(us[1, 0], -1.0 / math.sqrt((0.25 * 9 + 0.5) / 0.75), rtol=1e-6)

    @pytest.mark.parametrize(
        "factory",
        [
            gradtx.scale_by_adam,
            gradtx.scale_by_nadam,
            gradtx.scale_by_amsgrad,
            gradtx.scale_by_adamax,
            gradtx.scale_by_scheduled_nadam,
        ],
    )
    @pytest.mark.parametrize("name", ["b1", "b2"])
    @pytest.mark.parametrize("value", [1.0, -0.1, 1.5, math.nan, math.inf])
    def test_moments_are_refused_from_one_on(self, factory, name, value):
        with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\)"):
            factory(**{name: value})

    def test_decay_zero_passes_on(self):
        gs = jnp.array([[3.0], [-1.0]])
        for tx in (
            gradtx.add_momentum(0.0),
            gradtx.add_nesterov_momentum(0.0),
            gradtx.ema(0.0),
            gradtx.ema(0.0, debias=False),
        ):
            np.testing.assert_array_equal(play(tx, gs)[0], gs)
        np.testing.assert_array_equal(play(gradtx.scale_by_lion(0.0, 0.0), gs)[0], jnp.sign(gs))

    def test_decay_one_sums_up_or_keeps_the_start(self):
        gs = jnp.array([[3.0], [-1.0], [5.0]])
        np.testing.assert_array_equal(play(gradtx.add_momentum(1.0), gs)[0][:, 0], [3, 2, 7])
        np.testing.assert_array_equal(play(gradtx.add_nesterov_momentum(1.0), gs)[0][:, 0], [6, 1, 12])
        np.testing.assert_array_equal(play(gradtx.scale_by_rms(1.0, 0.25, eps_in_sqrt=False), gs)[0], gs / 0.25)
        np.testing.assert_array_equal(play(gradtx.scale_by_rms(1.0, 0.0, 4.0), gs)[0], gs / 2)
        np.testing.assert_array_equal(play(gradtx.scale_by_stddev(1.0, 0.0, 4.0), gs)[0], gs / 2)
        np.testing.assert_array_equal(play(gradtx.scale_by_lion(1.0, 0.0), gs)[0][:, 0], [0, 1, -1])
        np.testing.assert_allclose(play(gradtx.scale_by_adadelta(1.0, 1e-6), gs)[0], gs, rtol=1e-6)

    def test_decay_zero_of_the_squares(self):
        gs = jnp.array([[3.0], [-1.0]])
        np.testing.assert_allclose(play(gradtx.scale_by_rms(0.0, 0.0), gs)[0], jnp.sign(gs), rtol=1e-6)
        np.testing.assert_array_equal(play(gradtx.scale_by_stddev(0.0, 0.25), gs)[0], 2 * gs)  # s = m²
        np.testing.assert_array_equal(play(gradtx.scale_by_stddev(0.0, 0.25, bias_correction=True), gs)[0], 2 * gs)

    @pytest.mark.parametrize("factory", [gradtx.scale_by_rms, gradtx.scale_by_stddev])
    def test_a_corrected_decay_of_one_is_refused(self, factory):
        with pytest.raises(ValueError, match=r"decay must be in \[0, 1\)"):
            factory(1.0, bias_correction=True)
        with pytest.raises(ValueError, match=r"decay must be in \[0, 1\)"):
            gradtx.ema(1.0)


FACTORIES = {
    "add_momentum": (gradtx.add_momentum, {"decay": 0.9}),
    "add_nesterov_momentum": (gradtx.add_nesterov_momentum, {"decay": 0.9}),
    "add_damped_momentum": (gradtx.add_damped_momentum, {"decay": 0.9, "dampening": 0.5}),
    "ema": (gradtx.ema, {"decay": 0.9}),
    "accumulate_squares": (lambda **k: gradtx.accumulate_squares(0.0, **k), {"eps": 1e-7}),
    "scale_by_rms": (gradtx.scale_by_rms, {"decay": 0.9, "eps": 1e-8}),
    "scale_by_stddev": (gradtx.scale_by_stddev, {"decay": 0.9, "eps": 1e-8}),
    "scale_by_stddev corrected": (
        lambda **k: gradtx.scale_by_stddev(bias_correction=True, **k),
        {"decay": 0.9, "eps": 1e-8},
    ),
    "scale_by_adadelta": (gradtx.scale_by_adadelta, {"rho": 0.9, "eps": 1e-6}),
    "scale_by_adam": (gradtx.scale_by_adam, {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0}),
    "scale_by_adam without memory": (gradtx.scale_by_adam, {"b1": 0.0, "b2": 0.0, "eps": 0.0, "eps_root": 0.0}),
    "scale_by_amsgrad": (gradtx.scale_by_amsgrad, {"b1": 0.9, "b2": 0.999, "eps": 1e-8}),
    "scale_by_adamax": (gradtx.scale_by_adamax, {"b1": 0.9, "b2": 0.999, "eps": 1e-8}),
    "scale_by_nadam": (gradtx.scale_by_nadam, {"b1": 0.9, "b2": 0.999, "eps": 1e-8}),
    "scale_by_scheduled_nadam": (gradtx.scale_by_scheduled_nadam, {"b1": 0.9, "b2": 0.999, "momentum_decay": 0.004}),
    "scale_by_lion": (gradtx.scale_by_lion, {"b1": 0.9, "b2": 0.99}),
    "scale_by_rprop": (gradtx.scale_by_rprop, {"eta_minus": 0.5, "eta_plus": 1.2}),
    "scale_by_supersab": (gradtx.scale_by_supersab, {"eta_minus": 0.5, "eta_plus": 1.05, "momentum": 0.9}),
    "clip_by_value": (gradtx.clip_by_value, {"max_delta": 1.0}),
    "clip_by_global_norm": (gradtx.clip_by_global_norm, {"max_norm": 1.0}),
}


@pytest.mark.parametrize(("factory", "hypers"), FACTORIES.values(), ids=FACTORIES.keys())
def test_derivatives_through_five_steps(factory, hypers):
    """With respect to the gradients and to every hyperparameter, finite where entries are 0 at some steps or at all."""
    gs = jnp.array([[0.0, 0.0, 1.0], [0.0, 1.0, -2.0], [0.0, 0.0, 0.5], [0.0, -1.0, 0.0], [0.0, 3.0, 1.0]])

    def total(hypers, gs):
        tx = factory(**hypers)
        return jnp.sum(jax.lax.scan(lambda state, g: tx.update(g, state)[::-1], tx.init(gs[0]), gs)[1])

    derivative = jax.jit(jax.grad(total, argnums=(0, 1)))
    given = {k: jnp.float32(v) for k, v in hypers.items()}
    assert all_finite(derivative(given, gs))
    assert all_finite(derivative(given, jnp.zeros_like(gs)))


def test_the_derivative_with_respect_to_a_rate_is_the_step():
    def end(rate):
        w, tx = jnp.array([1.0, 2.0]), gradtx.adam(rate, eps=1e-3)
        u, _ = tx.update(w, tx.init(w))
        return jnp.sum(gradtx.apply_updates(w, u))

    assert float(jax.grad(end)(jnp.float32(0.1))) == pytest.approx(-2.0, rel=2e-3)


COMPLEX = {
    k: v for k, v in SCALINGS.items() if not k.startswith(("scale_by_rprop", "scale_by_supersab", "scale_by_lion"))
}


@pytest.mark.parametrize("tx", COMPLEX.values(), ids=COMPLEX.keys())
def test_complex_leaves_turn_with_their_gradients(tx):
    """A phase on all gradients is a phase on all steps; second moments are real, of |g|²."""
    gs = jnp.array([[3.0, -1.0], [1.0, 2.0], [-2.0, 0.5]])
    phase = jnp.complex64(0.6 + 0.8j)
    (got, state), (want, _) = play(tx, gs.astype(jnp.complex64) * phase), play(tx, gs)
    np.testing.assert_allclose(got, np.asarray(want) * np.complex64(phase), rtol=1e-5)
    assert got.dtype == jnp.complex64
    for name in ("nu", "nu_max", "sum_of_squares", "e_g", "e_x"):
        if hasattr(state, name):
            assert getattr(state, name).dtype == jnp.float32


def test_complex_leaves_of_sign_methods_are_two_real_ones():
    gs = jnp.array([[3.0, -1.0], [1.0, 2.0], [-2.0, 0.5]])
    for name in ("scale_by_rprop", "scale_by_supersab"):
        got, _ = play(SCALINGS[name], jax.lax.complex(gs[:, :1], gs[:, 1:]))
        want, _ = play(SCALINGS[name], gs)
        np.testing.assert_array_equal(jnp.concatenate([got.real, got.imag], axis=1), want)


def test_second_moment_of_a_complex_leaf():
    _, state = play(gradtx.scale_by_adam(b2=0.5), jnp.array([[3.0 + 4.0j]]))
    np.testing.assert_allclose(state.nu, [12.5])
