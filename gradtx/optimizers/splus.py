"""SPlus: signs in the eigenvectors of Shampoo, which may be old, and an average of the parameters."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, fixed, in_unit_interval, non_negative
from gradtx.frames.eigenbasis import eigenbasis
from gradtx.transforms.basic import scale, scale_by_learning_rate, scale_by_sign
from gradtx.transforms.growth import hold_still
from gradtx.transforms.momentum import ema
from gradtx.transforms.orthogonal import scale_by_shape
from gradtx.wrappers.average import average
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.frame import in_frame
from gradtx.wrappers.on_matrices import on_matrices


@transformation
def splus(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: float = 0.999,
    *,
    every: int = 100,
    sides: str = "both",
    max_dim: int = 10_000,
    other_scale: Hyper = 1e-3,
    average_decay: Hyper = 0.999,
    weight_decay: Hyper = 0.01,
    mask: Any = None,
    exclude: Any = None,
):
    """SPlus: the signs of a mean in an `eigenbasis` frame, a decay, a factor by shape; `average` round all of it.

        L = b2·L + (1 - b2)·g·gᴴ      Q_L = eigenvectors of L, every few steps      likewise R of gᴴ·g, and Q_R
        μ = b1·μ + (1 - b1)·g         u = Q_L·sign(Q_Lᴴ·μ·Q_R)·Q_Rᴴ
        w = w - learning_rate·2/(m + n)·(u + weight_decay·w)

    Hidden matrices m × n take steps of 2·learning_rate/(m + n), so that one rate suits all widths, all other leaves
    steps of other_scale·learning_rate. Evaluate with `averaged(state)`: the parameters themselves stay noisy. As in
    `soap`, the first step only learns.

    Args:
        learning_rate: at least 0; usually 0.1 to 1: for a matrix 1,000 × 1,000 the factor is 1e-3.
        b1: the weight of the past in the mean whose signs are taken; in [0, 1].
        b2: the weight of the past in the means whose eigenvectors are taken; in [0, 1].
        every, sides, max_dim: as in `eigenbasis`, with a full decomposition for each new basis.
        other_scale: the factor of vectors, embeddings and heads, in place of 2/(m + n); at least 0.
        average_decay: `decay` of `average`; in [0, 1).
        weight_decay: as in `add_decayed_weights`. It is multiplied by the learning rate and by the factor of the leaf.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.
        exclude: which matrices are not hidden ones, as in `on_matrices`.

    State: `AverageState`, with that of `on_matrices` inside. For a matrix m × n, 2·(m·n + m² + n²) numbers. Its update
        needs `params`.
    Raises: as the pieces. ValueError: b1, b2 or average_decay is out of range.
    Source: Frans, Levine & Abbeel 2025 (arXiv:2506.07254), algorithm 2, which decays nothing. The authors' code takes
        the first step in the coordinates of the leaf, uses each basis from the step after on, averages the parameters
        before each update, and counts heads as hidden. Not in optax, torch or Keras. An entry of the mean in the basis
        that is rounding has either sign. Apart from that, within 1e-5 of the largest entry of exact arithmetic over
        1,000 steps in float32.
    """
    in_unit_interval(b1=b1)
    fixed(b2=b2)
    in_unit_interval(b2=b2)
    below_one(average_decay=average_decay)
    non_negative(other_scale=other_scale)
    frame = eigenbasis(b2, every, sides, max_dim, exact=True)

    def stepped(factor: Any) -> Any:
        return chain(
            in_frame(chain(ema(b1, debias=False), scale_by_sign()), frame),
            add_decayed_weights(weight_decay, mask),
            factor,
            hold_still(steps=1),
            scale_by_learning_rate(learning_rate),
        )

    return average(on_matrices(stepped(scale_by_shape("sides")), stepped(scale(other_scale)), exclude), average_decay)
