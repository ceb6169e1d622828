"""Float64 loops of the averaging wrappers, written from the papers, and the walk along which they are compared."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from tests.transforms.agreement import enable_x64


def walk(tx: Any, gs: Any, w0: Any, read: Callable[[Any, Any], Any] = lambda state, w: (), **extra: Any) -> tuple:
    """The parameters after each of these gradients, and what `read(state, params)` says after each: one scan."""

    @jax.jit
    def scan(gs: Any, w0: Any) -> Any:
        def step(carry: Any, g: Any) -> Any:
            w, state = carry
            updates, state = tx.update(g, state, w, **extra)
            w = gradtx.apply_updates(w, updates)
            return (w, state), (w, read(state, w))

        return jax.lax.scan(step, (w0, tx.init(w0)), gs)[1]

    return scan(jnp.asarray(gs), jnp.asarray(w0))


def assert_path_is(tx: Any, want: np.ndarray, gs: np.ndarray, w0: np.ndarray) -> None:
    """1,000 steps in float32 within what the docstring says, and in float64 to 1e-11 of the largest parameter."""
    size = np.maximum.accumulate(np.abs(want).max((1, 2)))[:, None, None]
    text = " ".join(tx.made_by.__doc__.split())
    (bound,) = re.findall(r"Within (\d+) ulp of the largest parameter (?:so far )?over 1,000 steps", text)
    off = np.abs(np.asarray(walk(tx, gs, w0)[0], np.float64) - want) / np.spacing(size.astype(np.float32))
    assert off.max() <= int(bound)
    with enable_x64(True):
        got = np.asarray(walk(tx, gs.astype(np.float64), w0.astype(np.float64))[0])
    assert np.max(np.abs(got - want) / size) <= 1e-11


def ulps(got: Any, want: np.ndarray, path: np.ndarray) -> float:
    """The largest error in ulp of float32 at the size of the largest parameter of each entry so far."""
    size = np.maximum(np.maximum.accumulate(np.abs(path.astype(np.float64))), np.abs(want))
    unit = np.spacing(np.maximum(size, np.finfo(np.float32).tiny).astype(np.float32)).astype(np.float64)
    return float(np.max(np.abs(np.asarray(got, np.float64) - want) / unit))


def averages(
    path: np.ndarray, w0: Any, decay: float | None, start: int = 0, every: int = 1, debias: bool = True
) -> np.ndarray:
    """The average after each step, from the definition: a weighted sum of what was taken, by its weights."""
    path, taken, out, first = path.astype(np.float64), [], [], np.asarray(w0, np.float64)
    for t, w in enumerate(path, 1):
        if t <= start:
            first = w
        elif (t - start) % every == 0:
            taken.append(t - 1)
        n, rows = len(taken), path[taken]
        if n == 0:
            out.append(first)
        elif decay is None:
            out.append(rows.mean(axis=0))
        else:
            weights = (1 - decay) * decay ** np.arange(n - 1.0, -1.0, -1.0)
            if not debias:
                weights, rows = np.append(decay**n, weights), np.concatenate([first[None], rows])
            out.append(weights / weights.sum() @ rows)
    return np.array(out)


def lookahead_sgd(gs: np.ndarray, w0: Any, rate: float, k: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Zhang et al. 2019, algorithm 1, with gradient descent inside: the fast and the slow weights after each step."""
    fast = slow = np.asarray(w0, np.float64)
    fasts, slows = [], []
    for t, g in enumerate(gs.astype(np.float64), 1):
        fast = fast - rate * g
        if t % k == 0:
            slow = slow + alpha * (fast - slow)
            fast = slow
        fasts.append(fast)
        slows.append(slow)
    return np.array(fasts), np.array(slows)


def schedule_free_sgd(
    grad: Callable[[int, np.ndarray], np.ndarray],
    w0: Any,
    steps: int,
    rate: Callable[[int], float],
    b1: Callable[[int], float] = lambda t: 0.9,
    power: float = 2.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Defazio et al. 2024, equations 3 to 5, keeping x, y and z: y and x after each step.

    `grad(t, y)` is the gradient of step t, counted from 0; y is mixed with the b1 of the step that makes it.
    """
    x = y = z = np.asarray(w0, np.float64)
    largest = total = 0.0
    ys, xs = [], []
    for t in range(steps):
        z = z - rate(t) * np.asarray(grad(t, y), np.float64)
        largest = max(largest, rate(t))
        weight = largest**power
        total += weight
        c = weight / total if total else 0.0
        x = (1 - c) * x + c * z
        y = (1 - b1(t)) * z + b1(t) * x
        ys.append(y)
        xs.append(x)
    return np.array(ys), np.array(xs)


def sam_sgd(grad: Callable[[np.ndarray], np.ndarray], w0: Any, steps: int, rate: float, rho: float) -> np.ndarray:
    """Foret et al. 2021, algorithm 1, with gradient descent inside: the parameters after each step."""
    w, out = np.asarray(w0, np.float64), []
    for _ in range(steps):
        g = grad(w)
        norm = math.sqrt(float(np.sum(g * g)))
        w = w - rate * grad(w + rho * g / norm if norm else w)
        out.append(w)
    return np.array(out)


def plateau(
    values: Any,
    factor: float = 0.1,
    patience: int = 10,
    rtol: float = 1e-4,
    atol: float = 0.0,
    cooldown: int = 0,
    accumulation_size: int = 1,
    min_scale: float = 0.0,
) -> np.ndarray:
    """The scale after each value, as a plain loop with branches."""
    scale, best, bad, wait, window, out = 1.0, math.inf, 0, 0, [], []
    for value in values:
        window.append(float(value))
        if len(window) == accumulation_size:
            mean, window = sum(window) / len(window), []
            if mean < (best if best == math.inf else best - rtol * abs(best) - atol):
                best, bad = mean, 0
            else:
                bad += 1
            if wait > 0:
                wait, bad = wait - 1, 0
            if bad >= patience:
                scale, bad, wait = max(factor * scale, min_scale), 0, cooldown
        out.append(scale)
    return np.array(out)
