"""The variables of a Keras optimizer, saved or not, one after another, and which parameter each belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from gradtx.compat.keras.layouts import AROUND, Layout
from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.errors import describe


class Entry(NamedTuple):
    """A variable: its value, and the last part of its path; "" in a saved list."""

    name: str
    value: Any


class Slot(NamedTuple):
    """What an entry is: the variable, its parameter (the place among all leaves) and the shape that it has."""

    variable: str
    place: int
    shape: tuple[int, ...]


class Matched(NamedTuple):
    """Number of an entry -> what it is, for those of parameters; the names of all leaves of the parameters."""

    slots: dict[int, Slot]
    names: list[str]

    def what(self, k: int, entries: list[Entry]) -> str:
        """An entry for errors."""
        slot, name = self.slots.get(k), entries[k].name
        of = f"{slot.variable} of {self.names[slot.place]}" if slot else "a number"
        return f"{name} ({of})" if name else f"entry {k} ({of})"


def entries_of(variables: Any) -> list[Entry]:
    """The entries of an optimizer, of its variables, of their values, or of a dict of them.

    Raises: TypeError: this is none of them. ValueError: it is empty.
    """
    if hasattr(variables, "trainable_variables") and hasattr(variables, "optimizer"):
        raise TypeError(f"this is a Keras model, {type(variables).__name__}: give model.optimizer")
    variables = getattr(variables, "variables", variables)
    if isinstance(variables, Mapping):
        keys = list(variables)
        if all(str(key).isdigit() for key in keys):
            found = [Entry("", variables[key]) for key in sorted(keys, key=int)]
        else:
            found = [Entry(_last(key), variables[key]) for key in keys]
    elif isinstance(variables, list | tuple):
        found = [x if isinstance(x, Entry) else Entry(_last(getattr(x, "path", "")), x) for x in variables]
    else:
        raise TypeError(
            f"the state of a Keras optimizer is the optimizer itself, its variables, or their values in a list or a "
            f"dict; got {describe(variables)}"
        )
    if not found:
        raise ValueError("the optimizer has no variables yet: call optimizer.build(model.trainable_variables) first")
    return [Entry(name, _array(x)) for name, x in found]


def _array(x: Any) -> np.ndarray:
    value = getattr(x, "value", x)
    if not isinstance(value, jax.Array | np.ndarray) and hasattr(x, "numpy"):
        value = x.numpy()  # with Keras on another backend
    return np.asarray(value)


def matched(who: str, entries: list[Entry], layout: Layout, fields: Mapping[str, list[Any]], params: Any) -> Matched:
    """Say which entry is which variable.

    Args:
        who: the function, for errors.
        entries: all of them.
        layout: of the optimizer.
        fields: field of the state here -> its leaves, None among them.
        params: the parameters.

    Raises: ValueError: their number, a name or a shape does not fit.
    """
    blocks = [block for block in (*AROUND.blocks, *layout.blocks) if _present(block, layout, fields)]
    names, leaves = leaf_names(params), flatten(params)[0]
    places = [k for k, leaf in enumerate(leaves) if is_trained(leaf)]
    order, by_name = _order(who, entries, blocks, params, [(names[k], k) for k in places])
    slots = [
        Slot(variable, place, _shape(variable, shape_of(leaves[place])))
        for block in blocks
        for place in order
        for variable in block
        if _is_kept(variable, place, layout, fields)
    ]
    least = 1 + len(slots) + layout.last  # without the rate
    named = entries[1].name if len(entries) > 1 else ""
    has_rate = named == "learning_rate" or len(entries) == least + 1 or (len(entries) > least and not named)
    first = 2 if has_rate else 1
    if len(entries) != least + has_rate:
        of_leaves = dict.fromkeys(slot.variable for slot in slots)
        wanted = ["iteration", *["learning_rate"] * has_rate, *of_leaves, *["a product of momenta"] * layout.last]
        raise ValueError(
            f"{who}: the optimizer of Keras has {len(entries)} variables; tx, with {len(places)} parameters, has "
            f"{least + has_rate}: {', '.join(wanted)}. It must be the same optimizer with its options"
        )
    found = Matched(dict(enumerate(slots, first)), names)
    for k, slot in found.slots.items():
        name, shape = entries[k].name, tuple(entries[k].value.shape)
        ends = f"{_flat(names[slot.place])}_{slot.variable}" if by_name else f"_{slot.variable}"
        if name and slot.variable not in ("row", "column") and not name.endswith(ends):
            raise ValueError(f"{who}: {found.what(k, entries)} should be called ...{ends}: is tx the same optimizer?")
        if shape != slot.shape:
            raise ValueError(
                f"{who}: {found.what(k, entries)} has shape {shape}; it should have {slot.shape}. Is it the same "
                f"optimizer, with all of its variables? Here are {len(entries)}, and tx has {least}, or {least + 1} "
                f"with the learning rate"
            )
    return found


def _present(block: tuple[str, ...], layout: Layout, fields: Mapping[str, list[Any]]) -> bool:
    named = {**AROUND.fields, **layout.fields}
    return any(named[field] in block for field in fields)


def _is_kept(variable: str, place: int, layout: Layout, fields: Mapping[str, list[Any]]) -> bool:
    named = {**AROUND.fields, **layout.fields}
    return layout.every or any(named[k] == variable and leaves[place] is not None for k, leaves in fields.items())


def _shape(variable: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if variable not in ("row", "column"):
        return shape
    return () if len(shape) < 2 else shape[:-1] if variable == "row" else (*shape[:-2], shape[-1])


def _order(
    who: str, entries: list[Entry], blocks: list[tuple[str, ...]], params: Any, leaves: list[tuple[str, int]]
) -> tuple[list[int], bool]:
    """The places of the parameters in Keras' order, and whether this is known by their names."""
    places = [place for _, place in leaves]
    is_list = isinstance(params, list | tuple) and not hasattr(params, "_fields")
    if is_list or not blocks or len(leaves) < 2:
        return places, False
    if not any(entry.name for entry in entries):
        raise ValueError(
            f"{who}: the variables have no names, so the parameters must be a list in the order of "
            f"model.trainable_variables; got {describe(params)}"
        )
    at = {entry.name: k for k, entry in reversed(list(enumerate(entries)))}
    for variable in (variable for block in blocks for variable in block):
        found = {place: at.get(f"{_flat(name)}_{variable}") for name, place in leaves}
        if all(k is not None for k in found.values()):
            return sorted(found, key=lambda place: found[place] or 0), True
    known = [f"{_flat(name)}_{variable}" in at for name, _ in leaves for variable in blocks[0]]
    lacking = leaves[known.index(False) // len(blocks[0])][0]
    raise ValueError(
        f"{who}: no variable is called {_flat(lacking)}_{blocks[0][0]}, for the parameter {lacking}; there is "
        f"{', '.join(entry.name for entry in entries[2:6])}, ... Give the parameters as a dict with variable.path as "
        f"keys, or as a list in the order of model.trainable_variables"
    )


def _flat(path: str) -> str:
    return path.replace("/", "_")


def _last(path: Any) -> str:
    return str(path).rpartition("/")[2]
