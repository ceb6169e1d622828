"""Entries of what treats leaves as matrices."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.optimizers.dion import dion, scale_by_dion
from gradtx.optimizers.muon import muon, normuon
from gradtx.transforms.orthogonal import orthogonalize, scale_by_shape
from gradtx.wrappers.on_matrices import on_matrices

_MUON = "Jordan et al., Muon, on kellerjordan.github.io"
_ABOUTS = {
    "momentum": "the weight of the past in the momentum; in [0, 1]",
    "eps": "added to the root of the mean square of a row; at least 0",
    "b2": "the weight of the past in the mean squares of rows; in [0, 1]",
}
_DION = "Ahn et al., arXiv:2504.05295, algorithm 1"
_LEFT = "what stays in the momentum of what an update took; in [0, 1]"
_RECIPE = {
    "coefficients": "keller",
    "shape_rule": "moonlight",
    "outputs": -1,
    "weight_decay": 0.1,
    "iterate_in": None,
    "others": None,
    "exclude": None,
    "frame": None,
}
_DIFFERS = (
    "optax corrects the momentum for its start, takes every leaf with two axes, and has no weight decay, the factor of "
    "`keller` and b2 = 0.999 for other leaves unless told."
)
_NEEDS = {"needs_params": True, "smooth": False}

ENTRIES = (
    Entry(
        orthogonalize,
        "piece",
        "matrices",
        usual={"coefficients": "keller", "eps": 1e-7, "dual_norm": False, "iterate_in": None, "devices": None},
        source=_MUON,
        year=2024,
        abouts={"eps": "added to the Frobenius norm; at least 0; in the units of the update"},
    ),
    Entry(
        scale_by_shape,
        "piece",
        "matrices",
        usual={"rule": "keller", "outputs": -1},
        source=_MUON,
        year=2024,
    ),
    Entry(
        on_matrices,
        "wrapper",
        "which leaves",
        usual={"exclude": None, "stacks": False},
        source=_MUON,
        year=2024,
    ),
    Entry(
        muon,
        "recipe",
        "matrices",
        optax_absent={
            "ns_coeffs": "coefficients",
            "ns_steps": "the length of coefficients",
            "beta": "momentum",
            "eps": "none",
            "weight_decay_mask": "exclude",
            "adaptive": "none",
            "preconditioning": "none",
            "adam_b1": "others",
            "adam_b2": "others",
            "adam_eps_root": "others",
            "adam_weight_decay": "others",
            "adam_learning_rate": "others",
            "muon_weight_dimension_numbers": "exclude",
            "consistent_rms": "shape_rule",
        },
        usual={"learning_rate": 1e-3, "momentum": 0.95, "nesterov": True, **_RECIPE},
        source=f"{_MUON}; Liu et al., arXiv:2502.16982",
        year=2024,
        settings={
            "": Setting(
                called="muon",
                label="Muon",
                optax=Peer("contrib.muon", differs=_DIFFERS),
                rates=(0.0003, 0.001, 0.003, 0.01),
            )
        },
        abouts={"momentum": _ABOUTS["momentum"]},
        laws=_NEEDS,
    ),
    Entry(
        normuon,
        "recipe",
        "matrices",
        usual={"learning_rate": 1e-3, "momentum": 0.95, "b2": 0.95, "eps": 1e-10, **_RECIPE},
        source="Li et al., arXiv:2510.05491, algorithm 1",
        year=2025,
        settings={"": Setting(called="normuon", label="NorMuon", rates=(0.0003, 0.001, 0.003, 0.01))},
        abouts=_ABOUTS,
        laws=_NEEDS,
    ),
    Entry(
        scale_by_dion,
        "piece",
        "matrices",
        usual={"rank": 0.25, "momentum": 0.95, "seed": 0},
        source=_DION,
        year=2025,
        abouts={"momentum": _LEFT},
        laws={"smooth": False},
        fields={
            "trace": "the momentum, with what the rank has left out so far",
            "basis": "directions of the columns, as many as the rank",
        },
    ),
    Entry(
        dion,
        "recipe",
        "matrices",
        usual={
            "learning_rate": 0.01,
            "rank": 0.25,
            "momentum": 0.95,
            "seed": 0,
            "outputs": -1,
            "weight_decay": 0.01,
            "others": None,
            "exclude": None,
        },
        source=_DION,
        year=2025,
        settings={"": Setting(called="dion", label="Dion", rates=(0.001, 0.003, 0.01, 0.03))},
        abouts={"momentum": _LEFT},
        laws=_NEEDS,
    ),
)
