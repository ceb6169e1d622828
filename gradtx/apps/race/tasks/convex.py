"""Logistic regression on two small data sets of scikit-learn: convex, with a known optimum."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.apps.race.task import Task, import_torch, torch_task
from gradtx.apps.race.tasks.data import Table, fingerprint, load_table
from gradtx.apps.race.tasks.networks import Layer, cross_entropy, initial, logits

L2, GAP = 1e-3, 1e-3
"""The factor of half the sum of squared parameters; the distance of the target from the optimum."""

OPTIMA = {"breast_cancer": 0.05349245757454838, "wine": 0.026664925707262574}
"""The lowest values of the objectives, computed in float64; a test finds them again with SciPy."""


def breast_cancer() -> Task:
    """Two classes and 30 features, many of them correlated."""
    return _regression("breast_cancer", "30 measurements of 569 tumours, many of them alike: benign or malignant")


def wine() -> Task:
    """Three classes, 13 features."""
    return _regression("wine", "13 measurements of 178 wines: which of three growers")


def objective(layers: list[Layer], table: Table) -> jax.Array:
    """The cross-entropy of one layer on the whole table, with L2 regularization, so that there is one optimum."""
    w = layers[0].weights
    squares = sum(jnp.sum(p * p) for p in layers[0])
    return cross_entropy(logits(layers, jnp.asarray(table.x, w.dtype)), jnp.asarray(table.y)) + L2 / 2 * squares


def _regression(name: str, about: str) -> Task:
    table = load_table(name)
    sizes = (table.x.shape[1], int(table.y.max()) + 1)

    def start(seed: jax.Array) -> list[Layer]:
        return initial(jax.random.key(seed), sizes)

    def torch_loss(parameters: list[Any], batch: None) -> Any:
        torch, (weights, biases) = import_torch(), parameters
        scores = torch.from_numpy(table.x).to(weights.dtype) @ weights + biases[..., None, :]
        of_truth = scores[..., torch.arange(len(table.y)), torch.from_numpy(table.y).long()]
        squares = (weights**2).sum((-1, -2)) + (biases**2).sum(-1)
        return (torch.logsumexp(scores, -1) - of_truth).mean(-1) + L2 / 2 * squares

    return Task(
        name=name,
        about=f"Logistic regression, {about}. Standardized, all data at every step, L2 of {L2}; the score is the "
        "distance from the optimum.",
        unit="nats per example",
        steps=500,
        every=10,
        target=OPTIMA[name] + GAP,
        rates=13,
        seeds=3,
        start=start,
        loss=lambda layers, batch: objective(layers, table),
        score=lambda layers: objective(layers, table),
        lower_bound=OPTIMA[name],
        torch=torch_task(start, torch_loss),
        sources=((f"scikit-learn's {name}", fingerprint(table)),),
    )
