"""Muon: momentum whose matrices are orthogonalized, for hidden matrices; AdamW for all other leaves."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import in_unit_interval
from gradtx.optimizers.hidden import POLAR, for_hidden_matrices, framed, in_frames, mean_of, of_length, require_whole
from gradtx.sets.balls import sphere
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.newton_schulz import Triples
from gradtx.transforms.normalize import scale_by_trust_ratio
from gradtx.transforms.orthogonal import orthogonalize
from gradtx.wrappers.on_matrices import on_matrices
from gradtx.wrappers.project_onto import project_onto


@transformation
def muon(
    learning_rate: Hyper,
    momentum: Hyper = 0.95,
    *,
    nesterov: bool = True,
    polar: Transformation = POLAR,
    shape_rule: str = "moonlight",
    outputs: int = -1,
    weight_decay: Hyper = 0.1,
    others: Transformation | None = None,
    exclude: Any = None,
    frame: Any = None,
):
    """Muon: `nesterov_ema`, `orthogonalize` and `scale_by_shape` for hidden matrices, and AdamW for all other leaves.

        M = momentum·M + (1 - momentum)·g
        N = momentum·M + (1 - momentum)·g with nesterov, else M
        w = w - learning_rate·(factor·polar(N) + weight_decay·w)

    `plan` shows which leaf goes where, and why. With the default shape, steps are as long as those of Adam, and both
    parts share the learning rate. With `shape_rule="keller"` it is about .02: give `others` a rate of its own. In GPT-2
    small, the products of Muon are 0.3% of the operations of a step of 480 × 1,024 tokens, 15% of 8 × 1,024.

    A leaf that is not one matrix, inputs × outputs, needs a `frame`; then each matrix in it has a step of its own:

        convolutions h × w × in × out                        frames.matrices(rows=None)
        heads, in × heads × width                            frames.matrices(rows=0, columns=2)
        queries, keys and values side by side, in × 3·out    frames.matrices(blocks=(None, out))
        a stack of layers, layers × in × out                 frames.matrices()

    For a network with several of these, give rules: `frame={"**/query/kernel": frames.matrices(rows=0, columns=2)}`.

    Args:
        learning_rate: at least 0; usually 1e-3. The weight decay is multiplied by it too.
        momentum: the weight of the past; in [0, 1].
        nesterov: look one step ahead, as in `nesterov_ema`; else `ema` without correction.
        polar: what makes the direction: `orthogonalize` with other coefficients, in another precision, or inside
            `shard_map` with `devices`.
        shape_rule, outputs: the rule and the axis of the outputs, as in `scale_by_shape`.
        weight_decay: as in `add_decayed_weights`; also that of the default AdamW, in which biases decay too.
        others: the transformation for all other leaves; None: `adamw(learning_rate, b1=0.9, b2=0.95)`.
        exclude: which matrices go to `others`, as in `on_matrices`; None: embeddings (embed, wte, wpe) and heads (head,
            lm_head, classifier, logits), by these parts of their paths. If yours has another name, give its path.
        frame: coordinates in which leaves are matrices, as above; or rule -> frame, with rules as in `route`, where
            leaves of more axes that match none go to `others`; None: all of these go there.

    State: that of `on_matrices`. Its update needs `params`.
    Raises: as the pieces. TypeError: frame is not a frame.
    Source: Jordan et al. 2024 (Muon, on kellerjordan.github.io); the default shape and decay from Liu et al. 2025
        (arXiv:2502.16982). torch's Muon is the matrix part, with shape "keller" unless told, and iterates in bfloat16.
        Keras adds up its momentum, which has the same direction. optax corrects the momentum for its start, so that its
        first directions differ, and takes every leaf with two axes. Within 2e-5 of the largest entry of the parameters
        over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.muon(0.1, polar=gradtx.orthogonalize("svd"), weight_decay=0.0)
        >>> params = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> print(updates["kernel"].round(3))
        [[-0.028 -0.   ]
         [-0.    -0.028]]
    """
    in_unit_interval(momentum=momentum)
    mean, direction = mean_of(momentum, nesterov), of_length(polar, shape_rule, outputs)
    return for_hidden_matrices(mean, direction, learning_rate, weight_decay, others, exclude, frame)


@transformation
def polargrad(
    learning_rate: Hyper,
    momentum: Hyper = 0.95,
    *,
    nesterov: bool = False,
    coefficients: str | Triples = "polar_express_8",
    weight_decay: Hyper = 0.0,
    others: Transformation,
    exclude: Any = None,
    frame: Any = None,
):
    """PolarGrad: `muon` whose steps become small where gradients do, by `orthogonalize(dual_norm=True)`.

        w = w - learning_rate·(polar(N)·⟨polar(N), N⟩ + weight_decay·w),      N as in `muon`

    The inner product is the sum of the singular values of N. The step is the steepest descent in the spectral norm, as
    the gradient itself is in the Euclidean norm, so the rate depends on the loss: search for it.

    Args:
        learning_rate: at least 0; there is no usual one. The weight decay is multiplied by it too.
        momentum, nesterov, weight_decay, exclude, frame: as in `muon`.
        coefficients: as in `orthogonalize`; the default ones are nearly exact.
        others: the transformation for all other leaves, with a rate of its own: `adamw(1e-3)`.

    State: that of `on_matrices`. Its update needs `params`.
    Raises: as the pieces. TypeError: frame is not a frame.
    Source: Lau et al. 2025 (arXiv:2505.21799), PolarGradM, momentum first, which computes the polar factor in another
        iteration. Not in optax, torch or Keras. Within 4e-6 of the largest entry of the parameters over 1,000 steps in
        float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.polargrad(0.1, momentum=0.0, others=gradtx.adamw(1e-3)), jnp.eye(2)
        >>> print(tx.update(jnp.diag(jnp.array([3.0, 1.0])), tx.init(w), w)[0].round(3))
        [[-0.4 -0. ]
         [-0.  -0.4]]
    """
    in_unit_interval(momentum=momentum)
    mean, direction = mean_of(momentum, nesterov), orthogonalize(coefficients, dual_norm=True)
    return for_hidden_matrices(mean, direction, learning_rate, weight_decay, others, exclude, frame)


@transformation
def muonh(
    learning_rate: Hyper = 0.018,
    momentum: Hyper = 0.95,
    *,
    nesterov: bool = True,
    polar: Transformation = POLAR,
    others: Transformation,
    exclude: Any = None,
    frame: Any = None,
):
    """Hyperball Muon: as `muon`, with hidden matrices that keep their initial norms, and so without weight decay.

        w = w - learning_rate·‖w‖·U/‖U‖, put back to the norm of the first w;      U = polar(N) as in `muon`

    The norms are those of leaves; a stack of layers is one. A matrix cannot start at 0.

    Args:
        learning_rate: at least 0; the relative length of a step, which turns a matrix by at most arcsin of it.
        momentum, nesterov, polar, exclude, frame: as in `muon`.
        others: the transformation for all other leaves, with a rate of its own: `adamw(1e-3)`.

    State: that of `on_matrices`; for matrices a `ProjectOntoState`. Its update needs `params`.
    Raises: as the pieces. TypeError: frame is not a frame. ValueError: a hidden matrix starts at 0.
    Source: 2606.16899 on arXiv, Hyperball; the rate as there. Not in optax, torch or Keras. Within 4e-6 of the largest
        entry of the parameters over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.muonh(0.5, others=gradtx.sgd(0.1)), jnp.eye(2)
        >>> updates, _ = tx.update(jnp.array([[0.0, 1.0], [1.0, 0.0]]), tx.init(w), w)
        >>> print((w + updates).round(2), jnp.linalg.norm(w + updates).round(2))
        [[ 0.89 -0.45]
         [-0.45  0.89]] 1.41
    """
    in_unit_interval(momentum=momentum)
    require_whole("muonh", polar)
    step = chain(
        mean_of(momentum, nesterov), framed(polar, frame), scale_by_trust_ratio(), scale_by_learning_rate(learning_rate)
    )
    return on_matrices(project_onto(step, sphere()), others, exclude, stacks=in_frames(frame))
