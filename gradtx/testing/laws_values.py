"""Laws of values: what makes a transformation something that can be compared, printed, kept and taken apart."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import is_none
from gradtx.testing.case import Case, cast
from gradtx.testing.compare import BrokenError, SkippedError, error_of, first_line, same_types
from gradtx.testing.law import law
from gradtx.values.value import Value


@law(values_only=True)
def equality(case: Case) -> None:
    """Equal calls are equal and hash alike; a changed hyperparameter makes a difference."""
    tx, again = case.tx, case.tx.replace()
    if tx != again or hash(tx) != hash(again) or copy.deepcopy(tx) != tx:
        raise BrokenError(f"{tx} and the same call made again are not equal, or hash differently")
    if tx in (None, "x", (tx,)) or tx == object():
        raise BrokenError(f"{tx} is equal to something that is not a transformation")
    leaves, structure = jax.tree.flatten(tx)
    for k, leaf in enumerate(leaves):
        other = leaf + 0.125 if leaf + 0.125 != leaf else 1.0  # infinities and huge numbers do not change by adding
        changed = jax.tree.unflatten(structure, [*leaves[:k], other, *leaves[k + 1 :]])
        if changed == tx or len({tx, again, changed}) != 2:
            raise BrokenError(f"{tx} is equal to {changed}")


@law(values_only=True)
def pickles(case: Case) -> None:
    """Pickle brings back an equal value."""
    try:
        back = pickle.loads(pickle.dumps(case.tx))
    except (AttributeError, pickle.PicklingError) as error:
        if any(not _is_global(part) for part in _parts(case.tx) if inspect.isfunction(part)):
            raise SkippedError("it holds a function that is not at the top of a module") from None
        raise BrokenError(f"{case.tx} does not pickle: {first_line(error)}") from None
    if back != case.tx or hash(back) != hash(case.tx):
        raise BrokenError(f"{case.tx} came back from pickle as {back}")


@law(values_only=True)
def prints_as_its_call(case: Case) -> None:
    """What it prints evaluates to an equal value."""
    text = repr(case.tx)
    try:
        back = eval(text, {**_names(case.tx), **case.namespace})
    except SyntaxError as error:
        shown = re.search(r"<[^<>]*>+", text)
        if shown is not None:
            raise SkippedError(f"it holds {shown[0]}, which has no name to print") from None
        raise BrokenError(f"{text} does not evaluate: {first_line(error)}") from None
    except Exception as error:
        raise BrokenError(f"{text} does not evaluate: {first_line(error)}") from None
    if back != case.tx:
        raise BrokenError(f"{text} evaluates to {back!r}, which is not equal")


@law(values_only=True)
def arguments_read(case: Case) -> None:
    """Each argument reads as an attribute, none can be written, and it unpacks as init and update."""
    tx = case.tx
    for name, value in tx.arguments.items():
        if getattr(tx, name) is not value:
            raise BrokenError(f"{name} reads as {getattr(tx, name)!r}; {value!r} was expected")
        if not isinstance(error_of(lambda name=name: setattr(tx, name, 0.5)), AttributeError):
            raise BrokenError(f"{name} could be written; a value does not change")
    init, update = tx
    if not (callable(init) and callable(update)):
        raise BrokenError(f"it unpacks as {init!r} and {update!r}; two functions were expected")


@law(values_only=True)
def replaces(case: Case) -> None:
    """Replace gives the same call with some arguments changed, and refuses names that are not arguments."""
    tx = case.tx
    factory = tx._factory
    kinds = {name: p.kind for name, p in factory.signature.parameters.items()}
    for name, value in tx.arguments.items():
        if kinds[name] in (kinds[name].VAR_POSITIONAL, kinds[name].VAR_KEYWORD):
            continue
        if tx.replace(**{name: value}) != tx:
            raise BrokenError(f"replace({name}=...) by the same value gave {tx.replace(**{name: value})}")
    error = error_of(lambda: tx.replace(no_such_argument=1.0))
    if not isinstance(error, TypeError) or "no_such_argument" not in str(error):
        raise BrokenError("replace took an argument that does not exist, or did not name it")


@law(values_only=True)
def is_a_pytree(case: Case) -> None:
    """Flatten and unflatten bring back an equal value, whatever a tool puts in the leaves meanwhile."""
    leaves, structure = jax.tree.flatten(case.tx)
    if jax.tree.unflatten(structure, leaves) != case.tx:
        raise BrokenError(f"flatten and unflatten made {jax.tree.unflatten(structure, leaves)}")
    if jax.tree.leaves(jax.tree.unflatten(structure, [None] * len(leaves))):
        raise BrokenError("with None in every leaf it still has leaves")
    for filler in (object(), True, "mask", jax.ShapeDtypeStruct((3,), jnp.float32)):
        masked = jax.tree.unflatten(structure, [filler] * len(leaves))
        back = jax.tree.leaves(masked, is_leaf=lambda x, filler=filler: x is filler)
        if len(back) != len(leaves) or any(x is not filler for x in back):
            raise BrokenError(f"{filler!r} put into the leaves came back as {back}")
        repr(masked)
    left = _only(case.tx, lambda k: k % 2 == 0)
    right = _only(case.tx, lambda k: k % 2 == 1)
    joined = jax.tree.map(lambda a, b: b if a is None else a, left, right, is_leaf=is_none)
    if joined != case.tx:
        raise BrokenError(f"split in two with None and joined again, it is {joined}")


@law(values_only=True, after=("traceable", "updates_fit", "state_types"))
def one_trace_for_all_values(case: Case) -> None:
    """As the argument of a jitted function it is traced once for all hyperparameters, and keeps the state's types."""
    if not jax.tree.leaves(case.tx):
        raise SkippedError("it has no hyperparameters: Hyper in an annotation makes one")
    params, traces = cast(case.params, "bfloat16"), []
    gradients = case.gradients(1, params)  # a second step would have the same types

    @jax.jit
    def run(tx: Any) -> Any:
        traces.append(1)
        return case.with_tx(tx).init(params), case.with_tx(tx).run(gradients, params=params, jit=False)[1]

    for factor in (1.0, 0.5, 0.25):
        # The types tell: nothing is compiled.
        before, after = run.eval_shape(jax.tree.map(lambda x, factor=factor: x * factor, case.tx))
        same_types("the state of a value given as an argument", after, before)
    if len(traces) != 1:
        raise BrokenError(f"three values of the hyperparameters were traced {len(traces)} times; once was expected")


