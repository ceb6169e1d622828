"""Hyperparameters and transformations in the dicts and tuples of a factory's arguments."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import Hyper, Transformation, hyperparameters, transformation


@transformation
def weighted(parts: dict[str, Transformation], weights: dict[str, Hyper], *, powers: tuple[Hyper, ...] = (1.0,)):
    """A sum of what several transformations make of the updates, each with its weight."""

    def init(params):
        return {name: part.init(params) for name, part in parts.items()}

    def update(updates, state, params=None):
        total, states = jax.tree.map(jnp.zeros_like, updates), {}
        for name, part in parts.items():
            u, states[name] = part.update(updates, state[name], params)
            total = jax.tree.map(lambda a, b, w=weights[name]: a + b * w ** powers[0], total, u)
        return total, states

    return init, update


class TestContainers:
    """Hyperparameters and transformations in a dict or a tuple are leaves, in the order in which they were given."""

    def tx(self, weight=0.5):
        return weighted({"z": gradtx.scale(2.0), "a": gradtx.add_momentum(0.9)}, {"z": weight, "a": 1})

    def test_they_are_leaves_in_their_order(self):
        leaves, structure = jax.tree.flatten(self.tx())
        assert leaves == [2.0, 0.9, 0.5, 1.0, 1.0]
        back = jax.tree.unflatten(structure, leaves)
        assert back == self.tx()
        assert list(back.parts) == ["z", "a"]

    def test_it_prints_and_pickles_as_its_call(self):
        text = (
            "weighted(parts={'z': scale(step_size=2.0), 'a': add_momentum(decay=0.9)}, "
            "weights={'z': 0.5, 'a': 1.0}, powers=(1.0,))"
        )
        assert repr(self.tx()) == text
        assert pickle.loads(pickle.dumps(self.tx())) == self.tx()
        assert eval(text, {"weighted": weighted, **vars(gradtx)}) == self.tx()

    def test_a_schedule_in_a_dict_is_followed(self):
        tx = self.tx(lambda step: 1.0 * step)
        state, seen = tx.init(jnp.ones(())), []
        for _ in range(3):
            u, state = tx.update(jnp.ones(()), state)
            seen.append(float(u))
        np.testing.assert_allclose(seen, [1.0, 1.9 + 2.0, 2.71 + 4.0], rtol=1e-6)
        assert hyperparameters(state) == {"weights/z": 2.0}

    def test_inject_names_them(self):
        state = gradtx.inject(self.tx()).init(jnp.ones(()))
        expected = ["parts/z/step_size", "parts/a/decay", "weights/z", "weights/a", "powers/0"]
        assert list(state.hyperparameters) == expected

    def test_they_are_swept(self):
        def run(tx):
            return tx.update(jnp.ones(()), tx.init(jnp.ones(())))[0]

        np.testing.assert_allclose(jax.vmap(run)(jax.vmap(self.tx)(jnp.arange(3.0))), [1.0, 3.0, 5.0])

    def test_what_is_no_container_is_an_error(self):
        with pytest.raises(TypeError, match=r"weighted: weights must be a dict; got 0\.5"):
            weighted({}, 0.5)
        with pytest.raises(TypeError, match=r"weighted: weights\['a'\] must be a number"):
            weighted({}, {"a": "x"})
        with pytest.raises(TypeError, match=r"powers must be a tuple; got 0.5"):
            weighted({}, {}, powers=0.5)
