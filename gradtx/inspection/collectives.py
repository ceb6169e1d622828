"""Which collectives a program needs on a mesh, from the types of its arrays: nothing is compiled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

_MANUAL = {
    "psum": "all-reduce",
    "psum_invariant": "all-reduce",
    "pmax": "all-reduce",
    "pmin": "all-reduce",
    "all_gather": "all-gather",
    "all_gather_invariant": "all-gather",
    "all_to_all": "all-to-all",
    "ppermute": "collective-permute",
    "reduce_scatter": "reduce-scatter",
}
_REDUCTIONS = {f"reduce_{what}" for what in ("sum", "max", "min", "prod", "and", "or", "xor")}
_REDUCTIONS |= {"reduce", "argmax", "argmin"}
_SAME_NUMBERS = {"convert_element_type", "squeeze", "reshape", "copy", "optimization_barrier"}


class Collective(NamedTuple):
    """Collectives of one kind in a program.

    kind: "all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute". axes: of the mesh. count: of
    them. bytes: of their results on one device, together.
    """

    kind: str
    axes: tuple[str, ...]
    count: int
    bytes: int


def collectives(function: Callable[..., Any], *args: Any) -> tuple[tuple[Collective, ...], bool]:
    """The collectives of a function of arrays that are split over an Explicit mesh, and whether these are all.

    They are not known where XLA chooses how the arrays are split, as for decompositions.

    A reduction along a split axis is an all-reduce; those that are only added up are one for each set of axes. What a
    loop does counts for each round, or once if their number is not known. What a branch does counts.

    Args:
        function: of trees.
        *args: trees of `jax.ShapeDtypeStruct`s, which have shardings on the mesh.

    Raises: whatever the function raises, or JAX where a type does not say how a result is split.
    """
    walk = _Walk()
    program = jax.jit(function).trace(*args).jaxpr
    walk.settle(walk.run(program.jaxpr, [None] * len(program.jaxpr.invars), 1))
    return walk.found(), walk.sees_all


def on_explicit(mesh: Any, x: Any, spec: PartitionSpec) -> jax.ShapeDtypeStruct:
    """A shape and dtype, split over the axes of a mesh; all axes are Explicit."""
    types = (AxisType.Explicit,) * len(mesh.axis_names)
    mesh = AbstractMesh(tuple(mesh.shape.values()), mesh.axis_names, axis_types=types)
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, spec))


class _Partial:
    """A number that devices know in parts, which they have to add up: over these sets of axes, this many bytes."""

    def __init__(self, axes: Iterable[tuple[str, ...]], size: int, rounds: int):
        self.axes, self.size, self.rounds, self.settled = frozenset(axes), size, rounds, False


class _Walk:
    """Collects collectives; the values that a program computes are None, or a `_Partial`."""

    def __init__(self):
        self._seen: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        self.sees_all = True

    def found(self) -> tuple[Collective, ...]:
        return tuple(Collective(kind, axes, *numbers) for (kind, axes), numbers in sorted(self._seen.items()))

    def add(self, kind: str, axes: Sequence[str], size: int, rounds: int) -> None:
        numbers = self._seen.setdefault((kind, tuple(axes)), [0, 0])
        numbers[0] += rounds
        numbers[1] += size * rounds

    def settle(self, values: Sequence[_Partial | None]) -> None:
        """These values are used: add them up, each once."""
        for value in values:
            if value is not None and not value.settled:
                value.settled = True
                for axes in value.axes:
                    self.add("all-reduce", axes, value.size, value.rounds)

    def run(self, jaxpr: Any, values: Sequence[_Partial | None], rounds: int) -> list[_Partial | None]:
        """The values of the results of a program, from those of its arguments."""
        known = dict(zip(jaxpr.invars, values, strict=True))

        def value(variable: Any) -> _Partial | None:
            return None if hasattr(variable, "val") else known.get(variable)

        for eqn in jaxpr.eqns:
            given = [value(v) for v in eqn.invars]
            known.update(zip(eqn.outvars, self._results(eqn, given, rounds), strict=True))
        return [value(v) for v in jaxpr.outvars]

    def _results(self, eqn: Any, given: list, rounds: int) -> list[_Partial | None]:
        name = eqn.primitive.name
        if name in _SAME_NUMBERS:
            return given
        if name in ("add", "reduce_sum") and any(x is not None and not x.settled for x in given):
            axes = {axes for x in given if x is not None and not x.settled for axes in x.axes}
            if name == "reduce_sum" and (further := _names(eqn.invars[0], eqn.params["axes"])):
                axes = {tuple(sorted({*one, *further})) for one in axes}
            return [_Partial(axes, _bytes(eqn.outvars[0]), rounds)]
        inside = [getattr(x, "jaxpr", x) for x in _programs(eqn.params)]
        if len(inside) == 1 and len(inside[0].invars) == len(given) and name not in ("scan", "while", "shard_map"):
            return self.run(inside[0], given, rounds)
        self.settle(given)
        for program in inside:
            times = rounds * eqn.params["length"] if name == "scan" else rounds
            self.settle(self.run(program, [None] * len(program.invars), times))
        if name in _MANUAL:
            axes = eqn.params["axes"] if "axes" in eqn.params else eqn.params["axis_name"]
            axes = axes if isinstance(axes, tuple) else (axes,)
            self.add(_MANUAL[name], axes, sum(map(_bytes, eqn.outvars)), rounds)
        elif name in _REDUCTIONS:
            dimensions = eqn.params["axes"] if "axes" in eqn.params else eqn.params["dimensions"]
            return self._reduced(eqn, _names(eqn.invars[0], dimensions), rounds)
        elif name == "dot_general":
            return self._reduced(eqn, _names(eqn.invars[0], eqn.params["dimension_numbers"][0][0]), rounds)
        elif name == "reshard":
            self._moved(eqn.invars[0], eqn.outvars[0], rounds)
        return [None] * len(eqn.outvars)

    def _moved(self, source: Any, target: Any, rounds: int) -> None:
        before, after = (dict(_places(v)) for v in (source, target))
        if AxisType.Auto in target.aval.sharding.mesh.axis_types:
            self.sees_all = self.sees_all and not before
            return
        gone = [axis for axis in before if axis not in after]
        moved = [axis for axis in before if axis in after and before[axis] != after[axis]]
        for kind, axes in (("all-gather", gone), ("all-to-all", moved)):
            if axes:
                self.add(kind, axes, _bytes(target), rounds)

    def _reduced(self, eqn: Any, axes: tuple[str, ...], rounds: int) -> list[_Partial | None]:
        return [_Partial([axes], _bytes(v), rounds) if axes else None for v in eqn.outvars]


def _programs(params: dict[str, Any]) -> list[Any]:
    """The programs inside an operation: the body of a loop, branches."""
    values = [x for value in params.values() for x in (value if isinstance(value, tuple | list) else (value,))]
    return [x for x in values if hasattr(getattr(x, "jaxpr", x), "eqns")]


def _entries(variable: Any) -> list[tuple[str, ...]]:
    """For each dimension the mesh axes that split it."""
    spec = getattr(getattr(variable.aval, "sharding", None), "spec", ())
    entries = [() if entry is None else entry if isinstance(entry, tuple) else (entry,) for entry in spec]
    return [*entries, *[()] * (variable.aval.ndim - len(entries))]


def _names(variable: Any, dimensions: Any) -> tuple[str, ...]:
    """The mesh axes that split these dimensions."""
    entries = _entries(variable)
    return tuple(sorted(axis for k in dimensions for axis in entries[k]))


def _places(variable: Any) -> list[tuple[str, int]]:
    """Each mesh axis that splits an array, with the dimension that it splits."""
    return [(axis, k) for k, entry in enumerate(_entries(variable)) for axis in entry]


def _bytes(variable: Any) -> int:
    """Of an array, on one device."""
    sharding, shape = getattr(variable.aval, "sharding", None), variable.aval.shape
    mesh = getattr(sharding, "mesh", None)
    split = math.prod(mesh.shape[axis] for axis in _names(variable, range(len(shape)))) if mesh is not None else 1
    return math.prod(shape) * variable.aval.dtype.itemsize // max(split, 1)
