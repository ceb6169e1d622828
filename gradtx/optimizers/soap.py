"""SOAP: Adam in the eigenvectors of Shampoo; and Muon behind a quotient that is taken there."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import fixed, in_unit_interval
from gradtx.frames.eigenbasis import eigenbasis
from gradtx.optimizers.adam import scale_by_adam
from gradtx.optimizers.hidden import POLAR, for_hidden_matrices, mean_of, require_whole
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.growth import hold_still
from gradtx.transforms.orthogonal import scale_by_shape
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.frame import in_frame


@transformation
def soap(
    learning_rate: Hyper,
    b1: Hyper = 0.95,
    b2: Hyper = 0.95,
    eps: Hyper = 1e-8,
    *,
    basis_decay: float = 0.95,
    every: int = 10,
    sides: str = "both",
    max_dim: int = 10_000,
    kl: bool = False,
    staggered: bool = False,
    weight_decay: Hyper = 0.01,
    mask: Any = None,
):
    """SOAP: `scale_by_adam` in an `eigenbasis` frame, `add_decayed_weights`, `hold_still`, `scale_by_learning_rate`.

    The first step only learns, and no weight decays in it: the first gradient is diagonal in its own eigenvectors, so
    there Adam would divide rounding by rounding. If all gradients are multiples of one matrix, it does so in every
    step. Leaves that the frame does not take get the updates of Adam, from the second step on. All matrices get a
    basis, also embeddings and heads: `on_matrices(soap(rate), adamw(rate))` leaves those to AdamW. In GPT-2 small, that
    is 0.6% of the operations of a step of 480 × 1,024 tokens, new bases included, 27% of 8 × 1,024.

    Args:
        learning_rate: at least 0; usually 3e-3. The weight decay is multiplied by it too.
        b1, b2, eps: as in `scale_by_adam`.
        basis_decay: the weight of the past in the means whose eigenvectors are taken; in [0, 1].
        every, sides, max_dim, staggered: as in `eigenbasis`.
        kl: KL-SOAP, whose means are those of whitened gradients, as in `eigenbasis`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict: `InFrameState` and `HoldStillState`. For a matrix m × n, 2·(m·n + m² + n²) numbers. Its
        update needs `params`.
    Source: Vyas et al. 2024 (arXiv:2409.11321), algorithm 3; kl: Lin et al. 2025 (arXiv:2509.03378). Both moments go
        with the basis: see `in_frame`; the paper leaves the second one as it is, the authors' code permutes it. That
        code makes no update in the first step either, which its moments do not see; it learns L and R after each step,
        and lets the decay follow the step. Not in optax. Within 2e-5 of the learning rate of exact arithmetic over
        1,000 steps in float32; median 1e-6.
    """
    fixed(basis_decay=basis_decay)
    in_unit_interval(basis_decay=basis_decay)
    return chain(
        in_frame(scale_by_adam(b1, b2, eps), eigenbasis(basis_decay, every, sides, max_dim, kl, staggered)),
        add_decayed_weights(weight_decay, mask),
        hold_still(steps=1),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def soap_muon(
    learning_rate: Hyper,
    momentum: Hyper = 0.95,
    b2: Hyper = 0.9,
    eps: Hyper = 1e-8,
    *,
    nesterov: bool = True,
    basis_decay: float = 0.9,
    every: int = 1,
    max_dim: int = 10_000,
    staggered: bool = False,
    polar: Transformation = POLAR,
    shape_rule: str = "moonlight",
    outputs: int = -1,
    weight_decay: Hyper = 0.1,
    others: Transformation | None = None,
    exclude: Any = None,
):
    """SOAP-Muon: `nesterov_ema` and `scale_by_rms` in an `eigenbasis` frame, then what Muon does; AdamW for the rest.

    Momentum inside a frame is momentum outside, so this is Muon whose momentum is divided in the basis of the gradients
    before it is orthogonalized. The directions of the first step are left out: see `soap`.

    Args:
        learning_rate: at least 0; usually 1e-3. The weight decay is multiplied by it too.
        momentum: the weight of the past in the momentum; in [0, 1].
        b2: the weight of the past in the mean squares of the momentum in the basis; in [0, 1].
        eps: added to their root; finite, at least 0.
        basis_decay: the weight of the past in the means whose eigenvectors are taken; in [0, 1].
        every, max_dim, staggered: as in `eigenbasis`.
        nesterov, polar, shape_rule, outputs, weight_decay, others, exclude: as in `muon`.

    State: that of `on_matrices`. For a matrix m × n, 2·(m·n + m² + n²) numbers. Its update needs `params`.
    Raises: as the pieces.
    Source: a record of the speedruns of modded-nanogpt, track 3, 2026, whose iteration is another one. Not in optax,
        torch or Keras. Within 1e-5 of the learning rate of exact arithmetic over 1,000 steps in float32; median 1e-6.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.soap_muon(0.1, polar=gradtx.orthogonalize("svd"), weight_decay=0.0)
        >>> w = {"kernel": jnp.zeros((2, 2))}
        >>> _, state = tx.update({"kernel": jnp.eye(2)}, tx.init(w), w)
        >>> print(tx.update({"kernel": jnp.eye(2)}, state, w)[0]["kernel"].round(3) + 0.0)
        [[-0.028  0.   ]
         [ 0.    -0.028]]
    """
    in_unit_interval(momentum=momentum, b2=b2, basis_decay=basis_decay)
    inside = chain(mean_of(momentum, nesterov), scale_by_rms(b2, eps, eps_in_sqrt=False))
    mean = in_frame(inside, eigenbasis(basis_decay, every, max_dim=max_dim, staggered=staggered))
    require_whole("soap_muon", polar)
    direction = chain(polar, scale_by_shape(shape_rule, outputs), hold_still(steps=1))
    return for_hidden_matrices(mean, direction, learning_rate, weight_decay, others, exclude, None)
