"""Entries of NAdam and AdaMax, with and without decay."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.optimizers.adamax import adamax, adamaxw, scale_by_adamax
from gradtx.optimizers.nadam import nadam, nadamw, scale_by_scheduled_nadam

_MOMENTS = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
_ROOTED = {**_MOMENTS, "eps_root": 0.0}
_DECAY = {"weight_decay": 1e-4, "mask": None}
_FIELDS = {"count": "updates so far", "mu": "running mean of g", "nu": "running mean of |g|²"}
_RATES = (0.0003, 0.001, 0.003, 0.01)
_ADAMAX_ABOUTS = {
    "b2": "the weight of the past in the decaying maximum; in [0, 1)",
    "eps": "added to the size of each gradient before the maximum; at least 0; in the units of the gradient",
}
_KINGMA = "Kingma & Ba, arXiv:1412.6980"
_DECOUPLED = "Loshchilov & Hutter, arXiv:1711.05101"

ENTRIES = (
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
        identities=(("nadam(0.1, b1=0.0)", "adam(0.1, b1=0.0)"),),
        optax_absent={"nesterov": "`adam`"},
        usual={"learning_rate": 1e-3, **_ROOTED, "momentum_decay": None},
        source="Dozat, ICLR workshop",
        year=2016,
        settings={
            "": Setting(
                called="nadam",
                demo=True,
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
        identities=(("adamax(0.1, b1=0.0, b2=0.0)", "chain(scale_by_sign(), scale_by_learning_rate(0.1))"),),
        usual={"learning_rate": 2e-3, **_MOMENTS},
        source=f"{_KINGMA}, section 7.1",
        year=2015,
        abouts=_ADAMAX_ABOUTS,
        settings={
            "": Setting(
                called="adamax",
                demo=True,
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
    Entry(
        nadamw,
        "recipe",
        "nadam",
        identities=(("nadamw(0.1, weight_decay=0.0)", "nadam(0.1)"),),
        optax_absent={"nesterov": "`adamw`"},
        usual={"learning_rate": 1e-3, **_ROOTED, **_DECAY, "momentum_decay": None},
        source=f"{_DECOUPLED}, for NAdam",
        year=2019,
        settings={
            "": Setting(
                called="nadamw",
                label="NAdamW",
                optax=Peer("nadamw"),
                traffic=(44, 0),  # as adam with nesterov
                rates=_RATES,
                shared={**_MOMENTS, "weight_decay": 1e-4},
                offered={"learning_rate": 0.2, **_ROOTED, "weight_decay": 1e-4},
            ),
            "rising": Setting(
                arguments={"momentum_decay": 0.004},
                torch=Peer("NAdam", {"decoupled_weight_decay": True, "weight_decay": 1e-4}),
                traffic=(44, 0),
            ),
        },
        laws={"needs_params": True},
    ),
    Entry(
        adamaxw,
        "recipe",
        "adamax",
        identities=(("adamaxw(0.1, weight_decay=0.0)", "adamax(0.1)"),),
        usual={"learning_rate": 2e-3, **_MOMENTS, **_DECAY},
        source=f"{_DECOUPLED}, for AdaMax",
        year=2019,
        abouts=_ADAMAX_ABOUTS,
        settings={
            "": Setting(
                called="adamaxw",
                label="AdaMaxW",
                optax=Peer("adamaxw"),
                rates=(0.0006, 0.002, 0.006, 0.02),
                shared={**_MOMENTS, "weight_decay": 1e-4},
                offered={"learning_rate": 0.2, **_MOMENTS, "weight_decay": 1e-4},
            )
        },
        laws={"needs_params": True},
    ),
)
