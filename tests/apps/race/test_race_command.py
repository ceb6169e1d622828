"""`python -m gradtx race`, run as a user runs it: in a process of its own."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest

from gradtx.apps.cli import main
from gradtx.apps.race.results import from_json
from tests.apps.race.tiny import assert_same_cell

ONE = ("--tasks", "bowl", "--optimizers", "adam,momentum", "--rates", "3", "--seeds", "2", "--no-agreement")
WORDS = [sys.executable, "-W", "error", "-m", "gradtx", "race"]


def run(*words, before=""):
    """The finished process of `python -m gradtx race`; `before` is Python to run in it first."""
    start = f"{before}\nimport runpy, sys\nsys.argv[0] = 'gradtx'\nrunpy.run_module('gradtx', run_name='__main__')"
    how = [*WORDS[:3], "-c", start, "race"] if before else WORDS
    return subprocess.run([*how, *words], capture_output=True, text=True, timeout=300, check=False)


def results(folder):
    return from_json((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A race that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "a" / "b"
    done = run(*ONE, "--output", str(folder))
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


def test_a_second_run_does_nothing_again_unless_told_to(whole, tmp_path):
    _, folder = whole
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    first = results(folder)
    assert run(*ONE, "--output", str(folder)).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before
    again = results(folder)
    for one, other in zip(first.cells, again.cells, strict=True):
        assert_same_cell(one, other)
        assert (one.seconds_running, one.seconds_compiling) == (other.seconds_running, other.seconds_compiling)
    assert again.seconds > sum(cell.seconds_running + cell.seconds_compiling for cell in again.cells)
    damaged = folder / "cells" / "bowl-adam.json"
    damaged.write_text(damaged.read_text()[:100])
    done = run(*ONE, "--output", str(folder))
    assert "adam on bowl: the stored result is damaged; done again" in done.stdout
    assert run(*ONE, "--fresh", "--output", str(folder)).returncode == 0
    assert all(path.stat().st_mtime_ns > before[path] for path in (folder / "cells").iterdir())
    for one, other in zip(first.cells, results(folder).cells, strict=True):
        assert_same_cell(one, other)


def started(folder):
    return subprocess.Popen(
        [*WORDS, *ONE, "--output", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_a_cell(process, folder):
    """Until one piece of work is kept, and before the last is."""
    for _ in range(30_000):
        kept = list((folder / "cells").glob("*.json"))
        if kept:
            return
        assert process.poll() is None
        time.sleep(0.005)
    raise AssertionError("nothing was kept")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_one_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(how, whole, tmp_path):
    with started(tmp_path) as process:
        wait_for_a_cell(process, tmp_path)
        os.kill(process.pid, how)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGINT:
        assert errors.startswith(f"gradtx: stopped; finished work is in {tmp_path}")
        assert "the same command continues from there" in errors
        assert "Traceback" not in errors
    assert not (tmp_path / "results.json").exists()
    (kept,) = (tmp_path / "cells").glob("*.json")  # the second was running
    before = kept.read_bytes()
    done = run(*ONE, "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert kept.read_bytes() == before
    for one, other in zip(results(whole[1]).cells, results(tmp_path).cells, strict=True):
        assert_same_cell(one, other)


WRONG = """
import dataclasses, gradtx.apps.race.contenders as c
entry, setting = c.OPTIMIZERS["adam"]
wrong = dataclasses.replace(entry, factory=lambda rate, **more: entry.factory(rate, **{**more, "b2": 0.99}))
c.OPTIMIZERS = {**c.OPTIMIZERS, "adam": (wrong, setting)}
"""


@pytest.mark.parametrize("library", ["optax", "torch"])
def test_a_disagreement_ends_with_1_after_the_report_is_written(library, tmp_path):
    pytest.importorskip(library)
    words = ("--tasks", "bowl", "--optimizers", "gradtx:adam", "--libraries", library, "--rates", "1", "--seeds", "1")
    done = run(*words, "--output", str(tmp_path), before=WRONG)
    assert done.returncode == 1
    assert f"adam of gradtx and of {library} disagree on bowl: their updates differ by" in done.stderr
    assert "Traceback" not in done.stderr
    (found,) = results(tmp_path).agreements
    assert found.difference > 1e-3
    assert (tmp_path / "report.html").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "bowel"], "argument --tasks: there is no task 'bowel' (did you mean 'bowl'?); --list shows them"),
        (["--tasks", ","], "name at least one task"),
        (["--optimizers", "adaam"], "there is no optimizer 'adaam' (did you mean 'adam'?)"),
        (["--optimizers", "torch:lion"], "there is no optimizer 'torch:lion'"),
        (["--optimizers", "lion", "--libraries", "torch"], "there is no 'lion' in torch"),
        (["--libraries", "optix"], "there is no library 'optix' (did you mean 'optax'?)"),
        (["--optimizers", "rprop", "--tasks", "reddi"], "nothing is left to race: left out: rprop on reddi: compares"),
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
    assert {"bowl", "digits", "adam", "optax:adam", "torch:rprop"} <= {line[0] for line in lines}
    assert not list(tmp_path.iterdir())


def absent(package):
    """Python that makes a package as if it were not installed."""
    return f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())"""


@pytest.mark.parametrize("package", ["tqdm", "matplotlib"])
def test_an_absent_package_is_named_with_the_command_that_installs_it(package, tmp_path):
    done = run(*ONE, "--output", str(tmp_path), before=absent(package))
    assert done.returncode == 1
    assert done.stderr.startswith(f"gradtx: {package}")
    assert 'pip install "gradtx[race]"' in done.stderr


def test_an_absent_library_is_left_out_by_default_and_an_error_by_name(tmp_path):
    words = ("--tasks", "bowl", "--quick", "--rates", "1", "--seeds", "1", "--no-agreement", "--output", str(tmp_path))
    done = run(*words, before=absent("torch"))
    assert done.returncode == 0, done.stderr
    assert "torch is not installed, and left out" in done.stdout
    assert {cell.library for cell in results(tmp_path).cells} <= {"gradtx", "optax"}
    for named in (["--optimizers", "torch:adam"], ["--libraries", "torch"]):
        done = run(*words, *named, before=absent("torch"))
        assert done.returncode == 2
        assert "torch is not installed: pip install torch, or leave it out" in " ".join(done.stderr.split())


@pytest.mark.slow
def test_quick_takes_part_of_a_minute_and_agrees(tmp_path):
    pytest.importorskip("torch")
    before = os.times().children_user
    done = run("--quick", "--output", str(tmp_path))
    used = os.times().children_user - before
    assert done.returncode == 0, done.stderr
    found = results(tmp_path)
    assert {cell.library for cell in found.cells} == {"gradtx", "optax", "torch"}
    assert len(found.tasks) >= 6
    assert all(agreement.holds for agreement in found.agreements)
    assert {a.library for a in found.agreements} == {"optax", "torch"}
    assert json.loads((tmp_path / "results.json").read_text())["format"] == "gradtx race"
    assert used < 120  # seconds on two cores: 60 by the clock
