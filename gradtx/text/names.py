"""What a text may name: gradtx's public factories, numbers with a type, and what the caller adds."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from gradtx.errors import suggestion

PACKAGES = ("frames", "moments", "rates", "sets", "storage")
UNWRITTEN = "compat.optax."  # what stands in front of a call that keeps optax's protocol
OF_DEVICES = ("owners", "split_over")
NUMBERS = ("bfloat16", "float16", "float32", "float64")
ALIASES = {"gradtx.": "", "jax.numpy.": "jnp.", "numpy.": "np.", "jax.sharding.PartitionSpec": "P"}
CONSTANTS = {"inf": float("inf"), "nan": float("nan")}


def public() -> list[str]:
    """The names of gradtx itself that a text may call."""
    gradtx = importlib.import_module("gradtx")  # by name: that module imports this one
    return [name for name in gradtx.__all__ if hasattr(getattr(gradtx, name), "factory")] + list(OF_DEVICES)


@functools.cache
def makers() -> Mapping[str, Callable[..., Any]]:
    """Name -> the function of that name, for all functions that a text may call."""
    gradtx = importlib.import_module("gradtx")
    found: dict[str, Callable[..., Any]] = {name: getattr(gradtx, name) for name in public()}
    for package in PACKAGES:
        module = getattr(gradtx, package)
        for name in module.__all__:
            if _makes_a_value(module, getattr(module, name)):
                found[f"{package}.{name}"] = getattr(module, name)
    importlib.import_module("gradtx.compat.torch")
    importlib.import_module("gradtx.compat.keras")
    for name, module in list(sys.modules.items()):  # parts of recipes that are not public, and those of the dialects
        if name.startswith(("gradtx.optimizers.", "gradtx.compat.")) and UNWRITTEN not in f"{name}.":
            own = {k: x for k, x in vars(module).items() if hasattr(x, "factory") and x.__module__ == name}
            found = {**own, **{f"{name.removeprefix('gradtx.')}.{k}": x for k, x in own.items()}, **found}
    found |= {f"jnp.{name}": getattr(jnp, name) for name in NUMBERS}
    found |= {f"np.{name}": getattr(np, name) for name in (*NUMBERS, "int32", "int64") if hasattr(np, name)}
    return {**found, "re.compile": re.compile, "P": PartitionSpec}


def _makes_a_value(module: Any, function: Any) -> bool:
    """Whether it is a factory, or a function that returns a codec, a frame, a moment or a set."""
    if not inspect.isfunction(function) or hasattr(function, "factory"):
        return hasattr(function, "factory")
    kinds = [getattr(module, kind, None) for kind in ("Codec", "Frame", "Moment", "Set")]
    return typing.get_type_hints(function).get("return", "") in kinds


def short(name: str) -> str:
    """The name as values print it: `storage.int8` for `gradtx.storage.int8`."""
    return next((to + name.removeprefix(long) for long, to in ALIASES.items() if name.startswith(long)), name)


def written(name: str) -> str:
    """The name.

    Raises: ValueError: it is of a call that keeps optax's protocol, which a text cannot say.
    """
    if name.startswith(UNWRITTEN):
        raise ValueError(
            f"{name} keeps optax's protocol, which no text and no dict can say: keep the Python code that makes it, or "
            f"pickle it, or build it from gradtx's own names, as gradtx.adam"
        )
    return name


def maker(name: str, names: Mapping[str, Any]) -> Callable[..., Any]:
    """The function of this name.

    Raises: ValueError: there is none.
    """
    found = {**makers(), **names}.get(name if name in names else written(short(name)))
    if not callable(found):
        there = called_elsewhere(short(name)) or suggestion(short(name), [*names, *makers()])
        raise ValueError(
            f"there is no transformation or schedule {name!r}{there}; for your own give names={{{name!r}: ...}}"
        )
    return found


def called_elsewhere(name: str) -> str:
    """What optax calls so, for an error."""
    entries = importlib.import_module("gradtx.catalog").ENTRIES.values()
    here = [entry.name for entry in entries if {name, f"contrib.{name}"} & {*entry.optax_names}]
    return f"; here it is {here[0]}" if here else ""


def constant(name: str, names: Mapping[str, Any]) -> Any:
    """What stands under a name that is not called: an infinity, a flag of `re`, or something of the caller's.

    Raises: ValueError: nothing does.
    """
    if name in names:
        return names[name]
    if name in CONSTANTS:
        return CONSTANTS[name]
    if name.startswith("re.") and name[3:] in re.RegexFlag.__members__:
        return re.RegexFlag[name[3:]]
    if short(name) in makers():
        raise ValueError(f"{name} is a function here: call it, {name}(...)")
    raise ValueError(f"nothing is called {name!r}; give names={{{name!r}: ...}} where it is a function of yours")
