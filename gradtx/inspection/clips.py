"""Which transformations are clips, for all that count or name what was cut."""

from __future__ import annotations

from gradtx.core.pair import GradientTransformation, is_transformation


def is_clip(tx: GradientTransformation) -> bool:
    """Whether this is a clip: "clip" is a word of its name; of a wrapper, whether all that is inside is a clip.

    The name is that of the function which made it, another library's too: `clip_by_value`, `adaptive_grad_clip`.
    """
    piece = tx.piece
    inner = [x for x in piece.children.values() if is_transformation(x)]
    return all(map(is_clip, inner)) if inner else "clip" in piece.member_name.split("_")
