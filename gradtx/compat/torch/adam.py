"""Adam and its kin, as chains of gradtx's pieces."""

from __future__ import annotations

from typing import Any

from gradtx.compat.terms import uncorrected
from gradtx.compat.torch.order import assembled
from gradtx.compat.torch.words import in_torch_words
from gradtx.core.pair import GradientTransformation
from gradtx.optimizers.adam import scale_by_adam
from gradtx.optimizers.adamax import scale_by_adamax
from gradtx.optimizers.amsgrad import scale_by_amsgrad
from gradtx.optimizers.nadam import scale_by_scheduled_nadam
from gradtx.optimizers.radam import scale_by_radam


@in_torch_words
def Adam(  # noqa: N802
    lr: Any = 1e-3,
    betas: tuple[Any, Any] = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    amsgrad: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
    decoupled_weight_decay: bool = False,
) -> GradientTransformation:
    """torch's `Adam`: its weight decay is added to the gradient, unless decoupled; amsgrad has the raw maximum."""
    direction = scale_by_amsgrad(*betas, eps, maximum_of="raw") if amsgrad else scale_by_adam(*betas, eps)
    return assembled(lr, direction, weight_decay, maximize, decoupled_weight_decay)


@in_torch_words
def AdamW(  # noqa: N802
    lr: Any = 1e-3,
    betas: tuple[Any, Any] = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    foreach: bool | None = None,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
) -> GradientTransformation:
    """torch's `AdamW`: `Adam` with decoupled weight decay, 0.01 unless given."""
    return Adam(lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


@in_torch_words
def SparseAdam(  # noqa: N802
    lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: Any = 1e-8, maximize: bool = False
) -> GradientTransformation:
    """torch's `SparseAdam`: `Adam`; give it gradients as `RowSparse`, then rows without a gradient stay as they are."""
    return Adam(lr, betas, eps, maximize=maximize)


@in_torch_words
def NAdam(  # noqa: N802
    lr: Any = 2e-3,
    betas: tuple[Any, Any] = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    momentum_decay: Any = 4e-3,
    decoupled_weight_decay: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
) -> GradientTransformation:
    """torch's `NAdam`. torch keeps the product of the momenta in float32, unless its default type is float64."""
    direction = scale_by_scheduled_nadam(*betas, eps, momentum_decay=momentum_decay)
    return assembled(lr, direction, weight_decay, maximize, decoupled_weight_decay)


@in_torch_words
def RAdam(  # noqa: N802
    lr: Any = 1e-3,
    betas: tuple[Any, float] = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    decoupled_weight_decay: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
) -> GradientTransformation:
    """torch's `RAdam`, which adds eps to the root of the uncorrected second moment."""
    direction = scale_by_radam(*betas, uncorrected(eps, betas[1]))
    return assembled(lr, direction, weight_decay, maximize, decoupled_weight_decay)


@in_torch_words
def Adamax(  # noqa: N802
    lr: Any = 2e-3,
    betas: tuple[Any, Any] = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    foreach: bool | None = None,
    *,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
) -> GradientTransformation:
    """torch's `Adamax`."""
    return assembled(lr, scale_by_adamax(*betas, eps), weight_decay, maximize)
