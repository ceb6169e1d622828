"""Entries of methods that divide by the root of a sum, or of a running mean, of squares."""

from __future__ import annotations

from gradtx import moments
from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import BELOW_ONE, POSITIVE
from gradtx.optimizers.adadelta import adadelta, scale_by_adadelta
from gradtx.optimizers.adagrad import accumulate_squares, adagrad, sm3
from gradtx.optimizers.rmsprop import rmsprop, scale_by_rms, scale_by_stddev

_RMS = {"decay": 0.9, "eps": 1e-8, "initial_scale": 0.0, "eps_in_sqrt": True, "bias_correction": False}
_MOMENT = {"moment": moments.full()}
_RMSPROP = {"centered": False, "momentum": None, "nesterov": False, "rate_in_momentum": True}
_RMS_OFFERED = {
    "learning_rate": 0.05,
    "decay": 0.9,
    "eps": 1e-8,
    "initial_scale": 0.0,
    "eps_in_sqrt": True,
    "momentum": 0.0,  # passes the step on, to the bit
    "nesterov": False,
}
_TORCH_RMS = {"decay": 0.99, "eps_in_sqrt": False, "rate_in_momentum": False}


def _rms_settings(optax: str, differs: str | None = None) -> dict[str, Setting]:
    corrected = {"eps_in_sqrt": False, "bias_correction": True}
    return {
        "": Setting(optax=Peer(optax)),
        "outside": Setting(arguments={"eps_in_sqrt": False}, optax=Peer(optax)),
        "corrected": Setting(arguments=corrected, optax=Peer(optax, differs=differs)),
    }


