"""How a case enters the registry, and the bare pair that stands for a user's own transformation.

Every public factory of a transformation has one case or several, with every hyperparameter spelled out: a case that
relied on a default would let a bug of another value pass; `test_registry.py` refuses it. What a law must know of a
transformation is a field of its case, so that no law names an algorithm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gradtx
from gradtx.testing import Case


class Call(NamedTuple):
    """The call that made a case's transformation, as it was written."""

    factory: Callable[..., Any]
    members: tuple
    arguments: dict[str, Any]


CASES: dict[str, Case] = {}
CALLS: dict[str, Call] = {}


def add(name: str, factory: Callable[..., Any], *members: Any, case: dict[str, Any] | None = None, **arguments: Any):
    """Register a case: the name, the factory, its arguments, and in `case` the fields in which it differs."""
    assert name not in CASES, name
    fields = {"smooth": True, "complex_leaves": True, "needs_params": False, "namespace": NAMESPACE}
    fields |= {"differentiable": True, "rounds": False, **(case or {})}
    CALLS[name] = Call(factory, members, arguments)
    CASES[name] = Case(factory(*members, **arguments), **fields)


class AverageState(NamedTuple):
    """The state of a bare pair."""

    mean: Any


def average_init(params: Any) -> AverageState:
    """A bare pair's init, at the top of a module so that it can be pickled."""
    return AverageState(gradtx.zeros(params))


def average_update(updates: Any, state: AverageState, params: Any = None) -> tuple[Any, AverageState]:
    """A bare pair's update: half the gradient, half its past."""

    def leaf(g: Any, mean: Any) -> Any:
        mean = 0.5 * mean + 0.5 * g
        return mean, mean

    updates, mean = gradtx.map_leaves(leaf, updates, state.mean)
    return updates, AverageState(mean)


def falling(step: Any) -> Any:
    """A bare function of the step, as a schedule."""
    return 0.5 / (1.0 + step)


NAMESPACE = {"average_init": average_init, "average_update": average_update, "falling": falling}
NEEDS_PARAMS = {"needs_params": True}

SGD = gradtx.sgd(learning_rate=0.1, momentum=None, nesterov=False, dampening=None)
ADAM = gradtx.adam(learning_rate=1e-3, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, nesterov=False)
USER = gradtx.chain((average_init, average_update), gradtx.scale(step_size=-0.1))
# What a neutral setting is tried round: a piece without state, and a user's with one. Most wrappers' other cases, which
# are held to more laws, are round Adam.
INNER = {"sgd": SGD, "user": USER}
