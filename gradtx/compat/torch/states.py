"""`import_state`: a training of torch goes on in gradtx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.compat.fields import Field, Walk, into
from gradtx.core.errors import describe, suggestion, whole
from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.core.states import finished
from gradtx.core.trees import flatten, is_trained, leaf_names, path_name

# gradtx's fields like the parameters -> torch's names for them; the first that a parameter has and that is not taken.
SOURCES: Mapping[str, tuple[str, ...]] = {
    "mu": ("exp_avg", "grad_avg", "momentum_buffer"),
    "nu": ("exp_avg_sq", "square_avg", "exp_inf"),
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

# gradtx's numbers for all parameters -> torch's name, and gradtx's number from it.
NUMBERS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "count": ("step", lambda step: step),
    "rest": ("mu_product", lambda product: 1.0 - product),
    "n_averaged": ("mu", lambda weight: np.round(1.0 / weight) - 1),
}

# What follows from the number of steps and the options.
FOLLOWS = frozenset({"step", "eta", "mu", "mu_product"})


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
    `param_groups`. torch's options, such as the learning rate, are not read: they are those of `tx`. A schedule goes on
    from the number of steps, as if the scheduler had been called after each. Until the next update
    `hyperparameters(state)` has the first value of a schedule.

    Args:
        tx: a transformation of gradtx.
        state_dict: `optimizer.state_dict()`; its tensors may also be arrays.
        params: the parameters at that step, in the layout in which they will be trained.
        names: the paths of the leaves of `params` in the order of torch's parameters, through all groups:
            `["layers/0/w", "layers/0/b"]`. By default the names that torch has, if they are these paths with dots; else
            the leaves are taken in their order, if no dict has two of one shape.
        steps: the number of steps done. It is needed only where gradtx counts them and torch does not, as for a
            schedule of SGD.
        transform: a function of the path of a leaf and an array of the state, that returns the array in the layout of
            the leaf; for kernels, `lambda name, x: x.T`. Without it nothing is changed.

    Returns: the state of `tx`: copies, which may be donated.
    Raises:
        ValueError: the parameters are others, a shape does not fit, an entry is missing or has no place; the error
            names it. TypeError: `tx` is no transformation, or `state_dict` no state_dict.

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
    saved = _saved(state_dict, params, names, transform)
    start, walk = tx.init(params), Walk(params)
    fields = walk.fields(start)
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
    return finished(walk.rebuilt(start, values), params)


class _Saved:
    """What torch has for one leaf. path: of the leaf; what: the parameter in errors; values: by torch's names."""

    def __init__(self, path: str, what: str, values: Mapping[str, Any], transform: Any):
        self.path, self.what, self._transform = path, what, transform
        self.values = {name: x for name, x in values.items() if x is not None}
        self._taken: set[str] = set()

    def take(self, field: Field, sources: tuple[str, ...], like: Any) -> Any:
        """The first of these entries that is there, in the form of a leaf of our field."""
        name = next((name for name in sources if name in self.values and name not in self._taken), None)
        if name is None:
            has = ", ".join(map(repr, self.values)) or "nothing"
            raise ValueError(
                f"{field.path} needs torch's {' or '.join(map(repr, sources))} of {self.what}; the state_dict has {has}"
            )
        self._taken.add(name)
        x = self._array(name)
        if name == "square_avg" and "grad_avg" in self.values:
            x = np.maximum(x - np.abs(self._array("grad_avg")) ** 2, 0)  # the variance
        if name == "prev":
            x = np.sign(x)
        if x.shape != like.shape:
            raise ValueError(
                f"torch's {name!r} of {self.what} has shape {x.shape}, and {field.path} needs {like.shape}: give "
                f"transform= if the layout is another, names= if the order is"
            )
        return into(f"torch's {name!r} of {self.what}", x, like)

    def _array(self, name: str) -> Any:
        x = _numpy(self.values[name])
        return _numpy(self._transform(self.path, x)) if self._transform and x.ndim else x

    def require_all_taken(self) -> None:
        """Raise ValueError if an entry has no place."""
        rest = sorted(set(self.values) - self._taken - FOLLOWS)
        if rest:
            raise ValueError(f"torch's {rest[0]!r} of {self.what} has no place in tx: tx must be the same algorithm")


