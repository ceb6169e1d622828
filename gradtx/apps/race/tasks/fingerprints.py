"""Fingerprints of data, so that a reader of the report can tell whether it was the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np


def fingerprint(arrays: Iterable[Any]) -> str:
    """The SHA-256 of arrays, of their types and shapes too, whatever the order of bytes of this machine.

    Args:
        arrays: of numbers.
    """
    digest = hashlib.sha256()
    for array in map(np.asarray, arrays):
        little = array.astype(array.dtype.newbyteorder("<"))
        digest.update(f"{little.dtype.str}{little.shape}".encode() + little.tobytes())
    return f"sha256 {digest.hexdigest()}"
