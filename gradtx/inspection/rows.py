"""What `explain` tells of each leaf, as data."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp

from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.inspection.explain_measures import Measured, Part
from gradtx.inspection.words import degrees, said

NAN = math.nan


@dataclasses.dataclass(frozen=True)
class StageRow:
    """What one member did to one leaf.

    stage: the member's name, after those of the wrappers and groups that it is in (`accumulate/scale_by_adam`).
    says: what it did. norm_in, norm_out, rms_in, rms_out: Euclidean norm and root mean square of the leaf's updates
    before and after. angle: between the two, in degrees; NaN where one is zero. way: "" for a member; of a wrapper "in"
    for what it does before its inside, "out" for what it does after.
    """

    stage: str
    says: str
    norm_in: float
    norm_out: float
    rms_in: float
    rms_out: float
    angle: float
    way: str = ""


@dataclasses.dataclass(frozen=True)
class LeafRow:
    """One leaf in one step. Numbers are NaN where the leaf is not trained, or where there is nothing to divide by.

    leaf: its path. shape, dtype: of the parameter; dtype is "None" where there is none. trained: whether it takes part.
    gradient, weight, update: Euclidean norms. update_rms: root mean square. ratio: update/weight. rate, rate_least,
    rate_largest: the effective learning rate |u|/|g| of the entries with a gradient: median (of at most 16,384 entries,
    evenly spaced) and range. cosine_to_gradient: as of `watch`, 1 where the
    update is straight downhill, -1 uphill. zeros, nonfinite:
    share of the update's entries that are zero, number of those that are not finite; zeros_in, nonfinite_in: of the
    gradient's. moment_least, moment_largest: range of the second moments after this step. stalled: of the entries with
    an update, the share whose parameter is rounded back to what it was. stages: what each member did, in order.
    """

    leaf: str
    shape: tuple[int, ...]
    dtype: str
    trained: bool
    gradient: float = NAN
    weight: float = NAN
    update: float = NAN
    update_rms: float = NAN
    ratio: float = NAN
    rate: float = NAN
    rate_least: float = NAN
    rate_largest: float = NAN
    cosine_to_gradient: float = NAN
    zeros: float = NAN
    zeros_in: float = NAN
    nonfinite: int = 0
    nonfinite_in: int = 0
    moment_least: float = NAN
    moment_largest: float = NAN
    stalled: float = NAN
    stages: tuple[StageRow, ...] = ()

    @property
    def size(self) -> int:
        """How many entries it has."""
        return math.prod(self.shape) if self.dtype != "None" else 0


def leaf_rows(measured: Measured, grads: Any, params: Any) -> tuple[LeafRow, ...]:
    """One row for each leaf, in the order of the parameters."""
    parts = [part for part in measured.parts if part.ran is None or part.ran]
    leaves = zip(leaf_names(params), flatten(params)[0], flatten(grads)[0], strict=True)
    return tuple(_row(k, *leaf, measured, parts) for k, leaf in enumerate(leaves))


def _row(k: int, name: str, param: Any, grad: Any, measured: Measured, parts: list[Part]) -> LeafRow:
    dtype = "None" if param is None else str(getattr(param, "dtype", type(param).__name__))
    if not is_trained(param) or k not in measured.updates:
        return LeafRow(name, shape_of(param), dtype, is_trained(param))
    size = math.prod(shape_of(param))
    numbers = size * (2 if any(jnp.iscomplexobj(x) for x in (param, grad) if hasattr(x, "dtype")) else 1)
    g, w, u = measured.gradients[k], measured.params[k], measured.updates[k]
    rate, moved = measured.rates[k], measured.moved[k]
    moments = [field[k] for part in parts for field in part.moments.values() if k in field]
    least, largest = (float(rate[end]) for end in ("least", "largest"))
    return LeafRow(
        name,
        shape_of(param),
        dtype,
        True,
        gradient=float(g["norm"]),
        weight=float(w["norm"]),
        update=float(u["norm"]),
        update_rms=float(u["norm"]) / size**0.5,
        ratio=_over(u["norm"], w["norm"]),
        rate=float(rate["median"]),
        rate_least=least if least <= largest else NAN,
        rate_largest=largest if least <= largest else NAN,
        cosine_to_gradient=float(measured.against[k]["cosine"]),
        zeros=_zeros(u, size, numbers),
        zeros_in=_zeros(g, size, numbers),
        nonfinite=int(u["nonfinite"]),
        nonfinite_in=int(g["nonfinite"]),
        moment_least=min((float(m["least"]) for m in moments), default=NAN),
        moment_largest=max((float(m["largest"]) for m in moments), default=NAN),
        stalled=_over(moved["stalled"], moved["due"]),
        stages=tuple(_stage(k, size, part) for part in parts if _has_part(k, part)),
    )


def _has_part(k: int, part: Part) -> bool:
    """Whether a member is worth a line for this leaf: a wrapper that only passes on is not."""
    return k in part.before and (not part.way or (k in part.change and part.change[k]["changed"] > 0))


def _stage(k: int, size: int, part: Part) -> StageRow:
    before, after = float(part.before[k]["norm"]), float(part.after[k]["norm"])
    return StageRow(
        part.place,
        said(part, k),
        before,
        after,
        before / size**0.5,
        after / size**0.5,
        degrees(part.change[k]["cosine"]) if k in part.change else (0.0 if before else NAN),
        part.way,
    )


def _zeros(sizes: dict[str, Any], size: int, numbers: int) -> float:
    return float(sizes["zeros"]) / numbers if size else NAN


def _over(x: Any, y: Any) -> float:
    return float(x) / float(y) if y else NAN
