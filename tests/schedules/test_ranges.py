"""Schedules that come to the end of the range of their argument, and beyond: the same outside jit and under it."""

import functools
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

import gradtx
from gradtx.catalog import ENTRIES

W = jnp.array([[1.0, -2.0], [0.5, 3.0]])
GRADS = [jnp.cos(W + k) for k in range(3)]
POINTS = (0.0, 1.0, -1.0, 1e30)


def value_fn(w):
    return jnp.sum((w - 1.0) ** 2)


def given(tx, grads):
    known = {"value": jnp.float32(2.0), "grad": grads, "value_fn": value_fn}
    return {name: known[name] for name in tx.extras.needed}


def documented(factory: Any) -> str:
    """Its docstring, and those to which it refers."""
    text = factory.__doc__ or ""
    return " ".join(
        [text, *(ENTRIES[n].factory.__doc__ or "" for n in re.findall(r"as in `(\w+)`", text) if n in ENTRIES)]
    )


PIECES = [
    e for e in ENTRIES.values() if e.kind == "piece" and e.make().extras.needed.keys() <= {"value", "grad", "value_fn"}
]
SCHEDULED = [(e.name, name) for e in PIECES for name in e.usual if name in e.make().hypers]


@functools.cache
def steps(name: str, names: tuple[str, ...]) -> Any:
    """The update at step 1, where these arguments come to the points given; the same jitted; and the state before."""
    entry = ENTRIES[name]
    starts = {name: 0.5 if entry.usual[name] is None else entry.usual[name] for name in names}

    def falling(start, point):
        return lambda step: jnp.where(step == 0, start, point)

    def update(points, state, grads):
        tx = entry.make(**{name: falling(starts[name], points[name]) for name in names})
        return tx.update(grads, tx.init(W) if state is None else state, W, **given(tx, grads))

    return starts, update, jax.jit(checkify.checkify(update)), update(starts, None, GRADS[0])[1]


def both(entry: Any, name: str, points: Any) -> Iterator[Any]:
    """For each point: the update at step 1 and what is said of it, outside jit and under it."""
    together = [other for other in entry.usual if (entry.name, other) in SCHEDULED and entry.usual[other] is not None]
    starts, update, checked, state = steps(entry.name, tuple(together) if name in together else (name,))
    for point in points:
        moved = {**starts, name: point}
        with gradtx.debug_checks():
            error, (updates, _) = checked(moved, state, GRADS[1])
        try:
            outside = update(moved, state, GRADS[1])[0], ""
        except ValueError as refused:
            outside = None, str(refused)
        said = (error.get() or "").removesuffix(" (`check` failed)")
        yield outside, (None if said else updates, said)


@pytest.mark.parametrize(("name", "argument"), SCHEDULED)
def test_the_same_outside_jit_and_under_it(name, argument):
    """What is refused names the schedule, the step and the value, and is refused as the docstring says."""
    entry = ENTRIES[name]
    words = " ".join(documented(entry.factory).split())
    for point, ((eager, said), (jitted, said_under_jit)) in zip(POINTS, both(entry, argument, POINTS), strict=True):
        assert (eager is None) == (jitted is None), f"{point}: {said}, under jit: {said_under_jit}"
        if eager is None:
            pattern = rf"{name}: .*{argument}.*[;,] {argument} follows function_schedule\(.*\), and this is step 1$"
            number = re.escape(f"got {point:.3g}"[:5])
            for text in (said, said_under_jit):
                assert re.match(pattern, text)
                assert re.search(number, text) or "must not be greater" in text
        elif point in (0.0, 1.0):
            assert np.isfinite(eager).all()
            np.testing.assert_allclose(eager, jitted, rtol=1e-5, atol=1e-6)
        if point == 0.0 and eager is None and "must not be greater" not in said:
            assert re.search("greater than|at least [1-9]", said.partition(" must ")[2])
            assert re.search(r"greater than|at least [1-9]|in \(0, 1", words)


LIMITS = {
    "clip_by_value": ("max_delta", "zeros"),
    "clip_by_leaf_norm": ("max_norm", "zeros"),
    "clip_by_global_norm": ("max_norm", "zeros"),
    "clip_by_block_rms": ("threshold", "zeros"),
    "adaptive_grad_clip": ("clipping", "zeros"),
    "scale_by_backtracking_linesearch": ("max_learning_rate", "zeros"),
    "add_noise": ("eta", "unchanged"),
    "add_decayed_weights": ("weight_decay", "unchanged"),
    "scale_by_learning_rate": ("learning_rate", "zeros"),
}


