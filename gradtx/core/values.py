"""Values: calls of a factory that can be compared, hashed, printed, pickled, and taken apart as pytrees.

A transformation and a schedule are the same kind of thing: *a factory and its arguments*. This file knows nothing of
what a value does; it only keeps the call.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.errors import suggestion

_POSITIONAL, _KEYWORDS = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


class Leaves:
    """Marks a parameter as part of the pytree, and brings what is given for it into one form.

    Used in an annotation: `Hyper = Annotated[..., Leaves(as_hyper)]`. Whether a parameter is a leaf is decided here, by
    the signature, and never by what stands in it: tools put masks, `None` and tracers where numbers were.
    """

    def __init__(self, coerce: Callable[[str, Any], Any]):
        self.coerce = coerce


class Factory:
    """What a decorated function knows of itself: its name, its parameters, and which of them are leaves."""

    def __init__(self, body: Callable[..., Any]):
        self.body = body
        self.name = body.__name__
        self.signature = inspect.signature(body)
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in self.signature.parameters.values()]
        self.call_form = (
            f"{self.name}{self.signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)}"
        )
        self.public: Callable[..., Any] = body  # until published

    @functools.cached_property
    def leaves(self) -> dict[str, Leaves]:
        """The marker of each parameter that is part of the pytree, by name."""
        try:
            hints = typing.get_type_hints(self.body, include_extras=True)
        except NameError as error:
            raise NameError(f"{self.name}: its annotations must be importable where it is defined: {error}") from None
        found = {name: _marker(hints.get(name)) for name in self.signature.parameters}
        return {name: marker for name, marker in found.items() if marker is not None}

    def publish(self, make: Callable[[dict[str, Any]], Value]) -> Any:
        """The function that users call, with the name and the docstring of the body: it makes values from calls."""

        @functools.wraps(self.body)
        def public(*args: Any, **kwargs: Any) -> Value:
            return make(self.bind(args, kwargs))

        public.__dict__["factory"] = self  # the way back, for pickling
        self.public = public
        return public

    def bind(self, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name: defaults filled in, leaves in their one form."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}{self._hint(kwargs)}; it is {self.call_form}") from None
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        for name, marker in self.leaves.items():
            kind = self.signature.parameters[name].kind
            if kind is _POSITIONAL:
                arguments[name] = tuple(marker.coerce(f"{name}[{i}]", v) for i, v in enumerate(arguments[name]))
            elif kind is _KEYWORDS:
                arguments[name] = {k: marker.coerce(k, v) for k, v in arguments[name].items()}
            elif not (arguments[name] is None and self.signature.parameters[name].default is None):
                arguments[name] = marker.coerce(name, arguments[name])
        return arguments

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Run the body with arguments as `bind` gives them."""
        args, kwargs = [], {}
        for name, parameter in self.signature.parameters.items():
            if parameter.kind is _POSITIONAL:
                args.extend(arguments[name])
            elif parameter.kind is _KEYWORDS:
                kwargs.update(arguments[name])
            elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                kwargs[name] = arguments[name]
            else:
                args.append(arguments[name])
        return self.body(*args, **kwargs)

    def _hint(self, kwargs: Mapping[str, Any]) -> str:
        unknown = [name for name in kwargs if name not in self.signature.parameters]
        return suggestion(unknown[0], self.signature.parameters) if unknown else ""

    def __reduce__(self):
        return _factory_of, (self.public,)

    def __repr__(self) -> str:
        return f"<factory {self.name}>"


