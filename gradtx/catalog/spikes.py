"""Entries of methods against spikes among the gradients."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Setting
from gradtx.optimizers.spam import scale_by_spam, spam, stable_spam
from gradtx.transforms.spikes import clip_by_running_max, scale_by_running_norm

_ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
_SHARED = {**_ADAM, "weight_decay": 0.01}

ENTRIES = (
    Entry(
        clip_by_running_max,
        "piece",
        "clipping",
        usual={"decay": 0.999, "axis_name": None},
        source="Huang et al., arXiv:2502.17055",
        year=2025,
        fields={
            "count": "updates so far",
            "largest": "running mean of the largest entry",
            "ignored": "updates that were infinite or NaN",
        },
        laws={"smooth": False},
    ),
    Entry(
        scale_by_running_norm,
        "piece",
        "norms",
        usual={"b1": 0.7, "b2": 0.9, "eps": 1e-6, "axis_name": None},
        source="Huang et al., arXiv:2502.17055",
        year=2025,
        abouts={
            "b1": "the weight of the past in the running mean of norms; in [0, 1)",
            "b2": "the weight of the past in the running mean of squared norms; in [0, 1)",
        },
        fields={
            "count": "updates so far",
            "mean": "running mean of the norm",
            "rms": "running root mean square of the norm",
            "ignored": "updates whose norm was infinite or NaN",
        },
    ),
    Entry(
        scale_by_spam,
        "piece",
        "spam",
        usual={**_ADAM, "threshold": 5000.0, "quiet": 20},
        source="Huang et al., arXiv:2501.06842, equation 2",
        year=2025,
        settings={"": Setting(), "early": Setting(arguments={"threshold": 1500.0, "quiet": 1})},
        fields={"count": "updates so far", "mu": "running mean of g", "nu": "running mean of |g|²"},
        normalizes=True,
        after_huge="slow",
        laws={"smooth": False},
    ),
    Entry(
        spam,
        "recipe",
        "spam",
        identities=(("spam(0.1, weight_decay=0.0, threshold=inf, every=1000000, warmup=1)", "adam(0.1)"),),
        usual={
            "learning_rate": 1e-3,
            **_SHARED,
            "mask": None,
            "threshold": 5000.0,
            "quiet": 20,
            "every": 500,
            "warmup": 150,
        },
        source="Huang et al., arXiv:2501.06842, algorithm 1",
        year=2025,
        settings={
            "": Setting(
                called="spam",
                label="SPAM",
                traffic=(68, 4),  # the clipped gradient has the old second moment in it; the restart is a branch
                rates=(0.0003, 0.001, 0.003, 0.01),
                shared=_SHARED,
                offered={"learning_rate": 0.2, **_ADAM},
            )
        },
        laws={"needs_params": True, "smooth": False},
    ),
    Entry(
        stable_spam,
        "recipe",
        "spam",
        usual={
            "learning_rate": 1e-3,
            **_SHARED,
            "mask": None,
            "max_decay": 0.999,
            "norm_b1": 0.7,
            "norm_b2": 0.9,
            "every": 1000,
        },
        source="Huang et al., arXiv:2502.17055, algorithm 1",
        year=2025,
        settings={
            "": Setting(
                called="stable_spam",
                label="Stable-SPAM",
                traffic=(92, 8),  # the maximum and the norm come first; the restart is a branch
                rates=(0.0003, 0.001, 0.003, 0.01),
                shared=_SHARED,
                offered={"learning_rate": 0.2, **_ADAM},
            )
        },
        laws={"needs_params": True, "smooth": False},
    ),
)
