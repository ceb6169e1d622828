"""Values: calls of a factory that can be compared, hashed, printed, pickled, and flattened as pytrees.

A transformation and a schedule are both *a factory and its arguments*.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import jax
from jax.tree_util import GetAttrKey

from gradtx.errors import suggestion
from gradtx.values.arguments import ByValue, frozen, same, show
from gradtx.values.factory import KEYWORDS, POSITIONAL, Factory, key_name


class Value(ByValue):
    """A stored call of a factory: equal calls are equal and hash alike. A pytree with the leaf arguments as leaves."""

    _arguments: dict[str, Any]
    _cache: dict[str, Any]
    _factory: Factory

    @classmethod
    def _of(cls, factory: Factory, arguments: dict[str, Any]) -> Self:
        # No checks here: this also runs when JAX unflattens a pytree, and tools may put anything in its leaves.
        value = object.__new__(cls)
        value.__dict__.update(_factory=factory, _arguments=arguments, _cache={})
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
        """The name in a chain."""
        return self.name

    @property
    def made_by(self) -> Any:
        """The function that made this value: `adam(0.1).made_by is gradtx.adam`."""
        return self._factory.public

    @property
    def arguments(self) -> dict[str, Any]:
        """Name -> argument, for all arguments of the call, with defaults."""
        return dict(self._arguments)

    @property
    def children(self) -> dict[str, Any]:
        """Name -> argument, for arguments that are leaves of the pytree; each item of a tuple or dict is one child.

        Members of a chain have their member names. An item of a dict has the name of the argument in front of its key:
        `rules/**/bias`.
        """
        return {child.name: child.value for child in self._slots}

    @property
    def hypers(self) -> dict[str, Any]:
        """The children that may follow a schedule, by name."""
        leaves = self._factory.leaves
        return {child.name: child.value for child in self._slots if leaves[child.owner].follows}

    def with_children(self, changes: Mapping[str, Any]) -> Self:
        """The same call with other children, named as in `children`. Nothing is checked."""
        values = [changes.get(child.name, child.value) for child in self._slots]
        return self._of(self._factory, _assembled(self._skeleton, values))

    def replace(self, **changes: Any) -> Self:
        """The same call with some arguments changed, and checked like a new call."""
        parameters = self._factory.signature.parameters
        for name in changes:
            if name not in parameters or parameters[name].kind in (POSITIONAL, KEYWORDS):
                near = suggestion(name, parameters)
                raise TypeError(f"{self.name} has no argument {name!r} to replace{near}; {self}")
        args, kwargs = self._factory.spread({**self._arguments, **changes})
        return self._factory.public(*args, **kwargs)

    @functools.cached_property
    def _slots(self) -> list[Child]:
        return list(_children(self))

    @functools.cached_property
    def _skeleton(self) -> Skeleton:
        return Skeleton(self._factory, self._arguments)

    @functools.cached_property
    def _key(self) -> tuple:
        return type(self), self._factory, frozen(self._arguments)

    @functools.cached_property
    def _hash(self) -> int:  # a tuple does not remember its own: jit asks for that of a static argument at each call
        return hash(self._key)

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
        return self is other or (self._key == other._key if isinstance(other, Value) else NotImplemented)

    def __hash__(self) -> int:
        return self._hash

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
    """Unpickle. A value from its factory is made by it again, so that it has a plan; others are not checked."""
    return factory.make(arguments) if made else cls._of(factory, arguments)


def member_names(members: tuple) -> list[str]:
    """The member names of several values. A second one with the same name is `name_1`, a third `name_2`."""
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
    """A leaf argument: its name in errors and states, the parameter that it belongs to, and its value."""

    name: str
    owner: str
    value: Any


class Skeleton:
    """A value without its children. JAX compares it if the value is an argument of a jitted function.

    statics: the arguments that are not leaves. keys: for each parameter with several leaves, their indices or keys in
    order. JAX would sort the keys of a dict, but the order of a chain matters.
    """

    def __init__(self, factory: Factory, arguments: Mapping[str, Any]):
        self.factory = factory
        self.statics = {name: x for name, x in arguments.items() if name not in factory.leaves}
        several = {k: arguments[k] for k in factory.containers if arguments[k] is not None}
        self.keys = {k: tuple(x) if isinstance(x, dict) else tuple(range(len(x))) for k, x in several.items()}

    @functools.cached_property
    def _key(self) -> tuple:
        return self.factory, frozen(self.keys), frozen(self.statics)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Skeleton) and self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"{self.factory.name} with {self.statics}"


def _children(value: Value) -> Iterator[Child]:
    """The leaf arguments, in the order of the signature."""
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
    """The arguments, from a skeleton and its children in order."""
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


def _unflatten(cls: Any, skeleton: Skeleton, children: Any) -> Any:
    value = cls._of(skeleton.factory, _assembled(skeleton, children))
    value.__dict__["_skeleton"] = skeleton
    return value
