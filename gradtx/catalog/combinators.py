"""Entries of what holds several transformations at once, or bends the step of one to another."""

from __future__ import annotations

from gradtx.catalog.entry import Entry
from gradtx.wrappers.branches import add
from gradtx.wrappers.cautious import cautious
from gradtx.wrappers.graft import graft, keep_norm

ENTRIES = (
    Entry(add, "wrapper", "several"),
    Entry(
        graft,
        "wrapper",
        "several",
        usual={"per": "leaf", "axis_name": None},
        source="Agarwal et al., arXiv:2002.11803",
        year=2020,
    ),
    Entry(keep_norm, "wrapper", "several", usual={"per": "leaf", "axis_name": None}),
    Entry(
        cautious,
        "wrapper",
        "several",
        usual={"floor": 1e-3, "sign": None, "axis_name": None},
        source="Liang et al., arXiv:2411.16085, algorithm 1",
        year=2024,
    ),
)
