"""Laws of the state: its types, its buffers, and how often it is traced."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.double_precision import double_precision
from gradtx.testing.case import Case, typed
from gradtx.testing.compare import (
    BrokenError,
    error_of,
    first_line,
    is_key,
    named,
    near,
    same_bits,
    same_results,
    same_structure,
    same_types,
    stacked,
)
from gradtx.testing.law import law

# The types of parameters and gradients: another one as short, a shorter one, a wider one, the same.
MIXED = (("bfloat16", "float16"), ("float32", "float16"))
HALF = (("float16", "float16"), ("bfloat16", "bfloat16"), ("bfloat16", "float32"))
WITH_DOUBLE = (("float64", "float64"), ("float64", "float32"), ("float32", "float64"), ("float32", "float32"))


@law(after=())
def traceable(case: Case) -> None:
    """Init and update can be traced by jax.jit."""
    for what, call in (
        ("init", lambda: jax.eval_shape(case.init, case.params)),
        ("update", lambda: case.step.eval_shape(case.gradients(1)[0], case.init(case.params), case.params)),
    ):
        error = error_of(call)
        if error is not None:
            raise BrokenError(f"{what} cannot be traced: it raised {first_line(error)}")


@law()
def updates_fit(case: Case) -> None:
    """The updates have the structure and shapes of the parameters; and their types, where the gradients have them."""
    grads = case.gradients(1)[0]
    state = jax.eval_shape(case.init, case.params)
    updates, _, _ = case.step.eval_shape(grads, state, case.params)
    same_structure("the update", updates, grads)
    for (name, u), (_, g) in zip(named(updates), named(grads), strict=True):
        if np.shape(u) != np.shape(g):
            raise BrokenError(f"the update at {name} has shape {np.shape(u)}; that of its parameter, {np.shape(g)}")
    for (name, u), (_, g), (_, p) in zip(named(updates), named(grads), named(case.params), strict=True):
        own = jnp.result_type(p)
        if own in (jnp.float32, jnp.float64, jnp.complex64) and jnp.result_type(g) == own and u.dtype != own:
            raise BrokenError(
                f"the update at {name} is {u.dtype}; {own} was expected, as of its parameter and gradient"
            )


@law(after=("traceable", "updates_fit"))
def state_types(case: Case) -> None:
    """Update returns a state with the structure, shapes, types and weak types of init's."""
    _keeps_types(case, "the given", case.params, "the given", case.gradients(1)[0])
    _keep_types(case, MIXED)


@law(after=("traceable", "updates_fit", "state_types"))
def state_types_of_all_mixes(case: Case) -> None:
    """Update keeps the types of init's state for every mix of types of parameters and gradients, float64 too."""
    _keep_types(case, [*HALF, ("complex64", "complex64")] if case.complex_leaves else HALF)
    with double_precision():
        _keep_types(case, WITH_DOUBLE)


@law(after=("traceable", "updates_fit", "state_types"))
def scan(case: Case) -> None:
    """Ten steps in one jax.lax.scan are ten steps one by one, to a few ulp."""
    gradients = case.gradients(10)

    def body(carry: Any, grads: Any) -> tuple[Any, Any]:
        updates, state, params = case.step(grads, *carry)  # which JAX has traced already
        return (state, params), updates

    start = (case.init(case.params), case.params)
    (state, params), updates = jax.jit(functools.partial(jax.lax.scan, body))(start, stacked(gradients))
    history, last_state, last_params = case.run(gradients)
    near("the update in a scan", updates, stacked(history))
    near("the state after a scan", state, last_state)
    near("the parameters after a scan", params, last_params)


@law(after=("traceable", "updates_fit", "state_types"))
def jit_equals_eager(case: Case) -> None:
    """The jitted update is the eager one, to a few ulp, and its state has the same types."""
    gradients = case.gradients(3)
    history, state, _ = case.run(gradients)
    eager_history, eager_state, _ = case.run(gradients, jit=False)
    same_types("the state of the eager update", eager_state, state)
    near("the jitted update", stacked(history), stacked(eager_history))
    near("the state of the jitted update", state, eager_state)


@law(after=("traceable", "updates_fit", "state_types"))
def one_trace(case: Case) -> None:
    """Three jitted steps are traced once."""
    traces: list[int] = []
    # A trace is chosen by the types of the arguments alone, so that an empty function tells as much as update would.
    probe = jax.jit(lambda *args: traces.append(1))
    state, params = case.init(case.params), case.params
    for k, grads in enumerate(case.gradients(3)):
        probe.eval_shape(grads, state, params)
        if len(traces) > 1:
            raise BrokenError(f"update would be traced again at step {k + 1}; one trace was expected for all steps")
        _, state, params = case.step(grads, state, params)


