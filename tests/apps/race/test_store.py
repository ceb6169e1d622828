"""What a race keeps: whole files, used again only for the same work; results as JSON and back, to the bit."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gradtx.apps.race.contenders import grid
from gradtx.apps.race.engine import run_cell
from gradtx.apps.race.results import (
    Agreement,
    Cell,
    NotCompared,
    Results,
    from_data,
    from_json,
    to_data,
    to_json,
)
from gradtx.apps.race.task import PreparedTask, TaskInfo
from gradtx.apps.race.work import Kept, Store, do, fingerprint, fingerprint_of_code, plan
from tests.apps.race.tiny import KNOWN, assert_same_cell, plain

CELL = Cell(
    "tiny",
    "adam",
    "gradtx",
    np.array([0.1, 1 / 3]),
    np.array([0, 2]),
    np.array([[[1.0, 0.1], [1e-45, -0.0]], [[1.7976931348623157e308, math.inf], [-math.inf, math.nan]]]),
    0.25,
    1e-9,
)
AGREEMENTS = (
    Agreement("tiny", "adam", "optax", 3, math.nan, 1e-9),
    Agreement("tiny", "adam", "torch", 3, math.inf, 1e-9),
)
GIVEN = TaskInfo("given", "", "", 2, 0.1, 2, 2, 0.0, (), {"adam": {"b1": 0.9, "b2": math.inf}}, counted=False)
RESULTS = Results(
    tasks=(
        TaskInfo("tiny", 'A "bowl" \n√', "nats", 2, 0.1, 2, 2, -math.inf, (("a", "ab12"), ("b", "cd"))),
        GIVEN,
    ),
    cells=(CELL,),
    agreements=AGREEMENTS,
    machine={"processor": "π"},
    settings={"command": "race"},
    seconds=1 / 3,
    not_compared=(NotCompared("sgd", "optax", "another"),),
)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


class TestJson:
    def test_everything_comes_back_to_the_bit(self):
        text = to_json(RESULTS)
        back = from_json(text)
        assert_same_cell(back.cells[0], CELL)
        assert np.signbit(back.cells[0].scores[0, 1, 1])
        assert back.cells[0].at.dtype == np.int64
        assert math.isnan(back.agreements[0].difference)
        assert back.agreements[1:] == RESULTS.agreements[1:]
        for name in ("tasks", "machine", "settings", "seconds", "not_compared"):
            assert getattr(back, name) == getattr(RESULTS, name)
        assert to_json(back) == text

    def test_it_is_strict_json(self):
        data = json.loads(to_json(RESULTS), parse_constant=refuse)
        assert data["cells"][0]["scores"][1] == [[1.7976931348623157e308, "Infinity"], ["-Infinity", "NaN"]]
        assert data["tasks"][0]["lower_bound"] == "-Infinity"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[]", "not results of a race"),
            ("{}", "not results of a race"),
            ("nonsense", "Expecting value"),
            ('{"format": "gradtx race", "version": 99}', "results of version 99; this gradtx reads version 1"),
        ],
    )
    def test_what_is_no_race_is_refused(self, text, message):
        with pytest.raises(ValueError, match=message):
            from_json(text)

    def test_rows_with_other_fields_are_refused(self):
        with pytest.raises(ValueError, match=r"a Cell has the fields task, .* got \['task'\]"):
            from_data(Cell, {"task": "tiny"})
        with pytest.raises(ValueError, match="could not convert"):
            from_data(Cell, {**to_data(CELL), "seconds_running": "soon"})


class TestStore:
    def test_what_was_kept_is_found(self, tmp_path):
        store = Store(tmp_path / "a" / "b")
        store.keep("tiny-torch:adam", "f", Kept((CELL,), 2.5))
        found = Store(tmp_path / "a" / "b").find("tiny-torch:adam", "f", Cell)
        assert found.seconds == 2.5
        assert_same_cell(found.rows[0], CELL)
        assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["tiny-torch-adam.json"]

    def test_what_was_made_otherwise_is_said_to_be(self, tmp_path):
        store = Store(tmp_path)
        store.keep("one", "f", Kept((CELL,), 2.5))
        assert store.find("one", "g", Cell) == "made with other settings, code or versions"
        assert store.find("two", "f", Cell) is None

    @pytest.mark.parametrize(
        "damage", ["", "{", "[]", "null", '{"fingerprint":"f"}', '{"fingerprint":"f","rows":[{}]}']
    )
    def test_damage_is_seen(self, tmp_path, damage):
        (tmp_path / "one.json").write_text(damage)
        assert Store(tmp_path).find("one", "f", Cell) == "damaged"

    def test_bytes_that_are_no_text_are_damage(self, tmp_path):
        (tmp_path / "one.json").write_bytes(b"\xff\x00")
        assert Store(tmp_path).find("one", "f", Cell) == "damaged"

    def test_clear_forgets_all_and_nothing_else(self, tmp_path):
        store = Store(tmp_path)
        store.keep("one", "f", Kept((CELL,), 2.5))
        (tmp_path / ".one-x.part").write_text("half")
        (tmp_path / "notes.txt").write_text("mine")
        store.clear()
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


class TestFingerprint:
    def test_any_part_changes_it_and_their_order_does_not(self):
        one = {"rates": [0.1, 0.2], "task": {"steps": 3, "sources": (("a", "b"),)}}
        assert fingerprint(one) == fingerprint(dict(reversed(one.items())))
        next_to = {**one, "rates": [0.1, math.nextafter(0.2, 1)]}
        assert len({fingerprint(x) for x in (one, next_to, {**one, "task": {"steps": 4}}, {**one, "more": 1})}) == 4

    def test_code_changes_it(self, tmp_path):
        (tmp_path / "core").mkdir()
        (tmp_path / "core" / "a.py").write_text("a = 1")
        (tmp_path / "b.py").write_text("b = 1")
        before = fingerprint_of_code(tmp_path, ["b.py"])
        (tmp_path / "b.py").write_text("b = 2")
        assert fingerprint_of_code(tmp_path, ["b.py"]) == before != fingerprint_of_code(tmp_path, [])
        (tmp_path / "core" / "a.py").write_text("a = 2")
        assert fingerprint_of_code(tmp_path, ["b.py"]) != before
        assert fingerprint_of_code(tmp_path, ["core"]) == fingerprint_of_code(tmp_path, ["core/a.py"])

    def test_each_fact_of_a_race_changes_the_mark_of_its_work(self):
        def mark(contender=KNOWN["sgd"], machine=("numpy", "2"), **changes):
            (work,) = plan([(contender, plain(**changes))], [], dict([machine]))
            return fingerprint(work.decides)

        others = [mark(KNOWN["momentum"]), mark(machine=("numpy", "3")), mark(machine=("torch", "2"))]
        others += [mark(seeds=3), mark(rates=4), mark(steps=8), mark(sources=(("text", "12"),))]
        assert len({mark(), *others}) == 1 + len(others)
        assert mark(about="Another sentence.", target=0.2) == mark()  # these are not in its numbers
        assert mark(machine=("torch", "2")) == mark(machine=("torch", "3"))  # nor is another library's version


class TestWork:
    def works(self):
        return plan([(KNOWN["sgd"], plain()), (KNOWN["momentum"], plain())], [], {"numpy": "2"})

    def test_what_is_kept_is_not_done_again(self, tmp_path):
        began, ticks = [], []

        def before(place, work):
            began.append((place, work.about))
            return lambda: ticks.append(1)

        first = list(do(self.works(), Store(tmp_path), before))
        again = list(do(self.works(), Store(tmp_path), before))
        assert [how for *_, how in first] == ["new", "new"]
        assert [how for *_, how in again] == ["kept", "kept"]
        assert began == [(0, "sgd on tiny"), (1, "momentum on tiny")]
        assert len(ticks) == 6
        for (_, one, _), (_, other, _) in zip(first, again, strict=True):
            assert_same_cell(one.rows[0], other.rows[0])
            assert one.seconds == other.seconds > 0
        task = plain()
        assert_same_cell(again[0][1].rows[0], run_cell(PreparedTask(task), KNOWN["sgd"], grid(0.05, task.rates)))

    def test_what_is_of_no_use_is_done_again_and_said(self, tmp_path):
        list(do(self.works(), Store(tmp_path), lambda *_: lambda: None))
        (tmp_path / "tiny-sgd.json").write_text("{")
        hows = [how for *_, how in do(self.works(), Store(tmp_path), lambda *_: lambda: None)]
        assert hows == ["sgd on tiny: the stored result is damaged; done again", "kept"]


WRITER = """
import sys
from pathlib import Path
from gradtx.apps.race.work import Kept, Store
from tests.apps.race.test_store import CELL
store, many = Store(Path(sys.argv[1])), Kept((CELL,) * 2000, 1.0)
while True:
    store.keep("one", "f", many)
    print("kept", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        for _ in range(3):
            assert process.stdout.readline() == "kept\n"
        time.sleep(0.013)  # somewhere in the next
        os.kill(process.pid, signal.SIGKILL)
    found = Store(tmp_path).find("one", "f", Cell)
    assert len(found.rows) == 2000
