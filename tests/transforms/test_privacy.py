"""The private aggregate against the sum of its paper, and what one example may do to it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.double import enable_x64

PARAMS = {"w": jnp.zeros((2, 3)), "b": jnp.zeros(())}


def aggregate(clip=1.0, noise=0.0, key=0):
    return gradtx.differentially_private_aggregate(clip, noise, key)


@functools.partial(jax.jit, static_argnums=0)
def of(tx, examples, params=PARAMS):
    return tx.update(examples, tx.init(params), params)[0]


def examples(count=7, dtype=np.float32):
    """Of norms from far below the bound to far above it."""
    random = np.random.default_rng(0)
    sizes = 10.0 ** np.linspace(-3, 3, count)
    return {
        "w": (random.normal(size=(count, 2, 3)) * sizes[:, None, None]).astype(dtype),
        "b": (random.normal(size=count) * sizes).astype(dtype),
    }


def clipped_mean(gs, clip):
    """Abadi et al., algorithm 1, without noise."""
    w, b = gs["w"].astype(np.float64), gs["b"].astype(np.float64)
    total = {"w": np.zeros(w.shape[1:]), "b": 0.0}
    for k in range(len(b)):
        norm = np.sqrt((w[k] ** 2).sum() + b[k] ** 2)
        total["w"] += w[k] / max(1.0, norm / clip)
        total["b"] += b[k] / max(1.0, norm / clip)
    return {name: x / len(b) for name, x in total.items()}


@pytest.mark.parametrize("clip", [1e-4, 1.0, 30.0, 1e4])
def test_against_the_paper(clip):
    gs = examples()
    got, want = of(aggregate(clip), gs), clipped_mean(gs, clip)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-6, atol=1e-6 * clip)
    with enable_x64(True):
        wide = examples(dtype=np.float64)
        got = of(aggregate(clip), wide, jax.tree.map(lambda x: x[0] * 0.0, wide))
        for name, x in clipped_mean(wide, clip).items():
            np.testing.assert_allclose(got[name], x, rtol=1e-12, atol=1e-13 * clip)


def test_it_is_the_gradient_of_vmap():
    """As the docstring says, in a chain with an optimizer, under jit."""

    def loss(params, x):
        return jnp.tanh(jnp.sum(params["w"] @ x) + params["b"])

    batch = jnp.arange(12.0).reshape(4, 3) / 12
    tx = gradtx.chain(aggregate(0.5), gradtx.sgd(0.1))

    @jax.jit
    def step(params, state):
        grads = jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, batch)
        return tx.step(grads, state, params)

    params, _ = step(PARAMS, tx.init(PARAMS))
    clip = gradtx.clip_by_global_norm(0.5)
    clipped = jax.jit(lambda x: clip.update(jax.grad(loss)(PARAMS, x), clip.init(PARAMS))[0])
    alone = [clipped(x) for x in batch]
    want = jax.tree.map(lambda *g: -0.1 * sum(g) / 4, *alone)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8), params, want)


def test_noise_has_its_size_and_is_new_in_every_step():
    params = {"a": jnp.zeros(20_000), "b": jnp.zeros(20_000)}
    gs = jax.tree.map(lambda p: jnp.zeros((5, *p.shape)), params)
    tx = aggregate(2.0, 3.0, jax.random.key(1))
    first, state = tx.update(gs, tx.init(params), params)
    second, _ = tx.update(gs, state, params)
    drawn = [first["a"], first["b"], second["a"]]
    for x in drawn:
        assert float(jnp.std(x)) == pytest.approx(3.0 * 2.0 / 5, rel=0.02)
    for x, y in [(0, 1), (0, 2)]:
        assert abs(np.corrcoef(drawn[x], drawn[y])[0, 1]) < 0.03
    other = of(aggregate(2.0, 3.0, 2), gs, params)
    assert not np.array_equal(other["a"], first["a"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_example_that_is_not_finite_counts_as_zero(bad):
    gs = examples()
    gs["w"][3, 0, 0] = bad
    without = {name: np.delete(x, 3, axis=0) for name, x in gs.items()}
    got, want = of(aggregate(), gs), clipped_mean(without, 1.0)
    for name in want:
        np.testing.assert_allclose(got[name], np.asarray(want[name]) * 6 / 7, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", [1e25, 1e-30])
def test_norms_of_any_size(size):
    gs = {"w": np.full((1, 2, 3), size, np.float32), "b": np.zeros(1, np.float32)}
    got = of(aggregate(), gs)
    norm = np.sqrt(sum(np.sum((np.asarray(x, np.float64) / size) ** 2) for x in got.values()))
    assert norm == pytest.approx(1.0 / size if size > 1 else np.sqrt(6.0), rel=1e-5)
    assert not of(aggregate(), jax.tree.map(np.zeros_like, gs))["w"].any()


def test_one_example_moves_the_sum_by_the_bound_at_most():
    random = np.random.default_rng(1)
    for _ in range(20):
        gs = {"w": random.standard_cauchy((4, 2, 3)).astype("f4"), "b": random.standard_cauchy(4).astype("f4")}
        other = jax.tree.map(lambda x: np.concatenate([x[:3], 0 * x[3:]]), gs)
        a, b = (of(aggregate(0.3), x) for x in (gs, other))
        moved = [4 * (np.asarray(a[name]) - b[name]) for name in a]
        assert np.sqrt(sum(np.sum(x**2) for x in moved)) <= 0.3 * (1 + 1e-5)


class TestBadInput:
    def test_a_gradient_without_examples(self):
        with pytest.raises(
            ValueError, match=r"gradients of examples at w have shape \(2, 3\); expected \(2, \*\(2, 3\)\)"
        ):
            of(aggregate(), {"w": jnp.zeros((2, 3)), "b": jnp.zeros(2)})

    def test_batches_of_two_lengths(self):
        with pytest.raises(ValueError, match="gradients of examples at w have shape"):
            of(aggregate(), {"w": jnp.zeros((4, 2, 3)), "b": jnp.zeros(5)})

    def test_an_empty_batch(self):
        with pytest.raises(ValueError, match="the axis of examples in front"):
            of(aggregate(), {"w": jnp.zeros((0, 2, 3)), "b": jnp.zeros(0)})

    @pytest.mark.parametrize(
        ("name", "value"), [("l2_norm_clip", 0.0), ("l2_norm_clip", np.inf), ("noise_multiplier", -1.0)]
    )
    def test_out_of_range(self, name, value):
        with pytest.raises(ValueError, match=f"{name} must be"):
            gradtx.differentially_private_aggregate(
                **{"l2_norm_clip": 1.0, "noise_multiplier": 1.0, "key": 0, name: value}
            )

    def test_no_key(self):
        with pytest.raises(TypeError, match=r"key must be an integer or a key of jax\.random"):
            aggregate(key="seven")
