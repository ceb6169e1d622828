"""The law of many devices finds what it is there to find."""

import os
import subprocess
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import gradtx
from gradtx.testing import BrokenError, Case, check
from gradtx.testing.laws_sharding import sharded


class MeanState(NamedTuple):
    """A running mean."""

    mean: Any


def pair(moved=lambda mean: mean, init=gradtx.zeros):
    """A bare pair that keeps a mean; what is kept can be moved."""

    def update(updates, state, params=None):
        mean = jax.tree.map(lambda m, g: 0.5 * m + 0.5 * g, state.mean, updates)
        return mean, MeanState(jax.tree.map(moved, mean))

    return lambda params: MeanState(init(params)), update


def test_a_bare_pair_keeps_it():
    sharded(Case(pair()))


def test_a_state_that_is_moved():
    def gathered(mean):
        mesh = jax.sharding.Mesh(jax.devices(), ("x",))
        return jax.lax.with_sharding_constraint(mean, NamedSharding(mesh, PartitionSpec()))

    with pytest.raises(
        BrokenError, match=r"state after two steps at mean/layers/0/w is split as .*; its parameter layers/0/w"
    ):
        sharded(Case(pair(gathered)))


def test_numbers_that_differ_between_the_programs():
    """Each trace multiplies by another number."""
    traces = []

    def update(updates, state, params=None):
        traces.append(1)
        return jax.tree.map(lambda g: g * float(len(traces)), updates), state

    with pytest.raises(BrokenError, match="the update on many devices at gain is"):
        sharded(Case((lambda params: MeanState(()), update)))


def test_a_value_whose_init_leaves_the_parameters():
    """Outside jit, gradtx puts what an init made elsewhere where it belongs."""
    elsewhere = pair(init=lambda params: jax.tree.map(lambda p: jnp.zeros(p.shape), params))
    sharded(Case(gradtx.chain(elsewhere)))


def test_trees_that_cannot_be_split():
    report = check(gradtx.sgd(0.1), {"w": jnp.ones(())}, laws=["sharded"])
    assert report.skipped == {"sharded": "no axis of a parameter can be split over devices"}
    odd = Case(gradtx.adam(0.1), {"w": jnp.ones((3, 5))}, any_tree=False)
    sharded(odd)  # over the five devices that divide it


def test_on_one_device_it_says_how_to_have_more():
    program = "import gradtx, gradtx.testing as t; print(t.check(gradtx.sgd(0.1), laws=['sharded']))"
    environment = os.environ | {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert "there is one device: XLA_FLAGS=--xla_force_host_platform_device_count=8 simulates 8" in done.stdout
