"""The index of a checkpoint: its leaves by path, with their types, shapes and check sums, as JSON."""

from __future__ import annotations

import json
import zlib
from typing import Any, NamedTuple

from gradtx.checkpoint.errors import CheckpointError
from gradtx.checkpoint.leaves import PLAIN, Leaf

FORMAT = 1

STORED = PLAIN | {"bfloat16"}
"""The types that Orbax stores as they are."""


class Index(NamedTuple):
    """Fields: leaves, sums."""

    leaves: dict[str, Leaf]  # by path, the first part of which is the name of the tree
    sums: dict[str, int]  # of the arrays that carry them; none for those without elements


def to_json(index: Index) -> dict[str, Any]:
    """The index as JSON, under a check sum of its own."""
    rows = [[name, leaf.type, leaf.shape, leaf.fields, index.sums.get(name)] for name, leaf in index.leaves.items()]
    text = json.dumps(rows)
    return {"gradtx_checkpoint": FORMAT, "leaves": text, "crc32": zlib.crc32(text.encode())}


def from_json(what: str, read: Any) -> Index:
    """The index again.

    Raises:
        CheckpointError: for what is none, is damaged, or comes from a later version.
    """
    if not isinstance(read, dict) or "gradtx_checkpoint" not in read:
        raise CheckpointError(f"{what} has a damaged index, or one that gradtx did not write: {str(read)[:80]}")
    if read["gradtx_checkpoint"] != FORMAT:
        raise CheckpointError(
            f"{what} is of the format {read['gradtx_checkpoint']}, and this version of gradtx reads {FORMAT}: update it"
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
