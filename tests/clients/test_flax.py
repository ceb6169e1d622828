"""flax: `nnx.Optimizer` and linen's `TrainState` take a transformation as they take optax's."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.compat import to_optax
from gradtx.testing.compare import same_bits
from tests.clients.agreement import ALGORITHMS, EPS, Client, Run, X, Y, agrees, difference, follow

pytest.importorskip("flax", reason="pip install -e '.[testing]'")
optax = pytest.importorskip("optax", reason="pip install -e '.[peers]'")

from flax import linen, nnx  # noqa: E402
from flax.training.train_state import TrainState  # noqa: E402


class Net(nnx.Module):
    def __init__(self, dtype=jnp.float32):
        self.first = nnx.Linear(2, 4, rngs=nnx.Rngs(0), param_dtype=dtype)
        self.second = nnx.Linear(4, 1, rngs=nnx.Rngs(1), param_dtype=dtype)

    def __call__(self, x):
        return self.second(jnp.tanh(self.first(x)))


def loss(model):
    return jnp.mean((model(X) - Y) ** 2)


def trained(tx, steps=20, *, model=None, change=None, **extra):
    """Losses of a small nnx model, its optimizer afterwards, and how often the step was traced."""
    model = Net() if model is None else model
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    traces = []

    @nnx.jit
    def step(model, optimizer):
        traces.append(1)
        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads, **extra)
        return value

    losses = []
    for k in range(steps):
        if change is not None and k == steps // 2:
            change(optimizer)
        losses.append(float(step(model, optimizer)))
    return losses, optimizer, len(traces)


def train_nnx(tx):
    model = Net()
    losses, optimizer, traces = trained(tx, model=model)
    assert traces == 1
    assert int(optimizer.step[...]) == len(losses)
    return Run(np.array(losses), nnx.to_pure_dict(nnx.state(model, nnx.Param)), traces)


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(1)(jnp.tanh(linen.Dense(4)(x)))


def train_linen(tx):
    model = LinenNet()
    params = model.init(jax.random.key(0), X)

    def step(state):
        value, grads = jax.value_and_grad(lambda p: jnp.mean((state.apply_fn(p, X) - Y) ** 2))(state.params)
        return state.apply_gradients(grads=grads), value

    state = TrainState.create(apply_fn=model.apply, params=params, tx=tx)
    return follow(step, state, lambda state: state.params)


CLIENTS = [Client("flax", "nnx: `Optimizer`", train_nnx), Client("flax", "linen: `TrainState`", train_linen)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("client", CLIENTS, ids=["nnx", "linen"])
def test_it_trains_as_with_optax(client, algorithm):
    agrees(client, algorithm)


def test_nnx_keeps_bfloat16_parameters():
    model = Net(jnp.bfloat16)
    losses, optimizer, traces = trained(gradtx.adam(0.05), model=model)
    assert {x.dtype for x in jax.tree.leaves(nnx.state(model, nnx.Param))} == {jnp.dtype("bfloat16")}
    assert {x.dtype for x in jax.tree.leaves(optimizer.opt_state["scale_by_adam"].nu)} == {jnp.dtype("float32")}
    assert traces == 1
    assert losses[-1] < losses[0] / 2


def test_nnx_state_moves():
    optimizer = trained(gradtx.adam(0.05), steps=3)[1]
    state = optimizer.opt_state["scale_by_adam"]
    assert int(state.count[...]) == 3
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(state.mu))


def test_nnx_always_allowed_extras_pass():
    assert trained(gradtx.adam(0.05), value=jnp.ones(()))[0] == trained(gradtx.adam(0.05))[0]


@gradtx.transformation
def scale_by_value():
    """Multiply the updates by the loss."""

    def init(params):
        return gradtx.EmptyState()

    def update(updates, state, params=None, *, value):
        return gradtx.map_leaves(lambda g: value * g, updates), state

    return init, update


def test_nnx_passes_the_extras_that_a_member_needs():
    tx = gradtx.chain(scale_by_value(), gradtx.sgd(0.1))
    doubled = trained(tx, value=jnp.asarray(2.0))[0]
    np.testing.assert_allclose(doubled, trained(gradtx.sgd(0.2))[0], rtol=1e-6)


def with_extras(tx, search=False):
    """Losses and parameters where `update` gets the loss, and with `search` the gradient and the function too."""
    model = Net()
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    graph, _, rest = nnx.split(model, nnx.Param, ...)

    @nnx.jit
    def step(model, optimizer):
        value, grads = nnx.value_and_grad(loss)(model)
        more = {"grad": grads, "value_fn": lambda p: loss(nnx.merge(graph, p, rest))} if search else {}
        optimizer.update(model, grads, value=value, **more)
        return value

    losses = [float(step(model, optimizer)) for _ in range(8)]
    return np.array(losses), nnx.to_pure_dict(nnx.state(model, nnx.Param))


def test_nnx_hands_the_loss_to_a_plateau():
    mine = with_extras(gradtx.chain(gradtx.adam(0.2), gradtx.reduce_on_plateau(0.5, patience=1, rtol=0.5)))
    theirs = with_extras(optax.chain(optax.adam(0.2), optax.contrib.reduce_on_plateau(0.5, patience=1, rtol=0.5)))
    assert difference(mine, theirs) <= 256 * EPS
    assert difference(mine, with_extras(gradtx.adam(0.2))) > 1e-2  # the scale did fall


@pytest.mark.nightly
def test_nnx_hands_the_function_to_a_line_search():
    mine, theirs = (with_extras(lib.lbfgs(memory_size=4), search=True) for lib in (gradtx, optax))
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-4, atol=1e-6)
    assert mine[0][-1] < mine[0][0] / 5


def test_nnx_refuses_arrays_in_the_value_and_takes_them_opaque():
    tx = gradtx.adam(jnp.asarray(0.05))
    with pytest.raises(
        ValueError, match=r"Found data on value of type .*GradientTransformation.* static attribute 'tx'"
    ):
        nnx.Optimizer(Net(), tx, wrt=nnx.Param)
    np.testing.assert_allclose(trained(to_optax(tx))[0], trained(gradtx.adam(0.05))[0], rtol=1e-6)


def test_nnx_rate_is_changed_in_the_state_without_a_new_trace():
    def stop(optimizer):
        optimizer.opt_state.hyperparameters["learning_rate"][...] = jnp.zeros(())

    for tx in (gradtx.inject(gradtx.sgd(0.1)), to_optax(gradtx.inject(gradtx.sgd(jnp.asarray(0.1))))):
        losses, optimizer, traces = trained(tx, change=stop)
        assert losses[9] < losses[0]
        np.testing.assert_array_equal(losses[10:], losses[10])
        assert traces == 1
        assert float(gradtx.hyperparameters(optimizer.opt_state)["learning_rate"][...]) == 0.0


def test_linen_equal_transformations_share_a_trace():
    """A TrainState's transformation is static: optax's are never equal, so each new one traces the step again."""
    traces, model = [], linen.Dense(1)

    @jax.jit
    def step(state):
        traces.append(1)
        return state.apply_gradients(grads=state.params)

    for _ in range(3):
        step(TrainState.create(apply_fn=model.apply, params={"w": jnp.ones(2)}, tx=gradtx.adam(0.05)))
    assert len(traces) == 1


KERNELS = {
    "glob": "**/kernel",
    "regular expression": re.compile("kernel$"),
    "function": lambda path, leaf: path.endswith("kernel"),
}
RULED = {
    "decay": lambda rule: gradtx.adamw(0.1, weight_decay=0.5, mask=rule),
    "masked": lambda rule: gradtx.chain(gradtx.masked(gradtx.scale(0.5), rule), gradtx.adam(0.1)),
    "freeze": lambda rule: gradtx.freeze(gradtx.adam(0.1), rule),
    "route": lambda rule: gradtx.route({rule: gradtx.adam(0.1)}, default=gradtx.sgd(0.1)),
    "per leaf": lambda rule: gradtx.chain(gradtx.adam(0.1), gradtx.per_leaf_learning_rate({rule: 0.5})),
    "watched": lambda rule: gradtx.watch(gradtx.adam(0.1), groups={"kernels": rule}),
}


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("by", RULED)
def test_nnx_a_rule_means_the_same_when_the_state_is_made_and_in_every_step(by, kind):
    """The optimizer makes the state from Variables, and updates plain arrays."""
    tx = RULED[by](KERNELS[kind])
    model = Net()
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    optimizer, state = nnx.Optimizer(model, tx, wrt=nnx.Param), tx.init(params)
    for _ in range(2):
        optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
        params, state = tx.step(jax.tree.map(jnp.ones_like, params), state, params)
    same_bits("the parameters", nnx.to_pure_dict(nnx.state(model, nnx.Param)), params)


def test_nnx_everything_is_watched_by_name():
    model = Net()
    optimizer = nnx.Optimizer(model, gradtx.watch(gradtx.adam(0.1)), wrt=nnx.Param)
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    rows = gradtx.readings(nnx.as_pure(optimizer.opt_state))
    assert "first/kernel" in str(rows)


def test_linen_a_rule_names_a_partitioned_leaf_as_any_other():
    partitioned = linen.with_partitioning(linen.initializers.ones, ("in", "out"))
    logical = linen.with_logical_partitioning(linen.initializers.ones, ("out",))
    model = linen.Dense(1, kernel_init=partitioned, bias_init=logical)
    params = model.init(jax.random.key(0), X)
    for rule in KERNELS.values():
        tx = gradtx.freeze(gradtx.sgd(1.0), rule)
        updates, _ = tx.update(params, tx.init(params), params)
        dense = linen.unbox(updates)["params"]
        assert not dense["kernel"].any()
        assert dense["bias"].all()


def test_nnx_a_mask_in_a_state_is_part_of_a_value():
    model = Net()
    mask = jax.tree.map(lambda x: x.ndim == 2, nnx.state(model, nnx.Param))
    tx = gradtx.freeze(gradtx.adam(0.1), mask)
    assert hash(tx) == hash(gradtx.freeze(gradtx.adam(0.1), mask))
    assert tx == gradtx.freeze(gradtx.adam(0.1), jax.tree.map(lambda x: x, mask))
    before = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    losses, _, traces = trained(tx, steps=3, model=model)
    after = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    same_bits("a kernel", after["first"]["kernel"], before["first"]["kernel"])
    assert losses[-1] < losses[0]
    assert traces == 1
