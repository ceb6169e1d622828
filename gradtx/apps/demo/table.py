"""The result of a race as a table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gradtx.apps.demo.train import TARGET, Curves, rank
from gradtx.text_table import aligned, dashes

HEADINGS = (
    ("", "", "loss on", "accuracy", f"steps to {TARGET:.0%}", "seconds", "seconds with"),
    ("optimizer", "rate", "training", "on test", "on test", "to train", "compilation"),
)


def table(curves: Mapping[str, Curves], *, all_rates: bool = False) -> str:
    """Rows of text, best first: the best rate of each optimizer, or every rate.

    Args:
        curves: by the optimizer's name.
        all_rates: a row for every rate; else for the best one alone.
    """
    places = [(name, i) for name, c in curves.items() for i in c.ranking[: None if all_rates else 1]]
    places.sort(key=lambda at: rank(curves[at[0]].train_loss[at[1], -1], curves[at[0]].test_accuracy[at[1], -1]))
    rows = [_row(name, curves[name], i) for name, i in places]
    return "\n".join(aligned([*HEADINGS, dashes([*HEADINGS, *rows]), *rows]))


def _row(name: str, c: Curves, i: int) -> list[str]:
    loss, steps = c.train_loss[i, -1], c.steps_to(TARGET, i)
    return [
        name,
        f"{c.rates[i]:g}",
        f"{loss:.1e}" if math.isfinite(loss) else "diverged",
        f"{c.test_accuracy[i, -1]:.2%}",
        "never" if steps is None else f"{steps:,}",
        f"{c.seconds_training:.2f}",
        f"{c.seconds_compiling + c.seconds_training:.2f}",
    ]
