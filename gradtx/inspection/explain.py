"""One step, told member by member: what each did to each leaf, and where something looks wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from gradtx.core.transformation import as_transformation
from gradtx.core.trees import path_name, require_same_tree, shape_of
from gradtx.inspection.explain_html import page, table
from gradtx.inspection.explain_measures import measure_step
from gradtx.inspection.explain_text import text
from gradtx.inspection.findings import Finding, find
from gradtx.inspection.readings import readings
from gradtx.inspection.rows import LeafRow, leaf_rows
from gradtx.placement import abstract


@dataclasses.dataclass(frozen=True)
class Explanation:
    """A step, as data: rows, one for each leaf, with what each member did to it; findings, the most severe first.

    It prints as a table of 120 columns, the leaves with findings first; in a notebook as one with bars. Where there are
    many leaves both show the first ones, and `rows` has all. call: the transformation, as it prints.
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
        """Write one page that needs nothing else, all leaves in it; the path, as it was written."""
        path = Path(path)
        path.write_text(page(self.call, self.rows, self.findings), encoding="utf-8")
        return path


def explain(tx: Any, grads: Any, state: Any, params: Any, **extra: Any) -> Explanation:
    """Run one step stage by stage, and tell what each member did to each leaf, and what looks wrong.

    Nothing is changed: the state is not advanced, and the parameters stay. The step is compiled once for each
    transformation and shape. Wrappers run as they are, round an inside that is looked at; one that runs its inside
    under a condition or in a loop, and is not known here, is one stage. Thresholds are constants of
    `gradtx.inspection.findings`.

    Args:
        tx: a transformation.
        grads, state, params: as of its `update`: the state from before the step. With a `watch` in it, clipping is
            judged over the steps that it has kept.
        **extra: the extra arguments of its update: `value`, `grad_fn`.

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
    rows = leaf_rows(measured, grads, params)
    return Explanation(repr(tx), rows, find(rows, measured, _clipped(state)))


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
