"""A folder of checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

from gradtx.checkpoint.errors import CheckpointError
from gradtx.checkpoint.flat import below, filled, refuse, renamed, require_values
from gradtx.checkpoint.reading import Stored, newest_step
from gradtx.checkpoint.report import Report, comparison
from gradtx.checkpoint.writing import items, named_trees, whole_step
from gradtx.optional_imports import extra


class Restored(dict[str, Any]):
    """The result of `restore`: a dict of the trees, for `restored["params"]` and `f(**restored)`.

    Args:
        trees: the trees, by the names of the targets.
        step: the step of the checkpoint.
        report: the differences between the checkpoint and the targets.
    """

    def __init__(self, trees: dict[str, Any], step: int, report: Report):
        super().__init__(trees)
        self.step = step
        self.report = report


class Checkpoints:
    """A folder of checkpoints. It keeps the newest ones, and each is written completely or not at all.

    Orbax does the work. A save copies the values, so the next step may reuse their buffers, and returns; the files are
    written while training continues. Each of several processes writes the shards on its devices. A checkpoint gets its
    name when it is complete, so after a crash at any moment the earlier ones are intact. Leaves are stored by their key
    paths with a checksum each, and values that do not match their checksum are an error.

    In a run of several processes, all of them make the same calls, on a folder that all of them see. An array that is
    not on the mesh, such as a number that every process has computed, must be the same on all.

    Args:
        folder: a local path, or a URL that Orbax supports, such as `gs://bucket/run`. The first save makes it.
        max_to_keep: the number of newest checkpoints to keep; at least 1; None for all.

    Raises:
        CheckpointError: the folder is a file.
        MissingExtraError: Orbax is not installed.
        ValueError: `max_to_keep` is below 1.

    Source: `orbax.checkpoint.CheckpointManager`. Orbax itself silently skips a save of an old step, drops leaves that a
        target does not mention, and reads damaged numbers without an error.

    Example:
        >>> import gradtx.checkpoint, jax.numpy as jnp, tempfile
        >>> params = {"w": jnp.ones(2)}
        >>> with gradtx.checkpoint.Checkpoints(tempfile.mkdtemp()) as checkpoints:
        ...     checkpoints.save(100, params=params)
        ...     checkpoints.restore(params=params)["params"]
        {'w': Array([1., 1.], dtype=float32)}
    """

    def __init__(self, folder: str | os.PathLike[str], max_to_keep: int | None = 3):
        if max_to_keep is not None and (not isinstance(max_to_keep, int) or max_to_keep < 1):
            raise ValueError(f"max_to_keep must be a whole number, at least 1, or None for all; got {max_to_keep!r}")
        with extra("checkpoint"):
            import orbax.checkpoint as orbax
            from etils import epath
        self.folder = epath.Path(folder).expanduser().absolute()
        if self.folder.exists() and not self.folder.is_dir():
            raise CheckpointError(f"{self.folder} is a file: checkpoints need a folder of their own")
        self.max_to_keep = max_to_keep
        self._orbax: Any = orbax
        self._manager: Any = None
        self._writes = False

    def save(self, step: int, **trees: Any) -> None:
        """Store trees as the checkpoint of a step. The files are written in the background.

        The next save, a restore, `wait` and the end of the `with` block wait until the files are written, and raise the
        errors of the writing. A program that ends without any of these has not saved the last checkpoint.

        Args:
            step: a whole number, greater than the newest step in the folder.
            **trees: arrays and numbers in any containers, by names of your own: `params=params, state=state`.

        Raises:
            CheckpointError: the previous save failed, or Orbax cannot write.
            TypeError: there is no tree, or a leaf is neither an array nor a number.
            ValueError: the step is not greater; in a run of several processes, an array is on devices of one process
                only.
        """
        step = whole_step(step)
        if not trees:
            raise TypeError(f"there is nothing to save: save({step}, params=params, state=state)")
        found = named_trees(trees)
        self.wait()
        try:
            manager = self._open(to_write=True)
            newest = manager.latest_step()
            if newest is not None and step <= newest:
                raise ValueError(
                    f"step must be greater than {newest}, the newest in {self.folder}; got {step}: to continue from "
                    f"an older step, delete the folders of the later ones, or save in another folder"
                )
            done = manager.save(step, args=items(self._orbax, found), force=True)
        except OSError as error:
            raise CheckpointError(f"cannot write the checkpoint of step {step} to {self.folder}: {error}") from error
        if not done:
            raise CheckpointError(f"Orbax did not save step {step} to {self.folder}; its log says why")

    def restore(
        self, step: int | None = None, *, strict: bool = True, rename: Mapping[str, str] | None = None, **targets: Any
    ) -> Restored:
        """Read trees, with the structure of the targets and on their devices.

        Args:
            step: of the checkpoint; None for the newest.
            strict: whether a difference between checkpoint and targets is an error. If not, leaves that are missing in
                the checkpoint, or have another shape there, keep the values of the target, which must be arrays.
                Subtrees that moved as a whole are found. Types are converted where values keep their meaning. `report`
                lists all of this.
            rename: paths in the checkpoint -> paths in the targets, of leaves or of subtrees with another name:
                `{"state/scale_by_adam": "state/direction"}`. The report does not list them.
            **targets: trees with the expected structure, by the names given to `save`: of arrays, such as new ones from
                `tx.init`, or of `ShapeDtypeStruct`s with shardings. Their shardings decide where the arrays are placed,
                on any mesh and number of devices. Trees without a target are not read.

        Returns: a dict of the trees, with the attributes `step` and `report`.

        Raises:
            CheckpointError: there is no such checkpoint, it is damaged, gradtx did not write it, or it does not match
                the targets; in the last case the error's `report` has the differences.
            TypeError: there is no target, or a leaf is neither an array nor a number.
        """
        if not targets:
            raise TypeError("there is nothing to restore: give targets by name, restore(params=params, state=state)")
        wanted = named_trees(targets)
        steps = self.steps
        step = newest_step(self.folder, steps) if step is None else whole_step(step)
        stored = Stored(self._orbax, self._open, self.folder, step)
        index = stored.index()
        saved = {path: leaf for name in targets for path, leaf in below(name, index.leaves).items()}
        origin = renamed(str(stored), saved, rename or {})
        found = comparison(
            {new: saved[old] for new, old in origin.items()}, {p: leaf for p, (leaf, _) in wanted.items()}
        )
        refuse(found.report, f"{stored} and the targets differ", strict)
        require_values(wanted, found.sources)
        sources = {name: origin[source] for name, source in found.sources.items()}
        values = stored.load(index, sources, wanted)
        trees = {
            name: filled(tree, {p: e for p, e in wanted.items() if p.split("/", 1)[0] == name}, values)
            for name, tree in targets.items()
        }
        return Restored(trees, step, found.report)

    @property
    def steps(self) -> list[int]:
        """The steps of the checkpoints in the folder, in order. This waits for a save in the background.

        Each checkpoint was complete when it was written. If a crash happened while an old one was being deleted because
        of `max_to_keep`, it is incomplete: reading it is an error, and the next save removes it.
        """
        self.wait()
        if not self.folder.exists():
            return []
        paths = self._orbax.utils.checkpoint_steps_paths(self.folder)
        return sorted(int(path.name) for path in paths if path.name.isdecimal())

    def wait(self) -> None:
        """Wait until a save in the background is on disk.

        Raises:
            CheckpointError: it failed; the earlier checkpoints are intact.
        """
        if not self._writes:
            return
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except Exception as error:
            self._drop()
            raise CheckpointError(
                f"the last save to {self.folder} failed; the earlier checkpoints are intact: {error}"
            ) from error

    def close(self) -> None:
        """Wait for a save in the background, and release the folder. The end of a `with` block does this."""
        try:
            self.wait()
        finally:
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self.close()
        except CheckpointError as other:
            if error is None:
                raise
            error.add_note(f"In addition: {other}")

    def __repr__(self) -> str:
        return f"Checkpoints({os.fspath(self.folder)!r}, max_to_keep={self.max_to_keep})"

    def _open(self, to_write: bool = False) -> Any:
        """Orbax's manager. Only a writer removes what crashes left, as another process may write while one reads."""
        if self._manager is None or (to_write and not self._writes):
            self._drop()
            options = self._orbax.CheckpointManagerOptions(
                max_to_keep=self.max_to_keep, create=to_write, cleanup_tmp_directories=to_write
            )
            self._manager = self._orbax.CheckpointManager(self.folder, options=options)
            self._writes = to_write
        return self._manager

    def _drop(self) -> None:
        manager, self._manager, self._writes = self._manager, None, False
        if manager is not None:
            manager.close()