def _only(tx: Any, keep: Any) -> Any:
    leaves, structure = jax.tree.flatten(tx)
    return jax.tree.unflatten(structure, [x if keep(k) else None for k, x in enumerate(leaves)])


def _names(tx: Any) -> dict[str, Any]:
    """What a repr may name: gradtx's public names, NumPy and the like, and what the value itself is made of."""
    public = vars(importlib.import_module("gradtx"))  # by name: this package does not lean on that one
    modules = {"jax": jax, "jnp": jnp, "np": np, "re": re, "inf": float("inf"), "nan": float("nan")}
    own: dict[str, Any] = {}
    for part in _parts(tx):
        if isinstance(part, Value):
            own[part.name] = part._factory.public
        elif inspect.isfunction(part):
            own[part.__name__] = part
        else:
            own[repr(part).split("(")[0]] = type(part)  # a codec, for example, prints as the call that makes it
    return {**modules, **own, **public}


def _parts(value: Any) -> Iterator[Any]:
    """The values, functions and dataclasses that a value is made of."""
    if isinstance(value, Value):
        yield value
        yield from _parts(list(value.arguments.values()))
    elif isinstance(value, Mapping):
        yield from _parts([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from _parts(part)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield value
        yield from _parts([getattr(value, field.name) for field in dataclasses.fields(value)])
    elif inspect.isfunction(value):
        yield value


def _is_global(function: Any) -> bool:
    return getattr(inspect.getmodule(function), function.__qualname__, None) is function
