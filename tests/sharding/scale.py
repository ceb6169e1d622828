"""A data-parallel step with ZeRO-1 over more and more devices: what each holds, how long the program is.

`python -m tests.sharding.scale 8 64` prints a line of JSON for each number of devices.
"""

import collections
import json
import sys
import time

import jax
import jax.numpy as jnp

import gradtx
from gradtx.sharding import zero_shardings
from tests.sharding.hlo import collectives, length
from tests.sharding.meshes import mesh_of, put

LAYER = {"in": (64, 128), "bias": (1, 128), "out": (128, 64)}
SHAPES = {"layers": [LAYER, LAYER], "head": (64, 1)}
TX = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3))


def loss(params, x):
    """Residual layers, and a sum."""
    for layer in params["layers"]:
        x = x + jnp.tanh(x @ layer["in"] + layer["bias"]) @ layer["out"]
    return jnp.mean((x @ params["head"]) ** 2)


def measure(count):
    """The step over so many devices: bytes of state on each, instructions, seconds to compile, collectives."""
    mesh = mesh_of(count)
    params = jax.tree.map(lambda s: put(mesh, jnp.ones(s)), SHAPES, is_leaf=lambda s: isinstance(s, tuple))
    shardings = zero_shardings(TX, params, mesh, "data")
    state = jax.jit(TX.init, out_shardings=shardings)(params)

    def step(params, state, x):
        updates, state = TX.update(jax.grad(loss)(params, x), state, params)
        return gradtx.apply_updates(params, updates), state

    out = (jax.tree.map(lambda p: p.sharding, params), shardings)
    x = put(mesh, jnp.ones((64, 64)), "data")
    lowered = jax.jit(step, out_shardings=out).lower(params, state, x)
    start = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - start
    found = collections.Counter(c.kind for c in collectives(compiled) if not c.in_branch)
    return {
        "devices": count,
        "state_bytes": gradtx.plan(TX, params).state_bytes,
        "planned_bytes": gradtx.plan(TX, params, shardings).device_bytes,
        "device_bytes": sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state)),
        "instructions": length(compiled),
        "seconds": seconds,
        "collectives": dict(found),
    }


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(json.dumps(measure(int(argument))))