ENTRIES = (
    Entry(
        accumulate_squares,
        "piece",
        "adagrad",
        usual={"initial_accumulator_value": 0.1, "eps": 1e-7, "eps_in_sqrt": True, **_MOMENT},
        source="Duchi, Hazan & Singer",
        year=2011,
        settings={
            "": Setting(optax=Peer("scale_by_rss")),
            "outside": Setting(arguments={"initial_accumulator_value": 0.0, "eps": 0.0, "eps_in_sqrt": False}),
            "max of axes": Setting(arguments={"moment": moments.max_of_axes()}),
        },
        fields={"sum_of_squares": "sum of |g|²"},
        optax_names=("scale_by_rss",),
        normalizes=True,
        after_huge="never",
    ),
    Entry(
        adagrad,
        "recipe",
        "adagrad",
        identities=(("adagrad(0.1, 0.1, eps=0.0)", "ftrl(0.1, initial_accumulator_value=0.1)"),),
        usual={"learning_rate": 0.1, "initial_accumulator_value": 0.1, "eps": 1e-7, "eps_in_sqrt": True},
        source="Duchi, Hazan & Singer",
        year=2011,
        settings={
            "": Setting(
                called="adagrad",
                demo=True,
                label="Adagrad",
                optax=Peer("adagrad"),
                torch=Peer("Adagrad", ours={"initial_accumulator_value": 0.0, "eps": 1e-10, "eps_in_sqrt": False}),
                keras=Peer("Adagrad"),
                rates=(0.01, 0.03, 0.1, 0.3),
                quick=True,
                # optax adds eps inside the root, torch outside: with 0 both do the same.
                shared={"initial_accumulator_value": 0.1, "eps": 0.0},
                offered={"learning_rate": 1.0, "initial_accumulator_value": 0.1, "eps": 1e-7, "eps_in_sqrt": True},
            )
        },
    ),
    Entry(
        scale_by_rms,
        "piece",
        "rmsprop",
        usual={**_RMS, **_MOMENT},
        source="Tieleman & Hinton, lecture 6.5",
        year=2012,
        settings={
            **_rms_settings("scale_by_rms"),
            "per leaf": Setting(arguments={"moment": moments.per_leaf(), "bias_correction": True}),
            "factored": Setting(arguments={"moment": moments.factored(), "eps": 0.0}),
        },
        fields={"count": "updates so far", "nu": "running mean of |g|²"},
        normalizes=True,
    ),
    Entry(
        scale_by_stddev,
        "piece",
        "rmsprop",
        usual=_RMS,
        source="Graves, arXiv:1308.0850, equations 38 to 45",
        year=2013,
        settings=_rms_settings("scale_by_stddev", "optax's first variance may be negative, and its root NaN."),
        fields={"count": "updates so far", "mu": "running mean of g", "nu": "running variance of g"},
        normalizes=True,
    ),
    Entry(
        rmsprop,
        "recipe",
        "rmsprop",
        identities=(
            ("rmsprop(0.1, decay=0.0, eps=0.0)", "chain(scale_by_sign(), scale_by_learning_rate(0.1))"),
            ("rmsprop(0.1, decay=1.0, eps=1.0)", "sgd(0.1)"),
        ),
        usual={"learning_rate": 1e-2, **_RMS, **_RMSPROP},
        source="Tieleman & Hinton, lecture 6.5",
        year=2012,
        settings={
            "": Setting(
                called="rmsprop",
                demo=True,
                label="RMSProp",
                optax=Peer("rmsprop"),
                torch=Peer("RMSprop", ours=_TORCH_RMS),
                keras=Peer("RMSprop", ours={"eps": 1e-7}),
                rates=(0.0003, 0.001, 0.003, 0.01),
                quick=True,
                # torch adds eps outside the root only.
                shared={"decay": 0.9, "eps": 1e-8, "eps_in_sqrt": False},
                offered=_RMS_OFFERED,
            ),
            "momentum": Setting(
                arguments={"momentum": 0.9},
                optax=Peer("rmsprop"),
                torch=Peer("RMSprop", {"momentum": 0.9}, ours=_TORCH_RMS),
                keras=Peer("RMSprop", {"momentum": 0.9}, ours={"eps": 1e-7}),
            ),
            "nesterov": Setting(
                arguments={"momentum": 0.9, "nesterov": True},
                optax=Peer("rmsprop"),
                traffic=(52, 4),  # the momentum and the update read the scaled gradient of the piece before; optax 56
            ),
            "corrected": Setting(arguments={"bias_correction": True}, optax=Peer("rmsprop")),
            "only_centered": Setting(
                arguments={"centered": True},
                called="rmsprop_centered",
                label="RMSProp, centered",
                optax=Peer("rmsprop"),
                torch=Peer("RMSprop", {"centered": True}, ours=_TORCH_RMS),
                keras=Peer("RMSprop", {"centered": True}, ours={"eps": 1e-7}),
                traffic=(44, 0),  # the variance reads m', v and g: 12 + 16 + 16, as optax
                offered=_RMS_OFFERED,
            ),
            "centered": Setting(
                arguments={"centered": True, "momentum": 0.9, **_TORCH_RMS},
                torch=Peer("RMSprop", {"centered": True, "momentum": 0.9}),
                traffic=(56, 0),  # the same, and the momentum
            ),
        },
    ),
    Entry(
        scale_by_adadelta,
        "piece",
        "adadelta",
        usual={"rho": 0.9, "eps": 1e-6},
        source="Zeiler, arXiv:1212.5701, algorithm 1",
        year=2012,
        settings={"": Setting(optax=Peer("scale_by_adadelta"))},
        ranges={"eps": POSITIVE},
        fields={"e_g": "running mean of |g|²", "e_x": "running mean of |u|²"},
        normalizes=True,
    ),
    Entry(
        adadelta,
        "recipe",
        "adadelta",
        usual={"learning_rate": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": None, "weight_decay_mask": None},
        source="Zeiler, arXiv:1212.5701",
        year=2012,
        settings={
            "": Setting(
                called="adadelta",
                demo=True,
                label="AdaDelta",
                optax=Peer("adadelta", {"weight_decay": 0.0}),
                torch=Peer("Adadelta"),
                keras=Peer("Adadelta", ours={"rho": 0.95, "eps": 1e-7}),
                rates=(0.1, 0.3, 1.0, 3.0),
                traffic=(48, 0),  # each of two means is read by the next output: 12 + 16 + 20; optax 68
                shared={"rho": 0.9, "eps": 1e-6},
                offered={"learning_rate": 1.0, "rho": 0.9, "eps": 1e-6},
            )
        },
        ranges={"eps": POSITIVE},
    ),
    Entry(
        sm3,
        "recipe",
        "adagrad",
        usual={"learning_rate": 0.1, "momentum": 0.9},
        source="Anil et al., arXiv:1901.11150, algorithm 2",
        year=2019,
        settings={
            "": Setting(
                called="sm3",
                label="SM3",
                optax=Peer("sm3", differs="optax's fails where a leaf is a scalar; for others it does the same."),
                shared={"momentum": 0.9},
                rates=(0.01, 0.03, 0.1, 0.3),
                offered={"learning_rate": 1.0, "momentum": 0.9},
            )
        },
        ranges={"momentum": BELOW_ONE},
        abouts={"momentum": "the weight of the past in the mean of divided gradients; in [0, 1)"},
    ),
)
