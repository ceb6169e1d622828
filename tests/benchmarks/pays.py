"""Do preconditioners pay? `python -m tests.benchmarks.pays`, an hour or so on two quiet cores.

A transformer of a million parameters learns the next character of Python's own standard library. Six optimizers, three
learning rates each, three seeds, which choose the start and the batches. The loss is that on text that is not trained
on. The losses are kept in pays.json after each training, so that an interrupted run goes on where it was. The seconds
of a step are measured at the end: the optimizers take turns of a few steps, for several rounds. `--seconds-only`
measures them again, on a quieter machine. It writes pays.md beside this file and pays.png among the pictures of the
notebooks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sysconfig
import tempfile
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
    "AdamW": (gradtx.adamw, (3e-4, 1e-3, 3e-3)),
    "Muon": (gradtx.muon, (3e-3, 1e-2, 3e-2)),
    "NorMuon": (gradtx.normuon, (3e-3, 1e-2, 3e-2)),
    "SOAP": (gradtx.soap, (1e-3, 3e-3, 1e-2)),
    "Shampoo": (gradtx.shampoo, (1e-3, 3e-3, 1e-2)),
    "PSGD": (gradtx.psgd_kron, (3e-4, 1e-3, 3e-3)),
}
BATCH = 8
TURN = 20  # steps in a row: two refreshes of SOAP and of Shampoo


class Run(NamedTuple):
    """What one training gave."""

    losses: list[float]  # of the batches, one for each step
    final: float  # on text that was not trained on


Runs = dict[str, dict[float, list[Run]]]


def text() -> np.ndarray:
    """Modules of the standard library, one after another, as bytes; the same for the same Python."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    names = ("argparse", "ast", "configparser", "dataclasses", "datetime", "decimal", "difflib", "enum", "inspect")
    data = b"".join((folder / f"{name}.py").read_bytes() for name in names if (folder / f"{name}.py").exists())
    return np.frombuffer(data, np.uint8)


class Training:
    """A network, an optimizer, and batches that the seed chooses."""

    def __init__(self, tx: Any, layers: int, seed: int):
        self.tx, self.rng, self.params = tx, np.random.default_rng(seed), transformer_params(layers, seed)
        self.state = jax.jit(tx.init)(self.params)
        self.data = text()[: int(0.9 * text().size)]

    def steps(self, step: Callable[..., Any], count: int) -> list[float]:
        """Train for some steps; the losses of their batches."""
        losses = []
        for _ in range(count):
            starts = self.rng.integers(0, self.data.size - TOKENS, BATCH)
            tokens = jnp.asarray(np.stack([self.data[k : k + TOKENS] for k in starts]), jnp.int32)
            self.params, self.state, value = step(self.tx, self.params, self.state, tokens)
            losses.append(float(value))
        return losses

    def held_out(self) -> float:
        """The loss on the text that is not trained on."""
        held = text()[int(0.9 * text().size) :]
        quiz = np.stack([held[k : k + TOKENS] for k in range(0, 64 * TOKENS, TOKENS)])
        return float(next_token_loss(self.params, jnp.asarray(quiz, jnp.int32)))


def compiled() -> Callable[..., Any]:
    """A train step; one program for all rates and seeds of an optimizer."""

    @jax.jit
    def step(tx: Any, params: Any, state: Any, tokens: Any) -> Any:
        value, g = jax.value_and_grad(next_token_loss)(params, tokens)
        return *tx.step(g, state, params), value

    return step


def train_all(args: Any, kept: dict[str, Any], file: Path) -> None:
    """Each training that is not in `kept`; the file is written after each."""
    programs = {name: compiled() for name in RATES}
    for seed in range(args.seeds):
        for name, (factory, rates) in RATES.items():
            for rate in rates:
                key = f"{name} {rate:.0e} {seed}"
                if key not in kept["runs"]:
                    training = Training(factory(rate), args.layers, seed)
                    losses = [round(x, 5) for x in training.steps(programs[name], args.steps)]
                    kept["runs"][key] = Run(losses, training.held_out())
                    file.write_text(json.dumps(kept))
                    print(f"{key:20} {kept['runs'][key].final:.4f}", flush=True)


