"""One step explained: what each stage did to each leaf, and what looks wrong."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.leaves import apply_updates, float_dtype
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import is_schedule
from gradtx.core.states import HyperparametersState
from gradtx.core.traits import Divisor
from gradtx.core.transformation import as_transformation
from gradtx.core.trees import flatten, is_trained, path_name, require_same_tree, shape_of
from gradtx.inspection.findings import Finding, find
from gradtx.inspection.measure import Stacks, numbers, of_one_kind, some_of
from gradtx.inspection.readings import readings
from gradtx.inspection.render import page, table, text
from gradtx.inspection.rows import LeafRow, Measured, Part, leaf_rows
from gradtx.inspection.stages import Record, look, plain
from gradtx.placement import abstract
from gradtx.roles import declared_roles


@dataclasses.dataclass(frozen=True)
class Explanation:
    """A step, as data.

    call: the transformation, as it prints. rows: one for each leaf, with what each stage did to it. findings: the most
    severe first.

    It prints as a table of 120 columns, the leaves with findings first; a notebook shows a table with bars. Of many
    leaves both show the first ones, and `rows` has all.
    """

    call: str
    rows: tuple[LeafRow, ...]
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        return text(self.call, self.rows, self.findings)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return table(self.call, self.rows, self.findings)

    def to_html(self, path: str | Path) -> Path:
        """Write one HTML page with all leaves, which loads nothing; returns its path."""
        path = Path(path)
        path.write_text(page(self.call, self.rows, self.findings), encoding="utf-8")
        return path


def explain(tx: Any, grads: Any, state: Any, params: Any, **extra: Any) -> Explanation:
    """Run one step stage by stage, and say what each stage did to each leaf, and what looks wrong.

    Nothing is changed: the state is not advanced, and the parameters stay. The step is compiled once for each
    transformation and shape. Wrappers run as they are, around an inside that is looked at. One that runs its inside in
    a branch or a loop of its own, without `conditional`, is shown as one stage. The thresholds are constants of
    `gradtx.inspection.findings`.

    Args:
        tx: a transformation.
        grads, state, params: as for its `update`: the state from before the step. With a `watch` in it, clipping is
            judged over the steps that it has kept.
        **extra: the extra arguments of its update, `value` or `grad_fn` for example.

    Returns: an `Explanation`, which prints as a table, has `rows` and `findings`, and `to_html(path)`.
    Raises: whatever `tx.update` raises. TypeError: under jit or vmap, where there are no numbers to look at.
        ValueError: a batch; a state for other parameters; no parameters.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(0.5)), {"w": jnp.ones(2)}
        >>> for finding in gradtx.explain(tx, {"w": jnp.array([3.0, 4.0])}, tx.init(w), w).findings:
        ...     print(finding.severity, finding.sentence)
        note clipped in this step: norm 1, was 5
        note the update is 0.35 times the weights (norms 0.5, 1.41), as it may be of a vector
    """
    tx = as_transformation("tx", tx)
    if any(isinstance(x, Tracer) for x in jax.tree.leaves((tx, grads, state, params))):
        raise TypeError("explain looks at numbers: call it outside jit, vmap and grad, with the arrays of one step")
    if params is None:
        raise ValueError("explain needs the parameters: call explain(tx, grads, state, params)")
    require_same_tree("gradient", grads, "parameter", params)
    _require_state(tx, state, params)
    measured = measure_step(tx, grads, state, params, extra)
    rows = leaf_rows(measured, params)
    return Explanation(repr(tx), rows, find(rows, measured, _clipped(state)))


def measure_step(tx: GradientTransformation, grads: Any, state: Any, params: Any, extra: dict[str, Any]) -> Measured:
    """Run one update in one program; its numbers, on the host."""
    static = {k: x for k, x in extra.items() if isinstance(x, bool | str) or callable(x)}
    arrays = {k: x for k, x in extra.items() if k not in static}
    key = (tx, tuple(sorted(static.items())))
    grads = jax.tree.map(lambda g: g if is_trained(g) else None, grads, is_leaf=lambda x: x is None or is_trained(x))
    try:
        hash(key)
        program = functools.partial(_program, key)
    except TypeError:  # an argument without a hash, for example a list in a dict: compiled again each time
        program = jax.jit(functools.partial(_measured, key))
    return jax.device_get(program(grads, state, params, arrays))


def _measured(key: tuple, grads: Any, state: Any, params: Any, arrays: dict[str, Any]) -> Measured:
    tx, static = key
    updates, _, log = look(tx, grads, state, params, {**arrays, **dict(static)}, inside=True)
    columns = [flatten(tree)[0] for tree in (grads, updates, params, apply_updates(params, updates))]
    stacks = Stacks(float_dtype(*columns), copies=True)
    return Measured(tuple(_part(stacks, record) for record in log), stacks.each(_of_the_step, *columns))


_program = jax.jit(_measured, static_argnums=0)


def _part(stacks: Stacks, record: Record) -> Part:
    piece, state = record.piece, plain(record.state)
    given = {k: x for k, x in piece.hypers.items() if x is not None and not is_schedule(x)}
    if isinstance(record.state, HyperparametersState):
        given |= record.state.hyperparameters
    divides = piece.own_traits.divides
    divisors = divides({**piece.arguments, **given}, state) if divides and not record.way else {}
    moments = {}
    for field, role in declared_roles(type(state)).items():
        leaves = flatten(getattr(state, field))[0] if role in ("nonnegative", "magnitude") else []
        if len(leaves) == len(record.before):
            fits = [is_trained(v) and shape_of(g) == shape_of(v) for g, v in zip(record.before, leaves, strict=True)]
            before = [g if fit else None for g, fit in zip(record.before, fits, strict=True)]
            use = functools.partial(_of_a_moment, divisors.get(field, Divisor()))
            moments[field] = stacks.each(use, before, leaves)
    # What a wrapper only passes on needs no line, and no numbers.
    rows = zip(record.before, record.after, strict=True)
    before = [None if record.way and b is a else b for b, a in rows]
    traits = dataclasses.replace(piece.own_traits, clips=piece.traits.clips and not record.way)
    return Part(
        place=record.place,
        way=record.way,
        closed=record.closed,
        traits=traits,
        rests=piece.branch is not None,
        places=tuple(k for k, x in enumerate(record.before) if is_trained(x)),
        ran=record.ran,
        given={name: jnp.asarray(x) for name, x in given.items()},
        change=stacks.each(_of_a_change, before, record.after),
        moments=moments,
    )


def _of_a_change(before: jax.Array, after: jax.Array, valid: Any) -> dict[str, jax.Array]:
    x, y = of_one_kind(before, after)
    changed = (x != y) & ~(jnp.isnan(x) & jnp.isnan(y))
    both = {"before": before, "after": after}
    return numbers(both, pair=("before", "after"), counted=both, counts={"changed": changed})


def _of_a_moment(use: Divisor, g: jax.Array, v: jax.Array, valid: Any) -> dict[str, jax.Array]:
    """alive: entries that are not zero. dead: those that are zero where the gradient is not. dwarfed: those alive whose
    root is below eps."""
    corrected = v / jnp.asarray(use.weight, v.dtype)
    inside, outside = (jnp.asarray(x, v.dtype) for x in (use.eps_inside, use.eps_outside))
    small = (inside > corrected) | (outside > jnp.sqrt(corrected))
    counts = {"alive": v > 0, "dead": (v == 0) & (g != 0), "dwarfed": (v > 0) & small}
    return numbers({}, counts=counts, ranged=[v], among=~jnp.isnan(v) if valid is None else valid & ~jnp.isnan(v))


def _of_the_step(g: jax.Array, u: jax.Array, p: jax.Array, new: jax.Array, valid: Any) -> dict[str, jax.Array]:
    rates = jnp.where((g != 0) & jnp.isfinite(g), jnp.abs(u) / jnp.where(g == 0, 1, jnp.abs(g)), jnp.nan)
    found = numbers(
        {"gradient": g, "update": u, "weight": p},
        pair=("gradient", "update"),
        counted=("gradient", "update"),
        counts={"stalled": (u != 0) & (new == p)},
        ranged=[rates],
        among=~jnp.isnan(rates),
    )
    return {**found, "median": _median(rates)}


def _clipped(state: Any) -> tuple[int, int]:
    """In how many measured steps a watch has seen a clip at work, and how many it has; (0, 0) without one watch."""
    try:
        seen = readings(state)
    except ValueError:  # none, or several
        return 0, 0
    return int(np.sum(np.any(seen.clipped > 0, axis=1))), len(seen)


def _require_state(tx: Any, state: Any, params: Any) -> None:
    """Raise ValueError where the state has other shapes than that of these parameters: of others, or of a batch."""
    made = jax.eval_shape(tx.init, abstract(params))
    if jax.tree.structure(made) != jax.tree.structure(state):
        return  # the update knows better what to say
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    for (path, x), like in zip(leaves, jax.tree.leaves(made), strict=True):
        if shape_of(x) != shape_of(like):
            batch = shape_of(x)[1:] == shape_of(like)
            hint = ": is it a batch? take one, jax.tree.map(lambda x: x[0], state)" if batch else ""
            raise ValueError(
                f"the state at {path_name(path)} has shape {shape_of(x)}, where these parameters need "
                f"{shape_of(like)}{hint}"
            )


def _median(x: jax.Array) -> jax.Array:
    """The median of each leaf of a stack, NaN left out, of a sample where it is large; NaN where there is none."""
    ordered = jnp.sort(some_of(x).reshape(x.shape[0], -1), axis=1)  # NaN comes last
    n = jnp.sum(~jnp.isnan(ordered), axis=1, keepdims=True)
    middle = [jnp.take_along_axis(ordered, place, axis=1)[:, 0] for place in (jnp.maximum(n - 1, 0) // 2, n // 2)]
    at_end = n[:, 0] // 2 >= ordered.shape[1]
    return jnp.where(at_end, middle[0], (middle[0] + middle[1]) / 2)
