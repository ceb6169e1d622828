"""Transformations as JavaScript functions: `init`, `update`, and the amplification map, from what JAX traces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import gradtx
from gradtx.apps.studio.javascript import function, members, written
from gradtx.catalog import ENTRIES, Entry
from gradtx.double_precision import double_precision
from gradtx.roles import declared_roles

POINT = (2,)  # w1 and w2
UNNAMED = "@"  # the name of a function that has none yet


class Field(NamedTuple):
    """A leaf of a state."""

    name: str  # on the page
    shape: tuple[int, ...]  # `POINT` or ()
    scaling: bool  # whether steps are divided or multiplied by it
    about: str  # what the catalog says of it; "" if it does not know the piece

    def described(self) -> dict[str, Any]:
        """The field as the page's JavaScript has it."""
        return {
            "name": self.name,
            "like": "params" if self.shape else "scalar",
            "scaling": self.scaling,
            "about": self.about,
        }


class Programs(NamedTuple):
    """The functions `init(w, h)` and `update(g, s, w, f, h)`, without a name, and the leaves of the state, in order."""

    init: str
    update: str
    fields: tuple[Field, ...]


def programs(make: Callable[..., Any], hyperparameters: Sequence[str]) -> Programs:
    """Trace a transformation in double precision, with its hyperparameters as arguments, and translate the program.

    Args:
        make: makes the transformation from hyperparameters by name.
        hyperparameters: their names.

    Raises:
        NotTranslatedError: the program uses something that has no translation.
    """

    def init(w: Any, h: dict[str, Any]) -> Any:
        return make(**h).init(w)

    def update(g: Any, s: Any, w: Any, f: Any, h: dict[str, Any]) -> Any:
        return make(**h).update(g, s, w, value=f)

    with double_precision():
        w, h = jax.ShapeDtypeStruct(POINT, np.float64), dict.fromkeys(hyperparameters, _NUMBER)
        of_init, s = jax.make_jaxpr(init, return_shape=True)(w, h)
        of_update = jax.make_jaxpr(update)(w, s, w, _NUMBER, h)
    fields = tuple(described(s))
    point, numbers = members("w", POINT), [members(f"h.{key}", ()) for key in sorted(h)]  # JAX sorts the keys of a dict
    state = [members(f"s.{field.name}", field.shape) for field in fields]
    return Programs(
        function(UNNAMED, "w, h", of_init, [point, *numbers], lambda out: _object(fields, out)),
        function(
            UNNAMED,
            "g, s, w, f, h",
            of_update,
            [members("g", POINT), *state, point, members("f", ()), *numbers],
            lambda out: f"{{ u: {written(out[0])}, s: {_object(fields, out[1:])} }}",
        ),
        fields,
    )


def amplification() -> str:
    """`|u| - |g2|` as a function of g1, g2, rho and eps, without a name: u is the second update of `scale_by_rms`."""

    def difference(g1: Any, g2: Any, rho: Any, eps: Any) -> Any:
        tx = gradtx.scale_by_rms(rho, eps)
        _, state = tx.update(g1, tx.init(g1), g1)
        update, _ = tx.update(g2, state, g1)
        return abs(update) - abs(g2)

    names = ("g1", "g2", "rho", "eps")
    with double_precision():
        program = jax.make_jaxpr(difference)(*[_NUMBER] * len(names))
    inputs = [members(name, ()) for name in names]
    return function(UNNAMED, ", ".join(names), program, inputs, lambda out: written(out[0]))


def described(state: Any) -> Iterable[Field]:
    """The leaves of a state, in order, by the names of their fields, or by their paths if two fields have one name."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    paths = [tuple(str(_step(key)) for key in path) for path, _ in leaves]
    names = [path[-1] if path[-1].isidentifier() else "_".join(path[-2:]) for path in paths]  # one of a tuple
    for path, name, (keys, leaf) in zip(paths, names, leaves, strict=True):
        inside, roles = state, []
        for key, field in zip(keys, path, strict=True):
            roles.append(declared_roles(type(inside)).get(field))
            inside = getattr(inside, key.name) if hasattr(key, "name") else inside[_step(key)]
        # The keys of a chain's state are the names of its members.
        owners = [entry for key in path if (entry := ENTRIES.get(re.sub(r"_\d+$", "", key)))]
        factors = [field for entry in owners for field in entry.factors]
        yield Field(
            name=name if names.count(name) == 1 else "_".join(path),
            shape=tuple(leaf.shape),
            scaling=not {"nonnegative", "magnitude"}.isdisjoint(roles) or path[-1] in factors,
            about=_about(path, owners),
        )


def _step(key: Any) -> Any:
    """What a key of a path is: the name of a field, the key of a dict, the place in a tuple."""
    return next(getattr(key, kind) for kind in ("name", "key", "idx") if hasattr(key, kind))


def _about(path: tuple[str, ...], owners: list[Entry]) -> str:
    """What the catalog says of the innermost field that it knows, in an owner or else in any state."""
    for field in reversed(path):
        for entry in (*reversed(owners), *ENTRIES.values()):
            if field in entry.fields:
                return entry.fields[field]
    return ""


def _object(fields: Iterable[Field], out: Iterable[np.ndarray]) -> str:
    entries = [f"{field.name}: {written(atoms)}" for field, atoms in zip(fields, out, strict=True)]
    return f"{{ {', '.join(entries)} }}" if entries else "{}"


_NUMBER = jax.ShapeDtypeStruct((), np.float64)
