"""optax.contrib's optimizers of matrices, under its names, arguments, order and defaults."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

import gradtx
from gradtx import frames
from gradtx.compat.optax.door import optaxed
from gradtx.compat.optax.dtypes import in_dtype
from gradtx.compat.optax.errors import refuse
from gradtx.compat.optax.which import partition
from gradtx.core.pair import GradientTransformation
from gradtx.core.trees import shape_of
from gradtx.optimizers.hidden import mean_of

__all__ = [
    "GaLoreDimensionNumbers",
    "MuonDimensionNumbers",
    "galore",
    "muon",
    "scale_by_galore",
    "scale_by_muon",
]

_KELLER = (3.4445, -4.7750, 2.0315)
_FRAME = "put gradtx.in_frame(..., gradtx.frames.matrices(rows, columns)) around it"


class MuonDimensionNumbers(NamedTuple):
    """The axes of inputs and outputs of a leaf."""

    reduction_axis: Any = 0
    output_axis: Any = 1


class GaLoreDimensionNumbers(NamedTuple):
    """The axes of inputs and outputs of a leaf."""

    reduction_axis: Any = 0
    output_axis: Any = 1


@optaxed
def scale_by_muon(
    ns_coeffs: Any = _KELLER,
    ns_steps: int = 5,
    beta: Any = 0.95,
    eps: Any = 1e-8,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    weight_dimension_numbers: Any = None,
) -> GradientTransformation:
    """The momentum and `gradtx.orthogonalize` of `gradtx.muon`, for leaves that are matrices."""
    refuse("scale_by_muon", _FRAME, weight_dimension_numbers=(weight_dimension_numbers, None))
    refuse("scale_by_muon", "a matrix is divided by its norm", preconditioning=(preconditioning, "frobenius"))
    polar = gradtx.orthogonalize(_triples(ns_coeffs, ns_steps), eps, dual_norm=adaptive)
    return in_dtype(gradtx.chain(mean_of(beta, nesterov), polar), mu_dtype, "mu")


def _triples(given: Any, steps: int) -> Any:
    """The coefficients of each iteration."""
    if isinstance(given, str):
        return {"standard": (_KELLER,) * steps}.get(given, given)
    if all(isinstance(x, int | float) for x in given):
        return (tuple(map(float, given)),) * steps
    rows = tuple(tuple(map(float, row)) for row in given)
    return (rows + rows[-1:] * steps)[:steps]


def _labels(params: Any) -> Any:
    return jax.tree.map(lambda x: "muon" if len(shape_of(x)) == 2 else "adam", params)


@optaxed
def muon(
    learning_rate: Any,
    ns_coeffs: Any = _KELLER,
    ns_steps: int = 5,
    beta: Any = 0.95,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    weight_decay_mask: Any = None,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    adam_b1: Any = 0.9,
    adam_b2: Any = 0.999,
    adam_eps_root: Any = 0.0,
    adam_weight_decay: Any = 0.0,
    adam_learning_rate: Any = None,
    muon_weight_dimension_numbers: Any = None,
    consistent_rms: Any = None,
) -> GradientTransformation:
    """The pieces of `gradtx.muon` for every leaf with two axes, and AdamW for the others."""
    refuse("muon", _FRAME, muon_weight_dimension_numbers=(muon_weight_dimension_numbers, None))
    words: dict[str, Any] = {"nesterov": nesterov, "adaptive": adaptive, "preconditioning": preconditioning}
    shape = [gradtx.scale_by_shape("keller")]
    if consistent_rms is not None:
        shape = [gradtx.scale_by_shape("longest"), gradtx.scale(consistent_rms)]
    matrices = gradtx.chain(
        scale_by_muon(ns_coeffs, ns_steps, beta, eps, mu_dtype, **words),
        *shape,
        gradtx.add_decayed_weights(weight_decay, weight_decay_mask),
        gradtx.scale_by_learning_rate(learning_rate),
    )
    rate = learning_rate if adam_learning_rate is None else adam_learning_rate
    others = in_dtype(
        gradtx.adamw(rate, adam_b1, adam_b2, eps, adam_eps_root, adam_weight_decay, nesterov=nesterov), mu_dtype, "mu"
    )
    return partition({"muon": matrices, "adam": others}, _labels)


@optaxed
def scale_by_galore(
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: Any = 1.0,
    base_optimizer: Any = None,
    weight_dimension_numbers: Any = None,
) -> GradientTransformation:
    """`gradtx.in_frame` with `frames.low_rank`, around Adam or another transformation."""
    refuse("scale_by_galore", _FRAME, weight_dimension_numbers=(weight_dimension_numbers, None))
    inner = gradtx.scale_by_adam() if base_optimizer is None else base_optimizer
    return gradtx.chain(gradtx.in_frame(inner, frames.low_rank(rank, update_proj_gap)), gradtx.scale(scale))


@optaxed
def galore(
    learning_rate: Any,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: Any = 1.0,
    base_optimizer: Any = None,
    weight_decay: Any = 0.0,
    mask: Any = None,
    weight_dimension_numbers: Any = None,
) -> GradientTransformation:
    """`scale_by_galore`, weight decay and the learning rate."""
    return gradtx.chain(
        scale_by_galore(rank, update_proj_gap, scale, base_optimizer, weight_dimension_numbers),
        gradtx.add_decayed_weights(weight_decay, mask),
        gradtx.scale_by_learning_rate(learning_rate),
    )
