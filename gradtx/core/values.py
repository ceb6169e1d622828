"""Values: calls of a factory that can be compared, hashed, printed, pickled, and taken apart as pytrees.

A transformation and a schedule are the same kind of thing: *a factory and its arguments*. This file knows nothing of
what a value does; it only keeps the call.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import jax

from gradtx.core.arguments import Statics, frozen, same, show
from gradtx.core.errors import suggestion
from gradtx.core.factory import KEYWORDS, POSITIONAL, Factory, key_name


class Value:
    """A call of a factory, kept: equal to every equal call, hashable, picklable, and a pytree of its leaf arguments."""

    __slots__ = ("__weakref__", "_arguments", "_cache", "_factory")
    _arguments: dict[str, Any]
    _cache: dict[str, Any]
    _factory: Factory

    def __init__(self, factory: Factory, arguments: dict[str, Any]):
        # No checks here: this also runs when a pytree is put together again from whatever a tool left in its leaves.
        object.__setattr__(self, "_factory", factory)
        object.__setattr__(self, "_arguments", arguments)
        object.__setattr__(self, "_cache", {})

    def __init_subclass__(cls) -> None:
        jax.tree_util.register_pytree_with_keys(cls, _flatten_with_keys, functools.partial(_unflatten, cls), _flatten)

    @property
    def name(self) -> str:
        """The name of the factory: `'scale_by_adam'`."""
        return self._factory.name

    @property
    def _label(self) -> str:
        """What it is called among others: its name."""
        return self.name

    @property
    def arguments(self) -> dict[str, Any]:
        """Every argument of the call by name, defaults included."""
        return dict(self._arguments)

    def replace(self, **changes: Any) -> Self:
        """The same call with some arguments changed, checked as a new call is."""
        parameters = self._factory.signature.parameters
        for name in changes:
            if name not in parameters or parameters[name].kind in (POSITIONAL, KEYWORDS):
                raise TypeError(
                    f"{self.name} has no argument {name!r} to replace{suggestion(name, parameters)}; {self}"
                )
        args, kwargs = self._factory.spread({**self._arguments, **changes})
        return self._factory.public(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
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
        if type(self) is not type(other) or not isinstance(other, Value):
            return NotImplemented
        return self._factory is other._factory and same(self._arguments, other._arguments)

    def __hash__(self) -> int:
        return hash((self._factory, frozen(self._arguments)))

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
        return _again, (type(self), self._factory, self._arguments, bool(self._cache))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict) -> Self:
        return self


def _again(cls: type[Value], factory: Factory, arguments: dict[str, Any], made: bool) -> Value:
    """Unpickle: what was made by its factory is made by it again, and keeps its closures; the rest is put together."""
    return factory.make(arguments) if made else cls(factory, arguments)


def member_names(members: tuple) -> list[str]:
    """A name for each of several values: its label, a second one `label_1`, a third `label_2`."""
    names: list[str] = []
    for i, member in enumerate(members):
        base = member._label if isinstance(member, Value) else str(i)
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


class Opened(NamedTuple):
    """The leaf arguments of a value, one by one: those in a tuple or a dict each for itself.

    keys: of each parameter that holds several, the indices or keys, in order.
    """

    children: list[Child]
    keys: tuple[tuple[str, tuple], ...]


def opened(value: Value) -> Opened:
    """Take a value apart, in the order of the signature; `*members` are named as in a chain."""
    factory, children, several = value._factory, [], []
    for owner in factory.leaves:
        argument, container = value._arguments[owner], factory.containers.get(owner)
        if container is None or argument is None:
            children.append(Child(owner, owner, argument))
            continue
        # Not left to a pytree of its own: that sorts the keys of a dict, and the order of a chain is its meaning.
        keys = tuple(argument) if container is dict else tuple(range(len(argument)))
        several.append((owner, keys))
        kind = factory.signature.parameters[owner].kind
        if kind is POSITIONAL:
            names = member_names(argument)
        else:
            names = [key_name(k) if kind is KEYWORDS else f"{owner}/{key_name(k)}" for k in keys]
        children.extend(Child(name, owner, argument[k]) for name, k in zip(names, keys, strict=True))
    return Opened(children, tuple(several))


def closed(factory: Factory, statics: dict[str, Any], keys: tuple, children: Iterable[Any]) -> dict[str, Any]:
    """The arguments again, from the static ones and the children of `opened`."""
    several, left = dict(keys), iter(children)
    arguments: dict[str, Any] = {}
    for name in factory.signature.parameters:
        if name not in factory.leaves:
            arguments[name] = statics[name]
        elif name not in several:
            arguments[name] = next(left)
        elif factory.containers[name] is tuple:
            arguments[name] = tuple(next(left) for _ in several[name])
        else:
            arguments[name] = {k: next(left) for k in several[name]}
    return arguments


def _flatten_with_keys(value: Value):
    children, keys = opened(value)
    statics = {k: v for k, v in value._arguments.items() if k not in value._factory.leaves}
    return [(jax.tree_util.GetAttrKey(c.name), c.value) for c in children], (value._factory, Statics(statics), keys)


def _flatten(value: Value):
    keyed, aux = _flatten_with_keys(value)
    return [child for _, child in keyed], aux


def _unflatten(cls: type[Value], aux: tuple[Factory, Statics, tuple], children: Any) -> Value:
    factory, statics, keys = aux
    return cls(factory, closed(factory, statics.arguments, keys, children))
