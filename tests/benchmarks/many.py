"""Many leaves: what tracing, lowering and compiling cost, and what packing small leaves saves."""

from __future__ import annotations

from collections.abc import Iterator

import optax

import gradtx
from gradtx.packing import pack
from tests.benchmarks import shapes
from tests.benchmarks.chains import Pair, by_parts, recipes, usual
from tests.benchmarks.lines import Line, Scale
from tests.benchmarks.sides import Side
from tests.benchmarks.timing import ratio, rounds, time_steps


def compilation(scale: Scale) -> Iterator[Line]:
    """Trace, lower and compile with empty caches, leaf by leaf."""
    for count in (scale.some, scale.many):
        yield from _compiled(f"clip + AdamW + schedule, {count} leaves", usual(), shapes.small(count), scale, 0.75)
    yield from _compiled(f"Adam, {scale.some} leaves", recipes()["adam"], shapes.small(scale.some), scale, 1.00)
    lamb = Pair(gradtx.lamb(1e-3), optax.lamb(1e-3))
    yield from _compiled(f"LAMB, {scale.some} leaves", lamb, shapes.small(scale.some), scale._replace(compiles=1), 1.00)


def parts(scale: Scale) -> Iterator[Line]:
    """A chain of four parts against the same formula in one leaf function: what it costs to put parts together."""
    of = shapes.small(scale.some)
    params, grads = shapes.arrays(of), shapes.arrays(of, 0.01, seed=1)
    sides = {name: Side(tx, params, grads) for name, tx in zip(("parts", "one"), by_parts(), strict=True)}
    took = rounds({name: side.compile for name, side in sides.items()}, 2 * scale.compiles)
    work = f"AdamW of four parts, {scale.some} leaves"
    for what in ("trace", "trace+lower", "compile"):
        a, b = ([t[what] for t in took[name]] for name in ("parts", "one"))
        yield Line(work, f"{what} / one leaf function", ratio(a, b), 1.2, f"{min(a):.2f} s; {min(b):.2f} s")
    times = time_steps({name: side.run for name, side in sides.items()}, scale.budget)
    yield Line(work, "step / one leaf function", ratio(times["parts"], times["one"]), 1.2)


def _compiled(work: str, pair: Pair, of: shapes.Shapes, scale: Scale, compile_target: float) -> Iterator[Line]:
    params, grads = shapes.arrays(of), shapes.arrays(of, 0.01, seed=1)
    ours, theirs = Side(pair.ours, params, grads), Side(pair.theirs, params, grads)
    count = scale.compiles if len(of) < 500 else max(1, scale.compiles // 3)
    took = rounds({"ours": ours.compile, "optax": theirs.compile}, count)
    for what, target in (("trace+lower", 0.30), ("compile", compile_target)):
        a, b = ([t[what] for t in took[name]] for name in ("ours", "optax"))
        yield Line(work, f"{what} / optax", ratio(a, b), target, f"{min(a):.2f} s; optax {min(b):.2f} s")
    times = time_steps({"ours": ours.run, "optax": theirs.run}, scale.budget)
    yield Line(work, "step / optax", ratio(times["ours"], times["optax"]))


def packed(scale: Scale) -> Iterator[Line]:
    """Parameters, gradients and state packed, against optax on the tree."""
    of = shapes.equal(scale.many)
    params, grads = shapes.arrays(of), shapes.arrays(of, 0.01, seed=1)
    for name, pair in (("Adam", recipes()["adam"]), ("clip + AdamW + schedule", usual())):
        joined = pack(params)
        ours, theirs = Side(pair.ours, joined, pack(grads, like=joined)), Side(pair.theirs, params, grads)
        took = rounds({"ours": ours.compile, "optax": theirs.compile}, 1)
        times = time_steps({"ours": ours.run, "optax": theirs.run}, scale.budget)
        work = f"{name}, {scale.many} leaves of 64, packed"
        yield Line(work, "step / optax", ratio(times["ours"], times["optax"]), 0.12)
        a, b = took["ours"][0]["compile"], took["optax"][0]["compile"]
        yield Line(work, "compile / optax", ratio([a], [b]), 0.15, f"{a:.2f} s; optax {b:.2f} s")
