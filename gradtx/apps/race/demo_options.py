"""The options of `python -m gradtx`, and the optimizers that they choose."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import math
from collections.abc import Sequence
from pathlib import Path

from gradtx.apps.options import at_least_one, names_of, whole_number, wrong
from gradtx.apps.race.contenders import Contender, contenders
from gradtx.catalog import OPTIMIZERS

LARGEST_SEED = 2**32 - 1  # of scikit-learn


def demo_parser() -> argparse.ArgumentParser:
    """The options of the demo."""
    parser = argparse.ArgumentParser(
        prog="python -m gradtx",
        description="Train a small network on scikit-learn's handwritten digits with many optimizers and learning "
        "rates, and compare them. All rates of an optimizer are trained in one compiled program.",
        epilog="Other commands: python -m gradtx race --help, python -m gradtx studio --help.",
    )
    add, default = parser.add_argument, "default: %(default)s"
    words = "names separated by commas or spaces; see --list; default: fourteen that are well known"
    add("--optimizers", nargs="+", type=_names, metavar="NAME", help=words)
    add("--rates", nargs="+", type=_rates, metavar="RATE", help="learning rates for all of them, instead of their own")
    add("--epochs", type=at_least_one, default=40, metavar="N", help=default)
    add("--batch-size", type=at_least_one, default=32, metavar="N", help=default)
    add("--seed", type=lambda text: whole_number(text, 0, LARGEST_SEED), default=0, metavar="N", help=default)
    add("--all-rates", action="store_true", help="a row for every rate, not only for the best")
    add("--output", type=Path, default=Path("gradtx-demo"), metavar="FOLDER", help=default)
    add("--list", action="store_true", help="show the optimizers and their rates, and stop")
    add("--version", action="version", version=f"gradtx {importlib.metadata.version('gradtx')}")
    return parser


def own() -> dict[str, Contender]:
    """The optimizers of gradtx by name."""
    return {name: contender for name, contender in contenders().items() if contender.library == "gradtx"}


def choose(names: Sequence[Sequence[str]] | None, rates: Sequence[Sequence[float]] | None) -> dict[str, Contender]:
    """The optimizers that the options ask for, each once, with the rates that the options ask for."""
    known = own()
    usual = [name for name in known if OPTIMIZERS[name][1].demo]
    chosen = {name: known[name] for group in names or [usual] for name in group}
    if not rates:
        return chosen
    each = tuple(sorted({rate for group in rates for rate in group}))
    return {name: dataclasses.replace(contender, rates=each) for name, contender in chosen.items()}


def listing() -> str:
    """The optimizers, one a line, with their rates."""
    lines, width = [], max(map(len, own()))
    for name, contender in own().items():
        rates = ", ".join(f"{rate:g}" for rate in contender.rates)
        lines.append(f"{name:<{width}} {rates}{'  (on full batches)' if contender.full_batch else ''}")
    return "\n".join(lines)


def _names(text: str) -> list[str]:
    return names_of(text, "optimizer", own())


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
    return rates or wrong("give at least one rate, for instance 1e-3")
