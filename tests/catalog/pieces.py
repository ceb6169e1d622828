"""The transformations of which one is made."""

from collections.abc import Iterator

from gradtx import GradientTransformation


def pieces(tx: GradientTransformation) -> Iterator[GradientTransformation]:
    """A transformation, its piece, and all transformations inside, at any depth."""
    yield tx
    if tx.piece is not tx:
        yield from pieces(tx.piece)
    for inner in tx.children.values():
        if isinstance(inner, GradientTransformation):
            yield from pieces(inner)
