"""The catalog: complete, spelled out, and true of the factories that it describes."""

import functools
import inspect
import math
import re
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

import gradtx
from gradtx.catalog import ENTRIES, HYPERPARAMETERS, LIBRARIES, OPTIMIZERS, RECIPES
from gradtx.core.states import HyperparametersState
from gradtx.testing import Case

PIECES = {name: entry for name, entry in ENTRIES.items() if entry.kind == "piece"}
SETTINGS = [(entry, setting) for entry in ENTRIES.values() for setting in entry.settings]
FROM_THE_USER = {
    "Transformation",
    "Callable",
    "Codec",
    "Frame",
    "LeafMarker",
    "Set",
    "LearntBy",
    "Term",
    "dict[",
}  # what annotations of arguments hold
RULES = {"mask", "frozen", "labels", "rows", "boundaries"}


def parameters(entry):
    signature = inspect.signature(entry.factory)
    return {n: p for n, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def test_every_public_factory_has_an_entry():
    assert ENTRIES.keys() == {name for name in gradtx.__all__ if hasattr(getattr(gradtx, name), "factory")}


def test_the_catalog_is_data():
    """Importing it computes nothing: no array is made, and JAX does not look for its devices."""
    program = (
        "import gradtx.catalog; from jax._src import xla_bridge; assert not xla_bridge.backends_are_initialized(); "
        "import sys; assert 'optax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_every_argument_is_spelled_out(entry):
    known = parameters(entry)
    assert entry.usual.keys() <= known.keys()
    for name in known.keys() - entry.usual.keys():
        assert name in RULES or any(word in known[name].annotation for word in FROM_THE_USER), name


@pytest.mark.parametrize(("entry", "setting"), SETTINGS, ids=[f"{e.name} {s}".strip() for e, s in SETTINGS])
def test_settings(entry, setting):
    """Only the first is the usual one; each can be made, and no two of an entry are equal."""
    assert next(iter(entry.settings)) == ""
    described, arguments = entry.settings[setting], entry.arguments(setting)
    assert described.arguments.keys() <= entry.usual.keys()
    assert bool(setting) == any(entry.usual[key] != value for key, value in described.arguments.items())
    assert described.shared.keys() <= entry.usual.keys()
    assert {*entry.ranges, *entry.abouts} <= entry.usual.keys()
    assert bool(described.rates) == bool(described.called and described.rates)
    assert list(described.rates) == sorted(described.rates)
    assert bool(described.called) == bool(described.label)
    if entry.kind in ("piece", "recipe"):
        tx = entry.make(setting)
        assert {key: getattr(tx, key) for key in arguments} == arguments
        assert [entry.make(other) == tx for other in entry.settings].count(True) == 1


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_sources_have_a_year(entry):
    assert entry.year is None or (entry.source and 1847 < entry.year < 2100)
    assert entry.kind != "recipe" or entry.year
    assert entry.summary.endswith((".", ":"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_an_editor_offers(name):
    """Each hyperparameter has a range and a text, its first value lies in the range, and the optimizer accepts it."""
    entry, setting = OPTIMIZERS[name]
    assert setting.offered.keys() <= entry.usual.keys()
    for key, value in setting.offered.items():
        how = entry.range(key)
        assert entry.about(key).strip()
        if how.scale == "flag":
            assert value in (False, True)
        elif how.scale == "choice":
            assert value in how.options
        else:
            assert how.least <= value <= how.most
    assert entry.factory(**{**entry.usual, **setting.arguments, **setting.offered})


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_every_hyperparameter_is_one_of_a_factory(name):
    assert any(name in entry.usual for entry in ENTRIES.values())


@pytest.mark.parametrize("entry", PIECES.values(), ids=PIECES)
def test_fields_are_those_of_the_state(entry):
    for setting in entry.settings:
        state = entry.make(setting).init({"w": jnp.ones((2, 3))})
        assert not isinstance(state, HyperparametersState)
        assert tuple(sorted(entry.fields)) == tuple(sorted(state._fields))
    assert set(entry.factors) <= entry.fields.keys()


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_laws_are_fields_of_a_case(entry):
    assert entry.laws.keys() <= Case.__dataclass_fields__.keys()
    assert entry.complex_as in ("phase", "parts", "")
    assert entry.after_huge in ("fast", "slow", "never", "unknown")


NOT_RACED = {
    "lbfgs": "it searches along a line and needs no learning rate",
    "sophia_g": "it needs labels that the model draws, and few tasks of the race have labels",
    "adamh": "parameters keep their norm, so that it reaches no minimum without another optimizer beside it",
}


def test_recipes_are_found_by_the_names_of_applications_and_raced():
    assert {entry.name for entry, _ in OPTIMIZERS.values()} == RECIPES.keys() - {"lbfgs", "sophia_g"}
    assert {entry.name for entry, s in OPTIMIZERS.values() if s.rates} == RECIPES.keys() - NOT_RACED.keys()
    assert len(OPTIMIZERS) == sum(bool(s.called) for e in ENTRIES.values() for s in e.settings.values())
    assert all(isinstance(rate, float) and math.isfinite(rate) for _, s in OPTIMIZERS.values() for rate in s.rates)


def test_names_in_other_libraries_are_names():
    for entry in ENTRIES.values():
        assert not set(entry.optax_names) & set(gradtx.__all__)
        for setting in entry.settings.values():
            for library in LIBRARIES:
                peer = getattr(setting, library)
                assert peer is None or peer.name.replace(".", "_").isidentifier()


# What other tests and the guides use as examples, or are about: common optimizers, the one that needs functions of the
# loss, the one that the race's counterexamples were published for, and the one that tests of meshes are about.
EXAMPLES = {
    "sgd",
    "adam",
    "adamw",
    "rmsprop",
    "lbfgs",
    "amsgrad",
    "muon",
    "scale_by_adam",
    "scale_by_rms",
    "scale_by_lbfgs",
}
ENGLISH = {"came"}  # a word in many files
GENERATED = {
    "tests/contract/golden.json",
    "tests/apps/race/all.md",
    "tests/apps/race/report.md",
    "gradtx/passports/figures.json",
}
WRITTEN = (".css", ".html", ".ipynb", ".js", ".json", ".md", ".py")
MOST_FILES = 6  # its own, its entry, `gradtx/__init__.py`, its reference, its tests, and one more


@functools.cache
def words_of_files():
    """Every file of the library, its tests and guides that is written by hand -> the words in it."""
    root = Path(gradtx.__file__).parents[1]
    files = [root / "README.md", *(f for part in ("gradtx", "tests", "notebooks") for f in (root / part).rglob("*"))]
    texts = {str(f.relative_to(root)): f for f in files if f.suffix in WRITTEN}
    return {
        name: set(re.findall(r"\w+", f.read_text()))
        for name, f in texts.items()
        if name not in GENERATED and not name.startswith(TOURS)
    }


DIALECTS = (
    "gradtx/compat/",
    "tests/compat/",
    "tests/peers/test_optax_alias.py",
    "tests/peers/test_optax_differences.py",
    "tests/peers/test_optax_lists.py",
    "tests/peers/test_optax_states.py",
    "tests/peers/test_torch_dialect.py",
    "tests/peers/test_torch_states.py",
    "notebooks/14_from_optax_torch_keras.ipynb",
)  # other libraries' names for what there is
FAMILIES = ("gradtx/optimizers/", "gradtx/rates/", "tests/optimizers/", "tests/rates/")
# They compare some by name: ten that one may try first, those for matrices, and what is timed.
TOURS = (
    "notebooks/06_zoo.ipynb",
    "notebooks/13_matrices.ipynb",
    "tests/benchmarks/",
    "tests/sharding/test_preconditioners.py",
)
OPTIMIZER_FACTORIES = [n for n, e in ENTRIES.items() if e.factory.__module__.startswith("gradtx.optimizers.")]


@pytest.mark.parametrize("name", [name for name in OPTIMIZER_FACTORIES if name not in EXAMPLES | ENGLISH])
def test_an_optimizer_stands_in_few_files(name):
    """So that another one is a file, an entry and a reference, and no list anywhere has to be remembered.

    Its own family and other recipes that are made of it, with their tests, count as two files at most.
    """
    files = words_of_files().items()
    found = sorted(file for file, words in files if name in words and not file.startswith(DIALECTS))
    others = [file for file in found if not file.startswith(FAMILIES)]
    assert len(others) + min(2, len(found) - len(others)) <= MOST_FILES, (
        f"{name} stands in {len(found)} files:\n" + "\n".join(found)
    )
