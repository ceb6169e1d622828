"""No number that a factory accepts turns parameters into NaN: every infinity is refused, or has a meaning."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.catalog import ENTRIES
from gradtx.testing.compare import error_of

PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([1.0, 0.0])}
GRADS = [jax.tree.map(lambda p, k=k: jnp.cos(p + k), PARAMS) for k in range(4)]


def _numbers(entry):
    usual = entry.arguments()
    known = inspect.signature(entry.factory).parameters
    return [name for name, x in usual.items() if name in known and isinstance(x, float) and np.isfinite(x)]


SIMPLE = [e for e in ENTRIES.values() if e.kind in ("piece", "recipe") and not (e.full_batch or e.make().extras.needed)]
EACH = [(e.name, name) for e in SIMPLE for name in _numbers(e)]


@pytest.mark.parametrize(("name", "argument"), EACH)
def test_an_infinite_argument_is_refused_or_harmless(name, argument):
    refused = error_of(lambda: ENTRIES[name].make(**{argument: np.inf}))
    if refused is not None:
        assert isinstance(refused, ValueError)
        assert argument in str(refused)
        return
    tx = ENTRIES[name].make(**{argument: np.inf})
    params, state = PARAMS, tx.init(PARAMS)
    for grads in GRADS:
        updates, state = tx.update(grads, state, params)
        params = gradtx.apply_updates(params, updates)
    assert not any(np.isnan(x).any() for x in jax.tree.leaves(params)), f"{tx} gives NaN"


BOUNDED = [
    (functools.partial(e.make, **{low: 100.0}), low, low.replace("min_", "max_"))
    for e in ENTRIES.values()
    for low in e.usual
    if low.startswith("min_") and low.replace("min_", "max_") in e.usual
]
LOSS_SCALE = functools.partial(gradtx.dynamic_loss_scale, gradtx.sgd(0.1), 1.0, min_scale=2.0)


@pytest.mark.parametrize(("make", "low", "high"), [*BOUNDED, (LOSS_SCALE, "min_scale", "initial_scale")])
def test_bounds_in_the_wrong_order_are_refused(make, low, high):
    with pytest.raises(ValueError, match=f"{low} must not be greater than {high}"):
        make()


def test_all_whose_bounds_are_tried():
    assert len(BOUNDED) >= 4
