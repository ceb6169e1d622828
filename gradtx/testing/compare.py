"""Comparing trees, in sentences: each function raises `BrokenError` and names the first leaf where they differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import flatten, is_none, leaf_names


class BrokenError(AssertionError):
    """A law does not hold; the message is a sentence that says where."""


class SkippedError(Exception):
    """A law does not apply, or cannot be tried here; the message says why."""


def same_structure(what: str, tree: Any, expected: Any) -> None:
    """Raise unless the trees have the same containers and leaves at the same places."""
    if jax.tree.structure(tree) == jax.tree.structure(expected):
        return
    names, wanted = leaf_names(tree), leaf_names(expected)
    for name in wanted:
        if name not in names:
            raise BrokenError(f"{what} has nothing at {name}, where a leaf was expected")
    for name in names:
        if name not in wanted:
            raise BrokenError(f"{what} has a leaf at {name}, where none was expected")
    raise BrokenError(f"{what} is {_containers(tree)}; {_containers(expected)} was expected")


def same_types(what: str, tree: Any, expected: Any, *, weak: bool = True) -> None:
    """Raise unless the leaves have the same shapes, types and, with `weak`, weak types."""
    same_structure(what, tree, expected)
    for name, leaf, want in _rows(tree, expected):
        came, wanted = type_of(leaf, weak=weak), type_of(want, weak=weak)
        if came != wanted:
            raise BrokenError(f"{what} at {name} is {came}; {wanted} was expected")


def same_bits(what: str, tree: Any, expected: Any) -> None:
    """Raise unless the leaves have the same types and bits."""
    same_types(what, tree, expected, weak=False)
    for name, leaf, want in _rows(tree, expected):
        a, b = _host(leaf), _host(want)
        if a.tobytes() != b.tobytes():
            raise BrokenError(f"{what} at {name} is {_example(a, b)} was expected, to the bit")


def same_results(what: str, one: Callable, other: Callable, *given: Any) -> None:
    """Raise unless both functions make the same of what is given, to the bit. They are run only if they are traced to
    different programs: operations that have not run yet are slow to compile."""
    programs = [jax.make_jaxpr(function)(*given) for function in (one, other)]
    texts = [re.sub("0x[0-9a-f]+", "", str(program.jaxpr)) for program in programs]
    constants = [[_host(x).tobytes() for x in program.consts] for program in programs]
    if texts[0] != texts[1] or constants[0] != constants[1]:
        same_bits(what, one(*given), other(*given))


def near(what: str, tree: Any, expected: Any, *, ulps: float = 64.0) -> None:
    """Raise unless the leaves agree to some units in the last place of their largest entry."""
    same_types(what, tree, expected, weak=False)
    for name, leaf, want in _rows(tree, expected):
        a, b = _host(leaf), _host(want)
        if a.size == 0 or not jnp.issubdtype(a.dtype, jnp.inexact):
            if not np.array_equal(a, b):
                raise BrokenError(f"{what} at {name} is {_example(a, b)} was expected")
            continue
        unit = float(jnp.finfo(a.dtype).eps) * np.max(np.abs(_wide(b)))
        with np.errstate(invalid="ignore"):  # of equal infinities there is no difference
            off = np.abs(_wide(a) - _wide(b))
        far = (_wide(a) != _wide(b)) & ~(off <= ulps * unit + float(jnp.finfo(a.dtype).tiny))
        if np.any(far):
            raise BrokenError(f"{what} at {name} is {_example(a, b, far)} was expected")


def all_finite(what: str, tree: Any) -> None:
    """Raise where a leaf has NaN or an infinity."""
    for name, leaf in named(tree):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            continue
        bad = ~np.isfinite(_wide(_host(leaf)))
        if bad.any():
            raise BrokenError(f"{what} at {name} is {_host(leaf)[bad].flat[0]}; a finite number was expected")


def type_of(leaf: Any, *, weak: bool = True) -> str:
    """A leaf's type and shape in a few letters: `float32[3,2]`, `float32[] (weak)`."""
    if leaf is None:
        return "None"
    if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
        leaf = jnp.asarray(leaf)
    mark = " (weak)" if weak and getattr(leaf, "weak_type", False) else ""
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]{mark}"


def is_key(leaf: Any) -> bool:
    """Whether this is an array of typed random keys, which NumPy does not know."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def error_of(call: Any) -> Exception | None:
    """What the call raises, or None."""
    try:
        call()
    except Exception as error:
        return error
    return None


def first_line(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def named(tree: Any) -> list[tuple[str, Any]]:
    """The leaves that are not None, with their names."""
    return [(name, x) for name, x in zip(leaf_names(tree), flatten(tree)[0], strict=True) if x is not None]


def stacked(trees: Iterable[Any]) -> Any:
    """Several trees as one, whose leaves have a first axis for them; made by NumPy, which compiles nothing.

    In a history, which has an axis for time, a small entry is judged by its past.
    """
    return jax.tree.map(lambda *x: jnp.stack(x) if is_key(x[0]) else np.stack([np.asarray(y) for y in x]), *trees)


def of_batch(tree: Any, k: int) -> Any:
    """The k-th of the trees in a batch."""
    return jax.tree.map(lambda x: x[k] if is_key(x) else np.asarray(x)[k], tree)


def _rows(tree: Any, expected: Any) -> list[tuple[str, Any, Any]]:
    return [
        row for row in zip(leaf_names(tree), flatten(tree)[0], flatten(expected)[0], strict=True) if row[2] is not None
    ]


def _host(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def _wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.complex128 if jnp.issubdtype(x.dtype, jnp.complexfloating) else np.float64)


def _example(a: np.ndarray, b: np.ndarray, differ: Any = None) -> str:
    """The first entries that differ, or of those that are marked, as `1.0 where 2.0`."""
    if differ is None:
        differ = (a != b) & ~((a != a) & (b != b))
    k = int(np.argmax(differ))
    return f"{a.reshape(-1)[k]}, where {b.reshape(-1)[k]}"


def _containers(tree: Any) -> str:
    return str(jax.tree.structure(tree, is_leaf=is_none)).removeprefix("PyTreeDef")
