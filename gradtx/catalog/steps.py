"""Entries of transformations that decide where steps land, how long they are, and how they change over time."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.optimizers.trust_ratio import fromage, lamb, lars, turn_by_learning_rate
from gradtx.transforms.radial import floor_by_weight_norm, remove_radial
from gradtx.wrappers.outer import outer
from gradtx.wrappers.project_onto import project_onto
from gradtx.wrappers.restart import restart

ENTRIES = (
    Entry(
        project_onto,
        "wrapper",
        "where steps land",
        source="Goldstein, doi:10.1090/S0002-9904-1964-11178-2",
        year=1964,
        settings={
            "": Setting(optax=Peer("keep_params_nonnegative", differs="optax's is one of the sets, nonnegative()."))
        },
        optax_names=("keep_params_nonnegative",),
    ),
    Entry(
        outer,
        "wrapper",
        "averages",
        usual={"every": 30},
        source="Douillard et al., arXiv:2311.08105, algorithm 1",
        year=2023,
        fields={"steps_since_sync": "steps since the outer step", "slow": "parameters of the outer optimizer"},
    ),
    Entry(
        restart,
        "wrapper",
        "when",
        usual={"every": 500, "warmup": 150},
        source="Huang et al., arXiv:2501.06842, section 4",
        year=2025,
        fields={"count": "updates so far", "restarts": "restarts so far"},
    ),
    Entry(
        remove_radial,
        "piece",
        "norms",
        usual={"factor": 1.0, "when": "always", "keep_norm": False, "axis": None, "axis_name": None},
        source="Prieto et al., arXiv:2501.04697, section 5.1",
        year=2025,
        settings={
            "": Setting(),
            "same norm": Setting(arguments={"keep_norm": True}),
            "outward": Setting(arguments={"factor": 0.5, "when": "outward"}),
        },
        laws={"needs_params": True},
    ),
    Entry(
        floor_by_weight_norm,
        "piece",
        "norms",
        usual={"ratio": 0.35, "axis": None, "axis_name": None},
        source="modded-nanogpt's speed runs",
        year=2026,
        laws={"needs_params": True},
    ),
    Entry(
        turn_by_learning_rate,
        "piece",
        "trust ratio",
        usual={"learning_rate": 0.01},
        source="Bernstein et al., arXiv:2002.03432, algorithm 1",
        year=2020,
        laws={"needs_params": True},
    ),
    Entry(
        lars,
        "recipe",
        "trust ratio",
        identities=(("lars(0.1, momentum=0.0, weight_decay=0.0, trust_ratio_mask=False)", "sgd(0.1)"),),
        usual={
            "learning_rate": 1.0,
            "momentum": 0.9,
            "weight_decay": 0.0001,
            "weight_decay_mask": None,
            "trust_coefficient": 0.001,
            "eps": 0.0,
            "trust_ratio_mask": None,
            "nesterov": False,
        },
        source="You et al., arXiv:1708.03888, algorithm 1",
        year=2017,
        settings={
            "": Setting(
                called="lars",
                label="LARS",
                traffic=(68, 8),  # norms come first; they are read again in a branch that is seldom taken
                optax=Peer("lars", {"weight_decay_mask": True, "trust_ratio_mask": True}),
                rates=(1.0, 3.0, 10.0, 30.0),
                shared={"momentum": 0.9, "weight_decay": 0.0001, "trust_coefficient": 0.001},
            ),
            "nesterov": Setting(
                arguments={"nesterov": True},
                traffic=(72, 8),  # the same
                optax=Peer("lars", {"weight_decay_mask": True, "trust_ratio_mask": True}),
            ),
        },
        not_offered="near a minimum its steps do not shrink, so that rounding decides where it goes",
        laws={"needs_params": True},
    ),
    Entry(
        lamb,
        "recipe",
        "trust ratio",
        usual={
            "learning_rate": 0.003,
            "b1": 0.9,
            "b2": 0.999,
            "eps": 1e-6,
            "eps_root": 0.0,
            "weight_decay": 0.01,
            "mask": None,
        },
        source="You et al., arXiv:1904.00962, algorithm 2",
        year=2020,
        settings={
            "": Setting(
                called="lamb",
                label="LAMB",
                traffic=(84, 8),  # norms come first; they are read again in a branch that is seldom taken
                optax=Peer("lamb"),
                keras=Peer(
                    "Lamb",
                    {"epsilon": 1e-6},
                    ours={"weight_decay": 0.0},
                    differs="Keras has the weight decay outside the trust ratio.",
                ),
                rates=(0.001, 0.003, 0.01, 0.03),
                shared={"b1": 0.9, "b2": 0.999, "eps": 1e-6, "weight_decay": 0.01},
            )
        },
        not_offered="near a minimum its steps do not shrink, so that rounding decides where it goes",
        laws={"needs_params": True},
    ),
    Entry(
        fromage,
        "recipe",
        "trust ratio",
        usual={"learning_rate": 0.01, "min_norm": 1e-6},
        source="Bernstein et al., arXiv:2002.03432, algorithm 1",
        year=2020,
        settings={
            "": Setting(
                called="fromage",
                label="Fromage",
                traffic=(44, 4),  # norms come first; they are read again in a branch that is seldom taken
                optax=Peer("fromage"),
                rates=(0.003, 0.01, 0.03, 0.1),
                shared={"min_norm": 1e-6},
                offered={"learning_rate": 0.1},
            )
        },
        laws={"needs_params": True},
    ),
)
