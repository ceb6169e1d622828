"""Rules, freezing and the rest on the trees that other libraries make: equinox modules, nnx states, custom nodes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

eqx = pytest.importorskip("equinox", reason="pip install -e '.[testing]'")
pytest.importorskip("flax", reason="pip install -e '.[testing]'")

from flax import nnx  # noqa: E402

X = jnp.linspace(-1.0, 1.0, 8).reshape(4, 2)


class TestEquinox:
    model = eqx.nn.MLP(2, 1, 4, 2, activation=jnp.tanh, key=jax.random.key(0))

    def step(self, tx, model, steps=3):
        params = eqx.filter(model, eqx.is_inexact_array)
        state = tx.init(params)

        @eqx.filter_jit
        def update(model, state):
            grads = eqx.filter_grad(lambda m: jnp.mean((jax.vmap(m)(X) - 1) ** 2))(model)
            updates, state = tx.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
            return gradtx.apply_updates(model, updates), state

        for _ in range(steps):
            model, state = update(model, state)
        return model, state

    def moved(self, after):
        pairs = zip(self.model.layers, after.layers, strict=True)
        return [(bool((a.weight != b.weight).any()), bool((a.bias != b.bias).any())) for a, b in pairs]

    def test_rules_by_the_paths_of_a_module(self):
        after, state = self.step(gradtx.freeze(gradtx.adam(0.1), "layers/0"), self.model)
        assert self.moved(after) == [(False, False), (True, True), (True, True)]
        assert state["scale_by_adam"].mu.layers[0].weight is None
        after, _ = self.step(gradtx.route({"**/bias": gradtx.sgd(0.1)}, default=gradtx.set_to_zero()), self.model)
        assert self.moved(after) == [(False, True)] * 3

    def test_a_mask_that_is_a_module(self):
        """An equinox module can be called; as a mask it is a tree."""
        params = eqx.filter(self.model, eqx.is_inexact_array)
        mask = jax.tree.map(lambda p: p.ndim == 1, params)
        assert callable(mask)
        after, _ = self.step(gradtx.chain(gradtx.sgd(0.1), gradtx.masked(gradtx.set_to_zero(), mask)), self.model)
        assert self.moved(after) == [(True, False)] * 3

    def test_the_plan_of_a_module(self):
        params = eqx.filter(self.model, eqx.is_inexact_array)
        rows = {row.leaf: row.rule for row in gradtx.plan(gradtx.freeze(gradtx.adam(0.1), "layers/0"), params).rows}
        assert rows["layers/0/weight"] == "frozen"
        assert rows["layers/1/weight"] == ""

    def test_averages_and_accumulation(self):
        tx = gradtx.average(gradtx.skip_nonfinite(gradtx.accumulate(gradtx.adam(0.1), 2)), 0.5)
        after, state = self.step(tx, self.model, steps=4)
        params = eqx.filter(after, eqx.is_inexact_array)
        mean = eqx.combine(gradtx.averaged(state, params), after)
        assert jax.vmap(mean)(X).shape == (4, 1)


class Net(nnx.Module):
    def __init__(self):
        self.body = nnx.Linear(2, 4, rngs=nnx.Rngs(0))
        self.norm = nnx.BatchNorm(4, rngs=nnx.Rngs(1))
        self.head = nnx.Linear(4, 1, rngs=nnx.Rngs(2))

    def __call__(self, x):
        return self.head(jnp.tanh(self.norm(self.body(x))))


class TestNnx:
    @pytest.mark.parametrize(
        "tx",
        [
            gradtx.freeze(gradtx.adam(0.1), "body"),
            gradtx.route({"body": gradtx.set_to_zero(), "**/bias*": gradtx.sgd(0.1)}, default=gradtx.adam(0.1)),
            gradtx.freeze(gradtx.skip_nonfinite(gradtx.accumulate(gradtx.adam(0.1), 1)), "body"),
        ],
        ids=["freeze", "route", "pile"],
    )
    def test_rules_by_the_paths_of_a_state(self, tx):
        model = Net()
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.Param)))

        @nnx.jit
        def step(model, optimizer):
            grads = nnx.grad(lambda m: jnp.mean((m(X) - 1.0) ** 2))(model)
            optimizer.update(model, grads)

        for _ in range(2):
            step(model, optimizer)
        after = nnx.to_pure_dict(nnx.state(model, nnx.Param))
        np.testing.assert_array_equal(after["body"]["kernel"], before["body"]["kernel"])
        np.testing.assert_array_equal(after["body"]["bias"], before["body"]["bias"])
        assert (after["head"]["kernel"] != before["head"]["kernel"]).any()
        assert (after["head"]["bias"] != before["head"]["bias"]).any()


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    w: jax.Array
    b: jax.Array | None


def test_a_registered_dataclass():
    params = {"first": Layer(jnp.ones((2, 2)), jnp.ones(2)), "second": Layer(jnp.ones(2), None)}
    tx = gradtx.chain(gradtx.freeze(gradtx.adam(0.1), "*/b"), gradtx.per_leaf_learning_rate({"first": 0.5}))
    updates, _ = jax.jit(tx.update)(params, tx.init(params), params)
    np.testing.assert_array_equal(updates["first"].b, jnp.zeros(2))
    np.testing.assert_allclose(updates["first"].w, -0.05 * np.ones((2, 2)), rtol=1e-5)
    np.testing.assert_allclose(updates["second"].w, -0.1 * np.ones(2), rtol=1e-5)
