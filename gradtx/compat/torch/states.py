"""`import_state`: a training of torch goes on in gradtx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.compat.fields import Field, FieldReader
from gradtx.compat.torch.saved import Saved, as_numpy, saved_leaves
from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.core.states import finished
from gradtx.core.trees import flatten
from gradtx.errors import describe, whole

# gradtx's fields like the parameters -> torch's names for them; the first that a parameter has and that is not taken.
SOURCES: Mapping[str, tuple[str, ...]] = {
    "mu": ("exp_avg", "grad_avg"),
    "nu": ("exp_avg_sq", "square_avg"),
    "nu_max": ("max_exp_avg_sq",),
    "trace": ("momentum_buffer",),
    "sum_of_squares": ("sum",),
    "e_g": ("square_avg",),
    "e_x": ("acc_delta",),
    "row": ("row_var",),
    "column": ("col_var",),
    "full": ("variance",),
    "step_sizes": ("step_size",),
    "prev_sign": ("prev",),
    "average": ("ax",),
}
# (state, field) -> its own names, where torch has one field only for one algorithm.
OWN_SOURCES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("ScaleByAdamaxState", "nu"): ("exp_inf",),
    ("NesterovEmaState", "mu"): ("momentum_buffer",),
    ("EmaState", "mu"): ("momentum_buffer", "exp_avg"),
}

# gradtx's numbers for all parameters -> torch's name, and gradtx's number from it.
NUMBERS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "count": ("step", lambda step: step),
    "rest": ("mu_product", lambda product: 1.0 - product),
    "n_averaged": ("mu", lambda weight: np.round(1.0 / weight) - 1),
}


def import_state(
    tx: GradientTransformation,
    state_dict: Any,
    params: Any,
    *,
    names: Sequence[str] | None = None,
    steps: int | None = None,
    transform: Callable[[str, Any], Any] | None = None,
) -> Any:
    """The state with which `tx` goes on where a training with one of torch's optimizers stopped.

    `tx` is the same algorithm: one of this module, or gradtx's own, also with other groups of parameters as `route` or
    `param_groups`. An entry without a place in `tx` is an error; but algorithms whose entries have the same names, such
    as torch's Adam, AdamW and RAdam, cannot be told apart. torch's options, such as the learning rate, are not read:
    they are those of `tx`. A schedule goes on from the number of steps, as if the scheduler had been called after each.
    Until the next update `hyperparameters(state)` has the first value of a schedule.

    Args:
        tx: a transformation of gradtx.
        state_dict: `optimizer.state_dict()`; its tensors may also be arrays.
        params: the parameters at that step, in the layout in which they will be trained.
        names: the paths of the leaves of `params` in the order of torch's parameters, through all groups:
            `["layers/0/w", "layers/0/b"]`. By default the names that torch has, if they are these paths with dots; else
            the leaves are taken in their order, if no dict has two of one shape.
        steps: the number of steps done. It is needed only where gradtx counts them and torch does not, as for a
            schedule of SGD. Where torch counts them too, it must be torch's number.
        transform: a function of the path of a leaf and an array of the state, that returns the array in the layout of
            the leaf; for kernels, `lambda name, x: x.T`. Without it nothing is changed.

    Returns: the state of `tx`: copies, which may be donated.
    Raises:
        ValueError: the parameters are others, a shape does not fit, an entry is missing or has no place; the error
            names it. TypeError: `tx` is not a transformation, or `state_dict` no state_dict.

    Example:
        >>> import jax.numpy as jnp
        >>> from gradtx.compat import torch
        >>> saved = {"state": {0: {"momentum_buffer": jnp.ones(2)}}, "param_groups": [{"params": [0]}]}
        >>> state = torch.import_state(torch.SGD(0.1, momentum=0.9), saved, {"w": jnp.zeros(2)})
        >>> print(state["add_momentum"].trace)
        {'w': Array([1., 1.], dtype=float32)}
    """
    if not is_transformation(tx):
        raise TypeError(f"import_state takes a gradtx transformation, such as torch.Adam(); got {describe(tx)}")
    if steps is not None:
        whole(0, steps=steps)
    saved = saved_leaves(state_dict, params, names, transform)
    _require_steps(steps, saved)
    start, reader = tx.init(params), FieldReader(params)
    fields = reader.fields(start)
    known = [_leaf_by_leaf(field, saved) if _is_tree(field) else None for field in fields]
    values = []
    for field, tree in zip(fields, known, strict=True):
        if tree is not None:
            values.append(tree)
        elif field.name in NUMBERS:
            siblings = [f.value for f in fields if f.node == field.node and _is_tree(f)]
            values.append(_number(field, saved, siblings, steps))
        elif field.name.startswith("hyperparameters/"):
            values.append(field.value)
        else:
            raise ValueError(f"torch has nothing for {field.path} ({field.kind}): tx must be the same algorithm")
    for entry in filter(None, saved):
        entry.require_all_taken()
    return finished(reader.rebuilt(start, values), params)


def _is_tree(field: Field) -> bool:
    return field.name in SOURCES


def _leaf_by_leaf(field: Field, saved: list[Saved | None]) -> Any:
    leaves, structure = flatten(field.value)
    if len(leaves) != len(saved):
        raise ValueError(f"torch has nothing for {field.path} ({field.kind}): tx must be the same algorithm")
    sources = OWN_SOURCES.get((field.kind, field.name), SOURCES[field.name])
    new = [x if x is None or of is None else of.take(field, sources, x) for x, of in zip(leaves, saved, strict=True)]
    return jax.tree.unflatten(structure, new)


def _number(field: Field, saved: list[Saved | None], siblings: list[Any], steps: int | None) -> Any:
    """A number that all parameters of a state share: that of the leaves which the state has, or of all."""
    name, form = NUMBERS[field.name]
    mine = [of for of in saved if of is not None and name in of.values]
    if siblings:
        kept = [any(flatten(tree)[0][k] is not None for tree in siblings) for k in range(len(saved))]
        mine = [of for of, here in zip(saved, kept, strict=True) if of is not None and here and name in of.values]
    found = {of.number(name): of.what for of in mine}
    if len(found) > 1:
        (a, one), (b, other), *_ = found.items()
        raise ValueError(
            f"{field.path} is one number for all, and torch's {name!r} is {a:g} for {one} and {b:g} for {other}: give "
            f"each group its own transformation, with route"
        )
    if not found and (field.name != "count" or steps is None):
        raise ValueError(f"{field.path} counts the steps, and torch does not: give steps=, the number of steps done")
    value = form(next(iter(found))) if found else steps
    return jnp.asarray(value, field.value.dtype)


def _require_steps(steps: int | None, saved: list[Saved | None]) -> None:
    """Raise ValueError if a number of steps is given that none of torch's parameters has."""
    counted = {float(as_numpy(of.values["step"])) for of in saved if of is not None and "step" in of.values}
    if steps is not None and counted and steps not in counted:
        raise ValueError(f"steps={steps}, and torch has counted {max(counted):g}: leave steps out")
