"""Codecs, which keep a state in fewer bytes between steps, and the roles of the fields of states."""

from gradtx.core.states import Exact, ExactMagnitude, Magnitude, NonNegative, Signed
from gradtx.storage.codec import Codec, bfloat16, float32, offloaded
from gradtx.storage.factored import factored
from gradtx.storage.fields import Stored
from gradtx.storage.quantized import book, float8, int4, int8

__all__ = [
    "Codec",
    "Exact",
    "ExactMagnitude",
    "Magnitude",
    "NonNegative",
    "Signed",
    "Stored",
    "bfloat16",
    "book",
    "factored",
    "float8",
    "float32",
    "int4",
    "int8",
    "offloaded",
]
