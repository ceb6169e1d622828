"""Entries of optimizers without a learning rate that are pieces of their own: COCOB, D-Adaptation, MoMo."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import BELOW_ONE, POSITIVE, Range
from gradtx.optimizers.cocob import cocob, scale_by_cocob
from gradtx.optimizers.dadapt import dadapt_adamw, scale_by_dadapt_adam
from gradtx.optimizers.momo import momo, momo_adam, scale_by_momo, scale_by_momo_adam

_COCOB = {"alpha": 100.0, "eps": 1e-8}
_COCOB_ABOUTS = {
    "alpha": "how many times the largest gradient must come before the bet is not held back; at least 1",
    "eps": "the largest gradient before the first; at least 0",
}
_DADAPT = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "estim_lr0": 1e-6, "weight_decay": 0.0}
_DADAPT_ABOUTS = {
    "learning_rate": "the factor of the learnt rate; at least 0",
    "estim_lr0": "the learnt rate before the first step; greater than 0",
}
_MOMO = {"beta": 0.9, "lower_bound": 0.0, "weight_decay": 0.0}
_MOMO_ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "lower_bound": 0.0, "weight_decay": 0.0}
_MOMO_ABOUTS = {
    "learning_rate": "the largest rate; at least 0",
    "lower_bound": "what the loss is never below",
}
_BETA = {"beta": "the weight of the past in the means; in [0, 1]"}
# The mean and the parameters have several readers, and the second pass of the norm is counted; optax 44 and 80.
_MEAN, _MEAN_ADAM = (48, 0), (80, 4)
_LAWS = {"needs_params": True}
_DECAY = "optax's divides only w by 1 + learning_rate·weight_decay, and not the step"

ENTRIES = (
    Entry(
        scale_by_cocob,
        "piece",
        "rate-free",
        usual=_COCOB,
        source="Orabona & Tommasi, arXiv:1705.07795, algorithm 2",
        year=2017,
        settings={"": Setting(optax=Peer("contrib.scale_by_cocob", differs="optax's points uphill."))},
        ranges={"alpha": Range("log", 1.0, 1e4)},
        abouts=_COCOB_ABOUTS,
        fields={
            "init_particles": "the parameters at the start",
            "cumulative_gradients": "sum of |g|",
            "scale": "largest |g|",
            "subgradients": "sum of g",
            "reward": "what the bets have won",
        },
        laws=_LAWS,
        complex_as="parts",
    ),
    Entry(
        cocob,
        "recipe",
        "rate-free",
        optax_absent={"mask": "none"},
        usual={"learning_rate": 1.0, **_COCOB, "weight_decay": 0.0},
        source="Orabona & Tommasi, arXiv:1705.07795, algorithm 2",
        year=2017,
        settings={
            "": Setting(
                called="cocob",
                label="COCOB",
                traffic=(96, 0),  # four sums, each read by the update too; optax 104
                optax=Peer(
                    "contrib.cocob",
                    ours={"learning_rate": 1.0},
                    differs="optax's learning rate multiplies the gradients, which changes nothing.",
                ),
                rates=(0.3, 1.0, 3.0),
                shared={**_COCOB, "weight_decay": 0.0},
                offered={"learning_rate": 1.0, **_COCOB},
            )
        },
        ranges={"alpha": Range("log", 1.0, 1e4)},
        abouts={**_COCOB_ABOUTS, "learning_rate": "the factor of the steps; at least 0"},
        laws=_LAWS,
        complex_as="parts",
    ),
    Entry(
        scale_by_dadapt_adam,
        "piece",
        "rate-free",
        usual={"learning_rate": 1.0, **_DADAPT},
        source="Defazio & Mishchenko, arXiv:2301.07733, algorithm 5",
        year=2023,
        ranges={"estim_lr0": POSITIVE},
        abouts=_DADAPT_ABOUTS,
        fields={
            "exp_avg": "running mean of d·g",
            "exp_avg_sq": "running mean of |g|²",
            "grad_sum": "running mean of d·g with √b2",
            "estim_lr": "the learnt rate d",
            "numerator_weighted": "the numerator of the estimate",
        },
        laws=_LAWS,
    ),
    Entry(
        dadapt_adamw,
        "recipe",
        "rate-free",
        optax_absent={"betas": "two numbers, b1 and b2"},
        usual={"learning_rate": 1.0, **_DADAPT, "bias_correction": False},
        source="Defazio & Mishchenko, arXiv:2301.07733, algorithm 5",
        year=2023,
        settings={
            "": Setting(
                called="dadapt_adamw",
                label="D-Adapt AdamW",
                traffic=(92, 8),  # the old second moment has two readers; optax the same
                optax=Peer(
                    "contrib.dadapt_adamw",
                    ours={"bias_correction": True},
                    differs="optax always has bias corrections, which are a choice here.",
                ),
                rates=(0.3, 1.0, 3.0),
                shared=_DADAPT,
                offered={"learning_rate": 0.5, **_DADAPT, "b2": 0.99, "estim_lr0": 1e-2},
            )
        },
        ranges={"estim_lr0": POSITIVE},
        abouts=_DADAPT_ABOUTS,
        laws=_LAWS,
    ),
    Entry(
        scale_by_momo,
        "piece",
        "rate-free",
        usual={"learning_rate": 1.0, **_MOMO},
        source="Schaipp et al., arXiv:2305.07583, algorithm 1",
        year=2024,
        ranges={"beta": Range("complement", 0.0, 1.0), "lower_bound": Range("linear", -10.0, 10.0)},
        abouts={**_MOMO_ABOUTS, **_BETA},
        fields={
            "count": "number of updates",
            "exp_avg": "running mean of g",
            "barf": "running mean of the loss",
            "gamma": "running mean of ⟨g, w⟩",
        },
        laws=_LAWS,
    ),
    Entry(
        momo,
        "recipe",
        "rate-free",
        identities=(("momo(0.1, beta=0.0, lower_bound=-1e30)", "sgd(0.1)"),),
        optax_absent={"adapt_lower_bound": "lower_bound alone"},
        usual={"learning_rate": 1.0, **_MOMO},
        source="Schaipp et al., arXiv:2305.07583, algorithm 1",
        year=2024,
        settings={
            "": Setting(
                called="momo",
                label="MoMo",
                traffic=_MEAN,
                optax=Peer("contrib.momo", differs=f"{_DECAY}."),
                rates=(0.1, 1.0, 10.0),
                shared=_MOMO,
                offered={"learning_rate": 0.1, **_MOMO},
            )
        },
        ranges={"beta": Range("complement", 0.0, 1.0), "lower_bound": Range("linear", -10.0, 10.0)},
        abouts={**_MOMO_ABOUTS, **_BETA},
        laws=_LAWS,
    ),
    Entry(
        scale_by_momo_adam,
        "piece",
        "rate-free",
        usual={"learning_rate": 0.01, **_MOMO_ADAM},
        source="Schaipp et al., arXiv:2305.07583, algorithm 2",
        year=2024,
        ranges={"b1": BELOW_ONE, "b2": BELOW_ONE, "lower_bound": Range("linear", -10.0, 10.0)},
        abouts=_MOMO_ABOUTS,
        fields={
            "count": "number of updates",
            "exp_avg": "running mean of g",
            "exp_avg_sq": "running mean of |g|²",
            "barf": "running mean of the loss",
            "gamma": "running mean of ⟨g, w⟩",
        },
        laws=_LAWS,
    ),
    Entry(
        momo_adam,
        "recipe",
        "rate-free",
        identities=(("momo_adam(0.1, lower_bound=-1e30)", "adam(0.1)"),),
        optax_absent={"adapt_lower_bound": "lower_bound alone"},
        usual={"learning_rate": 0.01, **_MOMO_ADAM},
        source="Schaipp et al., arXiv:2305.07583, algorithm 2",
        year=2024,
        settings={
            "": Setting(
                called="momo_adam",
                label="MoMo-Adam",
                traffic=_MEAN_ADAM,
                optax=Peer("contrib.momo_adam", differs=f"{_DECAY}."),
                rates=(0.001, 0.01, 0.1),
                shared=_MOMO_ADAM,
                offered={"learning_rate": 0.5, **_MOMO_ADAM, "b2": 0.99},
            )
        },
        ranges={"b1": BELOW_ONE, "b2": BELOW_ONE, "lower_bound": Range("linear", -10.0, 10.0)},
        abouts=_MOMO_ABOUTS,
        laws=_LAWS,
    ),
)
