"""One optimizer step in gradtx, optax and torch, side by side: `python tests/benchmarks/step.py --quick`.

Every quantity is a ratio, ours over theirs, from pairs measured one after the other in this process, first one library
and then the other in turn: absolute times vary from hour to hour, these do not. Given are the median of the pairs and,
in parentheses, their 10% and 90% quantiles. For each case:

    trace, lower, compile   of the jitted step, with JAX's caches emptied before each: what a training run pays once
    step                    the compiled step, parameters and state donated, until the result is there
    bytes, temporaries      that the compiled step moves and allocates, per parameter, as XLA counts them
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradtx

SMALL = ((64,), (32, 32), (128, 8), (3, 3, 8, 16), (256,))


class Case(NamedTuple):
    """One comparison. `torch` makes a step from parameters and `fused` or `foreach`; None where there is none."""

    name: str
    shapes: list[tuple[int, ...]]
    ours: Any
    theirs: Any
    torch: Callable[..., Callable[[], Any]] | None = None


def small_shapes(count: int) -> list[tuple[int, ...]]:
    """As many small leaves, of 25 distinct shapes."""
    kinds = [(*shape[:-1], shape[-1] + 4 * k) for k in range(5) for shape in SMALL]
    return [kinds[i % len(kinds)] for i in range(count)]


def gpt2_shapes() -> list[tuple[int, ...]]:
    """The parameters of GPT-2 small: 148 leaves, 124 million numbers."""
    d = 768
    block = [(d,), (d,), (d, 3 * d), (3 * d,), (d, d), (d,), (d,), (d,), (d, 4 * d), (4 * d,), (4 * d, d), (d,)]
    return [(50257, d), (1024, d), *(block * 12), (d,), (d,)]


def cases(leaves: int, many: int, big: int, *, gpt2: bool) -> Iterator[Case]:
    """All comparisons, cheapest first."""
    few = small_shapes(leaves)
    for name, ours, theirs in recipes():
        yield Case(f"{name}, {leaves} leaves", few, ours, theirs)
    shapes = {f"one leaf of {big:,}": [(big,)], f"{leaves} leaves": few}
    if many:
        shapes[f"{many} leaves"] = small_shapes(many)
    if gpt2:
        shapes["GPT-2 small"] = gpt2_shapes()
    for where, of in shapes.items():
        yield Case(f"adam, {where}", of, gradtx.adam(1e-3), optax.adam(1e-3), torch_adam)
        yield Case(f"clip + adamw + schedule, {where}", of, *usual_chain(), torch_usual)
        for name, ours, theirs in wrapped_adam():
            yield Case(f"adam in {name}, {where}", of, ours, theirs)


def recipes() -> Iterator[tuple[str, Any, Any]]:
    """The recipes that both libraries have, besides Adam, with the same mathematics."""
    yield "sgd", gradtx.sgd(0.1), optax.sgd(0.1)
    yield "sgd, momentum", gradtx.sgd(0.1, 0.9), optax.sgd(0.1, 0.9)
    yield "rmsprop", gradtx.rmsprop(1e-3), optax.rmsprop(1e-3)
    yield "rmsprop, momentum", gradtx.rmsprop(1e-3, momentum=0.9), optax.rmsprop(1e-3, momentum=0.9)
    yield "adagrad", gradtx.adagrad(1e-2), optax.adagrad(1e-2)
    yield "adadelta", gradtx.adadelta(1.0), optax.adadelta(1.0)
    yield "adamax", gradtx.adamax(1e-3), optax.adamax(1e-3)
    yield "nadam", gradtx.nadam(1e-3), optax.nadam(1e-3)
    yield "amsgrad", gradtx.amsgrad(1e-3), optax.amsgrad(1e-3)
    yield "lion", gradtx.lion(1e-4), optax.lion(1e-4)


def wrapped_adam() -> Iterator[tuple[str, Any, Any]]:
    """Adam in what both libraries have to wrap it."""
    ours, theirs = gradtx.adam(1e-3), optax.adam(1e-3)
    yield "accumulate 4", gradtx.accumulate(ours, 4), optax.MultiSteps(theirs, 4).gradient_transformation()
    optax_skip = optax.apply_if_finite(theirs, 5)  # it looks at the gradients only
    yield "skip_nonfinite", gradtx.skip_nonfinite(ours, check_updates=False), optax_skip
    yield "skip_nonfinite that looks at updates", gradtx.skip_nonfinite(ours), optax_skip


def usual_chain() -> tuple[Any, Any]:
    """Clip by the global norm, AdamW, a warmup and a cosine: what most training runs are."""
    return tuple(
        lib.chain(
            lib.clip_by_global_norm(1.0),
            lib.adamw(lib.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 10_000), weight_decay=0.01),
        )
        for lib in (gradtx, optax)
    )  # pyright: ignore[reportReturnType]


def torch_adam(params: list, **how: bool) -> Callable[[], Any]:
    import torch

    return torch.optim.Adam(params, 1e-3, **how).step


def torch_usual(params: list, **how: bool) -> Callable[[], Any]:
    import torch

    tx = torch.optim.AdamW(params, 1e-3, weight_decay=0.01, **how)
    rate = torch.optim.lr_scheduler.LambdaLR(tx, lambda t: min(t / 100, 0.5 + 0.5 * math.cos(math.pi * t / 10_000)))

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        tx.step()
        rate.step()

    return step


class Side:
    """One library's step: made, compiled, timed."""

    def __init__(self, tx: Any, apply_updates: Callable, params: Any, grads: Any):
        self.tx, self.apply, self.grads = tx, apply_updates, grads
        self.params = jax.tree.map(jnp.copy, params)
        self.state = jax.jit(tx.init)(self.params)

    def compile(self) -> dict[str, float]:
        """Trace, lower and compile with empty caches; the seconds that each took."""
        tx, apply_updates = self.tx, self.apply

        def step(params, state, grads):
            updates, state = tx.update(grads, state, params)
            return apply_updates(params, updates), state

        jax.clear_caches()
        gc.collect()
        at = [time.perf_counter()]
        traced = jax.jit(step, donate_argnums=(0, 1)).trace(self.params, self.state, self.grads)
        at.append(time.perf_counter())
        lowered = traced.lower()
        at.append(time.perf_counter())
        self.compiled = lowered.compile()
        at.append(time.perf_counter())
        trace, lower, compile_ = np.diff(at)
        return {"trace": trace, "lower": lower, "trace+lower": trace + lower, "compile": compile_}

    def run(self) -> None:
        self.params, self.state = self.compiled(self.params, self.state, self.grads)
        jax.block_until_ready((self.params, self.state))

    def traffic(self) -> dict[str, float]:
        """Bytes moved and temporaries, per parameter."""
        size = sum(x.size for x in jax.tree.leaves(self.params))
        cost = self.compiled.cost_analysis()
        temporaries = self.compiled.memory_analysis().temp_size_in_bytes
        return {"bytes": cost["bytes accessed"] / size, "temporaries": temporaries / size}


