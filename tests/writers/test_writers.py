"""Readings written to files: each step once, gone on with, read back with readers that others wrote."""

import csv
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.inspection.readings import readings
from gradtx.inspection.watch import watch
from gradtx.writers import CallableWriter, CsvWriter, LostReadingsWarning, ParquetWriter, TensorBoardWriter

PARAMS = {"w": jnp.arange(1.0, 4.0), "b": jnp.zeros(2)}
TX = watch(gradtx.sgd(0.1), every=2, window=3)


def states(steps, tx=TX, params=PARAMS):
    state, out, given, step = tx.init(params), [], params, jax.jit(tx.step)
    for _ in range(steps):
        params, state = step(given, state, params)
        out.append(state)
    return out


STATES = states(11)


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def read_parquet(path):
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(path).to_pylist()


@pytest.mark.parametrize(("kind", "read"), [(CsvWriter, read_csv), (ParquetWriter, read_parquet)])
def test_tables_are_written_once_and_gone_on_with(kind, read, tmp_path):
    path = tmp_path / "run.table"
    with kind(path) as write:
        assert [write(state) for state in STATES[:4]] == [1, 0, 1, 0]
    with kind(path, append=True) as write:
        assert write(STATES[5]) == 3  # those of steps 0 and 2 take the place of what is there
        assert write(readings(STATES[8])) == 2
    rows = read(path)
    assert [int(row["step"]) for row in rows] == [0, 2, 4, 6, 8]
    expected = readings(STATES[8]).records()[-1]
    assert list(rows[-1]) == list(expected)
    for name, x in expected.items():
        came = float("nan") if rows[-1][name] == "" else float(rows[-1][name])
        assert came == pytest.approx(x, nan_ok=True), name


@pytest.mark.parametrize(("kind", "read"), [(CsvWriter, read_csv), (ParquetWriter, read_parquet)])
def test_a_run_that_goes_on_from_a_checkpoint_replaces_what_came_after_it(kind, read, tmp_path):
    path = tmp_path / "run.table"
    with kind(path) as write:
        for state in STATES:
            write(state)
    with kind(path, append=True) as write:
        assert write(readings(STATES[6]).since(5)) == 1
    rows = read(path)
    assert [int(row["step"]) for row in rows] == [0, 2, 4, 6]


@pytest.mark.parametrize("kind", [CsvWriter, ParquetWriter])
def test_a_file_that_is_there_is_not_touched_unasked(kind, tmp_path):
    path = tmp_path / "run.table"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="append=True continues this file"):
        kind(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("kind", [CsvWriter, ParquetWriter])
def test_tables_with_other_columns(kind, tmp_path):
    path = tmp_path / "run.table"
    with kind(path) as write:
        write(STATES[0])
    other = states(1, params={"other": jnp.ones(2)})[0]
    for step in (0, 100):  # whose rows would take the place of those in the file, or come after them
        with pytest.raises(ValueError, match="has no column 'grad_norm/other'"), kind(path, append=True) as write:
            write(other._replace(steps=jnp.array([step, -1, -1])))
    assert len((read_csv if kind is CsvWriter else read_parquet)(path)) == 1


@pytest.mark.parametrize("kind", [CsvWriter, ParquetWriter])
def test_tables_in_places_that_are_none(kind, tmp_path):
    with pytest.raises(OSError, match="cannot write readings there"):
        kind(tmp_path / "missing" / "run")
    with pytest.raises(OSError, match="cannot write readings there"):
        kind(tmp_path)
    (tmp_path / "text").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"column 'step'|not a Parquet file"):
        kind(tmp_path / "text", append=True)


def test_lost_steps_are_told():
    rows = []
    write = CallableWriter(rows.append)
    write(STATES[4])
    assert [row["step"] for row in rows] == [0, 2, 4]
    with pytest.warns(LostReadingsWarning, match="1 measured steps before step 8"):
        write(states(13)[-1])
    assert [row["step"] for row in rows] == [0, 2, 4, 8, 10, 12]
    CallableWriter(rows.append)(STATES[10])  # who begins late has lost nothing that was asked for


def test_another_run_needs_another_writer():
    rows = []
    write = CallableWriter(rows.append)
    write(STATES[4])
    with pytest.raises(
        ValueError, match="step 4 is already written, but these readings end at step 0: they are of another run"
    ):
        write(STATES[0])
    assert len(rows) == 3


def test_a_function_that_raises_is_not_given_a_step_twice():
    seen = []

    def fn(row):
        if row["step"] == 2 and len(seen) == 1:
            seen.append("error")
            raise RuntimeError("full")
        seen.append(row["step"])

    write = CallableWriter(fn)
    with pytest.raises(RuntimeError):
        write(STATES[4])
    write(STATES[4])
    assert seen == [0, "error", 2, 4]
    with pytest.raises(TypeError, match="fn must be a function"):
        CallableWriter(3)


def test_a_closed_writer(tmp_path):
    write = CsvWriter(tmp_path / "run.csv")
    write.close()
    write.close()
    with pytest.raises(ValueError, match="CsvWriter is closed"):
        write(STATES[0])


def test_tensorboard_reads_it_back(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.event_file_writer import directory_check  # noqa: F401
    from tensorboardX.proto.event_pb2 import Event

    with TensorBoardWriter(tmp_path / "new" / "run") as write:
        assert write(STATES[2]) == 2
        assert write(STATES[2]) == 0
    (file,) = (tmp_path / "new" / "run").iterdir()
    scalars, histograms = {}, {}
    for record in records(file.read_bytes()):
        event = Event.FromString(record)
        for value in event.summary.value:
            if value.HasField("histo"):
                histograms[value.tag, event.step] = value.histo
            else:
                scalars[value.tag, event.step] = value.simple_value
    found = readings(STATES[2])
    expected = {
        (name, row["step"]): x
        for row in found.records()
        for name, x in row.items()
        if name != "step" and not math.isnan(x)
    }
    assert scalars == pytest.approx(expected)
    histo = histograms["log10_rate/w", 2]
    np.testing.assert_array_equal(histo.bucket, found.rate_counts[1, 1])
    np.testing.assert_allclose(histo.bucket_limit, np.log10(found.rate_edges[1:]), atol=1e-9)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write readings there"):
        TensorBoardWriter(tmp_path / "file")


def records(data):
    """The records of a TFRecord file: length, its check sum, the bytes, their check sum."""
    while data:
        n = int.from_bytes(data[:8], "little")
        yield data[12 : 12 + n]
        data = data[16 + n :]
