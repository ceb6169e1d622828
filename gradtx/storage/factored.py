"""Second moments kept as means of rows and columns."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gradtx.core.numerics import quotient
from gradtx.placement import longest_axes
from gradtx.shown import ShownAsCall
from gradtx.storage.codec import Bits, Codec, Float32, require_codec


@dataclasses.dataclass(frozen=True, repr=False)
class Factored(ShownAsCall):
    """See `factored`."""

    maker = "storage.factored"

    signed: Codec

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """Nonnegative arrays with two axes or more; of the others, those that the other codec takes."""
        return len(leaf.shape) > 1 if role == "nonnegative" else self.signed.supports(role, leaf)

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, jax.Array | None]:
        """The means of rows, and of columns."""
        if role == "signed":
            return self.signed.encode(role, x, bits)
        row, column = longest_axes(x.shape)
        return _mean(x, column), _mean(x, row)

    def decode(self, role: str, codes: jax.Array, scales: jax.Array | None, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """Row times column, divided by the mean of all."""
        if role == "signed" or scales is None:
            return self.signed.decode(role, codes, scales, leaf)
        row, column = longest_axes(leaf.shape)
        along = row - (column < row)  # the axis of the rows, once that of the columns is gone
        rows = quotient(codes, jnp.broadcast_to(jnp.expand_dims(_mean(codes, along), along), codes.shape))
        rows, columns = jnp.expand_dims(rows, column), jnp.expand_dims(scales, row)
        info = jnp.finfo(codes.dtype)
        product = jnp.clip(rows * columns, jnp.asarray(info.tiny, codes.dtype), jnp.asarray(info.max, codes.dtype))
        return jnp.where((rows == 0) | (columns == 0), 0, product)


def _mean(x: jax.Array, axis: int) -> jax.Array:
    """The mean, without overflow; not zero if an entry is not zero."""
    mean, tiny = (
        jnp.sum(x * jnp.asarray(1 / x.shape[axis], x.dtype), axis),
        jnp.asarray(jnp.finfo(x.dtype).tiny, x.dtype),
    )
    return jnp.where(mean < tiny, jnp.where(jnp.max(x, axis) > 0, tiny, 0), mean)


def factored(signed: Codec | None = None) -> Codec:
    """Keep second moments as means of their rows and columns: m + n numbers for a matrix of m×n.

        v ≈ r·c/mean(r),   r: the means of the rows, c: those of the columns

    Each matrix is made of the two longest axes. Exact if v is such a product. A vector stays as it is.

    Args:
        signed: the codec for fields with numbers of both signs; `float32()` if it is not given.

    Raises: TypeError: `signed` is not a codec.
    Source: Shazeer & Stern 2018 (arXiv:1804.04235), algorithm 2, without its clipping, decay and relative steps, for
        which there are other transformations: `store(adam(...), factored())` is Adam with this second moment.

    Example:
        >>> import gradtx
        >>> gradtx.storage.factored(signed=gradtx.storage.int8())
        storage.factored(signed=storage.int8(block=256))
    """
    signed = Float32() if signed is None else signed
    require_codec(signed=signed)
    return Factored(signed)
