"""The state of a watch: rings of readings, and how a step is written into them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.states import Exact


class WatchState(NamedTuple):
    """Fields: count, steps, values, rates, previous, labels, inner."""

    count: jax.Array  # updates done, int32 scalar; 0 at init
    steps: jax.Array  # the numbers of the measured updates, the first is 0; (window,), int32; -1 at init
    values: Exact  # numbers of each, (window, groups, numbers), float32 or wider; 0 at init
    rates: jax.Array  # counts of effective learning rates, (window, groups, bins), uint16 or int32; 0 at init
    previous: Exact  # a few entries of each leaf of the update before, in one row; 0 at init; None without `previous`
    labels: jax.Array  # names, stages and bins as the bytes of a text, uint8
    inner: Any  # the inner transformation's state


class Noted(NamedTuple):
    """What a step leaves: a row of numbers and one of counts for the rings, a sample for the next; its kind."""

    row: jax.Array
    counts: jax.Array
    held: Any
    mark: jax.Array


def nothing(state: WatchState) -> tuple[jax.Array, jax.Array]:
    """A row of each ring for a step that is not measured."""
    values, rates = state.values, state.rates
    return jnp.zeros(values.shape[1:], values.dtype), jnp.zeros(rates.shape[1:], rates.dtype)


def typed(noted: Noted, state: WatchState) -> Noted:
    """In the types of the state, on every branch."""
    held = None if state.previous is None else jnp.asarray(noted.held).astype(state.previous.dtype)
    return Noted(noted.row.astype(state.values.dtype), noted.counts.astype(state.rates.dtype), held, noted.mark)


def with_row(state: WatchState, noted: Noted, due: Any, step: Any, every: int) -> WatchState:
    """The state with a row of the rings written where this step was measured; a row is never read to be kept."""
    window = state.steps.shape[0]
    place = jnp.where(due, step // every % window, window)
    row, counts, held, _ = noted
    row, counts, held = jax.lax.stop_gradient((row, counts, held))

    def put(ring: Any, x: Any) -> jax.Array:
        return jnp.asarray(ring).at[place].set(x, mode="drop")

    steps, values, rates = put(state.steps, step), put(state.values, row), put(state.rates, counts)
    return state._replace(steps=steps, values=values, rates=rates, previous=held)
