"""Frames: other coordinates in which `in_frame` runs a transformation."""

from gradtx.frames.eigenbasis import eigenbasis
from gradtx.frames.frame import Frame, identity
from gradtx.frames.low_rank import low_rank
from gradtx.frames.reshape import matrices, real_and_imaginary
from gradtx.frames.singular import singular_vectors

__all__ = ["Frame", "eigenbasis", "identity", "low_rank", "matrices", "real_and_imaginary", "singular_vectors"]
