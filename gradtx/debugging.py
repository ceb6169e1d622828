"""Checks of traced numbers, for debugging."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp

from gradtx.errors import traced_check


@contextlib.contextmanager
def debug_checks() -> Iterator[None]:
    """Check the ranges of hyperparameters also under jit, with JAX's checkify.

    Outside jit a hyperparameter that leaves its range, as a schedule may, is a ValueError. Under jit its value is not
    known when the step is traced, and nothing is checked. A step that is traced inside `with debug_checks():` has a
    `checkify.debug_check` for each range, and `checkify.checkify(step)` reports the first that fails, with the
    schedule, the step and the value. Such a step is slower: JAX dispatches it in 0.3 ms instead of 0.04 ms.

    Outside jit, `jax.vmap(gradtx.sgd)(rates)` is a ValueError here if one of the rates is out of its range.

    A step that was traced before stays as it is. So make a new jitted function inside, as in the example.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> from jax.experimental import checkify
        >>> tx = gradtx.sgd(gradtx.linear_schedule(0.1, -0.1, 2))
        >>> with gradtx.debug_checks():
        ...     step = jax.jit(checkify.checkify(lambda g, s: tx.update(g, s)))
        ...     error, _ = step(jnp.ones(1), gradtx.set_count(tx.init(jnp.ones(1)), 2))
        >>> print(error.get()[:63])
        scale_by_learning_rate: learning_rate must be finite and at lea
    """
    from jax.experimental import checkify  # rarely used, slow to import

    def check(holds: Any, parts: list) -> None:
        words = "".join(x.replace("{", "{{").replace("}", "}}") if isinstance(x, str) else "{}" for x in parts)
        checkify.debug_check(holds, words, *(jnp.asarray(x) for x in parts if not isinstance(x, str)))

    token = traced_check.set(check)
    try:
        yield
    finally:
        traced_check.reset(token)
