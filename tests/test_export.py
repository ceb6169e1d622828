"""`jax.export` of a step: gradtx's states are containers that it can write and read."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import gradtx
from tests.contract.registry import CASES

NAMED = [
    "adamw",
    "watch",
    "store",
    "keep_master",
    "lookahead",
    "skip_spikes",
    "scale_by_zoom_linesearch",
    "adam-nesterov",
    "in_frame-eigenbasis",
]


@pytest.mark.parametrize("name", NAMED)
def test_a_step_is_exported_and_called(name):
    case = CASES[name]
    grads, state = case.gradients(1)[0], case.init(case.params)
    written = export.export(jax.jit(case.update))(grads, state, case.params).serialize()
    came = export.deserialize(bytearray(written)).call(grads, state, case.params)
    wanted = jax.jit(case.update)(grads, state, case.params)
    assert jax.tree.structure(came) == jax.tree.structure(wanted)
    for x, y in zip(jax.tree.leaves(came), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_step_with_rows_is_exported():
    table = jnp.ones((6, 2))
    tx = gradtx.adam(0.1)
    grads = gradtx.RowSparse(jnp.array([4, 1]), jnp.ones((2, 2)), shape=(6, 2))
    state = tx.init(table)
    written = export.export(jax.jit(tx.step))(grads, state, table).serialize()
    came, _ = export.deserialize(bytearray(written)).call(grads, state, table)
    np.testing.assert_array_equal(came, jax.jit(tx.step)(grads, state, table)[0])


def test_a_step_with_packed_parameters_is_exported():
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1))
    tree = {"a": {"w": jnp.ones((2, 3)), "b": None}, "c": [jnp.zeros(4), jnp.ones(3, jnp.bfloat16)], "n": 3}
    for threshold in (0, 5, 1000):
        packed = gradtx.pack(tree, threshold)
        state = tx.init(packed)
        written = export.export(jax.jit(tx.step))(packed, state, packed).serialize()
        came = export.deserialize(bytearray(written)).call(packed, state, packed)
        wanted = jax.jit(tx.step)(packed, state, packed)
        assert jax.tree.structure(came) == jax.tree.structure(wanted)
        for x, y in zip(jax.tree.leaves(came), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_array_equal(x, y)


def test_packed_parameters_in_other_containers_are_refused():
    state = gradtx.scale_by_adam().init({"w": jnp.ones(3)})
    packed = gradtx.pack(state._replace(count=None))
    with pytest.raises(ValueError, match=r"jax\.export writes packed parameters only in dicts, lists and tuples"):
        export.export(jax.jit(lambda x: x))(packed).serialize()


def test_every_public_state_is_registered():
    """And what estimators, frames and moments keep, which has no public name."""
    own = [module for name, module in sys.modules.items() if name.startswith("gradtx.")]
    states = {x for module in own for x in vars(module).values() if isinstance(x, type) and hasattr(x, "_fields")}
    states = {x for x in states if x.__name__.endswith(("State", "Moment", "Stored"))}
    others = ("gradtx.checkpoint.", "gradtx.testing.")  # which have classes of such names, but no states
    states = {x for x in states if x.__module__.startswith("gradtx.") and not x.__module__.startswith(others)}
    assert {"ProdigyState", "EigenbasisState", "FactoredMoment", "Stored"} <= {kind.__name__ for kind in states}
    assert len(states) > 70
    for kind in states:
        with pytest.raises(ValueError, match="Duplicate"):
            export.register_namedtuple_serialization(kind, serialized_name="other")
