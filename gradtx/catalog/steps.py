"""Entries of what decides where steps land, and what happens to them over time."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.wrappers.project_onto import project_onto

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
)
