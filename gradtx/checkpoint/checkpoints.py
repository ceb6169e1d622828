"""A folder of checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

from gradtx.checkpoint.errors import CheckpointError
from gradtx.checkpoint.flat import below, filled, refuse, renamed, require_values
from gradtx.checkpoint.reading import load, newest_step, read_index
from gradtx.checkpoint.report import Report, comparison
from gradtx.checkpoint.writing import items, named_trees, whole_step
from gradtx.optional_imports import extra


class Restored(dict[str, Any]):
    """What `restore` gives: the trees by name, so that `restored["params"]` and `f(**restored)` both read well.

    Args:
        trees: by the names they were asked for under.
        step: of the checkpoint.
        report: how it and the targets differed.
    """

    def __init__(self, trees: dict[str, Any], step: int, report: Report):
        super().__init__(trees)
        self.step = step
        self.report = report


class Checkpoints:
    """A folder of checkpoints, the newest of which are kept, each written whole or not at all.

    Orbax does the work: a save returns as soon as the values are safe from what the next step does with its buffers,
    and is written while training goes on; each process of several writes what its devices hold. A checkpoint appears
    under its name when it is complete, so a crash at any moment leaves the ones before it. A tree is stored by the key
    paths of its leaves, with a check sum each, and a read that does not give the same is an error.

    In a run of several processes, all of them make the same calls, on a folder that all of them see. Arrays that were
    not put on the mesh, as numbers that every process has made for itself, are taken to be the same on all.

    Args:
        folder: a local one, or one that Orbax knows, as `gs://bucket/run`. It is made by the first save.
        max_to_keep: how many of the newest checkpoints stay; at least 1; None for all.

    Raises:
        CheckpointError: the folder is a file.
        MissingExtraError: Orbax is not installed.
        ValueError: `max_to_keep` below 1.

    Source: `orbax.checkpoint.CheckpointManager`, which skips a save of an old step without a word, drops what a
        target does not mention, and reads damaged numbers as if they were whole.

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
        """Store trees as the checkpoint of a step: copy and sum them up, and return; the writing goes on beside.

        The next save, a restore, `wait` and the end of the `with` block wait for it, and raise what went wrong. A
        program that ends without one of these has not saved the last.

        Args:
            step: a whole number, greater than that of the newest checkpoint here.
            **trees: arrays and numbers in any containers, by names of your own: `params=params, state=state`.

        Raises:
            CheckpointError: the save before this one failed.
            TypeError: for a leaf that is neither an array nor a number; no tree.
            ValueError: a step that is not greater; in a run of several processes, an array that one of them has put
                on devices of its own.
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
                    f"step must be greater than {newest}, the newest in {self.folder}; got {step}: to go on from an "
                    f"older one, delete the folders of those after it, or save elsewhere"
                )
            done = manager.save(step, args=items(self._orbax, found), force=True)
        except OSError as error:
            raise CheckpointError(f"cannot write the checkpoint of step {step} to {self.folder}: {error}") from error
        if not done:
            raise CheckpointError(f"Orbax has declined to save step {step} to {self.folder}; its log says why")

    def restore(
        self, step: int | None = None, *, strict: bool = True, rename: Mapping[str, str] | None = None, **targets: Any
    ) -> Restored:
        """Read trees, in the form and on the devices of their targets.

        Args:
            step: of the checkpoint; None for the newest.
            strict: whether a difference between checkpoint and targets is an error. Where it is not, what the
                checkpoint has not, or has in another shape, is filled from the target, which must be arrays there;
                what moved as a whole is found again; types are cast where values keep their meaning; and the `report`
                says all that.
            rename: paths in the checkpoint -> paths in the targets, of leaves or of what is above them, where a name
                was changed: `{"state/scale_by_adam": "state/direction"}`. The report does not repeat it.
            **targets: trees by the names of `save`, as they should be: of arrays, such as fresh ones from `tx.init`, or
                of `ShapeDtypeStruct`s with shardings. Their shardings decide where arrays go, on whatever mesh and
                number of devices. Trees that are not asked for are not read.

        Returns: a dict of the trees, with `step` and `report`.

        Raises:
            CheckpointError: there is no such checkpoint, it is damaged or not gradtx's, or it is not what the targets
                ask for; then its `report` says how they differ.
            TypeError: no target, or a leaf that is neither an array nor a number.
        """
        if not targets:
            raise TypeError("there is nothing to restore: restore(params=params, state=state), with trees as targets")
        wanted = named_trees(targets)
        steps = self.steps
        step = newest_step(self.folder, steps) if step is None else whole_step(step)
        what = f"the checkpoint of step {step} in {self.folder}"
        index = read_index(self._orbax, self._open, self.folder, step)
        saved = {path: leaf for name in targets for path, leaf in below(name, index.leaves).items()}
        origin = renamed(what, saved, rename or {})
        found = comparison(
            {new: saved[old] for new, old in origin.items()}, {p: leaf for p, (leaf, _) in wanted.items()}
        )
        refuse(found.report, f"{what} and the targets differ", strict)
        require_values(wanted, found.sources)
        sources = {name: origin[source] for name, source in found.sources.items()}
        values = load(self._orbax, self._open, self.folder, step, index, sources, wanted)
        trees = {
            name: filled(tree, {p: e for p, e in wanted.items() if p.split("/", 1)[0] == name}, values)
            for name, tree in targets.items()
        }
        return Restored(trees, step, found.report)

    @property
    def steps(self) -> list[int]:
        """The steps of which there are checkpoints in the folder, in order; the save under way is waited for.

        Each was whole when it was written. Of those that `max_to_keep` has no place for, a crash may have left one half
        deleted; reading it is an error, and the next save clears it away.
        """
        self.wait()
        if not self.folder.exists():
            return []
        paths = self._orbax.utils.checkpoint_steps_paths(self.folder)
        return sorted(int(path.name) for path in paths if path.name.isdecimal())

    def wait(self) -> None:
        """Return when the save under way is on disk.

        Raises:
            CheckpointError: it has failed; the checkpoints before it are whole.
        """
        if not self._writes:
            return
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except Exception as error:
            self._drop()
            raise CheckpointError(
                f"the last save to {self.folder} has failed, the ones before it are whole: {error}"
            ) from error

    def close(self) -> None:
        """Wait for the save under way, and let go of the folder; the end of a `with` block does."""
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
            error.add_note(f"Besides: {other}")

    def __repr__(self) -> str:
        return f"Checkpoints({os.fspath(self.folder)!r}, max_to_keep={self.max_to_keep})"

    def _open(self, to_write: bool = False) -> Any:
        """Orbax's manager. Only one that writes clears what crashes have left: a reader may have a writer beside it."""
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
