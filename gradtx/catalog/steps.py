"""Entries of what decides where steps land, and what happens to them over time."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.transforms.radial import floor_by_weight_norm, remove_radial
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
    Entry(
        remove_radial,
        "piece",
        "norms",
        usual={"factor": 1.0, "when": "always", "keep_norm": False, "axis": None, "axis_name": None},
        source="Prieto et al., arXiv:2501.04697, section 5.1",
        year=2025,
        settings={
            "": Setting(),
            "same norm": Setting(arguments={"keep_norm": True}),
            "outward": Setting(arguments={"factor": 0.5, "when": "outward"}),
        },
        laws={"needs_params": True},
    ),
    Entry(
        floor_by_weight_norm,
        "piece",
        "norms",
        usual={"ratio": 0.35, "axis": None, "axis_name": None},
        source="modded-nanogpt's speed runs",
        year=2026,
        laws={"needs_params": True},
    ),
)
