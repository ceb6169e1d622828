"""Words in a state, where only arrays survive every format: as the bytes of a text."""

from __future__ import annotations

import functools
import json
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Labels(NamedTuple):
    """What the numbers of a watch are: of which leaves or groups, after which stages, in which bins.

    low, high: the outer edges of the histogram, as powers of ten; bins: how many there are.
    """

    names: tuple[str, ...]
    stages: tuple[str, ...]
    low: float
    high: float
    bins: int


@functools.lru_cache(maxsize=256)
def as_bytes(labels: Labels) -> bytes:
    """The labels as a text, the same for the same ones."""
    return json.dumps(labels).encode()


def written(labels: Labels) -> jax.Array:
    """The labels as an array of bytes, uint8."""
    return jnp.asarray(np.frombuffer(as_bytes(labels), np.uint8).copy())


def read(text: Any) -> Labels:
    """The labels again.

    Raises: ValueError: these bytes are no labels.
    """
    try:
        names, stages, low, high, bins = json.loads(bytes(np.asarray(text, np.uint8)))
    except (ValueError, TypeError):
        raise ValueError("the labels of this state are damaged: they are not those that watch(...) wrote") from None
    return Labels(tuple(names), tuple(stages), float(low), float(high), int(bins))