def torch_sides(case: Case, params: list, grads: list) -> dict[str, Callable[[], None]]:
    """A step of torch's fused and of its foreach implementation, where torch is installed and has the recipe."""
    try:
        import torch
    except ImportError:
        return {}
    if case.torch is None:
        return {}
    sides = {}
    for how in ("fused", "foreach"):
        copies = [torch.nn.Parameter(torch.from_numpy(np.array(p))) for p in params]
        for p, g in zip(copies, grads, strict=True):
            p.grad = torch.from_numpy(np.array(g))
        sides[how] = case.torch(copies, **{how: True})
    return sides


def seconds(run: Callable[[], None], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def pairs(ours: Callable[[], Any], theirs: Callable[[], Any], count: int) -> Iterator[tuple[Any, Any]]:
    """Both, one after the other, the first of them in turn."""
    for k in range(count):
        if k % 2:
            b = theirs()
            yield ours(), b
        else:
            yield ours(), theirs()


def ratio(measured: list[tuple[float, float]]) -> dict[str, float]:
    """Median and spread of ours / theirs, and the medians themselves."""
    a, b = np.array(measured).T
    low, median, high = np.quantile(a / b, [0.1, 0.5, 0.9])
    return {"ratio": median, "low": low, "high": high, "ours": float(np.median(a)), "theirs": float(np.median(b))}


def measure(case: Case, compiles: int, steps: int, budget: float = 2.0) -> dict[str, Any]:
    """All ratios of one case."""
    rng = np.random.default_rng(0)
    params = [jnp.asarray(rng.standard_normal(s, np.float32)) for s in case.shapes]
    grads = [jnp.asarray(rng.standard_normal(s, np.float32) * 0.01) for s in case.shapes]
    ours = Side(case.ours, gradtx.apply_updates, params, grads)
    theirs = Side(case.theirs, optax.apply_updates, params, grads)
    built = list(pairs(ours.compile, theirs.compile, compiles))
    result: dict[str, Any] = {"case": case.name, "parameters": sum(math.prod(s) for s in case.shapes)}
    for key in built[0][0]:
        result[key] = ratio([(a[key], b[key]) for a, b in built])
    for side in (ours, theirs):
        seconds(side.run, 2)
    times = max(1, int(0.01 / seconds(theirs.run, 2)))
    steps = max(5, min(steps, int(budget / (2 * times * seconds(theirs.run, 2)))))
    timed = pairs(lambda: seconds(ours.run, times), lambda: seconds(theirs.run, times), steps)
    result["step"] = ratio(list(timed))
    for key, a in ours.traffic().items():
        result[key] = {"ours": a, "theirs": theirs.traffic()[key]}
    for how, run in torch_sides(case, params, grads).items():
        seconds(run, 2)
        timed = pairs(lambda: seconds(ours.run, times), lambda run=run: seconds(run, times), steps)
        result[f"step/torch {how}"] = ratio(list(timed))
    return result


def machine() -> dict[str, str]:
    """Where this ran."""
    versions = {"python": platform.python_version(), "jax": jax.__version__, "optax": optax.__version__}
    try:
        import torch

        versions["torch"] = torch.__version__
    except ImportError:
        pass
    cpu = [line for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    name = cpu[0].split(":")[1].strip() if cpu else platform.processor()
    return {"machine": f"{len(cpu) or '?'} cores, {name}, {jax.default_backend()}", **versions}


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


COLUMNS = ("trace", "lower", "trace+lower", "compile", "step", "step/torch fused", "step/torch foreach")


def row(result: dict[str, Any]) -> str:
    """One line of the table."""
    cells = [result["case"]]
    for key in COLUMNS:
        r = result.get(key)
        cells.append(f"{r['ratio']:.2f} ({r['low']:.2f}-{r['high']:.2f})" if r else "")
    cells.extend(f"{result[key]['ours']:.1f} / {result[key]['theirs']:.1f}" for key in ("bytes", "temporaries"))
    return f"| {' | '.join(cells)} |"


def header() -> str:
    names = ["ours / optax", *COLUMNS, "bytes per parameter", "temporaries"]
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leaves", type=int, default=300, help="small leaves in most cases")
    parser.add_argument("--many", type=int, default=1000, help="small leaves in the largest cases; 0 leaves them out")
    parser.add_argument("--big", type=int, default=2**24, help="the size of the one big leaf")
    parser.add_argument("--gpt2", action="store_true", help="also the shapes of GPT-2 small: 6 GB of memory")
    parser.add_argument("--quick", action="store_true", help="a big leaf of 1M, no 1,000 leaves, one compilation each")
    parser.add_argument("--compiles", type=int, default=5, help="pairs of compilations")
    parser.add_argument("--steps", type=int, default=50, help="pairs of timed steps, at most")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--output", help="write every number to this JSON file")
    args = parser.parse_args(arguments)
    if args.quick:
        args.big, args.many, args.compiles = min(args.big, 2**20), 0, 1
    where = machine()
    print(", ".join(f"{k} {v}" for k, v in where.items()), "\n", header(), sep="\n", flush=True)
    results = []
    for case in cases(args.leaves, args.many, args.big, gpt2=args.gpt2):
        if args.only in case.name:
            results.append(measure(case, args.compiles, args.steps))
            print(row(results[-1]), flush=True)
    if args.output:
        Path(args.output).write_text(json.dumps({**where, "results": results}, indent=1))


if __name__ == "__main__":
    main()
