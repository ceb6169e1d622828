"""What holds at the edges for every scaling: the end of the count, half precision, huge, tiny and zero gradients."""

import functools
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.catalog import ENTRIES
from gradtx.core.numerics import COUNT_MAX
from gradtx.testing.compare import error_of

PIECES = [entry for entry in ENTRIES.values() if entry.kind == "piece" and entry.normalizes is not None]
MOMENTS = [e for e in PIECES if "b1" in e.usual and e.range("b1").most < 1]
SCALINGS = {" ".join([e.name, setting]).strip(): (e, setting) for e in PIECES for setting in e.settings}
every_scaling = pytest.mark.parametrize("tx", [e.make(s) for e, s in SCALINGS.values()], ids=SCALINGS.keys())
every_normalizing_one = pytest.mark.parametrize(
    ("entry", "setting"), [pytest.param(e, s, id=name) for name, (e, s) in SCALINGS.items() if e.normalizes]
)


def least_eps(entry):
    """The least eps that an editor offers: 0, more where 0 is refused, None where there is no eps."""
    return entry.range("eps").least if "eps" in entry.usual else None


def play(tx, gs):
    gs = np.asarray(gs)
    state, out = tx.init(np.zeros_like(gs[0])), []
    for g in gs:
        u, state = tx.update(g, state)
        out.append(np.asarray(u))
    return np.stack(out), state


def all_finite(tree):
    return all(np.isfinite(x).all() for x in jax.tree.leaves(tree))


class TestCount:
    @pytest.mark.parametrize("tx", [e.make() for e in PIECES if "count" in e.fields], ids=repr)
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

    @every_normalizing_one
    def test_the_right_size(self, entry, setting):
        """The first step is that of a gradient of 1e15, whose square is no problem."""
        tx = entry.make(setting)
        (u,), _ = play(tx, jnp.array([[1e25, -1e25]]))
        (want,), _ = play(tx, jnp.array([[1e15, -1e15]]))
        if "variance" in entry.fields.get("nu", "") and tx.bias_correction:  # no variance yet: the step is g/√eps
            np.testing.assert_array_equal(np.sign(u), [1, -1])
            assert np.all(np.abs(u) > 1e22)
        else:
            np.testing.assert_allclose(u, want, rtol=1e-5)

    @every_normalizing_one
    def test_it_recovers(self, entry, setting):
        """Ten thousand steps later gradients of 1 make steps again, except where the past is never forgotten."""
        tx = entry.make(setting)
        gs = jnp.concatenate([jnp.full((1, 1), 1e25), jnp.where(jnp.arange(10_000) % 3 == 0, -1.0, 1.0)[:, None]])

        @jax.jit
        def scan():
            def step(state, g):
                u, state = tx.update(g, state)
                return state, u

            return jax.lax.scan(step, tx.init(gs[0]), gs)

        state, us = scan()
        assert all_finite((state, us))
        last = np.max(np.abs(us[-10:]))
        assert last > 0
        if entry.after_huge == "never":
            assert last < 1e-6
        elif entry.after_huge == "slow" and tx.b2 > 0.99:  # √(0.999^10000·1e38) is 1e17 still
            earlier, later = np.abs(us[-1001:-1]).reshape(2, 500).max(1)
            assert later > 1.2 * earlier
        elif entry.after_huge != "unknown":
            assert last > 1e-3


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

    @pytest.mark.parametrize("name", [n for n, (e, s) in SCALINGS.items() if least_eps(e) == 0])
    def test_zero_without_eps_gives_zero(self, name):
        entry, setting = SCALINGS[name]
        without = {key: 0.0 for key in ("eps", "eps_root", "initial_accumulator_value") if key in entry.usual}
        us, state = play(entry.make(setting, **without), jnp.array([[0.0, 1.0], [0.0, 2.0], [0.0, 0.0]]))
        assert not np.any(us[:, 0])
        assert all_finite((us, state))
        assert np.any(us[:, 1])

    @pytest.mark.parametrize("entry", [e for e in PIECES if least_eps(e) is not None], ids=lambda e: e.name)
    @pytest.mark.parametrize("eps", [1e-50, 1e-40, 1e-30])
    def test_an_eps_below_float32(self, entry, eps):
        us, _ = play(entry.make(eps=eps), jnp.array([[0.0, 1.0]] * 2))
        assert not np.any(us[:, 0])
        assert all_finite(us)
        assert np.all(us[:, 1] > 0) or least_eps(entry) > 0

    @pytest.mark.parametrize("entry", [e for e in PIECES if least_eps(e)], ids=lambda e: e.name)
    def test_no_eps_is_refused_or_holds_still(self, entry):
        refused = error_of(lambda: entry.make(eps=0.0))
        if refused is not None:
            assert "eps must be greater than 0" in str(refused)
            return
        us, _ = play(entry.make(eps=0.0), jnp.array([[0.0, 1.0]] * 2))
        assert not np.any(us)


