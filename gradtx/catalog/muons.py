"""Entries of Muon, of its kin, and of the parts that only they are made of."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import Range
from gradtx.optimizers.adam import adamw
from gradtx.optimizers.hidden import POLAR
from gradtx.optimizers.muon import muon, muonh, polargrad
from gradtx.optimizers.muon_moments import adamuon, muon2, normuon, rmnp
from gradtx.optimizers.muonclip import muonclip
from gradtx.optimizers.scion import scion
from gradtx.transforms.unit import scale_to_norm
from gradtx.wrappers.attention import qk_clip

_MUON = "Jordan et al., Muon, on kellerjordan.github.io"
_ABOUTS = {
    "momentum": "the weight of the past in the momentum; in [0, 1]",
    "eps": "added to the root of the mean square of a row; at least 0",
    "b2": "the weight of the past in the mean squares of rows; in [0, 1]",
}
_WHERE = {"weight_decay": 0.1, "others": None, "exclude": None, "frame": None}
_SHAPED = {"polar": POLAR, "shape_rule": "moonlight", "outputs": -1, **_WHERE}
_ADAMW = adamw(learning_rate=1e-3, b1=0.9, b2=0.95, eps=1e-8, eps_root=0.0, weight_decay=0.1, mask=None, nesterov=False)
_RATES = (0.0003, 0.001, 0.003, 0.01)
_VECTORS = "on functions of two numbers, which have no matrices, it is AdamW"
_DIFFERS = (
    "optax corrects the momentum for its start, takes every leaf with two axes, and has no weight decay, the factor of "
    "`keller` and b2 = 0.999 for other leaves unless told."
)
_TORCH = Peer("Muon", differs="torch takes matrices alone, has the shape `keller` unless told, iterates in bfloat16.")
_KERAS = Peer("Muon", differs="Keras takes every matrix without `embedding` in its path, and other numbers for AdamW.")
_ENTRIES = "the weight of the past in the mean squares of entries; in [0, 1]"
_CLIP = {"threshold": "the largest attention logit that is allowed; greater than 0"}
_CLIP_RANGES = {"threshold": Range("log", 1.0, 1e4)}
_NEEDS = {"needs_params": True, "smooth": False}

ENTRIES = (
    Entry(
        scale_to_norm,
        "piece",
        "norms",
        usual={"size": 0.5, "axis": None, "rms": False, "axis_name": None},
        settings={"": Setting(), "rms": Setting(arguments={"rms": True})},
        abouts={"size": "the norm of the result; at least 0"},
        ranges={"size": Range("log", 0.0, 1e3)},
    ),
    Entry(
        muon,
        "recipe",
        "matrices",
        optax_absent={
            "ns_coeffs": "polar",
            "ns_steps": "polar",
            "beta": "momentum",
            "eps": "polar",
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
        usual={"learning_rate": 1e-3, "momentum": 0.95, "nesterov": True, **_SHAPED},
        source=f"{_MUON}; Liu et al., arXiv:2502.16982",
        year=2024,
        settings={
            "": Setting(
                called="muon",
                label="Muon",
                optax=Peer("contrib.muon", differs=_DIFFERS),
                torch=_TORCH,
                keras=_KERAS,
                rates=_RATES,
            )
        },
        abouts={"momentum": _ABOUTS["momentum"]},
        laws=_NEEDS,
        not_offered=_VECTORS,
    ),
    Entry(
        normuon,
        "recipe",
        "matrices",
        usual={"learning_rate": 1e-3, "momentum": 0.95, "nesterov": True, "b2": 0.95, "eps": 1e-10, **_SHAPED},
        source="Li et al., arXiv:2510.05491, algorithm 1",
        year=2025,
        settings={"": Setting(called="normuon", label="NorMuon", rates=_RATES)},
        abouts=_ABOUTS,
        laws=_NEEDS,
        not_offered=_VECTORS,
    ),
    Entry(
        adamuon,
        "recipe",
        "matrices",
        usual={
            "learning_rate": 1e-3,
            "momentum": 0.95,
            "nesterov": True,
            "b2": 0.95,
            "eps": 1e-8,
            "polar": POLAR,
            **_WHERE,
        },
        source="Si et al., arXiv:2507.11005, algorithm 1",
        year=2025,
        settings={"": Setting(called="adamuon", label="AdaMuon", rates=_RATES)},
        abouts={**_ABOUTS, "b2": _ENTRIES, "eps": "added to the root of the mean square of an entry; at least 0"},
        laws=_NEEDS,
        not_offered=_VECTORS,
    ),
    Entry(
        muon2,
        "recipe",
        "matrices",
        usual={"learning_rate": 1e-3, "momentum": 0.95, "nesterov": True, "b2": 0.95, "eps": 1e-10, **_SHAPED},
        source="arXiv:2604.09967",
        year=2026,
        settings={"": Setting(called="muon2", label="Muon²", rates=_RATES)},
        abouts={"momentum": _ABOUTS["momentum"]},
        laws=_NEEDS,
        not_offered=_VECTORS,
    ),
    Entry(
        rmnp,
        "recipe",
        "matrices",
        usual={"learning_rate": 4e-3, "momentum": 0.95, "nesterov": True, "outputs": -1, **_WHERE},
        source="arXiv:2603.20527",
        year=2026,
        settings={"": Setting(called="rmnp", label="RMNP", rates=(0.001, 0.003, 0.01, 0.03))},
        abouts={"momentum": _ABOUTS["momentum"]},
        laws=_NEEDS,
        not_offered=_VECTORS,
    ),
    Entry(
        polargrad,
        "recipe",
        "matrices",
        usual={
            "learning_rate": 1e-2,
            "momentum": 0.95,
            "nesterov": False,
            "coefficients": "polar_express_8",
            **_WHERE,
            "weight_decay": 0.0,
            "others": _ADAMW,
        },
        source="Lau et al., arXiv:2505.21799",
        year=2025,
        settings={"": Setting(called="polargrad", label="PolarGrad", rates=(0.01, 0.03, 0.1, 0.3))},
        abouts={"momentum": _ABOUTS["momentum"]},
        laws=_NEEDS,
        not_offered=_VECTORS,
    ),
    Entry(
        muonh,
        "recipe",
        "matrices",
        usual={
            "learning_rate": 0.018,
            "momentum": 0.95,
            "nesterov": True,
            "polar": POLAR,
            "others": _ADAMW,
            "exclude": None,
            "frame": None,
        },
        source="arXiv:2606.16899",
        year=2026,
        settings={"": Setting(called="muonh", label="MuonH", rates=(0.003, 0.01, 0.03, 0.1))},
        abouts={"momentum": _ABOUTS["momentum"]},
        laws=_NEEDS,
        not_offered=_VECTORS,
    ),
    Entry(
        scion,
        "recipe",
        "matrices",
        usual={
            "learning_rate": 2.0**-12,
            "momentum": 0.9,
            "hidden": ("spectral", 50.0),
            "others": ("sign", 3000.0),
            "vectors": 1.0,
            "polar": POLAR,
            "outputs": -1,
            "weight_decay": 1.0,
            "exclude": None,
            "frame": None,
        },
        source="Pethick et al., arXiv:2502.07529, algorithms 1 and 2",
        year=2025,
        settings={
            "": Setting(
                called="scion",
                label="Scion",
                rates=(0.0001, 0.0003, 0.001, 0.003),
                traffic=(40, 4),  # the norm of the mean is known when its last entry is; then it is read again
            )
        },
        abouts={"momentum": _ABOUTS["momentum"]},
        laws=_NEEDS,
        not_offered="its steps do not shrink near a minimum, so that rounding decides where it goes",
    ),
    Entry(
        muonclip,
        "wrapper",
        "which leaves",
        usual={
            "learning_rate": 1e-3,
            "momentum": 0.95,
            "nesterov": True,
            "exponents": {"**/query/kernel": 0.5, "**/key/kernel": 0.5},
            "threshold": 100.0,
            "heads": -2,
            "outputs": -1,
            **_WHERE,
        },
        source="arXiv:2507.20534, algorithm 1",
        year=2025,
        abouts={**_CLIP, "momentum": _ABOUTS["momentum"]},
        ranges=_CLIP_RANGES,
    ),
    Entry(
        qk_clip,
        "wrapper",
        "where steps land",
        usual={"exponents": {"**/query/kernel": 0.5, "**/key/kernel": 0.5}, "threshold": 100.0, "heads": -2},
        source="arXiv:2507.20534, algorithm 1",
        year=2025,
        abouts=_CLIP,
        ranges=_CLIP_RANGES,
    ),
)
