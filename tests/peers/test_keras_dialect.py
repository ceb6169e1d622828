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


HALF = STEPS // 2


def halves(k):
    """The gradients of the first half, or of the second."""
    return {name: jnp.asarray(g[k * HALF : (k + 1) * HALF]) for name, g in GRADIENTS.items()}


def rows(trees):
    return np.concatenate([np.asarray(x).reshape(HALF, -1) for x in trees], 1)


class Theirs:
    """A Keras optimizer on variables with the names of the tree. A run returns rows of parameters, and its end."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        optimizer.build([keras.Variable(v, name=k, dtype="float64") for k, v in START.items()])
        self.state = [v.value for v in optimizer.variables]
        self.names = [v.path for v in optimizer.variables]

        def step(carry, g):
            w, state = optimizer.stateless_apply(carry[1], list(g.values()), carry[0])
            return (w, state), w

        self._run = jax.jit(lambda w, state, gradients: jax.lax.scan(step, (w, state), gradients))

    def run(self, w, state, half):
        (w, state), all_of_w = self._run(w, state, halves(half))
        return rows(all_of_w), w, state


class Ours:
    def __init__(self, tx):
        self.tx = tx

        def step(carry, g):
            w, state = tx.step(g, carry[1], carry[0])
            return (w, state), w

        self._run = jax.jit(lambda w, state, gradients: jax.lax.scan(step, (w, state), gradients))

    def run(self, w, state, half):
        (w, state), all_of_w = self._run(w, state, halves(half))
        return rows(all_of_w.values()), w, state


def distance(mine, want):
    """The largest difference, relative to the largest size of the parameter so far, the start included."""
    assert np.isfinite(want).all()
    start = np.concatenate([x.ravel() for x in START.values()])
    return (np.abs(mine - want) / np.maximum.accumulate(np.abs([start, *want]), 0)[1:]).max()


def both(name, arguments):
    """The optimizer of each library. A learning rate that is a pair is the name of a schedule and its arguments."""
    made = []
    for module, schedules in ((keras.optimizers, keras.optimizers.schedules), (dialect, dialect.schedules)):
        rate = arguments.get("learning_rate")
        options = {"learning_rate": getattr(schedules, rate[0])(**rate[1])} if isinstance(rate, tuple) else {}
        made.append(getattr(module, name)(**{**arguments, **options}))
    return Theirs(made[0]), Ours(made[1])


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
    """300 steps; and with either library for the first half, the same second half with the other."""
    their, our = both(*case)
    start = {k: jnp.asarray(v) for k, v in START.items()}
    first, w, variables = their.run(list(start.values()), their.state, 0)
    second, _, _ = their.run(w, variables, 1)
    mine, our_w, state = our.run(start, our.tx.init(start), 0)
    rest, _, _ = our.run(our_w, state, 1)
    want = np.concatenate([first, second])
    assert distance(np.concatenate([mine, rest]), want) < 1e-12

    there = dict(zip(START, w, strict=True))
    imported = dialect.import_state(our.tx, variables, list(w))
    named = [Named(*x) for x in zip(their.names, variables, strict=True)]
    by_name = dialect.import_state(our.tx, named, there)
    assert jax.tree.all(jax.tree.map(np.array_equal, jax.tree.leaves(imported), jax.tree.leaves(by_name)))
    goes_on, _, _ = our.run(there, by_name, 1)
    assert distance(np.concatenate([first, goes_on]), want) < 1e-12

    exported = dialect.export_state(our.tx, state, named, our_w, steps=HALF)
    goes_back, _, _ = their.run(list(our_w.values()), exported, 1)
    assert distance(np.concatenate([mine, goes_back]), want) < 1e-12


class Named:
    """A variable with a path, in place of a Keras one."""

    def __init__(self, path, value):
        self.path, self.value = path, value

    def numpy(self):
        return np.asarray(self.value)


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


def test_a_keras_optimizer_itself_goes_on_here():
    """In a LossScaleOptimizer, with float32 variables that Keras holds; and back as a list."""
    keras.config.set_floatx("float32")
    with enable_x64(False):
        variables = [keras.Variable(v, name=k, dtype="float32") for k, v in START.items()]
        theirs = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), 256.0, 3)
        theirs.build(variables)
        scaled = [jnp.asarray(256.0 * g[0], jnp.float32) for g in GRADIENTS.values()]
        step = jax.jit(lambda w, state: theirs.stateless_apply(state, scaled, w))
        w, held = step([v.value for v in variables], [v.value for v in theirs.variables])
        for variable, value in zip(theirs.variables, held, strict=True):
            variable.assign(value)
        tx = dialect.LossScaleOptimizer(dialect.Adam(0.01), 256.0, 3)
        names = [v.path for v in variables]
        ours = dict(zip(names, w, strict=True))
        state = dialect.import_state(tx, theirs, ours)
        ours, state = tx.step(dict(zip(names, scaled, strict=True)), state, ours)
        w, held = step(w, held)
        for name, value in zip(names, w, strict=True):
            np.testing.assert_allclose(ours[name], value, rtol=1e-6, atol=1e-6)
        for mine, want in zip(dialect.export_state(tx, state, theirs, ours), held, strict=True):
            np.testing.assert_allclose(mine, want, rtol=1e-5, atol=1e-12)


def test_keras_begins_a_cycle_late():
    """The fourteenth, at 10·(2¹³ - 1) steps, where its logarithm is rounded down in float32."""
    keras.config.set_floatx("float32")
    with enable_x64(False):
        late = keras.optimizers.schedules.CosineDecayRestarts(1.0, 10)
        in_time = dialect.schedules.CosineDecayRestarts(1.0, 10)
        assert float(late(jnp.asarray(81910))) < 0.1
        assert float(in_time(81910)) == 1.0


def first_half(theirs, ours):
    """The rows of both."""
    their, our = Theirs(theirs), Ours(ours)
    start = {k: jnp.asarray(v) for k, v in START.items()}
    return their.run(list(start.values()), their.state, 0)[0], our.run(start, our.tx.init(start), 0)[0]


def test_the_float32_of_keras():
    """With Keras' usual type of the learning rate, steps differ by less than a rounding error of float32."""
    keras.config.set_floatx("float32")
    want, mine = (np.diff(x, axis=0) for x in first_half(keras.optimizers.Adam(0.1), dialect.Adam(0.1)))
    assert 1e-9 < (np.abs(mine - want) / np.abs(want)).max() < 1.2e-7


