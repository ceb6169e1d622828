"""What an optimizer does to each leaf, kept in its state while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core.apply import apply_updates
from gradtx.core.errors import describe
from gradtx.core.leaves import float_dtype
from gradtx.core.numerics import increment, zero_count
from gradtx.core.transformation import Transformation, transformation
from gradtx.inspection.checks import require_bins, require_counts, require_fits, require_groups, require_samples
from gradtx.inspection.clips import is_clip
from gradtx.inspection.labels import Labels, written
from gradtx.inspection.rings import Noted, WatchState, nothing, typed, with_row
from gradtx.inspection.seen import leaves_of, watched
from gradtx.inspection.stages import run_stages, stages
from gradtx.inspection.watch_measures import SCALARS, Setting, measure_update, samples

REST, SAMPLE, MEASURE = 0, 1, 2
"""What a step does besides the update: nothing, keep a sample of it for the next, or measure."""


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
    """Keep readings of what a transformation does to each leaf, and leave its updates as they are, to the bit.

    Every so many updates the step is measured, stage by stage; between, nothing is computed. Nothing leaves the device:
    `readings(state)` fetches what the last `window` measured steps were like.

    Of each leaf or group, with g the gradient as it comes here, u the update, w the parameter before it:

        grad_norm = ‖g‖₂      stage_norm = the norm after each member of a chain      update_rms = ‖u‖₂/√n
        update_to_weight = ‖u‖₂/‖w‖₂
        cosine_to_gradient = -⟨u, g⟩/(‖u‖₂‖g‖₂)      1 for plain descent, -1 uphill
        cosine_to_previous, sign_agreement      of u with the update just before; of entries that are not 0 in either
        clipped      of the entries that are not 0, the share that a stage which is a clip made smaller
        nonfinite, zeros      the shares of entries of g that are infinite or NaN, and that are exactly 0
        second_moment_min, second_moment_max      over what the state, after the update, declares `NonNegative`
        rates      of |u|/|g|, entry by entry where g is not 0: how many lie in each bin

    Norms, cosine_to_gradient, shares and ranges are of all entries; cosine_to_previous, sign_agreement and rates of at
    most `sample` of each leaf, evenly spaced along its axes. What does not apply is NaN: a ratio to weights that are
    all 0, a share of no entries, a clip where there is none, a second moment of a transformation without. A stage is a
    clip where "clip" is a word of its name, or where all that it wraps is: a norm clip gives 0 or 1 for a leaf. The
    members of a chain are its stages; anything else, a wrapper too, is one stage: `accumulate(watch(tx), 4)` sees the
    members of `tx`, `watch(accumulate(tx, 4))` the gradients of every call.

    Under jit a measured step computes its update twice, and so does the one before it, for `previous`; but not where
    it is given functions, as a line search is. Under `vmap` every step is measured. Inside `shard_map` each device
    measures its own part. Norms are right to some 1e-5 in float32; entries 9e18 times larger than any in the sample of
    their leaf make its norm infinite.

    Price, with Adam on two CPU cores: 100 steps, of which one is measured, take 1.1 to 1.2 of the time without, on one
    leaf of 4M numbers and on 100 of 64 x 64 (`python -m tests.benchmarks --only watch`); a measured step takes as long
    as four. Compiling takes 0.6 s more for one leaf, 2 s for 100. A leaf adds
    `window`·(4·(11 + stages) + 2·bins) bytes to the state, and 4·`sample`.

    Args:
        inner: the transformation.
        window: how many readings are kept; at least 1, below 2**31.
        every: of so many updates, the first is measured; at least 1, below 2**31.
        sample: at most so many entries of a leaf are kept or counted, at least 1; fewer than 65536.
        groups: name -> rule, as of `route`: leaves measured together, as if they were one; what no rule fits is in the
            group "others". None: each leaf for itself, under its path.
        previous: compare with the update before.
        bins: of the histogram of rates: exponents of ten of its outer edges, and how many bins there are between,
            evenly spaced in the logarithm. The first and the last count what lies beyond them too.

    State: `WatchState` (count, steps, values, rates, previous, labels, inner). The inner state is as without watch.
    Raises: ValueError: a number out of range, a rule that fits no leaf; `params` not given; a state made for other
        leaves, stages or bins (under jit only their number and shapes are seen; new names and edges take the place of
        the old). TypeError: an argument of another kind.
    Source: optax has none; torch users log such numbers with hooks, which wait for the device at every step.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.watch(gradtx.sgd(0.1), every=1), {"w": jnp.array([3.0, 4.0])}
        >>> print(gradtx.readings(tx.update(w, tx.init(w), w)[1]).update_to_weight)
        [[0.1]]
    """
    require_counts(window, every, sample)
    low, high, count = require_bins(bins)
    require_groups(groups)
    if not isinstance(previous, bool):
        raise TypeError(f"previous must be True or False; got {describe(previous)}")
    members = stages(inner)
    names = tuple(name for name, _ in members)
    clips = tuple(is_clip(member) for _, member in members)
    marks = (REST, SAMPLE, MEASURE) if previous and every > 1 else (REST, MEASURE)
    setting = partial(Setting, clips, sample, low, high, count)

    def init(params):
        dtype, where = float_dtype(params), watched(params, groups, sample)
        shape = (window, len(where.names))
        return WatchState(
            zero_count(),
            jnp.full((window,), -1, jnp.int32),
            jnp.zeros((*shape, len(SCALARS) + len(members)), dtype),
            jnp.zeros((*shape, count), where.counts),
            jnp.zeros((where.sampled,), dtype) if previous else None,
            written(Labels(where.names, names, low, high, count)),
            inner.init(params),
        )

    def run(how, updates, state, params, **extra):
        where = watched(params, groups, sample)
        labels = Labels(where.names, names, low, high, count)
        require_fits(where, state, previous, labels)
        require_samples(where, state, params)
        if isinstance(state.labels, Tracer):  # not to be compared: names and edges are those of who measures now
            state = state._replace(labels=jnp.where(True, written(labels), state.labels))

        def made(how=how, updates=updates):
            return getattr(inner, how)(updates, state.inner, params, **extra)

        if not where.places:
            new, after = made()
            return new, state._replace(count=increment(state.count), inner=after)

        step = jnp.asarray(state.count) if isinstance(state.count, Tracer) else int(state.count)
        due, next_due = step % every == 0, (step + 1) % every == 0
        now = setting(jnp.asarray(state.values).dtype)

        def look():
            outs, after = run_stages(inner, updates, state.inner, params, **extra)
            return tuple(out for _, out in outs), after

        def noted(mark, outs=(), after=None):
            update = outs[-1] if outs else updates
            row, counts, held = *nothing(state), state.previous
            if mark == SAMPLE:
                held = samples(where.pick(jax.lax.stop_gradient(update)), now)
            elif mark == MEASURE:
                leaves = jax.lax.stop_gradient(leaves_of(where, updates, outs, after, params))
                row, counts, held = measure_update(leaves, where.group_of, len(where.names), held, now)
            return typed(Noted(row, counts, held, jnp.int32(mark)), state)

        if not isinstance(step, Tracer):
            mark = MEASURE if due else SAMPLE if next_due and SAMPLE in marks else REST
            if mark == REST:
                new, after = made()
            else:
                new, after, noted_now = _seen_once(how, updates, params, look(), partial(noted, mark))
                state = with_row(state, noted_now, due, step, every)
            return new, state._replace(count=increment(jnp.asarray(state.count)), inner=after)

        which = jnp.where(due, len(marks) - 1, jnp.where(next_due & (SAMPLE in marks), SAMPLE, REST))
        if any(map(callable, extra.values())):  # what evaluates the model is computed once

            def chosen(outs, after):
                return jax.lax.switch(which, [partial(noted, mark, outs, after) for mark in marks])

            new, after, noted_now = _seen_once(how, updates, params, look(), chosen)
        else:
            branches = [partial(noted, REST), *(lambda mark=mark: noted(mark, *look()) for mark in marks[1:])]
            noted_now = jax.lax.switch(which, branches)
            new, after = made(updates=_behind(noted_now.mark, updates))
        state = with_row(state, noted_now, due, step, every)
        return new, state._replace(count=increment(state.count), inner=after)

    return init, partial(run, "update"), partial(run, "step")


def _seen_once(how: str, updates: Any, params: Any, seen: tuple, note: Any) -> tuple[Any, Any, Noted]:
    """The result and the next state from the stages themselves, and what was noted of them."""
    outs, after = seen
    new = outs[-1] if outs else updates
    return apply_updates(params, new) if how == "step" else new, after, note(outs, after)


def _behind(mark: jax.Array, updates: Any) -> Any:
    """The updates, to be used after the measure only: else XLA copies the whole state, to measure the old one later.

    They take another value where a condition holds that never does, and of which XLA cannot know (0.10 drops barriers).
    """
    never = mark < 0

    def leaf(x: Any) -> Any:
        inexact = jnp.issubdtype(jnp.result_type(x), jnp.inexact)
        return jnp.where(never, jnp.zeros((), x.dtype), x) if inexact and isinstance(x, jax.Array) else x

    return jax.tree.map(leaf, updates)
