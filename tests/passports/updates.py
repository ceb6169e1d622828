"""How exact updates are, and what becomes of them under gradients on which methods are known to fail."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from tests.passports.measured import Subject
from tests.transforms import agreement

STEPS, AT, SHAPE = 300, 20, (4, 3)
"""Of the trials: the number of steps, the step at which something happens, the parameter."""

TRIALS = {
    "zero first gradient": "largest entry of the first update",
    "gradients of 1e-20": "length of the steps with all gradients 1e20 times smaller, divided by the usual one",
    "gradients times 1000": "length of the steps with all gradients 1,000 times larger, divided by the usual one",
    "gradients of 1e25": "largest entry of an update when all gradients are 1e25 times larger",
    "one gradient of 1e25": "steps until the updates have their usual length again, to a factor of two; infinite: not "
    f"within {STEPS - AT - 1} steps",
    "one NaN": f"how many of the {np.prod(SHAPE)} entries of an update are not finite, {STEPS - AT - 1} steps after a "
    "NaN in one gradient",
    "rare feature": "distance moved by a row whose gradient is 1 in one of 50 steps and else 0, divided by that of a "
    "row where it is always 1",
}
"""What is done, and what the number is. The parameter is a matrix of 4 x 3 that moves; usual gradients are normal draws
around 1."""


def streams() -> np.ndarray:
    """The gradients of all trials, `[trials, steps, *shape]`, those that are usual first."""
    usual = np.random.default_rng(0).normal(1.0, 1.0, (STEPS, *SHAPE))
    late, spike, broken = usual.copy(), usual.copy(), usual.copy()
    late[0], broken[AT, 1, 1] = 0.0, np.nan
    spike[AT] *= 1e25
    rare = np.ones((STEPS, *SHAPE))
    rare[:, 0] = (np.arange(STEPS) % 50 == 0)[:, None]
    return np.stack([usual, late, usual * 1e-20, usual * 1e3, usual * 1e25, spike, broken, rare]).astype(np.float32)


def trials(subject: Subject) -> dict[str, float]:
    """The number of each trial."""
    tx, start = subject.tx, jnp.asarray(np.linspace(0.5, 1.5, 12).reshape(SHAPE), jnp.float32)

    def step(carry: Any, g: Any) -> tuple[Any, Any]:
        w, state = carry
        u, state = tx.update(g, state, w, **subject.extras(g))
        return (gradtx.apply_updates(w, u), state), u

    def of_stream(gs: Any) -> Any:
        return jax.lax.scan(step, (start, tx.init(start)), gs)[1]

    us = np.asarray(jax.jit(functools.partial(jax.lax.map, of_stream))(streams()), np.float64)
    usual, late, small, large, huge, spike, broken, rare = range(len(us))
    lengths = np.sqrt((us**2).sum((2, 3)))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        other = ~(np.abs(np.log2(lengths[spike, AT + 1 :] / lengths[usual, AT + 1 :])) <= 1.0)
        way = np.abs(us[rare]).sum((0, 2))
        found = (
            np.max(np.abs(us[late, 0])),
            lengths[small, -100:].sum() / lengths[usual, -100:].sum(),
            lengths[large, -100:].sum() / lengths[usual, -100:].sum(),
            np.max(np.abs(us[huge])),
            np.inf if other[-1] else float(np.max(np.flatnonzero(other) + 1, initial=0)),
            float(np.sum(~np.isfinite(us[broken, -1]))),
            way[0] / way[1],
        )
    return dict(zip(TRIALS, map(float, found), strict=True))


def ulp(subject: Subject) -> list[float]:
    """The largest and the median error of an update in float32 against float64, as `agreement.ulps` counts it."""
    matrix = subject.tx.traits.needs_matrices
    gs = _for_matrices() if matrix else agreement.gradients()
    w = np.linspace(-3.0, 3.0, gs[0].size).reshape(gs[0].shape)
    got = _run(subject, gs, w, np.float32)
    want, size = _run(subject, gs, w, np.float64), _run(subject, np.abs(gs), np.abs(w), np.float64)  # nothing cancels
    size = np.max(np.abs(want), axis=tuple(range(1, want.ndim)), keepdims=True) if matrix else np.abs(size)
    each = agreement.ulps_of_each(got, want, size)
    return [float(np.max(each)), float(np.median(each))]


def _for_matrices() -> np.ndarray:
    """Matrices with some signal and singular values that are not far apart."""
    rng = np.random.default_rng(1)
    return (rng.normal(size=(6, 8)) + rng.normal(size=(agreement.STEPS, 6, 8))).astype(np.float32)


def _run(subject: Subject, gs: np.ndarray, w: np.ndarray, dtype: Any) -> np.ndarray:
    """The updates of all steps; the parameters stay where they are."""
    with agreement.enable_x64(dtype == np.float64):

        @jax.jit
        def scan(gs: Any, w: Any) -> Any:
            def step(state: Any, g: Any) -> tuple[Any, Any]:
                u, state = subject.tx.update(g, state, w, **subject.extras(g))
                return state, u

            return jax.lax.scan(step, subject.tx.init(w), gs)[1]

        return np.asarray(scan(jnp.asarray(gs, dtype), jnp.asarray(w, dtype)), np.float64)
