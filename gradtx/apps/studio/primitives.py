"""The primitives of JAX as JavaScript expressions of single numbers: float64, int32 and bool."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

KINDS = {"float64": "number", "int32": "integer", "bool": "flag"}
"""The types whose values a JavaScript number holds exactly."""

HELPERS = """\
// The power of C, Python and JAX. JavaScript has NaN for 1 ** NaN, and for 1 or -1 to an infinite power.
const power = (x, y) => (x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y);
"""

_ANY = {
    "eq": "{} === {}",
    "ge": "{} >= {}",
    "gt": "{} > {}",
    "le": "{} <= {}",
    "lt": "{} < {}",
    "ne": "{} !== {}",
}

_NUMBER = {
    "abs": "Math.abs({})",
    "add": "{} + {}",
    "cbrt": "Math.cbrt({})",
    "ceil": "Math.ceil({})",
    "clamp": "Math.min(Math.max({0}, {1}), {2})",
    "cos": "Math.cos({})",
    "div": "{} / {}",
    "exp": "Math.exp({})",
    "expm1": "Math.expm1({})",
    "floor": "Math.floor({})",
    "is_finite": "Number.isFinite({})",
    "log": "Math.log({})",
    "log1p": "Math.log1p({})",
    "max": "Math.max({}, {})",
    "min": "Math.min({}, {})",
    "mul": "{} * {}",
    "neg": "-{}",
    "pow": "power({}, {})",
    "rsqrt": "1 / Math.sqrt({})",
    "sign": "Math.sign({})",
    "sin": "Math.sin({})",
    "sqrt": "Math.sqrt({})",
    "square": "{0} * {0}",
    "sub": "{} - {}",
}

_INTEGER = {
    "abs": "Math.abs({}) | 0",
    "add": "({} + {}) | 0",
    "and": "{} & {}",
    "clamp": "Math.min(Math.max({0}, {1}), {2})",
    "max": "Math.max({}, {})",
    "min": "Math.min({}, {})",
    "mul": "Math.imul({}, {})",
    "neg": "-{} | 0",
    "not": "~{}",
    "or": "{} | {}",
    "sign": "Math.sign({})",
    "sub": "({} - {}) | 0",
}

_FLAG = {"and": "{} && {}", "not": "!{}", "or": "{} || {}"}

FORMS = {"number": {**_ANY, **_NUMBER}, "integer": {**_ANY, **_INTEGER}, "flag": {**_ANY, **_FLAG}}
"""The expressions of elementwise primitives, by the kind of the first operand; `{}` stands for an operand."""

_CONVERSIONS = {
    ("flag", "integer"): "{} ? 1 : 0",
    ("flag", "number"): "{} ? 1 : 0",
    ("integer", "flag"): "{} !== 0",
    ("integer", "number"): "{}",
    ("number", "flag"): "{} !== 0",
}

CALLS = ("closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "jit", "pjit")
"""Primitives that call a program, which is translated in their place. Custom derivatives are not needed."""

PASSED_ON = ("copy", "optimization_barrier", "stop_gradient")
"""Primitives that return their operand."""

REDUCTIONS = {"reduce_and": "and", "reduce_max": "max", "reduce_min": "min", "reduce_or": "or", "reduce_sum": "add"}
"""Reductions, and the primitive that combines two entries."""


class NotTranslatedError(NotImplementedError):
    """Part of a transformation has no translation to JavaScript; the message names it."""


def kind_of(aval: Any, where: str) -> str:
    """The kind of a type: "number", "integer" or "flag".

    Raises:
        NotTranslatedError: JavaScript numbers cannot compute in this type.
    """
    dtype = str(getattr(aval, "dtype", aval))
    if dtype == "int64" and getattr(aval, "weak_type", False):  # a Python integer, next to a count
        return "integer"
    if dtype not in KINDS:
        raise NotTranslatedError(f"{where} has the type {dtype}; only {', '.join(KINDS)} can be translated")
    return KINDS[dtype]


def form(primitive: str, kind: str) -> str:
    """The expression of an elementwise primitive.

    Raises:
        NotTranslatedError: the primitive is unknown, or unknown for this kind of operand.
    """
    if not any(primitive in forms for forms in FORMS.values()):
        raise NotTranslatedError(f"the primitive {primitive!r} has no translation to JavaScript")
    if primitive not in FORMS[kind]:
        dtype = next(name for name, holds in KINDS.items() if holds == kind)
        raise NotTranslatedError(f"the primitive {primitive!r} has no translation to JavaScript for {dtype}")
    return FORMS[kind][primitive]


def conversion(old: str, new: str) -> str:
    """The expression that turns one kind into another.

    Raises:
        NotTranslatedError: there is none, as from a number to an integer, which would round.
    """
    if old == new:
        return "{}"
    if (old, new) not in _CONVERSIONS:
        raise NotTranslatedError(f"the primitive 'convert_element_type' has no translation from {old} to {new}")
    return _CONVERSIONS[old, new]


def literal(value: Any) -> str:
    """A number as a JavaScript literal: the shortest decimal that is exactly this float64.

    Example:
        >>> literal(0.1), literal(-2.0), literal(float("inf")), literal(True), literal(1e-08)
        ('0.1', '(-2.0)', 'Infinity', 'true', '1e-08')
    """
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    number = int(value) if isinstance(value, int | np.integer) else float(value)
    if isinstance(number, float) and not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "(-Infinity)"
    text = repr(number)
    return f"({text})" if text.startswith("-") else text
