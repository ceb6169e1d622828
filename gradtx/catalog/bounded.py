"""Entries of Adam with bounds that close in."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Setting
from gradtx.catalog.hyperparameters import POSITIVE, Range
from gradtx.optimizers.adabound import adabound, amsbound, scale_by_adabound, scale_by_amsbound

_MOMENTS = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
_SCALING = {**_MOMENTS, "final_factor": 100.0, "gamma": 1e-3}
_RECIPE = {
    "learning_rate": 1e-3,
    **_MOMENTS,
    "final_learning_rate": 0.1,
    "gamma": 1e-3,
    "base_learning_rate": None,
}
_OFFERED = {"learning_rate": 0.1, **_MOMENTS, "final_learning_rate": 0.05, "gamma": 1e-3}
_SHARED = {**_MOMENTS, "final_learning_rate": 0.1, "gamma": 1e-3}
_RANGES = {"gamma": POSITIVE, "final_learning_rate": Range("log", 0.0, 10.0)}
_ABOUTS = {
    "learning_rate": "the length of a step; greater than 0, or at least 0 if there is a base_learning_rate",
    "gamma": "how fast the bounds close in; greater than 0; per step",
    "final_learning_rate": "the rate of every entry in the end; at least 0",
}
_RATES = (0.0003, 0.001, 0.003, 0.01)
_FIELDS = {"count": "updates so far", "mu": "running mean of g", "nu": "running mean of |g|²"}
_SOURCE = "Luo et al., arXiv:1902.09843, algorithm 2"
_AMS_SOURCE = "Luo et al., arXiv:1902.09843, section 4"

ENTRIES = (
    Entry(
        scale_by_adabound,
        "piece",
        "adabound",
        usual=_SCALING,
        source=_SOURCE,
        year=2019,
        ranges={"gamma": POSITIVE},
        fields=_FIELDS,
        laws={"smooth": False},
    ),
    Entry(
        adabound,
        "recipe",
        "adabound",
        usual=_RECIPE,
        source=_SOURCE,
        year=2019,
        ranges=_RANGES,
        abouts=_ABOUTS,
        settings={
            "": Setting(called="adabound", label="AdaBound", rates=_RATES, shared=_SHARED, offered=_OFFERED),
        },
        laws={"smooth": False},
    ),
    Entry(
        scale_by_amsbound,
        "piece",
        "adabound",
        usual=_SCALING,
        source=_AMS_SOURCE,
        year=2019,
        ranges={"gamma": POSITIVE},
        fields={**_FIELDS, "nu_max": "largest second moment"},
        laws={"smooth": False},
    ),
    Entry(
        amsbound,
        "recipe",
        "adabound",
        usual=_RECIPE,
        source=_AMS_SOURCE,
        year=2019,
        ranges=_RANGES,
        abouts=_ABOUTS,
        settings={
            "": Setting(called="amsbound", label="AMSBound", rates=_RATES, shared=_SHARED, offered=_OFFERED),
        },
        laws={"smooth": False},
    ),
)
