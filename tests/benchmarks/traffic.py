"""Bytes that a compiled step moves, per parameter, on one big leaf: exact, so a test holds them (`test_bytes.py`).

Why three passes and not one. XLA's CPU compiler makes one loop for each output, so that a step with k outputs reads
the gradient k times. Adam moves 40 bytes per parameter where one pass would move 28. What decides about more than that:

* A value that is read after its buffer could have been reused is copied first: 8 bytes and a full-size temporary. XLA
  places these copies before it orders the loops. So an output must be computed from *new* values where the algebra
  allows, or the old value must have one reader. Neither a barrier nor the order of the outputs helps.
* A loop is computed again inside its reader when it produces no less than it consumes. So the last operation of a new
  state must have two inputs of full size: `s + g²`, a `where` between two arrays, not `minimum(s + g², largest)`.
* Roots and divisions that two outputs read are kept in a temporary of full size; so are squares that three read.
* `all(isfinite(x))` is reduced in a tree, over a temporary of one byte per entry; `isfinite(sum(0 * x))` is one loop.

Tried for the last 30% of Adam:

* `XLA_FLAGS=--xla_backend_extra_options=xla_cpu_use_multi_output_fusion`, which can be set in the environment only.
  Measured on one leaf of 8M, JAX 0.10.2, by a step of ours, of optax and of Adam written with three outputs that do not
  depend on each other ("siblings"), each in units of optax's in the same run:

      without the flag   40, 40, 40 bytes per parameter   ours 1.0 to 1.1   siblings 1.0
      with it            48, 36, 36                       ours 2.1          siblings 1.0

  It makes ours worse, since it joins outputs that read old and new moments alike, and another form no faster.
* Not measured again, from earlier work on the same machine: native code through `jax.ffi` 0.65 to 0.73, no gain on
  small leaves; blocks in a scan 1.0 to 10; moments stacked or as one complex array, 1.0 to 6.

None of them is one shared place that leaves the algorithms as they are written, so none is taken. On GPU and TPU XLA
fuses several outputs by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tests.benchmarks.chains import Pair, chains, recipes
from tests.benchmarks.lines import Line, Scale
from tests.benchmarks.shapes import nbytes
from tests.benchmarks.sides import one_step
from tests.benchmarks.timing import exactly

SIZE = 2**20


class Traffic(NamedTuple):
    """Per parameter: bytes moved, bytes of temporaries, and bytes that one pass would move."""

    bytes: float
    temporaries: float
    minimum: float


def traffic(tx: Any, extra_reads: int = 0, size: int = SIZE, shape: tuple[int, ...] | None = None) -> Traffic:
    """What the compiled step of a transformation moves, on one leaf: a vector unless told. Nothing is run."""
    p = jax.ShapeDtypeStruct(shape or (size,), jnp.float32)
    size = p.size
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        state = jax.eval_shape(tx.init, p)
        compiled = jax.jit(one_step(tx), donate_argnums=(0, 1)).lower(p, state, p).compile()
    minimum = (2 * (nbytes(p) + nbytes(state)) + (1 + extra_reads) * nbytes(p)) / size
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    return Traffic(cost.get("bytes accessed", 0.0) / size, memory.temp_size_in_bytes / size, minimum)


def table(scale: Scale) -> Iterator[Line]:
    """Every recipe and common chain: bytes against optax's and against one pass; the temporaries."""
    every: dict[str, Pair] = {**recipes(), **chains()}

    def of(pair: Pair) -> tuple[Traffic, Traffic | None]:
        return traffic(pair.ours, pair.extra_reads), traffic(pair.theirs) if pair.theirs is not None else None

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # bytes are counted: nothing here is timed
        counted = list(threads.map(of, every.values()))
    for name, (ours, theirs) in zip(every, counted, strict=True):
        work = f"bytes: {name}"
        of_optax = f"optax {theirs.bytes:.4g}, {theirs.temporaries:.2g}" if theirs else "not in optax"
        note = f"{of_optax}; one pass {ours.minimum:.4g}"
        yield Line(work, "bytes per parameter", exactly(round(ours.bytes, 2)), _most(ours, theirs), note)
        yield Line(work, "temporaries per parameter", exactly(round(ours.temporaries, 2)), 0.1, note)


def _most(ours: Traffic, theirs: Traffic | None) -> float:
    """Not above optax, and within 1.5 of one pass; the counts of steps are a few bytes on top."""
    return round(min(1.5 * ours.minimum, theirs.bytes if theirs else float("inf")) + 0.01, 2)
