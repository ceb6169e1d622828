"""Predict Python source code: the next token from the last one, the next character from those before it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks import data
from gradtx.apps.race.tasks.networks import Shape, cross_entropy, next_logits, transformer

TOKENS, RANK, PAIRS, BIGRAM_STEPS = 256, 32, 128, 300
CHARACTERS, CONTEXT, WINDOWS, CHARACTER_STEPS, HELD_OUT_WINDOWS = 96, 32, 8, 150, 64
SHAPE = Shape(tokens=CHARACTERS, context=CONTEXT, width=32, heads=2, hidden=64, layers=2)


def bigram() -> Task:
    """The next token from the last one: a row of a table, times a matrix."""
    found = data.tokens(TOKENS, words=True)
    counts = np.zeros((TOKENS, TOKENS), np.float32)
    np.add.at(counts, (found.held_out[:-1], found.held_out[1:]), 1 / (len(found.held_out) - 1))

    def start(seed: jax.Array) -> dict[str, jax.Array]:
        table, matrix = jax.random.split(jax.random.key(seed))
        return {
            "table": jax.random.normal(table, (TOKENS, RANK), jnp.float32),
            "matrix": jax.random.normal(matrix, (RANK, TOKENS), jnp.float32) / jnp.sqrt(float(RANK)),
            "biases": jnp.zeros(TOKENS, jnp.float32),
        }

    def scores(params: dict[str, jax.Array], token: Any) -> jax.Array:
        return params["table"][token] @ params["matrix"] + params["biases"][None, :]

    def score(params: dict[str, jax.Array]) -> jax.Array:
        log_p = jax.nn.log_softmax(scores(params, slice(None)))
        return -jnp.sum(jnp.asarray(counts, log_p.dtype) * log_p)

    return Task(
        name="bigram",
        about=f"The next of {TOKENS} tokens of Python source from the last one: its row of a table, times a matrix. "
        f"Each batch has {PAIRS} pairs, so most batches contain the frequent tokens, and few the rare ones.",
        unit="nats per token",
        steps=BIGRAM_STEPS,
        every=BIGRAM_STEPS // 20,
        target=2.75,
        rates=11,
        seeds=3,
        start=start,
        batches=lambda seed: _windows(found.train, seed, (BIGRAM_STEPS, PAIRS), 2),
        loss=lambda params, batch: cross_entropy(scores(params, batch[:, 0]), batch[:, 1]),
        score=score,
        full_batch=False,
        sources=data.text_sources(),
    )


def characters() -> Task:
    """The next character from those before it: a small transformer."""
    found = data.tokens(CHARACTERS, words=False)
    places = np.linspace(0, len(found.held_out) - CONTEXT - 1, HELD_OUT_WINDOWS).astype(int)
    held_out = found.held_out[places[:, None] + np.arange(CONTEXT + 1)]

    def loss(params: Any, batch: jax.Array) -> jax.Array:
        scores = next_logits(params, batch[:, :-1], SHAPE.heads)
        return cross_entropy(scores.reshape(-1, CHARACTERS), batch[:, 1:].reshape(-1))

    return Task(
        name="characters",
        about=f"The next of {CHARACTERS} characters of Python source from up to {CONTEXT} before it: a causal "
        f"transformer of {SHAPE.layers} layers and width {SHAPE.width}, {WINDOWS} windows a batch.",
        unit="nats per character",
        steps=CHARACTER_STEPS,
        every=CHARACTER_STEPS // 15,
        target=2.8,
        rates=5,
        seeds=3,
        start=lambda seed: transformer(jax.random.key(seed), SHAPE),
        batches=lambda seed: _windows(found.train, seed, (CHARACTER_STEPS, WINDOWS), CONTEXT + 1),
        loss=loss,
        score=lambda params: loss(params, jnp.asarray(held_out)),
        full_batch=False,
        sources=data.text_sources(),
    )


def _windows(tokens: np.ndarray, seed: jax.Array, shape: tuple[int, ...], length: int) -> jax.Array:
    """Pieces of the text at random places, `[*shape, length]`."""
    key = jax.random.fold_in(jax.random.key(seed), 1)
    places = jax.random.randint(key, (*shape, 1), 0, len(tokens) - length + 1, jnp.int32)
    within = jnp.arange(length, dtype=jnp.int32).reshape(*(1 for _ in shape), length)
    return jnp.asarray(tokens)[places + within]
