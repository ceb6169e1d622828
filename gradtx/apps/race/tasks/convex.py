"""Logistic regression on two small data sets that scikit-learn carries: convex, with an optimum known to 1e-10."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.demo import network
from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks.fingerprints import fingerprint
from gradtx.apps.race.tasks.torch_tasks import torch_task
from gradtx.core.apply import apply_updates
from gradtx.core.norms import global_norm
from gradtx.core.numerics import double_precision
from gradtx.optimizers.lbfgs import lbfgs
from gradtx.optional_imports import extra
from gradtx.transforms.from_state import value_and_grad_from_state

L2, GAP = 1e-3, 1e-3
"""The weight of the squared parameters, halved; and how far above the optimum the target is."""


class Table(NamedTuple):
    """x: `[n, features]`, float32, each feature with mean 0 and deviation 1. y: `[n]`, int32, the class."""

    x: np.ndarray
    y: np.ndarray


def breast_cancer() -> Task:
    """Two classes, 30 features that say much the same."""
    return _regression("breast_cancer", "30 measurements of 569 tumours, many of them alike: benign or malignant")


def wine() -> Task:
    """Three classes, 13 features."""
    return _regression("wine", "13 measurements of 178 wines: which of three growers")


def load(name: str) -> Table:
    """A data set of scikit-learn, standardised.

    Args:
        name: `breast_cancer` or `wine`.
    """
    with extra("demo"):
        from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return Table(((x - x.mean(0)) / x.std(0)).astype(np.float32), y.astype(np.int32))


def objective(layers: list[network.Layer], table: Table) -> jax.Array:
    """The cross-entropy of one layer on the whole table, and a little of the squared parameters: so one optimum."""
    w = layers[0].weights
    squares = sum(jnp.sum(p * p) for p in layers[0])
    scores = network.logits(layers, jnp.asarray(table.x, w.dtype))
    return network.cross_entropy(scores, jnp.asarray(table.y)) + L2 / 2 * squares


def minimum(value: Callable[[Any], jax.Array], params: Any, tolerance: float = 1e-10, steps: int = 1000) -> Any:
    """The parameters where `lbfgs` in float64 finds a gradient that is no longer than the tolerance.

    Args:
        value: a function of the parameters, whatever their type of float.
        params: where to begin.
        tolerance: of the gradient's norm. steps: how many it may take.

    Raises:
        ArithmeticError: the steps did not suffice.
    """
    tx, slope = lbfgs(), value_and_grad_from_state(value)

    def step(carry: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        w, state, _, t = carry
        f, g = slope(w, state=state)
        updates, state = tx.update(g, state, w, value=f, grad=g, value_fn=value)
        return apply_updates(w, updates), state, global_norm(g), t + 1

    def unfinished(carry: tuple[Any, Any, Any, Any]) -> jax.Array:
        return (carry[2] > tolerance) & (carry[3] < steps)

    with double_precision():
        w = jax.tree.map(lambda p: jnp.asarray(np.asarray(p), jnp.float64), params)
        first = (w, tx.init(w), jnp.float64(jnp.inf), 0)
        w, _, norm, _ = jax.jit(lambda first: jax.lax.while_loop(unfinished, step, first))(first)
        if not norm <= tolerance:
            raise ArithmeticError(f"the gradient's norm is {float(norm):.2g} after {steps} steps; expected {tolerance}")
        return jax.tree.map(np.asarray, w)


@functools.cache
def optimum(name: str) -> float:
    """The least value of a task's objective, from zero parameters on.

    Args:
        name: as of `load`.
    """
    table = load(name)
    shape = (table.x.shape[1], int(table.y.max()) + 1)
    zeros = [network.Layer(jnp.zeros(shape), jnp.zeros(shape[1:]))]
    best = minimum(lambda layers: objective(layers, table), zeros)
    with double_precision():
        return float(objective(jax.tree.map(jnp.asarray, best), table))


def _regression(name: str, about: str) -> Task:
    table, least = load(name), optimum(name)
    sizes = (table.x.shape[1], int(table.y.max()) + 1)

    def start(seed: jax.Array) -> list[network.Layer]:
        return network.initial(jax.random.key(seed), sizes)

    def torch_loss(parameters: list[Any], batch: None) -> Any:
        with extra("peers"):
            import torch
        weights, biases = parameters
        scores = torch.from_numpy(table.x).to(weights.dtype) @ weights + biases[..., None, :]
        of_truth = scores[..., torch.arange(len(table.y)), torch.from_numpy(table.y).long()]
        squares = (weights**2).sum((-1, -2)) + (biases**2).sum(-1)
        return (torch.logsumexp(scores, -1) - of_truth).mean(-1) + L2 / 2 * squares

    return Task(
        name=name,
        about=f"Logistic regression, {about}. Standardised, all of the data at every step, L2 of {L2}; the gap to the "
        "optimum that L-BFGS finds in float64.",
        unit="nats per example",
        steps=500,
        every=10,
        target=least + GAP,
        rates=13,
        seeds=3,
        start=start,
        loss=lambda layers, batch: objective(layers, table),
        score=lambda layers: objective(layers, table),
        lower_bound=least,
        torch=torch_task(start, torch_loss),
        sources=((f"scikit-learn's {name}", fingerprint(table)),),
    )
