"""Entries of methods that use the signs of gradients: of their mean, or whether they change from step to step."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import BELOW_ONE, UP_TO_ONE
from gradtx.optimizers.lion import lion, scale_by_lion
from gradtx.optimizers.rprop import rprop, scale_by_rprop, scale_by_supersab, supersab

_LION_ABOUTS = {
    "b1": "the weight of the past in the mean of gradients that gives the signs; in [0, 1]",
    "b2": "the weight of the past in the running mean of gradients that is kept; in [0, 1]",
}
_RPROP_ABOUTS = {"learning_rate": "the step size of every entry before the first step; greater than 0"}
_SUPERSAB_ABOUTS = {
    "learning_rate": "the learning rate of every entry before the first step; greater than 0",
    "eta_minus": "the factor of an entry's learning rate where its sign has changed; in [0, 1)",
    "eta_plus": "the factor of an entry's learning rate where its sign holds; at least 1",
    "momentum": "the share of the last step that is added to a step; in [0, 1)",
}
_ETAS = {"eta_minus": 0.5, "eta_plus": 1.2}
_STEPS = {"min_step_size": 1e-6, "max_step_size": 50.0}
_SUPERSAB = {"eta_minus": 0.5, "eta_plus": 1.05, "momentum": 0.9, "min_learning_rate": 1e-6, "max_learning_rate": 10.0}

ENTRIES = (
    Entry(
        scale_by_lion,
        "piece",
        "lion",
        optax_absent={"mode": "other algorithms, which are pieces of their own here", "smooth_beta": "as mode"},
        usual={"b1": 0.9, "b2": 0.99},
        source="Chen et al., arXiv:2302.06675, algorithm 2",
        year=2023,
        settings={"": Setting(optax=Peer("scale_by_lion"))},
        ranges={"b1": UP_TO_ONE, "b2": UP_TO_ONE},
        abouts=_LION_ABOUTS,
        fields={"mu": "running mean of g"},
        normalizes=True,
        complex_as="",
    ),
    Entry(
        lion,
        "recipe",
        "lion",
        identities=(
            ("lion(0.1, b1=0.0, weight_decay=0.0)", "sign_sgd(0.1)"),
            ("lion(0.1, b1=0.9, b2=0.9, weight_decay=0.0)", "signum(0.1, beta=0.9)"),
        ),
        usual={"learning_rate": 1e-3, "b1": 0.9, "b2": 0.99, "weight_decay": 1e-3, "mask": None},
        source="Chen et al., arXiv:2302.06675, algorithm 2",
        year=2023,
        settings={
            "": Setting(
                called="lion",
                demo=True,
                label="Lion",
                optax=Peer("lion"),
                keras=Peer("Lion", ours={"weight_decay": 0.0}),
                rates=(0.00003, 0.0001, 0.0003, 0.001),
                quick=True,
                shared={"b1": 0.9, "b2": 0.99, "weight_decay": 1e-3},
                offered={"learning_rate": 0.05, "b1": 0.9, "b2": 0.99, "weight_decay": 1e-3},
            ),
            "masked": Setting(arguments={"mask": "**"}),
        },
        ranges={"b1": UP_TO_ONE, "b2": UP_TO_ONE},
        abouts=_LION_ABOUTS,
        laws={"needs_params": True},
    ),
    Entry(
        scale_by_rprop,
        "piece",
        "rprop",
        usual={"learning_rate": 0.01, **_ETAS, **_STEPS},
        source="Riedmiller & Braun, equations 4 to 7",
        year=1993,
        abouts=_RPROP_ABOUTS,
        fields={"step_sizes": "step size of each entry", "prev_sign": "last sign of each entry"},
        factors=("step_sizes",),
        full_batch=True,
        normalizes=True,
        after_huge="unknown",
        complex_as="parts",
    ),
    Entry(
        rprop,
        "recipe",
        "rprop",
        usual={"learning_rate": 0.01, **_ETAS, **_STEPS},
        source="Riedmiller & Braun",
        year=1993,
        abouts=_RPROP_ABOUTS,
        settings={
            "": Setting(
                called="rprop",
                demo=True,
                label="Rprop",
                optax=Peer(
                    "rprop",
                    differs="optax 0.2.8 returns the step before, and 0 at first, so it is another algorithm; not "
                    "raced.",
                ),
                torch=Peer("Rprop"),
                traffic=(
                    48,
                    0,
                ),  # the old sign has two readers, so the new one waits for the new size: 16 + 16 + 16; optax 56
                rates=(0.0003, 0.001, 0.003, 0.01),
                shared={**_ETAS, **_STEPS},
                offered={"learning_rate": 0.1, **_ETAS, **_STEPS},
            )
        },
        full_batch=True,
    ),
    Entry(
        scale_by_supersab,
        "piece",
        "rprop",
        usual={"learning_rate": 0.01, **_SUPERSAB},
        source="Tollenaere, Neural Networks 3, section 3",
        year=1990,
        ranges={"momentum": BELOW_ONE},
        abouts=_SUPERSAB_ABOUTS,
        fields={
            "rates": "learning rate of each entry",
            "prev_update": "last step of each entry",
            "prev_sign": "last sign of each entry",
        },
        factors=("rates",),
        full_batch=True,
        normalizes=False,
        complex_as="parts",
    ),
    Entry(
        supersab,
        "recipe",
        "rprop",
        usual={"learning_rate": 0.01, **_SUPERSAB},
        source="Tollenaere, Neural Networks 3",
        year=1990,
        settings={
            "": Setting(
                called="supersab",
                demo=True,
                label="SuperSAB",
                rates=(0.03, 0.1, 0.3, 1.0),
                traffic=(80, 0),  # the update, kept, has three readers: 16 + 20 + 16 + 16 + 12; not in optax
                shared=_SUPERSAB,
                offered={"learning_rate": 0.01, **_SUPERSAB},
            )
        },
        ranges={"momentum": BELOW_ONE},
        abouts=_SUPERSAB_ABOUTS,
        full_batch=True,
    ),
)
