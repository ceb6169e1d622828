"""What JAX traces of a transformation, as functions of JavaScript: `init`, `update`, and the amplification map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from gradtx.apps.studio.javascript import function, members, written
from gradtx.catalog import ENTRIES
from gradtx.core.double import double_precision
from gradtx.core.roles import declared_roles
from gradtx.optimizers.rmsprop import scale_by_rms

POINT = (2,)  # w1 and w2
UNNAMED = "@"  # the name of a function that has none yet


class Field(NamedTuple):
    """A leaf of a state.

    name: on the page. shape: `POINT`, or (). role: as its class declares it, or "". about: as in the catalog, or "".
    """

    name: str
    shape: tuple[int, ...]
    role: str
    about: str


class Programs(NamedTuple):
    """`init(w, h)` and `update(g, s, w, h)` as functions without a name, and the leaves of the state, in order."""

    init: str
    update: str
    fields: tuple[Field, ...]


def programs(make: Callable[..., Any], hyperparameters: Sequence[str]) -> Programs:
    """Trace a transformation in double precision, with its hyperparameters as arguments, and write what JAX saw.

    Args:
        make: the transformation from hyperparameters by name.
        hyperparameters: their names.

    Raises:
        NotTranslatedError: where it does what cannot be written so.
    """

    def init(w: Any, h: dict[str, Any]) -> Any:
        return make(**h).init(w)

    def update(g: Any, s: Any, w: Any, h: dict[str, Any]) -> Any:
        return make(**h).update(g, s, w)

    with double_precision():
        w, h = jax.ShapeDtypeStruct(POINT, np.float64), dict.fromkeys(hyperparameters, _NUMBER)
        of_init, s = jax.make_jaxpr(init, return_shape=True)(w, h)
        of_update = jax.make_jaxpr(update)(w, s, w, h)
    fields = tuple(_fields(s))
    point, numbers = members("w", POINT), [members(f"h.{key}", ()) for key in sorted(h)]  # as a dict has its leaves
    state = [members(f"s.{field.name}", field.shape) for field in fields]
    return Programs(
        function(UNNAMED, "w, h", of_init, [point, *numbers], lambda out: _object(fields, out)),
        function(
            UNNAMED,
            "g, s, w, h",
            of_update,
            [members("g", POINT), *state, point, *numbers],
            lambda out: f"{{ u: {written(out[0])}, s: {_object(fields, out[1:])} }}",
        ),
        fields,
    )


def amplification() -> str:
    """`|u| - |g2|` of g1, g2, rho and eps, as a function without a name: u is `scale_by_rms`'s second update."""

    def difference(g1: Any, g2: Any, rho: Any, eps: Any) -> Any:
        tx = scale_by_rms(rho, eps)
        _, state = tx.update(g1, tx.init(g1), g1)
        update, _ = tx.update(g2, state, g1)
        return abs(update) - abs(g2)

    names = ("g1", "g2", "rho", "eps")
    with double_precision():
        program = jax.make_jaxpr(difference)(*[_NUMBER] * len(names))
    inputs = [members(name, ()) for name in names]
    return function(UNNAMED, ", ".join(names), program, inputs, lambda out: written(out[0]))


def _fields(state: Any) -> Iterable[Field]:
    """The leaves of a state, in order, by the names of their fields; with their place where two have one name."""
    kinds = _kinds(state)
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    paths = [tuple(str(getattr(key, "name", getattr(key, "key", key))) for key in path) for path, _ in leaves]
    fields = [path[-1] for path in paths]
    for path, field, (_, leaf) in zip(paths, fields, leaves, strict=True):
        kind = kinds[path[:-1]]
        name = field if fields.count(field) == 1 else "_".join(path)
        entry = ENTRIES.get(path[0])  # the state of a chain has the names of its members
        about = entry.fields.get(field, "") if entry else ""
        yield Field(name, tuple(leaf.shape), declared_roles(kind).get(field, ""), about)


def _kinds(state: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], type]:
    """The classes of the states in a state, by their place."""
    inside = state if isinstance(state, Mapping) else getattr(state, "_asdict", dict)()
    found = {path: type(state)}
    for key, value in inside.items():
        found.update(_kinds(value, (*path, str(key))))
    return found


def _object(fields: Iterable[Field], out: Iterable[np.ndarray]) -> str:
    entries = [f"{field.name}: {written(atoms)}" for field, atoms in zip(fields, out, strict=True)]
    return f"{{ {', '.join(entries)} }}" if entries else "{}"


_NUMBER = jax.ShapeDtypeStruct((), np.float64)
