"""From text to a value: the inverse of `repr`."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from gradtx.errors import describe
from gradtx.text.names import constant, maker


def parse(text: str, names: Mapping[str, Any] | None = None) -> Any:
    """The value that prints as this text: `parse(repr(tx)) == tx`. It runs nothing but gradtx's own factories.

    The text is a call, as in Python: names of `gradtx` (with `gradtx.` in front or not) with literals, other such
    calls, tuples, lists and dicts. It may also have `frames.`, `moments.`, `rates.`, `sets.`, `storage.`, numbers with
    a type (`jnp.float32(0.1)`), `inf`, `nan` and `re.compile(...)`. Nothing else has a meaning: no operators but signs,
    no attributes, no names of Python. So a text from a stranger cannot run code. It can still ask for much work: a
    regular expression may be slow, and a text of some hundred nested calls is refused. Values of `gradtx.compat.optax`,
    which print as `compat.optax.adam(...)`, are refused too: they keep optax's protocol, and no text can say that.

    Args:
        text: the text.
        names: name -> a factory, function or value of your own that the text may use, such as a rule or a schedule that
            is a plain function. They come first.

    Raises: TypeError: the text is not a string, or a call has an argument that its factory does not know. ValueError:
        the text is no such call, or a factory refuses an argument; the message gives line and column.

    Example:
        >>> import gradtx
        >>> gradtx.parse("chain(clip_by_global_norm(1), scale(-1e-3))")
        chain(clip_by_global_norm(max_norm=1.0), scale(step_size=-0.001))
    """
    if not isinstance(text, str):
        raise TypeError(f"parse takes a text, as repr(tx) gives it; got {describe(text)}")
    if not text.strip():
        raise ValueError("the text is empty; parse takes a call, as 'adam(1e-3)'")
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        unnamed = " (it has an object without a name, such as a lambda or an array)" if "<" in text else ""
        raise ValueError(f"this is no call{unnamed}: {error.msg}, line {error.lineno}: {text.strip()[:200]}") from None
    except (RecursionError, MemoryError):
        raise ValueError("the text is nested too deeply") from None
    return evaluated(node, dict(names or {}))


def evaluated(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of a call.

    Raises: TypeError, ValueError: see `parse`.
    """
    if not isinstance(node, ast.Call | ast.Name | ast.Attribute):
        raise ValueError(f"a call was expected, as adam(1e-3); got {_short(node)}")
    try:
        return part(node, names)
    except RecursionError:
        raise ValueError("the text is nested too deeply") from None


def part(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of a part of a text."""
    match node:
        case ast.Constant(value=bool() | int() | float() | complex() | str() | None as value):
            return value
        case ast.Constant(value=value) if value is ...:
            raise ValueError(f"{_place(node)}'...' stands for arguments that are left out: write them in its place")
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            value = part(operand, names)
            if isinstance(value, bool) or not isinstance(value, int | float | complex):
                raise ValueError(f"{_place(node)}only a number may have a sign; got {_short(node)}")
            return -value if isinstance(node.op, ast.USub) else value
        case ast.BinOp(op=ast.BitOr()):
            left, right = part(node.left, names), part(node.right, names)
            if isinstance(left, re.RegexFlag) and isinstance(right, re.RegexFlag):
                return left | right
        case ast.Tuple(elts=items):
            return tuple(part(item, names) for item in items)
        case ast.List(elts=items):
            return [part(item, names) for item in items]
        case ast.Dict(keys=keys, values=values) if None not in keys:
            pairs = [(part(k, names), part(v, names)) for k, v in zip(keys, values, strict=True) if k is not None]
            return _placed(node, dict, pairs)
        case ast.Call(func=ast.Name() | ast.Attribute() as func, args=args, keywords=keywords):
            given = [k.arg for k in keywords]
            if twice := [word for word in given if given.count(word) > 1 and word]:
                raise ValueError(f"{_place(node)}{twice[0]} is given twice; got {_short(node)}")
            if any(isinstance(arg, ast.Starred) for arg in args) or None in given:
                raise ValueError(f"{_place(node)}* and ** have no meaning here; got {_short(node)}")
            function = _placed(node, maker, _dotted(func), names)
            positional = [part(arg, names) for arg in args]
            named = {k.arg: part(k.value, names) for k in keywords if k.arg is not None}
            return _placed(node, lambda: function(*positional, **named))
        case ast.Name() | ast.Attribute():
            return _placed(node, constant, _dotted(node), names)
    raise ValueError(f"{_place(node)}only calls, literals, tuples, lists and dicts may stand here; got {_short(node)}")


def _placed(node: ast.expr, function: Any, *arguments: Any) -> Any:
    """The result; errors say where in the text."""
    try:
        return function(*arguments)
    except (TypeError, ValueError, OverflowError, re.error) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{_place(node)}{error}") from None


def _place(node: ast.expr) -> str:
    if hasattr(node, "lineno"):
        return f"line {node.lineno}, column {node.col_offset + 1}: "
    return getattr(node, "place", "")  # of a part of a dict


def _short(node: ast.expr) -> str:
    return ast.unparse(node)[:200]


def _dotted(node: ast.expr) -> str:
    """`storage.int8` of Attribute(Name("storage"), "int8").

    Raises: ValueError: something else has an attribute.
    """
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise ValueError(f"{_place(node)}only names have attributes here; got {_short(node)}")
