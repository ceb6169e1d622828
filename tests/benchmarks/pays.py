"""Do preconditioners pay? `python -m tests.benchmarks.pays`, half an hour on two quiet cores.

A transformer of a million parameters learns the next character of Python's own standard library. Six optimizers, three
learning rates each, three seeds, which choose the start and the batches. The loss is that on text that is not trained
on. Seconds are those of a whole step, the median over all steps of a run, after compilation. It writes pays.md beside
this file and pays.png among the pictures of the notebooks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from tests.benchmarks.networks import TOKENS, next_token_loss, transformer_params

HERE = Path(__file__).parent
PICTURE = HERE.parents[1] / "notebooks" / "pictures" / "pays.png"
RATES = {
    "AdamW": (gradtx.adamw, (1e-3, 3e-3, 1e-2)),
    "Muon": (gradtx.muon, (1e-3, 3e-3, 1e-2)),
    "NorMuon": (gradtx.normuon, (1e-3, 3e-3, 1e-2)),
    "SOAP": (gradtx.soap, (1e-3, 3e-3, 1e-2)),
    "Shampoo": (gradtx.shampoo, (1e-3, 3e-3, 1e-2)),
    "PSGD": (gradtx.psgd_kron, (3e-4, 1e-3, 3e-3)),
}
BATCH = 8


class Run(NamedTuple):
    """What one training gave."""

    losses: np.ndarray  # of the batches, one for each step
    final: float  # on text that was not trained on
    seconds: float  # of one step


def text() -> np.ndarray:
    """Modules of the standard library, one after another, as bytes; the same for the same Python."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    names = ("argparse", "ast", "configparser", "dataclasses", "datetime", "decimal", "difflib", "enum", "inspect")
    data = b"".join((folder / f"{name}.py").read_bytes() for name in names if (folder / f"{name}.py").exists())
    return np.frombuffer(data, np.uint8)


def training(factory: Callable[..., Any], layers: int, steps: int) -> Callable[[float, int], Run]:
    """`(rate, seed) -> Run`, compiled once for all rates and seeds."""
    data = text()
    train, held = data[: int(0.9 * data.size)], data[int(0.9 * data.size) :]
    quiz = jnp.asarray(np.stack([held[k : k + TOKENS] for k in range(0, 64 * TOKENS, TOKENS)]), jnp.int32)

    @jax.jit
    def step(tx: Any, params: Any, state: Any, tokens: Any) -> Any:
        value, g = jax.value_and_grad(next_token_loss)(params, tokens)
        return *tx.step(g, state, params), value

    def run(rate: float, seed: int) -> Run:
        tx, rng = factory(rate), np.random.default_rng(seed)
        params = transformer_params(layers, seed)
        state = jax.jit(tx.init)(params)
        losses, seconds = [], []
        for _ in range(steps):
            starts = rng.integers(0, train.size - TOKENS, BATCH)
            tokens = jnp.asarray(np.stack([train[k : k + TOKENS] for k in starts]), jnp.int32)
            began = time.perf_counter()
            params, state, value = jax.block_until_ready(step(tx, params, state, tokens))
            seconds.append(time.perf_counter() - began)
            losses.append(float(value))
        return Run(np.array(losses), float(next_token_loss(params, quiz)), float(np.median(seconds)))

    return run


def main(arguments: list[str] | None = None) -> None:
    """Train all, print each result as it comes, write the table and the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pays", description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=5, help="blocks of the transformer; 5 are 1.0 million parameters")
    parser.add_argument("--folder", type=Path, help="write pays.md and pays.png there")
    args = parser.parse_args(arguments)
    runs: dict[str, dict[float, list[Run]]] = {}
    for name, (factory, rates) in RATES.items():
        train = training(factory, args.layers, args.steps)
        runs[name] = {}
        for rate in rates:
            runs[name][rate] = [train(rate, seed) for seed in range(args.seeds)]
            finals = [run.final for run in runs[name][rate]]
            print(f"{name:8} {rate:8.0e}  {np.mean(finals):.3f}  {np.ptp(finals):.3f}", flush=True)
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder or HERE).joinpath("pays.md").write_text(table(runs, args))
    draw(runs, args.folder / "pays.png" if args.folder else PICTURE)


def best(found: dict[float, list[Run]]) -> tuple[float, list[Run]]:
    """The rate whose mean loss is the least, and its runs; NaN is worse than any number."""
    rate = min(found, key=lambda r: np.nan_to_num(np.mean([run.final for run in found[r]]), nan=np.inf))
    return rate, found[rate]


def table(runs: dict[str, dict[float, list[Run]]], args: Any) -> str:
    """The figures, and the sentences that their spread supports."""
    data = text()
    adam_seconds = np.mean([run.seconds for run in best(runs["AdamW"])[1]])
    lines = [
        "# Do preconditioners pay?",
        "",
        f"`python -m tests.benchmarks.pays --steps {args.steps} --seeds {args.seeds} --layers {args.layers}`",
        "",
        f"Python {platform.python_version()}, JAX {jax.__version__}, {platform.machine()}.",
        f"Text: {data.size} bytes, SHA-256 {hashlib.sha256(data.tobytes()).hexdigest()[:16]}.",
        f"Parameters: {sum(x.size for x in jax.tree.leaves(transformer_params(args.layers, 0))):,}.",
        "",
        "| optimizer | rates tried | best rate | loss: mean | least | largest | step / AdamW's |",
        "|---|---|---|---|---|---|---|",
    ]
    ends = {}
    for name, found in runs.items():
        rate, chosen = best(found)
        finals = ends[name] = [run.final for run in chosen]
        slower = np.mean([run.seconds for run in chosen]) / adam_seconds
        tried = ", ".join(f"{r:.0e}" for r in found)
        lines.append(
            f"| {name} | {tried} | {rate:.0e} | {np.mean(finals):.3f} | {min(finals):.3f} | {max(finals):.3f} | "
            f"{slower:.2f} |"
        )
    lines += ["", "After these steps every seed of", ""]
    for name, finals in ends.items():
        lower = [other for other, theirs in ends.items() if max(finals) < min(theirs)]
        lines.append(f"* {name} ended lower than every seed of: {', '.join(lower) or 'none'}")
    losses = {
        name: {f"{r:.0e}": [round(run.final, 4) for run in found] for r, found in of.items()}
        for name, of in runs.items()
    }
    return "\n".join([*lines, "", "All losses:", "", "```json", json.dumps(losses, indent=1), "```", ""])


def draw(runs: dict[str, dict[float, list[Run]]], file: Path) -> None:
    """The losses of the batches, smoothed, against steps and against seconds; a band from the least to the largest."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    colours = ("#555555", "#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73")  # Okabe and Ito
    for colour, (name, found) in zip(colours, runs.items(), strict=True):
        rate, chosen = best(found)
        width = max(len(chosen[0].losses) // 15, 1)
        curves = np.stack([np.convolve(run.losses, np.ones(width) / width, "valid") for run in chosen])
        steps = np.arange(curves.shape[1]) + width
        seconds = steps * np.mean([run.seconds for run in chosen])
        for axis, x in ((left, steps), (right, seconds)):
            axis.plot(x, curves.mean(0), color=colour, label=f"{name}, {rate:.0e}", linewidth=1.5)
            axis.fill_between(x, curves.min(0), curves.max(0), color=colour, alpha=0.15, linewidth=0)
    left.set(xlabel="step", ylabel="loss of the batch, nats a character")
    right.set(xlabel="seconds on this machine, without compilation")
    right.legend(frameon=False, fontsize=8)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    main()
