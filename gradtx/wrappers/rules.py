"""Rules for leaves: globs, regular expressions and functions, matched against the paths of the parameters."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from gradtx.core.trees import flatten_with_paths, is_trained, leaf_names, path_name
from gradtx.errors import describe
from gradtx.values.factory import key_name

Rule = str | re.Pattern | Callable[[str, Any], bool] | tuple
"""A glob, a compiled expression, a function of `(path, leaf)`, or a tuple of these, where one match is enough."""


class Leaf(NamedTuple):
    """A leaf as rules see it.

    place: its place among all leaves of the tree, None among them.
    path: its name.
    parameter: the parameter; None where the parameters are not given.
    keys: its key path; it has the key of a box around the leaf, which `path` leaves out.
    """

    place: int
    path: str
    parameter: Any
    keys: tuple


def is_rule(x: Any) -> bool:
    """Whether this is a rule, or a tuple of rules."""
    left = [x]  # a loop, since a tree of tuples may be deeper than Python's recursion limit
    while left:
        x = left.pop()
        if isinstance(x, tuple) and x:
            left += x
        elif not (isinstance(x, str | re.Pattern) or (is_function(x) and arity(x) == 2)):
            return False
    return True


def is_function(x: Any) -> bool:
    """Whether this is a function, and not a tree that can be called, as equinox's modules can."""
    return callable(x) and jax.tree_util.all_leaves([x])


