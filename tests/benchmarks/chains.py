"""The chains that are compared: the same mathematics in gradtx, optax and torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import optax

import gradtx


class Pair(NamedTuple):
    """One chain in two libraries; `theirs` is None where optax has none, `torch` where torch has none.

    `extra_reads` counts what the chain must read a second time, in arrays of gradients: a norm, or a look whether all
    is finite, has to be known before the first entry is changed.
    """

    ours: Any
    theirs: Any = None
    torch: Callable[..., Callable[[], Any]] | None = None
    extra_reads: int = 0


def recipes() -> dict[str, Pair]:
    """Every recipe of `gradtx.optimizers` that works on gradients alone, with each flag that changes its arithmetic."""
    return {
        "sgd": Pair(gradtx.sgd(0.1), optax.sgd(0.1)),
        "sgd, momentum": Pair(gradtx.sgd(0.1, 0.9), optax.sgd(0.1, 0.9)),
        "sgd, nesterov": Pair(gradtx.sgd(0.1, 0.9, nesterov=True), optax.sgd(0.1, 0.9, nesterov=True)),
        "sgd, dampening": Pair(gradtx.sgd(0.1, 0.9, dampening=0.1)),
        "rmsprop": Pair(gradtx.rmsprop(1e-3), optax.rmsprop(1e-3)),
        "rmsprop, corrected": Pair(
            gradtx.rmsprop(1e-3, bias_correction=True), optax.rmsprop(1e-3, bias_correction=True)
        ),
        "rmsprop, centered": Pair(gradtx.rmsprop(1e-3, centered=True), optax.rmsprop(1e-3, centered=True)),
        "rmsprop, centered, corrected": Pair(
            gradtx.rmsprop(1e-3, centered=True, bias_correction=True),
            optax.rmsprop(1e-3, centered=True, bias_correction=True),
        ),
        "rmsprop, momentum": Pair(gradtx.rmsprop(1e-3, momentum=0.9), optax.rmsprop(1e-3, momentum=0.9)),
        "rmsprop, momentum outside": Pair(gradtx.rmsprop(1e-3, momentum=0.9, rate_in_momentum=False)),
        "rmsprop, nesterov": Pair(
            gradtx.rmsprop(1e-3, momentum=0.9, nesterov=True), optax.rmsprop(1e-3, momentum=0.9, nesterov=True)
        ),
        "adagrad": Pair(gradtx.adagrad(1e-2), optax.adagrad(1e-2)),
        "adadelta": Pair(gradtx.adadelta(1.0), optax.adadelta(1.0)),
        "adam": Pair(gradtx.adam(1e-3), optax.adam(1e-3), torch_adam),
        "adam, nesterov": Pair(gradtx.adam(1e-3, nesterov=True), optax.adam(1e-3, nesterov=True)),
        "adamw": Pair(gradtx.adamw(1e-3), optax.adamw(1e-3)),
        "adamax": Pair(gradtx.adamax(1e-3), optax.adamax(1e-3)),
        "nadam": Pair(gradtx.nadam(1e-3), optax.nadam(1e-3)),
        "nadam, scheduled": Pair(gradtx.nadam(1e-3, momentum_decay=0.004)),
        "amsgrad": Pair(gradtx.amsgrad(1e-3), optax.amsgrad(1e-3)),
        "amsgrad, raw": Pair(gradtx.amsgrad(1e-3, maximum_of="raw")),
        "lion": Pair(gradtx.lion(1e-4), optax.lion(1e-4)),
        "rprop": Pair(gradtx.rprop(1e-3), optax.rprop(1e-3)),
        "supersab": Pair(gradtx.supersab(1e-2)),
    }


def chains() -> dict[str, Pair]:
    """The common chains around Adam."""
    ours, theirs = gradtx.adam(1e-3), optax.adam(1e-3)
    skip = optax.apply_if_finite(theirs, 5)  # it looks at the gradients only
    return {
        "clip + adamw + schedule": usual(),
        "accumulate 4 + adam": Pair(gradtx.accumulate(ours, 4), optax.MultiSteps(theirs, 4).gradient_transformation()),
        "skip_nonfinite + adam": Pair(gradtx.skip_nonfinite(ours, check_updates=False), skip, extra_reads=1),
        "skip_nonfinite + adam, updates too": Pair(gradtx.skip_nonfinite(ours), skip, extra_reads=4),
    }


def usual() -> Pair:
    """Clip by the global norm, AdamW, a warmup and a cosine: what most training runs are."""
    ours, theirs = (
        lib.chain(
            lib.clip_by_global_norm(1.0),
            lib.adamw(lib.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 10_000), weight_decay=0.01),
        )
        for lib in (gradtx, optax)
    )
    return Pair(ours, theirs, torch_usual, extra_reads=1)


def torch_adam(params: list, **how: bool) -> Callable[[], Any]:
    """torch's Adam on these parameters."""
    import torch

    return torch.optim.Adam(params, 1e-3, **how).step


def torch_usual(params: list, **how: bool) -> Callable[[], Any]:
    """torch's clip, AdamW, and a schedule of the same shape."""
    import torch

    tx = torch.optim.AdamW(params, 1e-3, weight_decay=0.01, **how)
    rate = torch.optim.lr_scheduler.LambdaLR(tx, lambda t: min(t / 100, 0.5 + 0.5 * math.cos(math.pi * t / 10_000)))

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=how.get("foreach"))
        tx.step()
        rate.step()

    return step
