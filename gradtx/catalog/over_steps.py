"""Entries of optimizers on a sphere, over the steps of others, averaged, and for scale-invariant weights."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import Range
from gradtx.optimizers.over_steps import adamh, asgd, diloco, gpa
from gradtx.optimizers.scale_invariant import adamp, project_scale_invariant, sgdp

ENTRIES = (
    Entry(
        adamh,
        "recipe",
        "sphere",
        usual={"learning_rate": 0.018, "b1": 0.9, "b2": 0.999, "eps": 1e-8},
        source="arXiv:2606.16899",
        year=2026,
        settings={
            "": Setting(
                called="adamh",
                label="AdamH",
                traffic=(112, 12),  # the same, and once more on the sphere
            )
        },
        not_offered="it keeps the distance from 0, so that it reaches no minimum",
        laws={"needs_params": True},
    ),
    Entry(
        diloco,
        "recipe",
        "outer",
        identities=(
            ("diloco(0.1, weight_decay=0.0, outer_learning_rate=1.0, outer_momentum=0.0, every=1)", "adam(0.1)"),
            (
                "diloco(0.1, weight_decay=0.01, outer_learning_rate=1.0, outer_momentum=0.0, every=2)",
                "adamw(0.1, weight_decay=0.01)",
            ),
        ),
        usual={
            "learning_rate": 1e-3,
            "b1": 0.9,
            "b2": 0.999,
            "eps": 1e-8,
            "weight_decay": 1e-2,
            "mask": None,
            "outer_learning_rate": 0.7,
            "outer_momentum": 0.5,
            "every": 30,
        },
        source="Douillard et al., arXiv:2311.08105, algorithm 1",
        year=2023,
        settings={
            "": Setting(
                called="diloco",
                label="DiLoCo",
                traffic=(112, 8),  # the outer step is in a branch that is seldom taken
                rates=(0.0003, 0.001, 0.003, 0.01),
                shared={"b1": 0.9, "b2": 0.999, "weight_decay": 1e-2},
                offered={"learning_rate": 0.1, "b1": 0.9, "b2": 0.999, "eps": 1e-8},
            )
        },
        laws={"needs_params": True},
    ),
    Entry(
        gpa,
        "recipe",
        "averaged",
        usual={
            "learning_rate": 0.03,
            "average_decay": 0.9,
            "b1": 0.8,
            "b2": 0.999,
            "eps": 1e-8,
            "weight_decay": 1e-2,
            "mask": None,
        },
        source="arXiv:2512.17131",
        year=2025,
        settings={
            "": Setting(
                called="gpa",
                label="GPA",
                traffic=(68, 8),  # the average is computed from both its ends
                rates=(0.001, 0.003, 0.01, 0.03),
                shared={"b2": 0.999, "eps": 1e-8, "weight_decay": 1e-2},
                offered={"learning_rate": 0.2, "b1": 0.8, "b2": 0.999, "eps": 1e-8},
            )
        },
        ranges={"b1": Range("linear", 0.01, 1.0)},
        abouts={"b1": "the weight of the average in the point where gradients are taken; in (0, 1]"},
        laws={"needs_params": True},
    ),
    Entry(
        asgd,
        "recipe",
        "averaged",
        identities=(("asgd(0.1, decay=0.0)", "sgd(0.1)"),),
        usual={"learning_rate": 1e-2, "decay": 1e-4, "power": 0.75, "start": 1_000_000},
        source="Polyak & Juditsky, doi:10.1137/0330046",
        year=1992,
        settings={
            "": Setting(
                called="asgd",
                label="ASGD",
                torch=Peer("ASGD"),
                rates=(0.01, 0.03, 0.1, 0.3),
            )
        },
        not_offered="it follows a schedule, which is computed in float32",
        laws={"needs_params": True},
    ),
    Entry(
        project_scale_invariant,
        "wrapper",
        "where steps land",
        usual={"delta": 0.1, "weight_decay": 0.01, "decay_ratio": 0.1, "output_axis": -1},
        source="Heo et al., arXiv:2006.08217, equations 11 and 12",
        year=2021,
    ),
    Entry(
        adamp,
        "recipe",
        "scale invariant",
        identities=(("adamp(0.1, weight_decay=0.0, delta=0.0)", "adam(0.1)"),),
        usual={
            "learning_rate": 1e-3,
            "b1": 0.9,
            "b2": 0.999,
            "eps": 1e-8,
            "weight_decay": 0.01,
            "delta": 0.1,
            "decay_ratio": 0.1,
            "output_axis": -1,
        },
        source="Heo et al., arXiv:2006.08217, algorithm 2",
        year=2021,
        settings={
            "": Setting(
                called="adamp",
                label="AdamP",
                rates=(0.0003, 0.001, 0.003, 0.01),
                shared={"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
            )
        },
        not_offered="to a vector of two numbers it does what AdamW does",
        laws={"needs_params": True, "smooth": False},
    ),
    Entry(
        sgdp,
        "recipe",
        "scale invariant",
        identities=(("sgdp(0.1, momentum=0.9, weight_decay=0.0, delta=0.0)", "sgd(0.1, momentum=0.9)"),),
        usual={
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.0001,
            "delta": 0.1,
            "decay_ratio": 0.1,
            "nesterov": False,
            "output_axis": -1,
        },
        source="Heo et al., arXiv:2006.08217, algorithm 1",
        year=2021,
        settings={
            "": Setting(
                called="sgdp",
                label="SGDP",
                rates=(0.01, 0.03, 0.1, 0.3),
                shared={"momentum": 0.9, "weight_decay": 0.0001},
            )
        },
        not_offered="to a vector of two numbers it does what SGD with momentum does",
        laws={"needs_params": True, "smooth": False},
    ),
)
