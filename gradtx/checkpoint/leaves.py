"""Leaves as they are stored: the description of a leaf, and the plain array that carries its value."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.trees import is_none, path_name

PLAIN = frozenset(
    {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
    | {"bool", "float16", "float32", "float64", "complex64", "complex128"}
)
"""The types of NumPy itself. Every format stores them."""

PYTHON: dict[str, type] = {f"python {kind.__name__}": kind for kind in (bool, int, float, complex)}
"""Python numbers. They are restored as Python numbers."""

_IMPLEMENTATIONS = ("threefry2x32", "rbg", "unsafe_rbg")


class Leaf(NamedTuple):
    """The description of a leaf."""

    type: str  # of its elements: `float32`, `bfloat16`, `key<fry>`, `python int`
    shape: tuple[int, ...]  # of the leaf; an array of random keys is described without the axis of their words
    fields: tuple[int, ...] = ()  # the positions in the path that are fields of a class; their names have a meaning

    def __str__(self) -> str:
        return self.type if self.type in PYTHON else f"{self.type}[{','.join(map(str, self.shape))}]"


def described(what: str, leaf: Any, fields: tuple[int, ...] = ()) -> Leaf:
    """The description of an array, a `ShapeDtypeStruct` or a number.

    Raises:
        TypeError: the leaf is anything else; the message contains `what`.
    """
    if isinstance(leaf, Tracer):
        raise TypeError(f"{what} is a tracer: make checkpoints outside of jit, from the arrays that the step returned")
    for name, kind in PYTHON.items():
        if type(leaf) is kind:
            return Leaf(name, (), fields)
    dtype = getattr(leaf, "dtype", None)
    if dtype is None or not hasattr(leaf, "shape"):
        raise TypeError(
            f"{what} must be an array or a number; got {leaf!r}: store it elsewhere, and put None in its place"
        )
    if not is_key_type(dtype.name) and not _is_number(dtype):
        raise TypeError(f"{what} has the type {dtype}: only numbers, booleans and random keys can be stored")
    return Leaf(dtype.name, tuple(leaf.shape), fields)


def entries(name: str, tree: Any) -> dict[str, tuple[Leaf, Any]]:
    """The leaves of a tree and their descriptions, by key paths that begin with `name`. None is skipped.

    Raises:
        TypeError: a leaf is neither an array nor a number.
        ValueError: two leaves have the same path as text, as in `{"a/b": x, "a": {"b": y}}`.
    """
    found: dict[str, tuple[Leaf, Any]] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_none)[0]:
        if leaf is None:
            continue
        parts = [name] if name else []
        fields: list[int] = []
        for part in path:
            if not isinstance(part, jax.tree_util.DictKey | jax.tree_util.SequenceKey):
                fields.append(len(parts))
            parts.extend(path_name((part,)).split("/"))  # keys of haiku contain slashes
        full = "/".join(parts) or path_name(())
        if full in found:
            raise ValueError(f"there are two leaves at {full}: a key contains a slash; rename one of them")
        found[full] = (described(full, leaf, tuple(fields)), leaf)
    return found


def carried(leaf: Any, plain: frozenset[str] = PLAIN) -> Any:
    """The exact value of a leaf as an array of one of the plain types.

    A JAX array stays on its devices. From a Python number or a NumPy array comes a new NumPy array.

    Raises:
        TypeError: the type cannot be stored, or an integer has more than 64 bits.
    """
    what = described("the leaf", leaf)
    if what.type in PYTHON:
        try:
            return np.asarray(leaf, carrier(what.type))
        except OverflowError:
            raise TypeError(f"{leaf} has more than 64 bits") from None
    if is_key_type(what.type):
        implementation(what.type)
        return jax.random.key_data(leaf)
    array = leaf if isinstance(leaf, jax.Array) else np.array(leaf, np.dtype(what.type))  # in the machine's byte order
    return array if what.type in plain else _recast(array, carrier(what.type, plain), into=True)


def uncarried(array: Any, kind: str, plain: frozenset[str] = PLAIN) -> Any:
    """The inverse of `carried`: the leaf, of type `kind`, from the array that carries it."""
    if kind in PYTHON:
        return PYTHON[kind](np.asarray(array)[()])
    if is_key_type(kind):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=implementation(kind))
    return array if kind in plain else _recast(array, np.dtype(kind), into=False)


def carrier(kind: str, plain: frozenset[str] = PLAIN) -> np.dtype:
    """The plain type that carries values of another: as bits, or, for types below eight bits, as numbers."""
    if kind in plain:
        return np.dtype(kind)
    if kind in PYTHON:
        return np.dtype({bool: np.bool_, int: np.int64, float: np.float64, complex: np.complex128}[PYTHON[kind]])
    if is_key_type(kind):
        return np.dtype(np.uint32)
    dtype = np.dtype(kind)
    if jnp.issubdtype(dtype, jnp.integer):
        return np.dtype(np.int8 if jnp.issubdtype(dtype, jnp.signedinteger) else np.uint8)
    return np.dtype({8: np.uint8, 16: np.uint16}.get(jnp.finfo(dtype).bits, np.float32))


def carried_shape(leaf: Leaf) -> tuple[int, ...]:
    """The shape of the array that carries a leaf."""
    return (*leaf.shape, *_words(leaf.type)) if is_key_type(leaf.type) else leaf.shape


def is_key_type(kind: str) -> bool:
    """Whether this is the name of a type of random keys."""
    return kind.startswith("key<")


@functools.cache
def implementation(kind: str) -> str:
    """The name that `jax.random` has for a type of keys: `threefry2x32` for `key<fry>`.

    Raises:
        TypeError: the implementation of these keys is not part of JAX.
    """
    for name in _IMPLEMENTATIONS:
        if jax.eval_shape(lambda name=name: jax.random.key(0, impl=name)).dtype.name == kind:
            return name
    raise TypeError(f"{kind} is not a type of keys that is part of JAX: store jax.random.key_data(key) in its place")


@functools.cache
def _words(kind: str) -> tuple[int, ...]:
    return jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0, impl=implementation(kind)))).shape


def is_type(kind: str) -> bool:
    """Whether this is the name of a type that a leaf may have."""
    if kind in PYTHON or kind in PLAIN:
        return True
    if is_key_type(kind):
        return kind.endswith(">")
    try:
        return _is_number(np.dtype(kind))
    except TypeError:
        return False


def _recast(array: Any, dtype: np.dtype, *, into: bool) -> Any:
    """Converts to another type: bit for bit if both have the same size, else by value, exact in the wider type."""
    narrow = array.dtype if into else dtype
    if jnp.issubdtype(narrow, jnp.integer) or jnp.finfo(narrow).bits < 8:
        return array.astype(dtype)
    if isinstance(array, jax.Array):
        return jax.lax.bitcast_convert_type(array, dtype)
    return np.ascontiguousarray(array).reshape(array.shape).view(dtype)


def _is_number(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_)