class Value:
    """A call of a factory, kept: equal to every equal call, hashable, picklable, and a pytree of its leaf arguments."""

    __slots__ = ("_arguments", "_cache", "_factory")
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
    def arguments(self) -> dict[str, Any]:
        """Every argument of the call by name, defaults included."""
        return dict(self._arguments)

    def replace(self, **changes: Any) -> Self:
        """The same call with some arguments changed, checked as a new call is."""
        parameters = self._factory.signature.parameters
        for name in changes:
            if name not in parameters or parameters[name].kind in (_POSITIONAL, _KEYWORDS):
                raise TypeError(
                    f"{self.name} has no argument {name!r} to replace{suggestion(name, parameters)}; {self}"
                )
        arguments, positional, keywords = {**self._arguments, **changes}, [], {}
        for name, parameter in parameters.items():
            if parameter.kind is _POSITIONAL:
                positional = list(arguments[name])
            elif parameter.kind is _KEYWORDS:
                keywords.update(arguments[name])
            else:
                keywords[name] = arguments[name]
        return self._factory.public(*positional, **keywords)

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
            if parameter.kind is _POSITIONAL:
                shown.extend(_show(v) for v in value)
            elif parameter.kind is _KEYWORDS:
                shown.extend(f"{k}={_show(v)}" for k, v in value.items())
            elif (name in self._factory.leaves and value is not None) or not same(value, parameter.default):
                shown.append(f"{name}={_show(value)}")
        return f"{self.name}({', '.join(shown)})"

    def __reduce__(self):
        return type(self), (self._factory, self._arguments)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict) -> Self:
        return self


def same(a: Any, b: Any) -> bool:
    """Whether two arguments are equal: arrays by type, shape and bytes, tracers only to themselves."""
    if a is b:
        return True
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        return False
    if _is_array(a) or _is_array(b):
        return _is_array(a) and _is_array(b) and _fingerprint(a) == _fingerprint(b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list) and type(a) is type(b):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def frozen(x: Any) -> Hashable:
    """A hashable stand-in for an argument: equal arguments have equal ones."""
    if isinstance(x, Tracer):
        return id(x)
    if _is_array(x):
        return _fingerprint(x)
    if isinstance(x, Mapping):
        return tuple((k, frozen(v)) for k, v in x.items())
    if isinstance(x, tuple | list):
        return tuple(map(frozen, x))
    return x


class Statics:
    """The arguments that are not leaves: equal and hashable by value, whatever they are made of."""

    def __init__(self, arguments: dict[str, Any]):
        self.arguments = arguments

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statics) and same(self.arguments, other.arguments)

    def __hash__(self) -> int:
        return hash(frozen(self.arguments))

    def __repr__(self) -> str:
        return repr(self.arguments)


def member_names(members: tuple) -> list[str]:
    """A name for each of several values: its factory's, a second one `name_1`, a third `name_2`."""
    names: list[str] = []
    for i, member in enumerate(members):
        base = member.name if isinstance(member, Value) else str(i)
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
        if kind is _POSITIONAL:
            keyed.extend(zip(member_names(argument), argument, strict=True))
            several.append((name, tuple(range(len(argument)))))
        elif kind is _KEYWORDS:  # not left to a dict: a pytree sorts its keys, and the order of a chain is its meaning
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
        elif parameter.kind is _POSITIONAL:
            arguments[name] = tuple(next(left) for _ in keys[name])
        elif parameter.kind is _KEYWORDS:
            arguments[name] = {k: next(left) for k in keys[name]}
        else:
            arguments[name] = next(left)
    return cls(factory, arguments)


def _factory_of(public: Any) -> Factory:
    return public.factory


def _marker(hint: Any) -> Leaves | None:
    """The marker in an annotation, wherever it stands: `Hyper`, `Hyper | None`, `dict[str, Transformation]`."""
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Leaves):
            return extra
    return next((m for m in map(_marker, typing.get_args(hint)) if m is not None), None)


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray | np.generic)


def _fingerprint(x: Any) -> Hashable:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    x = np.asarray(x)
    return (x.shape, str(x.dtype), x.tobytes())


def _show(x: Any) -> str:
    """How an argument is written in the call; a concrete scalar array as an expression that makes it again."""
    if isinstance(x, jax.Array | np.ndarray) and not isinstance(x, Tracer):
        if x.shape == () and not jnp.issubdtype(x.dtype, jax.dtypes.extended):
            return f"jnp.{x.dtype}({float(x)!r})"
        return f"<{x.dtype}{list(x.shape)}>"
    if isinstance(x, type) or inspect.isfunction(x):
        return x.__name__
    return repr(x)
