"""`python -m gradtx race`: its report, what it stores and continues from, its options and errors."""

import dataclasses
import json
import math
import os
import signal
import sys

import jax
import pytest

from gradtx.apps.cli import main
from gradtx.apps.race import choice, contenders
from gradtx.apps.race.results import from_json
from tests.apps.processes import run, started, wait
from tests.apps.race.tiny import FULL_BATCH, assert_same_cell

ONE = ("--tasks", "bowl", "--optimizers", "adam,momentum", "--rates", "3", "--seeds", "2", "--no-agreement")


def results(folder):
    return from_json((folder / "results.json").read_text())


@pytest.fixture
def lenient():
    """optax relies on JAX's promotion of types."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A race that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "a" / "b"
    done = run("race", *ONE, "--output", str(folder))
    assert done.returncode == 0, done.stderr
    return done, folder


def test_it_prints_the_best_and_writes_the_numbers(whole):
    done, folder = whole
    found = results(folder)
    assert [(c.task, c.optimizer, c.library) for c in found.cells] == [
        ("bowl", "adam", "gradtx"),
        ("bowl", "momentum", "gradtx"),
    ]
    for cell in found.cells:
        assert cell.scores.shape == (3, 2, len(cell.at))
        assert cell.at[-1] == found.tasks[0].steps
        assert math.isfinite(cell.scores[0, 0, -1])
    assert found.settings["command"] == "python -m gradtx race " + " ".join(ONE)
    assert found.machine["jax"]
    assert "optax" not in found.machine
    assert not found.agreements
    assert not found.not_compared
    assert "2 optimizers (2 of gradtx) on 1 task, 12 trainings" in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("bowl "))
    assert line.split()[1] in ("adam", "momentum")
    for name in ("results.json", "report.md", "report.html"):
        assert str(folder / name) in done.stdout
        assert (folder / name).stat().st_size > 1000
    assert not done.stderr  # no bar where there is no terminal


def test_a_second_run_does_nothing_again_unless_told_to(whole, capsys):
    _, folder = whole
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    first = results(folder)
    assert main(["race", *ONE, "--output", str(folder)]) == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before
    again = results(folder)
    for one, other in zip(first.cells, again.cells, strict=True):
        assert_same_cell(one, other)
        assert (one.seconds_running, one.seconds_compiling) == (other.seconds_running, other.seconds_compiling)
    assert again.seconds > sum(cell.seconds_running + cell.seconds_compiling for cell in again.cells)
    damaged = folder / "cells" / "bowl-adam.json"
    damaged.write_text(damaged.read_text()[:100])
    assert main(["race", *ONE, "--output", str(folder)]) == 0
    assert "adam on bowl: the stored result is damaged; done again" in capsys.readouterr().out
    assert main(["race", *ONE, "--fresh", "--output", str(folder)]) == 0
    assert all(path.stat().st_mtime_ns > before[path] for path in (folder / "cells").iterdir())
    for one, other in zip(first.cells, results(folder).cells, strict=True):
        assert_same_cell(one, other)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_one_that_was_stopped_continues_and_ends_as_if_it_had_not_been(how, whole, tmp_path):
    cells = tmp_path / "cells"
    with started("race", *ONE, "--output", str(tmp_path)) as process:
        wait(process, lambda: list(cells.glob("*.json")))
        os.kill(process.pid, how)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGINT:
        where = f"finished work is in {cells}, and the same command continues from there"
        assert errors == f"gradtx: stopped; {where}\n"
    assert not (tmp_path / "results.json").exists()
    (kept,) = cells.glob("*.json")  # the second was running
    before = kept.read_bytes()
    assert main(["race", *ONE, "--output", str(tmp_path)]) == 0
    assert kept.read_bytes() == before
    for one, other in zip(results(whole[1]).cells, results(tmp_path).cells, strict=True):
        assert_same_cell(one, other)


@pytest.mark.parametrize("library", ["optax", pytest.param("torch", marks=pytest.mark.peers)])
def test_a_disagreement_ends_with_1_after_the_report_is_written(library, tmp_path, monkeypatch, capsys, lenient):
    pytest.importorskip(library)
    entry, setting = contenders.OPTIMIZERS["adam"]

    def wrong(learning_rate, **more):
        return entry.factory(learning_rate, **{**more, "b2": 0.99})

    table = {**contenders.OPTIMIZERS, "adam": (dataclasses.replace(entry, factory=wrong), setting)}
    monkeypatch.setattr(contenders, "OPTIMIZERS", table)
    words = ("--tasks", "bowl", "--optimizers", "gradtx:adam", "--libraries", library, "--rates", "1", "--seeds", "1")
    assert main(["race", *words, "--output", str(tmp_path)]) == 1
    assert f"adam of gradtx and of {library} disagree on bowl: their updates differ by" in capsys.readouterr().err
    (found,) = results(tmp_path).agreements
    assert found.difference > 1e-3
    assert (tmp_path / "report.html").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "bowel"], "argument --tasks: there is no task 'bowel' (did you mean 'bowl'?); --list shows them"),
        (["--tasks", ","], "name at least one task"),
        (["--optimizers", "adaam"], "there is no optimizer 'adaam' (did you mean 'adam'?)"),
        (["--optimizers", "torch:supersab"], "there is no optimizer 'torch:supersab'"),
        (["--optimizers", "supersab", "--libraries", "torch"], "there is no 'supersab' in torch"),
        (["--libraries", "optix"], "there is no library 'optix' (did you mean 'optax'?)"),
        (
            ["--optimizers", FULL_BATCH, "--tasks", "reddi"],
            f"nothing is left to race: left out: {FULL_BATCH} on reddi: compares",
        ),
        (["--seeds", "0"], "argument --seeds: must be a whole number, at least 1; got 0"),
        (["--rates", "1.5"], "argument --rates: must be a whole number, at least 1; got '1.5'"),
        (["--output", f"{__file__}/x"], "argument --output: cannot write into"),
        (["--what"], "unrecognized arguments: --what"),
    ],
)
def test_wrong_options_are_explained(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["race", *words])
    assert ended.value.code == 2
    said, errors = capsys.readouterr()
    assert message in " ".join(errors.split())
    assert not said


def test_list_shows_tasks_and_optimizers_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["race", "--list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Tasks:"] in lines
    assert {"bowl", "digits", "adam", "optax:adam", f"torch:{FULL_BATCH}"} <= {line[0] for line in lines}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["tqdm", "matplotlib.figure", "markdown_it"])
def test_an_absent_package_is_named_with_the_command_that_installs_it(module, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["race", *ONE, "--output", str(tmp_path / "none")]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"gradtx: {module}")
    assert 'pip install "gradtx[race]"' in errors
    assert not list(tmp_path.iterdir())


def test_an_absent_library_is_left_out_by_default_and_an_error_by_name(tmp_path, monkeypatch, capsys, lenient):
    monkeypatch.setattr(choice, "installed", lambda library: library != "torch")
    words = ("--tasks", "bowl", "--quick", "--rates", "1", "--seeds", "1", "--no-agreement", "--output", str(tmp_path))
    assert main(["race", *words]) == 0
    assert "torch is not installed, and left out" in capsys.readouterr().out
    assert {cell.library for cell in results(tmp_path).cells} <= {"gradtx", "optax"}
    for named in (["--optimizers", "torch:adam"], ["--libraries", "torch"]):
        with pytest.raises(SystemExit, match="2"):
            main(["race", *words, *named])
        errors = " ".join(capsys.readouterr().err.split())
        assert "torch is not installed: pip install torch, or leave it out" in errors


@pytest.mark.peers
@pytest.mark.slow
def test_quick_takes_part_of_a_minute_and_agrees(tmp_path):
    before = os.times().children_user
    done = run("race", "--quick", "--output", str(tmp_path), XLA_FLAGS="")
    used = os.times().children_user - before
    assert done.returncode == 0, done.stderr
    found = results(tmp_path)
    assert {cell.library for cell in found.cells} == {"gradtx", "optax", "torch"}
    assert len(found.tasks) >= 6
    assert all(agreement.holds for agreement in found.agreements)
    assert {a.library for a in found.agreements} == {"optax", "torch"}
    assert json.loads((tmp_path / "results.json").read_text())["format"] == "gradtx race"
    assert used < 120  # seconds on two cores: 60 by the clock
