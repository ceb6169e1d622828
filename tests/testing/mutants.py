"""Transformations that are wrong on purpose, each with the law that must find it; and right ones, for comparison.

Each differs from a momentum, `trace = decay * trace + g`, or from Adam's quotient, in one thing that people get wrong.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx import EmptyState, Hyper, map_leaves, transformation, zeros


class Mutant(NamedTuple):
    """A wrong transformation, the law that finds it, and the fields of its case."""

    tx: Any
    law: str
    case: dict[str, Any]


class TraceState(NamedTuple):
    """The state of a momentum."""

    trace: Any


class CountState(NamedTuple):
    """A trace, and a number of steps."""

    count: Any
    trace: Any


MUTANTS: dict[str, Mutant] = {}
SOUND: dict[str, Any] = {}


def mutant(law: str, **case: Any) -> Any:
    """Enter the transformation that the function returns, by its name."""

    def made(function: Any) -> Any:
        MUTANTS[function.__name__] = Mutant(function(), law, case)
        return function

    return made


def is_real(x: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.inexact)


def on_real(fn: Any, *trees: Any) -> Any:
    """`jax.tree.map` over the leaves that are trained; the others pass."""
    return jax.tree.map(lambda g, *others: fn(g, *others) if is_real(g) else g, *trees)


def stateless(leaf: Any) -> Any:
    """A bare pair that does this to each trained leaf."""
    return lambda params: EmptyState(), lambda updates, state, params=None: (on_real(leaf, updates), state)


@transformation(any_leaves=True, sparse_rows=True)
def momentum(decay: Hyper = 0.5):
    """A momentum as it should be."""

    def init(params):
        return TraceState(zeros(params))

    def update(updates, state, params=None):
        def leaf(g, trace):
            trace = decay * trace + g
            return trace, trace

        updates, trace = map_leaves(leaf, updates, state.trace, idle=(decay,))
        return updates, TraceState(trace)

    return init, update


def traced(leaf: Any, init: Any = lambda params: TraceState(zeros(params)), **traits: Any) -> Any:
    """A momentum with another rule for a leaf, another init, or other traits."""

    @transformation(**traits)
    def wrong(decay: Hyper = 0.5):
        def update(updates, state, params=None):
            updates, trace = map_leaves(lambda g, trace: leaf(g, trace, decay), updates, state.trace)
            return updates, TraceState(trace)

        return init, update

    return wrong()


def counted(start: Any, following: Any) -> Any:
    """A bare pair that only counts."""

    def update(updates, state, params=None):
        return updates, CountState(following(state.count), state.trace)

    return lambda params: CountState(start(), ()), update


SOUND["momentum"] = momentum()
SOUND["bare momentum"] = (
    lambda params: TraceState(jax.tree.map(jnp.zeros_like, params)),
    lambda updates, state, params=None: (updates, state),
)
SOUND["counter"] = counted(lambda: jnp.zeros((), jnp.int32), gradtx.core.numerics.increment)


@mutant("traceable")
def branches_on_a_number():
    def update(updates, state, params=None):
        return (updates if float(gradtx.global_norm(updates)) < 1 else on_real(lambda g: 0 * g, updates)), state

    return lambda params: EmptyState(), update


@mutant("traceable")
def sums_each_leaf():
    return stateless(jnp.sum)


@mutant("updates_fit")
def gives_half_precision():
    return stateless(lambda g: g.astype(jnp.bfloat16))


@mutant("state_types")
def state_takes_the_type_of_gradients():
    def update(updates, state, params=None):
        trace = jax.tree.map(lambda t, g: 0.5 * t + g, state.trace, updates)
        return trace, TraceState(trace)

    return lambda params: TraceState(jax.tree.map(jnp.zeros_like, params)), update


@mutant("state_types")
def state_grows():
    def update(updates, state, params=None):
        return updates, {**state, "last": jnp.ones(())}

    return lambda params: {}, update


@mutant("state_types")
def counter_starts_weak():
    return counted(lambda: jnp.asarray(0), lambda count: count + jnp.ones((), jnp.int32))


@mutant("state_types_of_all_mixes")
def state_takes_the_type_of_wide_gradients():
    def wide(x):
        return jnp.asarray(x).astype(jnp.promote_types(x.dtype, jnp.float32))

    def update(updates, state, params=None):
        trace = on_real(lambda g, t: 0.5 * t + wide(g), updates, state.trace)
        return trace, TraceState(trace)

    return lambda params: TraceState(on_real(lambda p: 0 * wide(p), params)), update


@mutant("state_is_arrays")
def counts_with_a_python_number():
    return counted(lambda: 0, lambda count: count + 1)


@mutant("counters_do_not_wrap")
def counter_wraps():
    return counted(lambda: jnp.zeros((), jnp.int32), lambda count: count + jnp.ones((), jnp.int32))


@mutant("counters_do_not_wrap")
def counter_is_short():
    most = jnp.asarray(127, jnp.int8)
    return counted(
        lambda: jnp.zeros((), jnp.int8), lambda count: jnp.where(count < most, count + jnp.ones((), jnp.int8), most)
    )


@mutant("double_precision_is_kept")
def rounds_through_float16():
    return stateless(lambda g: (0.1 * g).astype(jnp.float16).astype(g.dtype))


@mutant("double_precision_is_kept", complex_leaves=False)
def rounds_its_trace_through_bfloat16():
    def leaf(g, trace, decay):
        trace = (decay * trace + g).astype(jnp.bfloat16).astype(g.dtype)
        return trace, trace

    return traced(leaf)


@mutant("single_precision")
def rounds_float32_alone():
    return stateless(lambda g: g.astype(jnp.float16).astype(g.dtype) if g.dtype == jnp.float32 else g)


@mutant("double_precision_is_kept", complex_leaves=False)
def computes_in_float32():
    def leaf(g, trace, decay):
        new = trace.astype(jnp.float32) * jnp.float32(decay) + g.astype(jnp.float32)
        return new.astype(g.dtype), new.astype(g.dtype)

    return traced(leaf)


@mutant("complex_numbers_turn", complex_leaves=True)
def drops_the_imaginary_part():
    return stateless(lambda g: g.real.astype(g.dtype))


@mutant("complex_numbers_turn", complex_leaves=True)
def squares_complex_numbers():
    return stateless(lambda g: g / jnp.sqrt(g * g + 1))


@mutant("finite_steps")
def divides_by_a_norm_of_zero():
    return stateless(lambda g: g / jnp.sqrt(jnp.sum(jnp.abs(g) ** 2)) if g.size else g)


@mutant("finite_steps")
def squares_overflow():
    def leaf(g, trace, decay):
        trace = decay * trace + jnp.abs(g * g)
        return g / (jnp.sqrt(trace) + 1e-8), trace

    return traced(leaf)


@mutant("finite_complex_steps", complex_leaves=True)
def squares_of_parts_overflow():
    def leaf(g):
        if not jnp.iscomplexobj(g):
            return g
        size = jnp.sqrt(g.real * g.real + g.imag * g.imag)
        return (g * (size / (1 + size))).astype(g.dtype)

    return stateless(leaf)


@mutant("finite_derivatives")
def root_has_no_derivative_at_zero():
    return stateless(lambda g: jnp.sign(g) * jnp.sqrt(jnp.abs(g)))


@mutant("right_derivatives", smooth=True)
def stops_derivatives():
    return stateless(lambda g: 0.1 * g * jax.lax.stop_gradient(jnp.tanh(g)))


@mutant("jit_equals_eager")
def differs_under_jit():
    return stateless(lambda g: g * (0.5 if isinstance(g, jax.core.Tracer) else 1.0))


@mutant("constants_under_jit")
def norm_of_constants_overflows():
    def leaf(g):
        wide = g.astype(jnp.promote_types(g.dtype, jnp.float32))
        squares = jnp.sum(jnp.abs(wide) ** 2)
        safe = (squares > 1e-30) & (squares < 1e38)
        unit = jnp.where(safe, 1.0, jnp.where(squares > 1, 2.0**-96, 2.0**96)).astype(wide.real.dtype)
        return (wide / (1 + jnp.sqrt(jnp.sum(jnp.abs(wide * unit) ** 2)) / unit)).astype(g.dtype)

    return stateless(leaf)


@mutant("constants_under_jit")
def knows_parameters_that_are_constants():
    def update(updates, state, params=None):
        constant = any(isinstance(p, np.ndarray) and p.ndim for p in jax.tree.leaves(params))
        return on_real(lambda g: 2 * g if constant else g, updates), state

    return lambda params: EmptyState(), update


@mutant("donation")
def keeps_the_parameters():
    return lambda params: TraceState(params), lambda updates, state, params=None: (updates, state)


@mutant("donation")
def keeps_one_buffer_twice():
    def init(params):
        trace = jax.tree.map(jnp.zeros_like, params)
        return {"a": trace, "b": trace}

    return init, lambda updates, state, params=None: (updates, state)


@mutant("owned_buffers")
def gives_its_trace_away():
    @transformation
    def wrong():
        def update(updates, state, params=None):
            trace = jax.tree.map(jnp.add, state.trace, updates)
            return trace, TraceState(trace)

        return lambda params: TraceState(zeros(params)), update

    return wrong()


@mutant("inputs_unchanged")
def writes_into_its_gradients():
    def update(updates, state, params=None):
        for g in jax.tree.leaves(updates):
            if isinstance(g, np.ndarray) and is_real(g):
                g *= 0.5
        return updates, state

    return lambda params: EmptyState(), update


@mutant("pure")
def counts_for_itself():
    calls = itertools.count(1)

    def update(updates, state, params=None):
        factor = 1 / next(calls)
        return on_real(lambda g: factor * g, updates), state

    return lambda params: EmptyState(), update


@mutant("init_by_shape")
def init_looks_at_numbers():
    def init(params):
        traced = any(isinstance(p, jax.core.Tracer) for p in jax.tree.leaves(params))
        return TraceState(on_real(lambda p: jnp.full_like(p, 0.0 if traced else 1.0), params))

    return init, lambda updates, state, params=None: (updates, state)


@mutant("needs_params")
def decays_nothing_without_params():
    def update(updates, state, params=None):
        return updates if params is None else on_real(lambda g, p: g + 0.1 * p, updates, params), state

    return lambda params: EmptyState(), update


@mutant("integers_pass")
def scales_integers():
    def update(updates, state, params=None):
        return jax.tree.map(lambda g: (g * jnp.asarray(0.5, g.dtype)).astype(g.dtype), updates), state

    return lambda params: EmptyState(), update


@mutant("empty_trees")
def takes_the_first_leaf():
    def update(updates, state, params=None):
        first = jax.tree.leaves(updates)[0]
        return on_real(lambda g: g + 0 * jnp.sum(first).astype(g.dtype), updates), state

    return lambda params: EmptyState(), update


@mutant("odd_trees")
def divides_by_the_largest_entry():
    return stateless(lambda g: g / (1 + jnp.max(jnp.abs(g))))


@mutant("untrained_leaves_pass")
def has_state_for_integers():
    return traced(
        lambda g, trace, decay: (decay * trace + g,) * 2,
        lambda params: TraceState(jax.tree.map(lambda p: None if p is None else jnp.zeros(jnp.shape(p)), params)),
    )


@mutant("states_of_other_params_are_errors")
def broadcasts_its_state():
    @transformation
    def wrong():
        def update(updates, state, params=None):
            def leaf(g, trace):
                return g + 0 * jnp.sum(trace).astype(g.dtype)

            return on_real(leaf, updates, state.trace), state

        return lambda params: TraceState(on_real(jnp.zeros_like, params)), update

    return wrong()


@mutant("wrong_states_are_errors")
def takes_a_foreign_state():
    @transformation
    def wrong():
        def update(updates, state, params=None):
            sums = [g + t for g, t in zip(jax.tree.leaves(updates), jax.tree.leaves(state), strict=True)]
            return jax.tree.unflatten(jax.tree.structure(updates), sums), state

        return zeros, update

    return wrong()


@mutant("extras_are_checked")
def swallows_misspelt_arguments():
    @transformation
    def wrong():
        return lambda params: EmptyState(), lambda updates, state, params=None, **extra: (updates, state)

    return wrong()


@mutant("extras_reach_the_inside")
def keeps_extra_arguments_to_itself():
    @transformation
    def wrong(inner: gradtx.Transformation):
        return inner.init, lambda updates, state, params=None, **extra: inner.update(updates, state, params)

    return wrong(momentum())


@mutant("vmap_over_params")
def is_mapped_wrongly():
    @jax.custom_batching.custom_vmap
    def halved(g):
        return 0.5 * g

    @halved.def_vmap
    def _(size, batched, g):
        return g, batched[0]

    return stateless(halved)


@mutant("vmap_over_hyperparameters")
def asks_whether_a_hyperparameter_is_zero():
    @transformation
    def wrong(decay: Hyper = 0.5):
        def update(updates, state, params=None):
            return (updates if decay == 0 else map_leaves(lambda g: decay * g, updates)), state

        return lambda params: EmptyState(), update

    return wrong()


@mutant("one_trace_for_all_values")
def keeps_a_hyperparameter_in_its_state():
    @transformation
    def wrong(decay: Hyper = 0.5):
        def update(updates, state, params=None):
            return updates, {"decay": jnp.asarray(decay, jnp.float32)}

        def init(params):
            return {"decay": jnp.asarray(decay, jnp.float32 if isinstance(decay, float) else jnp.bfloat16)}

        return init, update

    return wrong()


class Option:
    """A setting whose hash is never the same."""

    hashes = itertools.count()

    def __eq__(self, other):
        return isinstance(other, Option)

    def __hash__(self):
        return next(self.hashes)


@mutant("equality")
def has_an_argument_with_many_hashes():
    @transformation
    def wrong(option: Any):
        return lambda params: EmptyState(), lambda updates, state, params=None: (updates, state)

    return wrong(Option())


@mutant("pickles")
def has_an_argument_that_does_not_pickle():
    class Local:
        def __eq__(self, other):
            return type(self) is type(other)

        def __hash__(self):
            return 0

    @transformation
    def wrong(option: Any):
        return lambda params: EmptyState(), lambda updates, state, params=None: (updates, state)

    return wrong(Local())


class Misprinted:
    """A setting whose repr is another one."""

    def __init__(self, size: int = 1):
        self.size = size

    def __repr__(self):
        return "Misprinted(size=1)"

    def __eq__(self, other):
        return isinstance(other, Misprinted) and self.size == other.size

    def __hash__(self):
        return self.size


@mutant("prints_as_its_call", namespace={"Misprinted": Misprinted})
def prints_another_argument():
    @transformation
    def wrong(option: Any):
        return lambda params: EmptyState(), lambda updates, state, params=None: (updates, state)

    return wrong(Misprinted(2))


@mutant("step_is_update_and_apply")
def steps_twice_as_far():
    @transformation
    def wrong():
        def step(updates, state, params):
            return jax.tree.map(lambda p, g: p + 2 * g, params, updates), state

        return lambda params: EmptyState(), lambda updates, state, params=None: (updates, state), step

    return wrong()


@mutant("neutral_setting", neutral=momentum())
def changes_the_last_bit():
    @transformation
    def wrong(inner: gradtx.Transformation):
        def update(updates, state, params=None):
            updates, state = inner.update(updates, state, params)
            return map_leaves(lambda u: u * jnp.float32(1 + 2**-23), updates), state

        return inner.init, update

    return wrong(momentum())


@mutant("resumes_from_npz")
def has_two_leaves_of_one_path():
    def init(params):
        return {"a/b": jnp.zeros(()), "a": {"b": jnp.ones(())}}

    return init, lambda updates, state, params=None: (updates, state)


@mutant("resumes_from_pickle")
def has_a_state_that_does_not_pickle():
    class LocalState(NamedTuple):
        count: Any

    return lambda params: LocalState(jnp.zeros(())), lambda updates, state, params=None: (updates, state)


@mutant("sharded")
def gathers_its_state():
    def moved(x):
        mesh = jax.sharding.Mesh(jax.devices(), ("x",))
        whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        return jax.lax.with_sharding_constraint(x, whole)

    def update(updates, state, params=None):
        return updates, TraceState(jax.tree.map(lambda t: moved(t + 1), state.trace))

    return lambda params: TraceState(jax.tree.map(jnp.zeros_like, params)), update


@mutant("packed_leaves")
def divides_by_the_norm_of_a_leaf():
    @transformation(any_leaves=True)
    def wrong():
        def update(updates, state, params=None):
            return map_leaves(lambda g: g / (1 + jnp.sqrt(jnp.sum(jnp.abs(g) ** 2))), updates), state

        return lambda params: EmptyState(), update

    return wrong()


@mutant("sparse_rows")
def decays_rows_at_rest():
    @transformation(sparse_rows=True)
    def wrong():
        def update(updates, state, params=None):
            updates, trace = map_leaves(lambda g, trace: (trace + g,) * 2, updates, state.trace)
            return updates, TraceState(map_leaves(lambda t: 0.5 * t, trace))

        return lambda params: TraceState(zeros(params)), update

    return wrong()


@mutant("sparse_rows")
def makes_rows_dense():
    @transformation(sparse_rows=True)
    def wrong():
        def update(updates, state, params=None):
            dense = jax.tree.map(
                lambda g: g.dense() if isinstance(g, gradtx.RowSparse) else g,
                updates,
                is_leaf=lambda g: isinstance(g, gradtx.RowSparse),
            )
            return map_leaves(lambda g: 2 * g, dense), state

        return lambda params: EmptyState(), update

    return wrong()


@mutant("deferred_leaves")
def looks_at_leaves_that_may_be_deferred():
    @transformation(leafwise=True)
    def wrong():
        return lambda params: EmptyState(), lambda updates, state, params=None: (
            on_real(lambda g: 2 * g, updates),
            state,
        )

    return wrong()


@mutant("idle_factors")
def says_another_factor_for_idle_steps():
    @transformation(sparse_rows=True)
    def wrong(decay: Hyper = 0.5):
        def update(updates, state, params=None):
            updates, trace = map_leaves(lambda g, trace: (decay * trace + g,) * 2, updates, state.trace, idle=(0.9,))
            return updates, TraceState(trace)

        return lambda params: TraceState(zeros(params)), update

    return wrong()


@mutant("signs")
def descends_without_saying_so():
    return traced(lambda g, trace, decay: (-0.1 * (decay * trace + g), decay * trace + g))


@mutant("matrices")
def joins_matrices():
    return traced(lambda g, trace, decay: (decay * trace + g,) * 2, any_leaves=True, needs_matrices=True)
