"""Where a step looks wrong: every finding provoked by a real case, and none in a healthy step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.inspection import findings as thresholds
from gradtx.inspection.explain import explain
from gradtx.inspection.watch import watch

RANDOM = np.random.default_rng(0)


def normal(*shape, scale=1.0):
    return jnp.asarray(RANDOM.normal(size=shape) * scale, jnp.float32)


PARAMS = {"body": normal(4, 4), "head": normal(16)}
GRADS = {"body": normal(4, 4), "head": normal(16)}
ADAM = gradtx.adam(1e-3)


def found(tx, grads=GRADS, params=PARAMS, state=None, **extra):
    explained = explain(tx, grads, tx.init(params) if state is None else state, params, **extra)
    return {(f.kind, f.leaf): f for f in explained.findings}


def only(kind, leaf, tx, *args, **extra):
    """The finding, where it is the only one of its kind."""
    all_found = found(tx, *args, **extra)
    assert [key for key in all_found if key[0] == kind] == [(kind, leaf)], all_found
    return all_found[kind, leaf]


def test_a_healthy_step_has_none():
    assert found(ADAM) == {}
    assert "nothing looks wrong" in str(explain(ADAM, GRADS, ADAM.init(PARAMS), PARAMS))


def test_updates_too_large_and_too_small():
    tx = gradtx.route({"body": gradtx.sgd(0.1)}, default=gradtx.sgd(1e-4))
    finding = only("update_large", "body", tx)
    ratio = 0.1 * np.linalg.norm(GRADS["body"]) / np.linalg.norm(PARAMS["body"])
    assert finding.severity == "warning"
    np.testing.assert_allclose(finding.value, ratio, rtol=1e-5)
    assert finding.threshold == thresholds.UPDATE_LARGE
    assert only("update_small", "body", gradtx.route({"body": gradtx.sgd(1e-9)}, default=ADAM)).value < 1e-7


def test_a_large_update_of_a_vector_is_a_note():
    """Biases begin at 0: in a training that is well they move by large parts of themselves."""
    finding = only("update_large", "head", gradtx.route({"head": gradtx.sgd(0.1)}, default=ADAM))
    assert finding.severity == "note"
    assert "lower its rate" not in finding.sentence


def test_a_small_update_is_one_that_rounding_loses():
    """Where the norm is that of one large weight, a small one may still move by a tenth."""
    mixed = found(gradtx.sgd(0.1), jnp.asarray([0.0, 1e-3]), jnp.asarray([1e6, 1e-3]))
    assert not any(kind == "update_small" for kind, _ in mixed)
    kept = found(gradtx.sgd(1e-7), jnp.asarray([1.0, 1e-6]), jnp.asarray([1e6, 1e-9]))
    assert not any(kind == "update_small" for kind, _ in kept)  # one of two is lost
    lost = only("update_small", "(the tree itself)", gradtx.sgd(1e-9), jnp.ones(4), jnp.ones(4))
    assert "in 100% of the entries the step is lost in the rounding of float32" in lost.sentence
    half = found(gradtx.sgd(1e-9), jnp.ones(4), jnp.ones(4, jnp.bfloat16))
    assert {kind for kind, _ in half} == {"stalled"}


def test_dead_second_moments():
    grads = {**GRADS, "head": GRADS["head"].at[:4].set(1e-25)}  # whose square is no float32
    finding = only("moments_dead", "head", gradtx.rmsprop(1e-3), grads)
    assert (finding.value, finding.stage) == (0.25, "scale_by_rms")


@pytest.mark.parametrize(
    ("tx", "stage"),
    [
        (gradtx.adam(1e-3), "scale_by_adam"),
        (gradtx.adam(1e-3, eps=0.0, eps_root=1e-16), "scale_by_adam"),
        (gradtx.rmsprop(1e-3, eps=1e-18), "scale_by_rms"),
        (
            gradtx.chain(gradtx.accumulate_squares(0.0, 1e-8, eps_in_sqrt=False), gradtx.scale(-1e-3)),
            "accumulate_squares",
        ),
    ],
    ids=["outside", "root", "inside", "sum"],
)
def test_eps_larger_than_the_root_of_the_moment(tx, stage):
    grads = {**GRADS, "head": GRADS["head"] * 1e-12}
    assert only("eps_dominates", "head", tx, grads).stage == stage
    # At the first step Adam's moment is a thousandth of the square, and is corrected for it: this is no finding.
    assert ("eps_dominates", "head") not in found(tx, {**GRADS, "head": GRADS["head"] * 1e-6 + 1e-6})


def test_a_parameter_that_stalls_in_half_precision():
    for dtype in (jnp.bfloat16, jnp.float16):
        params = {**PARAMS, "head": jnp.ones(16, dtype).at[:4].set(0)}  # what is added to 0 is not lost
        finding = only("stalled", "head", gradtx.sgd(1e-5), GRADS, params)
        assert finding.value == 0.75
        assert jnp.dtype(dtype).name in finding.sentence
    cured = gradtx.round_stochastically(gradtx.sgd(1e-5), key=0)
    assert ("stalled", "head") not in found(cured, GRADS, params)


def test_a_step_that_was_clipped():
    finding = only("clipped", "", gradtx.chain(gradtx.clip_by_global_norm(1.0), ADAM))
    norm = np.hypot(np.linalg.norm(GRADS["body"]), np.linalg.norm(GRADS["head"]))
    assert (finding.severity, finding.stage) == ("note", "clip_by_global_norm")
    np.testing.assert_allclose(finding.value, 1 / norm, rtol=1e-5)
    assert found(gradtx.chain(gradtx.clip_by_global_norm(1e3), ADAM)) == {}


def test_clipping_at_every_step_is_seen_with_a_watch():
    tx = watch(gradtx.chain(gradtx.clip_by_global_norm(1.0), ADAM), every=1, window=6)
    state = tx.init(PARAMS)
    update = jax.jit(tx.update)
    for step in range(6):
        every = found(tx, state=state)
        assert (("clipped_always", "") in every) == (step >= thresholds.CLIPPED_STEPS)
        assert (("clipped", "") in every) != (("clipped_always", "") in every)
        _, state = update(GRADS, state, PARAMS)
    assert found(tx, state=state)["clipped_always", ""].value == 1
    for _ in range(3):  # three of the last six were not
        _, state = update(jax.tree.map(lambda g: g * 1e-3, GRADS), state, PARAMS)
    assert ("clipped_always", "") not in found(tx, state=state)


def test_gradients_that_are_not_finite():
    grads = {**GRADS, "head": GRADS["head"].at[3].set(jnp.nan).at[5].set(jnp.inf)}
    all_found = found(ADAM, grads)
    assert all_found["gradient_nonfinite", "head"].value == 2
    assert all_found["gradient_nonfinite", "head"].severity == "error"
    assert all_found["update_nonfinite", "head"].severity == "error"
    assert ("update_nonfinite", "body") not in all_found
    clipped = found(gradtx.chain(gradtx.clip_by_global_norm(1.0), ADAM), grads)
    assert clipped["update_nonfinite", "body"].stage == "clip_by_global_norm"
    skipped = found(gradtx.skip_nonfinite(ADAM), grads)
    assert skipped["gradient_nonfinite", "head"].severity == "warning"
    assert skipped["no_step", ""].stage == "skip_nonfinite"
    assert not any(kind == "update_nonfinite" for kind, _ in skipped)


def test_an_update_that_a_member_spoils():
    finding = only("update_nonfinite", "head", ADAM, {**GRADS, "head": GRADS["head"] * jnp.inf})
    assert finding.value == 16
    params = {**PARAMS, "head": PARAMS["head"].at[0].set(jnp.nan)}
    assert only("weights_nonfinite", "head", ADAM, GRADS, params).severity == "error"
    both = found(ADAM, {**GRADS, "head": GRADS["head"] * jnp.nan}, params)
    assert list(both) == [("weights_nonfinite", "head")]  # of which the rest comes


def test_a_gradient_of_zeros_and_a_leaf_without_an_update():
    grads = {**GRADS, "head": jnp.zeros(16)}
    assert only("gradient_zero", "head", ADAM, grads).severity == "warning"
    tx = gradtx.chain(ADAM, gradtx.masked(gradtx.set_to_zero(), "head"))
    assert only("no_update", "head", tx).stage == "masked/set_to_zero"


def test_frozen_leaves_and_those_that_are_not_trained():
    assert only("frozen", "head", gradtx.freeze(ADAM, "head")).severity == "note"
    params = {**PARAMS, "steps": jnp.asarray(3), "nothing": None}
    grads = {**GRADS, "steps": np.zeros((), jax.dtypes.float0), "nothing": None}
    all_found = found(ADAM, grads, params)
    assert set(all_found) == {("not_trained", "steps"), ("not_trained", "nothing")}
    assert "int32" in all_found["not_trained", "steps"].sentence


def test_weights_that_are_all_zero():
    finding = only("weights_zero", "head", ADAM, GRADS, {**PARAMS, "head": jnp.zeros(16)})
    assert finding.severity == "note"


def test_a_rate_that_is_zero():
    tx = gradtx.adam(gradtx.warmup_constant_schedule(0.0, 1e-3, warmup_steps=2))
    assert only("rate_zero", "", tx).stage == "scale_by_learning_rate"
    assert ("no_update", "head") not in found(tx)
    state = tx.update(GRADS, tx.init(PARAMS), PARAMS)[1]
    assert found(tx, state=state) == {}
    assert "nothing moves" in found(gradtx.sgd(0.0))["rate_zero", ""].sentence
    branch = only("rate_zero", "", gradtx.route({"head": gradtx.sgd(0.0)}, default=ADAM))
    assert "learning_rate is 0 in this step: head rests" in branch.sentence
    assert branch.stage == "route/head/scale_by_learning_rate"


def test_steps_that_go_uphill_and_sideways():
    up = found(gradtx.scale(1e-3))
    assert {leaf for kind, leaf in up if kind == "uphill"} == {"", "body", "head"}
    np.testing.assert_allclose(up["uphill", "head"].value, -1, rtol=1e-6)
    momentum = gradtx.sgd(1e-4, momentum=0.9)
    g, p = jnp.asarray([1.0, 0.0]), jnp.asarray([3.0, 4.0])
    state = {"add_momentum": gradtx.AddMomentumState(jnp.asarray([-10 / 9, 5.0]))}
    finding = only("sideways", "(the tree itself)", momentum, g, p, state)
    assert abs(finding.value) < thresholds.SIDEWAYS


def test_a_wrapper_that_rests():
    tx = gradtx.accumulate(gradtx.sgd(0.1), 2)
    assert set(found(tx)) == {("no_step", "")}
    _, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert ("update_large", "body") in found(tx, state=state)


def test_the_most_severe_come_first():
    grads = {"body": GRADS["body"], "head": GRADS["head"].at[0].set(jnp.nan)}
    tx = gradtx.chain(gradtx.clip_by_leaf_norm(1.0), gradtx.sgd(1.0))
    severities = [f.severity for f in explain(tx, grads, tx.init(PARAMS), PARAMS).findings]
    assert severities == sorted(severities, key=thresholds.SEVERITIES.index)
    assert severities[0] == "error"
