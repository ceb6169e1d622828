"""Lines as they come, a table of targets at the end, and both in files, with the machine and the versions."""

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
    head = ", ".join(f"{name} {value}" for name, value in where.items())
    if scale.big < Scale().big:
        head += "; toy sizes: these are no figures"
    print(head, "", header(), sep="\n", flush=True)
    lines: list[Line] = []
    seconds = {}
    for name, work in works.items():
        start = time.perf_counter()
        for line in work(scale):
            print(row(cells(line)), flush=True)
            lines.append(line)
        seconds[name] = round(time.perf_counter() - start, 1)
        gc.collect()
    print("", summary(lines), f"seconds: {seconds}", sep="\n", flush=True)
    if output:
        written = {**where, "scale": scale._asdict(), "seconds": seconds, "lines": [as_json(x) for x in lines]}
        Path(output).write_text(json.dumps(written, indent=1) + "\n")
    if markdown:
        table = "\n".join([header(), *(row(cells(line)) for line in lines)])
        Path(markdown).write_text(f"{head}\n\n{summary(lines)}\n\n{table}\n")
    return lines


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
