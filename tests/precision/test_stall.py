"""A parameter at 1, a thousand steps of a ten thousandth: what half precision makes of it, and what the wrappers do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.precision.compensate import compensate
from gradtx.precision.master import keep_master
from gradtx.precision.rounding import round_stochastically
from gradtx.precision.split import joined, split24

DOWN = gradtx.scale(-1.0)


def train(tx, w, step, count=1000):
    """The parameters and the state after so many steps of this size, in one jitted scan."""
    grads = jax.tree.map(lambda w: jnp.full(w.shape, step, jnp.float32), w)

    def body(carry, _):
        return tx.step(grads, carry[1], carry[0]), None

    return jax.jit(lambda w: jax.lax.scan(body, (w, tx.init(w)), length=count)[0])(w)


def test_rounded_to_nearest_it_stays():
    for dtype, step in (("bfloat16", 1e-4), ("float16", 1e-5)):
        assert float(train(DOWN, jnp.ones((), dtype), step)[0]) == 1.0


@pytest.mark.parametrize(("dtype", "step", "end"), [("bfloat16", 1e-4, 0.9), ("float16", 1e-5, 0.99)])
def test_rounded_by_chance_it_is_right_in_the_mean(dtype, step, end):
    w, state = train(round_stochastically(DOWN, 0), jnp.ones(4096, dtype), step)
    w = np.asarray(w, np.float64)
    last_place = float(jnp.finfo(dtype).eps) / 2
    assert w.std() <= np.sqrt(1000 * step * last_place)  # of a sum of independent roundings
    assert abs(w.mean() - end) < 5 * w.std() / np.sqrt(w.size)
    assert int(state.count) == 1000


def test_compensated_it_arrives():
    w, state = train(compensate(DOWN), jnp.ones((), jnp.bfloat16), 1e-4)
    assert float(w) == 0.90234375
    w, state = train(compensate(DOWN), jnp.ones((), jnp.float16), 1e-5)
    assert float(w) + float(state.compensation) / 2**11 == pytest.approx(0.99, abs=1000 * 2.0**-24)


def test_it_is_not_made_of_casts_which_a_compiler_may_leave_out():
    """Some versions of XLA do, on some processors; then nothing would be compensated under jit."""
    w, tx = jnp.ones(8, jnp.bfloat16), compensate(DOWN)
    text = jax.jit(tx.update).lower(jnp.ones(8), tx.init(w), w).as_text()
    assert text.count("reduce_precision") >= 2


def test_a_master_is_what_float32_makes():
    w, state = train(keep_master(DOWN), jnp.ones((), jnp.bfloat16), 1e-4)
    expected, _ = train(DOWN, jnp.ones(()), 1e-4)
    assert float(state.master) == float(expected)
    assert w == expected.astype(jnp.bfloat16)


def test_24_bits_step_in_units_of_their_last_place():
    w, state = train(split24(DOWN), jnp.ones((), jnp.bfloat16), 1e-4)
    assert float(joined(w, state.low)) == 1 - 1000 * 7 * 2.0**-16  # 6.55 of them each time
    w, state = train(split24(DOWN), jnp.ones((), jnp.float16), 1e-5)
    assert float(joined(w, state.low)) == pytest.approx(0.99, abs=1000 * 2.0**-20)


@pytest.mark.parametrize("wrapper", [functools.partial(round_stochastically, key=0), compensate, keep_master, split24])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_small_parameters_move_too(wrapper, dtype):
    """At 0.001, float16 has 14 bits left above its smallest number."""
    w, _ = train(wrapper(DOWN), jnp.full(1024, 1e-3, dtype), 1e-7)
    assert float(w.astype(jnp.float32).mean()) == pytest.approx(9e-4, rel=0.01)


@pytest.mark.parametrize("wrapper", [functools.partial(round_stochastically, key=0), compensate, keep_master, split24])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("start", [0.0, -1.0])
def test_through_zero_and_away_from_it(wrapper, dtype, start):
    """A sum of 300 terms of all sizes, beside the sum in float64."""
    steps = np.random.default_rng(0).normal(size=300) * 2.0 ** -(np.arange(300) % 12)
    tx = wrapper(DOWN)

    def body(carry, g):
        return tx.step(g, carry[1], carry[0]), None

    w = jnp.full((), start, dtype)
    w, _ = jax.jit(lambda w: jax.lax.scan(body, (w, tx.init(w)), jnp.asarray(steps, jnp.float32))[0])(w)
    exact = start - steps.sum()
    tolerance = 2 if wrapper in (compensate, keep_master, split24) else 40  # of chance: a walk of 300 last places
    assert abs(float(w) - exact) <= tolerance * float(jnp.finfo(dtype).eps) * max(1, abs(exact))


class TestChance:
    def test_the_same_key_gives_the_same_bits_and_another_others(self):
        w, g = jnp.ones(4096, jnp.bfloat16), jnp.full(4096, 1e-3)
        runs = {}
        for name, key in (
            ("int", 1),
            ("numpy", np.int64(1)),
            ("typed", jax.random.key(1)),
            ("raw", jax.random.key_data(jax.random.key(1))),
        ):
            tx = round_stochastically(DOWN, key)
            runs[name] = tx.step(g, tx.init(w), w)[0]
            np.testing.assert_array_equal(runs[name], runs["int"])
        other = round_stochastically(DOWN, 2)
        moved = [np.asarray(x != w) for x in (runs["int"], other.step(g, other.init(w), w)[0])]
        share = 1e-3 / 2**-8
        assert moved[0].mean() == pytest.approx(share, abs=0.03)
        assert (moved[0] & moved[1]).mean() == pytest.approx(share**2, abs=0.03)

    def test_other_implementations_of_keys(self):
        tx = round_stochastically(DOWN, jax.random.key(1, impl="rbg"))
        state = tx.init(jnp.ones(2))
        assert state.key.shape == (4,)
        tx.update(jnp.ones(2), state, jnp.ones(2))

    def test_leaves_and_steps_are_independent(self):
        tx, g = round_stochastically(DOWN, 0), jnp.full(4096, 1e-3)
        w = {"a": jnp.ones(4096, jnp.bfloat16), "b": jnp.ones(4096, jnp.bfloat16)}
        first, state = tx.update({"a": g, "b": g}, tx.init(w), w)
        second, _ = tx.update({"a": g, "b": g}, state, w)
        moved = [np.asarray(x != 0) for x in (first["a"], first["b"], second["a"], second["b"])]
        for k, one in enumerate(moved):
            for other in moved[:k]:
                assert abs(np.corrcoef(one, other)[0, 1]) < 0.06

    def test_the_bits_of_a_leaf_do_not_depend_on_its_neighbours(self):
        tx, w, g = round_stochastically(DOWN, 0), jnp.ones(512, jnp.bfloat16), jnp.full(512, 1e-3)
        alone, _ = tx.update({"b": g}, tx.init({"b": w}), {"b": w})
        many = {"a": w, "b": w, "c": jnp.ones(3), "d": None}
        beside, _ = tx.update({"a": g, "b": g, "c": jnp.ones(3), "d": None}, tx.init(many), many)
        np.testing.assert_array_equal(alone["b"], beside["b"])

    @pytest.mark.parametrize("key", [1.5, "seed", None, True, np.zeros(3, np.uint32), np.zeros((2, 2), np.uint32), []])
    def test_what_is_no_key(self, key):
        with pytest.raises(TypeError, match=r"key must be an integer or a key of jax\.random; got"):
            round_stochastically(DOWN, key)

    def test_a_batch_of_keys_is_no_key(self):
        with pytest.raises(TypeError, match=r"got an array of key<fry>, shape \(2,\)"):
            round_stochastically(DOWN, jax.random.split(jax.random.key(0)))

    def test_integers_out_of_range(self):
        for key in (-1, 2**32):
            with pytest.raises(ValueError, match=r"key must be at least 0 and below 2\*\*32"):
                round_stochastically(DOWN, key)
