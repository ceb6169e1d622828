"""Muon: momentum whose matrices are orthogonalized, for hidden matrices; AdamW for all other leaves."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.errors import in_unit_interval
from gradtx.core.hyper import Hyper
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import Transformation, transformation
from gradtx.moments import per_row
from gradtx.optimizers.adam import adamw
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.filters import nesterov_ema
from gradtx.transforms.momentum import ema
from gradtx.transforms.newton_schulz import Triples
from gradtx.transforms.orthogonal import orthogonalize, scale_by_shape
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.frame import in_frame
from gradtx.wrappers.graft import keep_norm
from gradtx.wrappers.on_matrices import on_matrices


@transformation
def muon(
    learning_rate: Hyper,
    momentum: Hyper = 0.95,
    *,
    nesterov: bool = True,
    coefficients: str | Triples = "keller",
    shape_rule: str = "moonlight",
    outputs: int = -1,
    weight_decay: Hyper = 0.1,
    iterate_in: str | None = None,
    others: Transformation | None = None,
    exclude: Any = None,
    frame: Any = None,
):
    """Muon: `nesterov_ema`, `orthogonalize` and `scale_by_shape` for hidden matrices, and AdamW for all other leaves.

        M = momentum·M + (1 - momentum)·g
        N = momentum·M + (1 - momentum)·g with nesterov, else M
        w = w - learning_rate·(factor·polar(N) + weight_decay·w)

    `plan` shows which leaf goes where, and why. With the default shape, steps are as long as those of Adam, and both
    parts share the learning rate. With `shape_rule="keller"` it is about .02: give `others` a rate of its own.

    Args:
        learning_rate: at least 0; usually 1e-3. It multiplies the weight decay too.
        momentum: the weight of the past; in [0, 1].
        nesterov: look one step ahead, as in `nesterov_ema`; else `ema` without correction.
        coefficients, iterate_in: as in `orthogonalize`.
        shape_rule, outputs: the rule and the axis of the outputs, as in `scale_by_shape`.
        weight_decay: as in `add_decayed_weights`; also that of the default AdamW.
        others: the transformation for all other leaves; None: `adamw(learning_rate, b1=0.9, b2=0.95)`.
        exclude: which matrices go to `others`, as in `on_matrices`; None: embeddings and heads, by their names.
        frame: coordinates in which leaves with more axes are matrices, `frames.matrices(rows=None)` for convolutions;
            None: those leaves go to `others`.

    State: that of `on_matrices`. Its update needs `params`.
    Raises: as the pieces. TypeError: frame is no frame.
    Source: Jordan et al. 2024 (Muon, on kellerjordan.github.io); the default shape and decay from Liu et al. 2025
        (arXiv:2502.16982). torch's Muon is the matrix part, with shape "keller" unless told, and iterates in bfloat16.
        Keras adds up its momentum, which has the same direction. optax corrects the momentum for its start, so that its
        first directions differ, and takes every leaf with two axes.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.muon(0.1, coefficients="svd", weight_decay=0.0)
        >>> params = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> print(updates["kernel"].round(3))
        [[-0.028 -0.   ]
         [-0.    -0.028]]
    """
    in_unit_interval(momentum=momentum)
    direction = chain(orthogonalize(coefficients, iterate_in=iterate_in), scale_by_shape(shape_rule, outputs))
    mean = nesterov_ema(momentum) if nesterov else ema(momentum, debias=False)
    return _routed(mean, direction, learning_rate, weight_decay, others, exclude, frame)


@transformation
def normuon(
    learning_rate: Hyper,
    momentum: Hyper = 0.95,
    b2: Hyper = 0.95,
    eps: Hyper = 1e-10,
    *,
    coefficients: str | Triples = "keller",
    shape_rule: str = "moonlight",
    outputs: int = -1,
    weight_decay: Hyper = 0.1,
    iterate_in: str | None = None,
    others: Transformation | None = None,
    exclude: Any = None,
    frame: Any = None,
):
    """NorMuon: Muon whose rows, one for each output, are divided by a running root mean square of their own.

        U = polar(N),      N as in `muon`, with nesterov
        v = b2·v + (1 - b2)·mean of U∘U over the inputs
        w = w - learning_rate·(factor·U'·‖U‖/‖U'‖ + weight_decay·w),      U' = U/(√v + eps)

    Args:
        learning_rate, momentum: as in `muon`.
        b2: the weight of the past in v; in [0, 1].
        eps: added to the root; finite, at least 0.
        coefficients, shape_rule, outputs, weight_decay, iterate_in, others, exclude, frame: as in `muon`.

    State: that of `on_matrices`. Its update needs `params`.
    Raises: as the pieces. TypeError: frame is no frame.
    Source: Li et al. 2025 (arXiv:2510.05491), algorithm 1. Not in optax, torch or Keras.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.normuon(0.1, weight_decay=0.0)
        >>> params = {"kernel": jnp.array([[1.0, 2.0], [0.5, -1.0]]), "bias": jnp.zeros(2)}
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> print(((updates["kernel"] ** 2).mean(0) ** 0.5).round(4))  # alike for each output
        [0.0188 0.0188]
    """
    in_unit_interval(momentum=momentum, b2=b2)
    rows = keep_norm(scale_by_rms(b2, eps, eps_in_sqrt=False, moment=per_row(outputs)))
    direction = chain(orthogonalize(coefficients, iterate_in=iterate_in), rows, scale_by_shape(shape_rule, outputs))
    return _routed(nesterov_ema(momentum), direction, learning_rate, weight_decay, others, exclude, frame)


def _routed(
    mean: GradientTransformation,
    direction: GradientTransformation,
    rate: Any,
    weight_decay: Any,
    others: Any,
    exclude: Any,
    frame: Any,
) -> GradientTransformation:
    """The mean and the direction of matrices, with decay and rate; and what other leaves get."""
    if frame is not None:
        direction = in_frame(direction, frame)
    matrices = chain(mean, direction, add_decayed_weights(weight_decay, None), scale_by_learning_rate(rate))
    default = adamw(rate, b1=0.9, b2=0.95, weight_decay=weight_decay)
    return on_matrices(matrices, default if others is None else others, exclude, stacks=frame is not None)
