"""The chains that are compared: the same mathematics in gradtx, optax and torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import optax

import gradtx
from gradtx.catalog import RECIPES
from gradtx.core.leaves import float_dtype
from gradtx.core.numerics import bias_correction, clip_and_square, divide_by_root, ema, increment, zero_count
from gradtx.core.states import NonNegative, Signed
from tests.peers import pairs as peers


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
    """Every recipe that works on gradients alone, with each setting of the catalog and others of RMSProp."""
    found = {}
    for entry in RECIPES.values():
        for name, setting in entry.settings.items():
            if not entry.asks_for_functions:
                peer = setting.optax and peers.Pair(entry, name, setting.optax)
                theirs = peer.in_optax(optax) if peer else None
                found[f"{entry.name}, {name}" if name else entry.name] = Pair(entry.make(name), theirs)
    corrected = {"centered": True, "bias_correction": True}
    return found | {
        "adam": Pair(gradtx.adam(1e-3), optax.adam(1e-3), torch_adam),
        "rmsprop, centered, corrected": Pair(gradtx.rmsprop(1e-3, **corrected), optax.rmsprop(1e-3, **corrected)),
        "rmsprop, momentum outside": Pair(gradtx.rmsprop(1e-3, momentum=0.9, rate_in_momentum=False)),
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


class InOneLeafFunctionState(NamedTuple):
    """The state of `in_one_leaf_function`."""

    count: Any
    mu: Signed
    nu: NonNegative


@gradtx.transformation
def in_one_leaf_function(rate: gradtx.Hyper, b1: gradtx.Hyper, b2: gradtx.Hyper, decay: gradtx.Hyper):
    """AdamW written by hand."""

    def init(params):
        return InOneLeafFunctionState(zero_count(), gradtx.zeros(params), gradtx.zeros(params, real=True))

    def update(updates, state, params):
        t = increment(state.count)
        c1, c2 = (bias_correction(b, t, float_dtype(updates)) for b in (b1, b2))

        def leaf(g, mu, nu, w):
            g, g_sq = clip_and_square(g)
            mu, nu = ema(mu, g, b1), ema(nu, g_sq, b2)
            return -rate * (divide_by_root(mu / c1, nu / c2, 1e-8, 0.0) + decay * w), mu, nu

        updates, mu, nu = gradtx.map_leaves(leaf, updates, state.mu, state.nu, params)
        return updates, InOneLeafFunctionState(t, mu, nu)

    return init, update


def by_parts() -> tuple[Any, Any]:
    """AdamW as a chain of four parts, and in one leaf function: the same numbers."""
    quotient = gradtx.divide_by_rms(gradtx.ema(0.9), 0.999)
    parts = gradtx.chain(quotient, gradtx.add_decayed_weights(0.01), gradtx.scale_by_learning_rate(1e-3))
    return parts, in_one_leaf_function(1e-3, 0.9, 0.999, 0.01)


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
