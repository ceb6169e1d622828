"""The readings of a watch on the host: as arrays, as rows for a log, as a table."""

from __future__ import annotations

import dataclasses
import html
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from gradtx.inspection.watch_row import ABSENT, SCALARS
from gradtx.inspection.watch_state import Labels, WatchState
from gradtx.text_table import aligned
from gradtx.wrappers.lookup import the_state

COLUMNS = (
    ("gradient", "grad_norm"),
    ("update RMS", "update_rms"),
    ("update/weight", "update_to_weight"),
    ("cos -g", "cosine_to_gradient"),
    ("cos before", "cosine_to_previous"),
    ("clipped", "clipped"),
    ("nonfinite", "nonfinite"),
    ("zeros", "zeros"),
)
"""Columns of the table: title, and which reading it shows."""


@dataclasses.dataclass(frozen=True, eq=False)
class Readings:
    """The measured steps of a watch, in order: n steps, g leaves or groups, s stages, b bins.

    A number that does not apply is NaN. It prints as a table of the last step, in a notebook too.

    steps: the numbers of the updates, the first is 0; (n,), rising. names: of the leaves or groups. stages: names of
    the members of the chain. grad_norm, update_rms, update_to_weight, cosine_to_gradient, cosine_to_previous,
    sign_agreement, clipped, nonfinite, zeros, second_moment_min, second_moment_max: (n, g), as `watch` defines them.
    stage_norm: (n, s, g), the norm after each stage. rate_counts: (n, g, b), entries by their effective learning rate
    |update|/|gradient|. rate_edges: (b + 1,), the edges of the bins, in parameter units per unit of the gradient; the
    first and the last bin also count what lies beyond them.
    """

    steps: np.ndarray
    names: tuple[str, ...]
    stages: tuple[str, ...]
    grad_norm: np.ndarray
    stage_norm: np.ndarray
    update_rms: np.ndarray
    update_to_weight: np.ndarray
    cosine_to_gradient: np.ndarray
    cosine_to_previous: np.ndarray
    sign_agreement: np.ndarray
    clipped: np.ndarray
    nonfinite: np.ndarray
    zeros: np.ndarray
    second_moment_min: np.ndarray
    second_moment_max: np.ndarray
    rate_counts: np.ndarray
    rate_edges: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def last(self) -> Readings:
        """The last measured step alone; empty where there is none."""
        return self._taken(slice(-1, None))

    def since(self, step: int) -> Readings:
        """The measured steps from this one on."""
        return self._taken(self.steps >= step)

    def records(self) -> list[dict[str, Any]]:
        """Flat rows for a log: `{"step": 10, "grad_norm/layers/0/w": 0.5, "stage_norm/scale_by_adam/layers/0/w": ...}`.

        Histograms are not in them: a row has one number for each column.
        """
        rows: list[dict[str, Any]] = []
        for k, step in enumerate(self.steps):
            row: dict[str, Any] = {"step": int(step)}
            for field in SCALARS:
                values = getattr(self, field)[k]
                row.update({f"{field}/{name}": float(x) for name, x in zip(self.names, values, strict=True)})
            for stage, values in zip(self.stages, self.stage_norm[k], strict=True):
                row.update({f"stage_norm/{stage}/{name}": float(x) for name, x in zip(self.names, values, strict=True)})
            rows.append(row)
        return rows

    def __str__(self) -> str:
        head, body = self._table()
        if not len(self):
            return f"no readings yet, of {len(self.names)} leaves or groups"
        lines = aligned([head, *body])
        return "\n".join([self._caption(), lines[0], "-" * max(map(len, lines)), *lines[1:]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, body = self._table()
        if not len(self):
            return f"<p>{html.escape(str(self))}</p>"

        def row(cells: list[str], tag: str) -> str:
            first, *others = (html.escape(x) for x in cells)
            right = "".join(f'<{tag} style="text-align: right">{x}</{tag}>' for x in others)
            return f'<tr><{tag} style="text-align: left">{first}</{tag}>{right}</tr>'

        rows = "".join(row(cells, "td") for cells in body)
        caption = html.escape(self._caption())
        return f"<table><caption>{caption}</caption><thead>{row(head, 'th')}</thead><tbody>{rows}</tbody></table>"

    def _caption(self) -> str:
        first, last = int(self.steps[0]), int(self.steps[-1])
        return f"step {last}" + (f", the last of {len(self)} readings since step {first}" if len(self) > 1 else "")

    def _table(self) -> tuple[list[str], list[list[str]]]:
        shown = [(title, getattr(self, field)[-1:]) for title, field in COLUMNS]
        shown = [(title, x) for title, x in shown if title != "clipped" or not np.all(np.isnan(x))]
        head = ["", *(title for title, _ in shown)]
        return head, [[name, *(_number(x[-1, g]) for _, x in shown)] for g, name in enumerate(self.names) if len(self)]

    def _taken(self, which: Any) -> Readings:
        whole = ("names", "stages", "rate_edges")
        taken = {f.name: getattr(self, f.name)[which] for f in dataclasses.fields(self) if f.name not in whole}
        return dataclasses.replace(self, **taken)


def readings(state: Any) -> Readings:
    """Fetch what a `watch(...)` has measured, wherever its state is inside this one: in a chain, in other wrappers.

    This waits for the device and copies some numbers from it: call it now and then, not at every step.

    Args:
        state: the state of a transformation, or any tree that holds it.

    Returns: `Readings`: the last `window` measured steps, in order.
    Raises: ValueError: there is no state of a watch in it, or there are several; a batch of states. TypeError: a
        transformation in the place of its state; a state inside a traced function.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.watch(gradtx.sgd(0.1), every=1), {"w": jnp.array([3.0, 4.0])}
        >>> print(gradtx.readings(tx.update(w, tx.init(w), w)[1]))
        step 0
           gradient  update RMS  update/weight  cos -g  cos before  nonfinite  zeros
        ----------------------------------------------------------------------------
        w         5       0.354            0.1       1           -          0      0
    """
    found = the_state("readings", WatchState, "watch", state)
    if any(isinstance(x, Tracer) for x in found[:-1]):
        raise TypeError(
            "readings: this state is traced; call it outside of jit, with what the jitted function returned"
        )
    steps, values, rates, labels = jax.device_get((found.steps, found.values, found.rates, found.labels))
    if np.ndim(found.count):
        n = np.shape(found.count)
        raise ValueError(
            f"readings: this state is a batch of shape {n}; take one: readings(jax.tree.map(lambda x: x[0], state))"
        )
    said = Labels.read(labels)
    order = np.argsort(steps, kind="stable")
    order = order[steps[order] >= 0]
    values = np.asarray(values)[order]
    values = np.where(values == ABSENT, np.nan, values)
    numbers = dict(zip(SCALARS, np.moveaxis(values[..., : len(SCALARS)], -1, 0), strict=True))
    return Readings(
        steps=np.asarray(steps)[order],
        names=said.names,
        stages=said.stages,
        stage_norm=np.moveaxis(values[..., len(SCALARS) :], -1, 1),
        rate_counts=np.asarray(rates)[order].astype(np.float64),
        rate_edges=np.logspace(*said.bins[:2], said.bins[2] + 1),
        **numbers,
    )


def _number(x: float) -> str:
    return "-" if np.isnan(x) else f"{x:.3g}"
