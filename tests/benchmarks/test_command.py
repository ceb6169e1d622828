"""The command runs, prints a line for each figure with its target, and writes both files."""

import json
import re
from pathlib import Path

import jax
import pytest

pytest.importorskip("optax", reason="pip install -e '.[peers]'")

from tests.benchmarks import __main__, repeats, report, shapes, sides, steps
from tests.benchmarks.chains import recipes
from tests.benchmarks.lines import QUICK, Line, Scale, cells
from tests.benchmarks.readme import readme
from tests.benchmarks.repeats import together
from tests.benchmarks.timing import exactly, ratio, rounds, spread, time_steps
from tests.benchmarks.works import WORKS


@pytest.fixture(autouse=True)
def as_outside_of_tests():
    """optax does arithmetic of mixed types."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def tiny(monkeypatch):
    """A run of some works at the smallest sizes, and what it wrote."""
    monkeypatch.setattr(__main__, "QUICK", QUICK._replace(big=256, many=3, some=3, budget=0.01, rows=1100))

    def run(tmp_path, *names):
        files = tmp_path / "out.json", tmp_path / "out.md"
        only = [f"--only={name}" for name in names]
        __main__.main(["--quick", *only, f"--output={files[0]}", f"--markdown={files[1]}"])
        return json.loads(files[0].read_text()), files[1].read_text()

    return run


def test_it_measures_and_writes(tiny, tmp_path, capsys):
    written, markdown = tiny(tmp_path, "state", "rows", "others", "packed", "watch")
    expected = {"processor", "backend", "jax", "optax", "torch", "scale", "seconds", "copies", "lines"}
    assert expected <= written.keys()
    assert set(written["seconds"]) == {"state", "rows", "others", "packed", "watch"}
    lines = {(line["work"], line["unit"]): line for line in written["lines"]}
    for line in written["lines"]:
        if line["measured"] and not line["unit"].endswith("more"):  # a difference
            assert 0 < line["measured"]["low"] <= line["measured"]["median"] <= line["measured"]["high"]
        assert (line["target"] is None) == (line["verdict"] == "")
    assert lines["Lion", "step / optax"]["target"] == 0.65
    assert lines["Adam's state, int8, GPT-2 small", "bytes per parameter"]["verdict"] == "met"
    shown = capsys.readouterr().out.splitlines()
    assert len(shown[shown.index("README:") + 1 :]) == 5
    printed = [line for line in shown if line.startswith("|")]
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert printed == table
    assert len(table) == 2 + len(written["lines"])
    assert len({line.count("|") for line in table}) == 1


def test_repeats_are_fresh_processes_with_the_same_arguments(tmp_path, monkeypatch):
    """Here without processes: what each would have written."""
    asked, medians = [], iter([3.0, 1.0, 2.0])

    def process(command, check):
        asked.append(command[2:-1])
        median = next(medians)
        line = Line("x", "s", spread([median / 2, median, 2 * median]), 2.0, "note")
        run = {"lines": [report.as_json(line)], "copies": [1.0, 1.1], "seconds": {"adam": 5.0}}
        (output,) = [x.partition("=")[2] for x in command if x.startswith("--output=")]
        assert check
        Path(output).write_text(json.dumps(run))

    monkeypatch.setattr(repeats.subprocess, "run", process)
    file = tmp_path / "out.json"
    __main__.main(["--repeat=3", "--only=adam", "--only=rows", "--quick", "--budget=2", f"--output={file}"])
    assert asked == [["tests.benchmarks", "--only=adam", "--only=rows", "--quick", "--budget=2.0"]] * 3
    written = json.loads(file.read_text())
    assert written["lines"][0]["measured"] == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert written["lines"][0]["verdict"] == "met"
    assert (written["processes"], written["seconds"]) == (3, {"adam": [5.0] * 3})


def test_what_was_not_measured_stays_so():
    line = report.as_json(Line("x", "s", None, 1.0, "not there"))
    assert together([{"lines": [line]}] * 2) == [Line("x", "s", None, 1.0, "not there")]


def test_a_noisy_machine_is_told():
    assert report.quietness(spread([1.0, 1.05, 1.1])).startswith("a plain copy took 0.96 to 1.0")
    assert report.quietness(spread([1.0, 1.0, 3.0])).startswith(
        "WARNING: a noisy machine: a plain copy took 1.00 to 2.6"
    )


def test_every_size_is_there():
    assert (len(shapes.gpt2()), shapes.size(shapes.gpt2())) == (148, 124_439_808)
    assert (len(shapes.resnet50()), shapes.size(shapes.resnet50())) == (161, 25_557_032)
    assert len(set(shapes.small(300))) == 25
    assert Scale().big == 2**24


def test_a_library_that_is_missing_has_no_lines(monkeypatch):
    monkeypatch.setattr(sides, "torch", None)
    scale = QUICK._replace(budget=0.01)
    units = [line.unit for line in steps.compare("adam", recipes()["adam"], [(8,)], scale)]
    assert units == ["step / optax", "bandwidth limit / step", "ms"]


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (Line("x", "s", exactly(1.0), 1.0), "met"),
        (Line("x", "s", exactly(1.12), 1.0), "missed by 12.0%"),
        (Line("x", "s", None, 1.0, "not there"), "not measured"),
        (Line("x", "s", exactly(5.0)), ""),
    ],
)
def test_verdicts(line, verdict):
    assert line.verdict == verdict
    assert cells(line)[4] == verdict
    assert (f": {verdict}" in report.summary([line])) == (verdict not in ("", "met"))


def test_every_round_runs_every_side_and_begins_with_another():
    order = []
    results = rounds({name: lambda name=name: order.append(name) or name for name in "abc"}, 3)
    assert results == {"a": ["a"] * 3, "b": ["b"] * 3, "c": ["c"] * 3}
    assert "".join(order) == "abcbcacab"


def test_ratios_are_of_pairs_and_quantiles_are_right():
    assert ratio([1.0, 20.0, 3.0], [2.0, 40.0, 6.0]) == (0.5, 0.5, 0.5)
    assert spread(range(11)) == (5.0, 1.0, 9.0)


def test_five_rounds_at_least(monkeypatch):
    times = time_steps({"a": lambda: None, "b": lambda: None}, 0.0)
    assert {len(t) for t in times.values()} == {5}
    assert all(t > 0 for t in times["a"])


def test_the_lines_of_the_readme_are_those_that_are_printed():
    """All their figures are found under the names that the works give them."""
    scale = Scale()
    usual = f"clip + AdamW + schedule, {scale.many} leaves"
    measured = {
        ("clip + AdamW + schedule, GPT-2 small", "step / optax"): 0.57,
        ("clip + AdamW + schedule, GPT-2 small", "step / torch fused"): 0.96,
        ("accumulate 4 + Adam", "step / optax"): 0.12,
        ("skip_nonfinite + Adam", "step / optax"): 0.54,
        ("Lion", "step / optax"): 0.39,
        (f"{usual} of 64, packed", "step / optax"): 0.02,
        (f"{usual} of 64, packed", "compile / optax"): 0.01,
        (usual, "compile / optax"): 0.55,
        (f"Adam, one leaf of {scale.big:,}", "step / optax"): 1.0,
        ("Adam, 100 leaves, outside jit", "step / optax"): 0.04,
        ("Adam, 300 leaves, outside jit", "step / optax"): 0.16,
    }
    made = readme([Line(*key, exactly(x)) for key, x in measured.items()])
    shape = [re.sub(r"\d\.\d+", "#", line) for line in made]
    text = re.sub(r"\d\.\d+", "#", (Path(__file__).parents[2] / "README.md").read_text())
    assert "\n".join(shape) in text
    assert not any("?" in line for line in made)
    assert all("?" in line for line in readme([]))


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["--only", "nothing"])
    assert "invalid choice: 'nothing'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        __main__.main(["--repeat", "0"])
    assert "--repeat must be at least 1" in capsys.readouterr().err
    assert set(WORKS) >= {"bytes", "compilation", "chain", "sweeps"}
