"""Leaf functions of neighboring members of a chain, joined into one call for each leaf.

JAX takes a tenth of a millisecond to trace and lower a call. So under a trace a chain gives its members deferred
leaves: `map_leaves` notes what is to be done with each of them, and the chain does it all in one call at the end, or
before a member that must see arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import Tracer

from gradtx.core.trees import is_trained
from gradtx.errors import unbatched


class Deferred:
    """An array that is not computed yet, with its `shape` and `dtype`. `jnp.asarray` computes it."""

    __slots__ = ("aval", "dtype", "line", "place", "shape")

    def __init__(self, line: Line, place: int, aval: Any):
        self.line, self.place, self.aval = line, place, aval
        self.shape, self.dtype = aval.shape, aval.dtype

    def then(self, fn: Callable[..., tuple], row: Sequence[Any], avals: Sequence[Any]) -> tuple:
        """The results of `fn(*row)`, deferred, for a row with this leaf in it; None where the aval is None."""
        line = Line(self.line.shared) if self.line.is_done else self.line
        return line.call(fn, row, avals)

    def __jax_array__(self) -> jax.Array:
        return self.line.value(self.place)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name if name.startswith("__") else self._refusal(name))

    def _refuse(self, *_: Any) -> Any:
        raise TypeError(self._refusal("arithmetic"))

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = _refuse
    __neg__ = __abs__ = __getitem__ = __lt__ = __gt__ = __le__ = __ge__ = __bool__ = __float__ = _refuse

    def _refusal(self, what: str) -> str:
        return (
            f"{self.line.shared.member}: it declares leafwise, and uses a leaf of its updates outside of map_leaves "
            f"({what}); do that in map_leaves, or on jnp.asarray(leaf), or declare leafwise=False"
        )


class Shared:
    """What all leaves of a chain share: the programs, and the name of the member that is running."""

    def __init__(self) -> None:
        self.programs: dict[Any, Callable] = {}
        self.member = ""


class Line:
    """What is to be done with one leaf: calls in order. They number the arrays that they take and return.

    calls: the name of a member, its function, the numbers of its arguments, and how many arrays it returns. For an
    array from outside the function is None. given: these arrays. known: number -> array.
    """

    __slots__ = ("calls", "count", "given", "is_done", "known", "numbers", "shared")

    def __init__(self, shared: Shared):
        self.shared = shared
        self.calls: list[tuple] = []
        self.given: list[Any] = []
        self.known: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}
        self.count, self.is_done = 0, False

    def take(self, x: Any) -> int:
        """The number of an argument."""
        if type(x) is Deferred:
            if x.line is self:
                return x.place
            x = x.__jax_array__()
        if id(x) not in self.numbers:
            self.numbers[id(x)] = number = self._number("", None, (), 1)
            self.known[number] = x
            self.given.append(x)
        return self.numbers[id(x)]

    def call(self, fn: Callable[..., tuple], row: Sequence[Any], avals: Sequence[Any]) -> tuple:
        """Note a call; its results are deferred."""
        numbers = tuple([None if x is None else self.take(x) for x in row])
        first = self._number(self.shared.member, fn, numbers, len(avals))
        return tuple([None if aval is None else Deferred(self, first + k, aval) for k, aval in enumerate(avals)])

    def value(self, place: int) -> Any:
        """One of the arrays. All that are not known are computed, since others may be asked for later."""
        if place not in self.known:
            self.run([k for k in range(self.count) if k not in self.known])
        return self.known[place]

    def run(self, places: Sequence[int]) -> None:
        """Compute these of the arrays, with the program of all leaves that have the same calls."""
        key = tuple(self.calls), tuple(places)
        program = self.shared.programs.get(key)
        if program is None:
            program = self.shared.programs[key] = called(_joint(*key), self.given)
        self.known.update(zip(places, program(*self.given), strict=True))
        self.is_done = True

    def _number(self, *call: Any) -> int:
        self.calls.append(call)
        self.count += call[-1]
        return self.count - call[-1]


def called(function: Callable[..., tuple], given: Sequence[Any]) -> Callable[..., tuple]:
    """A function under jit, traced once for each shape.

    Lowering a call costs about seven operations, so short ones are inlined.
    """
    program = jax.jit(function)
    short = len(program.trace(*given).jaxpr.eqns) <= 6
    return jax.jit(function, inline=True) if short else program  # JAX traces once for both


def noted(on_leaf: Callable[..., tuple], like: Sequence[Any], result: tuple) -> Callable[..., tuple]:
    """A function of leaves, for deferred ones: it notes the call. Another mix of dtypes than that of `like` is traced.

    like: the avals of one row. result: what the function makes of them.
    """

    def dtypes_of(avals: Sequence[Any]) -> tuple:
        return tuple([None if x is None else x.dtype for x in avals])

    made = {dtypes_of(like): result}

    def note(*row: Any) -> tuple:
        avals = [aval_of(x) for x in row]
        dtypes = dtypes_of(avals)
        if dtypes not in made:
            made[dtypes] = jax.eval_shape(on_leaf, *avals)
        update, *others = made[dtypes]
        first = avals[0].update(dtype=update.dtype, weak_type=False)
        return row[0].then(on_leaf, row, [first, *avals[1 : 1 + len(others)]])

    return note


def aval_of(x: Any) -> Any:
    """The shape, dtype and sharding of a leaf as JAX has it; None for None."""
    return None if x is None else x.aval if isinstance(x, Deferred) else jax.typeof(x)


def _joint(calls: tuple, places: tuple) -> Callable[..., tuple]:
    """The calls after one another, as a function of the arrays from outside."""

    def leaf(*given: Any) -> tuple:
        left, values = iter(given), []
        for member, fn, numbers, _ in calls:
            if fn is None:
                values.append(next(left))
                continue
            with jax.named_scope(member):
                values += fn(*[None if k is None else values[k] for k in numbers])
        return tuple([values[k] for k in places])

    return leaf


def is_staged(x: Any) -> bool:
    """Whether x is traced into a program, as under jit.

    A concrete array inside an eager vmap or grad is not: a closure that is new in every call would be compiled there in
    every call.
    """
    return isinstance(unbatched(x), Tracer)


def deferred(updates: Any, shared: Shared) -> Any:
    """The updates with deferred leaves."""
    leaves, structure = jax.tree.flatten(updates)
    return jax.tree.unflatten(structure, [_deferred(x, shared) if is_trained(x) else x for x in leaves])


def _deferred(x: Any, shared: Shared) -> Deferred:
    if isinstance(x, Deferred):
        return x
    line = Line(shared)
    return Deferred(line, line.take(x), aval_of(x))


def settled(tree: Any) -> Any:
    """The tree with arrays in place of all deferred leaves."""
    leaves, structure = jax.tree.flatten(tree)
    wanted: dict[Line, dict[int, None]] = {}
    for x in leaves:
        if type(x) is Deferred and x.place not in x.line.known:
            wanted.setdefault(x.line, {})[x.place] = None
    for line, places in wanted.items():
        line.run([*places])
    return jax.tree.unflatten(structure, [x.line.known[x.place] if type(x) is Deferred else x for x in leaves])
