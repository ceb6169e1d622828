"""What all commands have in common: Ctrl-C, closed pipes, terminals without Unicode, folders that are refused."""

import re
import signal
import sys
import time
from pathlib import Path

import pytest

from gradtx.apps.cli import main
from tests.apps.processes import imports, run, started, wait
from tests.apps.race.tiny import FULL_BATCH

TINY = ("--epochs", "1", "--optimizers", "sgd", "--rates", "0.1")
RACE = (
    "race",
    "--tasks",
    "bowl",
    "rosenbrock",
    "--optimizers",
    "sgd",
    "--rates",
    "1",
    "--seeds",
    "1",
    "--no-agreement",
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
linux = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")


def stop(process):
    """What a process writes to stderr after Ctrl-C; its exit code is 130, and nothing else is said."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert re.fullmatch(r"gradtx: stopped.*\n", errors), errors
    return errors


def refused(words, capsys):
    """What is said of wrong options; nothing is printed besides."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said, errors = capsys.readouterr()
    assert not said
    return " ".join(errors.split())


@linux
def test_ctrl_c_during_the_imports():
    with started("race", "--list") as process:
        wait(process, lambda: imports(process, "numpy"))
        assert stop(process) == "gradtx: stopped\n"


@posix
def test_ctrl_c_while_the_demo_computes(tmp_path):
    with started("--epochs", "4000", cwd=tmp_path) as process:
        first = process.stdout.readline()
        time.sleep(1.0)
        assert stop(process) == "gradtx: stopped; nothing was written\n"
    assert first.startswith("14 optimizers")
    assert not list(tmp_path.iterdir())


@posix
def test_ctrl_c_after_the_numbers_are_written_says_so(tmp_path):
    numbers = tmp_path / "gradtx-demo" / "results.json"
    with started(*TINY, cwd=tmp_path) as process:
        wait(process, numbers.exists)
        errors = stop(process)
    assert errors.startswith(f"gradtx: stopped; {Path('gradtx-demo') / 'results.json'} is written")
    assert not [path for path in numbers.parent.iterdir() if path.name.startswith(".")]


@posix
def test_ctrl_c_where_a_shell_ignores_it_for_jobs_in_the_background():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # children inherit this
    try:
        process = started("--epochs", "4000")
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdout.readline()
        assert stop(process) == "gradtx: stopped; nothing was written\n"


@posix
@pytest.mark.parametrize("words", [("--list",), ("race", "--list")], ids=" ".join)
def test_a_pipe_that_is_closed_early_is_no_error(words):
    with started(*words) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141  # as of a program that SIGPIPE ends


@pytest.mark.parametrize(
    ("encoding", "words", "plain"), [("ascii", RACE, ">= 0.00"), ("cp1252", ("race", "--list"), "bowl  ")]
)
def test_a_terminal_that_cannot_show_everything_gets_plain_signs(encoding, words, plain, tmp_path):
    done = run(*words, cwd=tmp_path, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert plain in done.stdout
    if words is RACE:
        assert "≥ 0.00" in (tmp_path / "gradtx-race" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--batch-size", "1348"), "argument --batch-size: must be at most 1,347, the number of images"),
        (
            ("race", "--optimizers", FULL_BATCH, "--tasks", "reddi"),
            f"nothing is left to race: left out: {FULL_BATCH} on reddi",
        ),
    ],
)
def test_what_is_refused_leaves_no_folder(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused(words, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("words", "name"), [(TINY, "loss.png"), (RACE, "results.json")], ids=["demo", "race"])
def test_a_folder_in_the_place_of_a_file_is_refused_before_training(words, name, tmp_path, capsys):
    (tmp_path / name).mkdir()
    said = refused((*words, "--output", str(tmp_path)), capsys)
    assert f"--output: cannot write the file '{tmp_path / name}': a folder has this name" in said
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_the_place_of_the_folder_cells_is_refused_too(tmp_path, capsys):
    (tmp_path / "cells").write_text("")
    said = refused((*RACE, "--output", str(tmp_path)), capsys)
    assert f"argument --output: cannot write into '{tmp_path / 'cells'}'" in said
