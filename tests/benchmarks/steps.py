"""Steps of the common chains: ours, optax's, torch's, and the limit that a plain copy sets, on several sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import optax

import gradtx
from tests.benchmarks import shapes
from tests.benchmarks.chains import Pair, chains, recipes, torch_usual, usual
from tests.benchmarks.lines import Line, Scale
from tests.benchmarks.sides import Side, copy_of, minimum_bytes, torch_sides
from tests.benchmarks.timing import Spread, exactly, ratio, spread, time_steps


def compare(
    work: str, pair: Pair, of: shapes.Shapes, scale: Scale, target: float | None = None, *, cycle: int = 1
) -> Iterator[Line]:
    """One chain on one set of shapes: the ratio of step times to each other library, and to the limit.

    A `cycle` is that many steps, the unit of what accumulates: all but one of them only add a gradient to a sum.
    """
    params, grads = shapes.arrays(of), shapes.arrays(of, 0.01, seed=1)
    ours = Side(pair.ours, params, grads)
    ours.compile()
    sides = {"ours": ours.run}
    if pair.theirs is not None:
        theirs = Side(pair.theirs, params, grads)
        theirs.compile()
        sides["optax"] = theirs.run
    sides.update(torch_sides(pair.torch, params, grads))
    del params
    # The copy is of one big array, so that no call's overhead is in it, and moves 8 bytes a number.
    numbers = max(2**20, min(shapes.size(of), 2**26))
    sides["copy"] = copy_of(numbers)
    times = time_steps(
        {name: _repeated(run, cycle if name != "copy" else 1) for name, run in sides.items()}, scale.budget
    )
    if "optax" in times:
        yield Line(work, "step / optax", ratio(times["ours"], times["optax"]), target)
    for name in times:
        if name.startswith("torch"):
            bound = 1.0 if pair.torch is torch_usual and target is not None and name == "torch fused" else None
            yield Line(work, f"step / {name}", ratio(times["ours"], times[name]), bound)
    gradient = sum(g.nbytes for g in grads)
    least = minimum_bytes(ours.params, ours.state, grads) + (pair.extra_reads + 3 * (cycle - 1)) * gradient
    limit = [t * least / (8 * numbers) for t in times["copy"]]
    yield Line(work, "bandwidth limit / step", ratio(limit, times["ours"]), note=f"{least / 1e6:.4g} MB in one pass")
    yield Line(work, "ms", spread([1e3 * t for t in times["ours"]]), note=f"{cycle} steps" if cycle > 1 else "")


def adam(scale: Scale) -> Iterator[Line]:
    """Plain Adam."""
    pair = recipes()["adam"]
    yield from compare(f"Adam, one leaf of {scale.big:,}", pair, [(scale.big,)], scale, 1.0)
    yield from compare(f"Adam, {scale.many} leaves of 64", pair, shapes.equal(scale.many), scale)
    yield from compare("Adam, ResNet-50", pair, _resnet(scale), scale, 1.0)


def usual_chain(scale: Scale) -> Iterator[Line]:
    """Clip + AdamW + schedule."""
    work = "clip + AdamW + schedule"
    yield from compare(f"{work}, one leaf of {scale.big:,}", usual(), [(scale.big,)], scale)
    yield from compare(f"{work}, {scale.many} leaves of 64", usual(), shapes.equal(scale.many), scale)
    yield from compare(f"{work}, ResNet-50", usual(), _resnet(scale), scale, 0.45)
    yield from compare(f"{work}, GPT-2 small", usual(), _gpt2(scale), scale, 0.45)


def wrapped(scale: Scale) -> Iterator[Line]:
    """Accumulation over whole cycles of four, and steps that may be skipped."""
    big = [(scale.big,)]
    yield from compare("accumulate 4 + Adam", chains()["accumulate 4 + adam"], big, scale, 0.12, cycle=4)
    yield from compare("skip_nonfinite + Adam", chains()["skip_nonfinite + adam"], big, scale, 0.85)
    yield from compare("skip_nonfinite + Adam, updates too", chains()["skip_nonfinite + adam, updates too"], big, scale)


def watched(scale: Scale) -> Iterator[Line]:
    """Adam under a watch with its defaults, beside Adam alone: over whole cycles of steps, of which one is measured."""
    plain = gradtx.adam(1e-3)
    under = gradtx.watch(plain)
    numbers, leaves = max(scale.big // 4, 64), scale.many // 10 or 1
    for work, of in (
        (f"watch + Adam, one leaf of {numbers:,}", [(numbers,)]),
        (f"watch + Adam, {leaves} leaves of 64 x 64", [(64, 64)] * leaves),
    ):
        params, grads = shapes.arrays(of), shapes.arrays(of, 0.01, seed=1)
        sides = {name: Side(tx, params, grads) for name, tx in (("plain", plain), ("watch", under))}
        took = {name: side.compile() for name, side in sides.items()}
        times = time_steps({name: _repeated(side.run, under.every) for name, side in sides.items()}, scale.budget)
        yield Line(work, "step / Adam alone", ratio(times["watch"], times["plain"]), 1.05, f"{under.every} steps")
        yield Line(work, "seconds of compilation more", exactly(took["watch"]["compile"] - took["plain"]["compile"]))


def others(scale: Scale) -> Iterator[Line]:
    """Lion, AdaBelief and LAMB."""
    yield from compare("Lion", recipes()["lion"], [(scale.big,)], scale, 0.65)
    yield from compare("AdaBelief, GPT-2 small", recipes()["adabelief"], _gpt2(scale), scale, 0.66)
    pair = Pair(gradtx.lamb(1e-3), optax.lamb(1e-3), extra_reads=2)
    yield from compare("LAMB, GPT-2 small", pair, _gpt2(scale), scale, 0.45)


def muon(scale: Scale) -> Iterator[Line]:
    """Muon on many equal matrices."""
    count, side = (96, 128) if scale.big > 2**20 else (4, 16)
    work = f"Muon, {count} x {side} x {side}"
    of: shapes.Shapes = [(side, side)] * count
    params, grads = shapes.arrays(of), shapes.arrays(of, 0.01, seed=1)
    ours, theirs = (Side(tx, params, grads) for tx in (gradtx.muon(0.02), optax.contrib.muon(0.02)))
    a, b = ours.compile(), theirs.compile()
    times = time_steps({"ours": ours.run, "optax": theirs.run}, scale.budget)
    yield Line(work, "step / optax", ratio(times["ours"], times["optax"]), 0.75)
    yield Line(work, "compile / optax", ratio([a["compile"]], [b["compile"]]), 0.5)


def machine_limit(scale: Scale) -> Iterator[Line]:
    """What memory does here: the speed of the plain copy, which the limits above are made of."""
    numbers = scale.big
    times = time_steps({"copy": copy_of(numbers)}, scale.budget / 2)["copy"]
    speed: Spread = spread([8 * numbers / t / 1e9 for t in times])
    yield Line(f"plain copy of {numbers:,} numbers", "GB/s", speed)
    yield Line("devices", "count", exactly(jax.device_count()), note=jax.devices()[0].device_kind)


def _repeated(run: Callable[[], Any], times: int) -> Callable[[], Any]:
    def cycle() -> Any:
        for _ in range(times - 1):
            run()
        return run()

    return run if times == 1 else cycle


def _resnet(scale: Scale) -> shapes.Shapes:
    return shapes.resnet50() if scale.layers >= 12 else shapes.resnet50()[:9]


def _gpt2(scale: Scale) -> shapes.Shapes:
    return shapes.gpt2() if scale.layers >= 12 else [(64, 32), *shapes.small(12)]
