"""The registry is complete, `__all__` is true, imports point one way, and what is public is documented."""

import ast
import inspect
import subprocess
import sys
import types
from pathlib import Path

import pytest

import gradtx
from gradtx.catalog import RECIPES
from gradtx.testing import LAWS
from tests.contract.registry import CALLS, CASES

ROOT = Path(gradtx.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
PUBLIC = {name: getattr(gradtx, name) for name in gradtx.__all__}
SCHEDULES = ("gradtx.schedules.", "gradtx.core.schedule")
FACTORIES = {n: f for n, f in PUBLIC.items() if hasattr(f, "factory") and not f.__module__.startswith(SCHEDULES)}
PIECES_WITHOUT_STATE_SECTION = {"foreign"}  # its state is whatever the other library keeps


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def _parameters(function) -> dict[str, inspect.Parameter]:
    signature = inspect.signature(function)
    return {n: p for n, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def test_every_factory_has_a_case():
    """A public transformation without a case would be held to no law."""
    assert set(FACTORIES) == {call.factory.__name__ for call in CALLS.values()}


@pytest.mark.parametrize("name", CALLS)
def test_case_spells_out_every_argument(name):
    """No case relies on a default."""
    call = CALLS[name]
    assert set(call.arguments) >= set(_parameters(call.factory))
    assert CASES[name].tx.name == call.factory.__name__


def test_all_is_what_exists():
    """`__all__` is sorted, has no name twice, and is what the module has."""
    submodules = {n for n, x in vars(gradtx).items() if isinstance(x, types.ModuleType)}
    exists = {n for n in vars(gradtx) if not n.startswith("_")} - submodules
    assert set(gradtx.__all__) == exists
    assert gradtx.__all__ == sorted(gradtx.__all__)
    assert len(gradtx.__all__) == len(set(gradtx.__all__))


def test_imports_point_one_way():
    """The layers in pyproject.toml hold, hidden imports included."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"  # lint-imports, of this Python
    done = subprocess.run([sys.executable, "-c", code, "--no-cache"], cwd=ROOT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_modules_say_what_they_are(file):
    """Every module that has something in it has a docstring, and at most 250 lines besides the exceptions."""
    text = file.read_text()
    assert not text or ast.get_docstring(ast.parse(text))
    lines = text.count("\n")
    names_only = file == ROOT / "__init__.py"
    assert lines <= 250 or names_only, f"{_module(file)} has {lines} lines: it is asking to be two"


@pytest.mark.parametrize("name", [n for n, x in PUBLIC.items() if inspect.isfunction(x) or inspect.isclass(x)])
def test_public_names_have_a_docstring(name):
    """One sentence at least, which ends as one."""
    text = inspect.getdoc(PUBLIC[name]) or ""
    assert text.split("\n\n")[0].rstrip().endswith((".", ":")), f"{name}: {text.splitlines()[:1]}"


@pytest.mark.parametrize("name", FACTORIES)
def test_factories_have_the_sections(name):
    """Arguments, state, errors, source and example are told where there are any."""
    factory = FACTORIES[name]
    text, parameters = inspect.getdoc(factory) or "", _parameters(factory)
    recipe = name in RECIPES
    for parameter in parameters:
        assert f"{parameter}" in text, f"{name} does not explain {parameter}"
    if name in PIECES_WITHOUT_STATE_SECTION:
        return
    assert not parameters or "Args:" in text, name
    assert "State:" in text, name
    assert "Source:" in text, name
    assert recipe or "Example:" in text, name
    raises = any(word in inspect.getsource(factory) for word in ("raise ", "positive(", "non_negative(", "below_one("))
    assert recipe or not raises or "Raises:" in text, name


def test_laws_are_sentences():
    """Each law says in its docstring what holds, and names no algorithm."""
    for law in LAWS.values():
        assert law.sentence.endswith("."), law.name
        assert law.after == () or set(law.after) <= LAWS.keys(), law.name
        assert not RECIPES.keys() & set(law.sentence.lower().split()), law.name


def test_importing_gradtx_imports_nothing_that_an_extra_holds():
    """What leans on other packages is imported when it is first asked for."""
    lean = {"gradtx.checkpoint", "gradtx.compat", "gradtx.testing"}
    lean |= {"flax", "matplotlib", "optax", "orbax", "safetensors", "sklearn", "tqdm"}
    program = f"import gradtx, sys; print(sorted({lean!r} & set(sys.modules))); print(gradtx.testing.check.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "check"]
