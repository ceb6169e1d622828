"""Values as dicts of plain numbers and texts, for YAML and JSON, and back."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from typing import Any

from gradtx.errors import describe
from gradtx.text.names import makers, public, written
from gradtx.text.parse import evaluated, part

TARGET, ARGUMENTS, NAME = "_target_", "_args_", "_name_"
_LONG = {"jnp": "jax.numpy", "np": "numpy"}


def to_dict(value: Any) -> dict[str, Any]:
    """The call that made a value, as dicts, lists, numbers and texts that JSON and YAML can keep.

    A call is a dict: `_target_` is the full name of the function, `_args_` the list of its positional arguments if it
    has any, all other keys are arguments by name. These are the keys of Hydra's `instantiate`. Tuples, infinities, NaN
    and dicts whose keys are not texts are such calls too (`builtins.tuple`, `builtins.float`, `builtins.dict`); a
    function of yours is `{"_name_": its name}`. It has what `repr` prints. The order of the keys counts, as for members
    of a chain: `yaml.safe_dump(data, sort_keys=False)`.

    Args:
        value: a transformation, a schedule, a codec, a frame, a moment, a set or an estimator.

    Raises: TypeError: it is something else. ValueError: it holds something without a name, as a lambda, an optax pair,
        or an array that is not a scalar; it is made by `gradtx.compat.optax`.

    Example:
        >>> import gradtx
        >>> gradtx.to_dict(gradtx.sgd(0.1, momentum=0.9))["momentum"]
        0.9
        >>> gradtx.to_dict(gradtx.scale(-0.5))
        {'_target_': 'gradtx.scale', 'step_size': -0.5}
    """
    if inspect.isfunction(value) and value.__module__.startswith("gradtx."):
        raise TypeError(f"to_dict: {value.__name__} is not called yet: give it {value.__name__}(...)")
    text = repr(value)
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        found = re.search(r"(\w+=)?<[^<>]*>+", text)
        shown = found[0] if found else text[:200]
        if re.search(r"<\w+\[[\d, ]+\]>", shown):
            raise ValueError(f"to_dict: {shown} is an array, as in a batch of transformations: take one") from None
        raise ValueError(
            f"to_dict: {shown} has no name: define it with def, and give from_dict names={{'its_name': ...}}"
        ) from None
    except (RecursionError, MemoryError):
        raise ValueError("to_dict: the value is nested too deeply") from None
    if not isinstance(node, ast.Call):
        raise TypeError(
            f"to_dict takes what gradtx made: a transformation, a schedule, a codec, a frame; got {describe(value)}"
        )
    return _plain(node)


def from_dict(data: Mapping[str, Any], names: Mapping[str, Any] | None = None) -> Any:
    """The value that `to_dict` has written down. As `parse`, it runs nothing but gradtx's own factories.

    Args:
        data: dicts, lists, numbers and texts, as `to_dict` gives them.
        names: as for `parse`.

    Raises: TypeError: `data` is not a dict, or a call has an argument that its factory does not know. ValueError: it is
        not such a call, or a factory refuses an argument. The message says where in the dict: `at _args_/1`.

    Example:
        In YAML, where a number such as 3e-3 must be written 3.0e-3:

            _target_: gradtx.chain
            _args_:
              - {_target_: gradtx.clip_by_global_norm, max_norm: 1.0}
              - _target_: gradtx.adam
                learning_rate: {_target_: gradtx.linear_schedule, init_value: 0.1, end_value: 0.0, transition_steps: 9}

        >>> import gradtx
        >>> gradtx.from_dict({"_target_": "gradtx.sgd", "learning_rate": 0.1, "momentum": 0.9})
        sgd(learning_rate=0.1, momentum=0.9)
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"from_dict takes a dict, as to_dict gives it; got {describe(data)}")
    if TARGET not in data and NAME not in data:
        raise ValueError(
            f"a call was expected, as {{'_target_': 'gradtx.sgd', 'learning_rate': 0.1}}; got {describe(dict(data))}"
        )
    try:
        return evaluated(_node(data, ""), dict(names or {}))
    except RecursionError:
        raise ValueError("the dict is nested too deeply") from None


