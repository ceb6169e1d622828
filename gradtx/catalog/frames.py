"""Entries of transformations that work in other coordinates."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import BELOW_ONE, SMALL, UP_TO_ONE
from gradtx.optimizers.conda import conda
from gradtx.optimizers.hidden import POLAR
from gradtx.optimizers.low_rank import apollo, galore
from gradtx.optimizers.soap import soap, soap_muon
from gradtx.optimizers.splus import splus
from gradtx.transforms.growth import hold_still, limit_growth
from gradtx.wrappers.frame import in_frame

_ADAM = {"b1": 0.9, "b2": 0.999}
_DECAY = {"weight_decay": 0.0, "mask": None}
_VECTORS = "to a vector of two numbers it does what Adam does"

ENTRIES = (
    Entry(
        in_frame,
        "wrapper",
        "coordinates",
        usual={"carry": None},
        settings={
            "": Setting(
                optax=Peer(
                    "contrib.split_real_and_imaginary",
                    differs="This is `in_frame(tx, gradtx.frames.real_and_imaginary())`. optax has no other frames, "
                    "and makes two leaves of one, so norms of leaves are those of one part.",
                )
            )
        },
        optax_names=("contrib.split_real_and_imaginary",),
    ),
    Entry(
        limit_growth,
        "piece",
        "clipping",
        usual={"factor": 1.01, "axis_name": None},
        source="Chen et al., arXiv:2410.01623, equation 9",
        year=2024,
        fields={"norm": "norm of the last update of each leaf"},
    ),
    Entry(
        hold_still,
        "piece",
        "basic",
        usual={"steps": 1},
        source="the authors' code of SOAP",
        year=2024,
        fields={"count": "updates so far"},
    ),
    Entry(
        galore,
        "recipe",
        "low rank",
        identities=(("galore(0.1, rank=1000)", "adam(0.1)"),),
        usual={"learning_rate": 1e-2, "rank": 128, "every": 200, "scale": 0.25, **_ADAM, "eps": 1e-8, **_DECAY},
        source="Zhao et al., arXiv:2403.03507, algorithm 2",
        year=2024,
        settings={
            "": Setting(
                called="galore",
                label="GaLore",
                optax=Peer(
                    "contrib.galore",
                    differs="optax takes directions of the longer side, and its factor, 1, belongs to all leaves.",
                ),
                rates=(0.003, 0.01, 0.03),
                shared={"rank": 8},
            )
        },
        optax_absent={
            "update_proj_gap": "every",
            "base_optimizer": "in_frame(tx, gradtx.frames.low_rank())",
            "weight_dimension_numbers": "in_frame(..., gradtx.frames.matrices()) around it",
        },
        not_offered=_VECTORS,
    ),
    Entry(
        apollo,
        "recipe",
        "low rank",
        usual={
            "learning_rate": 1e-2,
            **_ADAM,
            "eps": 1e-6,
            "rank": 256,
            "every": 200,
            "per": "channel",
            "scale": 1.0,
            "growth": 1.01,
            "key": 0,
            **_DECAY,
        },
        source="Zhu et al., arXiv:2412.05270, algorithm 1",
        year=2024,
        settings={
            "": Setting(called="apollo", label="APOLLO", rates=(0.003, 0.01, 0.03), shared={"rank": 8}),
            "mini": Setting(
                arguments={"rank": 1, "per": "leaf", "scale": 128**0.5},
                called="apollo-mini",
                label="APOLLO-Mini",
                rates=(0.003, 0.01, 0.03),
            ),
        },
        not_offered=_VECTORS,
    ),
    Entry(
        soap,
        "recipe",
        "adam",
        usual={
            "learning_rate": 3e-3,
            "b1": 0.95,
            "b2": 0.95,
            "eps": 1e-8,
            "basis_decay": 0.95,
            "every": 10,
            "sides": "both",
            "max_dim": 10_000,
            "kl": False,
            "staggered": False,
            "weight_decay": 0.01,
            "mask": None,
        },
        source="Vyas et al., arXiv:2409.11321, algorithm 3",
        year=2024,
        settings={
            "": Setting(called="soap", label="SOAP", rates=(0.001, 0.003, 0.01, 0.03)),
            "kl": Setting(arguments={"kl": True}, called="kl-soap", label="KL-SOAP", rates=(0.001, 0.003, 0.01, 0.03)),
        },
        laws={"needs_params": True, "smooth": False},
        not_offered=_VECTORS,
    ),
    Entry(
        soap_muon,
        "recipe",
        "matrices",
        usual={
            "learning_rate": 1e-3,
            "momentum": 0.95,
            "b2": 0.9,
            "eps": 1e-8,
            "nesterov": True,
            "basis_decay": 0.9,
            "every": 1,
            "max_dim": 10_000,
            "staggered": False,
            "polar": POLAR,
            "shape_rule": "moonlight",
            "outputs": -1,
            "weight_decay": 0.1,
            "others": None,
            "exclude": None,
        },
        source="a record of modded-nanogpt, track 3",
        year=2026,
        settings={"": Setting(called="soap-muon", label="SOAP-Muon", rates=(0.0003, 0.001, 0.003, 0.01))},
        abouts={"momentum": "the weight of the past in the momentum; in [0, 1]"},
        laws={"needs_params": True, "smooth": False},
        not_offered="on functions of two numbers, which have no matrices, it is AdamW",
    ),
    Entry(
        splus,
        "recipe",
        "matrices",
        usual={
            "learning_rate": 0.3,
            "b1": 0.9,
            "b2": 0.999,
            "every": 100,
            "sides": "both",
            "max_dim": 10_000,
            "other_scale": 1e-3,
            "average_decay": 0.999,
            "weight_decay": 0.01,
            "mask": None,
            "exclude": None,
        },
        source="Frans et al., arXiv:2506.07254, algorithm 2",
        year=2025,
        settings={"": Setting(called="splus", label="SPlus", rates=(0.03, 0.1, 0.3, 1.0))},
        ranges={"b1": UP_TO_ONE, "average_decay": BELOW_ONE, "other_scale": SMALL},
        abouts={
            "b1": "the weight of the past in the mean whose signs are taken; in [0, 1]",
            "other_scale": "the factor of leaves that are no hidden matrices; at least 0",
            "average_decay": "the weight of the past in the average of the parameters; in [0, 1)",
        },
        laws={"needs_params": True, "smooth": False},
        not_offered="functions of two numbers have no matrices",
    ),
    Entry(
        conda,
        "recipe",
        "adam",
        usual={
            "learning_rate": 1e-2,
            "b1": 0.9,
            "b2": 0.99,
            "eps": 1e-8,
            "every": 2000,
            "scale": 0.25,
            **_DECAY,
        },
        source="Wang et al., arXiv:2509.24218",
        year=2025,
        settings={"": Setting(called="conda", label="Conda", rates=(0.003, 0.01, 0.03, 0.1))},
        laws={"needs_params": True, "smooth": False},
        not_offered=_VECTORS,
    ),
)
