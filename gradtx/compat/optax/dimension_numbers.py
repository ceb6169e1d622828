"""Muon's and GaLore's dimension numbers, as frames: which axes of a leaf are the inputs and outputs of a matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

import gradtx
from gradtx import frames
from gradtx.compat.optax.which import resolved_on
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import shape_of
from gradtx.wrappers.rules import is_function


class MuonDimensionNumbers(NamedTuple):
    """The axes of inputs and outputs of a leaf; the other axes count matrices."""

    reduction_axis: Any = 0
    output_axis: Any = 1


class GaLoreDimensionNumbers(NamedTuple):
    """The axes of inputs and outputs of a leaf; the other axes count matrices."""

    reduction_axis: Any = 0
    output_axis: Any = 1


def is_numbers(x: Any) -> bool:
    """Whether this is an entry of a tree of dimension numbers, and no node of it."""
    return x is None or isinstance(x, MuonDimensionNumbers | GaLoreDimensionNumbers)


def each_leaf(function: Any, numbers: Any, tree: Any) -> Any:
    """A function of each leaf's dimension numbers and of the leaf; `numbers` is a prefix, or a function of the tree."""
    found = numbers(tree) if is_function(numbers) else numbers
    return jax.tree.map(lambda n, below: jax.tree.map(lambda x: function(n, x), below), found, tree, is_leaf=is_numbers)


@transformation
def as_matrices(inner: Transformation, numbers: Any):
    """Run a transformation of matrices on those that dimension numbers make of each leaf.

    Args:
        inner: the transformation.
        numbers: a tree of dimension numbers like the parameters, or a prefix of one, or a function of the parameters
            that gives it; leaves with None, and those with fewer than two axes, do not change.

    State: that of `partition`, by the frames.
    """

    def made(tree):
        seen = {}

        def label(n: Any, x: Any) -> str:
            frame = None
            if n is not None and len(shape_of(x)) > 1:
                frame = frames.matrices(_axes(n.reduction_axis), _axes(n.output_axis))
            seen.setdefault(str(frame), inner if frame is None else gradtx.in_frame(inner, frame))
            return str(frame)

        labels = each_leaf(label, numbers, tree)
        return gradtx.partition(seen, labels)

    return resolved_on(made)


def _axes(given: Any) -> Any:
    return given if isinstance(given, int) else tuple(given)
