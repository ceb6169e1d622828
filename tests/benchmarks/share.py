"""The optimizer's share of a step of GPT-2 small: `python -m tests.benchmarks.share`, half a minute.

The operations of products and decompositions are counted in the program that JAX traces, so they do not depend on the
machine; what is computed twice counts twice. A branch that runs in some steps counts with its share of them: SOAP's new
basis once in ten steps. Gradients take 6 operations for each parameter and token, and 12·layers·width·context for each
token. Elementwise work is left out: AdamW has no other. A decomposition counts as the textbook says (n³ times: QR 8/3,
eigenvectors 9), although a machine takes longer for an operation of it than for one of a product. It writes share.md
beside this file; `--seconds` measures the part in seconds too, which takes four minutes on a busy machine.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters.partial_eval import dce_jaxpr

import gradtx
from tests.benchmarks import shapes, share_seconds
from tests.benchmarks.sides import one_step

LAYERS, WIDTH, CONTEXT, PERIOD = 12, 768, 1024, 10
BATCHES = {8 * CONTEXT: "8 x 1,024 tokens", 480 * CONTEXT: "480 x 1,024 tokens, as in nanoGPT"}
CUBES = {"qr": 8 / 3, "eigh": 9.0, "triangular_solve": 1.0}


def _hidden(tx: Any) -> Any:
    """AdamW for the embeddings, which are the leaves 0 and 1."""
    return gradtx.on_matrices(tx, gradtx.adamw(1e-3), ("0", "1"))


OPTIMIZERS: dict[str, tuple[Any, float]] = {  # and in which share of the steps its branch runs
    "AdamW": (gradtx.adamw(1e-3), 1.0),
    "Muon": (_hidden(gradtx.muon(1e-3, exclude=())), 1.0),
    "SOAP": (_hidden(gradtx.soap(1e-3, every=PERIOD)), 1 / PERIOD),
    "SOAP, embeddings too": (gradtx.soap(1e-3, every=PERIOD), 1 / PERIOD),
    "Shampoo": (_hidden(gradtx.shampoo(1e-3, every=PERIOD)), 1 / PERIOD),
    "PSGD, a new Q in 3% of the steps": (_hidden(gradtx.psgd_kron(1e-3)), 0.03),
}


def operations(jaxpr: Any, share: float, *, inside: bool = False) -> float:
    """Of products and decompositions; a branch counts with its share of the steps, one inside it as the smaller."""
    total = 0.0
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        if name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            total += 2.0 * eqn.outvars[0].aval.size * math.prod(eqn.invars[0].aval.shape[k] for k in contracted)
        elif name in CUBES:
            shape = eqn.invars[-1].aval.shape
            total += CUBES[name] * math.prod(shape) * max(shape[-2:])
        elif name == "cond":
            each = [operations(branch.jaxpr, share, inside=True) for branch in eqn.params["branches"]]
            total += min(each) if inside else share * max(each) + (1 - share) * min(each)
        else:
            times = eqn.params["length"] if name == "scan" else 1
            total += times * sum(operations(body, share, inside=inside) for body in _bodies(eqn.params))
    return total


def _bodies(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        body = getattr(value, "jaxpr", value)
        if hasattr(body, "eqns"):
            yield body


def of_optimizer(tx: Any, share: float) -> float:
    """Operations of a step, on average."""
    params = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes.gpt2(LAYERS)]
    jaxpr = jax.make_jaxpr(one_step(tx))(params, jax.eval_shape(tx.init, params), params).jaxpr
    return operations(dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0], share)


def of_gradients(tokens: int) -> float:
    """Operations of the gradients of so many tokens."""
    return tokens * (6.0 * shapes.size(shapes.gpt2(LAYERS)) + 12.0 * LAYERS * WIDTH * CONTEXT)


def table() -> str:
    """The figures as Markdown."""
    lines = [
        "# The optimizer's share of a step of GPT-2 small",
        "",
        "`python -m tests.benchmarks.share`: counted operations of products and decompositions, not seconds. A share",
        "is that of gradients and optimizer together. Elementwise work is left out; AdamW has no other. SOAP's new",
        f"bases and Shampoo's new roots are in it, once in {PERIOD} steps.",
        "",
        f"| optimizer | operations of a step, 10⁹ | share, {' | share, '.join(BATCHES.values())} |",
        "|---|---|---|---|",
    ]
    for name, (tx, often) in OPTIMIZERS.items():
        own = of_optimizer(tx, often)
        parts = [f"{100 * own / (own + of_gradients(tokens)):.2g}%" for tokens in BATCHES]
        lines.append(f"| {name} | {own / 1e9:,.0f} | {' | '.join(parts)} |")
    return "\n".join([*lines, ""])


def main(argv: list[str] | None = None) -> None:
    """Write share.md: the counted figures, and those in seconds, which stay as they are unless asked for."""
    parser = argparse.ArgumentParser(description="The optimizer's share of a step of GPT-2 small.")
    parser.add_argument("--seconds", action="store_true", help="measure the seconds too; four busy minutes")
    path = Path(__file__).with_name("share.md")
    if parser.parse_args(argv).seconds:
        seconds = share_seconds.table()
    else:
        _, title, rest = path.read_text().partition(share_seconds.TITLE)
        seconds = title + rest
    path.write_text(f"{table()}\n{seconds}")
    print(path.read_text())


if __name__ == "__main__":
    main()
