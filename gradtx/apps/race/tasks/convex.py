"""Logistic regression on two small data sets of scikit-learn: convex, with an optimum that is known to 1e-10."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks import network
from gradtx.apps.race.tasks.data import Table, fingerprint, load_table
from gradtx.apps.race.torch_engine import import_torch, torch_task
from gradtx.core.numerics import double_precision

L2, GAP = 1e-3, 1e-3
"""The factor of half the sum of squared parameters; the distance of the target from the optimum."""


def breast_cancer() -> Task:
    """Two classes and 30 features, many of them correlated."""
    return _regression("breast_cancer", "30 measurements of 569 tumours, many of them alike: benign or malignant")


def wine() -> Task:
    """Three classes, 13 features."""
    return _regression("wine", "13 measurements of 178 wines: which of three growers")


def objective(layers: list[network.Layer], table: Table) -> jax.Array:
    """The cross-entropy of one layer on the whole table, with L2 regularization, so that there is one optimum."""
    w = layers[0].weights
    squares = sum(jnp.sum(p * p) for p in layers[0])
    scores = network.logits(layers, jnp.asarray(table.x, w.dtype))
    return network.cross_entropy(scores, jnp.asarray(table.y)) + L2 / 2 * squares


def minimum(value: Callable[[Any], jax.Array], params: Any, tolerance: float = 1e-10, steps: int = 1000) -> Any:
    """The minimum that `lbfgs` finds in float64.

    Args:
        value: a function of the parameters, for any float type.
        params: the start.
        tolerance: the greatest norm of the gradient at the end.
        steps: at most.

    Raises: ArithmeticError: the steps were not enough.
    """
    tx, slope = gradtx.lbfgs(), gradtx.value_and_grad_from_state(value)

    def step(carry: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        w, state, _, t = carry
        f, g = slope(w, state=state)
        updates, state = tx.update(g, state, w, value=f, grad=g, value_fn=value)
        return gradtx.apply_updates(w, updates), state, gradtx.global_norm(g), t + 1

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
    """The lowest value of the objective on a table of `load_table`."""
    table = load_table(name)
    shape = (table.x.shape[1], int(table.y.max()) + 1)
    zeros = [network.Layer(jnp.zeros(shape), jnp.zeros(shape[1:]))]
    best = minimum(lambda layers: objective(layers, table), zeros)
    with double_precision():
        return float(objective(jax.tree.map(jnp.asarray, best), table))


def _regression(name: str, about: str) -> Task:
    table, least = load_table(name), optimum(name)
    sizes = (table.x.shape[1], int(table.y.max()) + 1)

    def start(seed: jax.Array) -> list[network.Layer]:
        return network.initial(jax.random.key(seed), sizes)

    def torch_loss(parameters: list[Any], batch: None) -> Any:
        torch, (weights, biases) = import_torch(), parameters
        scores = torch.from_numpy(table.x).to(weights.dtype) @ weights + biases[..., None, :]
        of_truth = scores[..., torch.arange(len(table.y)), torch.from_numpy(table.y).long()]
        squares = (weights**2).sum((-1, -2)) + (biases**2).sum(-1)
        return (torch.logsumexp(scores, -1) - of_truth).mean(-1) + L2 / 2 * squares

    return Task(
        name=name,
        about=f"Logistic regression, {about}. Standardized, all data at every step, L2 of {L2}; the score is the "
        "distance from the optimum, which L-BFGS finds in float64.",
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
