"""The command line of the demonstration, `python -m gradtx` or `python -m gradtx demo`."""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gradtx.apps.demo.contenders import CONTENDERS, Contender
from gradtx.apps.options import at_least_one, require_folder, whole_number, wrong
from gradtx.core.errors import suggestion
from gradtx.optional_imports import require

LARGEST_SEED = 2**32 - 1  # scikit-learn's


def run(words: Sequence[str]) -> int:
    """The command: train, print the table, write the picture and the numbers; the exit code."""
    try:
        return demo(words)
    except KeyboardInterrupt:
        print("gradtx: stopped; nothing was written", file=sys.stderr)
        return 130


def demo(words: Sequence[str]) -> int:
    """Train, print the table, write the picture and the numbers."""
    parser = demo_parser()
    options = parser.parse_args(words)
    if options.list:
        print(listing())
        return 0
    require_folder(parser, options.output)
    from gradtx.apps.demo import data, figure, report, table, train  # after the quick answers: these take seconds

    require("demo", "matplotlib.figure", "sklearn.datasets", "tqdm")
    digits = data.load(options.seed)
    if options.batch_size > len(digits.train_y):
        parser.error(f"argument --batch-size: the training set has {len(digits.train_y):,} images; a batch has no more")
    contenders = chosen(options.optimizers, options.rates)
    start = time.perf_counter()
    print(_introduction(contenders, len(digits.train_y), len(digits.test_y), options))
    curves = train.race(contenders, digits, epochs=options.epochs, batch_size=options.batch_size, seed=options.seed)
    print(f"\n{table.table(curves, all_rates=options.all_rates)}\n")
    print(_footnotes(contenders, len(digits.test_y), options.all_rates))
    settings = {"epochs": options.epochs, "batch_size": options.batch_size, "seed": options.seed}
    numbers, picture = options.output / "results.json", options.output / "loss.png"
    numbers.write_text(report.report(contenders, curves, settings), encoding="utf-8")
    full_batch = [name for name, contender in contenders.items() if contender.full_batch]
    figure.draw(curves, picture, full_batch=full_batch)
    print(f"\nWrote {picture} and {numbers} after {time.perf_counter() - start:.0f} seconds.")
    return 0


def demo_parser() -> argparse.ArgumentParser:
    """The options of the demonstration."""
    parser = argparse.ArgumentParser(
        prog="python -m gradtx",
        description="Train a small network on scikit-learn's handwritten digits with many optimizers and learning "
        "rates, and compare them. All rates of an optimizer are one value and train in one compiled program.",
        epilog="Other commands: python -m gradtx race --help, python -m gradtx studio --help.",
    )
    parser.add_argument(
        "--optimizers", nargs="+", type=_names, metavar="NAME", help="names, apart by commas or spaces; see --list"
    )
    parser.add_argument(
        "--rates", nargs="+", type=_rates, metavar="RATE", help="learning rates for all of them, instead of their own"
    )
    parser.add_argument("--epochs", type=at_least_one, default=40, metavar="N", help="default: %(default)s")
    parser.add_argument("--batch-size", type=at_least_one, default=32, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="default: %(default)s")
    parser.add_argument("--all-rates", action="store_true", help="a row for every rate, not for the best alone")
    parser.add_argument(
        "--output", type=Path, default=Path("gradtx-demo"), metavar="FOLDER", help="default: %(default)s"
    )
    parser.add_argument("--list", action="store_true", help="show the optimizers and their rates, and stop")
    parser.add_argument("--version", action="version", version=f"gradtx {importlib.metadata.version('gradtx')}")
    return parser


def chosen(names: Sequence[Sequence[str]] | None, rates: Sequence[Sequence[float]] | None) -> dict[str, Contender]:
    """The contenders that the options ask for, with the rates that they ask for; each once."""
    flat = [name for group in names for name in group] if names else list(CONTENDERS)
    contenders = {name: CONTENDERS[name] for name in flat}
    if not rates:
        return contenders
    each = tuple(sorted({rate for group in rates for rate in group}))
    return {name: contender._replace(rates=each) for name, contender in contenders.items()}


def listing() -> str:
    """The contenders, one a line: the name, the rates, and whether it takes full batches."""
    lines = []
    for name, contender in CONTENDERS.items():
        rates = ", ".join(f"{rate:g}" for rate in contender.rates)
        lines.append(f"{name:<10} {rates}{'  (on full batches)' if contender.full_batch else ''}")
    return "\n".join(lines)


def _introduction(contenders: dict[str, Contender], train: int, test: int, options: argparse.Namespace) -> str:
    trainings = _count(sum(len(c.rates) for c in contenders.values()), "training")
    return (
        f"{_count(len(contenders), 'optimizer')}, {trainings} of {_count(options.epochs, 'epoch')}: "
        f"{train:,} images of digits to train on, {test} to test on,\n"
        f"batches of {options.batch_size}, seed {options.seed}. The same first network and the same batches for all."
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _footnotes(contenders: dict[str, Contender], test: int, all_rates: bool) -> str:
    notes = [
        "Loss: mean of -log p, in nats. Accuracy: at the end of an epoch; "
        f"one image of the test set is {1 / test:.2%}.",
        "One program trains all rates of an optimizer at once: the seconds are for all of them together.",
    ]
    if not all_rates:
        notes.append("The rate shown is the one most accurate on test at the end; --all-rates shows each.")
    full = [name for name, c in contenders.items() if c.full_batch]
    if full:
        notes.append(f"On full batches, one step an epoch: {', '.join(full)}.")
    return "\n".join(notes)


def _names(text: str) -> list[str]:
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if not names:
        wrong("name at least one optimizer; --list shows them")
    for name in names:
        if name not in CONTENDERS:
            wrong(f"there is no optimizer {name!r}{suggestion(name, CONTENDERS)}; --list shows them")
    return names


def _rates(text: str) -> list[float]:
    rates = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        try:
            rate = float(word)
        except ValueError:
            wrong(f"a rate is a number, for instance 1e-3; got {word!r}")
        if not 0 < rate < math.inf:
            wrong(f"a rate is finite and greater than 0; got {word}")
        rates.append(rate)
    if not rates:
        wrong("give at least one rate, for instance 1e-3")
    return rates


def _seed(text: str) -> int:
    return whole_number(text, 0, LARGEST_SEED)
