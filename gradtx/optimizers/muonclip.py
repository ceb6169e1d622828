"""MuonClip: Muon, and weights of attention that are made smaller where logits grow too large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import Transformation, transformation
from gradtx.optimizers.muon import muon
from gradtx.wrappers.attention import qk_clip


@transformation
def muonclip(
    learning_rate: Hyper,
    momentum: Hyper = 0.95,
    *,
    nesterov: bool = True,
    exponents: Mapping[Any, float],
    threshold: Hyper = 100.0,
    heads: int = -2,
    outputs: int = -1,
    weight_decay: Hyper = 0.1,
    others: Transformation | None = None,
    exclude: Any = None,
    frame: Any = None,
):
    """MuonClip: `muon`, then `qk_clip`. Each `update` gets `max_logits`, the largest attention logits of each head.

    Attention of Flax has kernels in × heads × width, and one heads × width × out. With a matrix for each head, and one
    for the last kernel:

        by_heads = frames.matrices(rows=0, columns=2)
        frame = {f"**/{name}/kernel": by_heads for name in ("query", "key", "value")}
        frame["**/out/kernel"] = frames.matrices(rows=(0, 1), columns=2)

    For another `muon`, write the chain: `chain(muon(...), qk_clip(...))`.

    Args:
        learning_rate, momentum, nesterov, outputs, weight_decay, others, exclude, frame: as in `muon`.
        exponents, threshold, heads: as in `qk_clip`.

    State: that of `on_matrices`. Its update needs `params`.
    Source: 2507.20534 on arXiv (Kimi K2), algorithm 1. Not in optax, torch or Keras.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.muonclip(0.0, exponents={"**/query": 0.5}, heads=-1)
        >>> w = {"attn": {"query": jnp.ones((2, 2))}}
        >>> updates, _ = tx.update(w, tx.init(w), w, max_logits={"attn": jnp.array([400.0, 50.0])})
        >>> print(gradtx.apply_updates(w, updates)["attn"]["query"][0])
        [0.5 1. ]
    """
    how: dict[str, Any] = {"outputs": outputs, "others": others, "exclude": exclude, "frame": frame}
    return chain(
        muon(learning_rate, momentum, nesterov=nesterov, weight_decay=weight_decay, **how),
        qk_clip(exponents, threshold, heads=heads),
    )