@law()
def init_by_shape(case: Case) -> None:
    """Init works on shapes alone, and promises the state that it makes."""
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(np.shape(p), jnp.result_type(p)), case.params)
    promised = jax.eval_shape(case.init, shapes)
    same_types("the state that init makes", case.init(case.params), promised)
    with_params = jax.jit(case.init)(case.params)
    near("the state that a jitted init makes", with_params, case.init(case.params))


@law(after=("traceable", "updates_fit"))
def donation(case: Case) -> None:
    """The state shares no buffer with the parameters nor within itself, so that both can be donated."""
    params = jax.tree.map(jnp.array, case.params)
    state, again = case.init(params), case.init(params)
    owners: dict[int, str] = {}
    for what, tree in (("parameters", params), ("state", state), ("state of a second init", again)):
        for at, name in _buffers(tree):
            here = f"the {what} at {name}"
            if at in owners:
                raise BrokenError(f"{here} is the same buffer as {owners[at]}; a copy was expected")
            owners[at] = here


@law(values_only=True, after=("traceable", "updates_fit"))
def owned_buffers(case: Case) -> None:
    """Outside jit too, the state after update shares no buffer with gradients, parameters and updates."""
    grads, state = case.gradients(1)[0], case.init(case.params)
    for _ in range(2):
        updates, state = case.update(grads, state, case.params)
        for what, tree in (("gradients", grads), ("parameters", case.params), ("updates", updates)):
            owners = dict(_buffers(tree))
            for at, name in _buffers(state):
                if at in owners:
                    here = f"the state after update at {name}"
                    raise BrokenError(f"{here} is the same buffer as the {what} at {owners[at]}; a copy was expected")


@law(after=("traceable", "updates_fit"))
def inputs_unchanged(case: Case) -> None:
    """Init and update leave the trees that they are given as they were."""
    grads = case.gradients(1)[0]
    state = case.init(case.params)
    given = {"parameters": _on_host(case.params), "gradients": _on_host(grads), "state": _on_host(state)}
    before = copy.deepcopy(given)
    case.init(given["parameters"])
    case.update(given["gradients"], given["state"], given["parameters"])
    for name, tree in given.items():
        same_bits(f"the {name} given to update", tree, before[name])


@law(after=("traceable", "updates_fit"))
def pure(case: Case) -> None:
    """The same call twice gives the same result to the bit, with other calls between."""
    grads, other = case.gradients(2)
    first = case.update(grads, case.init(case.params), case.params)
    case.run([other], jit=False)
    same_bits("a second call of update", case.update(grads, case.init(case.params), case.params), first)


@law(after=("traceable", "updates_fit"))
def needs_params(case: Case) -> None:
    """Without params update says that it needs them, or does the same as with them."""
    grads, state = case.gradients(1)[0], case.init(case.params)
    error = error_of(lambda: jax.eval_shape(case.update, grads, state))
    if error is None:
        if case.needs_params:
            raise BrokenError("update ran without params; an error was expected")
        with_params = functools.partial(case.update, params=case.params)
        same_results("update without params", case.update, with_params, grads, state)
    elif case.needs_params is False or not isinstance(error, ValueError | TypeError) or "param" not in str(error):
        raise BrokenError(f"update without params raised {first_line(error)}; a word about params was expected")


def _keep_types(case: Case, mixes: Iterable[tuple[str, str]]) -> None:
    grads = case.gradients(1)[0]
    for of_params, of_grads in mixes:
        _keeps_types(case, of_params, typed(case.params, of_params), of_grads, typed(grads, of_grads))


def _keeps_types(case: Case, of_params: str, params: Any, of_grads: str, grads: Any) -> None:
    before = jax.eval_shape(case.init, params)
    _, after, _ = case.step.eval_shape(grads, before, params)
    same_types(f"the state after update, for {of_params} parameters and {of_grads} gradients,", after, before)


def _buffers(tree: Any) -> list[tuple[int, str]]:
    """Where each buffer of the arrays is in memory, and the name of its leaf."""
    arrays = [(name, x) for name, x in named(tree) if isinstance(x, jax.Array) and x.size and not is_key(x)]
    return [(shard.data.unsafe_buffer_pointer(), name) for name, x in arrays for shard in x.addressable_shards]


def _on_host(tree: Any) -> Any:
    """Copies as NumPy arrays, which can be written to by mistake."""
    return jax.tree.map(lambda x: np.array(x) if isinstance(x, jax.Array | np.ndarray) and not is_key(x) else x, tree)
