"""optax.contrib's optimizers of matrices, under its names, arguments, order and defaults."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

import gradtx
from gradtx import frames
from gradtx.compat.optax.dimension_numbers import (
    GaLoreDimensionNumbers,
    MuonDimensionNumbers,
    as_matrices,
    each_leaf,
)
from gradtx.compat.optax.dtypes import in_dtype
from gradtx.compat.optax.protocol import optaxed
from gradtx.compat.optax.which import partition
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import ema, increment, zero_count
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import transformation
from gradtx.core.trees import shape_of
from gradtx.errors import below_one
from gradtx.optimizers.adam import corrected_mean
from gradtx.transforms.newton_schulz import COEFFICIENTS

__all__ = [
    "GaLoreDimensionNumbers",
    "MuonDimensionNumbers",
    "galore",
    "muon",
    "scale_by_galore",
    "scale_by_muon",
]

_KELLER = (3.4445, -4.7750, 2.0315)
_PRESETS = {"standard": _KELLER, "dion": COEFFICIENTS["quintic"]}


@transformation(any_leaves=True, sparse_rows=True)
def corrected_nesterov_ema(decay: Hyper = 0.95):
    """`nesterov_ema`, with both terms corrected for the start at 0, as the numerator of `scale_by_nadam`.

    Args:
        decay: the weight of the past; in [0, 1).

    State: `EmaState`.
    """
    below_one(decay=decay)

    def init(params):
        return gradtx.EmaState(zero_count(), mu=zeros(params))

    def update(updates, state, params=None):
        t = increment(state.count)
        mean = corrected_mean(decay, t, float_dtype(updates, state.mu), nesterov=True)

        def leaf(g, mu):
            mu = ema(mu, g, decay)
            return mean(g, mu), mu

        updates, mu = map_leaves(leaf, updates, state.mu, idle=(decay,))
        return updates, gradtx.EmaState(t, mu)

    return init, update


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
    """A corrected momentum and `gradtx.orthogonalize`, for leaves that are matrices, or by dimension numbers."""
    mean = corrected_nesterov_ema(beta) if nesterov else gradtx.ema(beta)
    triples = _triples(ns_coeffs, ns_steps)
    polar = gradtx.orthogonalize(triples, eps, dual_norm=adaptive, preconditioning=preconditioning)
    return in_dtype(gradtx.chain(mean, _in(weight_dimension_numbers, polar)), mu_dtype, "mu")


def _in(numbers: Any, tx: GradientTransformation) -> GradientTransformation:
    return tx if numbers is None else as_matrices(tx, numbers)


def _triples(given: Any, steps: int) -> Any:
    """The coefficients of each iteration."""
    if isinstance(given, str):
        if given not in _PRESETS:
            return given
        given = _PRESETS[given]
    if all(isinstance(x, int | float) for x in given):
        return (tuple(map(float, given)),) * steps
    rows = tuple(tuple(map(float, row)) for row in given)
    return (rows + rows[-1:] * steps)[:steps]


@dataclasses.dataclass(frozen=True)
class _Labels:
    """Which leaves Muon trains: those with dimension numbers; without any, those with two axes."""

    numbers: Any

    def __call__(self, params: Any) -> Any:
        if self.numbers is None:
            return jax.tree.map(lambda x: "muon" if len(shape_of(x)) == 2 else "adam", params)
        return each_leaf(lambda n, x: "adam" if n is None else "muon", self.numbers, params)


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
    """The pieces of `gradtx.muon` for leaves with dimension numbers, or with two axes, and AdamW for the others."""
    numbers = muon_weight_dimension_numbers
    words: dict[str, Any] = {"nesterov": nesterov, "adaptive": adaptive, "preconditioning": preconditioning}
    shape = [gradtx.scale_by_shape("keller")]
    if consistent_rms is not None:
        shape = [gradtx.scale_by_shape("longest"), gradtx.scale(consistent_rms)]
    matrices = gradtx.chain(
        scale_by_muon(ns_coeffs, ns_steps, beta, eps, mu_dtype, weight_dimension_numbers=numbers, **words),
        _in(numbers, gradtx.chain(*shape)),
        gradtx.add_decayed_weights(weight_decay, weight_decay_mask),
        gradtx.scale_by_learning_rate(learning_rate),
    )
    rate = learning_rate if adam_learning_rate is None else adam_learning_rate
    others = in_dtype(
        gradtx.adamw(rate, adam_b1, adam_b2, eps, adam_eps_root, adam_weight_decay, nesterov=nesterov), mu_dtype, "mu"
    )
    return partition({"muon": matrices, "adam": others}, _Labels(numbers))


@optaxed
def scale_by_galore(
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: Any = 1.0,
    base_optimizer: Any = None,
    weight_dimension_numbers: Any = None,
) -> GradientTransformation:
    """`gradtx.in_frame` with `frames.low_rank`, around Adam or another transformation."""
    inner = gradtx.scale_by_adam() if base_optimizer is None else base_optimizer
    short = gradtx.in_frame(inner, frames.low_rank(rank, update_proj_gap))
    return gradtx.chain(_in(weight_dimension_numbers, short), gradtx.scale(scale))


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
