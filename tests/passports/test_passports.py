"""Passports: what they say is in the file of figures, the file fits the code, and the pages show all of it."""

import dataclasses
import math
import zlib

import pytest

import gradtx
from gradtx.catalog import ENTRIES, RECIPES
from gradtx.passports.figures import figures
from tests.passports import file
from tests.passports.identities import apart, usual
from tests.passports.measured import probe, same_probe, subjects
from tests.passports.updates import TRIALS

SUBJECTS = subjects()
ADAM = {"adam": SUBJECTS["adam"]}
SAMPLE = [name for name in SUBJECTS if zlib.crc32(name.encode()) % 24 == 0]
IDENTITIES = [pair for entry in ENTRIES.values() for pair in entry.identities]


def test_the_figures_fit_the_code():
    """After a change of a formula, of usual arguments or of a state: python -m tests.passports --stale."""
    stale = file.stale(figures()["entries"], SUBJECTS)
    told = "\n".join(f"{name}: {why}" for name, why in sorted(stale.items()))
    assert not stale, f"run {file.COMMAND} --stale, since in {file.FILE.name} are figures of other code:\n{told}"


@pytest.mark.parametrize("name", SAMPLE)
def test_the_numbers_of_some_are_as_in_the_file(name):
    """Also where no code of their own has changed, but what they share with others has."""
    assert same_probe(probe(SUBJECTS[name]), figures()["entries"][name]["probe"])


class TestStale:
    """What makes figures stale, and what does not."""

    def why(self, **changed):
        return file.stale({"adam": {**figures()["entries"]["adam"], **changed}}, ADAM).get("adam", "")

    def test_not_other_code_that_computes_the_same(self):
        assert self.why(code="00000000") == ""

    def test_another_formula(self):
        numbers = [1.01 * x for x in figures()["entries"]["adam"]["probe"]]
        assert self.why(code="00000000", probe=numbers) == "its formula has changed"

    @pytest.mark.parametrize(
        ("changed", "why"),
        [({"call": "adam(1.0)"}, "it is measured on"), ({"state": {"vector": 4, "matrix": 8}}, "its state has")],
    )
    def test_other_arguments_or_another_state(self, changed, why):
        assert self.why(**changed).startswith(why)

    def test_other_identities(self):
        assert self.why(identities=[]).startswith("it has other identities")

    def test_names_that_came_or_went(self):
        found = file.stale({"gone": {}}, ADAM)
        assert found == {"adam": "it is not in the file", "gone": "there is no such factory"}


@pytest.mark.parametrize("pair", IDENTITIES[::12], ids="{0[0]} | {0[1]}".format)
def test_some_identities_of_the_catalog_hold(pair):
    """All of them were measured, see below; these are tried now."""
    one, other = map(gradtx.parse, pair)
    assert one != other
    assert apart(usual(one), usual(other)) <= 1e-5


def test_identities_are_of_the_factory_that_states_them():
    for name, entry in ENTRIES.items():
        assert all(one.startswith(f"{name}(") for one, _ in entry.identities)


def test_every_page_can_be_printed():
    for name in SUBJECTS:
        found = gradtx.passport(name)
        text, page = str(found), found._repr_markdown_()
        assert text.startswith(f"{name}: {found.kind}")
        assert page.startswith(f"### {name}\n")
        assert max(map(len, text.splitlines())) <= 140, name
        for library, version in found.versions.items():
            assert f"{library} {version}" in text
        assert found.not_measured or (found.trials.keys() == TRIALS.keys() and found.moved_bytes is not None)
        assert all(0 <= apart <= 1e-5 for _, _, apart in found.identities)


@pytest.mark.parametrize("which", ["adam", gradtx.adam, gradtx.adam(0.1)])
def test_of_a_name_a_factory_or_a_value(which):
    assert gradtx.passport(which).name == "adam"


def test_what_is_in_it():
    found = gradtx.passport("adam")
    assert repr(found) == "passport('adam')"
    assert found.formulas.keys() == {"scale_by_adam", "scale_by_learning_rate"}
    assert found.formulas["scale_by_adam"].startswith("m = b1·m + (1 - b1)·g\nv = ")
    assert found.source.startswith("Kingma & Ba 2015")
    assert (found.year, found.kind, found.sign) == (2015, "recipe", -1)
    assert found.state_bytes == {"vector": 8, "matrix": 8}
    assert found.one_pass == 28
    assert found.moved_bytes >= found.one_pass
    assert 0 < found.ulp[1] <= found.ulp[0] <= 30
    assert found.agreement["torch"][""][0] < 100
    assert "Keras adds eps" in found.differs["keras"]
    assert found.trials["gradients times 1000"] == pytest.approx(1, rel=1e-3)
    assert "any_leaves" in found.traits
    data = found.to_dict()
    assert data["race"]["wine"]["of"] == found.race["wine"].of
    assert data["state_bytes"] == found.state_bytes


@pytest.mark.parametrize(
    ("most", "words"), [(3.0, "at most 3 ulp"), (1e8, "no digit is right"), (math.nan, "its updates overflow")]
)
def test_what_the_page_says_of_errors(most, words):
    page = str(dataclasses.replace(gradtx.passport("adam"), ulp=(most, 0.5)))
    assert words in " ".join(page.split())


def test_the_formula_of_a_learnt_rate():
    for name, entry in RECIPES.items():
        learnt = entry.make().piece.children.get("estimator")
        assert learnt is None or gradtx.passport(name).formulas[repr(learnt).partition("(")[0]].count(" = "), name


def test_races():
    """Some recipe is first on each task, and the places are those of the steps."""
    pages = {name: gradtx.passport(name) for name in RECIPES}
    assert {task for page in pages.values() for task in page.race} == figures()["tasks"].keys()
    for task in figures()["tasks"]:
        ran = {name: page.race[task] for name, page in pages.items() if task in page.race}
        for name, how in ran.items():
            assert how.of == len(ran)
            assert how.failed == math.isinf(how.steps)
            assert how.failed or how.place == 1 + sum(other.steps < how.steps for other in ran.values())
            assert how.won == (name in how.winners)
            assert (task in pages[name].won, task in pages[name].failed) == (how.won, how.failed)


@pytest.mark.parametrize(
    ("which", "error", "message"),
    [
        ("adamm", ValueError, r"'adamm' is no public factory of transformations \(did you mean 'adam'\?\)"),
        ("MultiSteps", ValueError, "'MultiSteps' is no public factory of transformations: here it is 'accumulate'"),
        ("linear_schedule", ValueError, "'linear_schedule' is a factory of schedules"),
        (3, TypeError, "passport: expected the name of a factory .*; got 3"),
    ],
)
def test_what_has_no_passport(which, error, message):
    with pytest.raises(error, match=message):
        gradtx.passport(which)


def test_a_passport_is_a_value():
    """What is done to one does not reach the next, and equal ones hash alike."""
    one = gradtx.passport("adam")
    one.versions["jax"] = one.state_bytes["vector"] = "changed"
    other = gradtx.passport("adam")
    assert "changed" not in {*other.versions.values(), *other.state_bytes.values()}
    assert {other: 1}[gradtx.passport("adam")] == 1