@pytest.mark.parametrize(("name", "argument", "limit"), [(k, *v) for k, v in LIMITS.items()])
def test_an_end_has_the_limit_of_the_formula(name, argument, limit):
    (((got, _), _),) = both(ENTRIES[name], argument, [0.0])
    if limit == "zeros":
        assert not got.any()
    elif limit == "unchanged":
        np.testing.assert_array_equal(got, GRADS[1])
    assert np.isfinite(got).all()


def test_a_z_score_of_zero_clips_to_the_mean():
    tx = gradtx.clip_by_z_score(0.0, warmup_steps=2)
    state = tx.init(jnp.zeros(1))
    for norm in (1.0, 3.0, 4.0):
        u, state = tx.update(jnp.array([norm]), state)
    np.testing.assert_allclose(u, [2.0], rtol=1e-6)


def test_a_spike_is_whatever_is_above_the_mean_with_k_sigma_0():
    tx = gradtx.skip_spikes(gradtx.sgd(1.0), k_sigma=0.0, window=2)
    state, out = tx.init(jnp.zeros(1)), []
    for norm in (1.0, 3.0, 2.5, 1.5):
        u, state = tx.update(jnp.array([norm]), state)
        out.append(float(u[0]))
    assert out == [-1.0, -3.0, 0.0, -1.5]


class TestDebugChecks:
    def test_a_rate_that_is_mapped_over(self):
        def step(rate):
            tx = gradtx.sgd(rate)
            return tx.update(jnp.ones(2), tx.init(jnp.ones(2)))[0]

        jax.vmap(step)(jnp.array([-0.1, 0.1]))  # ascends without a word
        with gradtx.debug_checks():
            error, _ = checkify.checkify(jax.vmap(step))(jnp.array([-0.1, 0.1]))
        assert "learning_rate must be finite and at least 0; got -0.1" in str(error.get())

    def test_a_vmap_outside_jit_needs_no_checkify(self):
        """Its numbers are known; those of the others are named too."""
        words = r"sgd: scale_by_learning_rate: learning_rate must be finite and at least 0; got \[-0\.1 +0\.1\]"
        with gradtx.debug_checks():
            with pytest.raises(ValueError, match=f"^{words}"):
                jax.vmap(gradtx.sgd)(jnp.array([-0.1, 0.1]))
            with pytest.raises(ValueError, match=r"b1 must be in \[0, 1\); got \[0\.9 1\. +\]"):
                jax.vmap(lambda b1: gradtx.adam(0.1, b1))(jnp.array([0.9, 1.0]))
            assert jax.vmap(gradtx.sgd)(jnp.array([0.2, 0.1])).learning_rate.shape == (2,)

    def test_outside_and_without_checkify_nothing_changes(self):
        tx = gradtx.sgd(gradtx.linear_schedule(0.1, 0.2, 2))

        def step(g, s):
            return tx.update(g, s)

        state = tx.init(jnp.ones(1))
        plain = jax.make_jaxpr(step)(jnp.ones(1), state)
        with gradtx.debug_checks():
            checked = jax.make_jaxpr(lambda g, s: step(g, s))(jnp.ones(1), state)
            np.testing.assert_allclose(jax.jit(lambda g, s: step(g, s))(jnp.ones(1), state)[0], -0.1)
        assert "check" not in str(plain)
        assert "check" in str(checked)
        assert str(jax.make_jaxpr(lambda g, s: step(g, s))(jnp.ones(1), state)) == str(plain)

    def test_bounds_that_cross(self):
        tx = gradtx.scale_by_rprop(
            0.1, min_step_size=gradtx.piecewise_constant_schedule(0.1, {1: 10.0}), max_step_size=0.5
        )
        g, state = jnp.ones(1), tx.init(jnp.ones(1))
        state = gradtx.set_count(state, 2)
        with pytest.raises(
            ValueError, match=r"min_step_size must not be greater than max_step_size; got 1.0 and 0.5; min_"
        ):
            tx.update(g, state)
        with gradtx.debug_checks():
            error, _ = jax.jit(checkify.checkify(lambda s: tx.update(g, s)))(state)
        assert "min_step_size must not be greater than max_step_size; got 1.0 and 0.5; min_" in error.get()
        assert "{1: 10.0}), and this is step 2" in error.get()

    def test_a_schedule_that_begins_outside(self):
        with pytest.raises(ValueError, match=r"got -1.0; max_norm follows linear_schedule\(.*\), and this is step 0"):
            gradtx.clip_by_global_norm(gradtx.linear_schedule(-1.0, 1.0, 2))
