"""The fields of a state, of gradtx or of another library, in order; and how a field of one fits into another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.trees import flatten, leaf_names

_ALONE = leaf_names(0)[0]  # the name of a leaf that is the whole tree
HYPERPARAMETERS = ("hyperparameters", "hyperparams")


class Field(NamedTuple):
    """One field of a state.

    node: the number of the NamedTuple that holds it. place: where that is. kind: the name of its type. name: of the
    field; of a hyperparameter in a state, `hyperparameters/learning_rate`. value: an array, or a tree of them.
    """

    node: int
    place: tuple[str, ...]
    kind: str
    name: str
    value: Any

    @property
    def path(self) -> str:
        """The path of the field, for errors."""
        return "/".join((*self.place, self.name)) or "the state"


class FieldReader:
    """Reads the fields of a state in order: those of a NamedTuple itself first, then those of the states in it.

    params: a tree like it, some leaves of which may be left out, is one field. rank: the place of a label among others
    in a dict of states. inline: fields whose states belong to the NamedTuple that holds them.
    """

    def __init__(self, params: Any, rank: Callable[[str], Any] | None = None, inline: Iterable[str] = ()):
        self._structure = flatten(params)[1]
        self._kinds: set[type] = set()  # of the containers of the parameters
        jax.tree.leaves(params, is_leaf=lambda x: bool(self._kinds.add(type(x))))
        self._rank: Any = rank
        self._inline = frozenset(inline)

    def fields(self, state: Any) -> list[Field]:
        """Every field of a state."""
        found: list[Field] = []
        nodes = iter(range(1 << 30))

        def keep(node: int, place: tuple, kind: str, name: str, value: Any) -> Any:
            found.append(Field(node, place, kind, name, value))
            return value

        self._mapped(state, keep, (), nodes)
        return found

    def rebuilt(self, state: Any, values: Iterable[Any]) -> Any:
        """The state with other values in its fields, in the order of `fields`."""
        rest = iter(values)
        return self._mapped(state, lambda *_: next(rest), (), iter(range(1 << 30)))

    def _mapped(self, state: Any, fn: Callable, place: tuple, nodes: Iterator[int]) -> Any:
        if _is_named(state):
            node, kind, new = next(nodes), type(state).__name__, {}
            self._own(state, fn, place, (node, kind), new)
            for name, value in zip(state._fields, state, strict=True):
                if name not in new:
                    new[name] = self._mapped(value, fn, (*place, name), nodes)
            return state._replace(**new)
        if isinstance(state, dict):
            keys = list(state) if self._rank is None else sorted(state, key=lambda key: self._rank(str(key)))
            done = {key: self._mapped(state[key], fn, (*place, str(key)), nodes) for key in keys}
            return type(state)((key, done[key]) for key in state)
        if isinstance(state, tuple | list):
            return type(state)(self._mapped(x, fn, (*place, str(k)), nodes) for k, x in enumerate(state))
        *above, name = place or ("",)
        return fn(next(nodes), tuple(above), "", name, state)

    def _own(self, state: Any, fn: Callable, place: tuple, node: tuple[int, str], new: dict[str, Any]) -> None:
        """Put the new values of the fields of a NamedTuple that are no states into `new`."""
        for name, value in zip(state._fields, state, strict=True):
            if name in HYPERPARAMETERS and isinstance(value, dict):
                held = {k: fn(node[0], place, node[1], f"hyperparameters/{k}", value[k]) for k in sorted(value)}
                new[name] = {k: held[k] for k in value}
            elif name in self._inline and _is_named(value):
                inside: dict[str, Any] = {}
                self._own(value, fn, place, node, inside)
                new[name] = value._replace(**inside)
            elif not self._holds_states(value):
                new[name] = fn(node[0], place, node[1], name, value)

    def _holds_states(self, value: Any) -> bool:
        if _is_named(value):
            return type(value) not in self._kinds
        if not isinstance(value, tuple | list | dict) or self._is_like_params(value):
            return False
        return all(map(self._holds_states, value.values() if isinstance(value, dict) else value))

    def _is_like_params(self, value: Any) -> bool:
        return flatten(without_marks(value))[1] == self._structure


def _is_named(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields") and not _is_mark(value)


def _is_mark(value: Any) -> bool:
    """Whether this is what optax puts in place of a leaf that a transformation does not see."""
    return type(value).__name__ == "MaskedNode"


def without_marks(tree: Any) -> Any:
    """A tree of optax with None where a leaf is not seen."""
    return jax.tree.map(lambda x: None if _is_mark(x) else x, tree, is_leaf=_is_mark)


def into(what: str, value: Any, like: Any) -> Any:
    """A value of another library in the form that gradtx's state has: copies, in a type that is as wide or wider.

    Raises:
        ValueError: the trees, the shapes or the types do not fit; `what` says which field it is.
    """

    def leaf(name: str, x: Any, y: Any) -> jax.Array:
        if _is_key(y):
            return _as_key(x, y)
        x = jax.random.key_data(x) if _is_key(x) else x if hasattr(x, "dtype") else jnp.asarray(x)
        _require_shape(what, name, x, y)
        if _kind(x) != _kind(y) or not (_kind(x) == "integer" or jnp.promote_types(x.dtype, y.dtype) == y.dtype):
            raise ValueError(
                f"{what}{name} is {x.dtype}, and {y.dtype} here, which would lose digits: give "
                f"parameters of that width, or convert the state first"
            )
        return jnp.array(x, y.dtype)

    return _marked(_leaf_by_leaf(what, without_marks(value), without_marks(like), leaf), like)


def out_of(what: str, value: Any, like: Any) -> Any:
    """gradtx's value in the form, and rounded to the types, that the other state has.

    Raises: ValueError: the trees or the shapes do not fit.
    """

    def leaf(name: str, x: Any, y: Any) -> jax.Array:
        if _is_key(y):
            return _as_key(x, y)
        x = jax.random.key_data(x) if _is_key(x) else x
        _require_shape(what, name, x, y)
        return jnp.array(x, jnp.asarray(y).dtype)

    return _marked(_leaf_by_leaf(what, without_marks(value), without_marks(like), leaf), like)


def _marked(tree: Any, like: Any) -> Any:
    """A tree with optax's marks where `like` has them."""
    leaves = iter(flatten(tree)[0])

    def placed(old: Any) -> Any:
        new = next(leaves)
        return old if _is_mark(old) else new

    return jax.tree.map(placed, like, is_leaf=lambda x: x is None or _is_mark(x))


