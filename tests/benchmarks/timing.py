"""Interleaved measurement: every side once a round, in turned order, so that a slow minute meets all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np


class Spread(NamedTuple):
    """The median of some numbers, with their 10% and 90% quantiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g}-{self.high:.3g})"


def spread(numbers: Any) -> Spread:
    """The median and the 10% and 90% quantiles."""
    low, median, high = np.quantile(np.asarray(numbers, float), [0.1, 0.5, 0.9])
    return Spread(float(median), float(low), float(high))


def exactly(number: float) -> Spread:
    """A number that is counted, not measured."""
    return Spread(float(number), float(number), float(number))


def rounds(sides: Mapping[str, Callable[[], Any]], count: int) -> dict[str, list[Any]]:
    """What each side returned, round by round; every round begins with another side."""
    names, results = list(sides), {name: [] for name in sides}
    for k in range(count):
        turn = k % len(names)
        for name in names[turn:] + names[:turn]:
            results[name].append(sides[name]())
    return results


def ratio(ours: list[float], theirs: list[float]) -> Spread:
    """The spread of the quotients of pairs from the same rounds."""
    return spread(np.asarray(ours) / np.asarray(theirs))


def seconds(run: Callable[[], Any], times: int = 1) -> float:
    """How long one run takes, from several in a row; the last result is waited for."""
    start = time.perf_counter()
    for _ in range(times):
        out = run()
    jax.block_until_ready(out)
    return (time.perf_counter() - start) / times


def time_steps(sides: Mapping[str, Callable[[], Any]], budget: float, at_most: int = 50) -> dict[str, list[float]]:
    """Seconds of a run of each side, over as many rounds as fit the budget in seconds; at least five."""
    once = {name: min(seconds(run), seconds(run)) for name, run in sides.items()}  # the first warms it up
    times = {name: max(1, min(200, int(0.01 / t))) for name, t in once.items()}
    a_round = sum(once[name] * times[name] for name in sides)
    count = max(5, min(at_most, int(budget / a_round)))
    return rounds({name: lambda r=run, n=times[name]: seconds(r, n) for name, run in sides.items()}, count)


def time_compilation(function: Callable, *args: Any, donate: tuple[int, ...] = ()) -> tuple[dict[str, float], Any]:
    """Seconds to trace, to lower and to compile with JAX's caches empty, and the compiled program."""
    jax.clear_caches()
    gc.collect()
    at = [time.perf_counter()]
    traced = jax.jit(function, donate_argnums=donate).trace(*args)
    at.append(time.perf_counter())
    lowered = traced.lower()
    at.append(time.perf_counter())
    compiled = lowered.compile()
    at.append(time.perf_counter())
    trace, lower, compile_ = np.diff(at).tolist()
    return {"trace": trace, "lower": lower, "trace+lower": trace + lower, "compile": compile_}, compiled
