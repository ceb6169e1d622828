"""What comes before the first step: the import, and the plan of a model that no machine here could hold."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

import gradtx
from gradtx import storage
from tests.benchmarks.lines import Line, Scale
from tests.benchmarks.timing import exactly, spread

IMPORTS = """
import time
start = time.perf_counter()
import jax, jax.numpy
half = time.perf_counter()
import gradtx
print(time.perf_counter() - half, half - start)
"""


def importing(scale: Scale) -> Iterator[Line]:
    """`import gradtx` in fresh processes that have imported JAX, from bytecode, as from an installed package."""
    with tempfile.TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = folder
        runs = []
        for _ in range(1 + (3 if scale.rates < 32 else 9)):  # the first writes the bytecode
            made = subprocess.run([sys.executable, "-c", IMPORTS], env=env, check=True, capture_output=True, text=True)
            runs.append([float(word) for word in made.stdout.split()])
    ours, jax_alone = zip(*runs[1:], strict=True)
    yield Line("import gradtx, after JAX", "seconds", spread(ours), 0.1, f"JAX itself {min(jax_alone):.2f} s")


def planning(scale: Scale) -> Iterator[Line]:
    """A model of 70 billion parameters on 1,024 devices that need not be there."""
    layers = 80 if scale.layers >= 12 else 1
    mesh = AbstractMesh((128, 8), ("data", "model"))
    d, h, kv, words = 8192, 28672, 1024, 128256
    layer = {"q": (d, d), "k": (d, kv), "v": (d, kv), "o": (d, d), "gate": (d, h), "up": (d, h), "down": (h, d)}
    sizes = {"embed": (words, d), "head": (d, words), "norm": (d,), "layers": [layer | {"n": (d,), "m": (d,)}] * layers}

    def split(shape: Any) -> jax.ShapeDtypeStruct:
        widest = max(range(len(shape)), key=lambda k: shape[k])
        entries = ["model" if k == widest and len(shape) > 1 else None for k in range(len(shape))]
        return jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=NamedSharding(mesh, PartitionSpec(*entries)))

    params = jax.tree.map(split, sizes, is_leaf=lambda s: isinstance(s, tuple))
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-4))
    work = "70 billion parameters on 1,024 devices"
    for name, planned in (("float32", tx), ("int8", gradtx.store(tx, storage.int8()))):
        start = time.perf_counter()
        plan = gradtx.plan(planned, params, mesh=mesh)
        took = time.perf_counter() - start
        note = f"{len(plan.rows)} leaves; {plan.device.total / 2**30:.1f} GiB on each device" if plan.device else ""
        yield Line(f"{work}, {name} moments", "seconds of plan", exactly(took), 10.0, note)
    state = jax.eval_shape(tx.init, params)
    start = time.perf_counter()
    step = jax.jit(lambda g, s, p: tx.step(g, s, p)).trace(params, state, params)
    step.lower(lowering_platforms=("tpu",))
    yield Line(f"{work}, float32 moments", "seconds of trace+lower", exactly(time.perf_counter() - start), 60.0)
