"""Whole train steps: a transformer, in which the optimizer must lose nothing, and a network of many small leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.packing import pack
from tests.benchmarks import shapes
from tests.benchmarks.chains import recipes
from tests.benchmarks.lines import Line, Scale
from tests.benchmarks.sides import one_step
from tests.benchmarks.timing import ratio, time_compilation, time_steps

WIDTH, HEADS, TOKENS, BATCH, VOCABULARY = 128, 4, 64, 4, 256


class Training:
    """A compiled train step of one loss with one optimizer."""

    def __init__(self, loss: Callable[[Any], jax.Array], tx: Any, params: Any):
        update = one_step(tx)

        def step(params: Any, state: Any) -> tuple[Any, Any]:
            return update(params, state, jax.grad(loss)(params))

        self.params = jax.tree.map(jnp.copy, params)
        self.state = jax.jit(tx.init)(self.params)
        self.took, self.compiled = time_compilation(step, self.params, self.state, donate=(0, 1))

    def run(self) -> Any:
        """One train step."""
        self.params, self.state = self.compiled(self.params, self.state)
        return self.params


def transformer(scale: Scale) -> Iterator[Line]:
    """A small transformer: 148 leaves and 2.5 million numbers at the full size."""
    params = transformer_params(scale.layers)
    tokens = jax.random.randint(jax.random.key(0), (BATCH, TOKENS), 0, VOCABULARY)

    def loss(params: Any) -> jax.Array:
        return next_token_loss(params, tokens)

    ours, theirs = (Training(loss, tx, params) for tx in recipes()["adam"][:2])
    times = time_steps({"ours": ours.run, "optax": theirs.run}, 2 * scale.budget)
    leaves, numbers = len(jax.tree.leaves(params)), sum(x.size for x in jax.tree.leaves(params))
    work = f"train step, transformer, {leaves} leaves, {numbers / 1e6:.1f}M"
    yield Line(work, "step / optax", ratio(times["ours"], times["optax"]), note="tx.step")
    yield Line(work, "compile / optax", ratio([ours.took["compile"]], [theirs.took["compile"]]), 1.0)


def many_layers(scale: Scale) -> Iterator[Line]:
    """A deep network of small layers, packed, against optax on the tree."""
    rng = shapes.arrays([(16, 16), (16,)] * scale.deep, 0.1)
    x = shapes.arrays([(32, 16)])[0]

    def loss(params: Any) -> jax.Array:
        h, leaves = x, params.unpack() if hasattr(params, "unpack") else params
        for w, b in zip(leaves[::2], leaves[1::2], strict=True):
            h = h + jnp.tanh(h @ w + b[None, :])
        return jnp.mean(h * h)

    ours, theirs = recipes()["adam"][:2]
    sides = {
        "packed": Training(loss, ours, pack(rng)),
        "ours": Training(loss, ours, rng),
        "optax": Training(loss, theirs, rng),
    }
    times = time_steps({name: side.run for name, side in sides.items()}, 2 * scale.budget)
    work = f"train step, {scale.deep}-layer MLP, {2 * scale.deep} leaves"
    yield Line(f"{work}, packed", "step / optax", ratio(times["packed"], times["optax"]), 0.65)
    took = [sides[name].took["compile"] for name in ("packed", "optax")]
    yield Line(f"{work}, packed", "compile / optax", ratio(took[:1], took[1:]), note="up to 2 is known")
    yield Line(work, "step / optax", ratio(times["ours"], times["optax"]), note="tx.step")


def transformer_params(layers: int, seed: int = 0) -> Any:
    """A dict of arrays: path -> normal numbers of standard deviation 0.02."""
    d = WIDTH
    block = {"q": (d, d), "k": (d, d), "v": (d, d), "o": (d, d), "in": (d, 4 * d), "in_b": (4 * d,), "out": (4 * d, d)}
    block |= {"out_b": (d,), "ln1": (d,), "ln1_b": (d,), "ln2": (d,), "ln2_b": (d,)}
    names = [f"{k:02}/{name}" for k in range(layers) for name in block]
    tree = dict(zip(names, shapes.arrays([*block.values()] * layers, 0.02, seed), strict=True))
    ends = {"embedding": (VOCABULARY, d), "positions": (TOKENS, d), "ln": (d,), "ln_b": (d,)}
    return tree | dict(zip(ends, shapes.arrays([*ends.values()], 0.02, seed + 1000), strict=True))


def _norm(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * (1.0 + scale) + shift


def next_token_loss(p: Any, tokens: jax.Array) -> jax.Array:
    with jax.numpy_rank_promotion("allow"):
        h = p["embedding"][tokens] + p["positions"]
        mask = jnp.tril(jnp.ones((TOKENS, TOKENS), bool))
        for k in range((len(p) - 4) // 12):
            at = {name.split("/")[1]: x for name, x in p.items() if name.startswith(f"{k:02}/")}
            x = _norm(h, at["ln1"], at["ln1_b"])
            q, key, v = ((x @ at[n]).reshape(*tokens.shape, HEADS, -1) for n in ("q", "k", "v"))
            scores = jnp.einsum("bthd,bshd->bhts", q, key) / (WIDTH / HEADS) ** 0.5
            weights = jax.nn.softmax(jnp.where(mask, scores, -1e9))
            h = h + jnp.einsum("bhts,bshd->bthd", weights, v).reshape(h.shape) @ at["o"]
            x = _norm(h, at["ln2"], at["ln2_b"])
            h = h + jax.nn.gelu(x @ at["in"] + at["in_b"]) @ at["out"] + at["out_b"]
        logits = _norm(h, p["ln"], p["ln_b"]) @ p["embedding"].T
        at_next = jax.nn.one_hot(tokens[:, 1:], VOCABULARY)
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(logits[:, :-1]) * at_next, -1))
