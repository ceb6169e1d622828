"""Rules for leaves: globs, regular expressions and predicates, resolved on the paths of the parameters."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from gradtx.core.errors import describe
from gradtx.core.factory import key_name
from gradtx.core.trees import flatten, is_trained, leaf_names

Rule = str | re.Pattern | Callable[[str, Any], bool] | tuple
"""A glob, a compiled expression, a function of `(path, leaf)`, or a tuple of these, any of which may fit."""


class Leaf(NamedTuple):
    """A trained leaf as rules see it: its place among all leaves, its path, and the parameter, None where not given."""

    place: int
    path: str
    parameter: Any


def is_rule(x: Any) -> bool:
    """Whether this is a rule, or a tuple of rules."""
    if isinstance(x, tuple):
        return bool(x) and all(map(is_rule, x))
    return isinstance(x, str | re.Pattern) or (is_function(x) and arity(x) == 2)


def is_function(x: Any) -> bool:
    """Whether this is a function, and not a tree that can be called, as equinox's modules can."""
    return callable(x) and jax.tree_util.all_leaves([x])


def arity(function: Any) -> int:
    """How many arguments a function must be given by place."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins do not tell
        return -1
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)


def trained_leaves(updates: Any, params: Any) -> list[Leaf]:
    """The trained leaves of the parameters; where there are none, of the updates, whose paths are the same."""
    known = params is not None
    tree = params if known else updates
    rows = enumerate(zip(leaf_names(tree), flatten(tree)[0], strict=True))
    return [Leaf(place, path, x if known else None) for place, (path, x) in rows if is_trained(x)]


def first_rules(who: str, rules: Sequence[Rule], leaves: list[Leaf]) -> dict[int, int]:
    """Place of a leaf -> index of the first rule that takes it, for the leaves that some rule takes.

    Raises:
        ValueError: a rule that takes no leaf; a predicate without the parameters. TypeError: a predicate that returns
            something else than True or False.
    """
    taken: dict[int, int] = {}
    for k, rule in enumerate(rules):
        found = [leaf for leaf in leaves if _fits(who, rule, leaf)]
        new = [leaf for leaf in found if leaf.place not in taken]
        if leaves and not new:
            raise ValueError(f"{who}: {_useless(rule, [rules[taken[leaf.place]] for leaf in found], leaves)}")
        taken.update({leaf.place: k for leaf in new})
    return taken


def nearest(pattern: str, paths: Iterable[str], count: int = 3) -> str:
    """The paths that are nearest to one that does not exist, for an error."""
    paths = list(paths)
    near = difflib.get_close_matches(pattern, paths, count, 0.4) or paths[:count]
    return ", ".join(near) + (", ..." if len(paths) > len(near) and near == paths[:count] else "")


def rule_name(rule: Rule) -> str:
    """A rule as in errors."""
    if isinstance(rule, tuple):
        return f"({', '.join(map(rule_name, rule))})"
    return repr(rule) if isinstance(rule, str) else key_name(rule)


def _fits(who: str, rule: Rule, leaf: Leaf) -> bool:
    if isinstance(rule, tuple):
        return any(_fits(who, one, leaf) for one in rule)
    if isinstance(rule, str):
        return _regex(rule).fullmatch(f"{leaf.path}/") is not None
    if isinstance(rule, re.Pattern):
        return rule.search(leaf.path) is not None
    if leaf.parameter is None:
        raise ValueError(
            f"{who}: the rule {rule_name(rule)} looks at the parameters: call update(updates, state, params)"
        )
    answer = rule(leaf.path, leaf.parameter)
    if not isinstance(answer, bool | np.bool_):
        got = f"for {leaf.path} it returned {describe(answer)}"
        raise TypeError(f"{who}: the rule {rule_name(rule)} must return True or False; {got}")
    return bool(answer)


@functools.lru_cache
def _regex(glob: str) -> re.Pattern:
    """The glob as an expression for a whole path with a slash at its end; the path of a node above will do."""
    below = "(?:[^/]+/)*"
    parts = (re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") for part in glob.strip("/").split("/"))
    return re.compile("".join(below if part == "[^/]*[^/]*" else f"{part}/" for part in parts) + below)


def _useless(rule: Rule, earlier: list[Rule], leaves: list[Leaf]) -> str:
    name = rule_name(rule)
    if earlier:
        return f"the rule {name} takes no leaf: {rule_name(earlier[0])}, which stands before it, has them all"
    said = f"the rule {name} fits no trained leaf"
    if isinstance(rule, str) and any(_regex(f"**/{rule}").fullmatch(f"{leaf.path}/") for leaf in leaves):
        return f"{said}; did you mean '**/{rule}'? A glob begins at the root"
    return f"{said}; nearest: {nearest(key_name(rule), [x.path for x in leaves])}"