def measure(args: Any) -> dict[str, Any]:
    """Seconds of a step of each optimizer: one entry a round, the mean over a turn; refreshes of bases count."""
    turns = {}
    for name, (factory, rates) in RATES.items():
        turns[name] = Training(factory(rates[0]), args.layers, 0), compiled()
        turns[name][0].steps(turns[name][1], 2)
    seconds: dict[str, list[float]] = {name: [] for name in RATES}
    load = []
    for _ in range(args.rounds):
        for name, (training, step) in turns.items():
            began = time.perf_counter()
            training.steps(step, TURN)
            seconds[name].append((time.perf_counter() - began) / TURN)
        load.append(round(os.getloadavg()[0], 1))
        print(*(f"{name} {times[-1]:.3f}" for name, times in seconds.items()), "load", load[-1], flush=True)
    return {"seconds": seconds, "load": load, "cores": os.cpu_count()}


def main(arguments: list[str] | None = None) -> None:
    """Train all, print each result as it comes, measure the seconds, write the table and the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pays", description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=5, help="blocks of the transformer; 5 are 1.0 million parameters")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each optimizer, when seconds are measured")
    parser.add_argument("--folder", type=Path, help="keep pays.json there, and write pays.md and pays.png there")
    parser.add_argument("--seconds-only", action="store_true", help="take the losses from pays.json as they are")
    args = parser.parse_args(arguments)
    folder = args.folder or Path(tempfile.gettempdir()) / "gradtx-pays"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "pays.json"
    settings = {"steps": args.steps, "seeds": args.seeds, "layers": args.layers, "jax": jax.__version__}
    kept = json.loads(file.read_text()) if file.exists() else {"settings": settings, "runs": {}}
    if kept["settings"] != settings:
        parser.error(f"{file} has losses of {kept['settings']}, not of {settings}; name another folder")
    kept["runs"] = {key: Run(*run) for key, run in kept["runs"].items()}
    if not args.seconds_only:
        train_all(args, kept, file)
    kept["times"] = measure(args)
    file.write_text(json.dumps(kept))
    runs = {
        name: {rate: [kept["runs"][f"{name} {rate:.0e} {seed}"] for seed in range(args.seeds)] for rate in rates}
        for name, (_, rates) in RATES.items()
    }
    (args.folder or HERE).joinpath("pays.md").write_text(table(runs, kept["times"], args))
    draw(runs, kept["times"], args.folder / "pays.png" if args.folder else PICTURE)


def best(found: dict[float, list[Run]]) -> tuple[float, list[Run]]:
    """The rate whose mean loss is the least, and its runs; NaN is worse than any number."""
    rate = min(found, key=lambda r: np.nan_to_num(np.mean([run.final for run in found[r]]), nan=np.inf))
    return rate, found[rate]


def slower(times: dict[str, Any], name: str) -> float:
    """How much longer a step takes than one of AdamW: the median of the rounds' ratios."""
    return float(np.median(np.divide(times["seconds"][name], times["seconds"]["AdamW"])))


def table(runs: Runs, times: dict[str, Any], args: Any) -> str:
    """The figures, and the sentences that their spread supports."""
    data = text()
    adam = np.median(times["seconds"]["AdamW"])
    lines = [
        "# Do preconditioners pay?",
        "",
        f"`python -m tests.benchmarks.pays --steps {args.steps} --seeds {args.seeds} --layers {args.layers}`",
        "",
        f"Python {platform.python_version()}, JAX {jax.__version__}, {platform.machine()}.",
        f"Text: {data.size} bytes, SHA-256 {hashlib.sha256(data.tobytes()).hexdigest()[:16]}.",
        f"Parameters: {sum(x.size for x in jax.tree.leaves(transformer_params(args.layers, 0))):,}.",
        f"A step of AdamW: {adam:.3f} seconds, the median of {len(times['load'])} rounds of {TURN} steps, on "
        f"{times['cores']} cores with a load of {min(times['load'])} to {max(times['load'])}; the ratios are medians "
        "of the rounds.",
        "",
        "| optimizer | rates tried | best rate | loss: mean | least | largest | step / AdamW's |",
        "|---|---|---|---|---|---|---|",
    ]
    ends = {}
    for name, found in runs.items():
        rate, chosen = best(found)
        finals = ends[name] = [run.final for run in chosen]
        tried = ", ".join(f"{r:.0e}" for r in found)
        lines.append(
            f"| {name} | {tried} | {rate:.0e} | {np.mean(finals):.3f} | {min(finals):.3f} | {max(finals):.3f} | "
            f"{slower(times, name):.2f} |"
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


def draw(runs: Runs, times: dict[str, Any], file: Path) -> None:
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
        seconds = steps * slower(times, name) * np.median(times["seconds"]["AdamW"])
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