def _saved(state_dict: Any, params: Any, names: Any, transform: Any) -> list[_Saved | None]:
    """For each leaf of the parameters, what torch has of it; None for leaves that are not trained."""
    if not (isinstance(state_dict, Mapping) and {"state", "param_groups"} <= state_dict.keys()):
        raise TypeError(f"state_dict must be torch's optimizer.state_dict(); got {describe(state_dict)}")
    groups = state_dict["param_groups"]
    order = [k for group in groups for k in group["params"]]
    leaves = dict(zip(leaf_names(params), flatten(params)[0], strict=True))
    trained = [name for name, leaf in leaves.items() if is_trained(leaf)]
    theirs = [str(name).replace(".", "/") for group in groups for name in group.get("param_names", ())]
    if names is not None:
        given = list(names)
        _require_all("names has", given, trained)
    elif sorted(theirs) == sorted(trained):
        given = theirs
    else:
        given = trained
        _require_an_order(params)
    if len(given) != len(order):
        raise ValueError(
            f"torch has {len(order)} parameters, params has {len(trained)} leaves: {', '.join(trained[:9])}"
        )
    state = state_dict["state"]
    found = {
        name: _Saved(name, f"parameter {k} ({name or 'params'})", state.get(k, {}), transform)
        for name, k in zip(given, order, strict=True)
    }
    return [found.get(name) for name in leaves]


def _require_all(who: str, given: list[str], trained: list[str]) -> None:
    """Raise ValueError unless each leaf is named once."""
    twice = next((name for name in given if given.count(name) > 1), None)
    foreign = next((name for name in given if name not in trained), None)
    absent = next((name for name in trained if name not in given), None)
    if twice is not None:
        raise ValueError(f"{who} {twice!r} twice")
    if foreign is not None:
        raise ValueError(f"{who} {foreign!r}, and params has no such leaf{suggestion(str(foreign), trained)}")
    if absent is not None:
        raise ValueError(f"{who} no {absent!r}, a leaf of params")


def _require_an_order(params: Any) -> None:
    """Raise ValueError where leaves of one shape stand in one dict: torch's order is not that of sorted keys."""
    before: dict[tuple, tuple] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        shape = np.shape(leaf)
        k = next((k for k, (a, b) in enumerate(zip(before.get(shape, ()), path, strict=False)) if a != b), None)
        if k is not None and isinstance(path[k], jax.tree_util.DictKey):
            one, other = path_name(before[shape]), path_name(path)
            raise ValueError(
                f"{one} and {other} have the same shape, and a dict sorts its keys, so the order says nothing: give "
                "names=, the paths of the leaves in torch's order"
            )
        before[shape] = path


def _is_tree(field: Field) -> bool:
    return field.name in SOURCES


def _leaf_by_leaf(field: Field, saved: list[_Saved | None]) -> Any:
    leaves, structure = flatten(field.value)
    if len(leaves) != len(saved):
        raise ValueError(f"torch has nothing for {field.path} ({field.kind}): tx must be the same algorithm")
    sources = SOURCES[field.name]
    new = [x if x is None or of is None else of.take(field, sources, x) for x, of in zip(leaves, saved, strict=True)]
    return jax.tree.unflatten(structure, new)


def _number(field: Field, saved: list[_Saved | None], siblings: list[Any], steps: int | None) -> Any:
    """A number that all parameters of a state share: that of the leaves which the state has, or of all."""
    name, form = NUMBERS[field.name]
    mine = [of for of in saved if of is not None and name in of.values]
    if siblings:
        kept = [any(flatten(tree)[0][k] is not None for tree in siblings) for k in range(len(saved))]
        mine = [of for of, here in zip(saved, kept, strict=True) if of is not None and here and name in of.values]
    found = {float(_numpy(of.values[name])): of.what for of in mine}
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


def _numpy(x: Any) -> Any:
    """A tensor, on any device and of any type, or an array, as NumPy's; bfloat16 as float32."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = x.float() if "bfloat16" in str(x.dtype) else x
        x = x.numpy()
    return np.asarray(x)
