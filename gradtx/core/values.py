"""Values: calls of a factory that can be compared, hashed, printed, pickled, and taken apart as pytrees.

A transformation and a schedule are the same kind of thing: *a factory and its arguments*. This file knows nothing of
what a value does; it only keeps the call.
"""

from __future__ import annotations

import functools
from typing import Any, Self

import jax

from gradtx.core.arguments import Statics, frozen, same, show
from gradtx.core.errors import suggestion
from gradtx.core.factory import KEYWORDS, POSITIONAL, Factory


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
            value = self._arguments[name]
            if parameter.kind is POSITIONAL:
                shown.extend(show(v) for v in value)
            elif parameter.kind is KEYWORDS:
                shown.extend(f"{k}={show(v)}" for k, v in value.items())
            elif (name in self._factory.leaves and value is not None) or not same(value, parameter.default):
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


def _flatten_with_keys(value: Value):
    """Children in the order of the signature; `*members` and `**named` give one child each, named as in a chain."""
    factory, keyed, several = value._factory, [], []
    for name in factory.leaves:
        kind, argument = factory.signature.parameters[name].kind, value._arguments[name]
        if kind is POSITIONAL:
            keyed.extend(zip(member_names(argument), argument, strict=True))
            several.append((name, tuple(range(len(argument)))))
        elif kind is KEYWORDS:  # not left to a dict: a pytree sorts its keys, and the order of a chain is its meaning
            keyed.extend(argument.items())
            several.append((name, tuple(argument)))
        else:
            keyed.append((name, argument))
    statics = {k: v for k, v in value._arguments.items() if k not in factory.leaves}
    children = [(jax.tree_util.GetAttrKey(key), child) for key, child in keyed]
    return children, (factory, Statics(statics), tuple(several))


def _flatten(value: Value):
    keyed, aux = _flatten_with_keys(value)
    return [child for _, child in keyed], aux


def _unflatten(cls: type[Value], aux: tuple[Factory, Statics, tuple], children: Any) -> Value:
    factory, statics, several = aux
    keys, left = dict(several), iter(children)
    arguments: dict[str, Any] = {}
    for name, parameter in factory.signature.parameters.items():
        if name not in factory.leaves:
            arguments[name] = statics.arguments[name]
        elif parameter.kind is POSITIONAL:
            arguments[name] = tuple(next(left) for _ in keys[name])
        elif parameter.kind is KEYWORDS:
            arguments[name] = {k: next(left) for k in keys[name]}
        else:
            arguments[name] = next(left)
    return cls(factory, arguments)
