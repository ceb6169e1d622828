"""The pieces of work of a race: what their numbers depend on, and in which order they are done."""

import ast
from pathlib import Path

import gradtx
from gradtx.apps.race.results import Agreement, Cell
from gradtx.apps.race.work import NOT_IN_NUMBERS, plan
from tests.apps.race.tiny import KNOWN, noisy, plain

ROOTS = ("tasks/__init__", "engine", "contenders", "agreement")
PACKAGE = Path(gradtx.__file__).parent


def imports(file):
    """The files of gradtx that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    paths = [PACKAGE.parent / name.replace(".", "/") for name in names if name.split(".")[0] == "gradtx"]
    files = [path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for path in paths]
    return {file for file in files if file.exists()}


def test_all_that_decides_the_numbers_is_in_their_fingerprint():
    found, left = set(), {PACKAGE / "apps" / "race" / f"{name}.py" for name in ROOTS}
    while left:
        found |= left
        left = set.union(*map(imports, left)) - found
    some = ("apps/race/tasks/networks.py", "apps/race/agreement.py", "core/leaves.py")
    assert {PACKAGE / name for name in some} <= found
    without = [PACKAGE / part for part in NOT_IN_NUMBERS]
    assert all(path.exists() for path in without)
    assert not [file for file in found if file in without or set(file.parents) & set(without)]


def test_libraries_are_timed_beside_each_other_and_take_turns_to_be_first():
    tasks = [plain(name=name) for name in "xyz"] + [noisy(name="without torch")]
    chosen = [KNOWN[label] for label in ("sgd", "adam", "rmsprop", "optax:adam", "torch:adam")]
    pairs = [(c, task) for c in chosen for task in tasks if c.absence(task) is None]
    works = plan(pairs, [KNOWN["torch:adam"]], {})
    assert [(w.task, w.label, w.kind) for w in works if w.label.endswith("adam")] == [
        ("x", "adam", Cell),
        ("x", "optax:adam", Cell),
        ("x", "torch:adam", Cell),
        ("x", "adam", Agreement),
        ("y", "torch:adam", Cell),
        ("y", "optax:adam", Cell),
        ("y", "adam", Cell),
        ("y", "adam", Agreement),
        ("z", "adam", Cell),
        ("z", "optax:adam", Cell),
        ("z", "torch:adam", Cell),
        ("z", "adam", Agreement),
        ("without torch", "optax:adam", Cell),
        ("without torch", "adam", Cell),
        ("without torch", "adam", Agreement),
    ]
    order = [w.label.rpartition(":")[2] for w in works]
    assert list(dict.fromkeys(order)) == ["sgd", "adam", "rmsprop"]
    assert order == sorted(order, key=["sgd", "adam", "rmsprop"].index)
