"""Entries of Adam and the methods that are named after it."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.optimizers.adam import adam, adamw, scale_by_adam, scale_by_nadam
from gradtx.optimizers.amsgrad import amsgrad, scale_by_amsgrad

_MOMENTS = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
_ROOTED = {**_MOMENTS, "eps_root": 0.0}
_CORRECTED = {"bias_correction_mu": True, "bias_correction_nu": True}
_FIELDS = {"count": "updates so far", "mu": "running mean of g", "nu": "running mean of |g|²"}
_RATES = (0.0003, 0.001, 0.003, 0.01)
_KINGMA = "Kingma & Ba, arXiv:1412.6980"
_KERAS_EPS = "Keras adds eps to the root of the uncorrected second moment, where it weighs more in the first steps."

ENTRIES = (
    Entry(
        scale_by_adam,
        "piece",
        "adam",
        optax_absent={"nesterov": "a piece of its own; `adam` has the flag"},
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
        identities=(
            ("adam(0.1, b1=0.0, b2=0.0, eps=0.0)", "chain(scale_by_sign(), scale_by_learning_rate(0.1))"),
            ("adam(0.1, b1=0.0, b2=0.9)", "rmsprop(0.1, 0.9, bias_correction=True, eps_in_sqrt=False)"),
        ),
        usual={"learning_rate": 1e-3, **_ROOTED, "nesterov": False},
        source=_KINGMA,
        year=2015,
        settings={
            "": Setting(
                called="adam",
                demo=True,
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
        identities=(("adamw(0.1, weight_decay=0.0)", "adam(0.1)"),),
        usual={"learning_rate": 1e-3, **_ROOTED, "weight_decay": 1e-2, "mask": None, "nesterov": False},
        source="Loshchilov & Hutter, arXiv:1711.05101, algorithm 2",
        year=2019,
        settings={
            "": Setting(
                called="adamw",
                demo=True,
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
        usual={**_ROOTED, "maximum_of": "corrected", **_CORRECTED},
        source="Reddi, Kale & Kumar, arXiv:1904.09237, algorithm 2",
        year=2018,
        settings={
            "": Setting(optax=Peer("scale_by_amsgrad")),
            "raw": Setting(arguments={"maximum_of": "raw"}),
            "uncorrected": Setting(
                arguments=dict.fromkeys(_CORRECTED, False),
                optax=Peer("scale_by_amsgrad"),
            ),
        },
        fields={**_FIELDS, "nu_max": "largest second moment"},
        normalizes=True,
        after_huge="never",
    ),
    Entry(
        amsgrad,
        "recipe",
        "amsgrad",
        usual={"learning_rate": 1e-3, **_ROOTED, "maximum_of": "corrected", **_CORRECTED},
        source="Reddi, Kale & Kumar, arXiv:1904.09237",
        year=2018,
        settings={
            "": Setting(
                called="amsgrad",
                demo=True,
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
)
