"""`python -m gradtx`: its table, numbers and picture, its options and errors."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import gradtx
from gradtx.apps.cli import main
from tests.apps.processes import run
from tests.apps.race.tiny import FULL_BATCH

SMALL = ("--epochs", "2", "--optimizers", "adam,sgd", "--rates", "1e-3", "1e-2")


def rows(printed):
    """The cells of the table, a list for each row."""
    lines = printed.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("---"))
    end = lines.index("", start)
    return [line.split() for line in lines[start + 1 : end]]


def numbers(folder):
    return json.loads((folder / "results.json").read_text())


def curves(folder):
    return {
        name: [(rate["learning_rate"], rate["train_loss"], rate["test_accuracy"]) for rate in optimizer["rates"]]
        for name, optimizer in numbers(folder)["optimizers"].items()
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "a" / "b"
    done = run(*SMALL, "--output", str(folder), "--all-rates")
    assert done.returncode == 0, done.stderr
    return done, folder


def test_table_has_a_row_for_each_rate_best_first_and_fits_the_terminal(small):
    done, folder = small
    cells = rows(done.stdout)
    assert sorted(row[:2] for row in cells) == [[n, r] for n in ("adam", "sgd") for r in ("0.001", "0.01")]
    accuracies = [float(row[3].rstrip("%")) for row in cells]
    assert accuracies == sorted(accuracies, reverse=True)
    assert cells[0][:2] == ["adam", "0.01"]
    assert accuracies[0] > 90
    lines = [line for line in done.stdout.splitlines() if str(folder) not in line]  # pytest's folders have long names
    assert max(map(len, lines)) <= 100
    assert not done.stderr  # no bar where there is no terminal


def test_numbers_are_finite_and_those_of_the_table(small):
    done, folder = small
    found = numbers(folder)
    assert found["settings"] == {"epochs": 2, "batch_size": 32, "seed": 0}
    by_rate = {(row[0], row[1]): row for row in rows(done.stdout)}
    for name, optimizer in found["optimizers"].items():
        assert optimizer["steps_per_epoch"] == 1347 // 32
        assert optimizer["seconds_compiling"] > 0
        assert optimizer["seconds_training"] > 0
        for rate in optimizer["rates"]:
            row = by_rate[name, f"{rate['learning_rate']:g}"]
            assert rate["transformation"] == f"{name}(learning_rate={rate['learning_rate']}" + (
                ", b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)" if name == "adam" else ")"
            )
            assert len(rate["train_loss"]) == len(rate["test_accuracy"]) == 3
            assert all(map(math.isfinite, rate["train_loss"]))
            assert rate["train_loss"][-1] < rate["train_loss"][0]
            assert abs(rate["train_loss"][0] - math.log(10)) < 0.7  # an untrained network knows nothing
            assert row[2] == f"{rate['train_loss'][-1]:.1e}"
            assert row[3] == f"{rate['test_accuracy'][-1]:.2%}"
            assert row[5] == f"{optimizer['seconds_training']:.2f}"


def test_picture_shows_lines_that_differ_in_grey_too(small):
    from matplotlib.image import imread

    pixels = imread(small[1] / "loss.png")
    height, width, _ = pixels.shape
    assert width >= 1000
    assert height >= 500
    grey = pixels[..., :3] @ np.float32([0.299, 0.587, 0.114])
    assert 0.02 < np.mean(grey < 0.95) < 0.5  # neither blank nor full
    coloured = np.ptp(pixels[..., :3], axis=-1) > 0.3
    assert np.ptp(grey[coloured]) > 0.3  # the shades of the rates differ without their colours


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(small, tmp_path):
    for seed in ("0", "1"):
        assert main([*SMALL, "--seed", seed, "--output", str(tmp_path / seed)]) == 0
    assert curves(tmp_path / "0") == curves(small[1])
    assert curves(tmp_path / "1") != curves(small[1])


def test_a_rate_that_diverges_is_said_to_and_is_null_in_the_numbers(tmp_path, capsys):
    words = ("--epochs", "1", "--optimizers", "sgd", "--rates", "0.1", "1e30", "--all-rates")
    assert main([*words, "--output", str(tmp_path)]) == 0
    assert [row[1:3] for row in rows(capsys.readouterr().out)][1] == ["1e+30", "diverged"]
    assert curves(tmp_path)["sgd"][1][1][-1] is None
    assert (tmp_path / "loss.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optimizers", "adaam"], "there is no optimizer 'adaam' (did you mean 'adam'?)"),
        (["--optimizers", "adam,,rmsprob"], "there is no optimizer 'rmsprob' (did you mean 'rmsprop'?)"),
        (["--optimizers", ","], "name at least one optimizer"),
        (["--rates", "-1"], "a rate is finite and greater than 0; got -1"),
        (["--rates=-1e-3"], "a rate is finite and greater than 0; got -1e-3"),
        (["--rates", "0.1,nan"], "a rate is finite and greater than 0; got nan"),
        (["--rates", "abc"], "a rate is a number, for instance 1e-3; got 'abc'"),
        (["--rates", ","], "give at least one rate"),
        (["--epochs", "0"], "argument --epochs: must be a whole number, at least 1; got 0"),
        (["--epochs", "2.5"], "must be a whole number, at least 1; got '2.5'"),
        (["--batch-size", "-4"], "argument --batch-size: must be a whole number, at least 1; got -4"),
        (["--seed", "-1"], "argument --seed: must be a whole number, at least 0"),
        (["--output", f"{__file__}/x"], "argument --output: cannot write into"),
        (["--output", __file__], "argument --output: cannot write into"),
        (["--what"], "unrecognized arguments: --what"),
    ],
)
def test_wrong_options_are_explained(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said, errors = capsys.readouterr()
    assert message in " ".join(errors.split())
    assert not said
    assert not list(tmp_path.iterdir())


def test_an_unknown_command_is_named_with_the_nearest(capsys):
    assert main(["demmo"]) == 2
    assert "there is no command 'demmo' (did you mean 'demo'?)" in capsys.readouterr().err
    assert main(["adam"]) == 2
    assert "python -m gradtx --optimizers adam?" in capsys.readouterr().err


def test_list_and_version_leave_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()][:2] == ["sgd", "momentum"]
    assert FULL_BATCH in listed
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"gradtx {gradtx.__version__}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["sklearn.datasets", "tqdm", "matplotlib.figure"])
def test_an_absent_package_is_named_with_the_command_that_installs_it(module, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert main([*SMALL, "--output", str(tmp_path / "none")]) == 1
    said, errors = capsys.readouterr()
    assert errors.startswith(f"gradtx: {module}")
    assert 'pip install "gradtx[demo]"' in errors
    assert not said
    assert not list(tmp_path.iterdir())
    assert main(["--list"]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")
def test_a_terminal_gets_bars_that_clear_themselves(tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))  # rows, columns
    words = ("--epochs", "2", "--optimizers", "sgd", "--rates", "0.1", "--output", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-m", "gradtx", *words], stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        printed = b""
        while True:
            try:
                piece = os.read(mine, 4096)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            printed += piece
    os.close(mine)
    assert process.returncode == 0
    text = printed.decode().replace("\r\n", "\n")
    assert "compiling:" in text
    assert "training:" in text
    assert "0/2" in text
    shown = [line.split("\r")[-1] for line in text.split("\n")]
    assert not any("training:" in line for line in shown)
    assert any(line.split()[:2] == ["sgd", "0.1"] for line in shown)


@pytest.mark.peers  # in the second job of CI, as the quick race: it takes half a minute
@pytest.mark.slow
def test_the_default_run_reaches_97_percent_within_its_time(tmp_path):
    before = os.times().children_user
    done = run("--output", str(tmp_path), XLA_FLAGS="")
    used = os.times().children_user - before
    assert done.returncode == 0, done.stderr
    best = {name: max(a[-1] for *_, a in rates) for name, rates in curves(tmp_path).items()}
    assert len(best) == 14
    assert max(best.values()) >= 0.98
    assert min(best.values()) >= 0.95
    assert used < 120  # seconds on two cores: 60 by the clock