def _leaf_by_leaf(what: str, value: Any, like: Any, leaf: Callable[[str, Any, Any], Any]) -> Any:
    (xs, theirs), (ys, structure) = flatten(value), flatten(like)
    if theirs != structure:
        names, wanted = leaf_names(value), leaf_names(like)
        odd = [n for n in names if n not in wanted] or [n for n in wanted if n not in names] or ["its containers"]
        raise ValueError(
            f"{what} is of another tree of parameters: the two differ at {odd[0]}; give the parameters that were "
            f"trained, and their transformation"
        )
    new = []
    for name, x, y in zip(leaf_names(like), xs, ys, strict=True):
        at = "" if name == _ALONE else f"/{name}"
        if (x is None) != (y is None):
            has, lacks = ("where it comes from", "where it goes") if y is None else ("where it goes", "in its source")
            raise ValueError(
                f"{what}{at} is kept {has} and not {lacks}: it is masked, frozen or of integers on one side "
                f"only; mask the same leaves in both"
            )
        new.append(None if x is None else leaf(at, x, y))
    return jax.tree.unflatten(structure, new)


def _require_shape(what: str, name: str, x: Any, y: Any) -> None:
    if jnp.shape(x) != jnp.shape(y):
        raise ValueError(
            f"{what}{name} has shape {jnp.shape(x)}, and {jnp.shape(y)} is needed: it is of other parameters, or of a "
            f"transformation with other settings"
        )


def _is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _as_key(x: Any, like: Any) -> Any:
    data = jax.random.key_data(x) if _is_key(x) else jnp.array(x)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(like))


def _kind(x: Any) -> str:
    dtype = x.dtype
    kinds = (jnp.bool_, jnp.integer, jnp.floating)
    return next((kind.__name__ for kind in kinds if jnp.issubdtype(dtype, kind)), "complex")
