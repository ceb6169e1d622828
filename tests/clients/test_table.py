"""The table of notebook 9: every client has a row, the versions are the pinned ones, and the measure can fail.

That each figure is true is part of each client's own test (`agrees`).
"""

import importlib
import re
import tomllib
from pathlib import Path

import jax.numpy as jnp
import optax
import pytest

import gradtx
from tests.clients import agreement, table

HERE = Path(__file__).parent


def test_every_client_is_listed():
    files = {path.stem for path in HERE.glob("test_*.py") if re.search(r"^CLIENTS = ", path.read_text(), re.MULTILINE)}
    assert files == {f"test_{name}" for name in (*table.LIGHT, *table.HEAVY)}
    entries = re.findall(r'Client\("([\w-]+)", "(.*?)"', "".join((HERE / f"{name}.py").read_text() for name in files))
    assert sorted(entries) == sorted((row[0], entry) for entry, row in table.stated().items())


def test_the_versions_are_those_of_the_extra():
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["clients"]
    pins = dict(re.fullmatch(r"([\w-]+)==([\d.]+)", line).groups() for line in extra if "==" in line)
    heavy = {"dm-haiku" if name == "haiku" else name for name in table.HEAVY}
    assert heavy <= pins.keys()
    rows = {package: version for package, version, *_ in table.stated().values() if package in heavy}
    assert rows == {package: pins[package] for package in heavy}


@pytest.mark.parametrize("algorithm", agreement.ALGORITHMS)
def test_the_measure_sees_another_decay(algorithm):
    """A hundredth of a percent of a decay is more than any bound."""
    train = importlib.import_module("tests.clients.test_optax_chain").train
    make = {
        "adam": lambda: optax.adam(0.05, b1=0.9001),
        "scheduled adamw": lambda: optax.adamw(
            optax.cosine_decay_schedule(0.05, 40), 0.8751, 1 - 2**-6, weight_decay=0.125
        ),
        "clipped nesterov": lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.05, 0.8751, nesterov=True)),
    }
    mine, theirs = train(agreement.ALGORITHMS[algorithm].make(gradtx, 0.05)), train(make[algorithm]())
    assert agreement.difference(mine[:2], theirs[:2]) / agreement.EPS > agreement.ALGORITHMS[algorithm].ulp


def test_the_measure_refuses_what_is_not_the_same():
    one = {"a": jnp.ones(2)}
    for other, error in (
        ({"a": jnp.ones(3)}, AssertionError),
        ({"a": jnp.full(2, jnp.nan)}, AssertionError),
        ({"a": jnp.ones(2, jnp.bfloat16)}, AssertionError),
        ({"b": jnp.ones(2)}, ValueError),
    ):
        with pytest.raises(error):
            agreement.difference(other, one)
    assert agreement.difference(one, one) == 0
