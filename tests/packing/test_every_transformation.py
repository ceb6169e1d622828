"""Every transformation of the registry on a packed tree: it gives what it gives on the tree, or it refuses."""

import jax.numpy as jnp
import pytest

from gradtx.core.transformation import as_transformation
from gradtx.packing import pack, unpack
from gradtx.testing.compare import all_finite, near, same_types
from tests.contract.registry import CALLS, CASES

ANY_LEAVES = [name for name, case in CASES.items() if as_transformation("tx", case.tx)._has("any_leaves")]
OTHERS = [name for name in CASES if name not in ANY_LEAVES]

# Blocks with a code book each, and random bits for each place, fall otherwise where the leaves are others.
ROUNDED = [
    name
    for name in ANY_LEAVES
    if name in CALLS and CALLS[name].factory.__module__ in ("gradtx.storage.store", "gradtx.precision.rounding")
]


@pytest.mark.parametrize("name", ANY_LEAVES)
def test_it_does_the_same_on_a_packed_tree(name):
    """Updates, states and parameters of two steps agree to a few units in the last place."""
    case = CASES[name]
    gradients = case.gradients(2)
    packed = pack(case.params)
    jit = "value_fn" in case.extras  # a search is slow op by op, all else is slower to compile
    history, state, params = case.run([pack(g, like=packed) for g in gradients], params=packed, jit=jit)
    expected = case.run(gradients, jit=jit)
    if name in ROUNDED:
        same_types("packed", unpack((history, params)), (expected[0], expected[2]))
        all_finite("packed", (history, params))
    else:
        near("packed", unpack((history, state, params)), expected)


@pytest.mark.parametrize("name", OTHERS)
def test_it_refuses_a_packed_tree(name):
    """At init, also where the packed tree is a part of the parameters, and at update."""
    case = CASES[name]
    packed = pack(case.params)
    tx = as_transformation("tx", case.tx)
    for tree in (packed, {"net": packed, "scale": jnp.ones(2)}):
        with pytest.raises(ValueError, match="the small leaves are one vector"):
            tx.init(tree)
    grads = pack(case.gradients(1)[0], like=packed)
    # What stands before the one that refuses may find that the state, made without pack, does not fit.
    with pytest.raises(ValueError, match=r"the small leaves are one vector|instead|at packed_float32"):
        tx.update(grads, tx.init(case.params), packed, **case.extras)


def test_both_kinds_are_in_the_registry():
    """Neither of the tests above is empty, and what is per coordinate is in the first."""
    assert {"adam", "sgd", "chain", "clip_by_global_norm"} <= set(ANY_LEAVES)
    assert {"clip_by_leaf_norm", "scale_by_trust_ratio", "centralize", "bare_pair"} <= set(OTHERS)
