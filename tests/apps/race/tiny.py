"""Tasks so small that a plain Python loop can follow them."""

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.race.contenders import contenders
from gradtx.apps.race.task import Task, torch_task

KNOWN = contenders()
FULL_BATCH = next(c.name for c in KNOWN.values() if c.full_batch)  # one that compares the signs of gradients
OURS = {c.name: c.make(1.0).extras.needed for c in KNOWN.values() if c.library == "gradtx"}
ASKING = {extra: next(name for name, needed in OURS.items() if extra in needed) for extra in ("value", "value_fn")}


def start(seed):
    return jax.random.uniform(jax.random.key(seed), (2,), jnp.float32, -2.0, 2.0)


def plain(**changes):
    """The bowl w1² + 10·w2², without noise; torch may run on it."""

    def value(w):
        return w[..., 0] ** 2 + 10 * w[..., 1] ** 2

    fields = {
        "name": "tiny",
        "about": "A bowl.",
        "unit": "value",
        "steps": 6,
        "every": 2,
        "target": 0.1,
        "rates": 3,
        "seeds": 2,
        "start": start,
        "loss": lambda w, batch: value(w),
        "score": value,
        "torch": torch_task(start, lambda parameters, batch: value(parameters[0])),
    }
    return Task(**{**fields, **changes})


def noisy(**changes):
    """A tree of two leaves pulled to targets that change from step to step, in a box."""

    def of(seed):
        return {"a": start(seed), "b": jnp.zeros((), jnp.float32)}

    def batches(seed):
        return jax.random.normal(jax.random.key(seed + 100), (6, 3), jnp.float32)

    def loss(w, pull):
        return jnp.sum((w["a"] - pull[:2]) ** 2) + 3 * (w["b"] - pull[2]) ** 2

    def project(w):
        return jax.tree.map(lambda x: jnp.clip(x, -1.0, 1.0), w)

    fields = {
        "start": of,
        "batches": batches,
        "loss": loss,
        "score": lambda w: jnp.sum(w["a"] ** 2) + w["b"] ** 2,
        "project": project,
        "torch": None,
        "full_batch": False,
    }
    return plain(**{**fields, **changes})


def assert_same_cell(one, other):
    """All but the seconds, to the bit."""
    assert (one.task, one.optimizer, one.library) == (other.task, other.optimizer, other.library)
    for name in ("rates", "at", "scores"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