def arity(function: Any) -> int:
    """The number of arguments that a function needs by position; -1 where that is not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return -1
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)


def split_leaves(updates: Any, params: Any) -> tuple[list[Leaf], list[Leaf]]:
    """The trained leaves of the parameters, and all others (integers, keys, None).

    Without parameters, those of the updates, which have the same paths.
    """
    known = params is not None
    entries, _ = flatten_with_paths(params if known else updates)
    names = leaf_names(params if known else updates)
    leaves = [Leaf(place, names[place], x if known else None, path) for place, (path, x) in enumerate(entries)]
    trained = [is_trained(x) for _, x in entries]
    return [x for x, t in zip(leaves, trained, strict=True) if t], [
        x for x, t in zip(leaves, trained, strict=True) if not t
    ]


def trained_leaves(updates: Any, params: Any) -> list[Leaf]:
    """The trained leaves of the parameters; without parameters, of the updates, which have the same paths."""
    return split_leaves(updates, params)[0]


def first_rules(who: str, rules: Sequence[Rule], leaves: list[Leaf], others: Sequence[Leaf] = ()) -> dict[int, int]:
    """Place of a leaf -> index of the first rule that matches it.

    Args:
        who: the transformation, for errors.
        rules: in order.
        leaves: the trained leaves.
        others: the leaves that are not trained. A rule that takes one of them is no mistake, though it has no effect.

    Raises:
        ValueError: a rule takes no leaf, or names two places of the tree; a rule is a function, and the parameters are
            not given. TypeError: a function returns something else than True or False.
    """
    taken: dict[int, int] = {}
    for k, rule in enumerate(rules):
        _require_one_meaning(who, rule, [*leaves, *others])
        found = [leaf for leaf in leaves if _fits(who, rule, leaf)]
        new = [leaf for leaf in found if leaf.place not in taken]
        first = [_first(rules[: k + 1], leaf) for leaf in others if _fits_untrained(rule, leaf)] if not new else []
        if leaves and not new and k not in first:
            earlier = [rules[taken[leaf.place]] for leaf in found] + [rules[j] for j in first]
            raise ValueError(f"{who}: {_useless(rule, earlier, [*leaves, *others])}")
        taken.update({leaf.place: k for leaf in new})
    return taken


def nearest(pattern: str, paths: Iterable[str], count: int = 3) -> str:
    """The existing paths that are nearest to one that does not exist, for an error.

    Each word of the pattern is compared with each name of a path. If nothing is similar: leaves that differ by more
    than numbers.
    """
    paths, words = list(paths), re.findall(r"\w+", re.sub(r"\\\w", "", pattern))
    alike = [(sum(max(_alike(word, key) for key in path.split("/")) for word in words), path) for path in paths]
    enough = max(0.5 * len(words), max((score for score, _ in alike), default=0.0) - 0.25)
    near = [path for score, path in sorted(alike, key=lambda x: -x[0]) if score > enough]
    near = near or list({re.sub(r"\d+", "0", path): path for path in reversed(paths)}.values())[::-1]
    return ", ".join(near[:count]) + (", ..." if len(near) > count else "")


@functools.lru_cache(10_000)
def _alike(word: str, key: str) -> float:
    return difflib.SequenceMatcher(None, word.lower(), key.lower()).ratio()


def rule_name(rule: Rule) -> str:
    """A rule as in errors."""
    if isinstance(rule, tuple):
        return f"({', '.join(map(rule_name, rule))})"
    return repr(rule) if isinstance(rule, str) else key_name(rule)


def _fits(who: str, rule: Rule, leaf: Leaf) -> bool:
    if isinstance(rule, tuple):
        return any(_fits(who, one, leaf) for one in rule)
    if isinstance(rule, str):
        return any(_regex(rule).fullmatch(f"{name}/") for name in _names(leaf))
    if isinstance(rule, re.Pattern):
        return any(rule.search(name) for name in _names(leaf))
    if leaf.parameter is None:
        raise ValueError(
            f"{who}: the rule {rule_name(rule)} is a function of the parameters: call update(updates, state, params)"
        )
    answer = rule(leaf.path, leaf.parameter)
    if not isinstance(answer, bool | np.bool_):
        got = f"for {leaf.path} it returned {describe(answer)}"
        raise TypeError(f"{who}: the rule {rule_name(rule)} must return True or False; {got}")
    return bool(answer)


def _fits_untrained(rule: Rule, leaf: Leaf) -> bool:
    """The same for a leaf that is not trained, whatever a function that is written for arrays makes of it."""
    if isinstance(rule, tuple):
        return any(_fits_untrained(one, leaf) for one in rule)
    if isinstance(rule, str | re.Pattern):
        return _fits("", rule, leaf)
    try:
        return bool(rule(leaf.path, leaf.parameter))
    except Exception:  # it need not know keys and None
        return False


def _first(rules: Sequence[Rule], leaf: Leaf) -> int:
    """The index of the first of these rules that matches a leaf that is not trained."""
    return next(k for k, rule in enumerate(rules) if _fits_untrained(rule, leaf))


def _names(leaf: Leaf) -> tuple[str, ...]:
    """The name of a leaf, and the longer one with the key of its box: globs and expressions may use either."""
    return (leaf.path, path_name(leaf.keys)) if _may_be_boxed(leaf) else (leaf.path,)


def _may_be_boxed(leaf: Leaf) -> bool:
    return leaf.keys[-1:] == (jax.tree_util.GetAttrKey("value"),)


def _require_one_meaning(who: str, rule: Rule, leaves: list[Leaf]) -> None:
    """Raise where a glob names the key `a/b` and also `b` inside `a`. With `**` it is meant to match in many places."""
    if isinstance(rule, tuple):
        for one in rule:
            _require_one_meaning(who, one, leaves)
    if not isinstance(rule, str) or "**" in rule:
        return
    if not any(leaf.path.count("/") >= len(leaf.keys) - _may_be_boxed(leaf) for leaf in leaves):
        return  # no key has a slash
    meant: dict[str, tuple] = {}
    for keys in (leaf.keys[:n] for leaf in leaves for n in range(1, len(leaf.keys) + 1)):
        name = path_name(keys)
        if _node(rule).fullmatch(f"{name}/") and meant.setdefault(name, keys) != keys:
            places = " and ".join(" > ".join(repr(path_name((key,))) for key in x) for x in (meant[name], keys))
            raise ValueError(f"{who}: the rule {rule!r} names two places of the tree, {places}: rename one of the keys")


@functools.lru_cache
def _regex(glob: str) -> re.Pattern:
    """The glob as an expression for the path of a leaf with a slash at its end; it may match a node above the leaf."""
    return re.compile(_node(glob).pattern + "(?:[^/]+/)*")


@functools.lru_cache
def _node(glob: str) -> re.Pattern:
    """The same for the path of a node."""
    parts = (re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") for part in glob.strip("/").split("/"))
    return re.compile("".join("(?:[^/]+/)*" if part == "[^/]*[^/]*" else f"{part}/" for part in parts))


def _useless(rule: Rule, earlier: list[Rule], leaves: list[Leaf]) -> str:
    name = rule_name(rule)
    if earlier:
        return (
            f"the rule {name} takes no leaf: every leaf it matches is already taken by the rule "
            f"{rule_name(earlier[0])}; put the narrower rule first"
        )
    said = f"the rule {name} matches no leaf"
    if isinstance(rule, str) and any(_fits("", f"**/{rule}", leaf) for leaf in leaves):
        return f"{said}; did you mean '**/{rule}'? A glob begins at the root"
    return f"{said}; nearest: {nearest(key_name(rule), [x.path for x in leaves])}"
