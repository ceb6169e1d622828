"""The result of a race as JSON, every number that the table and the picture show."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from gradtx.apps.demo.contenders import Contender
from gradtx.apps.demo.train import TARGET, Curves


def report(contenders: Mapping[str, Contender], curves: Mapping[str, Curves], settings: Mapping[str, Any]) -> str:
    """The settings, and for each optimizer its times and its curves at each rate; what diverged is null."""
    content = {
        "settings": dict(settings),
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "units": {
            "train_loss": "nats per example, on the whole training set, before the first epoch and after each",
            "test_accuracy": "share of the test set, before the first epoch and after each",
            "seconds": "one program trains all rates of an optimizer: these are its seconds, not one rate's",
        },
        "optimizers": {name: _optimizer(contenders[name], c) for name, c in curves.items()},
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _optimizer(contender: Contender, c: Curves) -> dict[str, Any]:
    return {
        "full_batch": contender.full_batch,
        "steps_per_epoch": c.steps_per_epoch,
        "seconds_compiling": c.seconds_compiling,
        "seconds_training": c.seconds_training,
        "best_rate": c.rates[c.ranking[0]],
        "rates": [
            {
                "learning_rate": rate,
                "transformation": repr(contender.make(rate)),
                f"steps_to_{100 * TARGET:.0f}_percent": c.steps_to(TARGET, i),
                "train_loss": _numbers(c.train_loss[i]),
                "test_accuracy": _numbers(c.test_accuracy[i]),
            }
            for i, rate in enumerate(c.rates)
        ],
    }


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [float(f"{x:.7g}") if math.isfinite(x) else None for x in values]
