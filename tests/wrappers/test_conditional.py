"""What a wrapper tells of itself: when its inside runs and with what, and which leaf belongs to which inside."""

import jax.numpy as jnp
import pytest

import gradtx
from gradtx.testing.compare import same_bits

W = {"w": jnp.asarray([1.0, -0.0]), "n": 3}
G = {"w": jnp.asarray([3.0, 0.5]), "n": None}
BAD = {"w": jnp.asarray([3.0, jnp.nan]), "n": None}
INNER = gradtx.adam(0.1)

BRANCHES = {
    "skip_nonfinite": (gradtx.skip_nonfinite(INNER), [True, False, True], None),
    "skip_nonfinite, gradients": (gradtx.skip_nonfinite(INNER, check_updates=False), [True, False, True], None),
    "skip_nonfinite, updates": (
        gradtx.skip_nonfinite(gradtx.chain(gradtx.scale(1e30), gradtx.scale(1e10))),
        [False, False, False],
        None,
    ),
    "skip_if": (gradtx.skip_if(INNER, lambda g, p, v: jnp.any(jnp.isnan(g["w"]))), [True, False, True], None),
    "skip_spikes": (gradtx.skip_spikes(INNER, window=2), [True, False, True], None),
    "skip_spikes, scheduled": (
        gradtx.skip_spikes(INNER, gradtx.linear_schedule(1.0, 2.0, 3), window=2),
        [True, False, True],
        None,
    ),
    "every": (gradtx.every(INNER, 2), [True, False, True], None),
    "accumulate": (gradtx.accumulate(gradtx.sgd(1.0), 2, reduction="sum"), [False, True, False], lambda state: 2.0),
    "dynamic_loss_scale": (gradtx.dynamic_loss_scale(INNER, 4.0), [True, False, True], lambda state: 1 / state.scale),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_tells_when_its_inside_runs_and_with_what(name):
    tx, expected, factor = BRANCHES[name]
    state = tx.init(W)
    for g, runs in zip([G, G if name == "accumulate" else BAD, G], expected, strict=True):
        decision = tx.branch.decide(g, state, W)
        own = state.inner if isinstance(state, gradtx.HyperparametersState) else state
        out, _ = tx.inner.update(decision.updates(), own.inner, W)
        assert bool(decision.ran(out)) == runs
        if runs:
            same_bits(
                "the updates of the inside",
                decision.updates()["w"],
                g["w"] * (1.0 if factor is None else factor(state)),
            )
        updates, state = tx.update(g, state, W)
        same_bits("the updates", updates["w"], out["w"] if runs else jnp.full(2, -0.0))


def test_other_transformations_have_no_branch():
    for tx in (INNER, gradtx.chain(), gradtx.sam(INNER), gradtx.freeze(INNER, True), gradtx.scale(2.0)):
        assert tx.branch is None


PARAMS = {
    "body": {"w": jnp.ones(2), "b": jnp.ones(2)},
    "head": jnp.ones(1),
    "n": 3,
    "none": None,
}  # b, w, head, n, none
SLOW, FAST = gradtx.sgd(0.1), gradtx.adam(1.0)
GROUPS = {
    "freeze": (gradtx.freeze(FAST, "body"), {0: ("frozen", None), 1: ("frozen", None), 2: ("", FAST)}),
    "masked": (gradtx.masked(FAST, "head"), {0: ("", None), 1: ("", None), 2: ("adam", FAST)}),
    "route": (
        gradtx.route({"**/w": SLOW}, default=FAST),
        {0: ("default", FAST), 1: ("**/w", SLOW), 2: ("default", FAST)},
    ),
    "partition": (
        gradtx.partition({"a": SLOW, "b": FAST}, {"body": "a", "head": "b", "n": "b", "none": "b"}),
        {0: ("a", SLOW), 1: ("a", SLOW), 2: ("b", FAST)},
    ),
    "a recipe": (
        gradtx.per_leaf_learning_rate({"head": 0.5}),
        {0: ("default", gradtx.scale(1.0)), 1: ("default", gradtx.scale(1.0)), 2: ("head", gradtx.scale(0.5))},
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_which_leaf_belongs_to_which_inside(name):
    tx, expected = GROUPS[name]
    assert tx.leaf_groups(PARAMS) == expected


def test_other_transformations_treat_all_leaves_alike():
    assert gradtx.chain(gradtx.freeze(FAST, "body"), SLOW).leaf_groups(PARAMS) is None
    assert FAST.leaf_groups(PARAMS) is None
