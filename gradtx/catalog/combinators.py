"""Entries of transformations that hold several others, and of optimizers that are made in this way."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import BELOW_ONE, UP_TO_ONE, Range
from gradtx.optimizers.ademamix import ademamix, simplified_ademamix
from gradtx.optimizers.caution import c_adamw, c_lion, grams
from gradtx.optimizers.qhadam import qhadam
from gradtx.wrappers.branches import add
from gradtx.wrappers.cautious import cautious
from gradtx.wrappers.graft import graft, keep_norm

_RATES = (0.0003, 0.001, 0.003, 0.01)
_MOMENTS = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
_ROOTED = {**_MOMENTS, "eps_root": 0.0}
_MIX = {"b1": 0.9, "b2": 0.999, "b3": 0.9999, "alpha": 5.0, "eps": 1e-8, "eps_root": 0.0}
_SIMPLE = {"b1": 0.99, "b2": 0.95, "alpha": 0.0, "eps": 1e-8, "eps_root": 0.0}
_QH = {"b1": 0.995, "b2": 0.999, "eps": 1e-8, "nu": 0.7}
_LION = {"b1": 0.9, "b2": 0.99}
_ALPHA = Range("linear", 0.0, 20.0)
_DECAYED = {"weight_decay": 1e-2}
_CAUTION = "Liang et al., arXiv:2411.16085, algorithm 1"

ENTRIES = (
    Entry(add, "wrapper", "several"),
    Entry(
        graft,
        "wrapper",
        "several",
        usual={"per": "leaf", "through": None, "axis_name": None},
        source="Agarwal et al., arXiv:2002.11803",
        year=2020,
    ),
    Entry(keep_norm, "wrapper", "several", usual={"per": "leaf", "axis_name": None}),
    Entry(
        cautious,
        "wrapper",
        "several",
        usual={"floor": 1e-3, "sign": None, "axis_name": None},
        source="Liang et al., arXiv:2411.16085, algorithm 1",
        year=2024,
    ),
    Entry(
        ademamix,
        "recipe",
        "several means",
        identities=(("ademamix(0.1, alpha=0.0, weight_decay=0.0)", "adam(0.1)"),),
        usual={"learning_rate": 1e-3, **_MIX, **_DECAYED, "mask": None},
        source="Pagliardini et al., arXiv:2409.03137, algorithm 1",
        year=2024,
        settings={
            "": Setting(
                called="ademamix",
                label="AdEMAMix",
                traffic=(56, 0),  # the update reads both new means, v' and g: as optax
                optax=Peer("contrib.ademamix"),
                rates=_RATES,
                shared={**_MOMENTS, "b3": 0.9999, "alpha": 5.0, **_DECAYED},
                offered={"learning_rate": 0.1, **_MIX, "b3": 0.99, "weight_decay": 1e-4},
            )
        },
        optax_names=("contrib.scale_by_ademamix",),
        ranges={"b3": BELOW_ONE, "alpha": _ALPHA},
        abouts={
            "b3": "the weight of the past in the slow running mean of gradients; in [0, 1)",
            "alpha": "the factor of the slow running mean; at least 0",
        },
        laws={"needs_params": True},
        after_huge="slow",
    ),
    Entry(
        simplified_ademamix,
        "recipe",
        "several means",
        usual={"learning_rate": 1e-5, **_SIMPLE, **_DECAYED, "mask": None},
        source="Morwani et al., arXiv:2502.02431, algorithm 1",
        year=2025,
        settings={
            "": Setting(
                called="simplified_ademamix",
                label="Simplified AdEMAMix",
                traffic=(44, 0),  # the update reads the new sum, v' and g: as optax
                optax=Peer("contrib.simplified_ademamix"),
                rates=(0.000003, 0.00001, 0.00003, 0.0001),
                shared={"b1": 0.99, "b2": 0.95, "alpha": 0.0, "eps": 1e-8, **_DECAYED},
                offered={"learning_rate": 0.01, **_SIMPLE, "weight_decay": 1e-4},
            )
        },
        optax_names=("contrib.scale_by_simplified_ademamix",),
        ranges={"b1": UP_TO_ONE, "alpha": Range("linear", 0.0, 100.0)},
        abouts={
            "b1": "the share of the running sum of gradients that is kept; in [0, 1]",
            "alpha": "the factor of the present gradient; at least 0",
        },
        laws={"needs_params": True},
    ),
    Entry(
        qhadam,
        "recipe",
        "several means",
        identities=(
            ("qhadam(0.1, b1=0.9, nu=1.0, weight_decay=0.0)", "adam(0.1)"),
            ("qhadam(0.1, nu=0.0, weight_decay=0.0)", "adam(0.1, b1=0.0)"),
        ),
        usual={"learning_rate": 1e-3, **_QH, **_DECAYED, "mask": None},
        source="Ma & Yarats, arXiv:1810.06801, algorithm 2",
        year=2019,
        settings={
            "": Setting(
                called="qhadam",
                label="QHAdam",
                traffic=(44, 0),  # the update reads m', v' and g: 12 + 12 + 20; not in optax
                rates=_RATES,
                shared={**_QH, **_DECAYED},
                offered={"learning_rate": 0.1, **_QH, "weight_decay": 1e-4},
            )
        },
        ranges={"nu": Range("linear", 0.0, 1.0)},
        abouts={"nu": "the weight of the running mean in the numerator, against the present gradient; in [0, 1]"},
        laws={"needs_params": True},
    ),
    Entry(
        c_adamw,
        "recipe",
        "caution",
        identities=(("c_adamw(0.1, b1=0.0, weight_decay=0.0)", "adam(0.1, b1=0.0)"),),
        usual={"learning_rate": 1e-3, **_ROOTED, **_DECAYED, "mask": None},
        source=_CAUTION,
        year=2024,
        settings={
            "": Setting(
                called="c_adamw",
                label="C-AdamW",
                traffic=(68.3, 8.13),  # the mean of the mask must be known before the first entry; not in optax
                rates=_RATES,
                shared={**_MOMENTS, **_DECAYED},
                offered={"learning_rate": 0.1, **_ROOTED, "weight_decay": 1e-4},
            )
        },
        laws={"needs_params": True},
    ),
    Entry(
        c_lion,
        "recipe",
        "caution",
        identities=(("c_lion(0.1, b1=0.0, weight_decay=0.0)", "chain(scale_by_sign(), scale_by_learning_rate(0.1))"),),
        usual={"learning_rate": 1e-3, **_LION, "weight_decay": 1e-3, "mask": None},
        source=_CAUTION,
        year=2024,
        settings={
            "": Setting(
                called="c_lion",
                label="C-Lion",
                traffic=(44.3, 4.13),  # the same
                rates=(0.00003, 0.0001, 0.0003, 0.001),
                shared={**_LION, "weight_decay": 1e-3},
                offered={"learning_rate": 0.05, **_LION, "weight_decay": 1e-3},
            )
        },
        ranges={"b1": UP_TO_ONE, "b2": UP_TO_ONE},
        laws={"needs_params": True},
    ),
    Entry(
        grams,
        "recipe",
        "caution",
        identities=(("grams(0.1, b1=0.0, weight_decay=0.0)", "adam(0.1, b1=0.0)"),),
        usual={"learning_rate": 1e-3, **_ROOTED, **_DECAYED, "mask": None},
        source="Cao, Li & Song, arXiv:2412.17107, algorithm 1",
        year=2024,
        settings={
            "": Setting(
                called="grams",
                label="Grams",
                traffic=(44, 0),  # the update reads m', v' and g: 12 + 12 + 20; not in optax
                rates=_RATES,
                shared={**_MOMENTS, **_DECAYED},
                offered={"learning_rate": 0.1, **_ROOTED, "weight_decay": 1e-4},
            )
        },
        laws={"needs_params": True},
    ),
)
