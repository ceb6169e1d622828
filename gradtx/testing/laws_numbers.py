"""Laws of the numbers: mapping over batches, derivatives, and gradients of every size."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.chain import chain
from gradtx.core.schedule import is_schedule
from gradtx.core.states import EmptyState
from gradtx.core.trees import is_trained
from gradtx.double_precision import double_precision
from gradtx.testing.case import Case, as_constants, cast, like, like_or_self
from gradtx.testing.compare import (
    BrokenError,
    SkippedError,
    all_finite,
    error_of,
    near,
    of_batch,
    same_bits,
    stacked,
)
from gradtx.testing.law import law
from gradtx.wrappers.inject import inject

RUNS = ("traceable", "updates_fit", "state_types")
# Two programs round differently, and an estimate from small differences of the parameters, as Prodigy's, enlarges that.
OTHER_PROGRAM = 512.0
SIZES = {"zero": [0.0], "tiny": [1e-30], "huge": [1e25], "mixed": [0.0, 1e-30, 1.0, -1e25]}


@law(after=RUNS)
def vmap_over_params(case: Case) -> None:
    """Mapped over a batch of parameters and gradients, it does to each what it does to it alone."""
    batch = [like_or_self(case.params, lambda p, k=k: jnp.asarray(p) * (1 - k) + k) for k in range(3)]
    grads = [case.gradients(1, seed=k)[0] for k in range(3)]
    over = stacked(zip(grads, batch, strict=True))

    def one(grads: Any, params: Any) -> Any:
        updates, state, params = case.eager_step(grads, case.init(params), params)
        return updates, state, params

    mapped = jax.jit(jax.vmap(one))(*over)
    for k in range(3):
        updates, state, params = of_batch(mapped, k)
        alone = case.step(grads[k], case.init(batch[k]), batch[k])
        near(f"row {k} of a mapped update", updates, alone[0])
        near(f"the state of row {k} of a mapped update", state, alone[1])
        # Relative to the parameters before: a step may cancel them.
        near(f"row {k} of mapped parameters", stacked([batch[k], params]), stacked([batch[k], alone[2]]))


@law(values_only=True, after=RUNS)
def vmap_over_hyperparameters(case: Case) -> None:
    """Mapped over a batch of hyperparameters, it does for each what it does for it alone."""
    factors = (1.0, 0.9, 0.5)
    values = [_scaled(case.tx, factor) for factor in factors]
    gradients = stacked(case.gradients(2))

    @jax.jit
    def run(tx: Any) -> Any:
        tried = case.with_tx(tx)

        def body(carry: Any, grads: Any) -> tuple[Any, Any]:
            updates, state, params = tried.eager_step(grads, *carry)
            return (state, params), updates

        (state, _), updates = jax.lax.scan(body, (tried.init(case.params), case.params), gradients)
        return updates, state

    mapped = jax.jit(jax.vmap(run))(stacked(values))
    for k, tx in enumerate(values):
        near(f"row {k} of the mapped hyperparameters", of_batch(mapped, k), run(tx), ulps=OTHER_PROGRAM)


@law(after=RUNS)
def finite_steps(case: Case) -> None:
    """Zero, tiny, huge and mixed gradients give finite updates and a finite state."""
    _stay_finite(case, "", case.params)


@law(after=(*RUNS, "finite_steps"))
def finite_complex_steps(case: Case) -> None:
    """Zero, tiny, huge and mixed complex gradients give finite updates and a finite state."""
    if not case.complex_leaves:
        raise SkippedError("complex parameters make no sense for it")
    _stay_finite(case, "complex ", cast(case.params, "complex64"))


@law(after=(*RUNS, "finite_steps"))
def constants_under_jit(case: Case) -> None:
    """Gradients and parameters that are constants of the compiled program give what they give as its arguments.

    XLA computes with constants before the program runs, and rearranges what is left: a leaf that the loss does not use
    has such gradients, zeros.
    """
    fills = {"zeros": 0.0, "ones": 1.0, "huge": 1e25}
    trees = {name: like(case.params, functools.partial(_filled, [entry])) for name, entry in fills.items()}
    state, constants, fixed = case.init(case.params), as_constants(trees), as_constants(case.params)

    def steps(state: Any, params: Any) -> Any:
        given = {"zeros": params, "ones": fixed, "huge": params}
        return {name: case.eager_step(constants[name], state, given[name]) for name in fills}, case.init(fixed)

    came, made = jax.jit(steps)(state, case.params)
    near("the state that a jitted init makes of constant parameters", made, state)
    for name, result in came.items():
        near(f"a jitted step with gradients of {name}", tuple(result), case.step(trees[name], state, case.params))


@law(after=(*RUNS, "finite_steps"))
def finite_derivatives(case: Case) -> None:
    """The derivative through five steps is finite, also where all gradients are zero; or it is an error."""
    aim = like_or_self(case.params, lambda p: jnp.asarray(p) + 1)

    def loss(params: Any, aim: Any, tx: Any) -> jax.Array:
        tried = case.with_tx(tx) if case.is_value else case
        return _loss(tried.init, tried.eager_step, params, aim)

    derivative = jax.jit(jax.grad(loss, argnums=(0, 2), allow_int=True))
    hyperparameters = case.tx if case.is_value else ()
    error = None if case.differentiable else error_of(lambda: derivative(case.params, aim, hyperparameters))
    if case.differentiable is False or error is not None:
        if error is None or "derivative" not in str(error):
            raise BrokenError(f"a derivative was taken, or refused without a word about it: {error}")
        return
    for what, goal in (("", aim), (" at zero gradients", case.params)):
        of_params, of_tx = derivative(case.params, goal, hyperparameters)
        all_finite(f"the derivative by the parameters{what}", of_params)
        all_finite(f"the derivative by the hyperparameters{what}", of_tx)


@law(after=(*RUNS, "finite_steps", "finite_derivatives"))
def right_derivatives(case: Case) -> None:
    """The derivative through five steps agrees with finite differences."""
    if not case.smooth:
        raise SkippedError("not smooth, or not known to be")
    with double_precision():
        params = cast(case.params, "float64")
        aim = like_or_self(params, lambda p: p + jnp.asarray(np.linspace(0.7, 1.3, p.size).reshape(p.shape)))
        way = like_or_self(params, lambda p: jnp.asarray(np.cos(np.arange(p.size)).reshape(p.shape)))

        def along(t: Any) -> jax.Array:
            here = jax.tree.map(lambda p, v: p + t * v if is_trained(p) else p, params, way)
            return _loss(case.init, case.step, here, aim)

        value_and_slope = jax.jit(lambda t: jax.jvp(along, (t,), (jnp.ones_like(t),)))
        h = 1e-4
        (_, slope), (above, _), (below, _) = (value_and_slope(jnp.asarray(t)) for t in (0.0, h, -h))
        expected = (float(above) - float(below)) / (2 * h)
    if not abs(float(slope) - expected) <= 1e-5 * max(abs(expected), 1e-3):
        raise BrokenError(f"the derivative along a line is {float(slope)}; {expected} was expected, by differences")


@law(after=RUNS)
def chain_of_one(case: Case) -> None:
    """A chain of it alone, or of it and empty chains, does the same to the bit."""
    gradients = case.gradients(2)
    history, _, params = case.run(gradients, jit=False)
    for tx in (chain(case.tx), chain(chain(), case.tx, chain())):
        other, _, other_params = case.with_tx(tx).run(gradients, jit=False)
        same_bits(f"the update of {len(tx.members)} in a chain", other, history)
        same_bits("the parameters after a chain", other_params, params)


@law(after=RUNS)
def chain_is_associative(case: Case) -> None:
    """Brackets in a chain change nothing, to the bit."""
    gradients = case.gradients(2)
    last = case.is_value and case.tx.traits.sets_params  # nothing may come behind it
    a, b, c = (_HALVE, _FLIP, case.tx) if last else (_HALVE, case.tx, _FLIP)
    left, right = chain(chain(a, b), c), chain(a, chain(b, c))
    history, state, _ = case.with_tx(left).run(gradients, jit=False)
    other, other_state, _ = case.with_tx(right).run(gradients, jit=False)
    same_bits("the update with the other brackets", other, history)
    same_bits("the state with the other brackets", other_state, state)


@law(values_only=True, after=RUNS)
def inject_is_neutral(case: Case) -> None:
    """With its hyperparameters moved into the state, it does what it does with float32 hyperparameters."""
    gradients = case.gradients(2)
    as_arrays = jax.tree.map(
        lambda x: x if is_schedule(x) else jnp.asarray(x, jnp.float32), case.tx, is_leaf=is_schedule
    )
    history, state, _ = case.with_tx(as_arrays).run(gradients, jit=False)
    injected, injected_state, _ = case.with_tx(inject(case.tx)).run(gradients, jit=False)
    near("the update after inject", stacked(injected), stacked(history), ulps=OTHER_PROGRAM)
    # Schedules are resolved by inject itself: their part of the state then stands elsewhere.
    if not any(map(is_schedule, jax.tree.leaves(case.tx, is_leaf=is_schedule))):
        near("the state inside inject", injected_state.inner, state, ulps=OTHER_PROGRAM)


def _loss(init: Callable, step: Callable, params: Any, aim: Any) -> jax.Array:
    """Half the squared distance from the aim, after five steps towards it."""

    def body(carry: Any, _: None) -> tuple[Any, None]:
        params, state = carry
        grads = jax.tree.map(lambda p, a: p - a if is_trained(p) else jnp.zeros_like(p), params, aim)
        _, state, params = step(grads, state, params)
        return (params, state), None

    (params, _), _ = jax.lax.scan(body, (params, init(params)), length=5)
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(aim), strict=True)
    return sum((jnp.sum(jnp.abs(p - a) ** 2).astype(float) / 2 for p, a in pairs if is_trained(p)), jnp.zeros(()))


def _stay_finite(case: Case, kind: str, params: Any) -> None:
    start = case.init(params)
    for size, entries in SIZES.items():
        history, state, _ = case.run([like(params, functools.partial(_filled, entries))] * 3, start, params)
        for step, updates in enumerate(history):
            all_finite(f"the update for {size} {kind}gradients, at step {step + 1},", updates)
        all_finite(f"the state after {size} {kind}gradients", state)


def _filled(entries: list, p: Any) -> jax.Array:
    dtype, shape = jnp.result_type(p), np.shape(p)
    most = float(jnp.finfo(dtype).max) / 8
    return jnp.asarray(np.clip(np.resize(entries, shape), -most, most), dtype)


def _scaled(tx: Any, factor: float) -> Any:
    """The value with every hyperparameter multiplied, as float32 arrays."""
    if not jax.tree.leaves(tx):
        raise SkippedError("it has no hyperparameters: Hyper in an annotation makes one")
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32) * jnp.float32(factor), tx)


def _times(factor: float) -> tuple[Any, Any]:
    """A bare pair that multiplies by a power of two, which rounds nothing."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        return like_or_self(updates, lambda g: g * jnp.asarray(factor, jnp.result_type(g))), state

    return lambda params: EmptyState(), update


_HALVE, _FLIP = _times(0.5), _times(-1.0)
