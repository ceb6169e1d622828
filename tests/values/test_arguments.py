"""Arguments of any container: equal calls are equal and hash alike, whatever a mask is made of."""

import dataclasses
import pickle
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

equinox = pytest.importorskip("equinox", reason="pip install -e '.[testing]'")


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Plain:
    a: object
    b: object


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Frozen:
    a: object
    b: object


class Module(equinox.Module):
    a: object
    b: object


@jax.tree_util.register_pytree_node_class
class Custom:
    """A node that says nothing of equality."""

    def __init__(self, a, b):
        self.a, self.b = a, b

    def tree_flatten(self):
        return (self.a, self.b), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


@pytest.mark.parametrize("kind", [Plain, Frozen, Module, Custom])
@pytest.mark.parametrize(
    "leaf", [True, np.bool_(True), np.asarray(True), jnp.asarray(True)], ids=lambda x: str(type(x))
)
def test_a_mask_in_any_container(kind, leaf):
    for around in (lambda x: x, lambda x: {"m": [x]}, lambda x: kind(x, None)):

        def made(*last, around=around):
            return gradtx.masked(gradtx.scale(2.0), around(kind({"x": leaf}, [False, *last])))

        assert made() == made()
        assert hash(made()) == hash(made())
        assert made() != made(True)
        assert pickle.loads(pickle.dumps(made())) == made()


@pytest.mark.parametrize("kind", [Plain, Frozen, Module, Custom])
def test_a_mask_of_the_parameters_own_kind(kind):
    params = kind({"w": jnp.ones(2)}, jnp.ones(1))
    tx = gradtx.freeze(gradtx.sgd(0.5), kind({"w": True}, False))
    step = jax.jit(lambda tx, params: tx.update(params, tx.init(params), params)[0], static_argnums=0)
    updates = step(tx, params)
    np.testing.assert_array_equal(updates.a["w"], [0.0, 0.0])
    np.testing.assert_array_equal(updates.b, [-0.5])


def test_a_large_mask_is_hashed_once():
    mask = {f"layer{k}": {"kernel": True, "bias": False} for k in range(5000)}
    tx = gradtx.masked(gradtx.scale(2.0), mask)
    step, static = jax.jit(lambda tx, x: x), jax.jit(lambda tx, x: x, static_argnums=0)

    def seconds(call):
        call()
        times = []
        for _ in range(20):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    for call in (lambda: hash(tx), lambda: step(tx, 1.0), lambda: static(tx, 1.0), lambda: jax.tree.structure(tx)):
        assert seconds(call) < 1e-3


@pytest.mark.parametrize("around", [lambda x: {"a": x}, lambda x: [x], lambda x: (x,), lambda x: Plain(x, None)])
def test_masks_nested_deeper_than_pythons_recursion_limit(around):
    """As deep as JAX itself can flatten a tree."""

    def nested(leaf):
        for _ in range(600):
            leaf = around(leaf)
        return leaf

    def made(leaf):
        return gradtx.masked(gradtx.scale(2.0), nested(leaf))

    assert made(True) == made(True)
    assert hash(made(True)) == hash(made(True))
    assert made(True) != made(False)
    params = nested(jnp.ones(2))
    step = jax.jit(lambda tx, params: tx.update(params, tx.init(params), params)[0], static_argnums=0)
    np.testing.assert_array_equal(jax.tree.leaves(step(made(True), params))[0], [2.0, 2.0])


def test_arguments_of_any_depth_are_printed():
    mask = True
    for _ in range(600):
        mask = {"a": (mask,)}
    text = repr(gradtx.masked(gradtx.identity(), mask))
    assert text == "masked(inner=identity(), mask=" + "{'a': (" * 600 + "True" + ",)}" * 600 + ")"
