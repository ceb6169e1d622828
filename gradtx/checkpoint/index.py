"""The index of a checkpoint: the path, type, shape and checksum of every leaf, as JSON."""

from __future__ import annotations

import json
import zlib
from typing import Any, NamedTuple

from gradtx.checkpoint.errors import CheckpointError
from gradtx.checkpoint.leaves import PLAIN, Leaf

FORMAT = 1

STORED = PLAIN | {"bfloat16"}
"""The types that Orbax stores without conversion."""


class Index(NamedTuple):
    """What a checkpoint holds."""

    leaves: dict[str, Leaf]  # by path; a path begins with the name of its tree
    sums: dict[str, int]  # the checksums of the stored arrays, by path; arrays without elements are not stored


def to_json(index: Index) -> dict[str, Any]:
    """The index as JSON, with a checksum of its own."""
    rows = [[name, leaf.type, leaf.shape, leaf.fields, index.sums.get(name)] for name, leaf in index.leaves.items()]
    text = json.dumps(rows)
    return {"gradtx_checkpoint": FORMAT, "leaves": text, "crc32": zlib.crc32(text.encode())}


def from_json(what: str, read: Any) -> Index:
    """The index from its JSON.

    Raises:
        CheckpointError: it is damaged, was not written by gradtx, or has the format of another version.
    """
    if not isinstance(read, dict) or "gradtx_checkpoint" not in read:
        raise CheckpointError(f"{what} has a damaged index, or one that gradtx did not write: {str(read)[:80]}")
    if read["gradtx_checkpoint"] != FORMAT:
        raise CheckpointError(
            f"{what} has format {read['gradtx_checkpoint']}, but this version of gradtx reads {FORMAT}: update gradtx"
        )
    text = read.get("leaves")
    if not isinstance(text, str) or zlib.crc32(text.encode()) != read.get("crc32"):
        raise CheckpointError(f"{what} has a damaged index")
    leaves, sums = {}, {}
    for name, kind, shape, fields, total in json.loads(text):
        leaves[name] = Leaf(kind, tuple(shape), tuple(fields))
        if total is not None:
            sums[name] = total
    return Index(leaves, sums)
