"""Entries of what decides where steps land, and what happens to them over time."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.wrappers.outer import outer
from gradtx.wrappers.project_onto import project_onto
from gradtx.wrappers.restart import restart

ENTRIES = (
    Entry(
        project_onto,
        "wrapper",
        "where steps land",
        source="Goldstein, doi:10.1090/S0002-9904-1964-11178-2",
        year=1964,
        settings={
            "": Setting(optax=Peer("keep_params_nonnegative", differs="optax's is one of the sets, nonnegative()."))
        },
        optax_names=("keep_params_nonnegative",),
    ),
    Entry(
        outer,
        "wrapper",
        "averages",
        usual={"every": 30},
        source="Douillard et al., arXiv:2311.08105, algorithm 1",
        year=2023,
    ),
    Entry(
        restart,
        "wrapper",
        "when",
        usual={"every": 500, "warmup": 150},
        source="Huang et al., arXiv:2501.06842, section 4",
        year=2025,
    ),
)
