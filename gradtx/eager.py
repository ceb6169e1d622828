"""Steps outside jit as compiled programs.

An operation outside jit takes tens of microseconds, and a step has some ten for each leaf. So a step that comes again
is compiled as a whole, as `jax.jit` would do it.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import operator
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import jax
import numpy as np
from jax.core import Tracer, eval_context
from jax.sharding import SingleDeviceSharding

from gradtx.core.pair import GradientTransformation
from gradtx.core.special import Special
from gradtx.errors import traced_check
from gradtx.values.value import Value

FIRST_STEPS = 2
"""How many steps of a kind run operation by operation: a program that is used once is not worth compiling."""

_KINDS = 64  # how many kinds of steps are remembered; JAX deletes the programs of one that is forgotten


class Steps:
    """What is known of the steps of one kind: transformations of one structure, equal trees, shapes and dtypes.

    It holds no arrays. calls: how many steps there have been. first: under "numbers" the hyperparameters of the first
    one, None for arrays. programs: which hyperparameters are arguments -> the compiled step, or None if it cannot be
    compiled.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.first: dict[str, list[float | None]] = {}
        self.programs: dict[tuple[bool, ...], Callable | None] = {}


@functools.lru_cache(_KINDS)
def _steps(*kind: Any) -> Steps:
    return Steps()


def compiled_step(tx: Any, updates: Any, state: Any, params: Any, extra: Mapping[str, Any], donate: bool) -> Any:
    """The result of `tx.step` as one program; None if it must run operation by operation, see there."""
    by_hand = jax.config.jax_disable_jit  # type: ignore[attr-defined]
    if by_hand or traced_check.get() is not None or not is_ours(tx):
        return None
    kept, kept_tree = jax.tree.flatten((params, state))
    others, others_tree = jax.tree.flatten((updates, extra), is_leaf=lambda x: isinstance(x, Special) or callable(x))
    numbers, skeleton = jax.tree.flatten(tx)
    if not kept or not all(map(_is_array, set(map(type, kept)))) or not _on_one_device([*kept, *others, *numbers]):
        return None
    if donate and len({*map(id, kept), *map(id, others)}) < len(kept) + len(others):
        return None  # an array that stands in two places can be given away once
    kinds = tuple([x.aval for x in kept]), tuple(map(_kind, others)), tuple(map(_kind_of_number, numbers))
    if None in kinds[1] or None in kinds[2]:
        return None
    try:
        steps = _steps(skeleton, kept_tree, others_tree, kinds, donate)
    except Exception:  # a container of the user that cannot be hashed or compared
        return None
    steps.calls += 1
    known = steps.first.setdefault("numbers", [x if type(x) is float else None for x in numbers])
    if (steps.calls <= FIRST_STEPS and not donate) or not _is_outside():
        return None
    # Numbers of the first step are constants, in double precision as outside jit; those that changed are arguments.
    changed = tuple(x is None or x != first for x, first in zip(numbers, known, strict=True))
    given = params, state, updates, dict(extra), [x for x, new in zip(numbers, changed, strict=True) if new]
    if changed not in steps.programs:

        def plan_of(given: list) -> Any:
            left = iter(given)
            numbers = [next(left) if new else x for x, new in zip(known, changed, strict=True)]
            return jax.tree.unflatten(skeleton, numbers)._plan

        steps.programs[changed] = _program(plan_of, given, donate)
    program = steps.programs[changed]
    return program and program(*given)


def compile_steps() -> None:
    """Let `tx.step` use these programs."""
    GradientTransformation._compiled_step = compiled_step


def _program(plan_of: Callable[[list], Any], given: tuple, donate: bool) -> Callable | None:
    """The compiled step; None if it cannot be traced, or does more than return a result."""

    def run(params: Any, state: Any, updates: Any, extra: Any, numbers: list) -> tuple[Any, Any]:
        plan, conditions, here = plan_of(numbers), [], trace_here()

        def check(holds: Any, _: list) -> None:
            if trace_here() != here:
                raise RuntimeError("a check in a branch: its result cannot leave it")
            conditions.append(holds)

        token = traced_check.set(check)
        try:
            result = plan.update(updates, state, params, extra, step=True)
        finally:
            traced_check.reset(token)
        return result, functools.reduce(operator.and_, conditions) if conditions else None

    traced = jax.jit(run, inline=True)  # once for both programs below
    try:
        trace = traced.trace(*given)
    except Exception:  # operation by operation, it runs or says what is wrong
        return None
    if trace.jaxpr.effects:
        return None

    def step(*given: Any) -> Any:
        return traced(*given)[0]

    program = jax.jit(step, donate_argnums=(0, 1) if donate else ())
    if trace.out_info[1] is None:
        return program
    holds = jax.jit(lambda *given: traced(*given)[1])  # few operations: JAX drops what it does not need
    return lambda *given: program(*given) if holds(*given) else None


def is_ours(tx: Value) -> bool:
    """Whether no function of the user or of another library takes part: it may do other things at each call."""
    if "is_ours" not in tx._cache:
        inside = (x for x in tx.children.values() if isinstance(x, Value))
        statics = tx._skeleton.statics.values()
        tx._cache["is_ours"] = _from_here(tx.made_by) and all(map(_is_plain, statics)) and all(map(is_ours, inside))
    return tx._cache["is_ours"]


def _is_plain(x: Any) -> bool:
    if isinstance(x, Mapping):
        return all(map(_is_plain, x.values()))
    if isinstance(x, tuple | list):
        return all(map(_is_plain, x))
    if isinstance(x, Value):
        return is_ours(x)
    if x is None or isinstance(x, str | int | float | complex | np.dtype | type | Enum | re.Pattern):
        return True
    if dataclasses.is_dataclass(x):
        return _from_here(type(x)) and all(_is_plain(getattr(x, f.name)) for f in dataclasses.fields(x))
    return inspect.isfunction(x) and _from_here(x) and x.__closure__ is None


def _from_here(x: Any) -> bool:
    return x.__module__.startswith("gradtx.")


@functools.cache
def _is_array(kind: type) -> bool:
    return issubclass(kind, jax.Array) and not issubclass(kind, Tracer)


def _kind(x: Any) -> Any:
    """What a program depends on in an argument; None if it cannot be one."""
    if _is_array(type(x)):
        return x.aval
    if type(x) is np.ndarray:
        return x.shape, x.dtype
    return type(x) if type(x) in (float, int, bool, complex) else None


def _kind_of_number(x: Any) -> Any:
    """The same of a hyperparameter. 1 - b2 of a b2 near 1 needs double precision: these stay constants."""
    return x if type(x) is float and 0.5 <= abs(x) < 2.0 else _kind(x)


def _on_one_device(leaves: list) -> bool:
    where = {x.sharding for x in leaves if _is_array(type(x))}
    return len(where) == 1 and isinstance(where.pop(), SingleDeviceSharding)


def trace_here() -> Any:
    """The trace in which this runs: what is computed in one is of no use in another."""
    from jax import core as of_old
    from jax.extend import core  # here, since it imports Pallas: a third of the time of `import gradtx`

    found = getattr(core, "get_opaque_trace_state", None) or of_old.get_opaque_trace_state  # JAX 0.6: the second
    return found(convention="gradtx")


def _is_outside() -> bool:
    """Whether this runs outside of every trace and mesh."""
    with eval_context():
        outside = trace_here()
    return trace_here() == outside and jax.sharding.get_abstract_mesh().empty
