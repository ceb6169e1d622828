"""Laws of transformations that hold others."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.leaves import apply_updates
from gradtx.core.pair import is_transformation
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.debugging import debug_checks
from gradtx.testing.case import Case, as_constants, like
from gradtx.testing.compare import BrokenError, SkippedError, error_of, first_line, near, same_bits, stacked
from gradtx.testing.law import law


@law(after=("traceable", "updates_fit"))
def neutral_setting(case: Case) -> None:
    """With its neutral setting it changes nothing, to the bit."""
    if case.neutral is None:
        raise SkippedError("it has no neutral setting here")
    gradients = case.gradients(4)
    for jitted in (True, False):
        came, expected = _updates(case, gradients, jitted), _updates(case.with_tx(case.neutral), gradients, jitted)
        same_bits("the update with the neutral setting", came, expected)


def _updates(case: Case, gradients: list, jitted: bool) -> Any:
    """The updates of every step. They are applied outside jit, where XLA rounds them differently as it fuses them."""
    update = jax.jit(case.update) if jitted else case.update
    state, params, history = case.init(case.params), case.params, []
    for grads in gradients:
        updates, state = update(grads, state, params)
        params = apply_updates(params, updates)
        history.append(updates)
    return stacked(history)


@law(values_only=True, after=("traceable", "updates_fit"))
def extras_reach_the_inside(case: Case) -> None:
    """Extra arguments reach every transformation inside; one that is missing there is an error that names it."""
    inside = {name: x for name, x in case.tx.children.items() if is_transformation(x)}
    if not inside:
        raise SkippedError("it holds no transformations")
    grads = case.gradients(1)[0]
    for name, inner in inside.items():
        seen: list[Any] = []
        probed = case.with_tx(case.tx.with_children({name: chain(inner, _probe(seen))}))
        state = jax.eval_shape(probed.init, case.params)

        def update(probed: Case = probed, state: Any = state, **extra: Any) -> Any:
            whole = {**case.extras, **extra}
            return jax.eval_shape(lambda g, s, p: probed.tx.update(g, s, p, **whole), grads, state, case.params)

        update(token="token")
        if seen != ["token"] * len(seen) or not seen:
            raise BrokenError(f"an extra argument for {name} came there as {seen}")
        error = error_of(update)
        if not isinstance(error, TypeError) or "token" not in str(error):
            came = "no error" if error is None else first_line(error)
            said = f"an extra argument that {name} needs was not given: {came}"
            raise BrokenError(f"{said}; an error that names it was expected")
        error = error_of(lambda: update(token="token", tokn="token"))
        if not case.holds_foreign and (not isinstance(error, TypeError) or "tokn" not in str(error)):
            raise BrokenError("an extra argument that nobody takes was taken; an error that names it was expected")


@transformation(any_leaves=True, sparse_rows=True)
def _probe(seen: list):
    """Note the extra argument `token`, which it needs."""

    def init(params):
        return EmptyState()

    def update(updates, state, params=None, *, token):
        seen.append(token)
        return updates, state

    return init, update


@law(values_only=True, after=("traceable", "updates_fit"))
def step_is_update_and_apply(case: Case) -> None:
    """A step gives the parameters that apply_updates makes of the update, and the same state: to the bit."""
    gradients, ones = case.gradients(3), like(case.params, jnp.ones_like)

    def step(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        params, state = case.tx.step(grads, state, params, **case.extras)
        return state, params

    def jitted(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        return step(grads, state, params), step(as_constants(ones), state, as_constants(case.params))

    _, *expected = case.run(gradients, jit=False)
    with debug_checks():  # no step is compiled as a program, see `tx.step`
        came = _walked(case, gradients, step)
    same_bits("the state and the parameters after steps", came, tuple(expected))
    _, *expected = case.run(gradients)
    program = jax.jit(jitted)
    came = _walked(case, gradients, lambda *now: program(*now)[0])
    near("the state and the parameters after steps under jit", came, tuple(expected))  # XLA fuses the two differently
    start = case.init(case.params)
    _, *expected = case.step(ones, start, case.params)
    came = program(gradients[0], start, case.params)[1]
    near("the state and the parameters after a jitted step of constants", came, tuple(expected))


def _walked(case: Case, gradients: list, step: Any) -> tuple[Any, Any]:
    state, params = case.init(case.params), case.params
    for grads in gradients:
        state, params = step(grads, state, params)
    return state, params
