"""What is lost by storing Adam's state in fewer bits: digits by a network, characters by a transformer.

`compare(task, codecs, seeds)` trains with each codec from the same seeds, all in one program, and gives the test losses
and accuracies. `python -m tests.storage.quality` prints the tables.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx import storage
from gradtx.storage.store import store

SOURCES = ("argparse.py", "ast.py", "calendar.py", "configparser.py", "datetime.py", "difflib.py", "doctest.py")
WIDTH, CONTEXT = 64, 32


@dataclasses.dataclass(frozen=True)
class Task:
    """A model with its data.

    init: key -> parameters. loss: (params, batch) -> (loss, accuracy). draw: key -> a batch to train on. test: the
    batch that is judged. steps, learning_rate: of the training.
    """

    init: Callable[[jax.Array], Any]
    loss: Callable[[Any, Any], tuple[jax.Array, jax.Array]]
    draw: Callable[[jax.Array], Any]
    test: Any
    steps: int
    learning_rate: float


def digits(steps: int = 300) -> Task:
    """The handwritten digits of scikit-learn, by a network with two hidden layers; a third of them is the test."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = jnp.asarray(x[order] / 16.0, jnp.float32), jnp.asarray(y[order], jnp.int32)
    train, sizes = 2 * len(x) // 3, (64, 128, 128, 10)

    def init(key):
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = zip(keys, sizes[:-1], sizes[1:], strict=True)
        return [{"w": _normal(k, (n, m), (2 / n) ** 0.5), "b": jnp.zeros(m)} for k, n, m in pairs]

    def loss(params, batch):
        h, labels = batch
        for k, layer in enumerate(params):
            h = h @ layer["w"] + layer["b"][None]
            h = h if k == len(params) - 1 else jax.nn.relu(h)
        return _judged(h, labels)

    def draw(key):
        rows = jax.random.randint(key, (64,), 0, train)
        return x[rows], y[rows]

    return Task(init, loss, draw, (x[train:], y[train:]), steps, 1e-3)


def source_text() -> tuple[np.ndarray, str]:
    """Some of the standard library's source, as bytes up to 127, and the start of its SHA-256."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = b"".join((folder / name).read_bytes() for name in SOURCES)
    return np.minimum(np.frombuffer(text, np.uint8), 127), hashlib.sha256(text).hexdigest()[:16]


def characters(steps: int = 300) -> Task:
    """The next character of the standard library's source, by a transformer of one layer; a tenth is the test."""
    text = jnp.asarray(source_text()[0], jnp.int32)
    train = 9 * len(text) // 10

    def windows(starts):
        rows = text[starts[:, None] + jnp.arange(CONTEXT + 1)[None]]
        return rows[:, :-1], rows[:, 1:]

    def init(key):
        shapes = {"embed": (128, WIDTH), "place": (CONTEXT, WIDTH), "qkv": (WIDTH, 3 * WIDTH), "out": (WIDTH, WIDTH)}
        shapes |= {"up": (WIDTH, 4 * WIDTH), "down": (4 * WIDTH, WIDTH), "read": (WIDTH, 128)}
        keys = jax.random.split(key, len(shapes))
        sizes = {name: 1.0 if name == "embed" else shape[0] ** -0.5 for name, shape in shapes.items()}
        return {name: _normal(k, shape, sizes[name]) for k, (name, shape) in zip(keys, shapes.items(), strict=True)}

    def loss(params, batch):
        x, labels = batch
        h = params["embed"][x] + params["place"][None]
        q, k, v = jnp.split(_normed(h) @ params["qkv"], 3, axis=-1)
        scores = jnp.einsum("bqw,bkw->bqk", q, k) * WIDTH**-0.5
        causal = jnp.tril(jnp.ones((CONTEXT, CONTEXT), bool))[None]
        h = h + jax.nn.softmax(jnp.where(causal, scores, -1e9)) @ v @ params["out"]
        h = h + jax.nn.gelu(_normed(h) @ params["up"]) @ params["down"]
        return _judged(_normed(h) @ params["read"], labels)

    def draw(key):
        return windows(jax.random.randint(key, (16,), 0, train - CONTEXT - 1))

    test = windows(jnp.linspace(train, len(text) - CONTEXT - 2, 64).astype(jnp.int32))
    return Task(init, loss, draw, test, steps, 3e-3)


def compare(task: Task, codecs: Sequence[Any], seeds: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each codec, as it prints, the test losses and accuracies of Adam from each seed."""

    def trained(tx: Any, seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        start, batches = jax.random.split(jax.random.key(seed))

        def body(carry: Any, key: jax.Array) -> tuple[Any, None]:
            params, state = carry
            grads = jax.grad(lambda p: task.loss(p, task.draw(key))[0])(params)
            updates, state = tx.update(grads, state, params)
            return (gradtx.apply_updates(params, updates), state), None

        params = task.init(start)
        (params, _), _ = jax.lax.scan(body, (params, tx.init(params)), jax.random.split(batches, task.steps))
        return task.loss(params, task.test)

    found = {}
    for codec in codecs:
        tx = store(gradtx.adam(task.learning_rate), codec)
        loss, accuracy = jax.jit(lambda seeds, tx=tx: jax.lax.map(lambda seed: trained(tx, seed), seeds))(
            jnp.arange(seeds)
        )
        found[repr(codec)] = np.asarray(loss), np.asarray(accuracy)
    return found


def table(found: dict[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Means over the seeds; how far they are from the first codec's, as shares of its spread from seed to seed."""
    first = next(iter(found.values()))
    lines = ["codec | test loss | accuracy | loss off, in spreads | accuracy off, in spreads", "---|---|---|---|---"]
    for name, columns in found.items():
        off = [(x.mean() - x0.mean()) / np.ptp(x0) for x, x0 in zip(columns, first, strict=True)]
        lines.append(f"{name} | {columns[0].mean():.4f} | {columns[1].mean():.4f} | {off[0]:+.2f} | {off[1]:+.2f}")
    return "\n".join(lines)


def _normal(key: jax.Array, shape: tuple[int, ...], size: float) -> jax.Array:
    return jnp.float32(size) * jax.random.normal(key, shape)


def _normed(h: jax.Array) -> jax.Array:
    return h * jax.lax.rsqrt(jnp.mean(h * h, axis=-1, keepdims=True) + 1e-6)


def _judged(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)
    return -jnp.mean(chosen), jnp.mean((jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32))


if __name__ == "__main__":
    print(f"source text: sha256 {source_text()[1]}...")
    every = [
        storage.float32(),
        storage.bfloat16(),
        storage.int8(),
        storage.int4(),
        storage.float8(),
        storage.factored(),
    ]
    for task in (digits(), characters()):
        print(table(compare(task, every, seeds=5)))
