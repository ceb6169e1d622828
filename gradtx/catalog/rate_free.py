"""Entries of optimizers that learn their learning rate."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import BELOW_ONE, POSITIVE, SMALL, UP_TO_ONE, Range
from gradtx.optimizers.hypergradient import adam_hd, sgd_hd
from gradtx.optimizers.rate_free import dog, dowg, l_dog, polyak_sgd, prodigy
from gradtx.rates.adapt import adapt_learning_rate

_RATES = (0.3, 1.0, 3.0)
_ABOUTS = {"learning_rate": "the factor of the learnt rate; at least 0"}
_DOG = {"reps_rel": 1e-6, "eps": 1e-8}
_DOG_OFFERED = {"learning_rate": 1.0, "reps_rel": 1e-2, "eps": 1e-8}
_DOG_ABOUTS = {**_ABOUTS, "reps_rel": "the first distance, relative to one more than the norm of the parameters; > 0"}
_DOWG = {"init_dist": 1e-2, "eps": 1e-4}
_PRODIGY = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
_PRODIGY_REST = {"b3": None, "estim_lr0": 1e-6, "estim_lr_coef": 1.0, "mask": None}
_POLYAK = {"max_learning_rate": 1.0, "scaling": 1.0, "f_min": 0.0, "eps": 0.0}
_HYPER = {
    "learning_rate": "the learning rate of the first step; at least 0",
    "hyper_rate": "the rate at which the learning rate descends; at least 0",
    "max_rate": "the largest learning rate; greater than 0",
}
_HYPER_RANGES = {"learning_rate": Range("log", 1e-6, 1.0), "hyper_rate": SMALL}
_NORM = (28, 0)  # the second pass of the norm is counted, which runs for huge and tiny gradients only; optax 24
_LAWS = {"needs_params": True}

ENTRIES = (
    Entry(
        adapt_learning_rate,
        "wrapper",
        "how fast",
        usual={"learning_rate": 1.0, "per": "tree", "gradient_units": ("eps", "eps_root")},
        fields={
            "rate": "the learnt rate",
            "init_params": "the parameters at the start",
            "max_dist": "the largest distance from the start",
            "norm": "root of the sum of squared norms of g",
            "params0": "the parameters at the start",
            "grad_sum": "running sum of d·g",
            "prev_update": "the update of the step before",
        },
    ),
    Entry(
        dog,
        "recipe",
        "rate-free",
        optax_absent={
            "init_step": "reps_rel",
            "weight_decay": "add_decayed_weights in front of the inner transformation of adapt_learning_rate",
            "mask": "add_decayed_weights in front of the inner transformation of adapt_learning_rate",
        },
        usual={"learning_rate": 1.0, **_DOG},
        source="Ivgi et al., arXiv:2302.12022, equation 1",
        year=2023,
        settings={
            "": Setting(
                called="dog",
                label="DoG",
                optax=Peer("contrib.dog"),
                traffic=_NORM,
                rates=_RATES,
                shared=_DOG,
                offered=_DOG_OFFERED,
            )
        },
        ranges={"reps_rel": POSITIVE},
        abouts=_DOG_ABOUTS,
        laws=_LAWS,
    ),
    Entry(
        l_dog,
        "recipe",
        "rate-free",
        usual={"learning_rate": 1.0, **_DOG},
        source="Ivgi et al., arXiv:2302.12022, section 3.3",
        year=2023,
        settings={
            "": Setting(
                called="l_dog",
                label="L-DoG",
                traffic=_NORM,
                optax=Peer(
                    "scale_by_distance_over_gradients",
                    differs="optax's updates point uphill, and it has no learning rate.",
                ),
                rates=_RATES,
                shared=_DOG,
                offered=_DOG_OFFERED,
            )
        },
        ranges={"reps_rel": POSITIVE},
        abouts=_DOG_ABOUTS,
        laws=_LAWS,
    ),
    Entry(
        dowg,
        "recipe",
        "rate-free",
        optax_absent={
            "init_estim_sq_dist": "init_dist",
            "weight_decay": "add_decayed_weights in front of the inner transformation of adapt_learning_rate",
            "mask": "add_decayed_weights in front of the inner transformation of adapt_learning_rate",
        },
        usual={"learning_rate": 1.0, **_DOWG},
        source="Khaled et al., arXiv:2305.16284, algorithm 1",
        year=2023,
        settings={
            "": Setting(
                called="dowg",
                label="DoWG",
                optax=Peer("contrib.dowg"),
                traffic=_NORM,
                rates=_RATES,
                shared=_DOWG,
                offered={"learning_rate": 1.0, **_DOWG},
            ),
        },
        ranges={"init_dist": POSITIVE},
        abouts={**_ABOUTS, "init_dist": "the first distance from the start; greater than 0"},
        laws=_LAWS,
    ),
    Entry(
        prodigy,
        "recipe",
        "rate-free",
        identities=(("prodigy(1.0)", "dadapt_adamw(1.0)"),),
        optax_absent={
            "betas": "two numbers, b1 and b2",
            "beta3": "b3",
            "safeguard_warmup": "a schedule as learning_rate is part of the estimate",
        },
        usual={"learning_rate": 1.0, **_PRODIGY, **_PRODIGY_REST, "bias_correction": False},
        source="Mishchenko & Defazio, arXiv:2306.06101, algorithm 4",
        year=2023,
        settings={
            "": Setting(
                called="prodigy",
                label="Prodigy",
                optax=Peer(
                    "contrib.prodigy",
                    ours={"bias_correction": True, "eps": 1e-30},
                    differs="optax's always has bias corrections, and adds eps times the new rate.",
                ),
                traffic=(68, 0),  # a sum and three outputs read the gradients; as optax
                rates=_RATES,
                shared=_PRODIGY,
                offered={"learning_rate": 1.0, "b1": 0.9, "b2": 0.99, "eps": 1e-8, "estim_lr0": 1e-2},
            ),
            "corrected": Setting(
                traffic=(68, 0), arguments={"bias_correction": True, "weight_decay": 0.1, "mask": "**"}
            ),
        },
        ranges={"b1": BELOW_ONE, "b2": UP_TO_ONE, "b3": UP_TO_ONE, "estim_lr0": POSITIVE, "estim_lr_coef": POSITIVE},
        abouts={
            **_ABOUTS,
            "b3": "the weight of the past in the estimate; in [0, 1]",
            "estim_lr0": "the rate before the first step; greater than 0",
            "estim_lr_coef": "a factor of the estimate; greater than 0",
        },
        laws=_LAWS,
    ),
    Entry(
        polyak_sgd,
        "recipe",
        "rate-free",
        identities=(("polyak_sgd(0.1, f_min=-1e30)", "sgd(0.1)"),),
        optax_absent={"variant": "the plain one"},
        usual=_POLYAK,
        source="Loizou et al., arXiv:2002.10542",
        year=2021,
        settings={
            "": Setting(
                called="polyak_sgd",
                label="Polyak SGD",
                traffic=(20, 0),  # as DoG; optax 16
                optax=Peer(
                    "polyak_sgd",
                    differs="optax's leads uphill where the loss is below f_min, unless asked; its scaling divides.",
                ),
                rates=(0.1, 1.0, 10.0),
                shared={"f_min": 0.0, "eps": 0.0, "scaling": 1.0},
                offered={"max_learning_rate": 0.1, "f_min": 0.0},
            )
        },
        ranges={"max_learning_rate": Range("log", 0.0, 10.0), "f_min": Range("linear", -10.0, 10.0)},
        abouts={
            "max_learning_rate": "the largest learning rate; at least 0",
            "f_min": "the least value of the loss, or a number below it",
        },
    ),
    Entry(
        sgd_hd,
        "recipe",
        "hypergradient",
        identities=(("sgd_hd(0.1, hyper_rate=0.0)", "sgd(0.1)"),),
        usual={"learning_rate": 1e-3, "hyper_rate": 1e-3, "max_rate": 1.0},
        source="Baydin et al., arXiv:1703.04782, algorithm 4",
        year=2018,
        settings={
            "": Setting(
                called="sgd_hd",
                label="SGD-HD",
                traffic=(44, 8),  # the last step has two readers, and is itself a result; not in optax
                rates=(0.001, 0.01, 0.1),
                shared={"hyper_rate": 1e-3, "max_rate": 1.0},
                offered={"learning_rate": 0.01, "hyper_rate": 1e-7},
            )
        },
        ranges=_HYPER_RANGES,
        abouts=_HYPER,
        laws=_LAWS,
    ),
    Entry(
        adam_hd,
        "recipe",
        "hypergradient",
        identities=(("adam_hd(0.1, hyper_rate=0.0)", "adam(0.1)"),),
        usual={"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "hyper_rate": 1e-7, "max_rate": 1.0},
        source="Baydin et al., arXiv:1703.04782, algorithm 6",
        year=2018,
        settings={
            "": Setting(
                called="adam_hd",
                label="Adam-HD",
                traffic=(80, 4),  # the same
                rates=(0.0001, 0.001, 0.01),
                shared={"b1": 0.9, "b2": 0.999, "eps": 1e-8, "hyper_rate": 1e-7, "max_rate": 1.0},
                offered={"learning_rate": 0.3, "b1": 0.9, "b2": 0.99, "eps": 1e-8, "hyper_rate": 1e-5},
            )
        },
        ranges=_HYPER_RANGES,
        abouts=_HYPER,
        laws=_LAWS,
    ),
)
