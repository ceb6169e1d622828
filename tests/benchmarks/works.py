"""What the benchmark measures, by name, cheapest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.benchmarks import features, many, networks, outside, start, steps, traffic
from tests.benchmarks.lines import Line, Scale

WORKS: dict[str, Callable[[Scale], Iterator[Line]]] = {
    "import": start.importing,
    "machine": steps.machine_limit,
    "state": features.state_bytes,
    "plan": start.planning,
    "bytes": traffic.table,
    "codecs": features.codec_time,
    "rows": features.rows,
    "adam": steps.adam,
    "wrapped": steps.wrapped,
    "watch": steps.watched,
    "others": steps.others,
    "outside": outside.outside_jit,
    "muon": steps.muon,
    "packed": many.packed,
    "transformer": networks.transformer,
    "many_layers": networks.many_layers,
    "sweeps": features.sweeps,
    "parts": many.parts,
    "compilation": many.compilation,
    "chain": steps.usual_chain,
}
