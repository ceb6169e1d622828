"""Hydra makes from `to_dict` the value that gradtx makes of it, after a way through YAML."""

import pytest

import gradtx
from tests.contract.registry import CASES

pytestmark = pytest.mark.nightly

NAMED = {name: case for name, case in CASES.items() if "<" not in repr(case.tx)}


def test_instantiate_makes_every_case():
    import yaml
    from hydra.utils import instantiate

    wrong, tried = [], 0
    for name, case in NAMED.items():
        text = yaml.safe_dump(gradtx.to_dict(case.tx), sort_keys=False)
        if "_name_" in text or any(f"gradtx.{own}" in text for own in case.namespace):
            continue  # it names a function of the test, which no module has
        tried += 1
        if (back := instantiate(yaml.safe_load(text), _convert_="all")) != case.tx:
            wrong.append((name, back))
    assert tried > 150
    assert not wrong
