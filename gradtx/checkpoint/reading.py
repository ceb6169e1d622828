"""Reading a checkpoint, and what to say where there is none that can be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, SingleDeviceSharding

from gradtx.checkpoint.errors import CheckpointError
from gradtx.checkpoint.flat import cast, placed, sharding_of
from gradtx.checkpoint.index import STORED, Index, from_json
from gradtx.checkpoint.leaves import Leaf, carried_shape, carrier, is_key_type
from gradtx.checkpoint.sums import check_sums


def read_index(orbax: Any, manager: Callable[[], Any], folder: Any, step: int) -> Index:
    """The index of a checkpoint.

    Raises:
        CheckpointError: there is none, it is damaged, or it is not gradtx's.
    """
    what, here = f"the checkpoint of step {step} in {folder}", folder / str(step)
    if not here.exists():
        raise CheckpointError(f"there is no checkpoint of step {step} in {folder}{_others(folder, step)}")
    if not (here / "index").exists():
        items = sorted(path.name for path in here.iterdir() if path.is_dir())
        raise CheckpointError(
            f"{what} was not written by gradtx, or is damaged: it has {items}, and no 'index'. If Orbax wrote it, "
            f"read it with orbax.checkpoint, and save what you read with Checkpoints in another folder"
        )
    args = orbax.args.Composite(index=orbax.args.JsonRestore())
    read = _reading(what, folder, step, lambda: manager().restore(step, args=args)["index"])
    try:
        return from_json(what, read)
    except CheckpointError as error:
        raise CheckpointError(f"{error}{_others(folder, step)}") from None


def load(
    orbax: Any,
    manager: Callable[[], Any],
    folder: Any,
    step: int,
    index: Index,
    sources: Mapping[str, str],
    wanted: Mapping[str, tuple[Leaf, Any]],
) -> dict[str, Any]:
    """The leaves that are wanted, by path, of the type and on the devices of their targets.

    Args:
        sources: for each path in the target, that in the checkpoint.
        wanted: the leaves of the targets, by path.

    Raises:
        CheckpointError: the files are damaged.
        ValueError: a target's sharding does not fit its shape.
    """
    what = f"the checkpoint of step {step} in {folder}"
    targets = {source: wanted[name][1] for name, source in sources.items()}
    stored = {source: target for source, target in targets.items() if source in index.sums}
    arrays: dict[str, Any] = {}
    if stored:
        arguments = {
            source: _restore_args(orbax, source, target, is_key_type(index.leaves[source].type))
            for source, target in stored.items()
        }
        arrays = _reading(
            what,
            folder,
            step,
            lambda: manager().restore(step, args=orbax.args.Composite(arrays=_some(orbax, arguments)))["arrays"],
        )
    for name, total in check_sums({name: arrays[name] for name in stored}).items():
        if total != index.sums[name]:
            raise CheckpointError(f"{what} is damaged: {name} is not what was saved{_others(folder, step)}")
    values = {}
    for name, source in sources.items():
        leaf, target = index.leaves[source], wanted[name][1]
        array = arrays[source] if source in arrays else np.zeros(carried_shape(leaf), carrier(leaf.type, STORED))
        values[name] = placed(cast(name, array, leaf.type, wanted[name][0].type, STORED), target)
    return values


def newest_step(folder: Any, steps: list[int]) -> int:
    """The last of the steps; in a run of several processes, that which the first process sees.

    Raises:
        CheckpointError: there is none; the message says what there is instead, and what to do.
    """
    newest = max(steps, default=-1)
    if jax.process_count() > 1:
        from jax.experimental.multihost_utils import broadcast_one_to_all

        newest = int(broadcast_one_to_all(np.asarray(newest, np.int32)))
    if newest < 0:
        raise CheckpointError(_what_is_here(folder))
    return newest


def _what_is_here(folder: Any) -> str:
    """A sentence for a folder without a checkpoint that can be read: what it is instead, and what to do."""
    if not folder.exists():
        return f"there is no folder {folder}, so no checkpoint to restore"
    names = sorted(path.name for path in folder.iterdir())
    if "_METADATA" in names:
        return f"{folder} is a tree that Orbax wrote, no folder of checkpoints by step: read it with orbax.checkpoint"
    if {"index", "_CHECKPOINT_METADATA"} & set(names):
        return f"{folder} is one checkpoint, not a folder of them: give {folder.parent}, and the step"
    unfinished = [name for name in names if "orbax-checkpoint-tmp" in name]
    if unfinished:
        return f"{folder} has no whole checkpoint, only {unfinished[0]}, which a crash has left unfinished: start anew"
    if names:
        return f"{folder} has no checkpoint; it has {', '.join(names[:4])}{', ...' if names[4:] else ''}"
    return f"{folder} is empty: there is no checkpoint to restore; see .steps"


def _reading(what: str, folder: Any, step: int, read: Callable[[], Any]) -> Any:
    """What is read; whatever Orbax makes of damaged files, as one error."""
    try:
        return read()
    except (MemoryError, jax.errors.JaxRuntimeError):  # nothing is said of the files where there was no room
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise CheckpointError(
            f"{what} cannot be read, its files are damaged or incomplete ({type(error).__name__}: {first})"
            f"{_others(folder, step)}"
        ) from error


def _others(folder: Any, step: int) -> str:
    """What else there is."""
    names = [path.name for path in folder.iterdir() if path.name.isdecimal()] if folder.exists() else []
    steps = sorted(int(name) for name in names if int(name) != step)
    if not steps:
        return "; there is no other here"
    return f"; there are others here: restore(step={steps[-1]}, ...) of {', '.join(map(str, steps))}"


def _restore_args(orbax: Any, name: str, target: Any, key: bool) -> Any:
    """In what form Orbax gives an array: where it will be, or on the host where nobody said."""
    sharding = sharding_of(target)
    try:
        if sharding is not None:
            sharding.shard_shape(tuple(target.shape))
    except ValueError as error:
        raise ValueError(f"the sharding of {name} does not fit its shape, {tuple(target.shape)}: {error}") from None
    # The words of keys have one axis more than the keys, of which these kinds of shardings need not be told.
    if sharding is None or (key and not isinstance(sharding, NamedSharding | SingleDeviceSharding)):
        return orbax.RestoreArgs(restore_type=np.ndarray)
    return orbax.ArrayRestoreArgs(restore_type=jax.Array, sharding=sharding)


def _some(orbax: Any, arguments: dict[str, Any]) -> Any:
    """Orbax's arguments for some of the arrays; before 0.11.2x, leaving some out was a transformation."""
    restore = orbax.args.PyTreeRestore
    partial = "partial_restore" in {field.name for field in dataclasses.fields(restore)}
    left_out = {"partial_restore": True} if partial else {"transforms": {}}
    return restore(item=dict.fromkeys(arguments, 0), restore_args=arguments, **left_out)
