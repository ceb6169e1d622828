"""The optimizer's share of a step of GPT-2 small in seconds: `python -m tests.benchmarks.share --seconds`.

The gradients are those of a whole forward and backward pass in float32: 124 million parameters, one sequence. An
optimizer steps all parameters with these gradients. The leaves of one shape are in a program of their own, one program
after another, so that SOAP fits into 8 GB. New bases and roots are measured for the matrices of one of the twelve
blocks, which are computed one after another. The program is the same; only the counts in the state differ. Compilation
is left out, and so are the decompositions of the first step.
"""

from __future__ import annotations

import functools
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

import gradtx
from tests.benchmarks import shapes
from tests.benchmarks.report import machine
from tests.benchmarks.sides import one_step

TITLE = "## In seconds"
HEADS, TOKENS, PERIOD = 12, 128, 10
PLAIN = PERIOD + 1  # a count at which nothing is new
BLOCK = 12
"""Leaves of a block."""

HIDDEN = {
    "AdamW": gradtx.adamw(1e-3),
    "Muon": gradtx.muon(1e-3, exclude=()),
    "SOAP": gradtx.soap(1e-3, every=PERIOD),
    "Shampoo": gradtx.shampoo(1e-3, every=PERIOD, start=PERIOD),
}
"""For hidden matrices; embeddings and vectors get AdamW."""

REFRESHED = ("SOAP", "Shampoo")


def loss_of(params: list[jax.Array], tokens: jax.Array) -> jax.Array:
    """GPT-2 without dropout: the mean cross entropy of the next token; the parameters are those of `shapes.gpt2`."""
    table, positions, *rest, last, last_shift = params
    h = table[tokens] + positions[: len(tokens)]
    for k in range(0, len(rest), BLOCK):
        g1, b1, qkv, qkv_b, out, out_b, g2, b2, up, up_b, down, down_b = rest[k : k + BLOCK]
        parts = jnp.split(_norm(h, g1, b1) @ qkv + qkv_b[None], 3, axis=-1)
        q, key, v = (x.reshape(len(tokens), HEADS, -1) for x in parts)
        seen = jax.nn.dot_product_attention(q, key, v, is_causal=True)
        h = h + seen.reshape(h.shape) @ out + out_b[None]
        h = h + jax.nn.gelu(_norm(h, g2, b2) @ up + up_b[None]) @ down + down_b[None]
    logs = jax.nn.log_softmax(_norm(h, last, last_shift)[:-1] @ table.T)
    return -jnp.mean(jnp.take_along_axis(logs, tokens[1:, None], 1))


def _norm(x: jax.Array, gain: jax.Array, shift: jax.Array) -> jax.Array:
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * gain[None] + shift[None]


def started(layers: int) -> list[jax.Array]:
    """GPT-2's own start: matrices with standard deviation 0.02, gains 1, shifts 0."""
    keys = jax.random.split(jax.random.key(0), 2 + BLOCK * layers + 2)
    gains = {2 + BLOCK * k + j for k in range(layers) for j in (0, 6)} | {len(keys) - 2}
    return [
        jax.random.normal(key, shape) * 0.02 if len(shape) == 2 else jnp.full(shape, float(place in gains))
        for place, (key, shape) in enumerate(zip(keys, shapes.gpt2(layers), strict=True))
    ]


def best(run: Callable[[], Any], budget: float = 1.0) -> float:
    """Seconds of the fastest run, of those that begin within the budget."""
    took, since = [], time.perf_counter()
    while not took or time.perf_counter() - since < budget:
        start = time.perf_counter()
        jax.block_until_ready(run())
        took.append(time.perf_counter() - start)
    return min(took)


