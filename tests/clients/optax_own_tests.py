"""optax's own tests against `gradtx.compat.optax`: `python -m tests.clients.optax_own_tests`.

Fetches the source distribution of optax with pip, and runs the tests in it in a process in which `import optax` gives
`gradtx.compat.optax`. `optax_own_tests.txt` names each difference, with the tests that fail for it; a failure that is
not there, and a line there that no failure needs, are errors. The last line says which share of the tests passes.

A test counts if it uses a name that `gradtx.compat.optax` has of gradtx. Tests of losses and others that are optax's
own there too, and of what optax does not publish, do not count.

    python -m tests.clients.optax_own_tests                     all
    python -m tests.clients.optax_own_tests --only masking      the test files with this in their names
    python -m tests.clients.optax_own_tests --sources DIR       without pip: DIR holds the unpacked distribution
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import types
from pathlib import Path
from typing import Any

VERSION = "0.2.8"
TABLE = Path(__file__).with_suffix(".txt")
# Test files of what is optax's own in the alias too, and of a folder that it does not have.
OTHERS = ("assignment", "experimental", "losses", "microbatching", "perturbations", "optax_test.py")
FOREIGN = ("assignment", "experimental", "losses", "microbatching", "perturbations")


def fetched(folder: Path) -> Path:
    """The unpacked source distribution of optax."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-binary", ":all:", "--no-deps", "-d", str(folder)]
    subprocess.run([*command, f"optax=={VERSION}"], check=True)
    with tarfile.open(folder / f"optax-{VERSION}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"optax-{VERSION}"


def test_files(sources: Path, only: str) -> list[Path]:
    found = sorted((sources / "optax").rglob("*_test.py"))
    if not found:
        raise SystemExit(f"the source distribution of optax {VERSION} holds no tests: {sources}")
    inside = [file for file in found if not {*file.relative_to(sources / "optax").parts} & {*OTHERS}]
    inside.sort(key=lambda file: file.name == "alias_test.py")  # the long one at the end
    chosen = [file for file in inside if only in str(file.relative_to(sources))]
    if not chosen:
        raise SystemExit(f"no test file has {only!r} in its name")  # without files, pytest would run this folder's
    return chosen


class Uses:
    """Which names the running test has used: those of the alias, and those that optax does not publish."""

    def __init__(self) -> None:
        self.test = ""
        self.names: dict[str, set[str]] = {}

    def note(self, kind: str, name: str) -> None:
        self.names.setdefault(self.test, set()).add(f"{kind} {name}")


USES = Uses()


class Facade(types.ModuleType):
    """A module of optax: public names are those of the alias, all others optax's own."""

    def __init__(self, name: str, real: Any, spaces: list[Any]):
        super().__init__(name)
        self.__dict__.update(_real=real, _spaces=spaces, __path__=[], __file__=__file__)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        own = getattr(self._real, name, None)
        for space in () if isinstance(own, types.ModuleType) else self._spaces:
            found = getattr(space, name, None) if name in getattr(space, "__names__", dir(space)) else None
            if found is not None:
                USES.note("optax's own" if found is own else "public", name)
                return found
        found = getattr(self._real, name)
        if isinstance(found, types.ModuleType):
            return importlib.import_module(f"{self.__name__}.{name}") if found.__name__.startswith("optax") else found
        USES.note("private", name)
        return found


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives `import optax...` the facades, and test modules from the sources."""

    def __init__(self, sources: Path, real: dict[str, Any], alias: Any):
        self.sources, self.real, self.alias = sources, real, alias
        self.flat = {name: getattr(alias, name) for name in dir(alias) if not name.startswith("_")}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != "optax" and not fullname.startswith("optax."):
            return None
        file = self.sources / (fullname.replace(".", "/") + ".py")
        if fullname.endswith(("_test", ".test_utils")) and file.exists():
            return importlib.util.spec_from_file_location(fullname, file)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        part = spec.name.split(".")[1] if "." in spec.name else ""
        if part in FOREIGN:
            return self.real[spec.name]
        flat = types.SimpleNamespace(**self.flat)
        flat.__names__ = [*self.flat]
        own = getattr(self.alias, part, None) if part and part in self.flat else None
        spaces = [own] if own is not None and spec.name == f"optax.{part}" else [own or flat, flat]
        if spec.name == "optax":
            spaces = [flat]
        return Facade(spec.name, self.real[spec.name], spaces)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def put_in_place(sources: Path) -> None:
    """From here on `import optax` gives the alias."""
    import optax
    import optax.experimental._aggregating  # noqa: F401

    import gradtx.compat.optax as alias
    from gradtx.compat.optax import elsewhere

    for file in (sources / "optax").rglob("_*.py"):
        name = ".".join(file.relative_to(sources).with_suffix("").parts)
        if not name.endswith(("_test", "__init__")):
            importlib.import_module(name)
    for name in (*elsewhere.NAMES, *elsewhere.MODULES):  # from optax, while that is still the real one
        setattr(alias, name, getattr(alias, name))
    real = {name: sys.modules.pop(name) for name in [*sys.modules] if name.split(".")[0] == "optax"}
    sys.meta_path.insert(0, Finder(sources, real, alias))


class Recorder:
    """A pytest plugin that writes a line for each report: test, outcome, message, names used so far."""

    def __init__(self, out: Path):
        self.out = out.open("w")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        USES.test = nodeid

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            self._write(report)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._write(report)

    def _write(self, report: Any) -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = (crash.message if crash else str(report.longrepr))[-2000:] if report.outcome == "failed" else ""
        names = sorted(USES.names.get(report.nodeid, ()))
        self.out.write(json.dumps([report.nodeid, report.outcome, message, names]) + "\n")
        self.out.flush()


def read(out: Path) -> dict[str, Any]:
    """Test -> what it did; of several reports, as of subtests, a failure counts."""
    rows: dict[str, Any] = {}
    for line in out.read_text().splitlines():
        test, outcome, message, names = json.loads(line)
        row = rows.setdefault(test.split("tests/")[-1], {"outcome": outcome, "message": message, "names": names})
        if outcome == "failed" != row["outcome"]:
            row.update(outcome=outcome, message=message)
        row["names"] = sorted({*row["names"], *names})
    return rows


def child(sources: Path, folder: Path, out: Path, more: list[str]) -> int:
    """Run the tests in a folder, with the alias in the place of optax."""
    import pytest

    put_in_place(sources)
    settings = ["-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "--continue-on-collection-errors"]
    order = (folder / "order").read_text().split()
    return int(pytest.main([*settings, *more, *(str(folder / name) for name in order)], [Recorder(out)]))


def ran(sources: Path, only: str, out: Path, more: list[str]) -> None:
    """Run the tests in another process; it writes a line for each to `out`."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "tests")
        folder.mkdir()
        (folder / "pytest.ini").write_text("[pytest]\n")
        names = []
        for file in test_files(sources, only):  # flat, so that pytest takes none of them for a part of a package
            names.append("__".join(file.relative_to(sources / "optax").parts))
            (folder / names[-1]).write_text(file.read_text())
        (folder / "order").write_text("\n".join(names))
        command = [sys.executable, "-m", "tests.clients.optax_own_tests", "--child", str(folder), str(out)]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONHASHSEED": "0"}
        subprocess.run([*command, "--sources", str(sources), "--", *more], env=environment, check=False)


def counts(row: dict[str, Any]) -> bool:
    """Whether a test uses a name of the alias, or none that could be seen."""
    names = row["names"]
    return not names or any(name.startswith("public") for name in names)


def differences() -> dict[str, list[str]]:
    """Difference -> patterns of tests that fail for it."""
    found: dict[str, list[str]] = {}
    current = ""
    for line in TABLE.read_text().splitlines() if TABLE.exists() else ():
        if line.startswith("    "):
            found[current].append(line.strip())
        elif line and not line.startswith("#"):
            current = line
            found[current] = []
    return found


def report(rows: dict[str, Any], whole: bool) -> int:
    table = differences()
    seen = {test: row for test, row in rows.items() if row["outcome"] != "skipped" and counts(row)}
    failed = {test: row for test, row in seen.items() if row["outcome"] == "failed"}
    used: set[str] = set()
    unlisted = []
    per = dict.fromkeys(table, 0)
    for test, row in failed.items():
        match = [(d, p) for d, patterns in table.items() for p in patterns if fnmatch.fnmatchcase(test, p)]
        if not match:
            unlisted.append(test)
            print(f"UNLISTED {test}\n    {row['message'].strip().splitlines()[-1:]}")
            continue
        used |= {pattern for _, pattern in match}
        per[match[0][0]] += 1
    for difference, number in per.items():
        print(f"{number:5d}  {difference}")
    stale = [p for patterns in table.values() for p in patterns if p not in used] if whole else []
    for pattern in stale:
        print(f"NO FAILURE NEEDS {pattern}")
    print(f"{len(rows) - len(seen)} tests skipped or of other names")
    passed, all_of = len(seen) - len(failed), max(len(seen), 1)
    rest = f"{len(unlisted)} failures are not listed" if unlisted else f"{len(failed)} differ as listed"
    print(f"{passed} of {len(seen)} tests pass, {passed / all_of:.1%}; {rest}")
    return 1 if unlisted or stale else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--rows", type=Path, help="keep what each test did in this file")
    parser.add_argument("--read", action="store_true", help="run nothing: sort what the file of --rows holds")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("more", nargs="*", help="for pytest, after --")
    given = parser.parse_args()
    if given.child:
        return child(given.sources, *given.child, given.more)
    with tempfile.TemporaryDirectory() as place:
        out = given.rows or Path(place, "rows")
        if not given.read:
            ran(given.sources or fetched(Path(place)), given.only, out, given.more)
        rows = read(out)
    return report(rows, whole=not given.only and not given.more)


if __name__ == "__main__":
    raise SystemExit(main())
