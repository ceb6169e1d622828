"""QK-Clip: which weights become smaller, by how much, and when; MuonClip against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import frames
from tests.optimizers.test_muon_layouts import by_heads

RULES = {"**/query/kernel": 0.5, "**/key/kernel": 0.5}
SHAPE = (4, 2, 3)  # in × heads × width


def params(*stack, shape=SHAPE):
    random = np.random.default_rng(0)
    leaves = {name: {"kernel": random.normal(size=(*stack, *shape))} for name in ("query", "key", "value")}
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), {"layers": [{"attn": leaves}]})


def after(tx, w, s, g=None):
    """The parameters after one step."""
    g = jax.tree.map(jnp.zeros_like, w) if g is None else g
    u, _ = jax.jit(tx.update)(g, tx.init(w), w, max_logits={"layers": [{"attn": jnp.asarray(s)}]})
    return gradtx.apply_updates(w, u)["layers"][0]["attn"]


def test_logits_come_down_to_the_threshold():
    """The logits of the same inputs: of the head that was too large exactly 100, of the other one as before."""
    w, x = params(), np.random.default_rng(1).normal(size=(5, 4))

    def largest(w):
        q, k = (np.einsum("ti,ihd->thd", x, w[name]["kernel"]) for name in ("query", "key"))
        return np.abs(np.einsum("thd,shd->hts", q, k)).max(axis=(1, 2)) / np.sqrt(3)

    before = w["layers"][0]["attn"]
    threshold = float(largest(before).mean())
    new = after(gradtx.qk_clip(RULES, threshold), w, largest(before))
    np.testing.assert_allclose(largest(new), np.minimum(largest(before), threshold), rtol=1e-5)
    np.testing.assert_array_equal(new["value"]["kernel"], before["value"]["kernel"])


def test_below_the_threshold_nothing_changes_to_the_bit():
    w, tx = params(), gradtx.chain(gradtx.adam(0.1), gradtx.qk_clip(RULES))
    g, s = jax.tree.map(jnp.cos, w), {"layers": [{"attn": jnp.asarray([100.0, 0.0])}]}
    u, _ = tx.update(g, tx.init(w), w, max_logits=s)
    adam = gradtx.adam(0.1)
    jax.tree.map(np.testing.assert_array_equal, u, adam.update(g, adam.init(w), w)[0])


def test_the_step_is_made_first():
    w, g = params(), jax.tree.map(jnp.ones_like, params())
    new = after(gradtx.chain(gradtx.sgd(0.5), gradtx.qk_clip(RULES)), w, [400.0, 50.0], g)
    for name, factors in (("query", [0.5, 1.0]), ("key", [0.5, 1.0]), ("value", [1.0, 1.0])):
        old = np.asarray(w["layers"][0]["attn"][name]["kernel"])
        np.testing.assert_allclose(new[name]["kernel"], (old - 0.5) * np.asarray(factors)[:, None], rtol=1e-5)


LAYOUTS = {
    "in × heads·width": ((4, 6), -1, (), lambda f: np.repeat(f, 3)),
    "heads·width × in": ((6, 4), -2, (), lambda f: np.repeat(f, 3)[:, None]),
    "a stack of layers": (SHAPE, -2, (3,), lambda f: f[:, None, :, None]),
    "biases": ((2, 3), -2, (), lambda f: f[:, None]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_where_the_heads_are(name):
    shape, heads, stack, spread = LAYOUTS[name]
    w, s = params(*stack, shape=shape), np.random.default_rng(2).uniform(50, 400, size=(*stack, 2))
    new = after(gradtx.qk_clip(RULES, heads=heads), w, s)
    factors = spread(np.minimum(1.0, 100.0 / s) ** 0.5)
    old = np.asarray(w["layers"][0]["attn"]["query"]["kernel"])
    np.testing.assert_allclose(new["query"]["kernel"], old * factors, rtol=1e-5)


def test_grouped_queries():
    """Four heads of queries share two of keys: the maximum of the group is for its key and for its queries."""
    w = params()
    w["layers"][0]["attn"]["query"]["kernel"] = jnp.ones((4, 4, 3))
    new = after(gradtx.qk_clip(RULES), w, [400.0, 50.0])
    np.testing.assert_allclose(new["query"]["kernel"], np.ones((4, 4, 3)) * np.asarray([0.5, 0.5, 1.0, 1.0])[:, None])


def test_latent_attention_has_other_exponents():
    w = {"attn": {"q_c": jnp.ones((2, 3)), "q_r": jnp.ones((2, 3)), "k_c": jnp.ones((2, 3)), "k_r": jnp.ones((2, 3))}}
    tx = gradtx.qk_clip({"**/q_c": 0.5, "**/k_c": 0.5, "**/q_r": 1.0})
    u, _ = tx.update(jax.tree.map(jnp.zeros_like, w), tx.init(w), w, max_logits={"attn": jnp.asarray([400.0, 1.0])})
    new = gradtx.apply_updates(w, u)["attn"]
    assert {name: float(x[0, 0]) for name, x in new.items()} == {"q_c": 0.5, "q_r": 0.25, "k_c": 0.5, "k_r": 1.0}


def test_logits_that_are_not_finite_clip_nothing():
    w = params()
    new = after(gradtx.qk_clip(RULES), w, [jnp.inf, jnp.nan])
    np.testing.assert_array_equal(new["query"]["kernel"], w["layers"][0]["attn"]["query"]["kernel"])


def test_muonclip_is_muon_then_the_clip():
    """Ten steps, with Muon by heads, in float32 to 1e-5."""
    tx = gradtx.muonclip(0.1, exponents=RULES, weight_decay=0.1, frame=frames.matrices(rows=0, columns=2))
    w, random = params(), np.random.default_rng(3)
    state, step = tx.init(w), jax.jit(tx.update)
    by_hand, mean = np.asarray(w["layers"][0]["attn"]["query"]["kernel"], np.float64), 0.0
    for _ in range(10):
        g, s = random.normal(size=SHAPE), random.uniform(50, 400, size=2)
        grads = jax.tree.map(lambda x, g=g: jnp.asarray(g, jnp.float32), w)
        u, state = step(grads, state, w, max_logits={"layers": [{"attn": jnp.asarray(s, jnp.float32)}]})
        w = gradtx.apply_updates(w, u)
        mean = 0.95 * mean + 0.05 * g
        by_hand = by_hand + 0.1 * (by_heads(0.95 * mean + 0.05 * g) - 0.1 * by_hand)
        by_hand = by_hand * (np.minimum(1.0, 100.0 / s) ** 0.5)[:, None]
    np.testing.assert_allclose(w["layers"][0]["attn"]["query"]["kernel"], by_hand, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda: gradtx.qk_clip({}), TypeError, "exponents must be rules"),
        (lambda: gradtx.qk_clip({"**": 0.0}), ValueError, "must be a finite number above 0"),
        (lambda: gradtx.qk_clip(RULES, 0.0), ValueError, "threshold"),
        (lambda: gradtx.qk_clip(RULES, heads=1), ValueError, "counted from the end"),
        (lambda: gradtx.qk_clip({"nothing": 0.5}).init(params()), ValueError, "matches no leaf"),
        (
            lambda: gradtx.qk_clip({"**": 0.5}).init({"b": jnp.ones(3)}),
            ValueError,
            r"at b has shape \(3,\), no axis -2",
        ),
        (lambda: gradtx.qk_clip(RULES).update(params(), (), params()), TypeError, "max_logits"),
        (lambda: after(gradtx.qk_clip(RULES), params(), [1.0, 1.0, 1.0]), ValueError, "an entry for each head"),
        (
            lambda: gradtx.qk_clip(RULES).update(params(), (), params(), max_logits={"other": jnp.ones(2)}),
            ValueError,
            "max_logits has nothing for the leaf at layers/0/attn/key/kernel; it has arrays at other",
        ),
        (
            lambda: gradtx.qk_clip(RULES).update(
                params(), (), params(), max_logits={"layers": [{"attn": jnp.ones(2), "mlp": jnp.ones(2)}]}
            ),
            ValueError,
            "max_logits at layers/0/mlp, and no leaf below it matches",
        ),
    ],
)
def test_bad_input(make, kind, said):
    with pytest.raises(kind, match=said):
        make()
