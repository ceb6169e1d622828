"""Reading one checkpoint, and clear errors when there is none or it cannot be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, SingleDeviceSharding

from gradtx.checkpoint.checksums import checksums
from gradtx.checkpoint.errors import CheckpointError
from gradtx.checkpoint.flat import cast, placed, sharding_of
from gradtx.checkpoint.index import STORED, Index, from_json
from gradtx.checkpoint.leaves import Leaf, carried_shape, carrier, is_key_type


class Stored(NamedTuple):
    """The checkpoint of one step in a folder."""

    orbax: Any  # the module
    manager: Callable[[], Any]  # gives Orbax's manager of the folder
    folder: Any
    step: int

    def __str__(self) -> str:
        return f"the checkpoint of step {self.step} in {self.folder}"

    def index(self) -> Index:
        """The index of the checkpoint.

        Raises:
            CheckpointError: there is no such checkpoint, it is damaged, or gradtx did not write it.
        """
        here = self.folder / str(self.step)
        if not here.exists():
            raise CheckpointError(f"there is no checkpoint of step {self.step} in {self.folder}{self._others()}")
        if not (here / "index").exists():
            items = sorted(path.name for path in here.iterdir() if path.is_dir())
            raise CheckpointError(
                f"{self} was not written by gradtx, or is damaged: it has {items}, but no 'index'. If Orbax wrote it, "
                f"read it with orbax.checkpoint, and save the result with Checkpoints in another folder"
            )
        read = self._read(index=self.orbax.args.JsonRestore())
        try:
            return from_json(str(self), read)
        except CheckpointError as error:
            raise CheckpointError(f"{error}{self._others()}") from None

    def load(self, index: Index, sources: Mapping[str, str], wanted: Mapping[str, tuple[Leaf, Any]]) -> dict[str, Any]:
        """The values of leaves, by their path in the targets, with the types and on the devices of the targets.

        Args:
            index: of this checkpoint.
            sources: the leaves to load: the path in the targets -> the path in the checkpoint.
            wanted: the leaves of the targets, by path.

        Raises:
            CheckpointError: the files are damaged.
            ValueError: the sharding of a target does not fit its shape.
        """
        stored = {source: wanted[name][1] for name, source in sources.items() if source in index.sums}
        arguments = {
            source: _restore_args(self.orbax, source, target, is_key_type(index.leaves[source].type))
            for source, target in stored.items()
        }
        arrays = self._read(arrays=_some(self.orbax, arguments)) if stored else {}
        for name, total in checksums({name: arrays[name] for name in stored}).items():
            if total != index.sums[name]:
                raise CheckpointError(f"{self} is damaged: {name} does not have the saved values{self._others()}")
        values = {}
        for name, source in sources.items():
            leaf, (kind, target) = index.leaves[source], wanted[name]
            array = arrays[source] if source in arrays else np.zeros(carried_shape(leaf), carrier(leaf.type, STORED))
            values[name] = placed(cast(name, array, leaf.type, kind.type, STORED), target)
        return values

    def _read(self, **item: Any) -> Any:
        """One item of the checkpoint. Whatever Orbax raises for damaged files becomes one error."""
        ((name, args),) = item.items()
        try:
            return self.manager().restore(self.step, args=self.orbax.args.Composite(**{name: args}))[name]
        except (MemoryError, jax.errors.JaxRuntimeError):  # too little memory does not mean that files are damaged
            raise
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0][:200]
            raise CheckpointError(
                f"{self} cannot be read: its files are damaged or incomplete ({type(error).__name__}: {first})"
                f"{self._others()}"
            ) from error

    def _others(self) -> str:
        """The end of an error message: which other steps there are."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.exists() else []
        steps = sorted(int(name) for name in names if name.isdecimal() and int(name) != self.step)
        if not steps:
            return "; there is no other checkpoint"
        return f"; there are other checkpoints: restore(step={steps[-1]}, ...), of {', '.join(map(str, steps))}"


def newest_step(folder: Any, steps: list[int]) -> int:
    """The last of the steps; in a run of several processes, the last that the first process sees.

    Raises:
        CheckpointError: there is none; the message says what the folder contains instead, and what to do.
    """
    newest = max(steps, default=-1)
    if jax.process_count() > 1:
        from jax.experimental.multihost_utils import broadcast_one_to_all

        newest = int(broadcast_one_to_all(np.asarray(newest, np.int32)))
    if newest < 0:
        raise CheckpointError(_without_checkpoint(folder))
    return newest


def _without_checkpoint(folder: Any) -> str:
    """The error message for a folder without a checkpoint."""
    if not folder.exists():
        return f"there is no folder {folder}, so no checkpoint to restore"
    names = sorted(path.name for path in folder.iterdir())
    if "_METADATA" in names:
        return f"{folder} is a tree that Orbax wrote, not a folder with a checkpoint per step: use orbax.checkpoint"
    if {"index", "_CHECKPOINT_METADATA"} & set(names):
        return f"{folder} is one checkpoint, not a folder of them: give {folder.parent}, and the step"
    unfinished = [name for name in names if "orbax-checkpoint-tmp" in name]
    if unfinished:
        return f"{folder} has no complete checkpoint, only {unfinished[0]}, which a crash left unfinished: start anew"
    if names:
        return f"{folder} has no checkpoint; it has {', '.join(names[:4])}{', ...' if names[4:] else ''}"
    return f"{folder} is empty: there is no checkpoint to restore; `steps` lists those of a folder"


def _restore_args(orbax: Any, name: str, target: Any, key: bool) -> Any:
    """The form in which Orbax returns an array: with the target's sharding, or on the host if the target has none."""
    sharding = sharding_of(target)
    try:
        if sharding is not None:
            sharding.shard_shape(tuple(target.shape))
    except ValueError as error:
        raise ValueError(f"the sharding of {name} does not fit its shape, {tuple(target.shape)}: {error}") from None
    # The array of a key's words has one more axis than the array of keys. Only these two kinds of sharding allow it.
    if sharding is None or (key and not isinstance(sharding, NamedSharding | SingleDeviceSharding)):
        return orbax.RestoreArgs(restore_type=np.ndarray)
    return orbax.ArrayRestoreArgs(restore_type=jax.Array, sharding=sharding)


def _some(orbax: Any, arguments: dict[str, Any]) -> Any:
    """Orbax's arguments for reading some of the arrays. Before 0.11.2x that was a transformation."""
    restore = orbax.args.PyTreeRestore
    partial = "partial_restore" in {field.name for field in dataclasses.fields(restore)}
    left_out = {"partial_restore": True} if partial else {"transforms": {}}
    return restore(item=dict.fromkeys(arguments, 0), restore_args=arguments, **left_out)