def step_seconds(tx: Any, params: list[jax.Array], grads: list[jax.Array], counts: tuple[int, ...]) -> list[float]:
    """Seconds of a step at each of these counts, in this order."""
    state = _turned(jax.jit(tx.init)(params))
    compiled = jax.jit(one_step(tx), donate_argnums=(0, 1)).lower(params, state, grads).compile()
    held = [(jax.tree.map(jnp.copy, params), state)]

    def run(count: int) -> Any:
        own, state = held.pop()
        held.append(compiled(own, _at(state, count), grads))
        return held[0]

    return [best(functools.partial(run, count)) for count in counts]


def _at(state: Any, count: int) -> Any:
    """The state with this number in all its counts."""

    def leaf(path: Any, x: Any) -> Any:
        return jnp.full_like(x, count) if getattr(path[-1], "name", None) == "count" else x

    return jax.tree_util.tree_map_with_path(leaf, state)


def _turned(state: Any) -> Any:
    """The state with other bases than the identity, since after that eigenvectors are decomposed."""

    def leaf(path: Any, x: Any) -> Any:
        return jnp.flip(x, -1) if getattr(path[-1], "name", None) in ("left", "right") else x

    return jax.tree_util.tree_map_with_path(leaf, state)


def measured(layers: int = 12) -> Iterator[tuple[str, list[float]]]:
    """The seconds of the gradients; of each optimizer's step without new bases; what these take more in one block."""
    params = started(layers)
    tokens = jax.random.randint(jax.random.key(1), (TOKENS,), 0, len(params[0]))
    grads_of = jax.jit(jax.grad(loss_of)).lower(params, tokens).compile()
    grads = jax.block_until_ready(grads_of(params, tokens))
    yield "gradients", [best(lambda: grads_of(params, tokens), 4.0)]
    groups: dict[Any, list[int]] = {}
    for k, x in enumerate(params):
        groups.setdefault(x.shape if k > 1 and x.ndim == 2 else None, []).append(k)

    def of(tx: Any, places: list[int], *counts: int) -> list[float]:
        took = step_seconds(tx, [params[k] for k in places], [grads[k] for k in places], counts)
        print(f"  {len(places)} x {params[places[0]].shape}: {took}", file=sys.stderr, flush=True)
        return took

    others = of(HIDDEN["AdamW"], groups.pop(None), PLAIN)[0]
    for name, tx in HIDDEN.items():
        took = [others + sum(of(tx, places, PLAIN)[0] for places in groups.values())]
        if name in REFRESHED:
            pairs = [of(tx, places[:1], PLAIN, 2 * PERIOD) for places in groups.values()]
            took.append(sum(anew - plain for plain, anew in pairs))
        yield name, took


def table(layers: int = 12) -> str:
    """The figures as Markdown."""
    load, where, found = os.getloadavg()[0], machine(), dict(measured(layers))
    [whole] = found.pop("gradients")
    text = f"""`python -m tests.benchmarks.share --seconds` on {where["processor"]}, {where["cores"]} cores, with JAX
        {where["jax"]}, in float32; load of the machine at the start {load:.1f}. Forward and backward pass of one
        sequence of {TOKENS} tokens through all 124 million parameters: {whole:.2f} s. Embeddings and vectors get AdamW.
        What new bases (SOAP) and roots (Shampoo) take is measured for the matrices of one of the {layers} blocks, which
        are equal. The average is over {PERIOD} steps, of which one has those of all {layers}. So few tokens show
        optimizers at their most expensive: their seconds do not grow with the tokens."""
    lines = [
        TITLE,
        "",
        textwrap.fill(" ".join(text.split()), 120),
        "",
        "| optimizer | seconds of a step | more for one block with new ones | average | share |",
        "|---|---|---|---|---|",
    ]
    for name, (plain, *anew) in found.items():
        mean = plain + layers * sum(anew) / PERIOD
        again = f"{anew[0]:.2f}" if anew else ""
        lines.append(f"| {name} | {plain:.2f} | {again} | {mean:.2f} | {100 * mean / (mean + whole):.0f}% |")
    return "\n".join([*lines, ""])
