"""Muon with second moments: of the rows or entries of the orthogonal matrix, or of the gradient in front of it."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import in_unit_interval
from gradtx.moments import per_column
from gradtx.optimizers.hidden import POLAR, for_hidden_matrices, mean_of, of_length, require_whole
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.transforms.basic import scale_by_sign
from gradtx.transforms.orthogonal import scale_by_shape
from gradtx.transforms.ratio import divide_by_rms
from gradtx.transforms.unit import scale_to_norm
from gradtx.wrappers.graft import keep_norm


@transformation
def normuon(
    learning_rate: Hyper,
    momentum: Hyper = 0.95,
    b2: Hyper = 0.95,
    eps: Hyper = 1e-10,
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
    """NorMuon: Muon whose rows, one for each output, are divided by a running root mean square of their own.

        U = polar(N),      N as in `muon`
        v = b2·v + (1 - b2)·mean of U∘U over the inputs
        w = w - learning_rate·(factor·U'·‖U‖/‖U'‖ + weight_decay·w),      U' = U/(√v + eps)

    Norms and rows are those of each matrix, also in a stack of layers. Inside `shard_map` matrices must be whole.

    Args:
        learning_rate, momentum, nesterov: as in `muon`.
        b2: the weight of the past in v; in [0, 1].
        eps: added to the root; finite, at least 0.
        polar, shape_rule, outputs, weight_decay, others, exclude, frame: as in `muon`.

    State: that of `on_matrices`. Its update needs `params`.
    Raises: as the pieces. TypeError: frame is not a frame.
    Source: Li et al. 2025 (arXiv:2510.05491), with the length of the authors' code, ‖U‖ before the division, so that
        gradients of low rank make shorter steps; algorithm 1 there has one length for all. Not in optax, torch or
        Keras. Within 2e-5 of the largest entry of the parameters over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.normuon(0.1, weight_decay=0.0)
        >>> params = {"kernel": jnp.array([[1.0, 2.0], [0.5, -1.0]]), "bias": jnp.zeros(2)}
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> print(((updates["kernel"] ** 2).mean(0) ** 0.5).round(4))  # alike for each output
        [0.0188 0.0188]
    """
    in_unit_interval(momentum=momentum, b2=b2)
    require_whole("normuon", polar)
    shape = scale_by_shape(shape_rule, outputs)
    over_inputs = per_column(output_axis=-3 - outputs)  # not per_row: layers and heads in front have rows of their own
    rows = keep_norm(scale_by_rms(b2, eps, eps_in_sqrt=False, moment=over_inputs), "matrix")
    direction = chain(polar, rows, shape)
    return for_hidden_matrices(
        mean_of(momentum, nesterov), direction, learning_rate, weight_decay, others, exclude, frame
    )


@transformation
def adamuon(
    learning_rate: Hyper,
    momentum: Hyper = 0.95,
    b2: Hyper = 0.95,
    eps: Hyper = 1e-8,
    *,
    nesterov: bool = True,
    polar: Transformation = POLAR,
    weight_decay: Hyper = 0.1,
    others: Transformation | None = None,
    exclude: Any = None,
    frame: Any = None,
):
    """AdaMuon: Muon of the signs of the momentum, whose entries are divided by a running root mean square.

        U = polar(sign(N)),      N as in `muon`
        v = b2·v + (1 - b2)·U∘U
        w = w - learning_rate·(0.2·U'/RMS(U') + weight_decay·w),      U' = U/(√v + eps)

    Args:
        learning_rate: at least 0; that of Adam, since the root mean square of each matrix is 0.2.
        momentum, b2: the weights of the past; in [0, 1].
        eps: added to the root; finite, at least 0.
        nesterov, polar, weight_decay, others, exclude, frame: as in `muon`.

    State: that of `on_matrices`. Its update needs `params`.
    Raises: as the pieces. TypeError: frame is not a frame.
    Source: Si et al. 2025 (arXiv:2507.11005), algorithm 1, with the signs of the authors' code. Not in optax, torch or
        Keras. Within 4e-6 of the largest entry of the parameters over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.adamuon(0.1, weight_decay=0.0), jnp.ones((2, 2))
        >>> print(tx.update(jnp.array([[3.0, -0.1], [0.2, 1.0]]), tx.init(w), w)[0].round(4))
        [[-0.02  0.02]
         [-0.02 -0.02]]
    """
    in_unit_interval(momentum=momentum, b2=b2)
    entries = scale_by_rms(b2, eps, eps_in_sqrt=False)
    direction = chain(scale_by_sign(), polar, entries, scale_to_norm(0.2, axis=(-2, -1), rms=True))
    return for_hidden_matrices(
        mean_of(momentum, nesterov), direction, learning_rate, weight_decay, others, exclude, frame
    )


@transformation
def muon2(
    learning_rate: Hyper,
    momentum: Hyper = 0.95,
    b2: Hyper = 0.95,
    eps: Hyper = 1e-10,
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
    """Muon²: Muon of Adam's quotient, the momentum divided by a running root mean square of the gradient.

        v = b2·v + (1 - b2)·g∘g
        w = w - learning_rate·(factor·polar(N/(√v + eps)) + weight_decay·w),      N as in `muon`

    Its singular values lie closer together than those of N, so that fewer steps of the iteration do. Gradients above
    1.8e19 (float32) count as 1.8e19.

    Args:
        learning_rate, momentum, nesterov: as in `muon`.
        b2: the weight of the past in v; in [0, 1].
        eps: added to the root; finite, at least 0; gradient units.
        polar, shape_rule, outputs, weight_decay, others, exclude, frame: as in `muon`.

    State: that of `on_matrices`. Its update needs `params`.
    Raises: as the pieces. TypeError: frame is not a frame.
    Source: 2604.09967 on arXiv. Not in optax, torch or Keras. Within 4e-6 of the largest entry of the parameters over
        1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.muon2(0.1, polar=gradtx.orthogonalize("svd"), weight_decay=0.0), jnp.ones((2, 2))
        >>> print(tx.update(jnp.array([[3.0, -0.1], [0.2, 1.0]]), tx.init(w), w)[0].round(4))
        [[-0.02  0.02]
         [-0.02 -0.02]]
    """
    in_unit_interval(momentum=momentum, b2=b2)
    mean = divide_by_rms(mean_of(momentum, nesterov), b2, eps, bias_correction=False)
    direction = of_length(polar, shape_rule, outputs)
    return for_hidden_matrices(mean, direction, learning_rate, weight_decay, others, exclude, frame)


@transformation
def rmnp(
    learning_rate: Hyper,
    momentum: Hyper = 0.95,
    *,
    nesterov: bool = True,
    outputs: int = -1,
    weight_decay: Hyper = 0.1,
    others: Transformation | None = None,
    exclude: Any = None,
    frame: Any = None,
):
    """RMNP: as `muon`, with rows of length one in place of an orthogonal matrix, which costs no product.

        w = w - learning_rate·(√max(1, m/n)·N_i/‖N_i‖ + weight_decay·w),      for each row i, N as in `muon`

    A row holds the weights of an output; m outputs, n inputs. Where the rows of N are orthogonal, it is polar(N).
    Inside `shard_map` matrices must be whole.

    Args:
        learning_rate: at least 0; usually 4e-3. The weight decay is multiplied by it too.
        momentum: the weight of the past; in [0, 1].
        nesterov, outputs, weight_decay, others, exclude, frame: as in `muon`.

    State: that of `on_matrices`. Its update needs `params`.
    Raises: as the pieces. TypeError: frame is not a frame.
    Source: 2603.20527 on arXiv, whose rate for its AdamW is 3e-3. Not in optax, torch or Keras. Within 4e-6 of
        the largest entry of the parameters over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.rmnp(0.1, weight_decay=0.0), jnp.ones((2, 2))
        >>> print((100 * tx.update(jnp.array([[3.0, 0.5], [4.0, 0.0]]), tx.init(w), w)[0]).round())
        [[ -6. -10.]
         [ -8.  -0.]]
    """
    in_unit_interval(momentum=momentum)
    shape = scale_by_shape("keller", outputs)
    direction = chain(scale_to_norm(axis=-3 - outputs), shape)
    return for_hidden_matrices(
        mean_of(momentum, nesterov), direction, learning_rate, weight_decay, others, exclude, frame
    )
