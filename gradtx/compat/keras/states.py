"""`import_state` and `export_state`: a training with a Keras optimizer goes on in gradtx, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.compat.keras.entries import Entry, entries_of, matched
from gradtx.compat.keras.layouts import AROUND, LAYOUTS, WRAPPERS, Layout
from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.core.states import finished
from gradtx.core.trees import flatten
from gradtx.errors import describe, whole
from gradtx.precision.loss_scale import DynamicLossScaleState
from gradtx.wrappers.accumulate import accumulate

_INSIDE = ("inner", "decay")  # fields that hold states


def import_state(tx: GradientTransformation, variables: Any, params: Any) -> Any:
    """The state with which `tx` goes on where a training with a Keras optimizer stopped.

    `tx` is the same optimizer from `gradtx.compat.keras`, with the same options. Options are not checked: Keras'
    variables do not have them. Without names, optimizers with equally many variables of the same shapes, such as Adam
    and Adamax, cannot be told apart. Its own learning rate counts: Keras' variable `learning_rate` is not read. Until
    the next update `hyperparameters(state)` has the first value of a schedule.

    Args:
        tx: an optimizer of this module, also in a `LossScaleOptimizer`. (In that one Keras forgets a number of `Nadam`
            and some of `Adafactor`: the error is about the number of variables.)
        variables: Keras' optimizer; its `variables`; their values in that order, as `stateless_apply` returns them; or
            a dict of values by path, or by "0", "1", .... In the file that `model.save_weights` writes, such a dict is
            `file["optimizer"]["vars"]` for h5py.
        params: the parameters at that step. Where `variables` has no names, a list in the order of
            `model.trainable_variables`. With names also a tree with the paths of the variables.

    Returns: the state of `tx`: copies, which may be donated.
    Raises:
        ValueError: the variables are of another optimizer or of other parameters, or wider than the state here; the
            error names the entry. TypeError: `tx` is not a transformation; `variables` is something else.

    Example:
        >>> import jax.numpy as jnp
        >>> from gradtx.compat import keras
        >>> saved = [jnp.array(3), jnp.array(0.1), jnp.ones(2), jnp.full(2, 0.5)]  # iteration, rate, m and v of Adam
        >>> state = keras.import_state(keras.Adam(0.1), saved, [jnp.zeros(2)])
        >>> print(state["scale_by_adam"].inner.count, state["scale_by_adam"].inner.nu)
        3 [Array([0.5, 0.5], dtype=float32)]
    """
    who = "import_state"
    _require(who, tx)
    start, entries = tx.init(params), entries_of(variables)
    if isinstance(start, DynamicLossScaleState):
        (steps, scale), entries = _scaled(who, entries)
        inner = import_state(tx.inner, entries, params)
        own = jnp.array(scale.value, jnp.float32), jnp.array(steps.value, jnp.int32)
        return start._replace(scale=own[0], finite_steps=own[1], inner=inner)
    layout, fields = _layout(who, tx, start)
    match = matched(who, entries, layout, fields, params)
    numbers = _Numbers.of(int(entries[0].value), _parts(tx), entries[-1].value if layout.last else 1.0)
    held: dict[int, dict[str, Any]] = {}
    for k, slot in match.slots.items():
        held.setdefault(slot.place, {})[slot.variable] = Entry(f"{who}: {match.what(k, entries)}", entries[k].value)
    named = {**AROUND.fields, **layout.fields}

    def filled(kind: str, field: str, old: Any) -> Any:
        if field not in fields:
            value = numbers.get(kind, field)
            return old if value is None else jnp.asarray(value, old.dtype)
        leaves, structure = flatten(old)
        return jax.tree.unflatten(structure, [_put(field, x, held.get(k, {})) for k, x in enumerate(leaves)])

    def _put(field: str, old: Any, of_leaf: dict[str, Entry]) -> Any:
        if old is None:
            return None
        main = of_leaf[named[field]]
        made = layout.into.get(field)
        value = main.value if made is None else made({name: jnp.asarray(x) for name, (_, x) in of_leaf.items()})
        _require_width(main, old)
        return jnp.array(jnp.reshape(value, old.shape), old.dtype)

    return finished(_mapped(start, filled), params)


def export_state(
    tx: GradientTransformation, state: Any, optimizer: Any, params: Any, *, steps: int | None = None
) -> list[Any]:
    """The values of the variables with which a Keras optimizer goes on where a training with `tx` stopped.

    Args:
        tx: an optimizer of this module.
        state: its state, at any step.
        optimizer: Keras' optimizer, built for the same parameters, or its variables in any form of `import_state`.
        params: the parameters, as in `import_state`.
        steps: the number of updates done. It is needed only where the state does not count them, as that of `SGD`
            without a schedule.

    Returns: arrays in the order of `optimizer.variables`, for `stateless_apply` or `optimizer.set_weights`. The
        learning rate is the optimizer's own.
    Raises: as `import_state`. ValueError: the state is not one of `tx`; `steps` is needed.
    """
    who = "export_state"
    _require(who, tx)
    if steps is not None:
        whole(0, steps=steps)
    start, entries = tx.init(params), entries_of(optimizer)
    if jax.tree.structure(state) != jax.tree.structure(start):
        raise ValueError(f"{who}: the state is not one of tx: give the state that its own update returned")
    if isinstance(start, DynamicLossScaleState):
        _, rest = _scaled(who, entries)
        inner = export_state(tx.inner, state.inner, rest, params, steps=steps)
        own = (entries[0].value, entries[1].value, state.finite_steps, state.scale)
        return [*(jnp.array(x, entry.value.dtype) for x, entry in zip(own, entries, strict=False)), *inner]
    layout, fields = _layout(who, tx, state)
    match = matched(who, entries, layout, fields, params)
    named = {**AROUND.fields, **layout.fields}
    counts: dict[str, Any] = {}
    _mapped(state, lambda kind, field, x: counts.setdefault(f"{kind}.{field}", x))
    done = _updates(counts, _parts(tx), steps)
    out = [x for _, x in entries]
    out[0] = done
    for k, slot in match.slots.items():
        of_leaf = {field: leaves[slot.place] for field, leaves in fields.items() if leaves[slot.place] is not None}
        made = layout.out.get(slot.variable)
        plain = next((x for field, x in of_leaf.items() if named[field] == slot.variable), None)
        out[k] = plain if made is None else made(of_leaf)
        if slot.variable == "gradient_accumulator":  # after a step it still holds the last sum here
            out[k] = jnp.where(counts["AccumulateState.mini_step"] == 0, 0, out[k])
    if layout.last:
        out[-1] = 1.0 - counts["ScaleByScheduledNadamState.rest"]
    return [jnp.array(x, entry.value.dtype) for x, entry in zip(out, entries, strict=True)]


class _Numbers(NamedTuple):
    """The scalars of a state: updates, steps of what is inside `accumulate`, gradients since, averaged, 1 - Πμ."""

    updates: int
    steps: int
    since: int
    averaged: int
    rest: Any

    @classmethod
    def of(cls, updates: int, parts: int, product: Any) -> _Numbers:
        return cls(updates, updates // parts, updates % parts, max(updates - parts, 0), 1.0 - np.asarray(product))

    def get(self, kind: str, field: str) -> Any:
        """That of a field; None for one that stays as in a new state."""
        if field == "count":
            return self.updates if kind == "AverageState" else self.steps
        if field == "max_learning_rate":
            return min(self.steps, 1)  # `ScheduleFreeAdamW` has the learning rate 1 for all its weights
        fields = {
            "step": "steps",
            "mini_step": "since",
            "n_averaged": "averaged",
            "weight_sum": "steps",
            "rest": "rest",
        }
        return getattr(self, fields[field]) if field in fields else None


def _updates(counts: dict[str, Any], parts: int, steps: int | None) -> Any:
    """The number of updates that a state has seen."""
    if "AverageState.count" in counts:
        return counts["AverageState.count"]
    if "AccumulateState.step" in counts:
        return counts["AccumulateState.step"] * parts + counts["AccumulateState.mini_step"]
    count = next((x for name, x in counts.items() if name.endswith(".count")), steps)
    if count is None:
        raise ValueError("export_state: the state of tx does not count its updates: give steps=, their number")
    return count


def _layout(who: str, tx: GradientTransformation, state: Any) -> tuple[Layout, dict[str, list[Any]]]:
    """The variables of Keras' optimizer, and the leaves of the fields that are like the parameters."""
    trees: dict[str, list[Any]] = {}
    kinds: set[str] = set()

    def seen(kind: str, field: str, value: Any) -> Any:
        kinds.add(kind)
        trees[f"{kind}.{field}"] = value
        return value

    _mapped(state, seen)
    layout = LAYOUTS.get(frozenset(kind for kind in kinds if kind.rpartition("/")[2] not in WRAPPERS))
    if layout is None:
        raise ValueError(
            f"{who}: tx must be one of the optimizers of gradtx.compat.keras; its state has {sorted(kinds)}"
        )
    like = {**AROUND.fields, **layout.fields}
    fields = {name.rpartition(".")[2]: flatten(x)[0] for name, x in trees.items() if name.rpartition(".")[2] in like}
    return layout, fields


