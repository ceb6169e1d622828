"""Keras' optimizers of optimizers, and leaves without weight decay."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gradtx.core.chain import chain
from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.errors import describe
from gradtx.precision.loss_scale import dynamic_loss_scale
from gradtx.transforms.basic import scale
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.partition import route


def LossScaleOptimizer(  # noqa: N802
    inner_optimizer: GradientTransformation,
    initial_scale: float = 2.0**15,
    dynamic_growth_steps: int = 2000,
    name: str | None = None,
) -> GradientTransformation:
    """`gradtx.dynamic_loss_scale`: multiply the loss by `gradtx.loss_scale(state)`. The scale stays at least 1."""
    return dynamic_loss_scale(inner_optimizer, initial_scale, growth_interval=dynamic_growth_steps)


def OptimizerMap(  # noqa: N802
    default_optimizer: GradientTransformation, optimizer_map: Mapping[str, GradientTransformation] | None = None
) -> GradientTransformation:
    """`gradtx.route` with regular expressions for whole paths. Where several fit, the first counts.

    Keras has an error for a path that several expressions fit; here an expression that fits no path is one.
    """
    rules = {re.compile(f"^(?:{pattern})$"): tx for pattern, tx in (optimizer_map or {}).items()}
    return route(rules, default=default_optimizer)


def MultiOptimizer(  # noqa: N802
    optimizer_map: GradientTransformation, loss_scale_factor: Any = None, name: str | None = None
) -> GradientTransformation:
    """What `OptimizerMap` returns, with gradients divided by the scale of the loss."""
    if not is_transformation(optimizer_map):
        raise TypeError(f"MultiOptimizer takes an OptimizerMap(default, {{...}}); got {describe(optimizer_map)}")
    return optimizer_map if loss_scale_factor is None else chain(scale(1.0 / loss_scale_factor), optimizer_map)


@dataclasses.dataclass(frozen=True)
class OtherLeaves:
    """A rule: all leaves but some.

    paths: their paths. names: expressions, one of which is found in their last name.
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]

    def __call__(self, path: str, leaf: Any) -> bool:
        last = path.rpartition("/")[2]
        return path not in self.paths and not any(re.search(name, last) for name in self.names)


def exclude_from_weight_decay(
    tx: GradientTransformation, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
) -> GradientTransformation:
    """The same optimizer without weight decay for some leaves. In Keras this is a method of the optimizer.

    Args:
        tx: one of those of this module, with a weight decay.
        var_list: paths of leaves, or Keras' variables, which have a path.
        var_names: regular expressions; a leaf in whose last name one is found does not decay: `["bias", "gamma"]`.

    Raises: ValueError: the optimizer has no weight decay. TypeError: a text in place of a list.

    Example:
        >>> from gradtx.compat import keras
        >>> tx = keras.exclude_from_weight_decay(keras.AdamW(), var_names=["bias"])
    """
    if isinstance(var_names, str) or isinstance(var_list, str):
        raise TypeError(f"exclude_from_weight_decay takes lists; got the text {(var_names or var_list)!r}")
    rule = OtherLeaves(tuple(getattr(v, "path", v) for v in var_list or ()), tuple(var_names or ()))
    changed = _with_mask(tx, rule)
    if changed == tx:
        raise ValueError(f"exclude_from_weight_decay: there is no weight decay in {tx!r}")
    return changed


def _with_mask(tx: GradientTransformation, mask: Any) -> GradientTransformation:
    if tx.made_by is add_decayed_weights:
        return tx.replace(mask=mask)
    inside = {name: _with_mask(x, mask) for name, x in tx.children.items() if is_transformation(x)}
    return tx.with_children(inside).replace() if inside else tx
