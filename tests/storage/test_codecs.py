"""Codes and levels: how near, how many bytes, and what never happens to a number."""

import dataclasses
import functools
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import storage
from gradtx.double_precision import double_precision
from gradtx.storage.store import store

BLOCKED = [storage.int8(), storage.int4(), storage.float8(), storage.int8(block=7), storage.int4(block=5)]
ALL = [*BLOCKED, storage.float32(), storage.bfloat16(), storage.factored(), storage.factored(storage.int4())]
SHAPES = [
    (257, 300),
    (65, 3, 3, 64),
    (5000,),
    (4099, 1),
    (7, 7, 7, 7, 7),
    (64, 3, 7, 7),
    (129, 11, 5, 5, 1),
    (13, 17, 19),
]
GPT2 = [(50257, 768), (1024, 768), (768, 2304), (768, 768), (768, 3072), (3072, 768)]


def bits_of(seed):
    return lambda shape: jnp.asarray(np.random.default_rng(seed).integers(0, 2**32, shape), jnp.uint32)


@functools.partial(jax.jit, static_argnums=(0, 1))
def there_and_back(codec, role, x):
    return codec.decode(role, *codec.encode(role, x, bits_of(0)), x)


def moment(shape, role, seed=0, dtype=np.float32):
    x = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    return jnp.asarray(x * x if role == "nonnegative" else x)


class TestValues:
    @pytest.mark.parametrize("codec", ALL, ids=repr)
    def test_equal_hashed_pickled_and_printed(self, codec):
        again = eval(repr(codec), {"storage": storage})
        assert again == codec
        assert hash(again) == hash(codec)
        assert pickle.loads(pickle.dumps(codec)) == codec
        assert isinstance(codec, storage.Codec)

    def test_blocks_make_a_difference(self):
        assert storage.int8(128) != storage.int8()
        assert storage.int8() != storage.float8()

    def test_bad_blocks(self):
        for make in (storage.int8, storage.int4, storage.float8):
            with pytest.raises(ValueError, match="block must be at least 1; got 0"):
                make(block=0)
            with pytest.raises(TypeError, match=r"block must be a whole number; got 2\.5"):
                make(block=2.5)
        with pytest.raises(TypeError, match=r"signed must be a codec, as gradtx\.storage"):
            storage.factored(signed="int8")


class TestBooks:
    @pytest.mark.parametrize(("codec", "signed", "unsigned"), [(storage.int8(), 255, 256), (storage.int4(), 15, 16)])
    def test_levels(self, codec, signed, unsigned):
        of_both, of_one = (np.asarray(storage.book(codec, role)) for role in ("signed", "nonnegative"))
        assert len(of_both) == signed
        assert len(of_one) == unsigned
        assert (np.sort(-of_both) == of_both).all()
        assert 0 in of_both
        assert of_one.min() > 0
        assert of_both.max() == of_one.max() == 1

    @pytest.mark.parametrize("codec", [storage.int8(), storage.int4(), storage.float8()], ids=repr)
    def test_what_is_rounded_up_from_nothing_makes_no_great_step(self, codec):
        """The smallest first moment over the root of the smallest second one."""
        signed, unsigned = storage.book(codec, "signed"), storage.book(codec, "nonnegative")
        least = float(signed[signed > 0].min())
        assert unsigned.min() > 0
        assert least / math.sqrt(float(unsigned.min())) < 2

    def test_codecs_without(self):
        with pytest.raises(TypeError, match=r"codec must be int8\(\), .*; got storage.bfloat16\(\)"):
            storage.book(storage.bfloat16(), "signed")
        with pytest.raises(ValueError, match="role must be"):
            storage.book(storage.int8(), "exact")


