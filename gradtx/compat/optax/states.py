"""`import_state` and `export_state`: a training of optax goes on in gradtx, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from gradtx.compat.fields import into, out_of, without_marks
from gradtx.compat.optax.conversions import AS_IS, Context
from gradtx.compat.optax.counts import Updates
from gradtx.compat.optax.matching import Match, matched
from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.core.states import finished
from gradtx.errors import describe, whole


def import_state(tx: GradientTransformation, optax_state: Any, params: Any, *, steps: Any = None) -> Any:
    """The state with which `tx` goes on where a training with optax stopped.

    `tx` is the same chain as optax's: the same members in the same order, wrappers included. States are matched by
    their order and the names of their fields, not by the names of transformations, so a recipe, a chain of its parts,
    and a state of your own are all accepted. Whatever does not fit is an error that names it, for instance the state of
    AdaBelief in Adam. But optax has one type, `ScaleByAdamState`, for Adam, AdaMax, Yogi, RAdam and others, so that
    these cannot be told apart. Members without state, such as most clips and decays, leave nothing in optax's state:
    whether `tx` has them too is not checked.

    What optax does not keep begins as in a new state: what a line search did last. Until the next update
    `hyperparameters(state)` has the first value of a schedule. Hyperparameters that `inject` moves into the state and
    optax does not, keep the numbers of `tx`. Random keys are carried over, but the numbers made of them are others than
    optax's.

    Args:
        tx: a transformation of gradtx.
        optax_state: the state of optax's, at any step.
        params: the parameters at that step. For optax's `lookahead` its `LookaheadParams`; gradtx has the slow ones in
            the state, and trains `params.fast`.
        steps: the number of updates done. It is needed only where gradtx counts them and nothing in optax's state does,
            as in `rmsprop`. Where it does, it must be the same number.

    Returns: the state of `tx`: copies, which may be donated.
    Raises:
        ValueError: the state is of another chain, or of other parameters; a number is wider than here; `steps` is
            needed, or another than the state's. TypeError: `tx` is not a gradtx transformation.

    Example:
        >>> import gradtx, jax.numpy as jnp, optax
        >>> from gradtx.compat.optax import import_state
        >>> w, before = jnp.ones(2), optax.adam(0.1)
        >>> _, state = before.update(w, before.init(w))
        >>> tx = gradtx.adam(0.1)
        >>> print(import_state(tx, state, w)["scale_by_adam"].mu)
        [0.1 0.1]
    """
    _require(tx, "import_state", steps)
    if isinstance(optax_state, Mapping) and optax_state and all(str(key).isdigit() for key in optax_state):
        raise TypeError(
            "optax_state is a dict with the keys 0, 1, ...: it was read back without optax's types. Restore it into "
            "optax's own state first, as flax.serialization.from_state_dict(optax_tx.init(params), saved) does"
        )
    params, in_params = _split(params)
    start = tx.init(params)
    match, reader, _ = matched(start, optax_state, params, params)
    values = [field.value for field in match.ours]
    setting = _setting(tx)
    for record in match.records:
        fields = {name: without_marks(match.theirs[k].value) for name, k in record.fields.items()}
        fields |= in_params
        for (name, their_name), k in zip(record.translation.links, record.own, strict=True):
            what = f"optax's {record.kind}.{their_name}"
            if their_name not in fields:
                raise ValueError(f"{what} is in optax's parameters: give its LookaheadParams as params")
            conversion = record.translation.conversions.get(name, AS_IS).into
            context = Context(values[k], fields, setting)
            values[k] = into(what, _through(what, conversion, fields[their_name], context), values[k])
    counts = {
        record.place: match.theirs[record.fields[record.translation.count[0]]].value - record.translation.count[1]
        for record in match.counting
    }
    updates = Updates([(match.scope(r), counts[r.place]) for r in match.counting], steps)
    scheduled = updates.spread([counts[r.place] for r in match.schedules], match.scheduled, "optax's state", "tx")
    for k, record in match.counts.items():
        if record is None:
            count = next(scheduled)
        elif record.count is None:
            lacks = f"{match.ours[k].path} counts the updates, and {record.kind} in optax's state"
            count = updates.shared(lacks, match.scope(record))
        else:
            count = counts[record.place]
        values[k] = into(f"optax's {record.kind if record else 'schedule'}.count", count, values[k])
    updates.require_steps_agree()
    for k, j in match.hypers.items():
        values[k] = into(match.theirs[j].path, match.theirs[j].value, values[k])
    _require_constants(tx, match)
    return finished(reader.rebuilt(start, values), params)


def export_state(
    tx: GradientTransformation, state: Any, optax_tx: Any, params: Any, *, steps: int | None = None
) -> Any:
    """The state with which optax goes on where a training with `tx` stopped; the inverse of `import_state`.

    It tells chains apart as `import_state` does, and no better.

    Args:
        tx: a transformation of gradtx.
        state: its state, at any step.
        optax_tx: optax's transformation that is to go on: the same chain.
        params: the parameters at that step, as optax has them. For its `lookahead` they are
            `LookaheadParams(params, state.slow)`.
        steps: the number of updates done. It is needed only where optax counts them and nothing in the state of `tx`
            does, as in `lion`. Where it does, it must be the same number.

    Returns: the state of `optax_tx`: copies, rounded to the types that optax has. Of L-BFGS, pairs have the length 1,
        which changes nothing.
    Raises: as `import_state`.

    Example:
        >>> import gradtx, jax.numpy as jnp, optax
        >>> from gradtx.compat.optax import export_state
        >>> w, tx = jnp.ones(2), gradtx.adam(0.1)
        >>> _, state = tx.update(w, tx.init(w))
        >>> print(export_state(tx, state, optax.adam(0.1), w)[0].mu)
        [0.1 0.1]
    """
    _require(tx, "export_state", steps)
    theirs = optax_tx.init(params)
    plain, _ = _split(params)
    match, _, reader = matched(_in_order(state, _own(tx, state, plain)), theirs, plain, plain)
    values = [field.value for field in match.theirs]
    setting = _setting(tx)
    counts = {k: match.ours[k].value for k in match.counts}
    updates = Updates([(match.scope(of), counts[k]) for k, of in match.counts.items() if of], steps)
    for record in match.records:
        first = {match.ours[k].name: match.ours[k].value for k in reversed(record.own)}
        here = next((counts[k] for k, of in match.counts.items() if of == record), None)
        wanted = f"{record.kind} in optax's state counts the updates, and {tx.name}'s state"
        fields = first if here is None else {"count": here, **first}
        for (name, their_name), k in zip(record.translation.links, record.own, strict=True):
            if their_name not in record.fields:
                continue  # it is in the parameters
            j, conversion = record.fields[their_name], record.translation.conversions.get(name, AS_IS).out
            path, context = match.ours[k].path, Context(without_marks(values[j]), fields, setting)
            values[j] = out_of(path, _through(path, conversion, match.ours[k].value, context), values[j])
        for name, follows in record.translation.kept.items():
            if follows is not None:
                values[record.fields[name]] = follows(fields, here)
        if record.count is not None:
            count = updates.shared(wanted, match.scope(record)) if here is None else here
            values[record.count] = out_of("count", count + record.translation.count[1], values[record.count])
    scheduled = [counts[k] for k, of in match.counts.items() if of is None]
    if not match.schedules and {int(n) for n in scheduled} <= {int(counts[k]) for k, of in match.counts.items() if of}:
        scheduled = []  # a schedule of gradtx alone, whose count is not lost
    spread = updates.spread(scheduled, len(match.schedules), "tx's state", "optax's")
    for record, count in zip(match.schedules, spread, strict=True):
        values[record.fields["count"]] = out_of("count", count, values[record.fields["count"]])
    updates.require_steps_agree()
    for k, j in match.hypers.items():
        values[j] = out_of(match.ours[k].path, match.ours[k].value, values[j])
    return reader.rebuilt(theirs, values)


def _through(what: str, conversion: Callable[[Any, Context], Any], value: Any, context: Context) -> Any:
    """The converted value; an error if it is of a form that the conversion does not expect."""
    try:
        return conversion(value, context)
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(f"{what} is of another tree of parameters, or of other settings: {error}") from error


def _require(tx: Any, who: str, steps: Any) -> None:
    if steps is not None:
        whole(0, steps=steps)
    if not is_transformation(tx):
        raise TypeError(f"{who} takes a gradtx transformation, such as adam(1e-3); got {describe(tx)}")


def _split(params: Any) -> tuple[Any, dict[str, Any]]:
    """The parameters, and the other trees that optax keeps with them."""
    if type(params).__name__ == "LookaheadParams":
        return params.fast, {"slow": params.slow}
    return params, {}


def _own(tx: Any, state: Any, params: Any) -> Any:
    """A new state of tx. Raises ValueError if this state is not one of tx."""
    start = tx.init(params)
    if jax.tree.structure(state) != jax.tree.structure(start):
        raise ValueError(f"the state is not one of {tx.name}: give the state that its own update returned")
    return start


def _in_order(state: Any, start: Any) -> Any:
    """The state with its dicts in the order of a new one: after jit they are sorted."""
    if isinstance(state, dict):
        return {key: _in_order(state[key], x) for key, x in start.items()}
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*map(_in_order, state, start))
    return state


def _arguments(tx: GradientTransformation) -> Iterator[tuple[str, Any]]:
    """The arguments of a transformation and of all inside it, and of those that a recipe is made of."""
    for each in (tx, tx.piece) if tx.piece is not tx else (tx,):
        for name, value in each.arguments.items():
            if not is_transformation(value):
                yield name, value
        for child in each.children.values():
            if is_transformation(child):
                yield from _arguments(child)


def _setting(tx: GradientTransformation) -> Callable[[str], Any]:
    def setting(name: str) -> Any:
        found = {value for key, value in _arguments(tx) if key == name}
        if len(found) != 1:
            raise ValueError(f"{name} has the values {sorted(found)} in tx: states of several cannot be told apart")
        return found.pop()

    return setting


def _require_constants(tx: GradientTransformation, match: Match) -> None:
    """Raise if optax's state holds a hyperparameter that is another number in tx, or that tx has not."""
    taken = set(match.hypers.values())
    for j, field in enumerate(match.theirs):
        name = field.name.partition("/")[2]
        if j in taken or not field.name.startswith("hyperparameters/"):
            continue
        here = [x for key, x in _arguments(tx) if key == name and isinstance(x, int | float)]
        held = np.asarray(field.value)
        if not any(np.all(np.isclose(held, x, rtol=1e-6, atol=0.0)) for x in here):
            shown = held if held.ndim else f"{held:g}"
            said = f"; in tx it is {here[0]}" if here else ""
            raise ValueError(f"optax's state holds {name} = {shown}{said}: give tx that number, or wrap it in inject")
