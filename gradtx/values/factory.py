"""Factories: functions that make values. The annotations tell which parameters are leaves of the pytree."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradtx.errors import INSTEAD, describe, says, suggestion

POSITIONAL, KEYWORDS = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
_VARIADIC: dict[Any, type] = {POSITIONAL: tuple, KEYWORDS: dict}


class LeafMarker:
    """Marks a parameter as a leaf of the pytree, in an annotation: `Hyper = Annotated[..., LeafMarker(as_hyper)]`.

    The signature alone decides whether a parameter is a leaf, never its value: tools replace numbers by masks, `None`
    and tracers.

    coerce: `(name, value) -> value`, which checks an argument and converts it to one form. follows: whether the core
    replaces a schedule by its value at each step. whole: whether it is a whole number. wraps: whether it is a
    transformation.
    """

    def __init__(
        self, coerce: Callable[[str, Any], Any], *, follows: bool = False, whole: bool = False, wraps: bool = False
    ):
        self.coerce, self.follows, self.whole, self.wraps = coerce, follows, whole, wraps


class Factory:
    """A decorated function: its name, its parameters, and which of them are leaves.

    traits: what its author declares about the values that it makes.
    """

    def __init__(self, body: Callable[..., Any], traits: Any = None):
        self.body = body
        self.traits = traits
        self.makes_recipes = False  # whether the last body that ran was that of a recipe
        self.name = body.__name__
        self.public: Callable[..., Any] = body  # until published
        self.make: Callable[[dict[str, Any]], Any] = dict

    @functools.cached_property
    def signature(self) -> inspect.Signature:  # not at import: that of all factories takes an eighth of its time
        """The signature of the body."""
        return inspect.signature(self.body)

    @functools.cached_property
    def leaves(self) -> dict[str, LeafMarker]:
        """Name of a parameter -> its marker, for parameters that are leaves of the pytree."""
        return {name: marker for name, (marker, _) in self._marked.items()}

    @functools.cached_property
    def containers(self) -> dict[str, type]:
        """Name -> tuple for `*args` and `tuple[Hyper, ...]`, dict for `**kwargs` and `dict[str, Hyper]`."""
        return {name: container for name, (_, container) in self._marked.items() if container}

    @functools.cached_property
    def _marked(self) -> dict[str, tuple[LeafMarker, type | None]]:
        try:
            hints = typing.get_type_hints(self.body, include_extras=True)
        except NameError as error:
            raise NameError(f"{self.name}: its annotations must be importable where it is defined: {error}") from None
        found = {}
        for name, parameter in self.signature.parameters.items():
            marker, container = _marker(hints.get(name)) or (None, None)
            if marker is not None:
                found[name] = marker, container or _VARIADIC.get(parameter.kind)
        return found

    @property
    def call_form(self) -> str:
        """The name and the parameters without annotations, for errors."""
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in self.signature.parameters.values()]
        return f"{self.name}{self.signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)}"

    def publish(self, make: Callable[[dict[str, Any]], Any]) -> Any:
        """Return the function that users call. It has the name and docstring of the body and makes values."""

        @functools.wraps(self.body)
        def public(*args: Any, **kwargs: Any) -> Any:
            return make(self.bind(args, kwargs))

        public.__dict__["factory"] = self  # pickling finds the factory here
        self.public, self.make = public, make
        return public

    def bind(self, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name, with defaults; leaves are checked and converted."""
        self._require_known(kwargs)
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}; it is {self.call_form}") from None
        bound.apply_defaults()
        arguments = {k: x.item() if isinstance(x, np.integer | np.bool_) else x for k, x in bound.arguments.items()}
        try:
            for name, marker in self.leaves.items():
                arguments[name] = self._coerced(name, marker, arguments[name])
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.name}: {error}") from None
        return arguments

    def _coerced(self, name: str, marker: LeafMarker, value: Any) -> Any:
        parameter, container = self.signature.parameters[name], self.containers.get(name)
        if value is None and parameter.default is None:
            return None
        if container is tuple:
            if not isinstance(value, tuple | list):
                raise TypeError(f"{name} must be a tuple; got {describe(value)}")
            return tuple(marker.coerce(f"{name}[{i}]", v) for i, v in enumerate(value))
        if container is dict:
            if not isinstance(value, Mapping):
                raise TypeError(f"{name} must be a dict; got {describe(value)}")
            names = list(map(key_name, value))
            twice = next((n for n in names if names.count(n) > 1), None)
            if twice is not None:
                raise ValueError(f"{name} has two keys that are called {twice!r}: give functions different names")
            plain = parameter.kind is KEYWORDS
            return {k: marker.coerce(k if plain else f"{name}[{k!r}]", v) for k, v in value.items()}
        return marker.coerce(name, value)

    def spread(self, arguments: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """The positional and keyword arguments of a call, from the arguments by name."""
        bound = inspect.BoundArguments(self.signature, arguments)
        return bound.args, bound.kwargs

    def run_body(self, arguments: dict[str, Any]) -> Any:
        """What the body returns for these arguments; its ValueErrors get the name of the factory in front."""
        args, kwargs = self.spread(arguments)
        with says(f"{self.name}: "):
            return self.body(*args, **kwargs)

    def _require_known(self, kwargs: Mapping[str, Any]) -> None:
        parameters = self.signature.parameters
        unknown = [name for name in kwargs if name not in parameters]
        if unknown and all(p.kind is not KEYWORDS for p in parameters.values()):
            name = unknown[0]
            instead = f"; {INSTEAD[name]}" if name in INSTEAD else ""
            raise TypeError(
                f"{self.name} has no argument {name!r}{suggestion(name, parameters)}{instead}; it is {self.call_form}"
            )

    def __reduce__(self):
        return _factory_of, (self.public,)

    def __repr__(self) -> str:
        return f"<factory {self.name}>"


def key_name(key: Any) -> str:
    """A key of a dict as text: a string itself, the text of a pattern, the name of a function, the items of a tuple."""
    if isinstance(key, tuple):
        return ", ".join(map(key_name, key))
    return str(getattr(key, "pattern", None) or getattr(key, "__name__", key))


def _factory_of(public: Any) -> Factory:
    return public.factory


def _marker(hint: Any) -> tuple[LeafMarker, type | None] | None:
    """The marker in an annotation and its container: of `Hyper`, `Hyper | None` or `dict[str, Hyper]`.

    Raises:
        TypeError: the marker is deeper inside, as in `dict[str, tuple[Hyper, ...]]`, where it would have no effect.
    """
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, LeafMarker):
            return extra, None
    found = next((m for m in map(_marker, typing.get_args(hint)) if m is not None), None)
    origin = typing.get_origin(hint)
    if found is None or origin in (typing.Union, types.UnionType):
        return found
    if origin not in (dict, tuple) or found[1] is not None:
        raise TypeError(f"{hint}: hyperparameters and transformations may be optional, or in one dict or tuple")
    return found[0], origin