class TestRounding:
    @pytest.mark.parametrize("role", ["signed", "nonnegative"])
    @pytest.mark.parametrize(
        ("codec", "share"), [(storage.int8(), 1 / 8), (storage.int4(), 1 / 2), (storage.float8(), 1 / 4)]
    )
    @pytest.mark.parametrize("shape", [(40, 300), (3, 7, 7), (5,)])
    def test_off_by_a_level_at_most(self, codec, role, share, shape):
        x = moment(shape, role)
        back = there_and_back(codec, role, x)
        least = float(jnp.abs(x).max()) * (0.1 if codec == storage.int4() else 0.003)
        assert back.dtype == x.dtype
        np.testing.assert_array_less(jnp.abs(back - x), share * jnp.abs(x) + least)

    @pytest.mark.parametrize("role", ["signed", "nonnegative"])
    @pytest.mark.parametrize("codec", [storage.int8(), storage.int4(), storage.float8(), storage.bfloat16()], ids=repr)
    def test_the_mean_is_right(self, codec, role):
        x = jnp.asarray([[1.0, 0.3, 0.0441, 0.17, 0.611, 0.051]])
        x = x if role == "nonnegative" else x * jnp.asarray([[1.0, -1.0] * 3])
        encode = jax.jit(
            lambda x, seed: codec.decode(
                role, *codec.encode(role, x, lambda shape: jax.random.bits(jax.random.key(seed), shape)), x
            )
        )
        mean = jnp.mean(jax.vmap(encode, (None, 0))(x, jnp.arange(20_000)), axis=0)
        np.testing.assert_allclose(mean, x, atol=0.004)

    @pytest.mark.parametrize("codec", ALL, ids=repr)
    def test_nothing_positive_becomes_zero(self, codec):
        for top in (1e-36, 1e-10, 1.0, 3e38):
            x = jnp.asarray([[top, 0.0, top * 1e-3, 1.2e-38, top * 1e-30 + 1.2e-38, top / 2]])
            if not codec.supports("nonnegative", x):
                continue
            back = there_and_back(codec, "nonnegative", x)
            assert bool(jnp.all(back[x > 0] > 0)), (codec, back)
            assert bool(jnp.all(jnp.isfinite(back)))

    @pytest.mark.parametrize("codec", [storage.int8(), storage.int4(), storage.float8()], ids=repr)
    @pytest.mark.parametrize("role", ["signed", "nonnegative"])
    def test_the_largest_numbers_do_not_vanish(self, codec, role):
        """Above a quarter of the range they count as that."""
        back = jax.jit(lambda x: there_and_back(codec, role, x))(jnp.asarray([[3.3e38, 1e38, 8e37, 3e37]]))
        np.testing.assert_allclose(back[0, :3], 8.5e37, rtol=0.35)
        np.testing.assert_allclose(back[0, 3], 3e37, rtol=0.35)

    @pytest.mark.parametrize("codec", ALL, ids=repr)
    @pytest.mark.parametrize("role", ["signed", "nonnegative"])
    def test_zero_stays_zero_and_faults_stay_faults(self, codec, role):
        zero = jnp.zeros((3, 5))
        if not codec.supports(role, zero):
            return
        assert not jnp.any(there_and_back(codec, role, zero))
        for fault in (jnp.nan, jnp.inf):
            assert not jnp.all(jnp.isfinite(there_and_back(codec, role, zero.at[1, 2].set(fault))))

    def test_factored_is_exact_where_rows_and_columns_are(self):
        x = jnp.asarray([1.0, 2.0, 5.0])[:, None] * jnp.asarray([0.1, 3.0])[None]
        np.testing.assert_allclose(there_and_back(storage.factored(), "nonnegative", x), x, rtol=1e-6)
        stacked = jnp.stack([x.T, 2 * x.T])
        np.testing.assert_allclose(there_and_back(storage.factored(), "nonnegative", stacked), stacked, rtol=1e-6)

    @pytest.mark.parametrize("codec", [*BLOCKED[:3], storage.factored()], ids=repr)
    def test_float64_has_its_range(self, codec):
        with double_precision():
            x = jnp.asarray([[1e-200, 2e-200, 5e-201, 1e-203]])
            back = there_and_back(codec, "nonnegative", x)
            assert back.dtype == jnp.float64
            np.testing.assert_allclose(back[0, :3], x[0, :3], rtol=0.7)


