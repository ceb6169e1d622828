"""`lookahead` with fast and slow parameters in one tree, as optax has it."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradtx
from gradtx.compat.optax.protocol import OptaxTransformation, as_optax, of_class
from gradtx.core.leaves import map_leaves
from gradtx.core.pair import GradientTransformation

__all__ = ["LookaheadParams", "lookahead"]


class LookaheadParams(NamedTuple):
    """The parameters under `lookahead`: fast ones, at which gradients are taken, and slow ones."""

    fast: Any
    slow: Any

    @classmethod
    def init_synced(cls, params: Any) -> LookaheadParams:
        """Both are these parameters."""
        return cls(fast=params, slow=params)


class _WithSlow(OptaxTransformation):
    """`gradtx.lookahead`, whose parameters may be a `LookaheadParams`."""

    def init(self, params: Any) -> Any:
        """The state before the first step."""
        return super().init(getattr(params, "fast", params))

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """The updates, of fast and slow parameters if both are given, and the next state."""
        if not isinstance(params, LookaheadParams):
            return super().update(updates, state, params, **extra)
        fast, after = super().update(updates, state, params.fast, **extra)
        slow = map_leaves(lambda s, w: s - w, after.slow, params.slow)
        return LookaheadParams(fast, slow), after


def lookahead(
    fast_optimizer: Any, sync_period: int, slow_step_size: Any, reset_state: bool = False
) -> GradientTransformation:
    """`gradtx.lookahead`. The parameters may be a `LookaheadParams`, or the fast ones alone."""
    tx = gradtx.lookahead(as_optax("fast_optimizer", fast_optimizer), sync_period, slow_step_size, reset_state)
    return of_class(_WithSlow, tx)
