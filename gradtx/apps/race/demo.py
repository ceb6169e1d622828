"""`python -m gradtx`: many optimizers and learning rates on handwritten digits, and a table, a picture and numbers."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradtx.apps import interrupt
from gradtx.apps.options import check_output
from gradtx.apps.race.contenders import Contender
from gradtx.apps.race.demo_options import choose, demo_parser, listing
from gradtx.apps.race.words import count
from gradtx.atomic_write import write_whole, write_whole_with
from gradtx.optional_imports import require
from gradtx.text_table import aligned, dashes

HIDDEN, TARGET = 256, 0.95
FLOOR = 1e-7  # losses below it are rounding errors of float32, and are not shown
PICTURE, NUMBERS = "loss.png", "results.json"
HEADINGS = (
    ("", "", "loss on", "accuracy", f"steps to {TARGET:.0%}", "seconds", "seconds with"),
    ("optimizer", "rate", "training", "on test", "on test", "to train", "compilation"),
)
CAPTION = (
    "Learning 8×8 digits. At the ends of lines: the learning rate. Bold: the rate with the best test accuracy at the "
    "end, which is above."
)
CAPTION_OF_GREY = "Grey: the other optimizers, each at its bold rate."
UNITS = {
    "train_loss": "nats per example, on the whole training set, before the first epoch and after each",
    "test_accuracy": "share of the test set, before the first epoch and after each",
    "seconds": "one program trains all rates of an optimizer: these are its seconds, not those of one rate",
}


class Curves(NamedTuple):
    """The results of an optimizer at all its learning rates.

    steps_per_epoch: parameter updates. train_loss, test_accuracy: `[rates, epochs + 1]`, before the first epoch and
    after each. seconds_compiling, seconds_training: of the program that trains all rates together.
    """

    rates: tuple[float, ...]
    steps_per_epoch: int
    train_loss: np.ndarray
    test_accuracy: np.ndarray
    seconds_compiling: float
    seconds_training: float

    @property
    def ranking(self) -> list[int]:
        """The places of the rates, best first: by final test accuracy, then by final training loss."""
        return sorted(range(len(self.rates)), key=self.rank)

    def rank(self, i: int) -> tuple[bool, float, float]:
        """A key that sorts better results first; diverged ones are last."""
        return not np.isfinite(self.train_loss[i, -1]), -self.test_accuracy[i, -1], self.train_loss[i, -1]

    def steps_to(self, accuracy: float, i: int) -> int | None:
        """The steps after which rate i first had this accuracy at the end of an epoch; None if it never had."""
        reached = np.flatnonzero(self.test_accuracy[i] >= accuracy)
        return int(reached[0]) * self.steps_per_epoch if len(reached) else None


def run(words: Sequence[str]) -> int:
    """Train, print the table, write the picture and the numbers; the exit code."""
    parser = demo_parser()
    options = parser.parse_args(words)
    if options.list:
        print(listing())
        return 0
    require("demo", "matplotlib.figure", "sklearn.datasets", "tqdm")
    from gradtx.apps.race.tasks.data import load_digits  # takes seconds; --list and errors need not wait for it

    digits = load_digits(options.seed)
    images = len(digits.train_y)
    if options.batch_size > images:
        parser.error(f"argument --batch-size: must be at most {images:,}, the number of images in the training set")
    numbers, picture = check_output(parser, options.output, NUMBERS, PICTURE)
    chosen = choose(options.optimizers, options.rates)
    start, interrupt.note = time.perf_counter(), "; nothing was written"
    print(_introduction(chosen, images, len(digits.test_y), options), flush=True)
    settings = {"epochs": options.epochs, "batch_size": options.batch_size, "seed": options.seed}
    curves = train(chosen, digits, **settings)
    print(f"\n{table(curves, all_rates=options.all_rates)}\n")
    print(_footnotes(chosen, len(digits.test_y), options.all_rates))
    numbers.parent.mkdir(parents=True, exist_ok=True)
    write_whole(numbers, _json(chosen, curves, settings))
    interrupt.note = f"; {numbers} is written"
    _draw(chosen, curves, picture)
    interrupt.note = f"; {picture} and {numbers} are written"
    print(f"\nWrote {picture} and {numbers} after {time.perf_counter() - start:.0f} seconds.")
    return 0


def train(
    chosen: Mapping[str, Contender], digits: Any, *, epochs: int, batch_size: int, seed: int
) -> dict[str, Curves]:
    """Train the same network with every optimizer at each of its rates, on the same batches, which the seed decides.

    The digits are those of `load_digits`. A batch is at most the training set, which full-batch optimizers always get.
    """
    from gradtx.apps.race.engine import Trainings
    from gradtx.apps.race.task import PreparedTask
    from gradtx.apps.race.tasks.digits import demo_digits
    from gradtx.progress import progress

    bar = {"disable": None, "leave": False, "dynamic_ncols": True}
    sizes = {c.full_batch: len(digits.train_y) if c.full_batch else batch_size for c in chosen.values()}
    tasks = {full: PreparedTask(demo_digits(digits, HIDDEN, size, epochs, seed)) for full, size in sizes.items()}
    runs, scores = {}, {}
    with progress(total=len(chosen), desc="compiling", unit="optimizer", **bar) as shown:
        for name, contender in chosen.items():
            shown.show(now=name)
            defaults = dataclasses.replace(contender, hyperparameters={})
            runs[name] = Trainings(tasks[contender.full_batch], defaults, np.array(contender.rates))
            scores[name] = [runs[name].scores()]
            shown.update()
    with progress(total=epochs, desc="training", unit="epoch", **bar) as shown:
        for epoch in range(epochs):
            for name, each in runs.items():
                each.advance(each.prepared.batches_after(epoch))
                scores[name].append(each.scores())
            leader = max(scores, key=lambda name: scores[name][-1][..., 1].max())
            shown.show(ahead=f"{leader} {scores[leader][-1][..., 1].max():.1%}")
            shown.update()
    found = {}
    for name, each in runs.items():
        loss, accuracy = np.moveaxis(np.stack(scores[name], axis=1)[:, :, 0], -1, 0)
        every, seconds = each.prepared.task.every, (each.seconds_compiling, each.seconds_running)
        found[name] = Curves(chosen[name].rates, every, loss, accuracy, *seconds)
    return found


def table(curves: Mapping[str, Curves], *, all_rates: bool = False) -> str:
    """Rows of text, best first: the best rate of each optimizer, or all rates."""
    places = [(name, i) for name, c in curves.items() for i in c.ranking[: None if all_rates else 1]]
    rows = []
    for name, i in sorted(places, key=lambda place: curves[place[0]].rank(place[1])):
        c = curves[name]
        loss, steps = c.train_loss[i, -1], c.steps_to(TARGET, i)
        row = [name, f"{c.rates[i]:g}", f"{loss:.1e}" if math.isfinite(loss) else "diverged"]
        row += [f"{c.test_accuracy[i, -1]:.2%}", "never" if steps is None else f"{steps:,}"]
        rows.append([*row, f"{c.seconds_training:.2f}", f"{c.seconds_compiling + c.seconds_training:.2f}"])
    return "\n".join(aligned([*HEADINGS, dashes([*HEADINGS, *rows]), *rows]))


def _introduction(chosen: Mapping[str, Contender], train: int, test: int, options: argparse.Namespace) -> str:
    trainings = count(sum(len(c.rates) for c in chosen.values()), "training")
    return (
        f"{count(len(chosen), 'optimizer')}, {trainings} of {count(options.epochs, 'epoch')}: "
        f"{train:,} images of digits to train on, {test} to test on,\n"
        f"batches of {options.batch_size}, seed {options.seed}. The same first network and the same batches for all."
    )


def _footnotes(chosen: Mapping[str, Contender], test: int, all_rates: bool) -> str:
    notes = [
        "Loss: mean of -log p, in nats. Accuracy: at the end of an epoch; "
        f"one image of the test set is {1 / test:.2%}.",
        "One program trains all rates of an optimizer at once: the seconds are for all of them together.",
    ]
    if not all_rates:
        notes.append("The rate shown is the most accurate one on test at the end; --all-rates shows all.")
    full = [name for name, c in chosen.items() if c.full_batch]
    return "\n".join([*notes, f"On full batches, one step an epoch: {', '.join(full)}."] if full else notes)


def _json(chosen: Mapping[str, Contender], curves: Mapping[str, Curves], settings: Mapping[str, Any]) -> str:
    """All numbers of the table and the picture; null for those that are not finite."""
    import jax

    def numbers(values: Iterable[float]) -> list[float | None]:
        return [float(f"{x:.7g}") if math.isfinite(x) else None for x in values]

    optimizers = {}
    for name, c in curves.items():
        optimizers[name] = {
            "full_batch": chosen[name].full_batch,
            "steps_per_epoch": c.steps_per_epoch,
            "seconds_compiling": c.seconds_compiling,
            "seconds_training": c.seconds_training,
            "best_rate": c.rates[c.ranking[0]],
            "rates": [
                {
                    "learning_rate": rate,
                    "transformation": repr(chosen[name].make(rate)),
                    f"steps_to_{100 * TARGET:.0f}_percent": c.steps_to(TARGET, i),
                    "train_loss": numbers(c.train_loss[i]),
                    "test_accuracy": numbers(c.test_accuracy[i]),
                }
                for i, rate in enumerate(c.rates)
            ],
        }
    where = {"jax": jax.__version__, "device": jax.devices()[0].device_kind, "units": UNITS}
    content = {"settings": dict(settings), **where, "optimizers": optimizers}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _draw(chosen: Mapping[str, Contender], curves: Mapping[str, Curves], path: Path) -> None:
    """Draw a panel for each optimizer, with a line for each rate."""
    from gradtx.plots import Panel, panels

    shown = []
    for name, c in curves.items():
        lines = {f"{c.rates[i]:g}": c.train_loss[i][None] for i in np.argsort(c.rates)}
        batches = " (full batches)" if chosen[name].full_batch else ""
        title = f"{name}{batches}: {c.test_accuracy[c.ranking[0], -1]:.1%}"
        shown.append(Panel(title, lines, best=f"{c.rates[c.ranking[0]]:g}"))
    every = [c.train_loss for c in curves.values()]
    low = float(np.clip(0.7 * min(map(np.nanmin, every)), FLOOR, 0.09))  # 0.1 and 1 are ticks at least
    columns, size = range(min(len(shown), 3), min(len(shown), 5) + 1), (1.6, 1.5) if len(shown) > 2 else (2.4, 2.0)
    figure = panels(
        shown,
        np.arange(every[0].shape[1]),
        ylim=(low, 2 * float(every[0][0, 0])),
        log=True,
        xlabel="epochs",
        ylabel="loss on training (nats per example)",
        size=size,
        columns=columns,
        caption="\n".join([CAPTION, *[CAPTION_OF_GREY] * (len(curves) > 1)]),
    )
    write_whole_with(path, lambda part: figure.savefig(part, format="png", dpi=200, metadata={"Software": "gradtx"}))
