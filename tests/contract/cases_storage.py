"""Cases of `store`: with each codec round Adam, and round other transformations, so that every kind of field is met."""

from __future__ import annotations

import gradtx
from gradtx.storage import bfloat16, factored, float8, float32, int4, int8, offloaded
from gradtx.storage.store import store
from tests.contract.adding import ADAM, INNER, NAMESPACE, add

for codec in (bfloat16, factored, float8, float32, int4, int8, offloaded):
    NAMESPACE[codec.__name__] = codec

ROUNDED = {"smooth": False, "differentiable": False, "rounds": True}
ROLES = {"mean": "signed"}

# The leaves of the laws are small: with min_size=0 they are encoded all the same.
for codec in (bfloat16(), int4(block=128), float8(block=256), factored(signed=int8(block=256))):
    name = type(codec).__name__.lower()
    add(f"store-{name}", store, inner=ADAM, codec=codec, min_size=0, roles=None, case=ROUNDED)
add("store", store, inner=ADAM, codec=int8(block=256), min_size=0, roles=None, case=ROUNDED)
# What lies on the host is kept as bits, of which the laws say that jit changes none: with one half, nothing is rounded.
halving = gradtx.add_momentum(decay=0.5)
add("store-offloaded", store, inner=halving, codec=offloaded(), min_size=0, roles=None, case=ROUNDED)
for which, inner in INNER.items():
    roles = ROLES if which == "user" else None
    neutral = {"neutral": inner, "rounds": True}
    add(f"store-{which}-neutral", store, inner=inner, codec=float32(), min_size=0, roles=roles, case=neutral)
around = gradtx.skip_nonfinite(gradtx.accumulate(ADAM, 2))
add("store-wrappers", store, inner=around, codec=int8(block=256), min_size=0, roles=None, case=ROUNDED)
