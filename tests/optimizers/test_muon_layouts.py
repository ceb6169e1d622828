"""Which numbers of a leaf are a matrix: heads, fused projections, stacks of layers, each as if done by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import frames
from tests.optimizers.test_muon import polar

SVD = gradtx.orthogonalize("svd")
DECAY = {"weight_decay": 0.0, "momentum": 0.0, "nesterov": False}


def moonlight(matrix):
    """One step of a kernel inputs × outputs, down."""
    return -0.2 * np.sqrt(max(matrix.shape)) * polar(matrix)


def by_heads(x):  # in × heads × width
    return np.stack([moonlight(x[:, k]) for k in range(x.shape[1])], axis=1)


def by_heads_out(x):  # heads × width × out
    return np.stack([moonlight(head) for head in x])


def by_projections(x):  # in × 3·out
    return np.concatenate([moonlight(part) for part in np.split(x, 3, axis=1)], axis=1)


def by_convolution(x):  # h × w × in × out
    return moonlight(x.reshape(-1, x.shape[-1])).reshape(x.shape)


def by_layers_and_heads(x):  # layers × in × heads × width
    return np.stack([by_heads(layer) for layer in x])


LAYOUTS = {
    "heads": ((6, 2, 3), frames.matrices(rows=0, columns=2), by_heads),
    "heads of the output": ((2, 3, 6), frames.matrices(), by_heads_out),
    "heads joined": ((2, 3, 6), frames.matrices(rows=(0, 1), columns=2), by_convolution),
    "fused projections": ((5, 12), frames.matrices(blocks=(None, 4)), by_projections),
    "layers": ((3, 5, 4), frames.matrices(), by_heads_out),
    "layers of heads": ((2, 6, 2, 3), frames.matrices(rows=1, columns=3), by_layers_and_heads),
    "convolutions": ((2, 2, 3, 5), frames.matrices(rows=None), by_convolution),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_muon_by_hand(name):
    shape, frame, by_hand = LAYOUTS[name]
    x = np.random.default_rng(0).normal(size=shape)
    tx, w = gradtx.muon(1.0, frame=frame, **DECAY), jnp.ones(shape)
    u, _ = jax.jit(tx.update)(np.float32(x), tx.init(w), w)
    np.testing.assert_allclose(u, by_hand(x), atol=2e-5)


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.normuon(1.0, weight_decay=0.0, frame=frames.matrices()),
        gradtx.adamuon(1.0, weight_decay=0.0, frame=frames.matrices()),
        gradtx.muon2(1.0, weight_decay=0.0, frame=frames.matrices()),
        gradtx.rmnp(1.0, weight_decay=0.0, frame=frames.matrices()),
        gradtx.polargrad(1.0, others=gradtx.sgd(1.0), frame=frames.matrices()),
        gradtx.scion(1.0, weight_decay=0.0, frame=frames.matrices()),
    ],
    ids=lambda tx: tx.name,
)
def test_a_stack_of_layers_is_as_each_layer_alone(tx):
    """Over two steps of two layers, of which one has gradients that are ten times as large and grow."""
    gs = np.random.default_rng(0).normal(size=(2, 2, 5, 4)) * np.asarray([[1.0, 10.0], [2.0, 1.0]])[..., None, None]

    @functools.partial(jax.jit, static_argnums=0)
    def updates(tx, gs):
        w = jnp.ones_like(gs[0])
        return jax.lax.scan(lambda state, g: tx.update(g, state, w)[::-1], tx.init(w), gs)[1]

    gs, alone = np.float32(gs), tx.replace(frame=None)
    together = updates(tx, gs)
    for k in range(2):
        for came, u in zip(together[:, k], np.asarray(updates(alone, gs[:, k])), strict=True):
            np.testing.assert_allclose(came, u, rtol=2e-5, atol=2e-5 * np.abs(u).max())


def test_a_network_of_several_layouts():
    params = {
        "qkv": jnp.ones((4, 12)),
        "out": {"kernel": jnp.ones((2, 3, 4))},
        "mlp": jnp.ones((4, 8)),
        "bias": jnp.ones(8),
    }
    rules = {
        "qkv": gradtx.muon(0.1, frame=frames.matrices(blocks=(None, 4))),
        "out/kernel": gradtx.muon(0.1, frame=frames.matrices()),
        "**": gradtx.muon(0.1),
    }
    tx = gradtx.route(rules)
    g = jax.tree.map(lambda x: np.sin(np.arange(x.size, dtype=np.float32)).reshape(x.shape), params)

    @functools.partial(jax.jit, static_argnums=0)
    def first(tx, g, w):
        return tx.update(g, tx.init(w), w)[0]

    u, one = first(tx, g, params), gradtx.muon(0.1)
    for k in range(3):
        part = slice(4 * k, 4 * k + 4)
        alone = first(one, g["qkv"][:, part], np.ones((4, 4), np.float32))
        np.testing.assert_allclose(u["qkv"][:, part], alone, atol=1e-5)
    alone = first(one, g["mlp"], params["mlp"])
    np.testing.assert_allclose(u["mlp"], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: gradtx.scale_by_shape().init({"layers": [{"b": jnp.ones(3)}]}), r"layers/0/b has shape \(3,\)"),
        (lambda: gradtx.scale_to_norm(axis=-2).update({"b": jnp.ones(3)}, ()), r"at b has shape \(3,\), no axis -2"),
        (
            lambda: gradtx.in_frame(gradtx.orthogonalize(), frames.matrices()).init({"b": jnp.ones(3)}),
            r"at b has shape \(3,\), and a matrix has two axes",
        ),
        (
            lambda: gradtx.muon(0.1, frame=frames.matrices(blocks=(None, 5))).init({"qkv": jnp.ones((4, 12))}),
            "its 12 columns cannot be cut into blocks of 5",
        ),
        (
            lambda: gradtx.muon(0.1, frame=frames.matrices(rows=0, columns=2)).init({"w": jnp.ones((4, 12))}),
            "name axis 2, which it lacks",
        ),
        (lambda: gradtx.scion(0.1, hidden=("frobenius", 1.0)), r"hidden\[0\] must be"),
        (lambda: gradtx.scion(0.1, others=("sign", 0.0)), r"others\[1\] must be a radius"),
        (lambda: gradtx.scion(0.1, vectors=-1.0), "vectors must be a radius"),
        (lambda: gradtx.rmnp(0.1, outputs=0), "outputs must be -1 or -2"),
        (lambda: gradtx.scale_to_norm(-1.0), "size"),
        (lambda: gradtx.muonh(others=gradtx.sgd(0.1)).init({"w": jnp.zeros((2, 3))}), "at w starts at 0"),
    ],
)
def test_bad_input(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_what_is_no_pair_and_no_rule():
    with pytest.raises(TypeError, match="hidden must be a pair of a norm and a radius"):
        gradtx.scion(0.1, hidden="spectral")
    with pytest.raises(TypeError, match="polar must be a transformation"):
        gradtx.muon(0.1, polar="svd")


@jax.jit
def first_steps(x):
    some = (
        gradtx.adamuon(1.0, weight_decay=0.0),
        gradtx.muon2(1.0, weight_decay=0.0),
        gradtx.rmnp(1.0, weight_decay=0.0),
        gradtx.polargrad(1.0, others=gradtx.sgd(1.0)),
        gradtx.scion(1.0, weight_decay=0.0),
    )
    return [tx.update(x, tx.init(x), jnp.ones_like(x))[0] for tx in some]


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e25])
def test_zero_tiny_and_huge_gradients(size):
    """Zero matrices stay where they are; tiny ones are below the eps of most."""
    for u in first_steps(np.float32(size * np.random.default_rng(0).normal(size=(4, 6)))):
        assert np.all(np.isfinite(u))
        assert np.any(u) or size < 1
        assert size or not np.any(u)


def test_scion_stays_on_its_balls():
    """With a weight decay of 1: singular values, and entries, of what starts within the radius."""
    random = np.random.default_rng(0)
    params = {"hidden": 0.1 * random.normal(size=(6, 4)), "head": 0.1 * random.normal(size=(4, 3)), "b": np.zeros(3)}
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
    tx = gradtx.scion(
        0.3, hidden=("spectral", 2.0), others=("sign", 8.0), vectors=0.5, polar=gradtx.orthogonalize("svd")
    )

    def step(carry, key):
        w, state = carry
        g = jax.tree.map(lambda x: jax.random.normal(key, x.shape), w)
        u, state = tx.update(g, state, w)
        w = gradtx.apply_updates(w, u)
        sizes = jnp.linalg.norm(w["hidden"], 2), jnp.abs(w["head"]).max(), jnp.sqrt(jnp.mean(w["b"] ** 2))
        return (w, state), jnp.stack(sizes)

    keys = jax.random.split(jax.random.key(0), 200)
    _, sizes = jax.jit(lambda: jax.lax.scan(step, (params, tx.init(params)), keys))()
    bounds = np.asarray([2.0 * np.sqrt(4 / 6), 8.0 / 4, 0.5])
    largest = np.asarray(sizes).max(0)
    assert np.all(largest <= bounds * (1 + 1e-5))
    assert np.all(largest > 0.5 * bounds)


def flax_attention(make):
    """As Flax's MultiHeadDotProductAttention has it: in × heads × width, heads × width × out, biases; and a layer."""
    into = {"kernel": make((6, 2, 3)), "bias": make((2, 3))}
    attention = {"query": into, "key": into, "out": {"kernel": make((2, 3, 6)), "bias": make((6,))}}
    return {"attn": attention, "dense": {"kernel": make((6, 4))}}


