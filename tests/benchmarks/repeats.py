"""The same run in several fresh processes, one after another, and how far their medians are apart."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.lines import Line
from tests.benchmarks.timing import Spread


def repeated(arguments: Sequence[str], times: int) -> list[dict[str, Any]]:
    """What each of so many processes wrote, which run `python -m tests.benchmarks` with these arguments."""
    written = []
    for k in range(times):
        print(f"process {k + 1} of {times}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "figures.json"
            command = [sys.executable, "-m", "tests.benchmarks", *arguments, f"--output={file}"]
            subprocess.run(command, check=True)
            written.append(json.loads(file.read_text()))
    return written


def together(written: Sequence[dict[str, Any]]) -> list[Line]:
    """Each line with the median of the processes' medians, and the lowest and the highest of them."""
    found: dict[tuple[str, str], list[dict]] = {}
    for run in written:
        for line in run["lines"]:
            found.setdefault((line["work"], line["unit"]), []).append(line)
    lines = []
    for (work, unit), each in found.items():
        medians = [line["measured"]["median"] for line in each if line["measured"]]
        over = Spread(float(np.median(medians)), min(medians), max(medians)) if medians else None
        lines.append(Line(work, unit, over, each[0]["target"], each[0]["note"]))
    return lines
