"""Errors for calls as in torch, where the parameters or the optimizer come first."""

from __future__ import annotations

from gradtx.compat.words import in_words

_MOMENTUM = ": no scheduler here changes the momentum; give momentum= a schedule of its own"
_REASONS = dict.fromkeys(("cycle_momentum", "base_momentum", "max_momentum"), _MOMENTUM) | {
    "last_epoch": ": a schedule has no state, it follows the count of updates"
}

in_torch_words = in_words("lr", _REASONS)
