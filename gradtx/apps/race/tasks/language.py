"""Predict what comes next in Python source: the next token from the last one, the next character from those before."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.demo import network
from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks import text, transformer

TOKENS, RANK, PAIRS, BIGRAM_STEPS = 256, 32, 128, 300
CHARACTERS, CONTEXT, WINDOWS, CHARACTER_STEPS, HELD_OUT_WINDOWS = 96, 32, 8, 150, 64
SHAPE = transformer.Shape(tokens=CHARACTERS, context=CONTEXT, width=32, heads=2, hidden=64, layers=2)


def bigram() -> Task:
    """The next token from the last one: a row of a table, times a matrix."""
    found = text.tokens(TOKENS, words=True)
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
        f"Each batch of {PAIRS} pairs touches some rows, common tokens' nearly always, rare ones' seldom.",
        unit="nats per token",
        steps=BIGRAM_STEPS,
        every=BIGRAM_STEPS // 20,
        target=2.75,
        rates=11,
        seeds=3,
        start=start,
        batches=lambda seed: _windows(found.train, seed, (BIGRAM_STEPS, PAIRS), 2),
        loss=lambda params, batch: network.cross_entropy(scores(params, batch[:, 0]), batch[:, 1]),
        score=score,
        full_batch=False,
        sources=text.sources(),
    )


def characters() -> Task:
    """The next character from those before: a small transformer."""
    found = text.tokens(CHARACTERS, words=False)
    places = np.linspace(0, len(found.held_out) - CONTEXT - 1, HELD_OUT_WINDOWS).astype(int)
    held_out = found.held_out[places[:, None] + np.arange(CONTEXT + 1)]

    def loss(params: Any, batch: jax.Array) -> jax.Array:
        scores = transformer.logits(params, batch[:, :-1], SHAPE)
        return network.cross_entropy(scores.reshape(-1, CHARACTERS), batch[:, 1:].reshape(-1))

    return Task(
        name="characters",
        about=f"The next of {CHARACTERS} characters of Python source from up to {CONTEXT} before: a causal transformer "
        f"of {SHAPE.layers} layers and width {SHAPE.width}, {WINDOWS} windows a batch.",
        unit="nats per character",
        steps=CHARACTER_STEPS,
        every=CHARACTER_STEPS // 15,
        target=2.8,
        rates=5,
        seeds=3,
        start=lambda seed: transformer.initial(jax.random.key(seed), SHAPE),
        batches=lambda seed: _windows(found.train, seed, (CHARACTER_STEPS, WINDOWS), CONTEXT + 1),
        loss=loss,
        score=lambda params: loss(params, jnp.asarray(held_out)),
        full_batch=False,
        sources=text.sources(),
    )


def _windows(tokens: np.ndarray, seed: jax.Array, shape: tuple[int, ...], length: int) -> jax.Array:
    """Pieces of the text from places drawn at random, `[*shape, length]`."""
    key = jax.random.fold_in(jax.random.key(seed), 1)
    places = jax.random.randint(key, (*shape, 1), 0, len(tokens) - length + 1, jnp.int32)
    within = jnp.arange(length, dtype=jnp.int32).reshape(*(1 for _ in shape), length)
    return jnp.asarray(tokens)[places + within]
