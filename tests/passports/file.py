"""The file of figures: how an entry of it is measured, how it is written, and whether it still fits the code."""

from __future__ import annotations

import importlib.metadata
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import gradtx
from gradtx.passports.figures import NAME
from tests.passports.code import fingerprint
from tests.passports.measured import Subject, probe, same_probe, subjects

FILE = Path(gradtx.__file__).parent / "passports" / NAME
SIZE, SIDE, DIGITS = 2**20, 2**10, 4  # digits of a figure
LIBRARIES = ("jax", "numpy", "optax", "torch", "keras")
COMMAND = "python -m tests.passports"


def versions() -> dict[str, str]:
    """Of what the figures depend on; without what torch adds about its build."""
    found = {library: importlib.metadata.version(library).partition("+")[0] for library in LIBRARIES}
    return {"gradtx": gradtx.__version__, **found}


def read() -> dict[str, Any]:
    """The whole file."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def write(entries: Mapping[str, Any]) -> None:
    """Write the file, a line for each entry."""
    from tests.passports import races, updates

    head = {"versions": versions(), "tasks": races.abouts(), "trials": updates.TRIALS}
    lines = [f"{_dump(name)}: {_dump(value)}" for name, value in head.items()]
    rows = ",\n".join(f"{_dump(name)}: {_dump(dict(sorted(entries[name].items())))}" for name in sorted(entries))
    FILE.write_text("{\n" + ",\n".join([*lines, f'"entries": {{\n{rows}\n}}']) + "\n}\n", encoding="utf-8")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def measure(name: str, part: str = "") -> tuple[dict[str, Any], float]:
    """The figures of a factory, or one part of them, and the seconds that it took; of nothing, a part is left out."""
    started, subject = time.perf_counter(), subjects()[name]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        found = {each: _plain(how(subject)) for each, how in parts(subject).items() if part in ("", each)}
    return {each: value for each, value in found.items() if value}, time.perf_counter() - started


def parts(subject: Subject) -> dict[str, Callable[[Subject], Any]]:
    """Name of a part -> what measures it, for the parts that a factory has."""
    from tests.passports import identities, others, races, updates

    every = {"call": lambda x: x.call, "code": lambda x: fingerprint(x.tx), "probe": probe, "not": lambda x: x.why_not}
    every |= {"identities": identities.measured, "agreement": others.agreement, "race": races.race}
    if subject.why_not:
        return every
    if subject.entry.kind in ("piece", "recipe") and not subject.draws:
        every["ulp"] = updates.ulp
    return every | {"state": state_bytes, "moves": moves, "trials": updates.trials}


def moves(subject: Subject) -> list[float]:
    """Bytes that a step moves for each parameter of a matrix, and what one pass would move."""
    from tests.benchmarks.traffic import traffic

    moved = traffic(subject.tx, shape=(SIDE, SIDE))
    return [moved.bytes, moved.minimum]


def state_bytes(subject: Subject) -> dict[str, float]:
    """For each parameter in float32; nothing is computed."""
    found, vector = {}, {"vector": (SIZE,)} if subject.case.any_tree else {}
    for name, shape in {**vector, "matrix": (SIDE, SIDE)}.items():
        state = jax.eval_shape(subject.tx.init, jax.ShapeDtypeStruct(shape, jnp.float32))
        found[name] = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state)) / SIZE
    return found


def _plain(value: Any) -> Any:
    """Numbers in a few digits, whole ones as such; what is not finite as a word."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def stated(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The identities in the file, those of the catalog first."""
    return [(one, other) for one, other, _ in entry.get("identities", ())]


def stale(entries: Mapping[str, Any], known: Mapping[str, Subject]) -> dict[str, str]:
    """Factory -> why its figures are no longer those of the code.

    The code itself may change: where its fingerprint did, the numbers of the probe must be the same.
    """
    found = dict.fromkeys(known.keys() - entries.keys(), "it is not in the file")
    found |= dict.fromkeys(entries.keys() - known.keys(), "there is no such factory")
    for name in sorted(known.keys() & entries.keys()):
        subject, entry = known[name], entries[name]
        if subject.call != entry["call"]:
            found[name] = f"it is measured on {subject.call}, the file has {entry['call']}"
        elif subject.why_not != entry.get("not", ""):
            found[name] = f"measured or not: {subject.why_not or 'it can be'}"
        elif not subject.why_not and _plain(state_bytes(subject)) != entry["state"]:
            found[name] = f"its state has {_plain(state_bytes(subject))} bytes, the file says {entry['state']}"
        elif subject.entry.identities != tuple(stated(entry)[: len(subject.entry.identities)]):
            found[name] = f"it has other identities in the catalog than {list(stated(entry))}"
        elif fingerprint(subject.tx) != entry["code"] and not same_probe(probe(subject), entry["probe"]):
            found[name] = "its formula has changed"
    return found
