"""Frames: other coordinates in which `in_frame` runs a transformation."""

from gradtx.frames.frame import Frame, identity
from gradtx.frames.reshape import matrices, real_and_imaginary

__all__ = ["Frame", "identity", "matrices", "real_and_imaginary"]
