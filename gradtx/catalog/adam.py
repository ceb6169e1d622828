"""Entries of Adam and the methods that are named after it."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.optimizers.adam import adam, adamw, scale_by_adam, scale_by_nadam
from gradtx.optimizers.adamax import adamax, scale_by_adamax
from gradtx.optimizers.amsgrad import amsgrad, scale_by_amsgrad
from gradtx.optimizers.nadam import nadam, scale_by_scheduled_nadam

_MOMENTS = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
_ROOTED = {**_MOMENTS, "eps_root": 0.0}
_FIELDS = {"count": "updates so far", "mu": "running mean of g", "nu": "running mean of |g|²"}
_RATES = (0.0003, 0.001, 0.003, 0.01)
_ADAMAX_ABOUTS = {
    "b2": "the weight of the past in the decaying maximum; in [0, 1)",
    "eps": "added to the size of each gradient before the maximum; at least 0; in the units of the gradient",
}
_KINGMA = "Kingma & Ba, arXiv:1412.6980"
_KERAS_EPS = "Keras adds eps to the root of the uncorrected second moment, where it weighs more in the first steps."

ENTRIES = (
    Entry(
        scale_by_adam,
        "piece",
        "adam",
        usual=_ROOTED,
        source=f"{_KINGMA}, algorithm 1",
        year=2015,
        settings={
            "": Setting(optax=Peer("scale_by_adam")),
            "root": Setting(arguments={"b1": 0.5, "b2": 0.9, "eps": 0.0, "eps_root": 1e-8}),
        },
        fields=_FIELDS,
        normalizes=True,
        after_huge="slow",
    ),
    Entry(
        scale_by_nadam,
        "piece",
        "adam",
        usual=_ROOTED,
        source="Dozat, ICLR workshop, algorithm 2 with a constant b1",
        year=2016,
        settings={"": Setting(optax=Peer("scale_by_adam", {"nesterov": True}))},
        fields=_FIELDS,
        normalizes=True,
        after_huge="slow",
    ),
    Entry(
        adam,
        "recipe",
        "adam",
        usual={"learning_rate": 1e-3, **_ROOTED, "nesterov": False},
        source=_KINGMA,
        year=2015,
        settings={
            "": Setting(
                called="adam",
                label="Adam",
                optax=Peer("adam"),
                torch=Peer("Adam"),
                keras=Peer("Adam", differs=_KERAS_EPS),
                rates=_RATES,
                quick=True,
                shared=_MOMENTS,
                offered={"learning_rate": 0.2, **_ROOTED},
            ),
            "nesterov": Setting(
                arguments={"nesterov": True},
                optax=Peer("adam"),
                traffic=(44, 0),  # the update reads m', v' and g: 12 + 12 + 20, as optax
            ),
        },
    ),
    Entry(
        adamw,
        "recipe",
        "adam",
        usual={"learning_rate": 1e-3, **_ROOTED, "weight_decay": 1e-2, "mask": None, "nesterov": False},
        source="Loshchilov & Hutter, arXiv:1711.05101, algorithm 2",
        year=2019,
        settings={
            "": Setting(
                called="adamw",
                label="AdamW",
                optax=Peer("adamw"),
                torch=Peer("AdamW"),
                keras=Peer("AdamW", differs=_KERAS_EPS),
                rates=_RATES,
                shared={**_MOMENTS, "weight_decay": 1e-2},
                offered={"learning_rate": 0.2, **_ROOTED, "weight_decay": 1e-4, "nesterov": False},
            )
        },
        laws={"needs_params": True},
    ),
    Entry(
        scale_by_amsgrad,
        "piece",
        "amsgrad",
        usual={**_ROOTED, "maximum_of": "corrected"},
        source="Reddi, Kale & Kumar, arXiv:1904.09237, algorithm 2",
        year=2018,
        settings={"": Setting(optax=Peer("scale_by_amsgrad")), "raw": Setting(arguments={"maximum_of": "raw"})},
        fields={**_FIELDS, "nu_max": "largest second moment"},
        normalizes=True,
        after_huge="never",
    ),
    Entry(
        amsgrad,
        "recipe",
        "amsgrad",
        usual={"learning_rate": 1e-3, **_ROOTED, "maximum_of": "corrected"},
        source="Reddi, Kale & Kumar, arXiv:1904.09237",
        year=2018,
        settings={
            "": Setting(
                called="amsgrad",
                label="AMSGrad",
                optax=Peer("amsgrad"),
                torch=Peer(
                    "Adam",
                    {"amsgrad": True},
                    ours={"maximum_of": "raw"},
                    differs="torch takes the maximum of the second moment before it is corrected for its start at 0, "
                    "gradtx and optax after; gradtx has torch's as maximum_of='raw'.",
                ),
                keras=Peer(
                    "Adam",
                    {"amsgrad": True, "epsilon": 1e-30},
                    ours={"eps": 1e-30, "maximum_of": "raw"},
                    differs=_KERAS_EPS,
                ),
                rates=_RATES,
                shared=_MOMENTS,
                offered={"learning_rate": 0.2, **_ROOTED, "maximum_of": "corrected"},
            ),
            "raw": Setting(arguments={"maximum_of": "raw"}),
        },
    ),
    Entry(
        scale_by_scheduled_nadam,
        "piece",
        "nadam",
        usual={**_ROOTED, "momentum_decay": 0.004},
        source="Dozat, ICLR workshop, section 2 and algorithm 2",
        year=2016,
        fields={**_FIELDS, "rest": "1 - μ_1·…·μ_t"},
        normalizes=True,
        after_huge="slow",
    ),
    Entry(
        nadam,
        "recipe",
        "nadam",
        usual={"learning_rate": 1e-3, **_ROOTED, "momentum_decay": None},
        source="Dozat, ICLR workshop",
        year=2016,
        settings={
            "": Setting(
                called="nadam",
                label="NAdam",
                optax=Peer("nadam"),
                # So large that its b1 is constant; its powers are computed in float32.
                torch=Peer("NAdam", {"momentum_decay": 1e6}),
                traffic=(44, 0),  # as adam with nesterov
                rates=_RATES,
                shared=_MOMENTS,
                offered={"learning_rate": 0.2, **_ROOTED},
            ),
            "rising": Setting(
                arguments={"momentum_decay": 0.004},
                called="nadam_scheduled",
                label="NAdam, rising b1",
                torch=Peer("NAdam"),
                traffic=(44, 0),
                keras=Peer("Nadam", ours={"eps": 1e-7, "momentum_decay": 1.0}),
                offered={"learning_rate": 0.2, **_ROOTED, "momentum_decay": 0.004},
            ),
        },
    ),
    Entry(
        scale_by_adamax,
        "piece",
        "adamax",
        usual=_MOMENTS,
        source=f"{_KINGMA}, algorithm 2",
        year=2015,
        abouts=_ADAMAX_ABOUTS,
        settings={"": Setting(optax=Peer("scale_by_adamax"))},
        fields={**_FIELDS, "nu": "decaying maximum of |g|"},
        normalizes=True,
        after_huge="slow",
    ),
    Entry(
        adamax,
        "recipe",
        "adamax",
        usual={"learning_rate": 2e-3, **_MOMENTS},
        source=f"{_KINGMA}, section 7.1",
        year=2015,
        abouts=_ADAMAX_ABOUTS,
        settings={
            "": Setting(
                called="adamax",
                label="AdaMax",
                optax=Peer("adamax"),
                torch=Peer("Adamax"),
                keras=Peer(
                    "Adamax",
                    {"epsilon": 1e-30},
                    ours={"eps": 0.0},
                    differs="Keras adds eps to the maximum; gradtx takes the maximum with |g| + eps.",
                ),
                rates=(0.001, 0.003, 0.01, 0.03),
                shared=_MOMENTS,
                offered={"learning_rate": 0.2, **_MOMENTS},
            )
        },
    ),
)
