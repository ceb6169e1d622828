"""What reads a state and what changes one, on the states that other libraries keep."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

eqx = pytest.importorskip("equinox", reason="pip install -e '.[testing]'")
nnx = pytest.importorskip("flax.nnx", reason="pip install -e '.[testing]'")

X = jnp.linspace(-1.0, 1.0, 8).reshape(4, 2)


def squares(model):
    return jnp.mean((jax.vmap(model)(X) - 1.0) ** 2)


class TestNnx:
    def trained(self, tx, steps=2):
        model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        self.steps(model, optimizer, steps)
        return model, optimizer, nnx.state(model, nnx.Param)

    def steps(self, model, optimizer, steps):
        @nnx.jit
        def step(model, optimizer):
            optimizer.update(model, nnx.grad(lambda m: jnp.mean((m(X) - 1.0) ** 2))(model))

        for _ in range(steps):
            step(model, optimizer)

    def test_the_average_in_the_containers_of_the_parameters(self):
        _, optimizer, params = self.trained(gradtx.average(gradtx.sgd(0.1), start=1))
        mean = gradtx.averaged(optimizer.opt_state, params)
        assert jax.tree.structure(mean) == jax.tree.structure(params)
        jax.tree.map(np.testing.assert_array_equal, mean, params)  # of one, the last
        model = nnx.Linear(2, 1, rngs=nnx.Rngs(1))
        nnx.update(model, mean)
        np.testing.assert_array_equal(model.kernel[...], params["kernel"][...])

    def test_eval_params(self):
        _, optimizer, params = self.trained(gradtx.schedule_free(gradtx.sgd(0.1), 0.1, b1=1.0))
        x = gradtx.eval_params(optimizer.opt_state, params)
        assert jax.tree.structure(x) == jax.tree.structure(params)
        jax.tree.map(np.testing.assert_array_equal, x, params)

    def test_counts_and_numbers_are_set(self):
        tx = gradtx.inject(gradtx.sgd(0.5, momentum=gradtx.linear_schedule(0.0, 1.0, 10)))
        model, optimizer, _ = self.trained(tx)
        state = gradtx.set_hyperparameters(gradtx.set_count(optimizer.opt_state, 5), learning_rate=0.0)
        optimizer.opt_state = state
        before = np.asarray(model.kernel[...])
        self.steps(model, optimizer, 1)
        held = gradtx.hyperparameters(optimizer.opt_state)
        assert float(held["decay"][...]) == 0.5
        np.testing.assert_array_equal(model.kernel[...], before)


class TestEquinox:
    """A module has an activation function among its leaves."""

    model = eqx.nn.MLP(2, 1, 4, 1, activation=jnp.tanh, key=jax.random.key(0))

    @pytest.mark.parametrize(
        ("tx", "read"),
        [
            (gradtx.average(gradtx.sgd(0.1), start=5), gradtx.averaged),
            (gradtx.schedule_free(gradtx.sgd(0.1), 0.1, b1=1.0), gradtx.eval_params),
        ],
        ids=["average", "schedule_free"],
    )
    def test_a_whole_module_for_parameters(self, tx, read):
        state = tx.init(eqx.filter(self.model, eqx.is_inexact_array))
        updates, state = tx.update(eqx.filter_grad(squares)(self.model), state, self.model)
        after = gradtx.apply_updates(self.model, updates)
        mean = read(state, after)
        assert mean.activation is self.model.activation
        assert float(squares(mean)) == float(squares(after)) < float(squares(self.model))


def test_schedules_joined_by_optax():
    """It asks the later ones for steps before their first, in and out of jit."""
    joined = optax.join_schedules([gradtx.constant_schedule(0.1), gradtx.cosine_decay_schedule(1.0, 10)], [10])
    for step, want in ((5, 0.1), (10, 1.0), (15, 0.5)):
        assert float(joined(step)) == pytest.approx(want)
        assert float(jax.jit(joined)(step)) == pytest.approx(want)
