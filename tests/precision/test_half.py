"""Rounding, and updates that land: every value of both types, against what casts outside jit and apply_updates give."""

import functools

import equinox
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import strategies as st

import gradtx
from gradtx.compat import to_optax
from gradtx.precision.compensate import compensate
from gradtx.precision.half import nearest, on_half, update_to
from gradtx.precision.master import keep_master
from gradtx.precision.rounding import round_stochastically
from gradtx.precision.split import divided, joined, split24
from gradtx.storage.bits import rounded_stochastically

TYPES = ["bfloat16", "float16"]
SUBNORMAL = float(jnp.finfo("float32").tiny)  # XLA takes smaller float32 for zeros on CPU


def every(dtype):
    """All 65,536 of them."""
    return np.arange(2**16, dtype=np.uint16).view(jnp.dtype(dtype))


def wide(x):
    """In float32; of a NaN, NumPy warns."""
    with np.errstate(invalid="ignore"):
        return np.asarray(x).astype(np.float32)


def same(a, b):
    """Equal, or both NaN."""
    return (a == b) | (np.isnan(a) & np.isnan(b))


def updates_of_all_kinds(p):
    """Any float32; of the size of p and smaller; almost -p; another parameter."""
    random, p = np.random.default_rng(0), wide(p)
    with np.errstate(all="ignore"):
        yield random.integers(0, 2**32, p.size, dtype=np.uint32).view(np.float32)
        yield np.float32(p * random.normal(size=p.size) * 2.0 ** random.integers(-12, 3, p.size))
        yield np.float32(-p * (1 + random.normal(size=p.size) * 2.0 ** random.integers(-24, 0, p.size)))
        yield random.permutation(p)


@pytest.mark.parametrize("dtype", TYPES)
def test_nearest_is_the_cast(dtype):
    x = np.concatenate([*updates_of_all_kinds(every(dtype)), wide(every(dtype))])
    x = np.where(np.abs(x) < SUBNORMAL, 0, x)
    with np.errstate(all="ignore"):
        expected = x.astype(jnp.dtype(dtype)).astype(np.float32)
    assert same(np.asarray(jax.jit(nearest, static_argnums=1)(x, dtype)), expected).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_every_sum_of_every_parameter_is_landed_on(dtype):
    """Rounded to nearest or by chance; signs that change, zeros, infinities, NaN."""
    p = jnp.asarray(every(dtype))

    @jax.jit
    def lead(u, bits):
        exact = p.astype(jnp.float32) + u
        by_chance = rounded_stochastically(exact, p.dtype, bits).astype(jnp.float32)
        return [(new, *update_to(u, p, new)) for new in (nearest(exact, p.dtype), by_chance)]

    apply, tried = jax.jit(gradtx.apply_updates), 0
    with jax.numpy_dtype_promotion("standard"):
        for u in updates_of_all_kinds(p):
            bits = np.random.default_rng(1).integers(0, 2**32, p.size, dtype=np.uint32)
            for new, update, landed in lead(u, bits):
                new, landed = np.asarray(new), np.asarray(landed)
                assert same(wide(apply(p, update)), landed).all()
                assert same(wide(jax.jit(optax.apply_updates)(p, update)), landed).all()
                fair = ~(np.abs(new - wide(p)) < SUBNORMAL) | (new == wide(p))  # a difference that XLA takes for zero
                assert same(new, landed)[fair].all()
                tried += fair.sum()
    assert tried > 2**18


@hypothesis.given(st.floats(width=32), st.floats(width=32), st.sampled_from(TYPES))
def test_where_it_lands_is_where_apply_updates_ends(p, new, dtype):
    """Also for a value that no float32 sum of this parameter reaches."""
    with np.errstate(all="ignore"):
        p, new = np.asarray(p, jnp.dtype(dtype)), wide(np.asarray(new, jnp.dtype(dtype)))
    update, landed = update_to(jnp.zeros(()), jnp.asarray(p), jnp.asarray(new))
    assert same(wide(gradtx.apply_updates(jnp.asarray(p), update)), np.asarray(landed))
    if np.isfinite([wide(p), new]).all():
        assert abs(float(landed) - float(new)) <= 2.0**-23 * max(abs(float(wide(p))), abs(float(new))) + SUBNORMAL


