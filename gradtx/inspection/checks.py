"""What a watch refuses: arguments of another kind, and states that were made for other leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradtx.core.errors import describe, whole
from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.inspection.measures import SCALARS
from gradtx.inspection.rings import WatchState
from gradtx.inspection.seen import Watched, kept_samples
from gradtx.wrappers.rules import is_rule


def require_bins(bins: Any) -> tuple[float, float, int]:
    if not (isinstance(bins, tuple | list) and len(bins) == 3):
        raise TypeError(f"bins must be (exponent of the first edge, of the last, how many); got {describe(bins)}")
    low, high, count = bins
    whole(1, bins=count)
    if not (-100 <= low < high <= 100):
        raise ValueError(f"bins must rise from one power of ten to another, between -100 and 100; got {bins!r}")
    return float(low), float(high), int(count)


def require_groups(groups: Any) -> None:
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


def require_fits(where: Watched, state: WatchState, previous: bool, numbers: int) -> None:
    held, wanted = state.values.shape[1:], (len(where.names), numbers)
    if held != wanted or (state.previous is None) == previous:
        raise ValueError(
            f"watch: the state was made for {held[0]} leaves or groups and {held[1] - len(SCALARS)} stages, or with "
            f"another `previous`; here are {wanted[0]} and {wanted[1] - len(SCALARS)}: make it with this "
            f"transformation's own init; new._replace(inner=old.inner) keeps what the optimizer has learned"
        )


def require_samples(where: Watched, state: WatchState, params: Any, sample: int) -> None:
    if state.previous is None or state.previous.shape == (kept_samples(params, where, sample),):
        return
    leaves = zip(leaf_names(params), flatten(params)[0], strict=True)
    shapes = [f"{name} {shape_of(x)}" for name, x in leaves if is_trained(x)]
    said = ", ".join(shapes[:16]) + (", ..." if len(shapes) > 16 else "")
    had, here = state.previous.shape[0], kept_samples(params, where, sample)
    raise ValueError(
        f"watch: the state holds a sample of {had} entries, and {here} "
        f"belong to these leaves: {said}; it was made for leaves of other shapes, or with another `sample`"
    )
