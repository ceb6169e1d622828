"""Parameter groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradtx.core.pair import GradientTransformation
from gradtx.errors import describe
from gradtx.wrappers.partition import route


def param_groups(
    optimizer: Callable[..., GradientTransformation], groups: Mapping[Any, Mapping[str, Any]], **defaults: Any
) -> GradientTransformation:
    """An optimizer whose options depend on the leaf, as torch's lists of parameter groups.

    Args:
        optimizer: one of those of this module, or any factory.
        groups: rule -> options of the leaves that it fits. Rules are those of `gradtx.route`: the first that fits
            counts, `"**"` fits the rest.
        **defaults: options of all groups that do not give their own.

    Raises: TypeError: the optimizer is not a function, groups not a dict. Else as `route` and the optimizer.

    Example:
        >>> from gradtx.compat import torch
        >>> tx = torch.param_groups(torch.SGD, {"head/**": {"lr": 0.01}, "**": {}}, lr=0.1)
        >>> tx
        route(rules={'head/**': chain(scale_by_learning_rate(learning_rate=0.01)), '**': chain(scale_by_learning_rate(learning_rate=0.1))})
    """  # noqa: E501
    if not callable(optimizer):
        raise TypeError(f"param_groups takes the function, as SGD, and its options apart; got {describe(optimizer)}")
    if not isinstance(groups, Mapping):
        raise TypeError(
            f"param_groups takes a dict, rule -> options, as {{'head/**': {{'lr': 0.01}}, '**': {{}}}}; got "
            f"{describe(groups)}"
        )
    return route({rule: optimizer(**{**defaults, **options}) for rule, options in groups.items()})
