"""Translation of jaxprs to straight-line JavaScript, with a variable for each entry of each array."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradtx.apps.studio.primitives import (
    CALLS,
    PASSED_ON,
    REDUCTIONS,
    NotTranslatedError,
    conversion,
    form,
    kind_of,
    literal,
)

_VARIABLE = re.compile(r"\bt\d+\b")


class Statement(NamedTuple):
    """`const name = expression;`, and the name of the transformation that computes it."""

    name: str
    expression: str
    scope: str


class Translation:
    """The statements of a program. Arrays are NumPy arrays of atoms.

    An atom is a name, a member such as `s.nu[0]`, or a literal: it needs no brackets in any expression.
    """

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self._scope = ""

    def run(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Append the statements of a program. Returns its results as arrays of atoms.

        Args:
            jaxpr: an open jaxpr.
            consts: the arrays of its constants.
            inputs: an array of atoms for each input.

        Raises:
            NotTranslatedError: a primitive or a type has no translation; the message names it.
        """
        known: dict[Any, np.ndarray] = {}

        def atoms(x: Any) -> np.ndarray:
            return _literals(x.val, x.aval) if hasattr(x, "val") else known[x]

        known.update((v, _literals(c, v.aval)) for v, c in zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, inputs, strict=True))
        for eqn in jaxpr.eqns:
            outer = self._scope
            self._scope = str(eqn.source_info.name_stack).split("/")[-1] or outer
            for variable in eqn.outvars:
                kind_of(variable.aval, f"a result of the primitive {eqn.primitive.name!r}")
            results = self._equation(eqn, [atoms(x) for x in eqn.invars])
            known.update(zip(eqn.outvars, results, strict=True))
            self._scope = outer
        return [atoms(x) for x in jaxpr.outvars]

    def emit(self, expression: str) -> str:
        """A new variable with the value of an expression; an atom is returned unchanged."""
        if re.fullmatch(r"[\w.\[\]]+|\([-\w.]+\)", expression):
            return expression
        name = f"t{len(self.statements) + 1}"
        self.statements.append(Statement(name, expression, self._scope))
        return name

    def needed(self, results: Iterable[np.ndarray]) -> list[Statement]:
        """The statements that the results depend on, in order."""
        wanted = {str(atom) for array in results for atom in array.flat}
        kept = []
        for statement in reversed(self.statements):
            if statement.name in wanted:
                wanted.update(_VARIABLE.findall(statement.expression))
                kept.append(statement)
        return kept[::-1]

    def _equation(self, eqn: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
        name, params = eqn.primitive.name, eqn.params
        if name in CALLS:
            inner = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
            return self.run(inner.jaxpr, inner.consts, inputs)
        if name in PASSED_ON:
            return inputs
        if name == "cond":
            return self._branched(params["branches"], inputs)
        out, first = eqn.outvars[0].aval, eqn.invars[0].aval
        kind = kind_of(first, f"an operand of the primitive {name!r}")
        if name == "broadcast_in_dim":
            places = params["broadcast_dimensions"]
            shape = [inputs[0].shape[places.index(k)] if k in places else 1 for k in range(len(out.shape))]
            return [np.broadcast_to(inputs[0].reshape(shape), out.shape)]
        if name in ("reshape", "squeeze"):
            return [inputs[0].reshape(out.shape)]
        if name in ("concatenate", "stack"):
            joined = np.stack if name == "stack" else np.concatenate
            return [joined(inputs, params.get("axis", params.get("dimension")))]
        if name in REDUCTIONS:
            return [self._reduced(REDUCTIONS[name], kind, inputs[0], params["axes"])]
        if name == "convert_element_type":
            return [self._each(conversion(kind, kind_of(out, name)), out.shape, inputs)]
        if name == "select_n":
            return [self._selected(out.shape, inputs)]
        if name == "integer_pow" and kind == "number":
            return [self._each(f"power({{}}, {literal(params['y'])})", out.shape, inputs)]
        return [self._each(form(name, kind), out.shape, inputs)]

    def _branched(self, branches: Sequence[Any], inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Both branches, which change nothing outside, and for each result a choice."""
        if len(branches) != 2:
            raise NotTranslatedError(f"the primitive 'cond' has no translation for {len(branches)} branches")
        no, yes = (self.run(branch.jaxpr, branch.consts, inputs[1:]) for branch in branches)
        return [self._selected(a.shape, [inputs[0], a, b]) for a, b in zip(no, yes, strict=True)]

    def _each(self, expression: str, shape: tuple[int, ...], inputs: Sequence[np.ndarray]) -> np.ndarray:
        return _elementwise(lambda *atoms: self.emit(expression.format(*atoms)), shape, inputs)

    def _selected(self, shape: tuple[int, ...], inputs: Sequence[np.ndarray]) -> np.ndarray:
        if len(inputs) != 3:
            raise NotTranslatedError(f"the primitive 'select_n' has no translation for {len(inputs) - 1} cases")

        def one(chosen: str, no: str, yes: str) -> str:
            if chosen in ("true", "false") or no == yes:
                return yes if chosen == "true" else no
            return self.emit(f"{chosen} ? {yes} : {no}")

        return _elementwise(one, shape, inputs)

    def _reduced(self, primitive: str, kind: str, x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        kept = [k for k in range(x.ndim) if k not in axes]
        shape = [x.shape[k] for k in kept]
        rows = x.transpose([*kept, *axes]).reshape(int(np.prod(shape)), -1)
        if not rows.shape[1]:
            raise NotTranslatedError(f"the reduction by {primitive!r} of an array without entries has no translation")
        step = form(primitive, kind)
        return _array([functools.reduce(lambda a, b: self.emit(step.format(a, b)), row) for row in rows], shape)


def function(name: str, parameters: str, program: Any, inputs: Sequence[np.ndarray], result: Callable) -> str:
    """A closed jaxpr as a pure JavaScript function.

    Args:
        name: of the function.
        parameters: its parameters, such as `"g, s, w, h"`.
        program: the closed jaxpr.
        inputs: an array of atoms for each input, in terms of the parameters, such as `members("g", (2,))`.
        result: makes the returned expression from the results, a list of arrays of atoms.
    """
    translation = Translation()
    results = translation.run(program.jaxpr, program.consts, inputs)
    lines, scope = [], ""
    for statement in translation.needed(results):
        if statement.scope != scope:
            scope = statement.scope
            lines.append(f"  // {scope or 'and then'}")
        lines.append(f"  const {statement.name} = {statement.expression};")
    return "\n".join([f"function {name}({parameters}) {{", *lines, f"  return {result(results)};", "}"])


def members(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The atoms of a parameter: itself for a number, `g[0]` and `g[1]` for a list of numbers."""
    if not shape:
        return _array([name], shape)
    if len(shape) > 1:
        raise NotTranslatedError(f"{name} has the shape {shape}; the page has numbers and lists of numbers")
    return _array([f"{name}[{k}]" for k in range(*shape)], shape)


def written(atoms: np.ndarray) -> str:
    """The expression of an array of atoms: an atom, or a list of them."""
    return f"[{', '.join(atoms)}]" if atoms.ndim else str(atoms.item())


def _elementwise(one: Callable[..., str], shape: tuple[int, ...], inputs: Sequence[np.ndarray]) -> np.ndarray:
    if any(np.broadcast_shapes(x.shape, shape) != shape for x in inputs):
        raise NotTranslatedError(f"operands of the shapes {[x.shape for x in inputs]} for a result of {shape}")
    rows = zip(*(np.broadcast_to(x, shape).flat for x in inputs), strict=True)
    return _array([one(*row) for row in rows], shape)


def _literals(value: Any, aval: Any) -> np.ndarray:
    kind_of(aval, "a constant")
    array = np.asarray(value, aval.dtype)
    return _array([literal(x) for x in array.flat], array.shape)


def _array(atoms: Sequence[str], shape: Sequence[int]) -> np.ndarray:
    array = np.empty(tuple(shape), object)
    array[...] = np.array([*atoms, None], object)[:-1].reshape(tuple(shape))
    return array
