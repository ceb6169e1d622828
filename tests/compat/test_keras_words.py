"""Calls as in Keras: each error says what to write here, and what Keras' own words mean."""

import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.compat import keras
from gradtx.testing.compare import error_of

PARAMS = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}, "norm": {"gamma": jnp.ones(3)}}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: keras.SGD(PARAMS), "SGD: the parameters go to tx.init(params), and the learning rate comes first"),
        (lambda: keras.Adam(var_list=[1]), "Adam has no argument 'var_list': the parameters go to tx.init(params)"),
        (lambda: keras.Adam(lr=0.1), "Adam has no argument 'lr': it is called learning_rate"),
        (
            lambda: keras.SGD(0.1, decay=0.1),
            "give learning_rate a schedule, schedules.InverseTimeDecay(rate",
        ),
        (lambda: keras.SGD(0.1, nestrov=True), "SGD has no argument 'nestrov' (did you mean 'nesterov'?)"),
        (lambda: keras.SGD(0.1, clipnorm=1.0, clipvalue=1.0), "give one of clipnorm, clipvalue and global_clipnorm"),
        (lambda: keras.SGD(0.1, clipnorm=-1.0), "max_norm must be"),
        (lambda: keras.SGD(0.1, gradient_accumulation_steps=1), "gradient_accumulation_steps must be at least 2"),
        (lambda: keras.SGD(0.1, ema_overwrite_frequency=2), "has no effect without use_ema=True"),
        (lambda: keras.AdamW(weight_decay=None), "weight_decay must be a number; for none use Adam"),
        (lambda: keras.Ftrl(learning_rate_power=0.5), "-learning_rate_power must be"),
        (
            lambda: keras.schedules.CosineDecay(keras.SGD(0.1), 9),
            "it is given to one, SGD(learning_rate=Cosine",
        ),
        (lambda: keras.schedules.CosineDecay(0.1, 9, warmup_steps=3), "has no effect without warmup_target"),
        (lambda: keras.schedules.PiecewiseConstantDecay([1, 2], [0.1]), "boundaries must be one fewer"),
        (lambda: keras.callbacks.ReduceLROnPlateau(mode="max"), "for 'max' give value=-metric"),
        (
            lambda: keras.callbacks.ReduceLROnPlateau(monitor="val_accuracy"),
            "whether 'val_accuracy' is to be small: give mode='min' with value=metric if it is, mode='min'",
        ),
        (lambda: keras.callbacks.ReduceLROnPlateau(min_lr=1e-3), "needs learning_rate, that of the optimizer"),
        (
            lambda: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate, steps_per_epoch=3),
            "the function must take the epoch alone",
        ),
        (lambda: keras.MultiOptimizer({"a": keras.SGD()}), "MultiOptimizer takes an OptimizerMap(default, {...})"),
        (lambda: keras.exclude_from_weight_decay(keras.Adam(), var_names=["bias"]), "there is no weight decay in"),
        (lambda: keras.exclude_from_weight_decay(keras.AdamW(), var_names="bias"), "takes lists; got the text 'bias'"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_errors_say_what_to_write(call, words):
    error = error_of(call)
    assert isinstance(error, TypeError | ValueError), error
    assert words in str(error)


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        (keras, "Optimizer", "write a transformation with @gradtx.transformation"),
        (keras, "Adma", "no attribute"),
        (keras.schedules, "deserialize", "use gradtx.parse"),
        (keras.schedules, "Adma", "no attribute"),
    ],
)
def test_what_has_no_counterpart_says_so(module, name, words):
    with pytest.raises(AttributeError, match=words):
        getattr(module, name)


def test_values():
    assert keras.SGD(0.1, name="mine") == gradtx.chain(gradtx.scale_by_learning_rate(0.1))
    tx = keras.Adamax(keras.schedules.PolynomialDecay(0.1, 10, cycle=True), weight_decay=0.1, clipnorm=1.0)
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert jax.tree.leaves(jax.vmap(keras.Adam)(jnp.array([0.1, 0.2])))[-1].shape == (2,)
    assert list(inspect.signature(keras.AdamW).parameters)[:3] == ["learning_rate", "weight_decay", "beta_1"]


MADE = [n for n in keras.__all__ if inspect.isfunction(getattr(keras, n))]
OPTIMIZERS = [n for n in MADE if "learning_rate" in inspect.signature(getattr(keras, n)).parameters]


