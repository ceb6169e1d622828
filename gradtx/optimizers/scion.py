"""Scion: every leaf steps to the edge of a ball, in the norm that suits it."""

from __future__ import annotations

import math
from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import describe, in_unit_interval, one_of
from gradtx.optimizers.hidden import POLAR, framed, in_frames, of_length
from gradtx.transforms.basic import scale, scale_by_learning_rate, scale_by_sign
from gradtx.transforms.momentum import ema
from gradtx.transforms.orthogonal import scale_by_shape
from gradtx.transforms.unit import scale_to_norm
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.on_matrices import on_matrices

NORMS = ("spectral", "row", "column", "sign")


@transformation
def scion(
    learning_rate: Hyper,
    momentum: Hyper = 0.9,
    *,
    hidden: tuple[str, float] = ("spectral", 50.0),
    others: tuple[str, float] = ("sign", 3000.0),
    vectors: float = 1.0,
    polar: Transformation = POLAR,
    outputs: int = -1,
    weight_decay: Hyper = 1.0,
    exclude: Any = None,
    frame: Any = None,
):
    """Scion: each leaf steps along a running mean of gradients, in the direction that is steepest in its own norm.

        M = momentum·M + (1 - momentum)·g
        w = w - learning_rate·(radius·direction(M) + weight_decay·w)

    The directions of a matrix with m outputs and n inputs:

        "spectral"    √(m/n)·polar(M)      hidden layers: root mean squares in, root mean squares out
        "row"         M_i/(‖M_i‖·√n)       each output i for itself
        "column"      √m·M_j/‖M_j‖         each input j for itself: embeddings, whose inputs are one-hot
        "sign"        sign(M)/n            the largest entry: the last layer
        of a vector   M/RMS(M)

    With a weight decay of 1 the steps lead to points of the ball of the radius, and what starts in it stays there. With
    0 there is no ball.

    Args:
        learning_rate: in [0, 1]; usually 2^-12.
        momentum: the weight of the past; in [0, 1].
        hidden, others: norm and radius of hidden matrices and of all other ones, as in `on_matrices`: embeddings, heads
            and, without a frame, leaves with more axes, whose last two count. The default of others suits a head, and
            an embedding that is also the head. An embedding of its own hardly moves with it, since its n is
            the vocabulary: give it "column", in `route({"**/embed": scion(rate, others=("column", 1.0)), ...})`.
        vectors: the radius of vectors and scalars, a root mean square.
        polar, outputs, exclude, frame: as in `muon`.
        weight_decay: 1 or 0; see above.

    State: a chain's dict, with one entry: `EmaState`. Its update needs `params`.
    Raises: ValueError: a norm has another name, a radius is not above 0. TypeError: frame is not a frame, or hidden or
        others is not a pair.
    Source: Pethick et al. 2025 (arXiv:2502.07529), algorithms 1 and 2, tables 2 and 3; the momentum there is 1 minus
        ours. The radius of vectors is ours. Their factor for convolutions is smaller than that in a frame, by the side
        of the kernel. Parameters start on the ball there. Not in optax, torch or Keras. Within 4e-6 of the
        largest entry of the parameters over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.scion(0.5, hidden=("column", 2.0)), jnp.zeros((2, 2))
        >>> print((100 * tx.update(jnp.array([[3.0, 4.0], [0.0, 0.1]]), tx.init(w), w)[0]).round())
        [[ -85. -113.]
         [  -0. -141.]]
    """
    in_unit_interval(momentum=momentum)
    of_hidden = framed(_direction("hidden", hidden, polar, outputs), frame)
    of_others = _direction("others", others, polar, outputs)
    of_vectors = chain(scale_to_norm(rms=True), scale(_radius("vectors", vectors)))
    rest = on_matrices(of_others, of_vectors, (), stacks=True)
    return chain(
        ema(momentum, debias=False),
        on_matrices(of_hidden, rest, exclude, stacks=in_frames(frame)),
        add_decayed_weights(weight_decay, None),
        scale_by_learning_rate(learning_rate),
    )


def _direction(name: str, given: Any, polar: Any, outputs: int) -> GradientTransformation:
    """The steepest direction in a norm, times the radius."""
    if not (isinstance(given, tuple | list) and len(given) == 2):
        raise TypeError(f"{name} must be a pair of a norm and a radius, ('spectral', 50.0); got {describe(given)}")
    norm, radius = given[0], _radius(f"{name}[1]", given[1])
    one_of(NORMS, **{f"{name}[0]": norm})
    direction = {
        "spectral": lambda: of_length(polar, "spectral", outputs),
        "row": lambda: chain(scale_to_norm(axis=-3 - outputs, rms=True), scale_by_shape("inputs", outputs)),
        "column": lambda: scale_to_norm(axis=outputs, rms=True),
        "sign": lambda: chain(scale_by_sign(), scale_by_shape("inputs", outputs)),
    }[norm]()
    return chain(direction, scale(radius))


def _radius(name: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise ValueError(f"{name} must be a radius, a finite number above 0; got {describe(given)}")
    return float(given)
