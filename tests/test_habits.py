"""The files around the code agree with each other: hooks and workflow with .ci/run, versions with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import yaml

import gradtx

ROOT = Path(__file__).parent.parent
SCRIPT = (ROOT / ".ci" / "run").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_hooks_run_the_commands_of_the_lint_job():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = SCRIPT.split("\nlint() {")[1].split("\n}")[0].split("\n")
    commands = {line.strip().removesuffix(" notebooks/*.ipynb") for line in lint if line.strip()}
    assert commands == {hook["entry"] for hook in hooks} | {
        'echo "== lint, layers and types"',
        "environment lint",
        'pip install -q -e ".[peers,dev]"',
    }


def test_the_workflow_runs_every_job_and_every_python():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    named = re.search(r"jobs=\(([a-z ]+)\)", SCRIPT)
    assert named is not None
    assert {"readme", *jobs["others"]["strategy"]["matrix"]["job"]} == set(named[1].split())
    classifiers = PROJECT["project"]["classifiers"]
    pythons = [name.rpartition(" ")[2] for name in classifiers if name.startswith("Programming Language :: Python")]
    assert jobs["readme"]["strategy"]["matrix"]["python"] == pythons


def test_the_citation_has_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == gradtx.__version__
    assert citation["license"] == PROJECT["project"]["license"]