FALLING = keras.schedules.CosineDecay(0.1, 9, warmup_target=0.2, warmup_steps=3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_texts_of_all_optimizers(name):
    tx = getattr(keras, name)(FALLING, use_ema=True, ema_overwrite_frequency=3, gradient_accumulation_steps=2)
    assert gradtx.parse(repr(tx)) == tx


@pytest.mark.parametrize("name", ["SGD", "Adam", "Ftrl", "ScheduleFreeAdamW"])
def test_an_optimizer_may_be_an_argument_of_a_traced_function(name):
    tx = getattr(keras, name)(FALLING, use_ema=True, ema_overwrite_frequency=3, gradient_accumulation_steps=2)
    jax.eval_shape(lambda tx, w: tx.update(w, tx.init(w), w), tx, PARAMS)


def test_a_rate_of_zero_moves_nothing():
    """At the end of a schedule; in Keras the parameters become NaN there."""
    tx, w = keras.Ftrl(keras.schedules.PiecewiseConstantDecay([0], [0.5, 0.0])), jnp.ones(2)

    def step(carry, g):
        w, state = tx.step(g, carry[1], carry[0])
        return (w, state), w

    (_, state), seen = jax.lax.scan(step, (w, tx.init(w)), jnp.ones((3, 2)))
    assert np.array_equal(seen[0], seen[2])
    assert np.isfinite(seen).all()
    assert float(state["scale_by_ftrl_from_zero"].inner.accumulator[0]) == pytest.approx(1.1)


def test_leaves_without_weight_decay():
    adamw = keras.exclude_from_weight_decay(keras.AdamW(1.0, 0.5, clipnorm=1.0), ["norm/gamma"], ["^bi.s$"])
    lamb = keras.exclude_from_weight_decay(keras.Lamb(1.0, weight_decay=0.5), var_names=["bias", "gamma"])
    assert lamb != keras.Lamb(1.0, weight_decay=0.5)
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    for updates in jax.jit(lambda: [tx.update(zero, tx.init(PARAMS), PARAMS)[0] for tx in (adamw, lamb)])():
        firsts = jax.tree.map(lambda u: float(u.ravel()[0]), updates)
        assert firsts == {"dense": {"kernel": -0.5, "bias": 0.0}, "norm": {"gamma": 0.0}}


def test_several_optimizers():
    tx = keras.MultiOptimizer(keras.OptimizerMap(keras.SGD(1.0), {"dense/.*": keras.SGD(0.5)}), loss_scale_factor=2.0)
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    assert jax.tree.map(lambda u: float(u.ravel()[0]), updates) == {
        "dense": {"kernel": -0.25, "bias": -0.25},
        "norm": {"gamma": -0.5},
    }
    assert keras.LossScaleOptimizer(keras.SGD(0.1)) == gradtx.dynamic_loss_scale(keras.SGD(0.1))


def test_epochs():
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 0.5**epoch, steps_per_epoch=3)
    assert [float(rate(t)) for t in range(7)] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


def test_a_plateau_leaves_out_one_value_fewer_than_its_cooldown():
    """By hand: 9 is best; two worse: halved; the cooldown of 2 leaves out one; two worse: halved, not below 0.3."""
    tx = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=2, cooldown=2, min_lr=0.03, learning_rate=0.1)
    state, seen = tx.init(jnp.ones(1)), []
    for value in (9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0):
        updates, state = tx.update(jnp.ones(1), state, value=value)
        seen.append(round(float(updates[0]), 6))
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]


def test_a_rising_accuracy_is_no_plateau():
    tx = keras.callbacks.ReduceLROnPlateau(monitor="val_accuracy", factor=0.1, patience=2, mode="min")
    state = tx.init(jnp.ones(1))
    for accuracy in (0.5, 0.6, 0.7, 0.8, 0.9):
        updates, state = tx.update(jnp.ones(1), state, value=-accuracy)
    assert float(updates[0]) == 1.0


def test_zero_gradients_and_half_precision():
    """Steps without gradients are finite, and parameters of another type keep their type. One program for all."""
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS["dense"])
    made = [
        keras.Adamax(),
        keras.Ftrl(),
        keras.Lamb(weight_decay=0.1),
        keras.SGD(use_ema=True, ema_overwrite_frequency=2),
    ]
    zero, states = jax.tree.map(jnp.zeros_like, half), [tx.init(half) for tx in made]
    stepped = jax.jit(lambda states: [tx.step(zero, state, half) for tx, state in zip(made, states, strict=True)])(
        states
    )
    shapes = [jax.tree.map(lambda x: (x.dtype, x.shape), tree) for tree in (states, [state for _, state in stepped])]
    assert shapes[0] == shapes[1]
    params = jax.tree.leaves([params for params, _ in stepped])
    assert all(x.dtype == jnp.bfloat16 and np.isfinite(np.asarray(x, float)).all() for x in params)
