"""The table of clients in notebook 9: `python -m tests.clients.table` trains with all that are installed.

`python -m tests.clients.table optax_chain flax` trains with some.
"""

import importlib
import math
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest

LIGHT = ("optax_chain", "flax", "equinox", "optimistix", "keras", "trainer", "ppo")
HEAVY = ("haiku", "numpyro", "blackjax", "gpjax", "jaxopt", "netket", "diffrax")
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "09_with_your_framework.ipynb"
HEAD = "| package | version | what takes the optimizer | it is given | difference to optax: Adam | the others |"


def measured(client) -> tuple[float, float]:
    """The largest differences to optax in float32 ulp: of Adam with its defaults, and of the other algorithms."""
    from tests.clients.agreement import ALGORITHMS, EPS, difference

    ulp = {}
    for algorithm in ALGORITHMS:
        mine, theirs = client.runs(algorithm)
        ulp[algorithm] = difference(mine[:2], theirs[:2]) / EPS
    return ulp.pop("adam"), max(ulp.values())


def rounded(ulp: float) -> int:
    """Up to a power of two."""
    return 2 ** max(0, math.ceil(math.log2(ulp))) if ulp else 0


def row(client) -> str:
    adam, others = map(rounded, measured(client))
    cells = (client.package, version(client.package), client.entry, client.handed, f"{adam} ulp", f"{others} ulp")
    return f"| {' | '.join(cells)} |"


def stated() -> dict[str, tuple[str, str, str, int, int]]:
    """The table as it stands in the notebook, by what takes the optimizer: package, version, given, the figures."""
    text = "\n".join(cell.source for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "markdown")
    lines = re.findall(r"^\| (.*) \| (.*) \| (.*) \| (.*) \| (\d+) ulp \| (\d+) ulp \|$", text, re.MULTILINE)
    return {entry: (package, v, given, int(adam), int(rest)) for package, v, entry, given, adam, rest in lines}


def clients(name: str) -> list:
    """Those of a test module; none where the package is not installed."""
    try:
        return importlib.import_module(f"tests.clients.test_{name}").CLIENTS
    except pytest.skip.Exception as absent:
        print(f"{name}: {absent}", file=sys.stderr)
        return []


def main(names: list[str]) -> None:
    print(HEAD, "|---|---|---|---|---|---|", sep="\n")
    for name in names or (*LIGHT, *HEAVY):
        for client in clients(name):
            print(row(client), flush=True)


if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
    main(sys.argv[1:])
