"""Readings of what an optimizer does to each leaf, kept in its state while it trains."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core.leaves import apply_updates, float_dtype
from gradtx.core.numerics import increment, zero_count
from gradtx.core.traits import Closures
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, is_trained, shape_of
from gradtx.errors import describe, whole
from gradtx.inspection.stages import look, stages
from gradtx.inspection.watch_row import SCALARS, Setting, measure_row, samples
from gradtx.inspection.watch_state import Labels, Watched, WatchState, require_own, watched
from gradtx.storage.fields import map_fields
from gradtx.wrappers.rules import is_rule

REST, SAMPLE, MEASURE = 0, 1, 2
"""What a step does besides the update: nothing, keep a sample of it for the next step, or measure."""


@transformation(sparse_rows=True)
def watch(
    inner: Transformation,
    *,
    window: int = 128,
    every: int = 100,
    sample: int = 256,
    groups: Mapping[str, Any] | None = None,
    previous: bool = True,
    bins: tuple[float, float, int] = (-8.0, 4.0, 24),
):
    """Keep readings of what a transformation does to each leaf, without changing its updates by a bit.

    The first of every `every` updates is measured, stage by stage; in the others nothing is computed. Nothing leaves
    the device: `readings(state)` fetches the last `window` measured steps.

    For each leaf or group, with g the gradient that comes in, u the update, w the parameter before it:

        grad_norm = ‖g‖₂      stage_norm = the norm after each member of a chain      update_rms = ‖u‖₂/√n
        update_to_weight = ‖u‖₂/‖w‖₂
        cosine_to_gradient = -⟨u, g⟩/(‖u‖₂‖g‖₂)      1 for plain descent, -1 uphill
        cosine_to_previous, sign_agreement      of u with the update just before, among entries that are 0 in neither
        clipped      share of the entries other than 0 that a stage made smaller which clips
        nonfinite, zeros      shares of the entries of g that are infinite or NaN, and that are exactly 0
        second_moment_min, second_moment_max      range of the `NonNegative` fields of the state after the update
        rates      histogram of |u|/|g|, entry by entry where g is not 0

    Norms, cosine_to_gradient, shares and ranges are taken over all entries; cosine_to_previous, sign_agreement and
    rates over at most `sample` entries of each leaf, evenly spaced along its axes. A reading that does not apply is
    NaN: a ratio to weights that are all 0, a share of no entries, clipping where no stage clips, a second moment where
    there is none. A stage clips if it declares the trait `clips`, or if everything that it wraps does; a norm clip
    gives 0 or 1 for a leaf. The members of a chain are its stages. Anything else is one stage, also a wrapper:
    `accumulate(watch(tx), 4)` sees the members of `tx`, `watch(accumulate(tx, 4))` the gradients of every call.

    Under jit the update is computed twice in a measured step, and in the step before it for `previous`; but once where
    `update` is given functions, as for a line search. Under `vmap` every step is measured. Inside `shard_map` each
    device measures its own part. Norms are right to some 1e-5 in float32. In a leaf of more than 16,384 entries, an
    entry 9e18 times larger than all in a sample makes the norm infinite.

    Cost with Adam on two CPU cores (`python -m tests.benchmarks --only watch`): with one of 100 steps measured,
    training takes 1.05 to 1.15 times as long, for one leaf of 4M numbers and for 100 leaves of 64 x 64. A measured step
    takes four to five times as long. Compilation takes 0.6 s more for one leaf, 2 s for 100. Each leaf adds
    `window`·(4·(11 + stages) + 2·bins) bytes to the state, and 4·`sample`.

    Args:
        inner: the transformation.
        window: how many readings are kept; at least 1, below 2**31.
        every: the first of this many updates is measured; at least 1, below 2**31.
        sample: how many entries of a leaf are kept or counted at most; at least 1, below 65536.
        groups: name -> rule, as in `route`: leaves that are measured together, as if they were one. Leaves that no rule
            fits are in the group "others". None: each leaf by itself, under its path.
        previous: whether to compare with the update before.
        bins: of the histogram of rates: exponents of ten of its outer edges, and the number of bins between them,
            evenly spaced in the logarithm. The first and the last bin also count what lies beyond them.

    State: `WatchState` (count, steps, values, rates, previous, labels, inner). The inner state is as without watch.
    Raises: ValueError: a number out of range; a rule that fits no leaf; `params` not given; a state made for other
        leaves, stages or bins (under jit only numbers and shapes are compared, and new names and edges replace the
        old). TypeError: an argument of another kind.
    Source: optax has none. torch users log such numbers with hooks, which wait for the device at every step.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.watch(gradtx.sgd(0.1), every=1), {"w": jnp.array([3.0, 4.0])}
        >>> print(gradtx.readings(tx.update(w, tx.init(w), w)[1]).update_to_weight)
        [[0.1]]
    """
    low, high, count = _checked(window, every, sample, groups, previous, bins)
    members = dict(stages(inner))
    clips = tuple(member.traits.clips for member in members.values())
    marks = (REST, SAMPLE, MEASURE) if previous and every > 1 else (REST, MEASURE)

    def labels_of(where: Watched) -> Labels:
        return Labels(where.names, tuple(members), (low, high, count))

    def init(params):
        dtype, where = float_dtype(params), watched(params, groups, sample)
        shape = (window, len(where.names))
        return WatchState(
            zero_count(),
            jnp.full((window,), -1, jnp.int32),
            jnp.zeros((*shape, len(SCALARS) + len(members)), dtype),
            jnp.zeros((*shape, count), where.counts),
            jnp.zeros((where.sampled,), dtype) if previous else None,
            labels_of(where).written(),
            inner.init(params),
        )

    def closure(call: Callable, result: Callable) -> Callable:
        def run(updates, state, params, **extra):
            where = watched(params, groups, sample)
            require_own(state, where, labels_of(where), previous, params)
            if isinstance(state.labels, Tracer):  # could not be compared; the numbers from now on have these labels
                state = state._replace(labels=jnp.where(True, labels_of(where).written(), state.labels))
            step = jnp.asarray(state.count) if isinstance(state.count, Tracer) else int(state.count)
            eager, due, next_due = not isinstance(step, Tracer), step % every == 0, (step + 1) % every == 0
            if not where.places or (eager and not due and not (next_due and SAMPLE in marks)):
                new, after = call(updates, state.inner, params, **extra)
                return new, state._replace(count=increment(jnp.asarray(state.count)), inner=after)

            def seen_once() -> tuple[Any, Any, list]:
                return look(inner, updates, state.inner, params, extra, inside=False)

            # Where the step is known, or the model is evaluated, the update is computed once, stage by stage.
            seen = seen_once() if eager or any(map(callable, extra.values())) else None
            dtype = jnp.asarray(state.values).dtype
            setting = Setting(where.group_of, len(where.names), clips, sample, low, high, count, dtype)

            def note(mark: int) -> Noted:
                row, counts = (jnp.zeros(x.shape[1:], x.dtype) for x in (state.values, state.rates))
                held, columns, after = state.previous, [], None
                if mark != REST:
                    _, after, records = seen or seen_once()
                    outs = [where.pick(updates), *([record.after[k] for k in where.places] for record in records)]
                    columns, after = jax.lax.stop_gradient((outs, after))
                if mark == SAMPLE:
                    held = samples(setting, columns[-1])
                if mark == MEASURE:
                    moments = _second_moments(after, updates, where)
                    row, counts, held = measure_row(setting, columns, where.pick(params), moments, held)
                held = None if held is None else jnp.asarray(held).astype(state.previous.dtype)
                return Noted(row, counts.astype(state.rates.dtype), held, jnp.int32(mark))

            if eager:
                noted = note(MEASURE if due else SAMPLE)
            else:
                which = jnp.where(due, len(marks) - 1, jnp.where(next_due & (SAMPLE in marks), SAMPLE, REST))
                noted = jax.lax.switch(which, [functools.partial(note, mark) for mark in marks])
            if seen:
                new, after = result(params, seen[0]), seen[1]
            else:
                new, after = call(_behind(noted.mark, updates), state.inner, params, **extra)
            state = _with_row(state, noted, due, step, every)
            return new, state._replace(count=increment(jnp.asarray(state.count)), inner=after)

        return run

    update, step = closure(inner.update, lambda params, new: new), closure(inner.step, apply_updates)
    return Closures(init, update, step, passes=lambda state: (inner, state.inner))


class Noted(NamedTuple):
    """What is kept of a step: a row of numbers and one of counts, in the types of the rings; a sample; its mark."""

    row: jax.Array
    counts: jax.Array
    held: Any
    mark: jax.Array


def _with_row(state: WatchState, noted: Noted, due: Any, step: Any, every: int) -> WatchState:
    """The state with a row written in each ring where this step was measured; a row is never read to be kept."""
    window = state.steps.shape[0]
    place = jnp.where(due, step // every % window, window)

    def put(ring: Any, x: Any) -> jax.Array:
        return _written(jnp.asarray(ring), place, jax.lax.stop_gradient(x))

    steps, values, rates = put(state.steps, step), put(state.values, noted.row), put(state.rates, noted.counts)
    return state._replace(steps=steps, values=values, rates=rates, previous=jax.lax.stop_gradient(noted.held))


@functools.partial(jax.jit, inline=True)  # outside jit, JAX refuses the parts of this on an Explicit mesh
def _written(ring: jax.Array, place: jax.Array, x: Any) -> jax.Array:
    return ring.at[place].set(x, mode="drop")


def _second_moments(state: Any, like: Any, where: Watched) -> list[list]:
    """The fields of a state that are declared as divisors, for the watched leaves; None where a leaf has no such."""
    found: list[list] = []
    gradients, structure = where.pick(like), flatten(like)[1]

    def note(path: tuple, field: Any, role: str) -> Any:
        if role in ("nonnegative", "magnitude") and flatten(field)[1] == structure:
            rows = zip(where.pick(field), gradients, strict=True)
            found.append([x if is_trained(x) and shape_of(x) == shape_of(g) else None for x, g in rows])
        return field

    map_fields(note, lambda path, leaf: leaf, state, {})
    return found


def _behind(mark: jax.Array, updates: Any) -> Any:
    """The updates, in a form in which they can be used only after the measurement: else XLA copies the whole state, to
    measure the old one later. A condition that never holds, and that XLA cannot know, gives them another value: XLA
    drops barriers (JAX 0.10)."""
    never = mark < 0

    def leaf(x: Any) -> Any:
        inexact = jnp.issubdtype(jnp.result_type(x), jnp.inexact)
        return jnp.where(never, jnp.zeros((), x.dtype), x) if inexact and isinstance(x, jax.Array) else x

    return jax.tree.map(leaf, updates)


def _checked(window: Any, every: Any, sample: Any, groups: Any, previous: Any, bins: Any) -> tuple[float, float, int]:
    """The bins, after all arguments were checked."""
    whole(1, window=window, every=every, sample=sample)
    for name, value, most in (("window", window, 2**31), ("every", every, 2**31), ("sample", sample, 2**16)):
        if value >= most:
            raise ValueError(f"{name} must be below {most}; got {value}")
    if not (groups is None or isinstance(groups, Mapping)):
        raise TypeError(f"groups must be a dict, name -> rule; got {describe(groups)}")
    for name, rule in (groups or {}).items():
        if not isinstance(name, str) or not is_rule(rule):
            kinds = "a glob, a compiled expression, a function of (path, leaf), or a tuple of these"
            raise TypeError(f"groups: a name is a string, and a rule {kinds}; got {name!r}: {describe(rule)}")
    if "others" in (groups or {}):
        raise ValueError("groups: 'others' is the name of the leaves that no rule fits: choose another name")
    if not isinstance(previous, bool):
        raise TypeError(f"previous must be True or False; got {describe(previous)}")
    if not (isinstance(bins, tuple | list) and len(bins) == 3):
        raise TypeError(f"bins must be (exponent of the first edge, of the last, number of bins); got {describe(bins)}")
    low, high, count = bins
    whole(1, bins=count)
    if not (-100 <= low < high <= 100):
        raise ValueError(f"bins must rise from one power of ten to another, between -100 and 100; got {bins!r}")
    return float(low), float(high), int(count)