def _plain(node: ast.expr) -> Any:
    """A part of the text as plain data."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Name(id="inf" | "nan" as text) | ast.UnaryOp(op=ast.USub(), operand=ast.Name(id="inf" as text)):
            return _call("builtins.float", [f"-{text}" if isinstance(node, ast.UnaryOp) else text])
        case ast.List(elts=items):
            return [_plain(item) for item in items]
        case ast.Tuple(elts=items):
            return _call("builtins.tuple", [[_plain(item) for item in items]])
        case ast.Dict(keys=keys, values=values):
            pairs = [[_plain(k), _plain(v)] for k, v in zip(keys, values, strict=True) if k is not None]
            plain = all(isinstance(k, str) and k not in (TARGET, NAME) for k, _ in pairs)
            return dict(pairs) if plain else _call("builtins.dict", [pairs])
        case ast.Call(func=func, args=args, keywords=keywords):
            named = {str(k.arg): _plain(k.value) for k in keywords}
            if wrong := {TARGET, ARGUMENTS} & set(named):
                raise ValueError(f"an argument called {min(wrong)} has another meaning in a dict: give it another name")
            return _call(_full(ast.unparse(func)), [_plain(arg) for arg in args], named)
        case ast.Attribute(value=ast.Name(id="re")) | ast.BinOp():  # flags
            return int(part(node, {}))
        case ast.Name() | ast.Attribute():
            return {NAME: ast.unparse(node)}
    raise ValueError(f"a dict cannot hold {ast.unparse(node)[:200]}")


def _call(target: str, arguments: list[Any], named: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {TARGET: target, **({ARGUMENTS: arguments} if arguments else {}), **(named or {})}


def _full(name: str) -> str:
    """The name by which any program finds the function: gradtx.adam, jax.numpy.float32."""
    module, _, last = name.rpartition(".")
    if module in _LONG and name in makers():
        return f"{_LONG[module]}.{last}"
    if name == "P":
        return "jax.sharding.PartitionSpec"
    if written(name) not in makers() or module == "re":
        return name
    function = makers()[name]
    return f"gradtx.{name}" if module or name in public() else f"{function.__module__}.{name}"


def _node(data: Any, place: str) -> Any:
    """Plain data as a part of a text, which keeps its place in the data for errors."""
    node = _unplaced(data, place)
    node.place = f"at {place}: " if place else ""
    return node


def _nodes(items: Any, place: str) -> list[Any]:
    return [_node(x, f"{place}/{k}".lstrip("/")) for k, x in enumerate(items)]


def _unplaced(data: Any, place: str) -> Any:
    front = f"{place}/" if place else ""
    if isinstance(data, Mapping):
        if NAME in data:
            return _dotted(NAME, data[NAME], place)
        if TARGET not in data:
            return ast.Dict(_nodes(data, place), [_node(x, f"{front}{k}") for k, x in data.items()])
        arguments = data.get(ARGUMENTS, [])
        if not isinstance(arguments, list | tuple):
            raise TypeError(f"{front}{ARGUMENTS} of {data[TARGET]} must be a list; got {describe(arguments)}")
        named = {str(k): v for k, v in data.items() if k not in (TARGET, ARGUMENTS)}
        match data[TARGET], arguments:
            case "builtins.float", [str() as text] if text.lstrip("+-") in ("inf", "nan"):
                return ast.Constant(float(text))
            case "builtins.tuple", [list() | tuple() as items]:
                return ast.Tuple(_nodes(items, place))
            case "builtins.dict", [list() | tuple() as pairs] if all(map(_is_pair, pairs)):
                return ast.Dict(_nodes([k for k, _ in pairs], place), [_node(v, f"{front}{k}") for k, v in pairs])
        keywords = [ast.keyword(k, _node(v, f"{front}{k}")) for k, v in named.items()]
        return ast.Call(_dotted(TARGET, data[TARGET], place), _nodes(arguments, f"{front}{ARGUMENTS}"), keywords)
    if isinstance(data, list | tuple):
        return ast.List(_nodes(data, place))
    if data is None or isinstance(data, bool | int | float | str):
        return ast.Constant(data)
    at = f"at {place}: " if place else ""
    raise TypeError(f"{at}a dict for from_dict holds dicts, lists, numbers and texts; got {describe(data)}")


def _is_pair(x: Any) -> bool:
    return isinstance(x, list | tuple) and len(x) == 2


def _dotted(key: str, name: Any, place: str) -> ast.expr:
    """`storage.int8` as a part of a text.

    Raises: ValueError: it is not a name.
    """
    words = name.split(".") if isinstance(name, str) else []
    if not (words and all(word.isidentifier() for word in words)):
        where = f"{place}/{key}".lstrip("/")
        raise ValueError(f"{where} must be the name of a function, as 'gradtx.adam'; got {name!r}")
    node: ast.expr = ast.Name(words[0])
    for word in words[1:]:
        node = ast.Attribute(node, word)
    return node
