"""Entries of methods that estimate the curvature from functions of the loss."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import Range
from gradtx.optimizers.sophia import scale_by_sophia, scale_by_sophia_g, sophia, sophia_g

_SCALING = {"b1": 0.965, "b2": 0.99, "eps": 1e-12, "gamma": 0.01, "clip_threshold": 1.0, "update_interval": 10}
_G = {**_SCALING, "gamma": 0.05, "batch_size": 64.0}
_DECAY = {"weight_decay": 1e-4, "mask": None}
_RANGES = {
    "gamma": Range("log", 0.0, 10.0),
    "clip_threshold": Range("log", 1e-3, 1e3),
    "update_interval": Range("linear", 1, 100),
}
_ABOUTS = {
    "b2": "the weight of the past in the running mean of estimates of the curvature; in [0, 1)",
    "eps": "the least divisor; greater than 0",
    "gamma": "the factor of the curvature; at least 0",
    "clip_threshold": "the largest entry of an update; greater than 0",
    "update_interval": "how many steps an estimate of the curvature is used; at least 1",
}
_FIELDS = {"count": "updates so far", "mu": "running mean of g", "nu": "running mean of the curvature"}
_SOURCE = "Liu et al., arXiv:2305.14342, algorithm 3"
_OPTAX = Peer(
    "contrib.sophia",
    differs="optax corrects the mean of gradients, divides by the curvature of the step before, and draws other signs.",
)
_LAWS = {"needs_params": True, "smooth": False}

ENTRIES = (
    Entry(
        scale_by_sophia,
        "piece",
        "sophia",
        usual={**_SCALING, "key": 0},
        source=_SOURCE,
        year=2023,
        ranges=_RANGES,
        abouts=_ABOUTS,
        fields={**_FIELDS, "key": "the random key"},
        laws=_LAWS,
    ),
    Entry(
        sophia,
        "recipe",
        "sophia",
        optax_absent={
            "weight_decay_mask": "mask",
            "hessian_diagonal_fn": "the extra argument sampled_value_fn",
            "print_win_rate_every_n_steps": "none",
        },
        usual={"learning_rate": 1e-3, **_SCALING, **_DECAY, "key": 0},
        source=_SOURCE,
        year=2023,
        ranges=_RANGES,
        abouts=_ABOUTS,
        settings={
            "": Setting(
                called="sophia", label="Sophia", optax=_OPTAX, rates=(0.0003, 0.001, 0.003, 0.01), shared=_SCALING
            )
        },
        not_offered="it needs functions of the loss",
        laws=_LAWS,
    ),
    Entry(
        scale_by_sophia_g,
        "piece",
        "sophia",
        usual=_G,
        source=_SOURCE,
        year=2023,
        ranges=_RANGES,
        abouts=_ABOUTS,
        fields=_FIELDS,
        laws=_LAWS,
    ),
    Entry(
        sophia_g,
        "recipe",
        "sophia",
        usual={"learning_rate": 1e-3, **_G, **_DECAY},
        source=_SOURCE,
        year=2023,
        ranges=_RANGES,
        abouts=_ABOUTS,
        not_offered="it needs functions of the loss",
        laws=_LAWS,
    ),
)
