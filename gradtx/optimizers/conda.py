"""Conda: Adam in the singular vectors of its momentum."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.errors import fixed, in_unit_interval, non_negative
from gradtx.frames.singular import singular_vectors
from gradtx.frames.trees import LeavesOf
from gradtx.optimizers.adam import scale_by_adam
from gradtx.transforms.basic import scale as multiply
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.frame import in_frame
from gradtx.wrappers.masked import masked


@transformation
def conda(
    learning_rate: Hyper,
    b1: float = 0.9,
    b2: Hyper = 0.99,
    eps: Hyper = 1e-8,
    *,
    every: int = 2000,
    scale: Hyper = 0.25,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """Conda: `scale_by_adam` in a `singular_vectors` frame, a factor, `add_decayed_weights`, then the rate.

        M = b1·M + (1 - b1)·g        M = U·Σ·Vᴴ        every few steps
        y = Uᴴ·g for m ≤ n           w = w - learning_rate·(scale·U·v + weight_decay·w)        v is Adam's update of y
        y = g·V for others           w = w - learning_rate·(scale·v·Vᴴ + weight_decay·w)

    Leaves that are not matrices get the updates of Adam, without the factor. All matrices get a basis, also embeddings
    and heads: `on_matrices(conda(rate), adamw(rate))` leaves those to AdamW.

    Args:
        learning_rate: at least 0; usually 1e-2. The weight decay is multiplied by it too.
        b1: the weight of the past in Adam's momentum, from which the basis is made; in [0, 1].
        b2, eps: as in `scale_by_adam`.
        every: as in `singular_vectors`.
        scale: the factor of the updates of matrices; at least 0.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `InFrameState`. For a matrix m × n with m ≤ n, 3·m·n + m² numbers. Its update
        needs `params`.
    Source: Wang et al. 2025 (arXiv:2509.24218), with b2 and scale as in the authors' trainings. Their code adds eps to
        the root of the second moment before that is corrected for its start, and lets the decay follow the step. Not in
        optax, torch or Keras. Within 2e-5 of the learning rate of exact arithmetic over 1,000 steps in float32; median
        1e-6.
    """
    fixed(b1=b1)
    in_unit_interval(b1=b1)
    non_negative(scale=scale)
    frame = singular_vectors(b1, every)
    return chain(
        in_frame(scale_by_adam(b1, b2, eps), frame),
        masked(multiply(scale), LeavesOf(frame)),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
