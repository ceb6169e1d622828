"""Entries of filters of gradients, and of optimizers that are made with them."""

from __future__ import annotations

import math

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import BELOW_ONE, UP_TO_ONE, Range
from gradtx.optimizers.laprop import laprop
from gradtx.optimizers.mars import mars
from gradtx.optimizers.optimistic import optimistic_adam, optimistic_gradient_descent
from gradtx.optimizers.tiger import tiger
from gradtx.transforms.filters import amplify_slow, nesterov_ema, reduce_variance, scale_by_optimistic_gradient

_RATES = (0.0003, 0.001, 0.003, 0.01)
_OPTIMISM = {"alpha": 1.0, "beta": 1.0}
_OPTIMISM_RANGES = {"alpha": Range("linear", 0.0, 3.0), "beta": Range("linear", 0.0, 3.0)}
_OPTIMISM_ABOUTS = {
    "alpha": "the factor of the gradient; at least 0",
    "beta": "the factor of its change since the last step; at least 0",
}
_OPTIMISTIC_ADAM = {**_OPTIMISM, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0}
_LAPROP = {"b1": 0.9, "b2": 0.999, "eps": 1e-15}
_MARS = {"b1": 0.95, "b2": 0.99, "eps": 1e-8, "gamma": 0.025}
_PREVIOUS = {"count": "updates so far", "previous_gradient": "the last g"}

ENTRIES = (
    Entry(
        nesterov_ema,
        "piece",
        "filters",
        usual={"decay": 0.95},
        source="Jordan et al., Muon",
        year=2024,
        fields={"mu": "running mean of g"},
        normalizes=False,
    ),
    Entry(
        reduce_variance,
        "piece",
        "filters",
        usual={"gamma": 0.025, "decay": 0.95, "max_norm": 1.0, "axis_name": None},
        source="Yuan et al., arXiv:2411.10438",
        year=2024,
        settings={"": Setting(), "unbounded": Setting(arguments={"max_norm": math.inf})},
        fields=_PREVIOUS,
    ),
    Entry(
        amplify_slow,
        "piece",
        "filters",
        usual={"decay": 0.98, "factor": 2.0},
        source="Lee et al., arXiv:2405.20233",
        year=2024,
        fields={"count": "updates so far", "mu": "running mean of g"},
        ranges={"decay": UP_TO_ONE},
        normalizes=False,
    ),
    Entry(
        scale_by_optimistic_gradient,
        "piece",
        "filters",
        usual={"alpha": 1.0, "beta": 1.0},
        source="Mokhtari et al., arXiv:1901.08511",
        year=2020,
        settings={"": Setting(optax=Peer("scale_by_optimistic_gradient"))},
        fields=_PREVIOUS,
        normalizes=False,
    ),
    Entry(
        optimistic_gradient_descent,
        "recipe",
        "filters",
        identities=(("optimistic_gradient_descent(0.1, beta=0.0)", "sgd(0.1)"),),
        usual={"learning_rate": 0.1, **_OPTIMISM},
        source="Mokhtari et al., arXiv:1901.08511",
        year=2020,
        settings={
            "": Setting(
                called="ogd",
                label="Optimistic GD",
                traffic=(32, 4),  # the last gradient has two readers: as optax
                optax=Peer("optimistic_gradient_descent"),
                rates=(0.01, 0.03, 0.1, 0.3),
                shared=_OPTIMISM,
                offered={"learning_rate": 0.01, **_OPTIMISM},
            )
        },
        ranges=_OPTIMISM_RANGES,
        abouts=_OPTIMISM_ABOUTS,
    ),
    Entry(
        optimistic_adam,
        "recipe",
        "filters",
        identities=(("optimistic_adam(0.1, beta=0.0, nesterov=False)", "adam(0.1)"),),
        optax_absent={"optimism": "beta, which the learning rate multiplies"},
        usual={"learning_rate": 1e-3, **_OPTIMISTIC_ADAM, "nesterov": True},
        source="Daskalakis et al., arXiv:1711.00141, algorithm 1",
        year=2018,
        settings={
            "": Setting(
                called="optimistic_adam",
                label="Optimistic Adam",
                traffic=(72, 8),  # the last step has two readers, and the moments too: as optax
                optax=Peer("optimistic_adam_v2"),
                rates=_RATES,
                shared={"alpha": 1.0, "beta": 1.0, "b1": 0.9, "b2": 0.999, "eps": 1e-8},
                offered={"learning_rate": 0.1, **_OPTIMISTIC_ADAM},
            ),
            "plain": Setting(arguments={"nesterov": False}, optax=Peer("optimistic_adam_v2"), traffic=(68, 8)),
        },
        optax_names=("optimistic_adam_v2",),
        ranges=_OPTIMISM_RANGES,
        abouts=_OPTIMISM_ABOUTS,
    ),
    Entry(
        laprop,
        "recipe",
        "filters",
        identities=(("laprop(0.1, b1=0.0, weight_decay=0.0)", "adam(0.1, b1=0.0, eps=1e-15)"),),
        usual={"learning_rate": 4e-4, **_LAPROP, "weight_decay": 1e-2, "mask": None},
        source="Ziyin, Wang & Ueda, arXiv:2002.04839, algorithm 1",
        year=2020,
        settings={
            "": Setting(
                called="laprop",
                label="LaProp",
                rates=_RATES,
                shared={**_LAPROP, "weight_decay": 1e-2},
                offered={"learning_rate": 0.1, **_LAPROP, "weight_decay": 1e-4},
            )
        },
        laws={"needs_params": True},
    ),
    Entry(
        mars,
        "recipe",
        "filters",
        usual={"learning_rate": 3e-3, **_MARS, "weight_decay": 0.0, "mask": None},
        source="Yuan et al., arXiv:2411.10438",
        year=2024,
        settings={
            "": Setting(
                called="mars",
                label="MARS",
                traffic=(84, 8),  # a norm, and the last gradient, before the first entry; not in optax
                rates=_RATES,
                shared={**_MARS, "weight_decay": 1e-2},
                offered={"learning_rate": 0.1, **_MARS, "weight_decay": 1e-4},
            )
        },
        ranges={"gamma": Range("log", 0.0, 1.0)},
        abouts={"gamma": "how much of the change of the gradient is added to it; at least 0"},
        laws={"needs_params": True},
    ),
    Entry(
        tiger,
        "recipe",
        "filters",
        identities=(
            (
                "tiger(0.1, decay=0.9, weight_decay=0.0)",
                "chain(ema(0.9, debias=False), scale_by_sign(), scale_by_learning_rate(0.1))",
            ),
        ),
        usual={"learning_rate": 1e-3, "decay": 0.965, "weight_decay": 1e-2, "mask": None},
        source="Su, github.com/bojone/tiger",
        year=2023,
        settings={
            "": Setting(
                called="tiger",
                label="Tiger",
                rates=(0.00003, 0.0001, 0.0003, 0.001),
                shared={"decay": 0.965, "weight_decay": 1e-2},
                offered={"learning_rate": 0.05, "decay": 0.965, "weight_decay": 1e-3},
            )
        },
        ranges={"decay": BELOW_ONE},
        laws={"needs_params": True},
    ),
)
