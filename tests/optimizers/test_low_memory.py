"""NovoGrad, SM3, CAME and Adam-mini against the loops of their papers; what they keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adam_mini, came, moments, novograd, sm3
from tests.optimizers.chains import assert_same_chain
from tests.optimizers.matrices import agrees, states_bound
from tests.transforms.agreement import run

RATE, DECAY = 0.1, 0.01


def of_novograd(gs, w, b1=0.9, b2=0.25, eps=1e-6):
    m = v = 0
    for t, g in enumerate(gs):
        norm_sq = np.sum(g * g)
        v = norm_sq if t == 0 else b2 * v + (1 - b2) * norm_sq
        m = b1 * m + g / (np.sqrt(v) + eps) + DECAY * w
        yield -RATE * m


def of_sm3(gs, w, b=0.9, eps=1e-8):
    kept, m = [np.zeros([n if k == axis else 1 for k, n in enumerate(w.shape)]) for axis in range(w.ndim)], 0
    for g in gs:
        v = np.minimum.reduce(np.broadcast_arrays(*kept, w)[:-1]) + g * g
        kept = [v.max(axis=tuple(k for k in range(w.ndim) if k != axis), keepdims=True) for axis in range(w.ndim)]
        m = b * m + (1 - b) * g / np.sqrt(v + eps)
        yield -RATE * m


def product(squares, kept, b):
    row, column = (b * old + (1 - b) * squares.mean(k, keepdims=True) for k, old in zip((1, 0), kept, strict=True))
    return (row, column), row * column / row.mean()


def of_came(gs, w, b1=0.9, b2=0.999, b3=0.9999, d=1.0):
    kept = residuals = (0, 0)
    m = 0
    for g in gs:
        kept, v = product(g * g + 1e-30, kept, b2)
        u = g / np.sqrt(v)
        u = u / max(1, np.sqrt(np.mean(u * u)) / d)
        m = b1 * m + (1 - b1) * u
        residuals, s = product((u - m) ** 2 + 1e-16, residuals, b3)
        yield -RATE * (m / np.sqrt(s) + DECAY * w)


def of_adam_mini(means):
    def loop(gs, w, b1=0.9, b2=0.999, eps=1e-8):
        m = v = 0
        for t, g in enumerate(gs, 1):
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * means(g * g)
            yield -RATE * (m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps) + DECAY * w)

    return loop


def mini(**blocks):
    return adam_mini(RATE, weight_decay=DECAY, **blocks)


CASES = {
    "novograd": (novograd(RATE, weight_decay=DECAY), of_novograd, (6, 8), 20),
    "novograd of a vector": (novograd(RATE, weight_decay=DECAY), of_novograd, (48,), 20),
    "sm3": (sm3(RATE), of_sm3, (6, 8), 30),
    "sm3 of a vector": (sm3(RATE), of_sm3, (48,), 30),
    "sm3 of three axes": (sm3(RATE), of_sm3, (2, 3, 8), 30),
    "came": (came(RATE, weight_decay=DECAY), of_came, (6, 8), 30),
    "adam-mini by leaf": (mini(), of_adam_mini(np.mean), (6, 8), 20),
    "adam-mini by output": (
        mini(default=moments.per_row()),
        of_adam_mini(lambda x: x.mean(0, keepdims=True)),
        (6, 8),
        20,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_paper(name):
    tx, loop, shape, bound = CASES[name]
    assert agrees(tx, loop, shape) <= bound
    assert states_bound(tx.made_by, bound)


def test_chains():
    norms = {"eps_in_sqrt": False, "moment": moments.per_leaf(total=True)}
    assert_same_chain(
        novograd(RATE, 0.95, 0.5, 1e-3, weight_decay=0.1),
        gradtx.scale_by_rms(lambda t: jnp.where(t == 0, 0.0, 0.5), 1e-3, **norms),
        gradtx.add_decayed_weights(0.1),
        gradtx.add_momentum(0.95),
        gradtx.scale_by_learning_rate(RATE),
    )
    assert_same_chain(
        adam_mini(RATE, 0.8, 0.99, 1e-6),
        gradtx.divide_by_rms(gradtx.ema(0.8), 0.99, 1e-6, moment=moments.per_leaf()),
        gradtx.add_decayed_weights(0.0),
        gradtx.scale_by_learning_rate(RATE),
    )


def test_blocks_are_declared_by_rules():
    """Heads by their axis, tokens by rows, biases entry by entry; nothing is found by name or position."""
    params = {
        "attention": {"query": {"kernel": jnp.ones((4, 2, 3)), "bias": jnp.ones((2, 3))}},
        "embedding": jnp.ones((5, 4)),
        "out": {"kernel": jnp.ones((4, 6)), "bias": jnp.ones(6)},
        "gain": jnp.ones(()),
    }
    blocks = {
        "**/query/kernel": moments.per((1,)),
        "embedding": moments.per_row(output_axis=0),
        "**/kernel": moments.per_row(),
        "**/bias": moments.full(),
    }
    tx = adam_mini(1e-3, blocks=blocks)
    found = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tx.init(params))[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if "/nu/" in name:
            found[name.split("/nu/")[1]] = leaf.shape
    assert found == {
        "attention/query/kernel": (1, 2, 1),
        "attention/query/bias": (2, 3),
        "embedding": (5, 1),
        "out/kernel": (1, 6),
        "out/bias": (6,),
        "gain": (),
    }
    assert eval(repr(tx), vars(gradtx)) == tx
    with pytest.raises(ValueError, match="matches no leaf"):
        adam_mini(1e-3, blocks={"**/value/kernel": moments.per_row()}).init(params)


def test_one_head_does_not_disturb_another():
    """Joined heads of gradients a thousand times apart: each entry of its head divides by its own size."""
    g = jnp.concatenate([jnp.full((4, 3), 1e-3), jnp.full((4, 3), 1.0)], 1)
    together, apart = adam_mini(1.0), adam_mini(1.0, default=moments.blocks(2))
    np.testing.assert_allclose(apart.update(g, apart.init(g), g)[0], -1.0, rtol=1e-4)
    assert jnp.abs(together.update(g, together.init(g), g)[0][:, :3]).max() < 2e-3


def test_a_sum_of_squares_is_bounded_from_above():
    """SM3: the bound of every entry is at least the sum of its squares."""
    gs = np.random.default_rng(0).standard_cauchy((50, 6, 8)).astype(np.float32)
    _, state = run(sm3(RATE), gs)
    row, column = (np.asarray(x, np.float64) for x in next(iter(state.values())).sum_of_squares)
    assert np.all(np.minimum(row, column) >= np.sum(gs.astype(np.float64) ** 2, 0) * (1 - 1e-5))


def test_the_first_step_of_novograd_has_the_length_of_the_rate():
    g = jnp.asarray(np.random.default_rng(0).normal(size=(20, 30)), jnp.float32)
    tx = novograd(RATE, eps=0.0)
    assert float(gradtx.global_norm(tx.update(g, tx.init(g), g)[0])) == pytest.approx(RATE, rel=1e-5)


def test_a_leaf_without_rows_has_the_mean_alone():
    """CAME does not divide the momentum of vectors."""
    g = jnp.array([3.0, -4.0])
    tx = gradtx.scale_by_confidence(0.9)
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0], 0.1 * g, rtol=1e-6)


def test_came_keeps_no_residuals_of_leaves_that_are_not_factored():
    """It divides by them in matrices only. Where the moment keeps every entry of each leaf, nothing is kept."""
    params = {"kernel": jnp.ones((6, 8)), "bias": jnp.array([2.0, -4.0]), "gain": jnp.ones(())}
    tx = gradtx.scale_by_confidence(0.5)
    updates, state = tx.update(params, tx.init(params))
    assert jax.tree.map(jnp.shape, jax.tree.leaves(state.nu)) == [(6, 1), (1, 8)]
    np.testing.assert_array_equal(updates["bias"], [1.0, -2.0])
    np.testing.assert_array_equal(updates["gain"], 0.5)
    tx = gradtx.scale_by_confidence(0.5, moment=moments.full())
    updates, state = tx.update(params, tx.init(params))
    assert not jax.tree.leaves(state.nu)
    np.testing.assert_array_equal(updates["kernel"], 0.5 * params["kernel"])


def test_numbers_of_the_state():
    """A matrix of m×n: NovoGrad 1, SM3 m + n, CAME 2·(m + n), each with a momentum of m·n; Adam-mini one a block."""
    w = jax.ShapeDtypeStruct((64, 32), jnp.float32)
    own = {novograd: 1, sm3: 96, came: 192, adam_mini: 1}
    for factory, numbers in own.items():
        state = jax.eval_shape(factory(1e-3).init, w)
        assert sum(x.size for x in jax.tree.leaves(state) if x.shape) == 64 * 32 + numbers


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: novograd(RATE, b2=1.0), "novograd: b2 must be"),
        (lambda: sm3(RATE, 1.0), "momentum must be"),
        (lambda: came(RATE, b3=2.0), "b3 must be"),
        (lambda: adam_mini(-1.0), "learning_rate must be"),
        (lambda: adam_mini(RATE, default=moments.blocks(5)).init(jnp.ones((4, 4))), "cannot be divided into 5 equal"),
    ],
)
def test_bad_arguments(make, error):
    with pytest.raises(ValueError, match=error):
        make()
