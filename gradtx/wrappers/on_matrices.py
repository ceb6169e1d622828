"""One transformation for the hidden matrices of a network, and another one for everything else."""

from __future__ import annotations

import re
from typing import Any

from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, shape_of
from gradtx.errors import describe
from gradtx.wrappers.partition import by_group
from gradtx.wrappers.rules import Leaf, first_rules, is_rule, rule_name, split_leaves

_EMBEDDING = re.compile(r"embed|(^|/)(wte|wpe)(/|$)", re.IGNORECASE)
_BIAS = re.compile(r"(^|/)bias(/value)?$")
_HEAD = re.compile(r"(^|/)(head|lm_head|classifier|logits)(/|$)", re.IGNORECASE)


@transformation
def on_matrices(matrices: Transformation, others: Transformation, exclude: Any = None, *, stacks: Any = False):
    """Give the hidden matrices of a network one transformation, and all other leaves another one.

    `plan` shows for each leaf where it goes, and why. By default these go to `others`: leaves without two axes that are
    longer than 1; leaves with more axes; biases; embeddings; and the last layer. They are found by their paths: `bias`
    as the name; `embed`, `wte` or `wpe` in the path; a part that is `head`, `lm_head`, `classifier` or `logits`. Names
    differ from network to network, so look at the plan once.

    Args:
        matrices: the transformation for hidden matrices.
        others: the transformation for all other leaves.
        exclude: the rule for the matrices that go to `others`, in place of the names above; () for none. It is a glob,
            a regular expression, a function of `(path, leaf)`, or a tuple or list of these, as in `route`.
        stacks: whether leaves with more than two axes, such as scanned layers and convolutions, are matrices; or the
            rule for those that are, as for exclude.

    State: a dict, `"matrices"` and `"others"` -> the state of each; pieces without state have no entry. Leaves of the
        other one are `None`.
    Raises: ValueError: a rule takes no leaf; it is a function, and `params` is not given. TypeError: exclude or
        stacks is not a rule.
    Source: Jordan et al. 2024 (Muon, on kellerjordan.github.io) says which leaves Muon is for. torch lets the caller
        choose, optax takes all leaves with two axes, Keras those without "embedding" in their path.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.on_matrices(gradtx.sgd(0.1), gradtx.sgd(1.0))
        >>> params = {"embed": jnp.ones((2, 2)), "dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> print(updates["embed"][0], updates["dense"]["kernel"][0], updates["dense"]["bias"])
        [-1. -1.] [-0.1 -0.1] [-1. -1.]
    """
    rules = _rules("exclude", exclude, None)
    deep = () if isinstance(stacks, bool) else _rules("stacks", stacks, False)

    def reasons(updates: Any, params: Any) -> dict[int, str]:
        """Place of a trained leaf -> why it goes to `others`, or "matrices"."""
        leaves, untrained = split_leaves(updates, params)
        named = first_rules("on_matrices", rules, leaves, untrained)
        stacked = first_rules("on_matrices", deep, leaves, untrained)
        shapes = [shape_of(x) for x in flatten(updates if params is None else params)[0]]
        return {leaf.place: reason(leaf, shapes[leaf.place], named, stacked) for leaf in leaves}

    def reason(leaf: Leaf, shape: tuple[int, ...], named: dict[int, int], stacked: dict[int, int]) -> str:
        if sum(n > 1 for n in shape) < 2:
            return f"others: no matrix, shape {shape}"
        if len(shape) > 2 and stacks is not True and leaf.place not in stacked:
            return f"others: {len(shape)} axes"
        if leaf.place in named:
            return f"others: {rule_name(rules[named[leaf.place]])}"
        if exclude is None and _BIAS.search(leaf.path):
            return "others: a bias by its name"
        if exclude is None and _EMBEDDING.search(leaf.path):
            return "others: an embedding by its name"
        if exclude is None and _HEAD.search(leaf.path):
            return "others: the head by its name"
        return "matrices"

    def assign(updates: Any, params: Any) -> dict[int, str]:
        return {k: why.partition(":")[0] for k, why in reasons(updates, params).items()}

    return by_group({"matrices": matrices, "others": others}, assign, lambda params: reasons(params, params))


def _rules(name: str, given: Any, none: Any) -> tuple:
    given = tuple(given) if isinstance(given, list) else given
    if not (given is none or given == () or is_rule(given)):
        kinds = "a glob, a compiled expression, a function of (path, leaf), a tuple or list of these, or"
        raise TypeError(f"on_matrices: {name} must be {kinds} {none}; got {describe(given)}")
    return () if given is none else given if isinstance(given, tuple) else (given,)
