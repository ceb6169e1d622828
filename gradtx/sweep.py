"""One training run for each of many optimizers: compiled once, several of them in parallel."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import as_transformation
from gradtx.core.trees import flatten, leaf_names, shape_of
from gradtx.errors import whole
from gradtx.progress import progress as progress_bar
from gradtx.values.arguments import show

CACHE = 2 * 2**20  # bytes; on a CPU, so many members run in parallel as need no more than this together
SMALL = 16 * 2**10  # bytes; a member that needs more is faster alone: its own operations last longer than their start


def sweep(
    train: Callable[..., Any], optimizers: Any, *batched: Any, chunk: int | None = None, progress: bool = False
) -> Any:
    """Run one training for each optimizer of a batch, in one program that is compiled once.

        losses = gradtx.sweep(train, jax.vmap(gradtx.adam)(rates))

    The runs are executed in chunks under `jax.vmap`. On a CPU this is faster for small models, where starting an
    operation takes longer than the operation. With a chunk of 1 it is a loop over the compiled `train`, without vmap.
    Results equal those of single runs up to rounding, as batched matrix products add in another order.

    Args:
        train: a function of `(tx, *one element of each batched)` that JAX can trace; it returns arrays in any
            containers. It is traced once and kept, also for later sweeps: give data that changes as `batched`.
        optimizers: a batch, which `jax.vmap` of a factory makes; or a list of transformations that differ in their
            hyperparameters only; or a single transformation, if `batched` is given.
        *batched: other arguments that differ between runs, such as seeds or keys: trees with leaves of the length of
            the batch.
        chunk: the number of runs in parallel; at least 1. None chooses it from the size of one run: the most bytes that
            a loop carries or an operation returns. On a CPU runs of at most 16 KiB are executed in parallel, as many as
            fit in 2 MiB, and larger ones one by one; on other devices all of them in parallel. The choice depends on
            shapes only, so the results of a repeated sweep are exactly the same.
        progress: whether to show a progress bar, which needs the extra `progress`. Each chunk then waits for the one
            before it.

    Returns: the results, stacked along a new first axis, in the order of the optimizers.
    Raises:
        ValueError: there are no optimizers, or a single one without `batched`; `chunk` is below 1; lengths differ;
            the optimizers differ in more than their hyperparameters, so that each kind needs a sweep of its own.
        TypeError: an optimizer is not a transformation.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> def train(tx):
        ...     w, state = jnp.float32(1.0), tx.init(jnp.float32(1.0))
        ...     return tx.step(w, state, w)[0]
        >>> print(sweep(train, jax.vmap(gradtx.sgd)(jnp.array([0.1, 0.5]))))
        [0.9 0.5]
    """
    if chunk is not None:
        whole(1, chunk=chunk)
    members, n = _members(optimizers, batched)
    if chunk is None:
        chunk = _chunk(train, members, n)
    chunk = min(chunk, n)
    with progress_bar(total=n, desc="sweep", unit="run", dynamic_ncols=True) if progress else nullcontext() as bar:
        results = []
        for first in range(0, n, chunk):
            results.append(_run(train, members, first, chunk, n))
            if bar is not None:
                jax.block_until_ready(results[-1])
                bar.update(min(chunk, n - first))
    if chunk == 1:  # in blocks: XLA's time for a stack of n arrays grows as the square of n
        results = [_stack(*results[k : k + 64]) for k in range(0, n, 64)]
    return jax.tree.map(lambda *x: jnp.concatenate(x)[:n], *results)


def _run(train: Callable, members: Any, first: int, chunk: int, n: int) -> Any:
    if chunk == 1:
        return _programs(train).one(_taken(members, first))
    places = jnp.minimum(jnp.arange(first, first + chunk), n - 1)  # the last chunk is padded to the same size
    return _programs(train).several(_taken(members, places))


@jax.jit  # outside, each array of a member would be a program of its own to start, and so in `_stack`
def _taken(members: Any, places: Any) -> Any:
    return jax.tree.map(lambda x: jnp.take(x, places, axis=0, mode="clip"), members)


@jax.jit
def _stack(*trees: Any) -> Any:
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


class _Programs(NamedTuple):
    """A training, compiled for one member and for several."""

    one: Any
    several: Any


_PROGRAMS: weakref.WeakKeyDictionary[Callable, _Programs] = weakref.WeakKeyDictionary()


def _programs(train: Callable) -> _Programs:
    """The programs of a training, kept for later sweeps as long as the training exists: it may hold a data set."""
    try:
        known = _PROGRAMS.get(train)
    except TypeError:  # it cannot be hashed, or has no weak references
        return _made(lambda: train)
    if known is None:
        known = _PROGRAMS[train] = _made(weakref.ref(train))
    return known


def _made(train: Callable[[], Any]) -> _Programs:
    return _Programs(jax.jit(lambda member: train()(*member)), jax.jit(lambda members: jax.vmap(train())(*members)))


def _members(optimizers: Any, batched: tuple) -> tuple[tuple, int]:
    """The arguments of all runs, as trees with a first axis of the length of the batch; and that length."""
    if isinstance(optimizers, list | tuple) and not _is_pair(optimizers):
        txs = _stacked([as_transformation(f"optimizers[{k}]", tx) for k, tx in enumerate(optimizers)])
    else:
        txs = as_transformation("optimizers", optimizers)
    named = [(f"{txs.name}'s {name}", x) for name, x in zip(leaf_names(txs), flatten(txs)[0], strict=True)]
    named = [(name, x) for name, x in named if shape_of(x)]
    for k, tree in enumerate(batched):
        rows = zip(leaf_names(tree), flatten(tree)[0], strict=True)
        named += [(_argument(k, name), x) for name, x in rows if x is not None]
    for name, x in named:
        if not shape_of(x):
            raise ValueError(f"{name} is one number; leaves of further arguments need a first axis for the runs")
    if not named:
        raise ValueError(f"{show(txs)} is one transformation: give a batch, jax.vmap(gradtx.adam)(rates), or a list")
    n = shape_of(named[0][1])[0]
    for name, x in named:
        if shape_of(x)[0] != n:
            raise ValueError(
                f"{named[0][0]} has the length {n}, {name} {shape_of(x)[0]}: both must have one entry for each run"
            )
    if n == 0:
        raise ValueError(f"there is no run: {named[0][0]} has the length 0")
    txs = jax.tree.map(lambda x: jnp.broadcast_to(_strong(x), (n, *shape_of(x)[1:])), txs)
    return (txs, *(jax.tree.map(jnp.asarray, tree) for tree in batched)), n


def _stacked(txs: list[GradientTransformation]) -> GradientTransformation:
    """Transformations that differ in their hyperparameters, as one that holds a batch of them."""
    if not txs:
        raise ValueError("there are no optimizers: the list is empty")
    structure = jax.tree.structure(txs[0])
    for k, tx in enumerate(txs):
        batch = next((x for x in jax.tree.leaves(tx) if shape_of(x)), None)
        if batch is not None:
            raise ValueError(f"optimizers[{k}] is itself a batch, of shape {shape_of(batch)}: give it without a list")
        if jax.tree.structure(tx) != structure:
            raise ValueError(
                f"optimizers[{k}] is {show(tx)}, optimizers[0] is {show(txs[0])}: they differ in more than "
                f"hyperparameters, so they need different programs; sweep each kind separately"
            )
    return jax.tree.map(lambda *x: jnp.stack([_strong(each) for each in x]), *txs)


def _strong(x: Any) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(x))


def _is_pair(x: Any) -> bool:
    return (
        isinstance(x, tuple) and len(x) == 2 and all(map(callable, x)) and not isinstance(x[0], GradientTransformation)
    )


def _argument(k: int, name: str) -> str:
    return f"argument {k + 1} after the optimizers" + ("" if name.startswith("(") else f", at {name},")


def _chunk(train: Callable, members: tuple, n: int) -> int:
    """The number of members to run in parallel; see `sweep`."""
    if jax.default_backend() != "cpu":
        return n
    member = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), members)
    size = max(held(_programs(train).one.trace(member).jaxpr.jaxpr), 1)
    return math.ceil(n / math.ceil(n * size / CACHE)) if size <= SMALL else 1  # all chunks have one size


def held(jaxpr: Any) -> int:
    """The largest number of bytes that a loop of this program carries, or that one of its operations returns."""

    def bytes_of(variables: Any) -> int:
        return sum(math.prod(v.aval.shape) * v.aval.dtype.itemsize for v in variables if hasattr(v.aval, "shape"))

    def of(eqn: Any) -> int:
        inside = max(map(held, _inner(eqn.params)), default=0)
        return max(
            inside, bytes_of(eqn.outvars[: eqn.params["num_carry"]] if eqn.primitive.name == "scan" else eqn.outvars)
        )

    return max(map(of, jaxpr.eqns), default=0)


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """The programs inside an operation, such as the body of a loop or branches."""
    for value in params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            program = getattr(each, "jaxpr", each)
            if hasattr(program, "eqns"):
                yield program
