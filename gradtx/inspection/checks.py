"""What a watch refuses: arguments of another kind, and states that were made for other leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.errors import describe, whole
from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.inspection.labels import Labels, as_bytes, read
from gradtx.inspection.rings import WatchState
from gradtx.inspection.seen import Watched
from gradtx.inspection.watch_measures import SCALARS
from gradtx.wrappers.rules import is_rule

ANEW = "make it with this transformation's own init; new._replace(inner=old.inner) keeps what the optimizer has learned"


def require_counts(window: Any, every: Any, sample: Any) -> None:
    whole(1, window=window, every=every, sample=sample)
    for name, value, most in (("window", window, 2**31), ("every", every, 2**31), ("sample", sample, 2**16)):
        if value >= most:
            raise ValueError(f"{name} must be below {most}; got {value}")


def require_bins(bins: Any) -> tuple[float, float, int]:
    """The exponents of the outer edges, and how many bins; an error for anything else."""
    if not (isinstance(bins, tuple | list) and len(bins) == 3):
        raise TypeError(f"bins must be (exponent of the first edge, of the last, how many); got {describe(bins)}")
    low, high, count = bins
    whole(1, bins=count)
    if not (-100 <= low < high <= 100):
        raise ValueError(f"bins must rise from one power of ten to another, between -100 and 100; got {bins!r}")
    return float(low), float(high), int(count)


def require_groups(groups: Any) -> None:
    """Raise unless these are names with rules, or None."""
    if groups is None:
        return
    if not isinstance(groups, Mapping):
        raise TypeError(f"groups must be a dict, name -> rule; got {describe(groups)}")
    for name, rule in groups.items():
        if not isinstance(name, str) or not is_rule(rule):
            kinds = "a glob, a compiled expression, a function of (path, leaf), or a tuple of these"
            raise TypeError(f"groups: a name is a string, and a rule {kinds}; got {name!r}: {describe(rule)}")
    if "others" in groups:
        raise ValueError("groups: 'others' is the name of what no rule fits: give the group another name")


def require_fits(where: Watched, state: WatchState, previous: bool, labels: Labels) -> None:
    """Raise ValueError where the rings were made for other numbers than those that would be written into them."""
    window, groups, numbers = shape_of(state.steps), len(where.names), len(SCALARS) + len(labels.stages)
    values, rates = shape_of(state.values), shape_of(state.rates)
    if values != (*window, groups, numbers) or (state.previous is None) == previous:
        held = (0, 0, *values)[-2:]
        raise ValueError(
            f"watch: the state was made for {held[0]} leaves or groups and {held[1] - len(SCALARS)} stages, or with "
            f"another `previous`; here are {groups} and {numbers - len(SCALARS)}: {ANEW}"
        )
    if rates != (*window, groups, labels.bins):
        had = (0, *rates)[-1]
        raise ValueError(f"watch: the state counts rates in {had} bins, and `bins` asks for {labels.bins}: {ANEW}")
    if state.rates.dtype == jnp.uint16 and where.counts != jnp.uint16:
        raise ValueError(f"watch: the state counts fewer than 65536 entries, with a smaller `sample` than here: {ANEW}")
    _require_labels(state.labels, labels)


def _require_labels(text: Any, labels: Labels) -> None:
    """Raise where names, stages or edges are others, as far as they can be seen: under jit by their length alone."""
    wanted = as_bytes(labels)
    if isinstance(text, Tracer):
        if shape_of(text) != (len(wanted),):
            raise ValueError(f"watch: the state was made for other names of leaves, groups or stages, or bins: {ANEW}")
        return
    if np.asarray(text).tobytes() == wanted:
        return
    held = read(text)
    for what, had, here in (
        ("leaves or groups", held.names, labels.names),
        ("stages", held.stages, labels.stages),
        ("bins", held[2:], labels[2:]),
    ):
        if had != here:
            differ = [pair for pair in zip(had, here, strict=False) if pair[0] != pair[1]]
            old, new = (had, here) if what == "bins" or not differ else differ[0]
            raise ValueError(f"watch: the state was made for the {what} {old!r}, and here are {new!r}: {ANEW}")


def require_samples(where: Watched, state: WatchState, params: Any) -> None:
    """Raise where the entries that were kept of the update before are not as many as these leaves give."""
    if state.previous is None or state.previous.shape == (where.sampled,):
        return
    leaves = zip(leaf_names(params), flatten(params)[0], strict=True)
    shapes = [f"{name} {shape_of(x)}" for name, x in leaves if is_trained(x)]
    said = ", ".join(shapes[:16]) + (", ..." if len(shapes) > 16 else "")
    raise ValueError(
        f"watch: the state holds a sample of {state.previous.shape[0]} entries, and {where.sampled} "
        f"belong to these leaves: {said}; it was made for leaves of other shapes, or with another `sample`"
    )
