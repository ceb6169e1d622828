"""The stages of a transformation: the members of a chain, and one step made stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradtx.core.chain import chain, spliced
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import Transformation, as_transformation, transformation
from gradtx.core.values import member_names


def stages(tx: Any) -> tuple[tuple[str, GradientTransformation], ...]:
    """Name the stages that updates go through: the members of a chain, or of a recipe that stands for one.

    Chains and recipes among the unnamed members are spliced in, as in the chain itself. The names are those of the
    chain's state, in which members without state have no entry.

    Args:
        tx: a transformation. One that is no chain, a wrapper too, is one stage.

    Returns: (name, transformation) of each stage, in order; of the empty chain none.
    Raises: TypeError: no transformation. ValueError: a batch of them.

    Example:
        >>> import gradtx
        >>> [name for name, _ in gradtx.stages(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3)))]
        ['clip_by_global_norm', 'scale_by_adam', 'add_decayed_weights', 'scale_by_learning_rate']
    """
    tx = as_transformation("tx", tx)
    piece = tx.piece
    if not is_chain(tx):
        return ((tx.member_name, tx),)
    unnamed = tuple(step for member in piece.members for step in spliced(member))
    return (*zip(member_names(unnamed), unnamed, strict=True), *piece.named.items())


def is_chain(tx: GradientTransformation) -> bool:
    """Whether this is a chain, or a recipe that stands for one: its state is then a dict by the names of the stages."""
    return tx.piece.made_by is chain


def run_stages(
    tx: Any, updates: Any, state: Any, params: Any = None, **extra: Any
) -> tuple[tuple[tuple[str, Any], ...], Any]:
    """Make one update, and keep what comes out of each stage.

    Args:
        tx: a transformation.
        updates, state, params, **extra: as of its `update`.

    Returns: (name, updates after it) of each stage, in order, and the next state. The last updates are those of
        `tx.update`, to the bit outside jit; of the empty chain there are none, and the updates are what they were.
    Raises: what `tx.update` raises.
    """
    seen: list[tuple[str, Any]] = []

    def heard(name: str, member: GradientTransformation) -> GradientTransformation:
        return spied(member, lambda call, *args, **given: _kept(seen, name, call(*args, **given)))

    tx = as_transformation("tx", tx)
    heard_all = {name: heard(name, member) for name, member in stages(tx)}
    whole = chain(**heard_all) if is_chain(tx) else next(iter(heard_all.values()))
    _, state = whole.update(updates, state, params, **extra)
    return tuple(seen), state


def spied(member: GradientTransformation, listener: Callable[..., tuple[Any, Any]]) -> GradientTransformation:
    """A transformation in whose place a listener is called, under its name: it takes the same state.

    Args:
        member: the transformation.
        listener: of `(update, updates, state, params, **extra)`, which returns what that update returns.
    """

    def body(inner: Transformation):
        def update(updates, state, params=None, **extra):
            return listener(inner.update, updates, state, params, **extra)

        return inner.init, update

    body.__name__ = member.name  # errors speak of the member
    return transformation(any_leaves=True, sparse_rows=True)(body)(member)


def _kept(seen: list, name: str, result: tuple[Any, Any]) -> tuple[Any, Any]:
    seen.append((name, result[0]))
    return result
