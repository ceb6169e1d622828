"""What the README says: its code runs, its tables name everything, its commands are those that CI runs."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_the_code_runs_as_printed(capsys):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 7
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "learning_rate" in printed
    assert "body > add_decayed_weights" in printed
    assert names["step"] == 100
    assert "step 40, the last of 5 readings" in printed
    assert "clip_by_global_norm" in printed
    assert names["losses"].shape == (16,)
    assert np.isfinite(names["slope"])
    assert float(jnp.min(names["losses"])) < float(names["losses"][0])


def test_ten_lines_are_ten():
    first = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 10


def test_the_tables_name_every_transformation_and_schedule():
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("|"))
    named = set(re.findall(r"`(?:gradtx\.)?@?(\w+)", table))
    factories = {name for name in gradtx.__all__ if hasattr(getattr(gradtx, name), "factory")}
    assert factories - named == {"foreign", "function_schedule"}


def test_figures_are_those_of_the_benchmark():
    """Row for row, and among them are some of the targets that are missed."""
    table = TEXT.split("## Speed and memory")[1].split("## What is different")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    figures = (ROOT / "tests" / "benchmarks" / "figures.md").read_text().splitlines()
    assert len(rows) > 10
    assert set(rows) <= set(figures)
    assert any("missed by" in row for row in rows)


def test_names_of_optax_lead_to_those_here():
    """The error for each says what the README's table says."""
    table = TEXT.split("| in optax | here |")[1].split("\n\n")[0]
    rows = [re.findall(r"`(\w+)`", cell) for line in table.splitlines()[2:] for cell in line.split("|")[1:3]]
    pairs = dict(pair for old, new in zip(rows[::2], rows[1::2], strict=True) for pair in zip(old, new, strict=False))
    assert pairs == gradtx._NAMES_IN_OPTAX
    for old, new in pairs.items():
        assert hasattr(gradtx, new)
        with pytest.raises(AttributeError, match=f"no attribute '{old}': here it is {new}"):
            getattr(gradtx, old)


def test_every_name_of_gradtx_in_the_texts_exists():
    for file in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        for dotted in set(re.findall(r"\bgradtx((?:\.[a-z]\w*)+)", (ROOT / file).read_text())) - {".egg"}:
            found = gradtx
            for name in dotted.strip(".").split("."):
                found = getattr(found, name)


def test_the_two_commands_are_those_that_ci_runs():
    commands = re.findall(r"```bash\n(.*?)\n```", TEXT, re.DOTALL)
    assert commands == ['pip install -e ".[demo]" && python -m gradtx', 'pip install -e ".[testing]" && pytest -n 2']
    script = (ROOT / ".ci" / "run").read_text()
    assert all(f"'{command.split('&& ')[1]}'" in script for command in commands)


def test_the_race_s_findings_are_those_of_its_report():
    """Sentence for sentence; the first and the last words of the paragraph are ours."""
    start, end = "as its report computed it: ", " The tasks are small,"
    paragraph = " ".join(TEXT.split("What a full race found")[1].split("\n\n")[0].split())
    rest = paragraph.split(start)[1].split(end)[0]
    report = (
        (ROOT / "tests" / "apps" / "race" / "report.md").read_text().split("## What was found")[1].split("\n## ")[0]
    )
    found = [" ".join(line[2:].split()) for line in report.splitlines() if line.startswith("* ")]
    taken = [finding for finding in found if finding in rest]
    assert len(taken) > 5
    for finding in taken:
        rest = rest.replace(finding, "")
    assert not rest.strip()


def test_pictures_are_there():
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", TEXT)
    assert len(pictures) == 3
    assert all((ROOT / picture).stat().st_size < 150_000 for picture in pictures)
