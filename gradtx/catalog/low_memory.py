"""Entries of methods whose second moment is smaller than its parameter."""

from __future__ import annotations

from gradtx import moments
from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import SMALL, UP_TO_ONE, Range
from gradtx.optimizers.adafactor import TWO_LONGEST, adafactor
from gradtx.optimizers.adam_mini import ONE_FOR_EACH_LEAF, adam_mini
from gradtx.optimizers.came import RESIDUALS, SQUARES, came, scale_by_confidence
from gradtx.optimizers.novograd import novograd

_ADAFACTOR = {
    "learning_rate": 1e-2,
    "decay_rate": 0.8,
    "clipping_threshold": 1.0,
    "momentum": None,
    "relative_step": True,
    "multiply_by_parameter_scale": True,
    "min_scale": 1e-3,
    "moment": TWO_LONGEST,
    "weight_decay": None,
    "mask": None,
}
_SHAZEER = "Shazeer & Stern, arXiv:1804.04235"
_CAME = "Luo et al., arXiv:2307.02047, algorithm 2"
_CAME_ABOUTS = {
    "b1": "the weight of the past in the running mean of what comes in; in [0, 1]",
    "b3": "the weight of the past in the running mean of squared distances from the mean; in [0, 1]",
}
_RATES = (0.0003, 0.001, 0.003, 0.01)
_OPTAX_FLOAT32 = "optax computes the weights of the past in float32, also for float64."

ENTRIES = (
    Entry(
        adafactor,
        "recipe",
        "adafactor",
        optax_absent={
            "min_dim_size_to_factor": "`moment=moments.factored(min_dim_size=...)`",
            "factored": "`moment=moments.full()`",
            "eps": "`moment=moments.factored(eps=...)`",
            "decay_offset": "`set_count` moves the step of a schedule",
            "weight_decay_rate": "weight_decay, which the learning rate multiplies",
            "weight_decay_mask": "mask",
        },
        usual=_ADAFACTOR,
        source=f"{_SHAZEER}, algorithms 4 and 5",
        year=2018,
        settings={
            "": Setting(
                called="adafactor",
                label="Adafactor",
                rates=(0.01, 0.03, 0.1, 0.3),
                traffic=(68, 8),  # norms of the step and of the parameters, each read twice so that none overflows
            ),
            "torch": Setting(
                arguments={"moment": moments.factored(axes=(-2, -1))},
                torch=Peer("Adafactor"),
                keras=Peer("Adafactor"),
                traffic=(68, 8),
            ),
            "optax": Setting(
                arguments={"relative_step": False, "weight_decay": 0.1},
                optax=Peer("adafactor", differs=f"{_OPTAX_FLOAT32} It does not multiply the decay by the rate."),
                traffic=(68, 8),
            ),
            "palm": Setting(
                arguments={"relative_step": False, "momentum": 0.9, "moment": moments.full()}, traffic=(80, 8)
            ),
        },
        not_offered="it follows a schedule, which is computed in float32",
        ranges={
            "decay_rate": Range("linear", 0.1, 1.0),
            "clipping_threshold": Range("log", 1e-3, 1e3),
            "relative_step": Range("flag"),
            "min_scale": SMALL,
        },
        abouts={
            "decay_rate": "the power with which the weight of the past goes to 1; greater than 0",
            "clipping_threshold": "the largest root mean square of a leaf's step before the rate; greater than 0",
            "relative_step": "whether the rate is at most 1 over the root of the number of steps",
            "min_scale": "the least size of a leaf's parameters that steps are multiplied with; at least 0",
        },
        laws={"needs_params": True},
    ),
    Entry(
        novograd,
        "recipe",
        "novograd",
        optax_absent={"eps_root": "none"},
        usual={"learning_rate": 1e-2, "b1": 0.9, "b2": 0.25, "eps": 1e-6, "weight_decay": 1e-3, "mask": None},
        source="Ginsburg et al., arXiv:1905.11286, algorithm 1",
        year=2019,
        settings={
            "": Setting(
                called="novograd",
                label="NovoGrad",
                optax=Peer("novograd"),
                rates=(0.001, 0.003, 0.01, 0.03),
                shared={"b1": 0.9, "b2": 0.25, "eps": 1e-6, "weight_decay": 1e-3},
                traffic=(32, 0),  # the norm has to be known before the first entry is divided by it; as optax
            )
        },
        not_offered="it follows a schedule, which is computed in float32",
        ranges={"b1": UP_TO_ONE},
        abouts={
            "b1": "the share of the sum of divided gradients that is kept; in [0, 1]",
            "b2": "the weight of the past in the second moment of a leaf; in [0, 1)",
        },
        laws={"needs_params": True},
    ),
    Entry(
        adam_mini,
        "recipe",
        "adam",
        identities=(("adam_mini(0.1, weight_decay=0.0, default=moments.full())", "adam(0.1)"),),
        usual={
            "learning_rate": 1e-3,
            "b1": 0.9,
            "b2": 0.999,
            "eps": 1e-8,
            "blocks": None,
            "default": ONE_FOR_EACH_LEAF,
            "weight_decay": 1e-2,
            "mask": None,
        },
        source="Zhang et al., arXiv:2406.16793, algorithms 1 and 2",
        year=2024,
        settings={
            "": Setting(
                called="adam_mini",
                label="Adam-mini",
                rates=_RATES,
                offered={"learning_rate": 0.2, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 1e-4},
            )
        },
        laws={"needs_params": True},
    ),
    Entry(
        scale_by_confidence,
        "piece",
        "adafactor",
        usual={"b1": 0.9, "b3": 0.9999, "moment": RESIDUALS},
        source=f"{_CAME}, its second half",
        year=2023,
        ranges={"b1": UP_TO_ONE, "b3": UP_TO_ONE},
        abouts=_CAME_ABOUTS,
        fields={"mu": "running mean of g", "nu": "running mean of |g - m|²"},
        after_huge="slow",
    ),
    Entry(
        came,
        "recipe",
        "adafactor",
        usual={
            "learning_rate": 2e-4,
            "b1": 0.9,
            "b2": 0.999,
            "b3": 0.9999,
            "clipping_threshold": 1.0,
            "moment": SQUARES,
            "residual_moment": RESIDUALS,
            "weight_decay": 1e-2,
            "mask": None,
        },
        source=_CAME,
        year=2023,
        settings={
            "": Setting(
                called="came",
                label="CAME",
                rates=(0.0001, 0.0003, 0.001, 0.003),
                traffic=(80, 8),  # two second moments, the norm of the clip read twice, and the momentum between them
                offered={"learning_rate": 0.05, "b1": 0.9, "b2": 0.999, "b3": 0.9999},
            )
        },
        ranges={"b3": UP_TO_ONE, "clipping_threshold": Range("log", 1e-3, 1e3)},
        abouts={
            "b3": _CAME_ABOUTS["b3"],
            "clipping_threshold": "the largest root mean square of a leaf's step before the momentum; greater than 0",
        },
        laws={"needs_params": True},
    ),
)
