"""Cases of `in_frame`: each frame round Adam, and the frame that changes nothing round each transformation."""

from __future__ import annotations

import gradtx
from gradtx import frames
from tests.contract.adding import ADAM, INNER, add

TURNING = {"smooth": False}  # the basis counts as a constant in derivatives

add("in_frame", gradtx.in_frame, inner=ADAM, frame=frames.matrices(-2, -1, (None, 1)), carry=None)
add("in_frame-parts", gradtx.in_frame, inner=ADAM, frame=frames.real_and_imaginary(), carry=None)
SVD = frames.low_rank(rank=1, every=2, basis="svd", key=0)
BASIS = frames.eigenbasis(decay=0.9, every=2, sides="both", max_dim=100, kl=True, staggered=True)
add("in_frame-svd", gradtx.in_frame, inner=ADAM, frame=SVD, carry="turn", case=TURNING)
add("in_frame-random", gradtx.in_frame, inner=ADAM, frame=frames.low_rank(1, 2, "random", 0), carry="keep")
add("in_frame-eigenbasis", gradtx.in_frame, inner=ADAM, frame=BASIS, carry="turn", case=TURNING)
VECTORS = frames.singular_vectors(decay=0.9, every=2)
add("in_frame-singular", gradtx.in_frame, inner=ADAM, frame=VECTORS, carry="turn_signed", case=TURNING)
for which, inner in INNER.items():
    neutral = {"neutral": inner}
    add(f"in_frame-{which}-neutral", gradtx.in_frame, inner=inner, frame=frames.identity(), carry=None, case=neutral)

# With ranks that leave something out of the small leaves of the laws.
RATE = {"learning_rate": 0.01, "b1": 0.9, "b2": 0.999, "rank": 1, "every": 2, "weight_decay": 0.1, "mask": None}
LOW = {"needs_params": True, "smooth": False}
add("galore", gradtx.galore, **RATE, eps=1e-8, scale=0.25, case=LOW)
APOLLO = {**RATE, "eps": 1e-6, "growth": 1.01, "key": 0}
add("apollo", gradtx.apollo, **APOLLO, per="channel", scale=4.0, case={"needs_params": True})
through = frames.low_rank(rank=1, every=2, basis="random", key=0)
piece = gradtx.scale_by_adam(b1=0.9, b2=0.999, eps=1e-6, eps_root=0.0)
both = {"direction": gradtx.identity(), "magnitude": piece}
add("graft-through", gradtx.graft, **both, per="leaf", through=through, axis_name=None)

# The shorter side only: the means of the other one have a null space, whose basis depends on rounding.
SOAP = {
    "b1": 0.95,
    "b2": 0.95,
    "eps": 1e-8,
    "basis_decay": 0.9,
    "every": 2,
    "sides": "smaller",
    "max_dim": 100,
    "kl": False,
}
SOAP = {**SOAP, "staggered": False}
SOAP = {**SOAP, "kl": False, "staggered": False, "weight_decay": 0.1, "mask": None}
add("soap", gradtx.soap, learning_rate=0.01, **SOAP, case=LOW)
SIGNS = {"b1": 0.9, "b2": 0.9, "every": 2, "sides": "smaller", "max_dim": 100, "other_scale": 0.01}
SIGNS = {**SIGNS, "average_decay": 0.9, "weight_decay": 0.1, "mask": None, "exclude": None}
add("splus", gradtx.splus, learning_rate=0.1, **SIGNS, case=LOW)
LIKE_ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "every": 2, "scale": 0.5, "weight_decay": 0.1, "mask": None}
add("conda", gradtx.conda, learning_rate=0.01, **LIKE_ADAM, case=LOW)
