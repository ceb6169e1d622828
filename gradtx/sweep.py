"""One training, for many optimizers: compiled once, several of them side by side."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.arguments import show
from gradtx.core.errors import whole
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import as_transformation
from gradtx.core.trees import flatten, leaf_names, shape_of
from gradtx.optional_imports import extra

CACHE = 2 * 2**20  # bytes; what several members on a CPU may hold together and still be faster than one by one
WORTHWHILE = 4  # where fewer than this fit, members are run one by one


def sweep(
    train: Callable[..., Any], optimizers: Any, *batched: Any, chunk: int | None = None, progress: bool = False
) -> Any:
    """Run one training for each optimizer of a batch, in one program that is compiled once.

        losses = gradtx.sweep(train, jax.vmap(gradtx.adam)(rates))

    Members run side by side in chunks, under `jax.vmap`: on a CPU this pays while all that they hold fits the cache,
    and costs beyond. A chunk of 1 is a loop over a compiled `train`, without vmap. Results agree with those of single
    runs to rounding: batched products of matrices add up in another order.

    Args:
        train: a function of `(tx, *one of each batched)` that JAX can trace; it returns arrays in any containers.
        optimizers: a batch, as `jax.vmap` of a factory makes; or a list of transformations that differ in nothing but
            their hyperparameters; or a single one, where `batched` is given.
        *batched: more that differs between runs, such as seeds or keys: trees whose leaves all have the length of the
            batch.
        chunk: how many run side by side; at least 1. None looks at what one member holds (the most bytes that a loop of
            it carries, or that an operation gives out): on a CPU as many as fit in 2 MiB, one by one where these are
            fewer than 4; on other devices all at once. The choice depends on shapes alone, so a sweep can be repeated
            to the bit.
        progress: whether to show a bar, with the extra `progress`; each chunk is then waited for.

    Returns: the results, stacked along a new first axis, in the order of the optimizers.
    Raises:
        ValueError: no optimizers, or one alone; `chunk` below 1; lengths that differ; members that differ in more than
            their hyperparameters: sweep each kind by itself. TypeError: what is no transformation.

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
    with _bar(n) if progress else nullcontext() as bar:
        results = []
        for first in range(0, n, chunk):
            results.append(_run(train, members, first, chunk, n))
            if bar is not None:
                jax.block_until_ready(results[-1])
                bar.update(min(chunk, n - first))
    if chunk == 1:
        return jax.tree.map(lambda *x: jnp.stack(x), *results)
    return jax.tree.map(lambda *x: jnp.concatenate(x)[:n], *results)


def _run(train: Callable, members: Any, first: int, chunk: int, n: int) -> Any:
    if chunk == 1:
        return _programs(train).one(jax.tree.map(lambda x: x[first], members))
    places = jnp.minimum(jnp.arange(first, first + chunk), n - 1)  # the last chunk is filled up, not compiled anew
    return _programs(train).several(jax.tree.map(lambda x: x[places], members))


class _Programs(NamedTuple):
    """A training as programs for one member and for several, each of one argument."""

    one: Any
    several: Any


_PROGRAMS: weakref.WeakKeyDictionary[Callable, _Programs] = weakref.WeakKeyDictionary()


def _programs(train: Callable) -> _Programs:
    """Kept while the training lives, so that a second sweep compiles nothing; not longer: it may hold a data set."""
    try:
        known = _PROGRAMS.get(train)
    except TypeError:  # neither hashed nor referred to weakly
        return _made(lambda: train)
    if known is None:
        known = _PROGRAMS[train] = _made(weakref.ref(train))
    return known


def _made(train: Callable[[], Any]) -> _Programs:
    return _Programs(jax.jit(lambda member: train()(*member)), jax.jit(lambda members: jax.vmap(train())(*members)))


def _members(optimizers: Any, batched: tuple) -> tuple[tuple, int]:
    """The arguments of all runs, each leaf with the length of the batch in front, and that length."""
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
            raise ValueError(f"{name} is one number; all leaves beside the optimizers need a first axis for the runs")
    if not named:
        raise ValueError(
            f"{show(txs)} is one transformation: give a batch, jax.vmap(gradtx.adam)(rates), or a list of them"
        )
    n = shape_of(named[0][1])[0]
    for name, x in named:
        if shape_of(x)[0] != n:
            raise ValueError(
                f"{named[0][0]} has the length {n}, {name} {shape_of(x)[0]}: one for each run was expected"
            )
    if n == 0:
        raise ValueError(f"there is nothing to run: {named[0][0]} has the length 0")
    txs = jax.tree.map(lambda x: jnp.broadcast_to(_strong(x), (n, *shape_of(x)[1:])), txs)
    return (txs, *(jax.tree.map(jnp.asarray, tree) for tree in batched)), n


def _stacked(txs: list[GradientTransformation]) -> GradientTransformation:
    """Transformations that differ in their hyperparameters, as one that holds a batch."""
    if not txs:
        raise ValueError("there are no optimizers: the list is empty")
    structure = jax.tree.structure(txs[0])
    for k, tx in enumerate(txs):
        batch = next((x for x in jax.tree.leaves(tx) if shape_of(x)), None)
        if batch is not None:
            raise ValueError(
                f"optimizers[{k}] is a batch by itself, of shape {shape_of(batch)}: give it without a list"
            )
        if jax.tree.structure(tx) != structure:
            raise ValueError(
                f"optimizers[{k}] is {show(tx)} and optimizers[0] {show(txs[0])}, which differ in more than "
                f"hyperparameters, and need programs of their own: sweep each kind by itself"
            )
    return jax.tree.map(lambda *x: jnp.stack([_strong(each) for each in x]), *txs)


def _strong(x: Any) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(x))


def _is_pair(x: Any) -> bool:
    return (
        isinstance(x, tuple) and len(x) == 2 and all(map(callable, x)) and not isinstance(x[0], GradientTransformation)
    )


def _argument(k: int, name: str) -> str:
    return f"argument {k + 1} beside the optimizers" + ("" if name.startswith("(") else f", at {name},")


def _chunk(train: Callable, members: tuple, n: int) -> int:
    """How many members to run side by side; see `sweep`."""
    if jax.default_backend() != "cpu":
        return n
    member = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), members)
    fit = CACHE // max(held(_programs(train).one.trace(member).jaxpr.jaxpr), 1)
    return math.ceil(n / math.ceil(n / fit)) if fit >= WORTHWHILE else 1  # chunks of one size


def held(jaxpr: Any) -> int:
    """The most bytes that a loop of this program carries, or that an operation in it gives out."""

    def bytes_of(variables: Any) -> int:
        return sum(math.prod(v.aval.shape) * v.aval.dtype.itemsize for v in variables if hasattr(v.aval, "shape"))

    def of(eqn: Any) -> int:
        inside = max(map(held, _inner(eqn.params)), default=0)
        return max(
            inside, bytes_of(eqn.outvars[: eqn.params["num_carry"]] if eqn.primitive.name == "scan" else eqn.outvars)
        )

    return max(map(of, jaxpr.eqns), default=0)


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """The programs inside an operation: bodies and branches."""
    for value in params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            program = getattr(each, "jaxpr", each)
            if hasattr(program, "eqns"):
                yield program


def _bar(n: int) -> Any:
    with extra("progress"):
        from tqdm import tqdm
    return tqdm(total=n, desc="sweep", unit="run", dynamic_ncols=True)
