"""Writers of tables with one row for each step: CSV and Parquet."""

from __future__ import annotations

import abc
import csv
import errno
import io
import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gradtx.atomic_write import write_whole, write_whole_with
from gradtx.inspection.readings import Readings
from gradtx.optional_imports import extra
from gradtx.writers.writer import Writer, unwritable


class _TableWriter(Writer):
    """The base of `CsvWriter` and `ParquetWriter`: a file with named columns, new or to be continued."""

    def __init__(self, path: str | os.PathLike, append: bool):
        self._path = Path(path)
        if self._path.is_file() and not append:
            raise FileExistsError(
                errno.EEXIST, "append=True continues this file of readings; otherwise give another path", str(path)
            )
        try:
            self._columns, steps = self._open()
        except OSError as error:
            raise unwritable(error, path) from None
        super().__init__(max(steps, default=-1))

    @abc.abstractmethod
    def _open(self) -> tuple[list[str] | None, Iterable[int]]:
        """The columns of the file, None if it has none yet, and the steps in it."""

    def _foreign(self) -> ValueError:
        return ValueError(f"{self._path} is not a table of readings with a column 'step': give another path")

    def _require_fits(self, new: Readings) -> None:
        """Raise ValueError unless the columns are those of the file, in any order. The first readings decide them."""
        came = list(new.last.records()[0])
        if self._columns is None:
            self._columns = came
        unknown = [x for x in came if x not in set(self._columns)]
        missing = [x for x in self._columns if x not in set(came)]
        if unknown or missing:
            which = f"has no column {unknown[0]!r}" if unknown else f"has a column {missing[0]!r}"
            raise ValueError(
                f"{self._path} {which}: the readings are of other leaves or stages than those in the file; "
                f"give another path"
            )


class CsvWriter(_TableWriter):
    """Writes readings as rows of a CSV file, with a column `step` and one for each number: `grad_norm/layers/0/w`.

    The cell of a reading that does not apply is empty.

    Args:
        path: of the file, in an existing folder.
        append: whether to continue an existing file. Its rows from the first step of the first readings on are
            replaced, because a run that restarts from a checkpoint repeats the steps after it. Without `append`, an
            existing file is an error.

    Raises:
        FileExistsError: the file exists, and `append` is False. OSError: it cannot be written.
        ValueError: it has other columns, or no column `step`.

    Example:
        >>> import gradtx, jax.numpy as jnp, tempfile
        >>> tx, w = gradtx.watch(gradtx.sgd(0.1), every=1), jnp.ones(2)
        >>> with tempfile.TemporaryDirectory() as folder, CsvWriter(f"{folder}/run.csv") as write:
        ...     write(tx.update(w, tx.init(w), w)[1])
        1
    """

    def __init__(self, path: str | os.PathLike, *, append: bool = False):
        super().__init__(path, append)

    def _open(self) -> tuple[list[str] | None, Iterable[int]]:
        self._file = self._path.open("a+", newline="", encoding="utf-8")
        self._is_empty = not self._path.stat().st_size
        if self._is_empty:
            return None, []
        self._file.seek(0)
        try:
            head, *rows = csv.reader(self._file)
            place = head.index("step")
            return head, [int(row[place]) for row in rows if row]
        except (ValueError, IndexError, csv.Error):
            self._file.close()
            raise self._foreign() from None

    def _cut(self, step: int) -> None:
        self._file.seek(0)
        head, *rows = csv.reader(self._file)
        place = head.index("step")
        kept = io.StringIO(newline="")
        csv.writer(kept, lineterminator="\n").writerows([head, *(r for r in rows if r and int(r[place]) < step)])
        self._file.close()
        write_whole(self._path, kept.getvalue())
        self._file = self._path.open("a", newline="", encoding="utf-8")

    def _write(self, new: Readings) -> None:
        assert self._columns is not None
        sheet = csv.writer(self._file, lineterminator="\n")
        if self._is_empty:
            sheet.writerow(self._columns)
            self._is_empty = False
        for row in new.records():
            sheet.writerow(["" if _is_absent(row[name]) else row[name] for name in self._columns])
        self._file.flush()

    def _finish(self) -> None:
        self._file.close()


class ParquetWriter(_TableWriter):
    """Writes readings as rows of a Parquet file, with the columns of `CsvWriter`. It needs the extra `sight`.

    An incomplete Parquet file cannot be read, and a complete one cannot be extended. So the rows are collected, and
    closing the writer puts the whole file in place, with the rows of an existing file first.

    Args:
        path: of the file, in an existing folder.
        append: as in `CsvWriter`.

    Raises:
        FileExistsError: the file exists, and `append` is False. OSError: it cannot be written.
        ValueError: it has other columns, no column `step`, or is not a Parquet file.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, path: str | os.PathLike, *, append: bool = False):
        self._rows: list[dict[str, Any]] = []
        self._old: Any = None
        super().__init__(path, append)

    def _open(self) -> tuple[list[str] | None, Iterable[int]]:
        with extra("sight"):
            import pyarrow
            from pyarrow import parquet
        tempfile.TemporaryFile(dir=self._path.parent).close()  # raises now if the file could not be written later
        if self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not self._path.exists():
            return None, []
        try:
            self._old = parquet.read_table(self._path)
        except pyarrow.ArrowInvalid:
            raise ValueError(f"{self._path} is not a Parquet file: give another path") from None
        if "step" not in self._old.column_names:
            raise self._foreign()
        return self._old.column_names, self._old["step"].to_pylist()

    def _cut(self, step: int) -> None:
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
            raise unwritable(error, self._path) from None


def _is_absent(x: Any) -> bool:
    return isinstance(x, float) and math.isnan(x)
