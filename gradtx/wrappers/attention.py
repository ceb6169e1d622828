"""Weights of attention that are made smaller where attention logits grow too large."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import OwnShapes, flatten, is_trained, leaf_names, shape_of
from gradtx.errors import describe, positive, whole
from gradtx.wrappers.rules import Leaf, first_rules, is_rule, split_leaves


@transformation(sets_params=True)
def qk_clip(exponents: Mapping[Any, float], threshold: Hyper = 100.0, *, heads: int = -2):
    """Step, then make the weights of queries and keys smaller where the attention logits of a head were too large.

        γ = min(1, threshold/S)        S: the largest |logit| of a head in this step
        w = γ^exponent·(w + u)         for the weights of that head

    Each `update` gets `max_logits`, a tree with an array S for each attention layer: `{"layers": [{"attn": S}, ...]}`
    clips the leaves below `layers/0/attn` to which a rule applies. S has an entry for each head, with the axes of a
    stack of layers in front. Where keys are shared by a group of queries, S has one for each head of the keys, the
    largest of the group. On several devices S must be that of all: `jax.lax.pmax`; inside `accumulate`, that of all
    parts, since it is read with the last one. A head whose S is not finite is left
    as it is.

    Args:
        exponents: rule -> the exponent of the leaves that it matches, as in `route`; greater than 0.
            `{"**/query/kernel": 0.5, "**/key/kernel": 0.5}` in most networks. In latent attention 0.5 for both parts
            without position, 1 for the rotary part of the query, and none for the shared rotary key.
        threshold: the largest logit that is allowed; finite, greater than 0.
        heads: the axis of the heads in these leaves, from the end: -2 where they are in × heads × width, or in torch's
            heads·width × in; -1 where they are in × heads·width. Its length is a multiple of the entries of S.

    State: none. The updates must be added as they are: in a chain this is the last member. Its update needs `params`.
    Raises: ValueError: a rule takes no leaf; an exponent or the threshold is not above 0; `max_logits` does not fit the
        leaves that match. TypeError: an argument is something else; `max_logits` is not given.
    Source: 2507.20534 on arXiv (Kimi K2), QK-Clip, algorithm 1; threshold as there. Not in optax, torch or Keras.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.chain(gradtx.sgd(0.1), gradtx.qk_clip({"**/query": 0.5}, heads=-1))
        >>> w = {"attn": {"query": jnp.ones((1, 2)), "value": jnp.ones((1, 2))}}
        >>> updates, _ = tx.update(w, tx.init(w), w, max_logits={"attn": jnp.array([400.0, 50.0])})
        >>> print(gradtx.apply_updates(w, updates)["attn"]["query"])
        [[0.45 0.9 ]]
    """
    positive(threshold=threshold)
    whole(heads=heads)
    if heads >= 0:
        raise ValueError(f"heads must be an axis counted from the end, as -2; got {heads}")
    if not isinstance(exponents, Mapping) or not exponents or not all(map(is_rule, exponents)):
        raise TypeError(f"exponents must be rules and their exponents, {{'**/query': 0.5}}; got {describe(exponents)}")
    for rule, e in exponents.items():
        if isinstance(e, bool) or not isinstance(e, int | float) or not 0 < e < math.inf:
            raise ValueError(f"exponents[{rule!r}] must be a finite number above 0; got {describe(e)}")

    def clipped(params: Any) -> dict[int, tuple[Leaf, float]]:
        """Place of a leaf -> the leaf, and its exponent."""
        leaves, untrained = split_leaves(params, params)
        found = first_rules("qk_clip", tuple(exponents), leaves, untrained)
        powers = tuple(exponents.values())
        return {leaf.place: (leaf, powers[found[leaf.place]]) for leaf in leaves if leaf.place in found}

    def init(params):
        for leaf, _ in clipped(params).values():
            if len(shape_of(leaf.parameter)) < -heads:
                raise ValueError(
                    f"qk_clip: the parameter at {leaf.path} has shape {shape_of(leaf.parameter)}, no axis {heads}"
                )
        return EmptyState()

    def update(updates, state, params, *, max_logits):
        layers = {name: jnp.asarray(s) for name, s in zip(leaf_names(max_logits), flatten(max_logits)[0], strict=True)}
        leaves, structure = flatten(params)
        factors: list[jax.Array | None] = [None] * len(leaves)
        used: set[str] = set()
        for place, (leaf, power) in clipped(params).items():
            name = _layer_of(leaf.path, layers)
            used.add(name)
            factors[place] = _factors(leaf.path, shape_of(leaf.parameter), layers[name], threshold, power, heads)
        unused = [name for name in layers if name not in used]
        if unused and any(map(is_trained, leaves)):
            raise ValueError(f"qk_clip: max_logits at {unused[0]}, and no leaf below it matches {tuple(exponents)}")

        def leaf_function(u, w, factor):
            return u if factor is None else factor * u - (1.0 - factor) * w

        return map_leaves(leaf_function, updates, params, OwnShapes(jax.tree.unflatten(structure, factors))), state

    return init, update


def _layer_of(path: str, layers: Mapping[str, Any]) -> str:
    """The path in `max_logits` under which a leaf lies; the longest."""
    found = [name for name in layers if not name or path == name or path.startswith(f"{name}/")]
    if not found:
        raise ValueError(
            f"qk_clip: max_logits has nothing for the leaf at {path}; it has arrays at {', '.join(layers) or 'no path'}"
        )
    return max(found, key=len)


def _factors(path: str, shape: tuple[int, ...], s: jax.Array, threshold: Any, power: float, heads: int) -> jax.Array:
    """γ^power in a shape that can be multiplied with the leaf."""
    stack, count = s.shape[:-1], s.shape[-1] if s.ndim else 0
    axis = len(shape) + heads
    if not count or shape[axis] % count or len(stack) > axis or shape[: len(stack)] != stack:
        raise ValueError(
            f"qk_clip: max_logits for {path} has shape {s.shape}, and the leaf {shape}: expected an entry for each "
            f"head along axis {heads}, of length {shape[axis]}, and the axes of a stack of layers in front"
        )
    s = s.astype(jnp.promote_types(s.dtype, jnp.float32))
    large = jnp.isfinite(s) & (s > threshold)
    gamma = jnp.where(large, threshold / jnp.where(large, s, 1.0), 1.0) ** power
    gamma = jnp.repeat(gamma, shape[axis] // count, axis=-1)
    return gamma.reshape(stack + (1,) * (axis - len(stack)) + (shape[axis],) + (1,) * (-heads - 1))
