"""Lines as they come, a table of targets at the end, and both in files, with the machine and the versions.

Between the works a plain copy is timed. If its time varies much, a warning says that the machine is busy.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

from tests.benchmarks.lines import Line, Scale, cells, header, row
from tests.benchmarks.readme import readme
from tests.benchmarks.repeats import together
from tests.benchmarks.sides import copy_of
from tests.benchmarks.timing import Spread, seconds, spread

NOISY = 1.3
"""A machine is called noisy if the 90% quantile of the times of a copy is more than this, in medians."""


def machine() -> dict[str, str]:
    """Where this runs."""
    found = {"cores": str(os.cpu_count()), "processor": _processor(), "backend": jax.default_backend()}
    found |= {"device": jax.devices()[0].device_kind, "python": platform.python_version()}
    for package in ("jax", "jaxlib", "optax", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    if os.environ.get("XLA_FLAGS"):
        found["XLA_FLAGS"] = os.environ["XLA_FLAGS"]
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [x for x in info.read_text().splitlines() if x.startswith("model name")] if info.exists() else []
    return names[0].split(":")[1].strip() if names else platform.processor() or platform.machine()


def run(
    works: dict[str, Callable[[Scale], Iterator[Line]]], scale: Scale, output: str | None, markdown: str | None
) -> list[Line]:
    """Measure, print, and write the files."""
    where = machine()
    head = headline(where, scale)
    print(head, "", header(), sep="\n", flush=True)
    lines: list[Line] = []
    took, copies = {}, _copies(scale)
    for name, work in works.items():
        start = time.perf_counter()
        for line in work(scale):
            print(row(cells(line)), flush=True)
            lines.append(line)
        took[name] = round(time.perf_counter() - start, 1)
        copies += _copies(scale)
        gc.collect()
    noise = quietness(spread(copies))
    print("", summary(lines), noise, f"seconds: {took}", "", "README:", *readme(lines), sep="\n", flush=True)
    written = {**where, "scale": scale._asdict(), "seconds": took, "copies": copies}
    write(head, noise, lines, written, output, markdown)
    return lines


def merged(each: list[dict], scale: Scale, output: str | None, markdown: str | None) -> list[Line]:
    """Print and write what several processes measured: medians of their medians, the lowest and the highest."""
    lines, copies = together(each), [t for run in each for t in run["copies"]]
    where, noise = machine(), quietness(spread(copies))
    head = f"{headline(where, scale)}; {len(each)} processes: the median of their medians (lowest-highest)"
    print("", head, "", header(), *(row(cells(line)) for line in lines), "", sep="\n")
    print(summary(lines), noise, "", "README:", *readme(lines), sep="\n", flush=True)
    took = {name: [run["seconds"][name] for run in each] for name in each[0]["seconds"]}
    written = {**where, "scale": scale._asdict(), "seconds": took, "copies": copies, "processes": len(each)}
    write(head, noise, lines, written, output, markdown)
    return lines


def headline(where: dict[str, str], scale: Scale) -> str:
    """The machine and the versions, in one line."""
    head = ", ".join(f"{name} {value}" for name, value in where.items())
    return head + ("; toy sizes: these are no figures" if scale.big < Scale().big else "")


def quietness(copies: Spread) -> str:
    """How evenly a copy ran between the works, with a warning if that was not even."""
    low, high = copies.low / copies.median, copies.high / copies.median
    said = f"a plain copy took {low:.2f} to {high:.2f} of its median (10%-90%)"
    return f"WARNING: a noisy machine: {said}; measure again when it is quiet" if high > NOISY else said


def _copies(scale: Scale) -> list[float]:
    """Seconds of some copies, of 16 MB."""
    copy = copy_of(min(scale.big, 2**22))
    seconds(copy)
    return [seconds(copy, 5) for _ in range(5)]


def write(head: str, noise: str, lines: list[Line], written: dict, output: str | None, markdown: str | None) -> None:
    """Write the files that were asked for."""
    if output:
        every = {**written, "lines": [as_json(line) for line in lines]}
        Path(output).write_text(json.dumps(every, indent=1) + "\n")
    if markdown:
        table = "\n".join([header(), *(row(cells(line)) for line in lines)])
        Path(markdown).write_text(f"{head}\n\n{noise}\n\n{summary(lines)}\n\n{table}\n")


def summary(lines: list[Line]) -> str:
    """How many targets are met, and those that are not."""
    verdicts = [(line, line.verdict) for line in lines if line.verdict]
    met = sum(verdict == "met" for _, verdict in verdicts)
    said = [f"{met} of {len(verdicts)} targets met"]
    said += [f"- {line.work}, {line.unit}: {verdict} {line.note}" for line, verdict in verdicts if verdict != "met"]
    return "\n".join(said)


def as_json(line: Line) -> dict:
    """A line as JSON has it."""
    spread = line.measured._asdict() if line.measured else None
    return {**line._asdict(), "measured": spread, "verdict": line.verdict}
