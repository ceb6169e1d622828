"""The parameters that the benchmark steps: shapes of well-known networks, and many small leaves."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Shapes = list[tuple[int, ...]]
SMALL = ((64,), (32, 32), (128, 8), (3, 3, 8, 16), (256,))


def small(count: int) -> Shapes:
    """As many small leaves, of 25 distinct shapes."""
    kinds = [(*shape[:-1], shape[-1] + 4 * k) for k in range(5) for shape in SMALL]
    return [kinds[i % len(kinds)] for i in range(count)]


def equal(count: int) -> Shapes:
    """As many leaves of 64."""
    return [(64,)] * count


def gpt2(layers: int = 12) -> Shapes:
    """The parameters of GPT-2 small: 148 leaves, 124 million numbers."""
    d = 768
    block = [(d,), (d,), (d, 3 * d), (3 * d,), (d, d), (d,), (d,), (d,), (d, 4 * d), (4 * d,), (4 * d, d), (d,)]
    return [(50257, d), (1024, d), *(block * layers), (d,), (d,)]


def resnet50() -> Shapes:
    """The parameters of ResNet-50: 161 leaves, 25.6 million numbers."""
    shapes: Shapes = [(7, 7, 3, 64), (64,), (64,)]
    wide = 64
    for narrow, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            for kernel, into, out in ((1, wide, narrow), (3, narrow, narrow), (1, narrow, 4 * narrow)):
                shapes += [(kernel, kernel, into, out), (out,), (out,)]
            if block == 0:
                shapes += [(1, 1, wide, 4 * narrow), (4 * narrow,), (4 * narrow,)]
            wide = 4 * narrow
    return [*shapes, (2048, 1000), (1000,)]


def size(shapes: Shapes) -> int:
    """How many numbers they have together."""
    return sum(math.prod(s) for s in shapes)


def arrays(shapes: Shapes, scale: float = 1.0, seed: int = 0) -> list[jax.Array]:
    """Normal numbers of these shapes."""
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(s, np.float32) * np.float32(scale)) for s in shapes]


def nbytes(tree: Any) -> int:
    """The bytes of all leaves, arrays or `jax.ShapeDtypeStruct`s."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
