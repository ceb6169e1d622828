"""Different transformations for different leaves: by rules (`route`) or by a tree of labels (`partition`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradtx.core.chain import entries
from gradtx.core.hyper import Hyper
from gradtx.core.pair import GradientTransformation
from gradtx.core.states import EmptyState
from gradtx.core.traits import Closures, Group
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, is_trained, leaf_names
from gradtx.errors import describe, suggestion
from gradtx.transforms.basic import scale
from gradtx.values.factory import key_name
from gradtx.wrappers.rules import arity, first_rules, is_function, is_rule, rule_name, split_leaves
from gradtx.wrappers.subtree import extras_for, merged, part, prefix_leaves, resolved


@transformation(sparse_rows=True)
def route(rules: dict[Any, Transformation], default: Transformation | None = None):
    """Give each leaf the transformation of the first rule that matches it.

    Args:
        rules: rule -> transformation, in order. A rule is a glob, a compiled regular expression, a function of `(path,
            leaf)`, or a tuple of these, where one match is enough. A glob is for the path of a leaf or of a node above
            it: `"layers/*/bias"`; `**` stands for any number of names.
        default: the transformation for leaves that no rule matches.

    State: a dict, text of the rule -> the state of its transformation, and `"default"` for the default's. Pieces
        without state have no entry. Leaves of other rules are `None`.
    Raises:
        ValueError: a rule takes no leaf (the error has the nearest paths), or matches both the key `a/b` and `b` inside
            `a`; no rule matches a leaf, and there is no default; a function needs `params`, which is not given.
        TypeError: a key of `rules` is not a rule.
    If a rule inside one of the transformations matches only leaves of the others, it has no effect, which is no error:
        several of them may share a mask.
    Source: optax's `partition`, which needs a tree of labels.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.route({"**/bias": gradtx.sgd(0.1)}, default=gradtx.adam(0.01))
        >>> params = {"layer": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> print(updates["layer"]["bias"], updates["layer"]["kernel"])
        [-0.1 -0.1] [-0.01 -0.01]
    """
    for rule in rules:
        if not is_rule(rule):
            kinds = "a glob, a compiled expression, a function of (path, leaf), or a tuple of these"
            raise TypeError(f"route: a rule must be {kinds}; got {describe(rule)}")
    groups = {key_name(rule): tx for rule, tx in rules.items()}
    if default is None:
        return by_group(groups, routes(rules, False))
    if "default" in groups:
        raise ValueError(
            "a rule has the text 'default', which is the name of the default: write the rule in another way"
        )
    return by_group({**groups, "default": default}, routes(rules, True))


@transformation(sparse_rows=True)
def partition(transforms: dict[Any, Transformation], labels: Any):
    """Give each leaf the transformation of its label.

    Args:
        transforms: label -> transformation. Labels are strings, numbers, or anything that prints differently.
        labels: a tree of labels like the parameters, or a prefix of one; or a function of the parameters that returns
            such a tree.

    State: a dict, label as a string -> the state of its transformation. Pieces without state have no entry. Leaves of
        other labels are `None`.
    Raises:
        ValueError: a label has no transformation; no leaf has the label of a transformation; the tree does not fit the
            parameters; `labels` is a function, and `params` is not given.
        TypeError: a label cannot be a key.
    Source: optax's `partition`, which calls the function with the gradients, and accepts labels that no leaf has.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.partition({"slow": gradtx.sgd(0.01), "fast": gradtx.sgd(0.1)}, {"body": "slow", "head": "fast"})
        >>> params = {"body": {"w": jnp.ones(2)}, "head": jnp.ones(2)}
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> print(updates["body"]["w"], updates["head"])
        [-0.01 -0.01] [-0.1 -0.1]
    """
    groups = {key_name(label): tx for label, tx in transforms.items()}
    return by_group(groups, labelled(transforms, labels))


@transformation
def per_leaf_learning_rate(multipliers: dict[Any, Hyper], default: Hyper = 1.0):
    """Multiply the updates of each leaf by the factor of the first rule that matches it; put it after the optimizer.

    Args:
        multipliers: rule -> factor, in order; the rules are those of `route`.
        default: the factor of the leaves that no rule matches.

    State: as `route`: only counts and values of schedules.
    Raises: as `route`.
    Source: torch's parameter groups with their own `lr`; optax's `partition` with a `scale` for each label.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.chain(gradtx.sgd(1.0), gradtx.per_leaf_learning_rate({"body": 0.1}))
        >>> params = {"body": {"w": jnp.ones(2)}, "head": jnp.ones(2)}
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> print(updates["body"]["w"], updates["head"])
        [-0.1 -0.1] [-1. -1.]
    """
    return route({rule: scale(factor) for rule, factor in multipliers.items()}, default=scale(default))


Groups = Callable[[Any, Any], dict[int, str]]


def routes(rules: Mapping[Any, Any], has_default: bool) -> Groups:
    """`(updates, params) -> {place of a trained leaf: name of its rule}`."""

    def assigned(updates: Any, params: Any) -> dict[int, str]:
        names, (leaves, others) = list(rules), split_leaves(updates, params)
        taken = first_rules("route", names, leaves, others)
        for leaf in leaves:
            if leaf.place not in taken and not has_default:
                known = ", ".join(map(rule_name, rules)) or "none"
                raise ValueError(f"route: no rule matches {leaf.path}: give a default=...; the rules are {known}")
        return {x.place: key_name(names[taken[x.place]]) if x.place in taken else "default" for x in leaves}

    return assigned


def labelled(transforms: Mapping[Any, Any], labels: Any) -> Groups:
    """`(updates, params) -> {place of a trained leaf: its label}`."""
    if is_function(labels) and arity(labels) != 1:
        raise TypeError(f"partition: labels must be a tree, or a function of the parameters; got {describe(labels)}")

    def assigned(updates: Any, params: Any) -> dict[int, str]:
        tree = resolved("partition", labels, params)
        like = updates if params is None else params
        rows = zip(prefix_leaves("partition", "label", tree, like), leaf_names(like), flatten(like)[0], strict=True)
        out, used = {}, set()
        for k, (x, path, leaf) in enumerate(rows):
            if is_trained(leaf):
                out[k] = _label(x, path, transforms)
            used.add(out.get(k) or key_name(x))  # a label may be given to leaves only that are not trained
        for label in transforms:
            if out and key_name(label) not in used:
                used = sorted(set(out.values()))
                raise ValueError(
                    f"partition: no leaf has the label {label!r}{suggestion(str(label), used)}; the leaves have {used}"
                )
        return out

    return assigned


def _label(label: Any, path: str, transforms: Mapping[Any, Any]) -> str:
    try:
        known = label in transforms
    except TypeError:
        raise TypeError(
            f"partition: the label of {path} must be one of {list(transforms)}; got {describe(label)}"
        ) from None
    if not known:
        near = suggestion(label, map(str, transforms)) if isinstance(label, str) else ""
        raise ValueError(
            f"partition: {path} has the label {label!r}{near}; there are transformations for {list(transforms)}"
        )
    return key_name(next(key for key in transforms if key == label))


def by_group(
    groups: dict[str, GradientTransformation], assign: Groups, why: Callable[[Any], dict[int, str]] | None = None
) -> Closures:
    """The closures that give each group of leaves its transformation. Leaves in no group are not trained, and pass.

    Args:
        groups: name -> transformation.
        assign: which leaf is in which group.
        why: `params -> {place: words}` for `plan`, in place of the name of the group.
    """

    def owns(updates: Any, params: Any) -> dict[str, list[bool]]:
        group_of = assign(updates, params)
        places = range(len(flatten(updates)[0]))
        return {name: [group_of.get(k) == name for k in places] for name in groups}

    def init(params):
        own = owns(params, params)
        return entries({name: tx.init(part(params, own[name])) for name, tx in groups.items()})

    def update(updates, state, params=None, **extra):
        unknown = sorted(map(str, state.keys() - groups.keys()))
        if unknown:
            raise TypeError(
                f"the state has an entry {unknown[0]!r}; the rules or labels are {list(groups)}: "
                f"make the state with this transformation's own init"
            )
        own, news, states = owns(updates, params), [], {}
        for name, tx in groups.items():
            mine, held = own[name], state.get(name, EmptyState())
            theirs = extras_for(mine, params, tx.extras.taken(extra))
            new, states[name] = tx.update(part(updates, mine), held, part(params, mine), **theirs)
            news.append(new)
        return merged(list(own.values()), [*news, updates]), entries(states)

    def leaf_groups(params):
        words = why(params) if why else {}
        return {k: Group(words.get(k, name), groups[name]) for k, name in assign(params, params).items()}

    return Closures(init, update, leaf_groups=leaf_groups)
