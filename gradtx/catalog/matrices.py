"""Entries of transformations that treat leaves as matrices."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Setting
from gradtx.optimizers.dion import dion, scale_by_dion
from gradtx.transforms.orthogonal import orthogonalize, scale_by_shape
from gradtx.wrappers.on_matrices import on_matrices

_MUON = "Jordan et al., Muon, on kellerjordan.github.io"
_DION = "Ahn et al., arXiv:2504.05295, algorithm 1"
_LEFT = "what stays in the momentum of what an update took; in [0, 1]"
_NEEDS = {"needs_params": True, "smooth": False}

ENTRIES = (
    Entry(
        orthogonalize,
        "piece",
        "matrices",
        usual={
            "coefficients": "keller",
            "eps": 1e-7,
            "dual_norm": False,
            "iterate_in": None,
            "preconditioning": "frobenius",
            "devices": None,
        },
        source=_MUON,
        year=2024,
        abouts={"eps": "added to the norm; at least 0; in the units of the update"},
    ),
    Entry(
        scale_by_shape,
        "piece",
        "matrices",
        usual={"rule": "keller", "outputs": -1, "devices": None},
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
        scale_by_dion,
        "piece",
        "matrices",
        usual={"rank": 0.25, "momentum": 0.95, "key": 0, "devices": None},
        source=_DION,
        year=2025,
        abouts={"momentum": _LEFT},
        laws={"smooth": False},
        fields={
            "trace": "the momentum, with what the rank has left out so far",
            "basis": "directions of the columns, as many as the rank",
            "failures": "steps that were not finite and left all this as it was",
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
            "key": 0,
            "devices": None,
            "outputs": -1,
            "weight_decay": 0.01,
            "others": None,
            "exclude": None,
        },
        source=_DION,
        year=2025,
        settings={"": Setting(called="dion", label="Dion", rates=(0.001, 0.003, 0.01, 0.03))},
        not_offered="on functions of two numbers, which have no matrices, it is AdamW",
        abouts={"momentum": _LEFT},
        laws=_NEEDS,
    ),
)
