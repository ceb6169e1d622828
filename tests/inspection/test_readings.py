"""Readings on the host: found anywhere in a state, printed, and as rows."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.inspection.readings import Readings, readings
from gradtx.inspection.watch import watch

PARAMS = {"layers": [{"w": jnp.ones((2, 3))}], "<b>": jnp.zeros(2)}


def watched(steps, **settings):
    tx = gradtx.skip_nonfinite(gradtx.chain(gradtx.identity(), seen=watch(gradtx.sgd(0.1), **settings)))
    state, params, step = tx.init(PARAMS), PARAMS, jax.jit(tx.step)
    for _ in range(steps):
        params, state = step(PARAMS, state, params)
    return state


STATE = watched(3, every=1)


def test_found_inside_other_states():
    found = readings({"optimizer": STATE})
    assert isinstance(found, Readings)
    assert found.steps.tolist() == [0, 1, 2]
    assert found.names == ("<b>", "layers/0/w")
    assert found.stage_norm.shape == (3, 1, 2)
    assert np.isnan(found.update_to_weight[0, 0])  # the weights are 0


def test_records_are_flat_and_plain():
    rows = readings(STATE).records()
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert rows[0]["grad_norm/layers/0/w"] == pytest.approx(6**0.5)
    assert rows[0]["stage_norm/scale_by_learning_rate/layers/0/w"] == pytest.approx(0.1 * 6**0.5)
    assert len(rows[0]) == 1 + 2 * (11 + 1)
    json.dumps(rows)


def test_printed_and_in_a_notebook():
    found = readings(STATE)
    lines = str(found).splitlines()
    assert lines[0] == "step 2, the last of 3 readings since step 0"
    assert lines[-1].split()[:3] == ["layers/0/w", "2.45", "0.1"]
    assert "clipped" not in lines[1]
    page = found._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert len(found.last) == 1
    assert found.last.steps.tolist() == [2]
    assert found.since(1).steps.tolist() == [1, 2]


def test_before_the_first_step():
    found = readings(watched(0))
    assert len(found) == 0
    assert found.grad_norm.shape == (0, 2)
    assert found.records() == []
    assert str(found) == "no readings yet, of 2 leaves or groups"
    assert str(found) in found._repr_html_()
    assert len(found.last) == 0


def test_errors():
    with pytest.raises(ValueError, match="no state of watch"):
        readings(gradtx.adam(0.1).init(PARAMS))
    with pytest.raises(ValueError, match="2 states of watch"):
        readings([STATE, STATE])
    with pytest.raises(TypeError, match="takes a state"):
        readings(watch(gradtx.sgd(0.1)))
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda s: readings(s).steps)(STATE)
