"""Readings in files of columns: CSV and Parquet, a row for each step."""

from __future__ import annotations

import csv
import errno
import io
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradtx.atomic_write import write_whole, write_whole_with
from gradtx.inspection.readings import Readings
from gradtx.optional_imports import extra
from gradtx.writers.writer import Writer


class CsvWriter(Writer):
    """Writes readings as rows of a CSV file: a column `step`, and one for each number: `grad_norm/layers/0/w`.

    A number that does not apply is an empty cell.

    Args:
        path: of the file; its folder must exist.
        append: go on with a file that is there. Its rows from the first step of the first readings on are replaced:
            they are of a run that was cut off later than the checkpoint from which this one goes on. Without it, a
            file that is there is an error.

    Raises:
        FileExistsError: the file is there, and `append` was not given. OSError: it cannot be written.
        ValueError: it has other columns, or no column `step`.

    Example:
        >>> import gradtx, jax.numpy as jnp, tempfile
        >>> tx, w = gradtx.watch(gradtx.sgd(0.1), every=1), jnp.ones(2)
        >>> with tempfile.TemporaryDirectory() as folder, CsvWriter(f"{folder}/run.csv") as write:
        ...     write(tx.update(w, tx.init(w), w)[1])
        1
    """

    def __init__(self, path: str | os.PathLike, *, append: bool = False):
        self._path = Path(path)
        _require_new(self._path, append)
        self._file = self._columns = None
        last = -1
        try:
            self._file = self._path.open("a+", newline="", encoding="utf-8")
            self._file.seek(0)
            rows = csv.reader(self._file)
            self._columns = next(rows, None)
            if self._columns is not None:
                _require_step(self._path, self._columns)
                last = _last_step(self._path, (row[self._columns.index("step")] for row in rows if row))
        except OSError as error:
            raise _unwritable(error, self._path) from None
        except (ValueError, IndexError) as error:
            if self._file is not None:
                self._file.close()
            raise ValueError(
                str(error) if str(self._path) in str(error) else f"{self._path} is no table of readings"
            ) from None
        super().__init__(last)

    def _require_fits(self, new: Readings) -> None:
        if self._columns is not None:
            require_columns(self._path, self._columns, list(new.last.records()[0]))

    def _cut(self, step: int) -> None:
        assert self._file is not None
        assert self._columns is not None
        self._file.seek(0)
        place = self._columns.index("step")
        head, *rows = csv.reader(self._file)
        kept = io.StringIO(newline="")
        csv.writer(kept, lineterminator="\n").writerows(
            [head, *(row for row in rows if row and int(row[place]) < step)]
        )
        self._file.close()
        write_whole(self._path, kept.getvalue())
        self._file = self._path.open("a", newline="", encoding="utf-8")

    def _write(self, new: Readings) -> None:
        assert self._file is not None
        records, sheet = new.records(), csv.writer(self._file, lineterminator="\n")
        columns = list(records[0])
        if self._columns is None:
            sheet.writerow(columns)
            self._columns = columns
        for row in records:
            sheet.writerow(["" if _is_absent(row[name]) else row[name] for name in self._columns])
        self._file.flush()

    def _finish(self) -> None:
        assert self._file is not None
        self._file.close()


class ParquetWriter(Writer):
    """Writes readings as rows of a Parquet file, with the columns of `CsvWriter`; with the extra `monitoring`.

    A Parquet file can be read only once it is finished, and not be gone on with: so rows are collected, and the file is
    put in place when the writer is closed, whole, after the rows that a file there already had.

    Args:
        path: of the file; its folder must exist.
        append: as of `CsvWriter`.

    Raises:
        FileExistsError: the file is there, and `append` was not given. OSError: it cannot be written.
        ValueError: it has other columns, no column `step`, or is no Parquet file.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, path: str | os.PathLike, *, append: bool = False):
        with extra("monitoring"):
            import pyarrow
            from pyarrow import parquet
        self._path, self._rows, self._old = Path(path), [], None
        _require_new(self._path, append)
        last = -1
        try:
            tempfile.TemporaryFile(dir=self._path.parent).close()
            if self._path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if self._path.exists():
                self._old = parquet.read_table(self._path)
        except OSError as error:
            raise _unwritable(error, self._path) from None
        except pyarrow.ArrowInvalid:
            raise ValueError(f"{self._path} is no Parquet file: give the path of one, or of none") from None
        if self._old is not None:
            _require_step(self._path, self._old.column_names)
            last = _last_step(self._path, self._old["step"].to_pylist())
        super().__init__(last)

    def _require_fits(self, new: Readings) -> None:
        had = self._old.column_names if self._old is not None else list(self._rows[0]) if self._rows else None
        if had is not None:
            require_columns(self._path, had, list(new.last.records()[0]))

    def _cut(self, step: int) -> None:
        assert self._old is not None
        self._old = self._old.filter([k < step for k in self._old["step"].to_pylist()])

    def _write(self, new: Readings) -> None:
        self._rows.extend(new.records())

    def _finish(self) -> None:
        if not self._rows:
            return
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.Table.from_pylist(self._rows)
        if self._old is not None:
            table = pyarrow.concat_tables([self._old, table.select(self._old.column_names).cast(self._old.schema)])
        try:
            write_whole_with(self._path, lambda beside: parquet.write_table(table, beside))
        except OSError as error:
            raise _unwritable(error, self._path) from None


def require_columns(path: Path, had: Sequence[str], came: Sequence[str]) -> None:
    """Raise ValueError, naming a column, unless the columns are the same, in any order."""
    missing, new = [x for x in had if x not in set(came)], [x for x in came if x not in set(had)]
    if missing or new:
        name, which = (new[0], "has no column") if new else (missing[0], "has a column")
        raise ValueError(
            f"{path} {which} {name!r}, the readings are of other leaves or stages than those in the file: "
            f"give another path"
        )


def _require_new(path: Path, append: bool) -> None:
    if path.is_file() and not append:
        raise FileExistsError(
            errno.EEXIST, "append=True goes on with this file of readings; else give another path", str(path)
        )


def _require_step(path: Path, columns: Sequence[str]) -> None:
    if "step" not in columns:
        raise ValueError(f"{path} has no column 'step': it was not written by this writer; give another path")


def _last_step(path: Path, steps: Any) -> int:
    return max((int(x) for x in steps), default=-1)


def _unwritable(error: OSError, path: Path) -> OSError:
    return type(error)(error.errno, f"cannot write readings there: {error.strerror}", str(path))


def _is_absent(x: Any) -> bool:
    return isinstance(x, float) and math.isnan(x)
