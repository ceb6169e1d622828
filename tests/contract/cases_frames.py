"""Cases of `in_frame`: each frame round Adam, and the frame that changes nothing round each transformation."""

from __future__ import annotations

import gradtx
from gradtx import frames
from tests.contract.adding import ADAM, INNER, add

add("in_frame", gradtx.in_frame, inner=ADAM, frame=frames.matrices(-2, -1, (None, 1)), carry=None)
add("in_frame-parts", gradtx.in_frame, inner=ADAM, frame=frames.real_and_imaginary(), carry=None)
for which, inner in INNER.items():
    neutral = {"neutral": inner}
    add(f"in_frame-{which}-neutral", gradtx.in_frame, inner=inner, frame=frames.identity(), carry=None, case=neutral)
