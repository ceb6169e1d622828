"""What optimizers of hidden matrices share: which leaves are matrices, and what all other leaves get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradtx.core.chain import chain
from gradtx.core.pair import GradientTransformation
from gradtx.optimizers.adam import adamw
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.filters import nesterov_ema
from gradtx.transforms.momentum import ema
from gradtx.transforms.orthogonal import orthogonalize, scale_by_shape
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.frame import in_frame
from gradtx.wrappers.on_matrices import on_matrices
from gradtx.wrappers.partition import route

POLAR = orthogonalize()
"""The usual direction of a matrix."""


def mean_of(momentum: Any, nesterov: bool) -> GradientTransformation:
    """The momentum of Muon, which is not corrected for its start."""
    return nesterov_ema(momentum) if nesterov else ema(momentum, debias=False)


def of_length(polar: Any, rule: str, outputs: int) -> GradientTransformation:
    """The direction of matrices and its length; where leaves are parts of matrices, `polar` says of what shape."""
    return chain(polar, scale_by_shape(rule, outputs, devices=getattr(polar, "devices", None)))


def require_whole(name: str, polar: Any) -> None:
    """Raise ValueError if leaves are parts of matrices: the other norms in `name` are those of what they are given."""
    if getattr(getattr(polar, "devices", None), "split", None) is not None:
        raise ValueError(
            f"{name}: polar says that leaves are parts of matrices, whose other norms are not known here; inside "
            f"shard_map use muon, muon2 or adamuon, or run this one under jit on a mesh"
        )


def framed(direction: GradientTransformation, frame: Any) -> GradientTransformation:
    """The direction of matrices in the coordinates of a frame, or in those that the rules give, if any are given."""
    if isinstance(frame, Mapping):
        return route({rule: in_frame(direction, own) for rule, own in frame.items()}, direction)
    return direction if frame is None else in_frame(direction, frame)


def in_frames(frame: Any) -> Any:
    """Which leaves with more than two axes are matrices: all, or those that a rule gives a frame."""
    return tuple(frame) if isinstance(frame, Mapping) else frame is not None


def for_hidden_matrices(
    mean: GradientTransformation,
    direction: GradientTransformation,
    learning_rate: Any,
    weight_decay: Any,
    others: Any,
    exclude: Any,
    frame: Any,
) -> GradientTransformation:
    """The mean and the direction of matrices, with decay and rate; and what other leaves get."""
    matrices = chain(
        mean,
        framed(direction, frame),
        add_decayed_weights(weight_decay, None),
        scale_by_learning_rate(learning_rate),
    )
    default = adamw(learning_rate, b1=0.9, b2=0.95, weight_decay=weight_decay)
    return on_matrices(matrices, default if others is None else others, exclude, stacks=in_frames(frame))
