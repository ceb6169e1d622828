"""Entries of what learns its learning rate."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import POSITIVE
from gradtx.optimizers.rate_free import dog, dowg, l_dog
from gradtx.rates.adapt import adapt_learning_rate

_RATES = (0.3, 1.0, 3.0)
_ABOUTS = {"learning_rate": "the factor of the learnt rate; at least 0"}
_DOG = {"reps_rel": 1e-6, "eps": 1e-8}
_DOG_ABOUTS = {**_ABOUTS, "reps_rel": "the first distance, relative to one more than the norm of the parameters; > 0"}
_DOWG = {"init_dist": 1e-2, "eps": 1e-4}
_LAWS = {"needs_params": True}

ENTRIES = (
    Entry(
        adapt_learning_rate,
        "wrapper",
        "how fast",
        usual={"learning_rate": 1.0, "per": "tree", "gradient_units": ("eps",)},
    ),
    Entry(
        dog,
        "recipe",
        "rate-free",
        usual={"learning_rate": 1.0, **_DOG},
        source="Ivgi et al., arXiv:2302.12022, equation 1",
        year=2023,
        settings={
            "": Setting(called="dog", label="DoG", optax=Peer("contrib.dog"), rates=_RATES, shared=_DOG),
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
        settings={"": Setting(called="l_dog", label="L-DoG", rates=_RATES, shared=_DOG)},
        ranges={"reps_rel": POSITIVE},
        abouts=_DOG_ABOUTS,
        laws=_LAWS,
    ),
    Entry(
        dowg,
        "recipe",
        "rate-free",
        usual={"learning_rate": 1.0, **_DOWG},
        source="Khaled et al., arXiv:2305.16284, algorithm 1",
        year=2023,
        settings={
            "": Setting(called="dowg", label="DoWG", optax=Peer("contrib.dowg"), rates=_RATES, shared=_DOWG),
        },
        ranges={"init_dist": POSITIVE},
        abouts={**_ABOUTS, "init_dist": "the first distance from the start; greater than 0"},
        laws=_LAWS,
    ),
)
