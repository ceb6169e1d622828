"""Conversion of trees to flat dicts of NumPy arrays, which any file format stores, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.checkpoint.errors import CheckpointError
from gradtx.checkpoint.leaves import PLAIN, PYTHON, Leaf, carried, carried_shape, carrier, entries, is_type, uncarried
from gradtx.checkpoint.report import Comparison, Report, comparison
from gradtx.core.trees import is_none
from gradtx.errors import suggestion

_Entry = TypeVar("_Entry")
_MARK = "|"


def to_flat(tree: Any) -> dict[str, np.ndarray]:
    """The leaves of a tree by their key paths, as NumPy arrays of NumPy's own types.

    A value of another type is stored exactly in an array of a NumPy type, and its type is part of the key.
    `mu/w|bfloat16` is an array of uint16; `key|key<fry>` holds the words of a random key; `rate|python float` is a
    Python number. None and empty containers have no entry; `from_flat` takes them from its target.

    Args:
        tree: arrays and numbers in any containers, such as a state or parameters.

    Raises:
        TypeError: a leaf is neither an array nor a number.
        ValueError: two leaves have the same path as text, a path contains "|", or other processes hold a part of an
            array.

    Example:
        >>> import gradtx.checkpoint, jax.numpy as jnp
        >>> state = gradtx.add_momentum(0.9).init({"w": jnp.ones(2, "bfloat16")})
        >>> gradtx.checkpoint.to_flat({"state": state, "w": jnp.ones(1, "bfloat16")})
        {'state/trace/w': array([0., 0.], dtype=float32), 'w|bfloat16': array([16256], dtype=uint16)}
    """
    flat = {}
    for name, (leaf, value) in entries("", tree).items():
        if _MARK in name:
            raise ValueError(f"the name {name!r} has a {_MARK!r}, which separates name and type here: rename the leaf")
        if isinstance(value, jax.Array) and not value.is_fully_addressable:
            raise ValueError(f"other processes hold a part of {name}: store it with Checkpoints, or gather it first")
        flat[name if leaf.type in PLAIN else f"{name}{_MARK}{leaf.type}"] = np.array(carried(value))
    return flat


def from_flat(target: Any, flat: Mapping[str, Any], *, strict: bool = True) -> Any:
    """A tree like `target`, with the values that `to_flat` stored.

    Args:
        target: a tree with the expected structure, of arrays, `ShapeDtypeStruct`s or numbers. A leaf comes back as a
            NumPy array where the target has one, otherwise as a JAX array on the devices of the target.
        flat: the arrays by key path, as `to_flat` returned them or a file format restored them.
        strict: whether a difference between `flat` and the target is an error. If it is not, missing leaves keep the
            values of the target, which must have some; `compare(target, flat)` lists the differences.

    Raises:
        CheckpointError: `flat` does not match the target; the error's `report` has the differences.
        TypeError: a leaf of the target, or a value in `flat`, is neither an array nor a number.

    Example:
        >>> import gradtx.checkpoint, io, jax.numpy as jnp, numpy as np
        >>> tree, file = {"w": jnp.ones(2, "bfloat16")}, io.BytesIO()
        >>> np.savez(file, **gradtx.checkpoint.to_flat(tree))
        >>> _ = file.seek(0)
        >>> gradtx.checkpoint.from_flat(tree, np.load(file))
        {'w': Array([1, 1], dtype=bfloat16)}
    """
    wanted, arrays = entries("", target), _named(flat)
    found = _compared(wanted, arrays)
    refuse(found.report, "the arrays and the target differ", strict)
    require_values(wanted, found.sources)
    values = {
        name: placed(cast(name, arrays[source][1], arrays[source][0].type, wanted[name][0].type), wanted[name][1])
        for name, source in found.sources.items()
    }
    return filled(target, wanted, values)


def compare(target: Any, flat: Mapping[str, Any]) -> Report:
    """The differences between a target and a flat dict: a report on `from_flat(target, flat, strict=False)`.

    A renamed leaf is listed as missing and extra. Keys alone do not tell a member of a chain from a field of a state,
    so renames are not recognized here.

    Args:
        target, flat: as in `from_flat`.

    Example:
        >>> import gradtx.checkpoint, jax.numpy as jnp
        >>> print(gradtx.checkpoint.compare({"a": jnp.ones(2), "b": jnp.ones(1)}, {"a": jnp.ones(3)}))
        0 leaves loaded
          missing from the checkpoint, the target's values stay: b
          different shape, not loaded: a is float32[3] in the checkpoint, float32[2] in the target
    """
    return _compared(entries("", target), _named(flat)).report


def refuse(report: Report, what: str, strict: bool) -> None:
    """Raise CheckpointError if something differs although `strict` forbids it."""
    if strict and not report.exact:
        raise CheckpointError(f"{what}; strict=False would accept this:\n{report}", report)


def cast(name: str, array: Any, was: str, wanted: str, plain: frozenset[str] = PLAIN) -> Any:
    """The value of type `was` that an array carries, converted to the type `wanted`.

    Raises:
        CheckpointError: a finite number is too large for the type.
    """
    value = uncarried(array, was, plain)
    if was == wanted:
        return value
    if wanted in PYTHON:
        return PYTHON[wanted](np.asarray(value)[()])
    with np.errstate(over="ignore"):
        new = (value if isinstance(value, jax.Array) else np.asarray(value)).astype(wanted)
    if not bool(jnp.all(jnp.isfinite(new) | ~jnp.isfinite(value))):
        raise CheckpointError(f"{name} has a {was} beyond the largest {wanted}: give a target of {was}")
    return new


def placed(value: Any, target: Any) -> Any:
    """A value as an array of the target's kind: of NumPy, or of JAX on the target's devices.

    If the target is not committed to a device, the value is not either, so that JAX may move it to where it is used.
    """
    if isinstance(target, np.generic):
        return np.asarray(value)[()]
    if isinstance(target, np.ndarray) or not hasattr(target, "dtype"):
        return value
    sharding = sharding_of(target)
    return jnp.asarray(value) if sharding is None else jax.device_put(value, sharding)


def sharding_of(target: Any) -> Any:
    """The sharding that a target asks for; None if it has none, or is not committed to its device."""
    if isinstance(target, jax.Array) and not target.committed:
        return None
    return getattr(target, "sharding", None)


def require_values(wanted: Mapping[str, tuple[Leaf, Any]], sources: Collection[str]) -> None:
    """Raise CheckpointError if a leaf of the target is not loaded and has no value of its own."""
    rest = [
        name for name, (_, leaf) in wanted.items() if name not in sources and isinstance(leaf, jax.ShapeDtypeStruct)
    ]
    if rest:
        raise CheckpointError(
            f"there is nothing to load for {rest[0]}{f' and {len(rest) - 1} more' if rest[1:] else ''}, and the target "
            f"there is a ShapeDtypeStruct, which has no value: give arrays, such as those of tx.init(params)"
        )


def renamed(what: str, saved: Mapping[str, Any], rename: Mapping[str, str]) -> dict[str, str]:
    """For every saved leaf: its path after renaming -> its path in the checkpoint.

    Raises:
        CheckpointError: the checkpoint does not have a path, or two paths would become the same.
    """
    new = {path: path for path in saved}
    for old, name in rename.items():
        inside = below(old, saved)
        if not inside:
            nodes = {path[:k] for path in saved for k in range(len(path) + 1) if path[k : k + 1] in ("", "/")}
            raise CheckpointError(f"rename: {what} has nothing at {old!r}{suggestion(old, nodes)}")
        new.update({path: name + path[len(old) :] for path in inside})
    origin = {name: path for path, name in new.items()}
    if len(origin) < len(new):
        twice = next(name for path, name in new.items() if origin[name] != path)
        raise CheckpointError(f"rename: {what} would have two leaves at {twice}")
    return origin


def below(name: str, found: Mapping[str, _Entry]) -> dict[str, _Entry]:
    """The entries at a path and below it."""
    return {path: entry for path, entry in found.items() if path == name or path.startswith(f"{name}/")}


def filled(target: Any, wanted: Mapping[str, tuple[Leaf, Any]], values: Mapping[str, Any]) -> Any:
    """The target with these values; where there is none, it keeps its own leaf."""
    leaves = iter([values.get(full, leaf) for full, (_, leaf) in wanted.items()])
    return jax.tree.map(lambda leaf: None if leaf is None else next(leaves), target, is_leaf=is_none)


def _compared(wanted: Mapping[str, tuple[Leaf, Any]], arrays: Mapping[str, tuple[Leaf, Any]]) -> Comparison:
    saved = {name: leaf for name, (leaf, _) in arrays.items()}
    return comparison(saved, {name: leaf for name, (leaf, _) in wanted.items()}, renames=False)


def _named(flat: Mapping[str, Any]) -> dict[str, tuple[Leaf, Any]]:
    """The arrays and the leaves that they carry, by path."""
    if not isinstance(flat, Mapping):
        raise TypeError(f"flat must be a dict of arrays by key path, as to_flat makes it; got {type(flat).__name__}")
    return {name: (leaf, array) for name, leaf, array in (_entry(key, value) for key, value in flat.items())}


def _entry(key: str, value: Any) -> tuple[str, Leaf, Any]:
    name, _, kind = key.partition(_MARK)
    own = getattr(getattr(value, "dtype", None), "name", "")
    if not is_type(own):
        raise CheckpointError(f"{key} is {own or type(value).__name__}, not an array of numbers; use to_flat")
    if not kind:
        return name, Leaf(own, tuple(value.shape)), np.array(carried(value))
    if not is_type(kind):
        raise CheckpointError(f"{key}: this version does not know the type {kind!r}")
    leaf = Leaf(kind, tuple(value.shape))
    if carried_shape(leaf) != leaf.shape:  # each random key is several words
        words = carried_shape(leaf)[len(leaf.shape) :]
        leaf = leaf._replace(shape=leaf.shape[: -len(words)])
    if own != str(carrier(kind)) or carried_shape(leaf) != tuple(value.shape):
        raise CheckpointError(f"{key} should be an array of {carrier(kind)}; it is {own} of shape {tuple(value.shape)}")
    return name, leaf, np.array(value)