def _mapped(state: Any, fn: Callable[[str, str, Any], Any], label: str = "") -> Any:
    """The state with `fn(type, field, value)` for each field that is not a state itself."""
    if isinstance(state, dict):
        groups = {"matrices": "matrices/", "others": "others/"}
        return {key: _mapped(x, fn, groups.get(key, label)) for key, x in state.items()}
    if not hasattr(state, "_fields"):
        return state
    kind, new = label + type(state).__name__, {}
    for name, value in zip(state._fields, state, strict=True):
        is_state = name in _INSIDE or type(value).__name__ == "FactoredMoment"
        new[name] = _mapped(value, fn, label) if is_state else fn(kind, name, value)
    return state._replace(**new)


def _parts(tx: Any) -> int:
    """The gradients for one step."""
    if tx.made_by is accumulate:
        return int(tx.steps)
    return max([_parts(x) for x in tx.children.values() if is_transformation(x)], default=1)


def _scaled(who: str, entries: list[Entry]) -> tuple[tuple[Entry, Entry], list[Entry]]:
    """The finite steps and the scale of a `LossScaleOptimizer`, and the variables of the optimizer inside."""
    if len(entries) < 5 or any(np.ndim(entry.value) for entry in entries[:4]):
        raise ValueError(
            f"{who}: the variables of a LossScaleOptimizer begin with four numbers; here are {len(entries)}"
        )
    return (entries[2], entries[3]), entries[4:]


def _require_width(entry: Entry, old: Any) -> None:
    """Raise ValueError if a variable is wider than the state here."""
    if entry.value.dtype.itemsize > old.dtype.itemsize:
        raise ValueError(
            f"{entry.name} is {entry.value.dtype}, and {old.dtype} here, which would lose digits: give parameters of "
            f"that width, or convert the variable first"
        )


def _require(who: str, tx: Any) -> None:
    if not is_transformation(tx):
        raise TypeError(f"{who} takes an optimizer of gradtx.compat.keras, such as Adam(1e-3); got {describe(tx)}")