BY_HEADS = frames.matrices(rows=0, columns=2)
FLAX = {"**/query/kernel": BY_HEADS, "**/key/kernel": BY_HEADS, "**/out/kernel": frames.matrices((0, 1), 2)}


def test_frames_by_rules():
    """Each leaf in the frame of its rule; a matrix of two axes needs none, and a bias is none."""
    random = np.random.default_rng(0)
    g, w = flax_attention(lambda shape: random.normal(size=shape).astype(np.float32)), flax_attention(jnp.ones)
    tx = gradtx.muon(1.0, frame=FLAX, others=gradtx.sgd(1.0), **DECAY)
    u, _ = jax.jit(tx.update)(g, tx.init(w), w)
    np.testing.assert_allclose(u["attn"]["query"]["kernel"], by_heads(g["attn"]["query"]["kernel"]), atol=2e-5)
    np.testing.assert_allclose(u["attn"]["out"]["kernel"], by_convolution(g["attn"]["out"]["kernel"]), atol=2e-5)
    np.testing.assert_allclose(u["dense"]["kernel"], moonlight(g["dense"]["kernel"]), atol=2e-5)
    np.testing.assert_array_equal(u["attn"]["query"]["bias"], -g["attn"]["query"]["bias"])


def test_muonclip_on_flax_attention():
    """The clip is exact for every head: with gradients of zero only it moves the weights."""
    w = flax_attention(jnp.ones)
    rules = {f"**/{name}/{leaf}": 0.5 for name in ("query", "key") for leaf in ("kernel", "bias")}
    tx = gradtx.muonclip(0.1, exponents=rules, frame=FLAX, weight_decay=0.0)
    zeros = jax.tree.map(np.zeros_like, w)
    u, _ = jax.jit(tx.update)(zeros, tx.init(w), w, max_logits={"attn": np.float32([400.0, 50.0])})
    new = gradtx.apply_updates(w, u)
    for name in ("query", "key"):
        np.testing.assert_allclose(new["attn"][name]["kernel"][:, 0], 0.5, rtol=1e-6)
        np.testing.assert_allclose(new["attn"][name]["bias"][0], 0.5, rtol=1e-6)
        np.testing.assert_array_equal(new["attn"][name]["kernel"][:, 1], 1.0)
    np.testing.assert_array_equal(new["attn"]["out"]["kernel"], 1.0)


def test_leaves_of_more_axes_without_a_rule_go_to_the_others():
    params = {**flax_attention(jnp.ones), "conv": jnp.ones((2, 2, 3, 4))}
    rows = {row.leaf: row.rule for row in gradtx.plan(gradtx.muon(0.1, frame=FLAX), params).rows}
    assert rows["conv"].startswith("others: 4 axes")
    assert rows["attn/query/bias"].startswith("others: a bias")
    assert rows["attn/query/kernel"].startswith("matrices")


@pytest.mark.parametrize(
    ("frame", "kind", "words"),
    [
        ({"**/qery/kernel": BY_HEADS}, ValueError, "matches no leaf"),
        ({"**/query/kernel": "heads"}, TypeError, "frame must be a frame"),
        ({3: BY_HEADS}, TypeError, "a rule must be"),
    ],
)
def test_bad_rules_of_frames(frame, kind, words):
    with pytest.raises(kind, match=words):
        gradtx.muon(0.1, frame=frame).init(flax_attention(jnp.ones))
