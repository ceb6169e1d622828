"""What a state_dict of torch has, leaf by leaf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from gradtx.compat.fields import Field, into
from gradtx.core.trees import flatten, is_trained, leaf_names, path_name
from gradtx.errors import describe, suggestion

# What follows from the number of steps and the options.
FOLLOWS = frozenset({"step", "eta", "mu"})


class Saved:
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

    def number(self, name: str) -> float:
        """An entry that is a number."""
        self._taken.add(name)
        x = float(as_numpy(self.values[name]))
        if name == "step" and not x.is_integer():
            raise ValueError(f"torch's 'step' of {self.what} is {x:g}, which is not a number of steps")
        return x

    def _array(self, name: str) -> Any:
        x = as_numpy(self.values[name])
        return as_numpy(self._transform(self.path, x)) if self._transform and x.ndim else x

    def require_all_taken(self) -> None:
        """Raise ValueError if an entry has no place."""
        rest = sorted(set(self.values) - self._taken - FOLLOWS)
        if rest:
            raise ValueError(f"torch's {rest[0]!r} of {self.what} has no place in tx: tx must be the same algorithm")


def saved_leaves(state_dict: Any, params: Any, names: Any, transform: Any) -> list[Saved | None]:
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
        name: Saved(name, f"parameter {k} ({name or 'params'})", state.get(k, {}), transform)
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


def as_numpy(x: Any) -> Any:
    """A tensor, on any device and of any type, or an array, as NumPy's; bfloat16 as float32."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = x.float() if "bfloat16" in str(x.dtype) else x
        x = x.numpy()
    return np.asarray(x)