class TestBytes:
    """Of both moments of Adam, a parameter; float32 has 8."""

    @pytest.mark.parametrize("shape", SHAPES + GPT2, ids=str)
    def test_per_parameter(self, shape):
        for codec, most in (
            (storage.int8(), 2.07),
            (storage.int4(), 1.10),
            (storage.float8(), 2.07),
            (storage.bfloat16(), 4),
        ):
            state = jax.eval_shape(store(gradtx.adam(0.1), codec).init, jax.ShapeDtypeStruct(shape, jnp.float32))
            moments = state.inner["scale_by_adam"]
            used = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves((moments.mu, moments.nu)))
            assert used <= most * math.prod(shape), (codec, used / math.prod(shape))

    def test_factored(self):
        state = jax.eval_shape(store(gradtx.adam(0.1), storage.factored(storage.int8())).init, jnp.zeros((768, 3072)))
        assert sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state)) < 1.03 * 768 * 3072

    def test_types_that_other_formats_take(self):
        for codec in BLOCKED:
            codes, scales = jax.eval_shape(
                lambda x, codec=codec: codec.encode("signed", x, bits_of(0)), jnp.ones((4, 9))
            )
            assert codes.dtype == (jnp.int8 if codec == storage.float8() else jnp.uint8)
            assert scales.dtype == jnp.uint16


@dataclasses.dataclass(frozen=True)
class Linear:
    """A codec of a user: 256 even levels, of which one is zero, rounded to the nearest."""

    def supports(self, role, leaf):
        return True

    def encode(self, role, x, bits):
        scale = jnp.maximum(jnp.max(jnp.abs(x)), 1e-30)
        return jnp.round(x / scale * (255 if role == "nonnegative" else 127)).astype(jnp.int16), scale

    def decode(self, role, codes, scales, leaf):
        return codes.astype(jnp.float32) * scales / (255 if role == "nonnegative" else 127)


class TestPathologies:
    """The last lines of the list that every optimizer here is held to."""

    def largest_step(self, codec):
        """Adam's, over gradients of which some are a thousand times smaller than others, and hardly known."""
        sizes = jnp.logspace(-4, 0, 256)
        tx = store(gradtx.scale_by_adam(), codec, min_size=0)

        def body(state, key):
            updates, state = tx.update(sizes * (1 + 0.1 * jax.random.normal(key, (256,))), state)
            return state, jnp.max(jnp.abs(updates))

        return float(
            jnp.max(
                jax.jit(lambda s, k: jax.lax.scan(body, s, k))(
                    tx.init(sizes), jax.random.split(jax.random.key(0), 300)
                )[1]
            )
        )

    def test_a_zero_among_the_levels_of_the_second_moment(self):
        assert self.largest_step(Linear()) > 20  # 1/√(1 - b2): the past of a small entry is forgotten at every step
        assert self.largest_step(storage.float32()) < 1.1
        for codec in (storage.int8(), storage.int4(), storage.float8()):
            assert self.largest_step(codec) < 5, codec

    @pytest.mark.parametrize(
        ("codec", "most"), [(storage.bfloat16(), 0.01), (storage.int8(), 0.08), (storage.int4(), 0.25)]
    )
    def test_a_second_moment_that_would_stand_still(self, codec, most):
        """g = 1 for 2,000 steps: 0.865, where rounding to the nearest bfloat16 stays at 0.5."""
        tx, ones = store(gradtx.scale_by_rms(decay=0.999), codec, min_size=0), jnp.ones(256)
        state = jax.jit(lambda s: jax.lax.fori_loop(0, 2000, lambda _, s: tx.update(ones, s)[1], s))(tx.init(ones))
        there = codec.decode("nonnegative", state.inner.nu.codes, state.inner.nu.scales, ones)
        assert abs(float(jnp.mean(there)) - 0.8648) < most
        plain, keep, step = jnp.zeros((), jnp.bfloat16), jnp.bfloat16(0.999), jnp.bfloat16(0.001)
        assert float(jax.lax.fori_loop(0, 2000, lambda _, v: keep * v + step, plain)) == 0.5