class TestEndsOfTheIntervals:
    @pytest.mark.parametrize("entry", MOMENTS, ids=lambda e: e.name)
    def test_without_memory_moments_give_the_sign(self, entry):
        gs = jnp.array([[1.0, -2.0], [0.5, -3.0]])
        us, _ = play(entry.make(b1=0.0, b2=0.0, eps=0.0), gs)
        want = gs / jax.lax.cummax(jnp.abs(gs)) if entry.after_huge == "never" else jnp.sign(gs)
        np.testing.assert_allclose(us, want, rtol=1e-6)

    def test_b1_zero_keeps_the_gradient_and_b2_its_size(self):
        gs = jnp.array([[3.0], [-1.0]])
        us, _ = play(gradtx.scale_by_adam(b1=0.0, b2=0.5, eps=0.0), gs)
        np.testing.assert_allclose(us[1, 0], -1.0 / math.sqrt((0.25 * 9 + 0.5) / 0.75), rtol=1e-6)

    @pytest.mark.parametrize("entry", MOMENTS, ids=lambda e: e.name)
    @pytest.mark.parametrize("name", ["b1", "b2"])
    @pytest.mark.parametrize("value", [1.0, -0.1, 1.5, math.nan, math.inf])
    def test_moments_are_refused_from_one_on(self, entry, name, value):
        with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\)"):
            entry.make(**{name: value})


def numbers(entry, setting):
    """The hyperparameters of a setting that may follow a schedule, so that derivatives with respect to them exist."""
    dynamic = inspect.signature(entry.factory).parameters
    given = entry.arguments(setting)
    return {k: v for k, v in given.items() if isinstance(v, float) and dynamic[k].annotation.startswith("Hyper")}


FACTORIES = {
    **SCALINGS,
    **{name: (ENTRIES[name], "") for name in ("clip_by_value", "clip_by_global_norm")},
}
WITHOUT_MEMORY = (gradtx.scale_by_adam, {"b1": 0.0, "b2": 0.0, "eps": 0.0, "eps_root": 0.0})


@pytest.mark.parametrize(
    ("factory", "hypers"),
    [*((functools.partial(e.make, s), numbers(e, s)) for e, s in FACTORIES.values()), WITHOUT_MEMORY],
    ids=[*FACTORIES, "scale_by_adam without memory"],
)
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


COMPLEX = {name: e.make(s) for name, (e, s) in SCALINGS.items() if e.complex_as == "phase"}


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
            assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(getattr(state, name)))


@pytest.mark.parametrize("entry", [e for e in PIECES if e.complex_as == "parts"], ids=lambda e: e.name)
def test_complex_leaves_are_two_real_ones(entry):
    gs = jnp.array([[3.0, -1.0], [1.0, 2.0], [-2.0, 0.5]])
    got, _ = play(entry.make(), jax.lax.complex(gs[:, :1], gs[:, 1:]))
    want, _ = play(entry.make(), gs)
    np.testing.assert_array_equal(jnp.concatenate([got.real, got.imag], axis=1), want)


def test_second_moment_of_a_complex_leaf():
    _, state = play(gradtx.scale_by_adam(b2=0.5), jnp.array([[3.0 + 4.0j]]))
    np.testing.assert_allclose(state.nu, [12.5])
