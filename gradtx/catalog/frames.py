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
                    differs="This is `in_frame(tx, gradtx.frames.real_and_imaginary())`. optax has no other frames, "
                    "and makes two leaves of one, so norms of leaves are those of one part.",
                )
            )
        },
        optax_names=("split_real_and_imaginary",),
    ),
)
