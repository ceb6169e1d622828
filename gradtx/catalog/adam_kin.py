"""Entries of methods near Adam, with other second moments or other corrections."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import BELOW_ONE, Range
from gradtx.optimizers.adan import adan, scale_by_adan
from gradtx.optimizers.belief import acprop, adabelief, scale_by_acprop, scale_by_belief
from gradtx.optimizers.radam import radam, scale_by_radam
from gradtx.optimizers.yogi import scale_by_yogi, yogi

_MOMENTS = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
_ROOTED = {**_MOMENTS, "eps_root": 0.0}
_BELIEF = {"b1": 0.9, "b2": 0.999, "eps": 1e-16, "eps_root": 1e-16}
_YOGI = {"b1": 0.9, "b2": 0.999, "eps": 1e-3}
_ADAN = {"b1": 0.98, "b2": 0.92, "b3": 0.99, "eps": 1e-8, "eps_root": 0.0}
_RECTIFIED = {**_ROOTED, "threshold": 5.0}
_FIELDS = {"count": "updates so far", "mu": "running mean of g", "nu": "running mean of |g|²"}
_BELIEF_FIELDS = {**_FIELDS, "nu": "running mean of |g - m|²"}
_RATES = (0.0003, 0.001, 0.003, 0.01)
_BELIEF_ABOUTS = {
    "b2": "the weight of the past in the running mean of squared distances from the mean; in [0, 1)",
    "eps_root": "added to the running mean of squared distances in every step; at least 0; in squared gradient units",
}
_YOGI_ABOUTS = {"b2": "1 minus the share of a square by which the second moment changes; in [0, 1)"}
_YOGI_START = "optax starts the first moment at 1e-6 too, so that a parameter without gradients moves."
_THRESHOLD = {"threshold": Range("linear", 4.0, 20.0)}
_THRESHOLD_ABOUT = {"threshold": "how many squares the second moment must hold before it divides; at least 4"}
_ADAN_RANGE = {"b3": BELOW_ONE}
_ADAN_ABOUTS = {
    "b2": "the weight of the past in the running mean of the changes of gradients; in [0, 1)",
    "b3": "the weight of the past in the running mean of squares; in [0, 1)",
}
_ADAN_OPTAX = "optax takes 1 - b2 for both factors b2 of the differences."
_ADAN_SOURCE = "Xie et al., arXiv:2208.06677, algorithm 1"
_BELIEF_SOURCE = "Zhuang et al., arXiv:2010.07468, algorithm 2"
_ACPROP_SOURCE = "Zhuang et al., arXiv:2110.05454, algorithm 2"
_YOGI_SOURCE = "Zaheer et al., NeurIPS, algorithm 2"
_RADAM_FLOAT32 = "optax computes ρ as a difference: in float32 its first divided steps are right to three digits."
_RADAM_SOURCE = "Liu et al., arXiv:1908.03265, algorithm 2"

ENTRIES = (
    Entry(
        scale_by_belief,
        "piece",
        "adabelief",
        usual={**_BELIEF, "nesterov": False},
        source=_BELIEF_SOURCE,
        year=2020,
        abouts=_BELIEF_ABOUTS,
        settings={
            "": Setting(optax=Peer("scale_by_belief")),
            "nesterov": Setting(arguments={"nesterov": True}, optax=Peer("scale_by_belief")),
        },
        fields=_BELIEF_FIELDS,
    ),
    Entry(
        adabelief,
        "recipe",
        "adabelief",
        usual={"learning_rate": 1e-3, **_BELIEF, "nesterov": False},
        source=_BELIEF_SOURCE,
        year=2020,
        abouts=_BELIEF_ABOUTS,
        settings={
            "": Setting(
                called="adabelief",
                label="AdaBelief",
                optax=Peer("adabelief"),
                traffic=(44, 0),  # the second moment reads m' too: 12 + 16 + 16; optax 56
                rates=_RATES,
                shared=_BELIEF,
                offered={"learning_rate": 0.2, **_BELIEF},
            )
        },
    ),
    Entry(
        scale_by_acprop,
        "piece",
        "adabelief",
        usual=_BELIEF,
        source=_ACPROP_SOURCE,
        year=2021,
        abouts=_BELIEF_ABOUTS,
        settings={"": Setting(optax=Peer("contrib.scale_by_acprop"))},
        fields=_BELIEF_FIELDS,
    ),
    Entry(
        acprop,
        "recipe",
        "adabelief",
        usual={"learning_rate": 1e-3, **_BELIEF, "weight_decay": 0.0, "mask": None},
        source=_ACPROP_SOURCE,
        year=2021,
        abouts=_BELIEF_ABOUTS,
        settings={
            "": Setting(
                called="acprop",
                label="ACProp",
                optax=Peer("contrib.acprop"),
                traffic=(52, 4),  # the step reads the old second moment: 12 + 16 + 16 and a copy; optax 60
                rates=_RATES,
                shared={**_BELIEF, "weight_decay": 0.0},
                offered={"learning_rate": 0.05, **_BELIEF, "weight_decay": 0.0},
            )
        },
        laws={"needs_params": True},
    ),
    Entry(
        scale_by_yogi,
        "piece",
        "yogi",
        usual={**_YOGI, "eps_root": 0.0, "initial_accumulator_value": 1e-6},
        source=_YOGI_SOURCE,
        year=2018,
        abouts=_YOGI_ABOUTS,
        settings={
            "": Setting(
                optax=Peer(
                    "scale_by_yogi",
                    {"initial_accumulator_value": 0.0},
                    ours={"initial_accumulator_value": 0.0},
                    differs=_YOGI_START,
                )
            )
        },
        fields=_FIELDS,
        laws={"smooth": False},
    ),
    Entry(
        yogi,
        "recipe",
        "yogi",
        usual={"learning_rate": 1e-2, **_YOGI},
        source=_YOGI_SOURCE,
        year=2018,
        abouts=_YOGI_ABOUTS,
        settings={
            "": Setting(
                called="yogi",
                label="Yogi",
                optax=Peer("yogi", differs=_YOGI_START),
                rates=(0.001, 0.003, 0.01, 0.03),
                shared=_YOGI,
                offered={"learning_rate": 0.2, **_YOGI},
            )
        },
        laws={"smooth": False},
    ),
    Entry(
        scale_by_radam,
        "piece",
        "radam",
        usual={**_RECTIFIED, "nesterov": False},
        source=_RADAM_SOURCE,
        year=2019,
        ranges=_THRESHOLD,
        abouts=_THRESHOLD_ABOUT,
        settings={
            "": Setting(optax=Peer("scale_by_radam", differs=_RADAM_FLOAT32)),
            "short": Setting(arguments={"b2": 0.9, "threshold": 4.0}),
            "nesterov": Setting(arguments={"nesterov": True}, optax=Peer("scale_by_radam", differs=_RADAM_FLOAT32)),
        },
        fields=_FIELDS,
    ),
    Entry(
        radam,
        "recipe",
        "radam",
        usual={"learning_rate": 1e-3, **_RECTIFIED, "nesterov": False},
        source=_RADAM_SOURCE,
        year=2019,
        ranges=_THRESHOLD,
        abouts=_THRESHOLD_ABOUT,
        settings={
            "": Setting(
                called="radam",
                label="RAdam",
                optax=Peer("radam", differs=_RADAM_FLOAT32),
                torch=Peer(
                    "RAdam",
                    {"eps": 1e-30},
                    ours={"eps": 1e-30},
                    differs="torch adds eps to the root of the uncorrected second moment.",
                ),
                rates=_RATES,
                shared=_MOMENTS,
                offered={"learning_rate": 0.2, **_RECTIFIED},
            )
        },
    ),
    Entry(
        scale_by_adan,
        "piece",
        "adan",
        usual=_ADAN,
        source=_ADAN_SOURCE,
        year=2022,
        ranges=_ADAN_RANGE,
        abouts=_ADAN_ABOUTS,
        settings={"": Setting(optax=Peer("scale_by_adan", differs=_ADAN_OPTAX))},
        fields={
            "count": "updates so far",
            "m": "running mean of g",
            "v": "running mean of the changes of g",
            "n": "running mean of the squares of both",
            "g": "the last gradient",
        },
    ),
    Entry(
        adan,
        "recipe",
        "adan",
        identities=(
            ("adan(0.1, b1=0.0, b2=0.0, b3=0.0, eps=0.0)", "chain(scale_by_sign(), scale_by_learning_rate(0.1))"),
        ),
        usual={"learning_rate": 1e-3, **_ADAN, "weight_decay": 0.0, "mask": None},
        source=_ADAN_SOURCE,
        year=2022,
        ranges=_ADAN_RANGE,
        abouts=_ADAN_ABOUTS,
        settings={
            "": Setting(
                called="adan",
                label="Adan",
                optax=Peer("adan", differs=_ADAN_OPTAX),
                traffic=(80, 4),  # the last gradient has two readers before it is overwritten; optax 80
                rates=(0.001, 0.003, 0.01, 0.03),
                shared={**_ADAN, "weight_decay": 0.0},
                offered={"learning_rate": 0.2, **_ADAN, "weight_decay": 0.0},
            )
        },
        laws={"needs_params": True},
    ),
)
