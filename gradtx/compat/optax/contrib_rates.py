"""optax.contrib's optimizers that learn their rate, under its names, arguments, order and defaults."""

from __future__ import annotations

from typing import Any

import gradtx
from gradtx import rates
from gradtx.compat.optax.errors import refuse
from gradtx.compat.optax.protocol import as_optax, optaxed
from gradtx.core.pair import GradientTransformation

__all__ = [
    "cocob",
    "dadapt_adamw",
    "dog",
    "dowg",
    "mechanize",
    "momo",
    "momo_adam",
    "prodigy",
    "reduce_on_plateau",
    "scale_by_cocob",
]

reduce_on_plateau = optaxed(gradtx.reduce_on_plateau)


def _after_decay(tx: GradientTransformation, weight_decay: Any, mask: Any) -> GradientTransformation:
    if weight_decay is None:
        return tx
    return gradtx.chain(gradtx.add_decayed_weights(weight_decay, mask), tx)


@optaxed
def scale_by_cocob(alpha: Any = 100.0, eps: Any = 1e-8) -> GradientTransformation:
    """`gradtx.scale_by_cocob`."""
    return gradtx.scale_by_cocob(alpha, eps)


@optaxed
def cocob(
    learning_rate: Any = 1.0, alpha: Any = 100.0, eps: Any = 1e-8, weight_decay: Any = 0.0, mask: Any = None
) -> GradientTransformation:
    """`gradtx.cocob`."""
    return _after_decay(gradtx.cocob(learning_rate, alpha, eps), weight_decay, mask)


@optaxed
def dadapt_adamw(
    learning_rate: Any = 1.0,
    betas: tuple[Any, Any] = (0.9, 0.999),
    eps: Any = 1e-8,
    estim_lr0: Any = 1e-6,
    weight_decay: Any = 0.0,
) -> GradientTransformation:
    """`gradtx.dadapt_adamw` with bias corrections."""
    return gradtx.dadapt_adamw(
        learning_rate, *betas, eps, estim_lr0=estim_lr0, weight_decay=weight_decay, bias_correction=True
    )


@optaxed
def dog(
    learning_rate: Any = 1.0,
    init_step: Any = ("heuristic", 1e-6),
    eps: Any = 1e-8,
    weight_decay: Any = None,
    mask: Any = None,
) -> GradientTransformation:
    """`gradtx.dog`."""
    if not (isinstance(init_step, tuple) and init_step[0] == "heuristic"):
        raise ValueError(f"dog: init_step={init_step!r}: give ('heuristic', reps_rel), a part of the initial norm")
    return _after_decay(gradtx.dog(learning_rate, reps_rel=init_step[1], eps=eps), weight_decay, mask)


@optaxed
def dowg(
    learning_rate: Any = 1.0,
    init_estim_sq_dist: Any = None,
    eps: Any = 1e-4,
    weight_decay: Any = None,
    mask: Any = None,
) -> GradientTransformation:
    """`gradtx.dowg`."""
    square = eps if init_estim_sq_dist is None else init_estim_sq_dist
    return _after_decay(gradtx.dowg(learning_rate, init_dist=square**0.5, eps=eps), weight_decay, mask)


@optaxed
def mechanize(
    base_optimizer: Any, weight_decay: Any = 1e-2, eps: Any = 1e-8, s_init: Any = 1e-6, num_betas: int = 6
) -> GradientTransformation:
    """`gradtx.adapt_learning_rate` with `gradtx.rates.mechanic`."""
    betas = tuple(1.0 - 10.0**-k for k in range(1, num_betas + 1))
    inner = as_optax("base_optimizer", base_optimizer)
    return gradtx.adapt_learning_rate(inner, rates.mechanic(betas, s_init, weight_decay, eps))


_BOUND = "the bound is not learnt: give lower_bound"


@optaxed
def momo(
    learning_rate: Any = 1.0,
    beta: Any = 0.9,
    lower_bound: Any = 0.0,
    weight_decay: Any = 0.0,
    adapt_lower_bound: bool = False,
) -> GradientTransformation:
    """`gradtx.momo`."""
    refuse("momo", _BOUND, adapt_lower_bound=(adapt_lower_bound, False))
    return gradtx.momo(learning_rate, beta, lower_bound, weight_decay)


@optaxed
def momo_adam(
    learning_rate: Any = 1e-2,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    lower_bound: Any = 0.0,
    weight_decay: Any = 0.0,
    adapt_lower_bound: bool = False,
) -> GradientTransformation:
    """`gradtx.momo_adam`."""
    refuse("momo_adam", _BOUND, adapt_lower_bound=(adapt_lower_bound, False))
    return gradtx.momo_adam(learning_rate, b1, b2, eps, lower_bound, weight_decay)


@optaxed
def prodigy(
    learning_rate: Any = 1.0,
    betas: tuple[Any, Any] = (0.9, 0.999),
    beta3: Any = None,
    eps: Any = 1e-8,
    estim_lr0: Any = 1e-6,
    estim_lr_coef: Any = 1.0,
    weight_decay: Any = 0.0,
    safeguard_warmup: bool = False,
) -> GradientTransformation:
    """`gradtx.prodigy` with bias corrections."""
    refuse("prodigy", "the sum of gradients always has the learnt rate", safeguard_warmup=(safeguard_warmup, False))
    return gradtx.prodigy(
        learning_rate,
        *betas,
        beta3,
        eps,
        estim_lr0=estim_lr0,
        estim_lr_coef=estim_lr_coef,
        weight_decay=weight_decay,
        bias_correction=True,
    )