def test_a_value_out_of_reach():
    update, landed = update_to(jnp.zeros(()), jnp.ones((), jnp.bfloat16), jnp.float32(2.0**-30))
    assert (float(update), float(landed)) == (-1.0, 0.0)


@pytest.mark.parametrize("dtype", TYPES)
def test_rest_keeps_every_bit(dtype):
    """Of -0 too; but the subnormals of bfloat16, which XLA takes for zeros in any sum."""
    p = every(dtype)
    update, _ = update_to(jnp.zeros(p.shape), jnp.asarray(p), jnp.asarray(wide(p)))
    after = np.asarray(gradtx.apply_updates(jnp.asarray(p), update))
    kept = ~np.isnan(wide(p)) & ((np.abs(wide(p)) >= SUBNORMAL) | (wide(p) == 0))
    np.testing.assert_array_equal(after.view(np.uint16)[kept], p.view(np.uint16)[kept])


@pytest.mark.parametrize("dtype", TYPES)
def test_24_bits_are_two_parts_of_one_number(dtype):
    """All 16 million of them there and back, the parameter being the nearest to the whole."""
    p, low = np.repeat(every(dtype), 256), np.tile(np.arange(256, dtype=np.uint8), 2**16)
    whole = jax.jit(joined)(p, low)
    new, again = jax.jit(divided, static_argnums=1)(whole, dtype)
    real = np.isfinite(wide(p)) & ~((wide(p) == 0) & (low >= 128))  # the low bits of a zero are less than half
    np.testing.assert_array_equal(np.asarray(again)[real], low[real])
    np.testing.assert_array_equal(np.asarray(new)[real], wide(p)[real])
    assert same(np.asarray(whole), wide(p))[~np.isfinite(wide(p))].all()
    with np.errstate(invalid="ignore"):
        rounded = wide(np.asarray(whole).astype(jnp.dtype(dtype)))
    np.testing.assert_array_equal(rounded[real & (low != 128)], wide(p)[real & (low != 128)])


@pytest.mark.parametrize(("dtype", "bits", "least"), [("bfloat16", 15, -126), ("float16", 18, -14)])
def test_24_bits_are_the_nearest(dtype, bits, least):
    x = np.float32(np.random.default_rng(0).normal(size=4096) * 2.0 ** np.linspace(-8, 8, 4096))
    whole = np.asarray(joined(*_parts(x, dtype)))
    exponent = np.maximum(np.floor(np.log2(np.abs(x))), least)
    assert (np.abs(whole - x) <= 2.0 ** (exponent - bits - 1)).all()


def _parts(x, dtype):
    new, low = divided(jnp.asarray(x), dtype)
    return new.astype(dtype), low


def test_what_is_too_large_becomes_infinite_as_in_a_cast():
    for dtype, x in (("bfloat16", [3.39e38, 3.396e38, 3.4e38]), ("float16", [65504.0, 65519.0, 65520.0])):
        new, low = divided(jnp.asarray([*x, *(-v for v in x)]), dtype)
        cast = wide(jnp.asarray([*x, *(-v for v in x)]).astype(dtype))
        np.testing.assert_array_equal(new, cast)
        assert not np.asarray(low)[~np.isfinite(cast)].any()


def test_small_steps_land_through_equinox():
    """Which adds by hand, and needs updates in the type of the parameters."""
    w = jnp.linspace(0.05, 3.0, 512, dtype=jnp.bfloat16)  # of a step beyond half of w the sum in bfloat16 may be off
    for wrapper in (functools.partial(round_stochastically, key=0), compensate, keep_master, split24):
        tx = wrapper(gradtx.sgd(0.01))
        state, grads = tx.init(w), jnp.cos(w.astype(jnp.float32))
        expected = gradtx.apply_updates(w, tx.update(grads, state, w)[0])
        pair = to_optax(tx, like_params=True)
        np.testing.assert_array_equal(equinox.apply_updates(w, pair.update(grads, state, w)[0]), expected)
        np.testing.assert_array_equal(optax.apply_updates(w, pair.update(grads, state, w)[0]), expected)


def test_an_update_that_does_not_fit_names_the_leaf():
    params = {"a": {"w": jnp.ones(2, jnp.bfloat16)}}
    with pytest.raises(ValueError, match=r"update at a/w has shape \(3,\), the parameter \(2,\)"):
        on_half(lambda u, p, s: (u, s), {"a": {"w": jnp.ones(3)}}, params, params)
