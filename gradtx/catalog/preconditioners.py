"""Entries of preconditioners with a factor for each side of a matrix."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Setting
from gradtx.catalog.hyperparameters import LARGE, UP_TO_ONE, Range
from gradtx.optimizers.psgd import psgd_kron, scale_by_psgd_kron
from gradtx.optimizers.shampoo import scale_by_shampoo, shampoo

_VECTORS = "to a vector of two numbers it does nothing that needs a matrix"
_SHAMPOO = {"b2": 0.999, "eps": 1e-6, "power": 0.25, "block_size": 1024}
_SHAMPOO_SOURCE = "Gupta et al., arXiv:1802.09568; Anil et al., arXiv:2002.09018"
_OF_SHAMPOO = {
    "b2": "the weight of the past in the covariances; in [0, 1]; with 1 they are sums",
    "eps": "added to the eigenvalues, relative to the largest; at least 0",
}
_PSGD = {"form": "triangular", "sides": "both", "max_dim": 8192}
_PSGD_SOURCE = "Li, arXiv:2402.11858"
_RANGES = {
    "preconditioner_rate": Range("linear", 0.0, 0.5),
    "probability": Range("log", 1e-3, 1.0),
}
_ABOUTS = {
    "preconditioner_rate": "the largest relative change of the preconditioner in a step; in [0, 1)",
    "probability": "how often the preconditioner changes, as a share of the steps; in [0, 1]",
}
_MATRICES = {"smooth": False}

ENTRIES = (
    Entry(
        scale_by_shampoo,
        "piece",
        "preconditioners",
        usual={**_SHAMPOO, "every": 1, "start": 0, "vectors": "diagonal"},
        source=_SHAMPOO_SOURCE,
        year=2018,
        ranges={"b2": UP_TO_ONE},
        abouts=_OF_SHAMPOO,
        fields={
            "count": "updates so far",
            "left": "running means of g·gᴴ",
            "right": "running means of gᴴ·g",
            "left_root": "inverse root of left",
            "right_root": "inverse root of right",
            "nu": "of vectors and scalars, running mean of |g|²",
            "failures": "how often a block was not finite",
        },
        laws=_MATRICES,
    ),
    Entry(
        shampoo,
        "recipe",
        "preconditioners",
        usual={
            "learning_rate": 1e-3,
            "momentum": 0.9,
            **_SHAMPOO,
            "magnitude": "rmsprop",
            "every": 10,
            "start": 10,
            "nesterov": True,
            "weight_decay": 0.0,
            "mask": None,
        },
        source=_SHAMPOO_SOURCE,
        year=2018,
        settings={
            "": Setting(
                called="shampoo",
                label="Shampoo",
                rates=(0.001, 0.003, 0.01, 0.03),
                traffic=(194.1, 20.1),  # of a vector: its largest square, and the norms of the graft, are read first
            )
        },
        ranges={"b2": UP_TO_ONE},
        abouts={**_OF_SHAMPOO, "momentum": "the weight of the past in the running mean of the steps; in [0, 1]"},
        laws={**_MATRICES, "needs_params": True},
        not_offered=_VECTORS,
    ),
    Entry(
        scale_by_psgd_kron,
        "piece",
        "preconditioners",
        usual={
            "preconditioner_rate": 0.1,
            "probability": 1.0,
            **_PSGD,
            "vectors": "diagonal",
            "initial_scale": 1.0,
            "key": 0,
        },
        source=_PSGD_SOURCE,
        year=2024,
        settings={"": Setting(), "inverse_free": Setting(arguments={"form": "inverse_free"})},
        ranges=_RANGES,
        abouts=_ABOUTS,
        fields={
            "count": "updates so far",
            "waited": "steps since the factors last changed",
            "key": "the random key",
            "left": "the factor of the rows",
            "right": "the factor of the columns",
            "left_bound": "a running bound of the curvature of left",
            "right_bound": "a running bound of the curvature of right",
            "failures": "how often the new factors were not finite",
        },
        laws=_MATRICES,
        complex_as="",
    ),
    Entry(
        psgd_kron,
        "recipe",
        "preconditioners",
        usual={
            "learning_rate": 1e-3,
            "b1": 0.9,
            "preconditioner_rate": 0.1,
            "probability": None,
            "max_rms": 1.1,
            **_PSGD,
            "initial_scale": 1.0,
            "weight_decay": 0.0,
            "mask": None,
            "key": 0,
        },
        source=_PSGD_SOURCE,
        year=2024,
        settings={
            "": Setting(
                called="psgd-kron",
                label="PSGD Kron",
                rates=(0.001, 0.003, 0.01, 0.03),
                traffic=(284.2, 33.1),  # of a vector: normal numbers are drawn, and their quotients read again
            )
        },
        ranges={**_RANGES, "max_rms": LARGE},
        abouts={
            **_ABOUTS,
            "max_rms": "the largest root mean square of the update of a leaf, before the rate; greater than 0",
        },
        laws={**_MATRICES, "needs_params": True},
        not_offered=_VECTORS,
        complex_as="",
    ),
)
