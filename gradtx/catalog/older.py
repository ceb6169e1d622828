"""Entries of methods outside Adam's family: signs, noise, dual averages."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import BELOW_ONE, SMALL
from gradtx.optimizers.ftrl import ftrl, scale_by_ftrl
from gradtx.optimizers.madgrad import madgrad, scale_by_madgrad
from gradtx.optimizers.sgd import noisy_sgd
from gradtx.optimizers.sign_sgd import sign_sgd, signum

_SIGNUM_ABOUT = {"beta": "the weight of the past in the running mean of gradients; in [0, 1)"}
_NOISE_ABOUT = {
    "eta": "the variance of the noise at the first step; at least 0; in squared gradient units",
    "gamma": "how fast the variance of the noise decreases; at least 0",
}
_MADGRAD = {"momentum": 0.9, "eps": 1e-6}
_MADGRAD_RANGE = {"momentum": BELOW_ONE}
_MADGRAD_ABOUT = {
    "momentum": "the share of the parameters that is kept at each step; in [0, 1)",
    "eps": "added to the learning rate and to the cube root; at least 0",
}
_MADGRAD_SOURCE = "Defazio & Jelassi, arXiv:2101.11075, algorithm 1"
_MADGRAD_OPTAX = "optax computes the weights of the gradients in float32, also for float64 parameters."
_FTRL = {"initial_accumulator_value": 0.1, "l1": 0.0, "l2": 0.0, "beta": 0.0}
_FTRL_RANGES = {"l1": SMALL, "l2": SMALL, "beta": SMALL}
_FTRL_ABOUTS = {
    "l1": "the weight of |w|, which makes parameters exactly 0; at least 0",
    "l2": "the weight of w²; at least 0",
    "beta": "added to the root of the sum of squares; at least 0; in gradient units",
}
_FTRL_SOURCE = 'McMahan et al., "Ad click prediction: a view from the trenches", algorithm 1'
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
        identities=(("signum(0.1, beta=0.0)", "chain(scale_by_sign(), scale_by_learning_rate(0.1))"),),
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
        identities=(("noisy_sgd(0.1, eta=0.0, key=0)", "sgd(0.1)"),),
        optax_absent={"seed": "key"},
        usual={"learning_rate": 0.01, **_NOISE, "key": 3},
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
                    differs="optax draws other random numbers of the same variances.",
                ),
                traffic=(68, 16),  # random bits, and their normal numbers
                rates=(0.01, 0.03, 0.1, 0.3),
                shared=_NOISE,
            )
        },
        not_offered="its steps are random",
    ),
    Entry(
        scale_by_madgrad,
        "piece",
        "dual averages",
        usual={"learning_rate": 1e-2, **_MADGRAD},
        source=_MADGRAD_SOURCE,
        year=2021,
        ranges=_MADGRAD_RANGE,
        abouts=_MADGRAD_ABOUT,
        settings={"": Setting(optax=Peer("contrib.scale_by_madgrad", differs=_MADGRAD_OPTAX))},
        fields={
            "count": "updates so far",
            "grad_sum_sq": "weighted sum of |g|²",
            "s": "weighted sum of g",
            "x0": "the parameters at init",
        },
        laws={"needs_params": True},
    ),
    Entry(
        madgrad,
        "recipe",
        "dual averages",
        usual={"learning_rate": 1e-2, **_MADGRAD, "weight_decay": None},
        source=_MADGRAD_SOURCE,
        year=2021,
        ranges=_MADGRAD_RANGE,
        abouts=_MADGRAD_ABOUT,
        settings={
            "": Setting(
                called="madgrad",
                label="MADGRAD",
                optax=Peer("contrib.madgrad", {"weight_decay": 0.0}, differs=_MADGRAD_OPTAX),
                rates=(0.001, 0.003, 0.01, 0.03),
                shared=_MADGRAD,
                offered={"learning_rate": 0.1, **_MADGRAD},
            )
        },
        laws={"needs_params": True},
    ),
    Entry(
        scale_by_ftrl,
        "piece",
        "dual averages",
        usual={"learning_rate": 0.1, **_FTRL},
        source=_FTRL_SOURCE,
        year=2013,
        ranges=_FTRL_RANGES,
        abouts=_FTRL_ABOUTS,
        fields={"root": "root of the sum of |g|²", "z": "what the parameters are computed from"},
        laws={"needs_params": True},
    ),
    Entry(
        ftrl,
        "recipe",
        "dual averages",
        usual={"learning_rate": 0.1, **_FTRL},
        source=_FTRL_SOURCE,
        year=2013,
        ranges=_FTRL_RANGES,
        abouts=_FTRL_ABOUTS,
        settings={
            "": Setting(
                called="ftrl",
                label="FTRL",
                keras=Peer("Ftrl", differs="Keras starts as if the parameters were 0, and jumps there."),
                traffic=(60, 4),  # the old root has two readers, the old parameters too; not in optax
                rates=(0.01, 0.03, 0.1, 0.3),
                shared={"initial_accumulator_value": 0.1},
                offered={"learning_rate": 1.0, **_FTRL},
            ),
            "sparse": Setting(arguments={"l1": 0.1, "l2": 0.01, "beta": 1.0}, traffic=(60, 4)),
        },
        laws={"needs_params": True, "smooth": False},
    ),
)
