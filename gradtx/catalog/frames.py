"""Entries of what works in other coordinates."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.wrappers.frame import in_frame

ENTRIES = (
    Entry(
        in_frame,
        "wrapper",
        "coordinates",
        usual={"carry": None},
        settings={
            "": Setting(
                optax=Peer(
                    "contrib.split_real_and_imaginary",
                    differs="optax has no frames; this is `in_frame(tx, gradtx.frames.real_and_imaginary())`, and norms "
                    "of leaves are those of one part.",
                )
            )
        },
        optax_names=("split_real_and_imaginary",),
    ),
)
