"""flax: `nnx.Optimizer` and linen's `TrainState` take a transformation as they take optax's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.compat import to_optax

pytest.importorskip("flax", reason="pip install -e '.[testing]'")
optax = pytest.importorskip("optax", reason="pip install -e '.[peers]'")

from flax import linen, nnx  # noqa: E402
from flax.training.train_state import TrainState  # noqa: E402

X = jnp.linspace(-1.0, 1.0, 8).reshape(4, 2)


class Net(nnx.Module):
    def __init__(self):
        self.first = nnx.Linear(2, 4, rngs=nnx.Rngs(0))
        self.second = nnx.Linear(4, 1, rngs=nnx.Rngs(1))

    def __call__(self, x):
        return self.second(jnp.tanh(self.first(x)))


def loss(model):
    return jnp.mean((model(X) - 1.0) ** 2)


def trained(tx, steps=20, *, change=None, **extra):
    """Losses of a small nnx model, its optimizer afterwards, and how often the step was traced."""
    model = Net()
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


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (gradtx.adam(0.05), optax.adam(0.05)),
        (gradtx.sgd(0.1, 0.9), optax.sgd(0.1, 0.9)),
        (gradtx.adamw(gradtx.cosine_decay_schedule(0.05, 30)), optax.adamw(optax.cosine_decay_schedule(0.05, 30))),
    ],
    ids=["adam", "sgd", "scheduled adamw"],
)
def test_nnx_trains_as_with_optax(ours, theirs):
    losses, optimizer, traces = trained(ours)
    np.testing.assert_allclose(losses, trained(theirs)[0], rtol=1e-3, atol=1e-5)
    assert losses[-1] < losses[0] / 2
    assert traces == 1
    assert int(optimizer.step[...]) == 20


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


def test_linen_train_state():
    model = linen.Dense(1)
    params = model.init(jax.random.key(0), X)

    @jax.jit
    def step(state):
        value, grads = jax.value_and_grad(lambda p: jnp.mean((state.apply_fn(p, X) - 1.0) ** 2))(state.params)
        return state.apply_gradients(grads=grads), value

    def losses(tx):
        state = TrainState.create(apply_fn=model.apply, params=params, tx=tx)
        values = []
        for _ in range(20):
            state, value = step(state)
            values.append(float(value))
        return values, state

    (ours, state), (theirs, _) = losses(gradtx.adam(0.05)), losses(optax.adam(0.05))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    assert int(state.opt_state["scale_by_adam"].count) == state.step == 20


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
