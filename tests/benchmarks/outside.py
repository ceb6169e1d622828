"""What init, an update and a step take outside jit."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import optax

from tests.benchmarks import shapes
from tests.benchmarks.chains import recipes, usual
from tests.benchmarks.lines import Line, Scale
from tests.benchmarks.timing import ratio, seconds, time_steps


def outside_jit(scale: Scale) -> Iterator[Line]:
    """The first step with nothing compiled, and later ones, which are one program."""
    for count in (scale.some // 3, scale.some):
        params = shapes.arrays([(64, 64)] * count)
        grads = shapes.arrays([(64, 64)] * count, 0.01, seed=1)
        for name, (ours, theirs, *_) in (("Adam", recipes()["adam"]), ("clip + AdamW + schedule", usual())):
            work, mine, other = f"{name}, {count} leaves, outside jit", ours.init(params), theirs.init(params)

            def step(theirs=theirs, other=other, grads=grads, params=params):
                updates, state = theirs.update(grads, other, params)
                return optax.apply_updates(params, updates), state

            calls = {
                "init": (lambda tx=ours, p=params: tx.init(p), lambda tx=theirs, p=params: tx.init(p)),
                "update": (
                    lambda tx=ours, s=mine, g=grads, p=params: tx.update(g, s, p),
                    lambda tx=theirs, s=other, g=grads, p=params: tx.update(g, s, p),
                ),
                "step": (lambda tx=ours, s=mine, g=grads, p=params: tx.step(g, s, p), step),
            }
            first = []
            for run in calls["step"]:
                jax.clear_caches()
                first.append(seconds(run))
            note = f"{first[0]:.2f} s; optax {first[1]:.2f} s"
            yield Line(work, "first step / optax", ratio(first[:1], first[1:]), None, note)
            for _ in range(2):  # the third step is compiled
                ours.step(grads, mine, params)
            for what, (a, b) in calls.items():
                times = time_steps({"ours": a, "optax": b}, scale.budget, at_most=9)
                note = f"{1e3 * min(times['ours']):.1f} ms; optax {1e3 * min(times['optax']):.1f} ms"
                target = {"init": 1.0, "update": 1.1, "step": 0.05}.get(what)
                yield Line(work, f"{what} / optax", ratio(times["ours"], times["optax"]), target, note)