def test_leaves_without_weight_decay():
    theirs, names = keras.optimizers.Lamb(0.1, weight_decay=0.5), ["bias$"]
    theirs.exclude_from_weight_decay(var_names=names)
    ours = dialect.exclude_from_weight_decay(dialect.Lamb(0.1, weight_decay=0.5), var_names=names)
    want, mine = first_half(theirs, ours)
    assert np.abs(mine - want).max() < 1e-12


def test_several_optimizers():
    def made(module):
        adam, sgd = module.Adam(0.01), module.SGD(0.1, momentum=0.9)
        return module.MultiOptimizer(module.OptimizerMap(adam, {".*_bias": sgd}), loss_scale_factor=4.0)

    want, mine = first_half(made(keras.optimizers), made(dialect))
    assert np.abs(mine - want).max() < 1e-12


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras reads its rate so
@pytest.mark.parametrize(
    "settings", [{"patience": 3, "cooldown": 4, "min_lr": 0.01, "factor": 0.7}, {"patience": 0, "factor": 0.9}]
)
def test_plateaus(settings):
    """The learning rate after each of 200 values; Keras reads it, and here it is the factor of the update."""

    class Model:
        optimizer, metrics = keras.optimizers.SGD(0.1), ()

    values = np.abs(np.cumsum(np.random.default_rng(3).normal(size=200))) + 0.1
    callback = keras.callbacks.ReduceLROnPlateau(min_delta=0.05, **settings)
    callback.set_model(Model)
    callback.on_train_begin()
    want = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_loss": value})
        want.append(float(Model.optimizer.learning_rate))
    tx = dialect.callbacks.ReduceLROnPlateau(min_delta=0.05, learning_rate=0.1, **settings)

    def step(state, value):
        update, state = tx.update(jnp.asarray(0.1), state, value=value)
        return state, update

    mine = jax.lax.scan(step, tx.init(jnp.asarray(0.0)), jnp.asarray(values))[1]
    assert len(set(want)) > 5
    np.testing.assert_allclose(mine, want, rtol=1e-12)
