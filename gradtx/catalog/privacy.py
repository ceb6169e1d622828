"""Entries of transformations that work on the gradients of single examples."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.transforms.privacy import differentially_private_aggregate

ENTRIES = (
    Entry(
        differentially_private_aggregate,
        "aggregate",
        "privacy",
        optax_absent={"seed": "key"},
        usual={"l2_norm_clip": 1.0, "noise_multiplier": 1.0, "key": 3},
        source="Abadi et al., arXiv:1607.00133, algorithm 1",
        year=2016,
        settings={
            "": Setting(
                optax=Peer(
                    "contrib.differentially_private_aggregate",
                    {"seed": None},
                    differs="optax draws other random numbers, and lets examples that are not finite through.",
                )
            )
        },
        fields={"count": "updates so far", "rng_key": "the random key"},
    ),
)
