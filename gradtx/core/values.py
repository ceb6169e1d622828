"""Values: calls of a factory that can be compared, hashed, printed, pickled, and taken apart as pytrees.

A transformation and a schedule are the same kind of thing: *a factory and its arguments*. This file knows nothing of
what a value does; it only keeps the call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import jax
from jax.tree_util import GetAttrKey

from gradtx.core.arguments import ByValue, frozen, same, show
from gradtx.core.errors import suggestion
from gradtx.core.factory import KEYWORDS, POSITIONAL, Factory, key_name


class Value(ByValue):
    """A call of a factory, kept: equal to every equal call, hashable, picklable, and a pytree of its leaf arguments."""

    __slots__ = ("__weakref__", "_arguments", "_cache", "_factory")
    _arguments: dict[str, Any]
    _cache: dict[str, Any]
    _factory: Factory

    @classmethod
    def _of(cls, factory: Factory, arguments: dict[str, Any]) -> Self:
        # No checks here: this also runs when a pytree is put together again from whatever a tool left in its leaves.
        value = object.__new__(cls)
        object.__setattr__(value, "_factory", factory)
        object.__setattr__(value, "_arguments", arguments)
        object.__setattr__(value, "_cache", {})
        return value

    def __init_subclass__(cls) -> None:
        jax.tree_util.register_pytree_with_keys(
            cls,
            lambda value: ([(GetAttrKey(c.name), c.value) for c in value._slots], value._skeleton),
            functools.partial(_unflatten, cls),
            lambda value: ([c.value for c in value._slots], value._skeleton),
        )

    @property
    def name(self) -> str:
        """The name of the factory: `'scale_by_adam'`."""
        return self._factory.name

    @property
    def member_name(self) -> str:
        """What it is called among the members of a chain: its name."""
        return self.name

    @property
    def made_by(self) -> Any:
        """The function that made it: `adam(0.1).made_by is gradtx.adam`."""
        return self._factory.public

    @property
    def arguments(self) -> dict[str, Any]:
        """Every argument of the call by name, defaults included."""
        return dict(self._arguments)

    @property
    def children(self) -> dict[str, Any]:
        """The arguments that are leaves of the pytree, by name; those in a tuple or a dict each for itself.

        The members of a chain have their member names, entries of a dict theirs behind the argument: `rules/**/bias`.
        """
        return {child.name: child.value for child in self._slots}

    @property
    def hypers(self) -> dict[str, Any]:
        """The children that are hyperparameters, which may follow a schedule, by name."""
        leaves = self._factory.leaves
        return {child.name: child.value for child in self._slots if leaves[child.owner].follows}

    def with_children(self, changes: Mapping[str, Any]) -> Self:
        """The same call with other children, by the names in `children`; nothing is checked, as for a pytree."""
        values = [changes.get(child.name, child.value) for child in self._slots]
        return self._of(self._factory, _assembled(self._skeleton, values))

    def replace(self, **changes: Any) -> Self:
        """The same call with some arguments changed, checked as a new call is."""
        parameters = self._factory.signature.parameters
        for name in changes:
            if name not in parameters or parameters[name].kind in (POSITIONAL, KEYWORDS):
                near = suggestion(name, parameters)
                raise TypeError(f"{self.name} has no argument {name!r} to replace{near}; {self}")
        args, kwargs = self._factory.spread({**self._arguments, **changes})
        return self._factory.public(*args, **kwargs)

    @property
    def _slots(self) -> list[Child]:
        return self._once("slots", lambda: list(_children(self)))

    @property
    def _skeleton(self) -> Skeleton:
        return self._once("skeleton", lambda: Skeleton(self._factory, self._arguments))

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{self.name} is no NamedTuple: use replace" if name == "_replace" else name)
        if name in self._arguments:
            return self._arguments[name]
        raise AttributeError(f"{self.name} has no attribute {name!r}{suggestion(name, self._arguments)}")

    def __setattr__(self, name: str, _: Any) -> None:
        raise AttributeError(f"{self.name} is a value: make another one with .replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self.name} is a value: {name} cannot be deleted")

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *self._arguments})

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or not isinstance(other, Value):
            return NotImplemented
        return self._factory is other._factory and same(self._arguments, other._arguments)

    def __hash__(self) -> int:
        return self._once("hash", lambda: hash((self._factory, frozen(self._arguments))))

    def __repr__(self) -> str:
        shown = []
        for name, parameter in self._factory.signature.parameters.items():
            value, marker = self._arguments[name], self._factory.leaves.get(name)
            if parameter.kind is POSITIONAL:
                shown.extend(show(v) for v in value)
            elif parameter.kind is KEYWORDS:
                shown.extend(f"{k}={show(v)}" for k, v in value.items())
            elif marker is not None and value is not None:
                whole = marker.whole and isinstance(value, float) and value.is_integer()
                shown.append(f"{name}={int(value) if whole else show(value)}")
            elif not same(value, parameter.default):
                shown.append(f"{name}={show(value)}")
        return f"{self.name}({', '.join(shown)})"

    def __reduce__(self):
        return _again, (type(self), self._factory, self._arguments, "made" in self._cache)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict) -> Self:
        return self


def _again(cls: type[Value], factory: Factory, arguments: dict[str, Any], made: bool) -> Value:
    """Unpickle: what was made by its factory is made by it again, and keeps its closures; the rest is put together."""
    return factory.make(arguments) if made else cls._of(factory, arguments)


def member_names(members: tuple) -> list[str]:
    """A name for each of several values: its member name, a second one `name_1`, a third `name_2`."""
    names: list[str] = []
    for i, member in enumerate(members):
        base = member.member_name if isinstance(member, Value) else str(i)
        name, n = base, 0
        while name in names:
            n += 1
            name = f"{base}_{n}"
        names.append(name)
    return names


class Child(NamedTuple):
    """A leaf argument: its name, as in errors and states; the parameter that it belongs to; what stands there."""

    name: str
    owner: str
    value: Any


class Skeleton:
    """A value without its children: what JAX compares where a value is an argument of a jitted function.

    statics: the arguments that are not leaves. keys: of each parameter that holds several leaves, the indices or keys,
    in order; a dict would come back sorted from a pytree of its own, and the order of a chain is its meaning.
    """

    __slots__ = ("_hash", "factory", "keys", "statics")

    def __init__(self, factory: Factory, arguments: Mapping[str, Any]):
        self.factory, self._hash = factory, None
        self.statics = {name: x for name, x in arguments.items() if name not in factory.leaves}
        several = {k: arguments[k] for k in factory.containers if arguments[k] is not None}
        self.keys = {k: tuple(x) if isinstance(x, dict) else tuple(range(len(x))) for k, x in several.items()}

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Skeleton) or self.factory is not other.factory:
            return self is other
        return same(self.keys, other.keys) and same(self.statics, other.statics)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.factory, frozen(self.keys), frozen(self.statics)))
        return self._hash

    def __repr__(self) -> str:
        return f"{self.factory.name} with {self.statics}"


def _children(value: Value) -> Iterator[Child]:
    """The leaf arguments one by one, in the order of the signature."""
    factory, keys = value._factory, value._skeleton.keys
    for owner in factory.leaves:
        argument = value._arguments[owner]
        if owner not in keys:
            yield Child(owner, owner, argument)
            continue
        kind = factory.signature.parameters[owner].kind
        if kind is POSITIONAL:
            names = member_names(argument)
        else:
            names = [key_name(k) if kind is KEYWORDS else f"{owner}/{key_name(k)}" for k in keys[owner]]
        for name, key in zip(names, keys[owner], strict=True):
            yield Child(name, owner, argument[key])


def _assembled(skeleton: Skeleton, children: Iterable[Any]) -> dict[str, Any]:
    """The arguments again, from a skeleton and the children in their order."""
    factory, left = skeleton.factory, iter(children)
    arguments: dict[str, Any] = {}
    for name in factory.signature.parameters:
        if name not in factory.leaves:
            arguments[name] = skeleton.statics[name]
        elif name not in skeleton.keys:
            arguments[name] = next(left)
        elif factory.containers[name] is tuple:
            arguments[name] = tuple(next(left) for _ in skeleton.keys[name])
        else:
            arguments[name] = {k: next(left) for k in skeleton.keys[name]}
    return arguments


def _unflatten(cls: type[Value], skeleton: Skeleton, children: Any) -> Value:
    value = cls._of(skeleton.factory, _assembled(skeleton, children))
    value._cache["skeleton"] = skeleton
    return value
