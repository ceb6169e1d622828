"""Cases of what works on the gradients of single examples, which the laws do not make: here three are made of one."""

from typing import Any

import jax
import jax.numpy as jnp

import gradtx
from gradtx.core.trees import is_none, is_trained
from gradtx.testing import Case
from tests.contract.adding import CALLS, CASES, NAMESPACE, Call


def _examples(g: Any) -> Any:
    return jnp.stack([jnp.asarray(g) * factor for factor in (1, 2, 0)]) if is_trained(g) else g


@gradtx.transformation(whole_tree=True)
def differentially_private_aggregate(l2_norm_clip: gradtx.Hyper, noise_multiplier: gradtx.Hyper, key: Any):
    """The aggregate of three examples, whose gradients are multiples of the update."""
    aggregate = gradtx.differentially_private_aggregate(l2_norm_clip, noise_multiplier, key)

    def update(updates: Any, state: Any, params: Any = None):
        return aggregate.update(jax.tree.map(_examples, updates, is_leaf=is_none), state, params)

    return aggregate.init, update


arguments = {"l2_norm_clip": 1.5, "noise_multiplier": 0.1, "key": 3}
CALLS["differentially_private_aggregate"] = Call(gradtx.differentially_private_aggregate, (), arguments)
CASES["differentially_private_aggregate"] = Case(
    differentially_private_aggregate(**arguments),
    namespace={**NAMESPACE, "differentially_private_aggregate": differentially_private_aggregate},
    smooth=True,
    complex_leaves=True,
    needs_params=False,
    differentiable=True,
    rounds=False,
    takes_rows=False,
)
