"""Adam and its kin under optax's names, arguments, order and defaults."""

from __future__ import annotations

from typing import Any

import gradtx
from gradtx.compat.optax.dtypes import in_dtype
from gradtx.compat.optax.protocol import optaxed
from gradtx.compat.optax.softer import scale_by_softer_lion
from gradtx.core.pair import GradientTransformation

__all__ = [
    "adabelief",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "adan",
    "amsgrad",
    "lamb",
    "lion",
    "nadam",
    "nadamw",
    "radam",
    "scale_by_adam",
    "scale_by_adamax",
    "scale_by_adan",
    "scale_by_amsgrad",
    "scale_by_belief",
    "scale_by_lion",
    "scale_by_radam",
    "scale_by_yogi",
    "yogi",
]

adamax = optaxed(gradtx.adamax)
adamaxw = optaxed(gradtx.adamaxw)
lamb = optaxed(gradtx.lamb)
scale_by_adamax = optaxed(gradtx.scale_by_adamax)
scale_by_adan = optaxed(gradtx.scale_by_adan)
scale_by_yogi = optaxed(gradtx.scale_by_yogi)
yogi = optaxed(gradtx.yogi)


@optaxed
def scale_by_adam(
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """`gradtx.scale_by_adam`, or `scale_by_nadam` with nesterov."""
    make = gradtx.scale_by_nadam if nesterov else gradtx.scale_by_adam
    return in_dtype(make(b1, b2, eps, eps_root), mu_dtype, "mu")


@optaxed
def adam(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """`gradtx.adam`."""
    return in_dtype(gradtx.adam(learning_rate, b1, b2, eps, eps_root, nesterov=nesterov), mu_dtype, "mu")


@optaxed
def adamw(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    weight_decay: Any = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """`gradtx.adamw`."""
    tx = gradtx.adamw(learning_rate, b1, b2, eps, eps_root, weight_decay, mask, nesterov=nesterov)
    return in_dtype(tx, mu_dtype, "mu")


@optaxed
def nadam(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
) -> GradientTransformation:
    """`gradtx.nadam`; without nesterov, `gradtx.adam`."""
    make = gradtx.nadam if nesterov else gradtx.adam
    return in_dtype(make(learning_rate, b1, b2, eps, eps_root), mu_dtype, "mu")


@optaxed
def nadamw(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    weight_decay: Any = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = True,
) -> GradientTransformation:
    """`gradtx.nadamw`; without nesterov, `gradtx.adamw`."""
    make = gradtx.nadamw if nesterov else gradtx.adamw
    return in_dtype(make(learning_rate, b1, b2, eps, eps_root, weight_decay, mask), mu_dtype, "mu")


@optaxed
def scale_by_amsgrad(
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
) -> GradientTransformation:
    """`gradtx.scale_by_amsgrad`."""
    flags: dict[str, Any] = {"bias_correction_mu": bias_correction_mu, "bias_correction_nu": bias_correction_nu}
    return in_dtype(gradtx.scale_by_amsgrad(b1, b2, eps, eps_root, **flags), mu_dtype, "mu")


@optaxed
def amsgrad(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
) -> GradientTransformation:
    """`gradtx.amsgrad`."""
    flags: dict[str, Any] = {"bias_correction_mu": bias_correction_mu, "bias_correction_nu": bias_correction_nu}
    return in_dtype(gradtx.amsgrad(learning_rate, b1, b2, eps, eps_root, **flags), mu_dtype, "mu")


@optaxed
def scale_by_belief(
    b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-16, eps_root: Any = 1e-16, *, nesterov: bool = False
) -> GradientTransformation:
    """`gradtx.scale_by_belief`."""
    return gradtx.scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov)


@optaxed
def adabelief(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-16,
    eps_root: Any = 1e-16,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """`gradtx.adabelief`."""
    return gradtx.adabelief(learning_rate, b1, b2, eps, eps_root, nesterov=nesterov)


@optaxed
def scale_by_radam(
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    threshold: Any = 5.0,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """`gradtx.scale_by_radam`."""
    return gradtx.scale_by_radam(b1, b2, eps, eps_root, threshold, nesterov=nesterov)


@optaxed
def radam(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    threshold: Any = 5.0,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """`gradtx.radam`."""
    return gradtx.radam(learning_rate, b1, b2, eps, eps_root, threshold, nesterov=nesterov)


@optaxed
def adan(
    learning_rate: Any,
    b1: Any = 0.98,
    b2: Any = 0.92,
    b3: Any = 0.99,
    eps: Any = 1e-8,
    eps_root: Any = 1e-8,
    weight_decay: Any = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """`gradtx.adan`, with optax's eps_root."""
    return gradtx.adan(learning_rate, b1, b2, b3, eps, eps_root, weight_decay, mask)


@optaxed
def scale_by_lion(
    b1: Any = 0.9, b2: Any = 0.99, mu_dtype: Any = None, *, mode: str = "hard", smooth_beta: float = 1.0
) -> GradientTransformation:
    """`gradtx.scale_by_lion`, or with a softer sign."""
    tx = gradtx.scale_by_lion(b1, b2) if mode == "hard" else scale_by_softer_lion(b1, b2, mode, smooth_beta)
    return in_dtype(tx, mu_dtype, "mu")


@optaxed
def lion(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.99, mu_dtype: Any = None, weight_decay: Any = 1e-3, mask: Any = None
) -> GradientTransformation:
    """`gradtx.lion`."""
    return in_dtype(gradtx.lion(learning_rate, b1, b2, weight_decay, mask), mu_dtype, "mu")
