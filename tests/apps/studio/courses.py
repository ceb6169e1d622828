"""Trajectories of gradtx's own transformations on the functions that are typed into the page, in double precision."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.apps.studio.offered import OFFERED
from gradtx.apps.studio.programs import described
from tests.apps.studio import browser
from tests.double import enable_x64

STEPS = 200
FUNCTIONS = {
    "3*w1^2 + 10*w2^2": lambda w: 3 * w[0] ** 2 + 10 * w[1] ** 2,
    "sin(w1) + cos(w2)": lambda w: jnp.sin(w[0]) + jnp.cos(w[1]),
    "(1 - w1)^2 + (w2 - w1^2/20)^2": lambda w: (1 - w[0]) ** 2 + (w[1] - w[0] ** 2 / 20) ** 2,
}


def courses(name: str, settings: list[dict[str, Any]], functions: list[str], starts: list[list[float]]) -> list[dict]:
    """What the page calls a trajectory, for several settings that agree in all that chooses between programs.

    Args:
        name: of the optimizer.
        settings: its hyperparameters, by name.
        functions: the text of the function of each.
        starts: the starting point of each.
    """
    static = {key: settings[0][key] for key, slider in OFFERED[name].ranges.items() if slider.is_static}
    numbers = [{key: x for key, x in chosen.items() if key not in static} for chosen in settings]
    assert all(chosen.items() >= static.items() for chosen in settings)
    with enable_x64(True):
        batch = {key: jnp.asarray([float(chosen[key]) for chosen in numbers]) for key in numbers[0]}
        indices = jnp.asarray([list(FUNCTIONS).index(text) for text in functions])
        run = jax.jit(jax.vmap(functools.partial(_course, name, static)))
        w, error, s = jax.tree.map(np.asarray, run(batch, indices, jnp.asarray(starts, float)))
    return [{"w": w[k], "error": error[k], "s": {key: x[k] for key, x in s.items()}} for k in range(len(settings))]


def require_course(page: Any, name: str) -> None:
    """What the page draws of an optimizer is what gradtx does with the settings of the page."""
    now, found = browser.settings(page), browser.trajectory(page, name)
    (ours,) = courses(name, [now["h"][name]], [now["f"]], [now["start"]])
    np.testing.assert_allclose(found["w"], ours["w"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["error"], ours["error"], rtol=1e-9, atol=1e-9)


@jax.jit  # traced once for all optimizers
def _value_and_gradient(index: Any, w: Any) -> Any:
    return jax.lax.switch(index, [jax.value_and_grad(f) for f in FUNCTIONS.values()], w)


def _course(name: str, static: dict, numbers: dict, index: Any, start: Any) -> Any:
    tx = OFFERED[name].make(**static, **numbers)

    def step(carry: Any, _: None) -> Any:
        w, state = carry
        error, g = _value_and_gradient(index, w)
        updates, new = tx.update(g, state, w, value=error)
        return (gradtx.apply_updates(w, updates), new), (w, error, _fields(state))

    return jax.lax.scan(step, (start, tx.init(start)), length=STEPS + 1)[1]


def _fields(state: Any) -> dict[str, Any]:
    """The arrays of a state, by the names that they have on the page."""
    leaves = zip(described(state), jax.tree.leaves(state), strict=True)
    return {field.name: leaf for field, leaf in leaves if leaf.shape}
