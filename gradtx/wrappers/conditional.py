"""Wrappers that run their inside in some steps only: one owner of the branch.

A wrapper says *when*, with which updates, and what its next state is (a `Decision`). `conditional` makes both of its
closures, `update` and `step`, from that.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core.leaves import apply_updates, map_leaves
from gradtx.core.pair import GradientTransformation
from gradtx.core.traits import Branch, Closures
from gradtx.core.trees import flatten, is_trained
from gradtx.transforms.joining import joined


class Decision(NamedTuple):
    """The decision of a conditional wrapper for one step.

    runs: bool scalar: whether the inner transformation runs.
    updates: a function without arguments that returns the updates for the inner transformation. It is called only where
        that runs, so its computation costs nothing in other steps.
    advance: `(ran, inner state) -> next state` of the wrapper.
    accepts: `updates of the inner transformation -> bool scalar`. Where it is False, these updates and the new inner
        state are dropped. None: they are always kept.
    """

    runs: Any
    updates: Callable[[], Any]
    advance: Callable[[Any, Any], Any]
    accepts: Callable[[Any], Any] | None = None

    def ran(self, out: Any) -> Any:
        """Whether the step counts, given the updates that the inner transformation returned or would have returned."""
        return self.runs if self.accepts is None else self.runs & self.accepts(out)


def conditional(
    inner: GradientTransformation,
    init: Callable[[Any], Any],
    decide: Callable[..., Decision],
    otherwise: Callable[[Any], Any] | None = None,
) -> Closures:
    """The closures of a wrapper that runs its inside in some steps only.

    Where the inside does not run, its state stays as it is, to the bit. The extra arguments of the call go to the
    inside, as far as it takes them.

    Args:
        inner: the transformation inside.
        init: `params -> state`. The state has a field `inner`, the state of the inside.
        decide: `(updates, state, params, **extra) -> Decision`. Its signature is that of the wrapper's `update`.
        otherwise: `updates -> updates`: what comes out of a step in which the inside does not run. None: updates that
            move no parameter.
    """

    def closure(form: _Form) -> Callable:
        @functools.wraps(decide)
        def run(updates, state, params=None, **extra):
            decision = decide(updates, state, params, **extra)
            given = inner.extras.taken(extra)

            def inside(form: _Form) -> Callable[[], tuple[Any, Any]]:
                return lambda: form.run(inner, decision.updates(), state.inner, params, **given)

            def rest() -> Any:
                if otherwise is None:
                    return form.unmoved(updates, params)
                return form.result(otherwise(updates), params)

            if decision.accepts is None:
                ran, (new, after) = decision.runs, only_where(decision.runs, inside(form), rest, state.inner)
            elif any(map(callable, extra.values())) or not isinstance(decision.runs, Tracer):
                # What evaluates the model is computed once.
                new, after, ran = _run_and_accept(decision, form, inside(_UPDATE), rest, params, state.inner)
            else:
                looked_at = _traced(inside(_UPDATE), updates, state.inner)
                kept = looked_at if form is _UPDATE else _traced(inside(form), params, state.inner)
                new, after, ran = _accept_and_run(decision, looked_at, kept, rest(), state.inner)
            return new, decision.advance(ran, after)

        return run

    return Closures(init, closure(_UPDATE), closure(_STEP), branch=Branch(decide))


class _Form(NamedTuple):
    """In which form a call wants its result: as updates, or as the parameters after them.

    run: the method of the inside that gives this form.
    result: `(updates, params) -> result` that these updates come to.
    unmoved: `(updates, params) -> result` where no parameter moves; for a step the parameters, which are not written.
    """

    run: Callable[..., tuple[Any, Any]]
    result: Callable[[Any, Any], Any]
    unmoved: Callable[[Any, Any], Any]


def at_rest(updates: Any) -> Any:
    """Updates that leave every parameter as it is, to the bit: -0, since 0 would turn a parameter of -0 into 0."""
    return map_leaves(lambda g: jnp.full_like(g, complex(-0.0, -0.0) if jnp.iscomplexobj(g) else -0.0), updates)


_UPDATE = _Form(
    lambda inner, *args, **extra: inner.update(*args, **extra),  # of a subclass too, which may have its own
    lambda updates, params: updates,
    lambda updates, params: at_rest(updates),
)
_STEP = _Form(
    lambda inner, *args, **extra: inner.step(*args, **extra),
    lambda updates, params: apply_updates(params, updates),
    lambda updates, params: params,
)


def all_finite(tree: Any) -> jax.Array:
    """Whether every entry of every trained leaf is finite: a bool scalar. For arrays that are in memory already."""
    # 0 times a value that is not finite is NaN, and the sum is one pass. For isfinite, XLA on CPU writes an array.
    leaves = joined(list(map(jnp.asarray, _trained(tree))))
    return _all(jnp.isfinite(jnp.sum(x * jnp.zeros((), x.dtype))) for x in leaves)


def all_finite_as_computed(tree: Any) -> jax.Array:
    """The same for a tree that is computed only to be looked at: XLA fuses this form into the computation."""
    return _all(jnp.all(jnp.isfinite(x)) for x in _trained(tree))


def _trained(tree: Any) -> list:
    return [x for x in jax.tree.leaves(tree) if is_trained(x)]


def _all(finite: Iterable[jax.Array]) -> jax.Array:
    return functools.reduce(operator.and_, finite, jnp.asarray(True))


def only_where(
    condition: jax.Array, run: Callable[[], tuple[Any, Any]], rest: Callable[[], Any], state: Any
) -> tuple[Any, Any]:
    """`run()` where the condition holds, elsewhere `(rest(), state)`.

    One branch is computed, never both with a product or a sum: so a NaN in the other one leaves no trace. Under `vmap`
    it is a select.

    Args:
        condition: a bool scalar.
        run: gives a result, and a state like `state`.
        rest: gives the result where `run` does not run, in the structure that `run` gives.
        state: the state where `run` does not run.
    """
    staged = isinstance(condition, Tracer)  # a cond outside jit would be compiled at every call
    if not staged and condition:
        return run()
    resting = rest()
    traced = _traced(run, resting, state)
    if not staged:
        # Without float64 all updates are of one width, and nothing need be traced to know it.
        return _resting(traced, resting) if jax.config.read("jax_enable_x64") else resting, state
    return _branch(condition, traced, resting, state)


def _run_and_accept(
    decision: Decision, form: _Form, run: Callable, rest: Callable, params: Any, state: Any
) -> tuple[Any, Any, jax.Array]:
    """Compute the updates once, and keep them where they are accepted; also says where that is."""
    accepts: Any = decision.accepts

    def looked_at() -> tuple[Any, Any]:
        updates, after = run()
        accepted = accepts(updates)
        new, after = only_where(accepted, lambda: (form.result(updates, params), after), rest, state)
        return new, (after, accepted)

    new, (after, accepted) = only_where(decision.runs, looked_at, rest, (state, decision.runs))
    return new, after, accepted


def _accept_and_run(
    decision: Decision, looked_at: Callable, kept: Callable, rest: Any, state: Any
) -> tuple[Any, Any, jax.Array]:
    """The same under jit, where the updates are computed twice, to look at and to keep.

    To keep two states until it is known which one stays would move more memory than the second computation does
    (measured with Adam: four times its time).
    """
    accepts: Any = decision.accepts
    accepted = jax.lax.cond(decision.runs, lambda: accepts(looked_at()[0]), lambda: decision.runs)
    return *_branch(accepted, kept, rest, state), accepted


def _branch(condition: jax.Array, traced: Callable[[], tuple[list, Any]], rest: Any, state: Any) -> tuple[Any, Any]:
    leaves, structure = flatten(_resting(traced, rest))
    places = [k for k, x in enumerate(leaves) if is_trained(x)]
    chosen, state = jax.lax.cond(condition, traced, lambda: ([leaves[k] for k in places], state))
    for k, x in zip(places, chosen, strict=True):
        leaves[k] = x
    return jax.tree.unflatten(structure, leaves), state


def _resting(traced: Callable[[], tuple[list, Any]], rest: Any) -> Any:
    """The result at rest, in the types that running would give; what running would raise is raised here."""
    types, leaves = iter(jax.eval_shape(traced)[0]), flatten(rest)[0]
    arrays = [jnp.asarray(x) if isinstance(x, float | complex) else x for x in leaves]
    cast = [x.astype(next(types).dtype) if is_trained(x) else x for x in arrays]
    return jax.tree.unflatten(flatten(rest)[1], cast)


def _traced(run: Callable[[], tuple[Any, Any]], rest: Any, state: Any) -> Callable[[], tuple[list, Any]]:
    """`run`, traced once however often it is called; of its result only the leaves that are trained.

    The state of another library may change its type in an update, which a branch cannot: it keeps the types it had.
    """
    places = [k for k, x in enumerate(flatten(rest)[0]) if is_trained(x)]

    def trained_part() -> tuple[list, Any]:
        result, after = run()
        leaves = flatten(result)[0]
        same = jax.tree.structure(after) == jax.tree.structure(state)
        after = jax.tree.map(_as, after, state) if same else after
        return [leaves[k] for k in places], after

    return jax.jit(trained_part, inline=True)


def _as(new: Any, old: Any) -> Any:
    return new if jnp.result_type(new) == jnp.result_type(old) else jnp.asarray(new).astype(jnp.result_type(old))
