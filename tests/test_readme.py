"""The README: its code runs, its commands are those of CI, its links lead somewhere, its names exist."""

import importlib
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import gradtx

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_the_code_runs_as_printed(capsys):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 7
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["losses"].shape == (16,)
    assert float(jnp.min(names["losses"])) < float(names["losses"][0])
    assert np.isfinite(names["slope"])
    assert names["evaluated"].keys() == {"body", "head"}
    entries = zip(jax.tree.leaves(names["updates"]), jax.tree.leaves(names["net"]), strict=True)
    assert all(jnp.all(u * g <= 0) for u, g in entries)  # no entry against its gradient
    assert int(names["state"].count) == 50
    printed = capsys.readouterr().out
    assert "{'learning_rate': " in printed
    assert "body > add_decayed_weights" in printed
    assert "step 40, the last of 5 readings" in printed
    assert "clip_by_global_norm" in printed


def test_it_is_short():
    assert len(TEXT.encode()) <= 8_000


def test_every_name_of_gradtx_in_the_texts_exists():
    for file in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        text = (ROOT / file).read_text()
        for path in set(re.findall(r"`((?:gradtx|tests|notebooks)/[\w/]+(?:\.\w+)?)`", text)):
            assert (ROOT / path).exists(), f"{file}: {path}"
        for dotted in set(re.findall(r"\bgradtx((?:\.[a-z]\w*)+)", text)) - {".egg"}:
            found = gradtx
            for name in dotted.strip(".").split("."):
                if not hasattr(found, name):  # a module that gradtx imports only when it is asked for
                    importlib.import_module(f"{found.__name__}.{name}")
                found = getattr(found, name)


def test_the_two_commands_are_those_that_ci_runs():
    commands = re.findall(r"```bash\n(.*?)\n```", TEXT, re.DOTALL)
    assert commands == ['pip install -e ".[demo]" && python -m gradtx', 'pip install -e ".[testing]" && pytest -n 2']
    script = (ROOT / ".ci" / "run").read_text()
    assert all(f"'{command.split('&& ')[1]}'" in script for command in commands)


def test_links_and_pictures_are_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert len(links) > 10
    for file in ("README.md", "CONTRIBUTING.md", "tests/benchmarks/README.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / file).read_text()):
            assert ((ROOT / file).parent / link).exists(), f"{file}: {link}"
    assert set((ROOT / "notebooks").glob("*.ipynb")) <= {ROOT / link for link in links}
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", TEXT)
    assert len(pictures) == 1
    assert all((ROOT / picture).stat().st_size < 150_000 for picture in pictures)
