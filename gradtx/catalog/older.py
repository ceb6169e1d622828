"""Entries of methods beside Adam's family: signs, noise, dual averages."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import BELOW_ONE, SMALL
from gradtx.optimizers.sgd import noisy_sgd
from gradtx.optimizers.sign_sgd import sign_sgd, signum

_SIGNUM_ABOUT = {"beta": "the weight of the past in the running mean of gradients; in [0, 1)"}
_NOISE_ABOUT = {
    "eta": "the variance of the noise at the first step; at least 0; in squared gradient units",
    "gamma": "how fast the variance of the noise decreases; at least 0",
}
_SIGN_RATES = (0.00003, 0.0001, 0.0003, 0.001)
_NOISE = {"eta": 0.01, "gamma": 0.55}

ENTRIES = (
    Entry(
        sign_sgd,
        "recipe",
        "signs",
        usual={"learning_rate": 1e-3},
        source="Bernstein et al., arXiv:1802.04434, algorithm 1",
        year=2018,
        settings={
            "": Setting(
                called="sign_sgd",
                label="signSGD",
                optax=Peer("sign_sgd"),
                rates=_SIGN_RATES,
                offered={"learning_rate": 0.05},
            )
        },
        laws={"smooth": False},
    ),
    Entry(
        signum,
        "recipe",
        "signs",
        usual={"learning_rate": 1e-3, "beta": 0.9},
        source="Bernstein et al., arXiv:1802.04434, algorithm 2",
        year=2018,
        ranges={"beta": BELOW_ONE},
        abouts=_SIGNUM_ABOUT,
        settings={
            "": Setting(
                called="signum",
                label="Signum",
                optax=Peer("signum"),
                rates=_SIGN_RATES,
                shared={"beta": 0.9},
                offered={"learning_rate": 0.05, "beta": 0.9},
            )
        },
        laws={"smooth": False},
    ),
    Entry(
        noisy_sgd,
        "recipe",
        "sgd",
        usual={"learning_rate": 0.01, **_NOISE, "seed": 3},
        source="Neelakantan et al., arXiv:1511.06807",
        year=2015,
        ranges={"eta": SMALL, "gamma": SMALL},
        abouts=_NOISE_ABOUT,
        settings={
            "": Setting(
                called="noisy_sgd",
                label="SGD with noise",
                optax=Peer(
                    "noisy_sgd",
                    {"key": 3, "seed": None},
                    differs="optax draws other random numbers of the same variances.",
                ),
                traffic=(68, 16),  # random bits, and their normal numbers
                rates=(0.01, 0.03, 0.1, 0.3),
                shared=_NOISE,
            )
        },
        not_offered="its steps are random",
    ),
)
