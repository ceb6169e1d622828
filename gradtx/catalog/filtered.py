"""Entries of filters of gradients."""

from __future__ import annotations

import math

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import UP_TO_ONE
from gradtx.transforms.filters import amplify_slow, nesterov_ema, reduce_variance, scale_by_optimistic_gradient

_PREVIOUS = {"count": "updates so far", "previous_gradient": "the last g"}

ENTRIES = (
    Entry(
        nesterov_ema,
        "piece",
        "filters",
        usual={"decay": 0.95},
        source="Jordan et al., Muon",
        year=2024,
        fields={"mu": "running mean of g"},
        normalizes=False,
    ),
    Entry(
        reduce_variance,
        "piece",
        "filters",
        usual={"gamma": 0.025, "decay": 0.95, "max_norm": 1.0, "axis_name": None},
        source="Yuan et al., arXiv:2411.10438",
        year=2024,
        settings={"": Setting(), "unbounded": Setting(arguments={"max_norm": math.inf})},
        fields=_PREVIOUS,
    ),
    Entry(
        amplify_slow,
        "piece",
        "filters",
        usual={"decay": 0.98, "factor": 2.0},
        source="Lee et al., arXiv:2405.20233",
        year=2024,
        fields={"count": "updates so far", "mu": "running mean of g"},
        ranges={"decay": UP_TO_ONE},
        normalizes=False,
    ),
    Entry(
        scale_by_optimistic_gradient,
        "piece",
        "filters",
        usual={"alpha": 1.0, "beta": 1.0},
        source="Mokhtari et al., arXiv:1901.08511",
        year=2020,
        settings={"": Setting(optax=Peer("scale_by_optimistic_gradient"))},
        fields=_PREVIOUS,
        normalizes=False,
    ),
)
