"""Entries of quotients: any numerator over the root of a second moment, and recipes that keep spikes out of it."""

from __future__ import annotations

from gradtx import moments
from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.catalog.hyperparameters import POSITIVE, Range
from gradtx.optimizers.adopt import adopt, scale_by_previous_rms
from gradtx.optimizers.stable_adamw import stable_adamw
from gradtx.transforms.parameter_scale import scale_by_param_block_rms
from gradtx.transforms.ratio import divide_by_capped_rms, divide_by_rms

_ADOPT = "Taniguchi et al., arXiv:2411.02853, algorithm 2"
_RATES = (0.0003, 0.001, 0.003, 0.01)

ENTRIES = (
    Entry(
        scale_by_param_block_rms,
        "piece",
        "norms",
        usual={"min_scale": 1e-3, "axis_name": None},
        source="Shazeer & Stern, arXiv:1804.04235, section 8",
        year=2018,
        settings={
            "": Setting(
                optax=Peer(
                    "scale_by_param_block_rms", differs="optax's mean of squares overflows for parameters above 1.8e19."
                )
            )
        },
        laws={"needs_params": True},
    ),
    Entry(
        divide_by_rms,
        "wrapper",
        "quotients",
        usual={"b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "bias_correction": True, "moment": moments.full()},
        source="Kingma & Ba, arXiv:1412.6980, algorithm 1, with any numerator",
        year=2015,
    ),
    Entry(
        divide_by_capped_rms,
        "wrapper",
        "quotients",
        usual={"b2": 0.99, "eps": 1e-8, "threshold": 1.0},
        source="Wortsman et al., arXiv:2304.13013, algorithm 2, with any numerator",
        year=2023,
    ),
    Entry(
        stable_adamw,
        "recipe",
        "adam",
        usual={"learning_rate": 1e-3, "b1": 0.9, "b2": 0.99, "eps": 1e-8, "weight_decay": 1e-2, "mask": None},
        source="Wortsman et al., arXiv:2304.13013, algorithm 2",
        year=2023,
        settings={
            "": Setting(
                called="stable_adamw",
                label="StableAdamW",
                rates=_RATES,
                traffic=(56, 4),  # the cap reads g and v', and has to be known before the first entry is divided by it
                offered={"learning_rate": 0.2, "b1": 0.9, "b2": 0.99, "eps": 1e-8, "weight_decay": 1e-4},
            )
        },
        laws={"needs_params": True},
    ),
    Entry(
        scale_by_previous_rms,
        "piece",
        "adam",
        usual={"decay": 0.9999, "eps": 1e-6},
        source=_ADOPT,
        year=2024,
        ranges={"eps": POSITIVE},
        fields={"count": "updates so far", "nu": "running mean of |g|²"},
        laws={"smooth": False},
        after_huge="slow",
    ),
    Entry(
        adopt,
        "recipe",
        "adam",
        optax_absent={"clip_value_fn": "none"},
        usual={"learning_rate": 1e-3, "b1": 0.9, "b2": 0.9999, "eps": 1e-6, "use_clipping": True, "nesterov": False},
        source=_ADOPT,
        year=2024,
        settings={
            "": Setting(
                called="adopt",
                label="ADOPT",
                optax=Peer("contrib.adopt"),
                shared={"b1": 0.9, "b2": 0.9999, "eps": 1e-6},
                rates=_RATES,
                traffic=(48, 4),  # the old second moment has two readers, the quotient and the new one; as optax
            )
        },
        not_offered="it follows a schedule, which is computed in float32",
        ranges={"eps": POSITIVE, "use_clipping": Range("flag")},
        abouts={"use_clipping": "whether the quotient of step t + 1 is clipped to the fourth root of t"},
        laws={"smooth": False},
    ),
)
