"""Run an optimizer on a function, and record its path, the values and its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.leaves import apply_updates
from gradtx.core.transformation import as_transformation
from gradtx.core.trees import path_name, shape_of
from gradtx.errors import whole
from gradtx.placement import mirrors
from gradtx.plots.surface import require_function


class Trajectory(NamedTuple):
    """A run. Entry t of each array is after t updates; entry 0 is the start.

    path: `[steps + 1, d]`, in the dtype of the start. values: `[steps + 1]`, of the function. states: name ->
    `[steps + 1, d]`, each leaf of the state with the shape of the parameters, under its own name (`nu`), or under its
    path (`scale_by_rms/nu`) if several leaves have that name.
    """

    path: np.ndarray
    values: np.ndarray
    states: dict[str, np.ndarray]

    @property
    def diverged(self) -> int | None:
        """The first step after which the path or the value is not finite; None where both stay so."""
        bad = ~(np.isfinite(self.values) & np.isfinite(self.path).all(axis=1))
        return int(np.argmax(bad)) if bad.any() else None


def trajectory(tx: Any, function: Callable[[Any], Any], start: Any, steps: int) -> Trajectory:
    """Run a transformation on a function, all steps in one program.

    Args:
        tx: a transformation, gradtx's or optax's. Those that ask for the value, its gradient and the function, as line
            searches do, are given them.
        function: `w -> scalar` to descend, of an array `[d]`.
        start: w(0), `[d]`, finite; its dtype is that of the arithmetic: float64 with `jax_enable_x64`.
        steps: updates; at least 1.

    Returns: a `Trajectory`. It goes on after numbers are no longer finite; see its `diverged`.
    Raises: TypeError: a function that does not return one real number. ValueError: `start` is not a vector of finite
        real numbers, the function has another number of variables, or it or its gradient is not finite at the start.

    Example:
        >>> import gradtx
        >>> bowl = lambda w: 3 * w[0] ** 2 + 10 * w[1] ** 2
        >>> course = gradtx.plots.trajectory(gradtx.rmsprop(0.05), bowl, [-15.0, 20.0], steps=2)
        >>> print(course.path.round(2)[1], course.states["nu"][1])
        [-14.84  19.84] [  810. 16000.]
    """
    tx = as_transformation("tx", tx)
    whole(1, steps=steps)
    w = jnp.asarray(start)
    if w.ndim != 1 or not w.size or not jnp.issubdtype(w.dtype, jnp.floating):
        raise ValueError(f"start must be a vector of real numbers, as [-15.0, 20.0]; got shape {w.shape}, {w.dtype}")
    if not bool(jnp.isfinite(w).all()):
        raise ValueError(f"start must be finite; got {np.asarray(w)}")
    require_function(function, w.size, w.dtype)
    value, slope = jax.value_and_grad(function)(w)
    for what, found in (("the function", value), ("the gradient of the function", slope)):
        if not bool(jnp.isfinite(found).all()):
            raise ValueError(f"{what} is not finite at the start {np.asarray(w)}: it is {np.asarray(found)}")

    def step(carry: Any, _: Any) -> tuple[Any, Any]:
        w, state = carry
        value, slope = jax.value_and_grad(function)(w)
        updates, state = tx.update(slope, state, w, value=value, grad=slope, value_fn=function)
        w = apply_updates(w, updates)
        return (w, state), (w, value, _like(w, state))

    @jax.jit
    def run(w: Any) -> Any:
        state = tx.init(w)
        (end, _), (path, values, states) = jax.lax.scan(step, (w, state), length=steps)
        return (w, _like(w, state)), (path, states), values, function(end)

    first, rest, values, last = run(w)
    path, states = jax.tree.map(lambda a, b: np.concatenate([np.asarray(a)[None], np.asarray(b)]), first, rest)
    return Trajectory(path, np.append(np.asarray(values), np.asarray(last)), states)


def _like(w: Any, state: Any) -> dict[str, Any]:
    """The leaves of a state with the shape of the parameters, by name."""
    found = [row for row in mirrors(w, state) if row.parameter is not None and shape_of(row.leaf) == w.shape]
    names = [path_name(row.path[-1:]) for row in found]
    return {
        name if names.count(name) == 1 else path_name(row.path): row.leaf
        for name, row in zip(names, found, strict=True)
    }
