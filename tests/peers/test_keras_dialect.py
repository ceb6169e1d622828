"""gradtx.compat.keras: Keras' own words give Keras' own steps, to 1e-12 over 300 random steps in float64."""

import inspect
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.compat import keras as dialect
from tests.peers.agreement import enable_x64

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras", reason="install the extra: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers

STEPS = 300
SHAPES = {"body_kernel": (3, 4), "head_bias": (4,)}
EMPTY = inspect.Parameter.empty


@pytest.fixture(autouse=True)
def double(monkeypatch):
    """Let Keras on JAX compute in double precision: else learning rates, means, norms and cosines are in float32."""
    monkeypatch.setitem(keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    with enable_x64(True):
        yield
    keras.config.set_floatx(before)


def trees():
    rng = np.random.default_rng(11)
    start = {k: rng.normal(size=shape) for k, shape in SHAPES.items()}
    gradients = {
        k: rng.standard_t(3, (STEPS, *shape)) * 10.0 ** rng.integers(-3, 2, shape) for k, shape in SHAPES.items()
    }
    return start, gradients


START, GRADIENTS = trees()


def built(optimizer):
    """A Keras optimizer on variables with the names of the tree."""
    variables = [keras.Variable(v, name=k, dtype="float64") for k, v in START.items()]
    optimizer.build(variables)
    return variables


def theirs(optimizer):
    """The parameters after each step, all of them as one row; and the last state."""
    built(optimizer)

    @jax.jit
    def run(w, gradients):
        def step(carry, g):
            w, state = optimizer.stateless_apply(carry[1], list(g.values()), carry[0])
            return (w, state), w

        return jax.lax.scan(step, (w, [v.value for v in optimizer.variables]), gradients)

    (_, state), rows = run([jnp.asarray(v) for v in START.values()], {k: jnp.asarray(v) for k, v in GRADIENTS.items()})
    return np.concatenate([np.asarray(w).reshape(STEPS, -1) for w in rows], 1), state


def ours(tx, values=None):
    @jax.jit
    def run(w, gradients, values):
        def step(carry, now):
            g, value = now
            w, state = tx.step(g, carry[1], carry[0], **({} if value is None else {"value": value}))
            return (w, state), w

        return jax.lax.scan(step, (w, tx.init(w)), (gradients, values))[1]

    rows = run(jax.tree.map(jnp.asarray, START), GRADIENTS, values)
    return np.concatenate([np.asarray(rows[k]).reshape(STEPS, -1) for k in START], 1)


def distance(mine, want):
    """The largest difference, relative to the largest size of the parameter so far, the start included."""
    assert np.isfinite(want).all()
    start = np.concatenate([x.ravel() for x in START.values()])
    return (np.abs(mine - want) / np.maximum.accumulate(np.abs([start, *want]), 0)[1:]).max()


def agree(name, arguments, rtol=1e-12):
    """A learning rate that is a pair is the name of a schedule and its arguments."""

    def options(schedules):
        rate = arguments.get("learning_rate")
        made = {"learning_rate": getattr(schedules, rate[0])(**rate[1])} if isinstance(rate, tuple) else {}
        return {**arguments, **made}

    want = theirs(getattr(keras.optimizers, name)(**options(keras.optimizers.schedules)))[0]
    mine = ours(getattr(dialect, name)(**options(dialect.schedules)))
    assert distance(mine, want) < rtol, distance(mine, want)


FALLING = ("ExponentialDecay", {"initial_learning_rate": 0.03, "decay_steps": 50, "decay_rate": 0.7})
D = {"weight_decay": 0.1}
CASES = {
    "SGD": ("SGD", {}),
    "SGD momentum": ("SGD", {"learning_rate": FALLING, "momentum": 0.9, **D}),
    "SGD nesterov": ("SGD", {"learning_rate": FALLING, "momentum": 0.9, "nesterov": True, "clipnorm": 1.0}),
    "SGD all": (
        "SGD",
        {
            "learning_rate": FALLING,
            "momentum": 0.9,
            "global_clipnorm": 2.0,
            "use_ema": True,
            "ema_momentum": 0.8,
            "ema_overwrite_frequency": 3,
            "loss_scale_factor": 8.0,
            "gradient_accumulation_steps": 4,
            **D,
        },
    ),
    "Adam": ("Adam", {}),
    "Adam eps seen": ("Adam", {"learning_rate": FALLING, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3, **D}),
    "Adam amsgrad": ("Adam", {"learning_rate": 0.01, "amsgrad": True, "epsilon": 1e-3, "clipvalue": 0.5}),
    "Adam parts": ("Adam", {"learning_rate": FALLING, "epsilon": 1e-3, "gradient_accumulation_steps": 3}),
    "AdamW": ("AdamW", {"learning_rate": FALLING, "use_ema": True, "ema_overwrite_frequency": 7}),
    "Adamax": ("Adamax", {"learning_rate": FALLING, "epsilon": 1e-2, **D}),
    "Nadam": ("Nadam", {"learning_rate": FALLING, **D}),
    "RMSprop": ("RMSprop", {"learning_rate": FALLING, **D}),
    "RMSprop momentum": ("RMSprop", {"learning_rate": FALLING, "momentum": 0.9, "centered": True, **D}),
    "Adagrad": ("Adagrad", {"learning_rate": FALLING, **D}),
    "Adadelta": ("Adadelta", {"learning_rate": FALLING, **D}),
    "Adafactor": ("Adafactor", {"learning_rate": FALLING, **D}),
    "Adafactor bound": ("Adafactor", {"learning_rate": 1.0, "clip_threshold": 2.0, "beta_2_decay": -0.5}),
    "Ftrl": ("Ftrl", {"learning_rate": FALLING, "beta": 0.1, "l1_regularization_strength": 0.1, **D}),
    "Ftrl power": (
        "Ftrl",
        {"learning_rate_power": -0.3, "l2_regularization_strength": 0.1, "l2_shrinkage_regularization_strength": 0.01},
    ),
    "Lion": ("Lion", {"learning_rate": FALLING, **D}),
    "Lamb": ("Lamb", {"learning_rate": FALLING, **D}),
    "ScheduleFreeAdamW": ("ScheduleFreeAdamW", {"learning_rate": 0.01, "warmup_steps": 20, **D}),
    "Muon": ("Muon", {"learning_rate": FALLING, "adam_lr_ratio": 0.5}),
    "Muon plain": ("Muon", {"nesterov": False, "rms_rate": None, "exclude_layers": ["head"], "weight_decay": None}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_optimizers(case):
    agree(*case)


I = {"initial_learning_rate": 0.1}  # noqa: E741
SCHEDULES = [
    ("ExponentialDecay", {**I, "decay_steps": 7, "decay_rate": 0.9, "staircase": True}),
    ("InverseTimeDecay", {**I, "decay_steps": 7, "decay_rate": 0.5}),
    ("InverseTimeDecay", {**I, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [10, 20, 200], "values": [0.1, 0.0, 0.3, 0.02]}),
    ("PolynomialDecay", {**I, "decay_steps": 90, "power": 2.0}),
    ("PolynomialDecay", {**I, "decay_steps": 40, "cycle": True}),
    ("CosineDecay", {**I, "decay_steps": 90, "alpha": 0.1}),
    ("CosineDecay", {**I, "decay_steps": 90, "alpha": 0.1, "warmup_target": 0.3, "warmup_steps": 20}),
    ("CosineDecayRestarts", {**I, "first_decay_steps": 13, "t_mul": 1.5, "m_mul": 0.7, "alpha": 0.1}),
    ("CosineDecayRestarts", {**I, "first_decay_steps": 10, "t_mul": 1.0}),
]


@pytest.mark.parametrize(("kind", "settings"), SCHEDULES)
def test_schedules(kind, settings):
    steps = jnp.arange(STEPS)
    want = jax.vmap(getattr(keras.optimizers.schedules, kind)(**settings))(steps)
    mine = jax.vmap(getattr(dialect.schedules, kind)(**settings))(steps)
    np.testing.assert_allclose(mine, want, rtol=1e-12, atol=1e-15)


def parameters(function):
    kinds = inspect.Parameter
    shown = inspect.signature(function).parameters.values()
    return [(p.name, p.default) for p in shown if p.kind not in (kinds.VAR_KEYWORD, kinds.KEYWORD_ONLY)]


@pytest.mark.parametrize("name", [n for n in dialect.__all__ if inspect.isclass(getattr(keras.optimizers, n, None))])
def test_arguments_of_optimizers(name):
    assert parameters(getattr(dialect, name)) == parameters(getattr(keras.optimizers, name))


@pytest.mark.parametrize("name", dialect.schedules.__all__)
def test_arguments_of_schedules(name):
    assert parameters(getattr(dialect.schedules, name)) == parameters(getattr(keras.optimizers.schedules, name))


@pytest.mark.parametrize("name", dialect.callbacks.__all__)
def test_arguments_of_callbacks(name):
    assert parameters(getattr(dialect.callbacks, name)) == parameters(getattr(keras.callbacks, name))


def test_no_name_of_theirs_is_missing():
    absent = {n for n in dir(keras.optimizers) if n[0] != "_"} - set(dialect.__all__)
    assert absent == set(dialect._INSTEAD)
    absent = {n for n in dir(keras.optimizers.schedules) if n[0] != "_"} - set(dialect.schedules.__all__)
    assert absent == set(dialect.schedules._INSTEAD)
