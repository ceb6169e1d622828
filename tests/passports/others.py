"""How far gradtx and another library are apart, where the catalog says that both do the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optax
import pytest

from gradtx.catalog import LIBRARIES
from tests.passports.measured import Subject
from tests.peers.agreement import W0, gradients, ours
from tests.peers.pairs import RATE, Pair
from tests.peers.test_keras import optimizers
from tests.peers.test_keras import theirs as in_keras
from tests.peers.test_torch import optim
from tests.peers.test_torch import theirs as in_torch

pytestmark = pytest.mark.peers


def agreement(subject: Subject) -> dict[str, dict[str, list[float]]]:
    """Library -> setting -> the largest difference of the parameters, in ulp of float32 and of float64."""
    found: dict[str, dict[str, list[float]]] = {}
    for library in LIBRARIES:
        for setting, described in subject.entry.settings.items():
            peer = getattr(described, library)
            if subject.entry.kind in ("piece", "recipe") and peer and (peer.ours or not peer.differs):
                pair = Pair(subject.entry, setting, peer)
                found.setdefault(library, {})[setting] = [apart(library, pair, x) for x in (np.float32, np.float64)]
    return found


def apart(library: str, pair: Pair, dtype: Any) -> float:
    """In ulp at the size that the parameter has had so far."""
    w0, gs = _matrices() if pair.tx.traits.needs_matrices else (W0, gradients())
    mine = ours(pair.tx, dtype, w0, gs)
    theirs = PATHS[library](pair, dtype, w0, gs)
    sizes = np.maximum.accumulate(np.maximum(np.abs(mine), np.abs(w0)), axis=0)
    unit = np.spacing(np.maximum(sizes, np.finfo(dtype).tiny).astype(dtype)).astype(np.float64)
    return float(np.max(np.abs(mine.astype(np.float64) - theirs.astype(np.float64)) / unit))


def _optax(pair: Pair, dtype: Any, w0: Any, gs: Any) -> np.ndarray:
    return ours(pair.in_optax(optax), dtype, w0, gs)


def _torch(pair: Pair, dtype: Any, w0: Any, gs: Any) -> np.ndarray:
    return in_torch(getattr(optim, pair.peer.name), dtype, w0, gs, lr=RATE, **pair.peer.theirs)


def _keras(pair: Pair, dtype: Any, w0: Any, gs: Any) -> np.ndarray:
    return in_keras(getattr(optimizers, pair.peer.name)(RATE, **pair.peer.theirs), np.dtype(dtype).name, w0, gs)


PATHS: dict[str, Callable[..., np.ndarray]] = {"optax": _optax, "torch": _torch, "keras": _keras}


def _matrices() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    w0, gs = rng.normal(size=(6, 4)), rng.normal(size=(6, 4)) + rng.normal(size=(100, 6, 4))
    return w0.astype(np.float32).astype(np.float64), gs.astype(np.float32).astype(np.float64)
