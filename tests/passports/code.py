"""A fingerprint of the code of which a transformation is made: it stays when comments, docstrings or layout change.

Code that has another fingerprint may still compute the same; then the numbers of the probe decide.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
import types
import zlib
from typing import Any

from tests.catalog.pieces import pieces

SHARED = ("gradtx.core",)  # what all have in common; `numerics` is arithmetic
ARITHMETIC = "gradtx.core.numerics"
ADDRESS = re.compile(" at 0x[0-9a-f]+")


def fingerprint(tx: Any) -> str:
    """Of the factories of a transformation and of all that are inside it, and of the functions that they call."""
    seen: dict[str, str] = {}
    for piece in pieces(tx):
        _walk(piece.made_by, seen)
    code = "\n".join(seen[name] for name in sorted(seen))
    return f"{zlib.crc32(code.encode()):08x}"


def _walk(thing: Any, seen: dict[str, str]) -> None:
    factory = getattr(thing, "factory", None)
    function = factory.body if factory is not None else thing
    module, name = getattr(function, "__module__", "") or "", getattr(function, "__qualname__", "")
    key = f"{module}.{name}"
    ours = module.startswith("gradtx.") and (module == ARITHMETIC or not module.startswith(SHARED))
    if not ours or key in seen or not isinstance(function, types.FunctionType | type):
        return
    seen[key], names = _code(function)
    scope = vars(inspect.getmodule(function))
    for used in names:
        if isinstance(scope.get(used), int | float | str | tuple):
            seen[f"{module}.{used}"] = ADDRESS.sub("", repr(scope[used]))
        elif used in scope:
            _walk(scope[used], seen)


@functools.cache
def _code(function: Any) -> tuple[str, tuple[str, ...]]:
    """The code without docstrings, annotations and messages, and the names in it."""
    tree = _WithoutMessages().visit(ast.parse(textwrap.dedent(inspect.getsource(function))))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            node.returns, node.decorator_list = None, []
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return ast.unparse(tree), tuple(sorted(names))


class _WithoutMessages(ast.NodeTransformer):
    """Texts with values in them are messages; versions of Python also write them differently."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.Constant:
        return ast.Constant("")
