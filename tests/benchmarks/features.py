"""What optax has no counterpart of: state in few bytes, gradients of a few rows, many learning rates in one program."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

import gradtx
from gradtx import storage
from gradtx.sparse.rows import RowSparse
from gradtx.storage.store import store
from gradtx.sweep import sweep
from tests.benchmarks import shapes
from tests.benchmarks.chains import recipes
from tests.benchmarks.lines import Line, Scale
from tests.benchmarks.sides import Side
from tests.benchmarks.timing import exactly, ratio, rounds, seconds, time_steps

CODECS = {"float32": (storage.float32, 8.0), "int8": (storage.int8, 2.07), "int4": (storage.int4, 1.10)}


def state_bytes(scale: Scale) -> Iterator[Line]:
    """Bytes of both moments of Adam per parameter, by shapes alone, on GPT-2 small."""
    params = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes.gpt2()]
    for name, (codec, target) in CODECS.items():
        state = jax.eval_shape(store(gradtx.adam(1e-3), codec()).init, params)
        per_parameter = shapes.nbytes(state) / shapes.size(shapes.gpt2())
        # 8 bytes are the moments; the counts of steps come on top.
        yield Line(
            f"Adam's state, {name}, GPT-2 small", "bytes per parameter", exactly(round(per_parameter, 5)), target
        )


def codec_time(scale: Scale) -> Iterator[Line]:
    """A step of Adam with its moments in fewer bytes, against optax's in float32."""
    of: shapes.Shapes = [(scale.big,)]
    params, grads = shapes.arrays(of), shapes.arrays(of, 0.01, seed=1)
    sides = {"optax": Side(recipes()["adam"].theirs, params, grads)}
    for name in ("int8", "int4"):
        sides[name] = Side(store(gradtx.adam(1e-3), CODECS[name][0]()), params, grads)
    for side in sides.values():
        side.compile()
    times = time_steps({name: side.run for name, side in sides.items()}, scale.budget)
    on_cpu = jax.default_backend() == "cpu"
    for name, target in (("int8", 2.5 if on_cpu else 1.0), ("int4", None)):
        work, made = f"{name} Adam, one leaf of {scale.big:,}", sides[name].traffic()
        note = f"{made['bytes']:.3g} bytes per parameter, {made['temporaries']:.2g} of temporaries"
        yield Line(work, "step / optax", ratio(times[name], times["optax"]), target, note)


def rows(scale: Scale) -> Iterator[Line]:
    """A table of which a step touches few rows, against the dense step of the same optimizer."""
    touched = 1024 if scale.rows >= 100_000 else 8
    table = shapes.arrays([(scale.rows, 64)])
    ids = jax.random.randint(jax.random.key(0), (touched,), 0, scale.rows)
    few = [RowSparse(ids, shapes.arrays([(touched, 64)])[0], (scale.rows, 64))]
    adam = recipes()["adam"]
    sides = {"rows": Side(adam.ours, table, few), "dense": Side(adam.ours, table, [few[0].dense()])}
    sides["optax"] = Side(adam.theirs, table, [few[0].dense()])
    for side in sides.values():
        side.compile()
    times = time_steps({name: side.run for name, side in sides.items()}, scale.budget)
    work = f"Adam, table of {scale.rows:,} x 64, {touched} rows touched"
    yield Line(work, "step / dense", ratio(times["rows"], times["dense"]), 1 / 45)
    yield Line(work, "step / optax", ratio(times["rows"], times["optax"]))
    share = sides["rows"].compiled.memory_analysis().temp_size_in_bytes / table[0].nbytes
    yield Line(work, "temporaries / table", exactly(share), 0.1)


def sweeps(scale: Scale) -> Iterator[Line]:
    """Many learning rates in one program, against as many runs of a program that is compiled once."""
    for width in scale.widths:
        rates, steps = jnp.geomspace(1e-4, 1e-2, scale.rates), max(2, scale.steps * 64 // width // 4)
        optimizers = jax.vmap(gradtx.adam)(rates)
        train = functools.partial(_train, width=width, steps=steps)
        whole, once = jax.jit(train), jax.jit(_step)

        def together(train: Any = train, optimizers: Any = optimizers) -> Any:
            return sweep(train, optimizers)

        def in_scans(whole: Any = whole, rates: Any = rates) -> Any:
            return [whole(gradtx.adam(rate)) for rate in rates]

        def in_steps(once: Any = once, rates: Any = rates, steps: int = steps, width: int = width) -> Any:
            return [_stepped(once, gradtx.adam(rate), steps, width) for rate in rates]

        seconds(together), seconds(in_scans), seconds(in_steps)
        sides = {"sweep": together, "scans": in_scans, "steps": in_steps}
        times = rounds({name: functools.partial(seconds, run) for name, run in sides.items()}, 3)
        work = f"{scale.rates} learning rates, three-layer MLP of width {width}"
        yield Line(work, "time / compiled steps", ratio(times["sweep"], times["steps"]), 0.35 if width == 64 else 1.0)
        yield Line(work, "time / compiled scans", ratio(times["sweep"], times["scans"]), 1.0)


def _stepped(once: Any, tx: Any, steps: int, width: int) -> Any:
    """The run as a loop in Python over a compiled step."""
    carry = _start(tx, width)
    for _ in range(steps):
        carry = once(tx, carry)
    return carry


def _train(tx: Any, *, width: int, steps: int) -> jax.Array:
    """The last loss of a three-layer network after some steps on one batch, in one scan."""
    (w, _), _ = jax.lax.scan(lambda carry, _: (_step(tx, carry), None), _start(tx, width), length=steps)
    return _loss(w)


def _start(tx: Any, width: int) -> Any:
    w = shapes.arrays([(32, width), (width, width), (width, 10)], 0.1)
    return w, tx.init(w)


def _step(tx: Any, carry: Any) -> Any:
    return tx.step(jax.grad(_loss)(carry[0]), carry[1], carry[0])


def _loss(w: Any) -> jax.Array:
    x, y = shapes.arrays([(64, 32), (64, 10)], seed=1)
    return jnp.mean((jnp.tanh(jnp.tanh(x @ w[0]) @ w[1]) @ w[2] - y) ** 2)
