"""Entries of what divides by a second moment that may be smaller than its parameter."""

from __future__ import annotations

from gradtx import moments
from gradtx.catalog.entry import Entry
from gradtx.transforms.ratio import divide_by_rms

ENTRIES = (
    Entry(
        divide_by_rms,
        "wrapper",
        "quotients",
        usual={"b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "bias_correction": True, "moment": moments.full()},
        source="Kingma & Ba, arXiv:1412.6980, algorithm 1, with any numerator",
        year=2015,
    ),
)
