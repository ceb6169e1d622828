"""Entries of what divides by a second moment that may be smaller than its parameter."""

from __future__ import annotations

from gradtx import moments
from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import SMALL, Range
from gradtx.optimizers.adafactor import TWO_LONGEST, adafactor
from gradtx.transforms.parameter_scale import scale_by_param_block_rms
from gradtx.transforms.ratio import divide_by_rms

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
_OPTAX_FLOAT32 = "optax computes the weights of the past in float32, also for float64."

ENTRIES = (
    Entry(
        scale_by_param_block_rms,
        "piece",
        "norms",
        usual={"min_scale": 1e-3, "axis_name": None},
        source=f"{_SHAZEER}, section 8",
        year=2018,
        settings={"": Setting(optax=Peer("scale_by_param_block_rms"))},
        laws={"needs_params": True},
    ),
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
                torch=Peer("Adafactor"),
                keras=Peer("Adafactor"),
                rates=(0.01, 0.03, 0.1, 0.3),
                traffic=(68, 8),  # norms of the step and of the parameters, each read twice so that none overflows
                offered={"learning_rate": 0.2, "decay_rate": 0.8, "clipping_threshold": 1.0, "relative_step": False},
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
        divide_by_rms,
        "wrapper",
        "quotients",
        usual={"b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "bias_correction": True, "moment": moments.full()},
        source="Kingma & Ba, arXiv:1412.6980, algorithm 1, with any numerator",
        year=2015,
    ),
)
