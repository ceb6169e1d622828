"""Readings handed on number by number: to TensorBoard, or to any function."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gradtx.core.errors import describe
from gradtx.inspection.readings import Readings
from gradtx.optional_imports import extra
from gradtx.writers.writer import Writer


class TensorBoardWriter(Writer):
    """Writes readings as scalars for TensorBoard, `grad_norm/layers/0/w`, and effective rates as histograms.

    It needs tensorboardX from the extra `monitoring`, but neither torch nor TensorFlow. Histograms show log10 of the
    rate. Readings that do not apply are left out. A second run in the same folder adds a file: give each run its
    own folder.

    Args:
        folder: where the event file goes; made where it is missing.

    Raises:
        OSError: the folder cannot be written. MissingExtraError: tensorboardX is not installed.
    """

    def __init__(self, folder: str | os.PathLike):
        with extra("monitoring"):
            from tensorboardX import SummaryWriter
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._events = SummaryWriter(str(folder))
        except OSError as error:
            raise type(error)(error.errno, f"cannot write readings there: {error.strerror}", str(folder)) from None
        super().__init__()

    def _write(self, new: Readings) -> None:
        edges = np.log10(new.rate_edges)
        middles = (edges[1:] + edges[:-1]) / 2
        for k, row in enumerate(new.records()):
            step = row.pop("step")
            for name, x in row.items():
                if not math.isnan(x):
                    self._events.add_scalar(name, x, step)
            for name, counts in zip(new.names, new.rate_counts[k], strict=True):
                if counts.sum():
                    self._histogram(f"log10_rate/{name}", middles, edges, counts, step)
        self._events.flush()

    def _histogram(self, name: str, middles: np.ndarray, edges: np.ndarray, counts: np.ndarray, step: int) -> None:
        self._events.add_histogram_raw(
            name,
            min=float(edges[0]),
            max=float(edges[-1]),
            num=int(counts.sum()),
            sum=float(counts @ middles),
            sum_squares=float(counts @ middles**2),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=step,
        )

    def _finish(self) -> None:
        self._events.close()


class CallableWriter(Writer):
    """Calls a function for each new step, with a flat dict: `{"step": 10, "grad_norm/layers/0/w": 0.5, ...}`.

    Args:
        fn: the function; what it returns is not used. `print`, `run.log` of wandb, `list.append` will do.

    Raises:
        TypeError: no function.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.watch(gradtx.sgd(0.1), every=1), {"w": jnp.ones(2)}
        >>> write = CallableWriter(lambda row: print(row["step"], row["zeros/w"]))
        >>> write(tx.update(w, tx.init(w), w)[1])
        0 0.0
        1
    """

    def __init__(self, fn: Callable[[dict[str, Any]], Any]):
        if not callable(fn):
            raise TypeError(f"fn must be a function of a dict; got {describe(fn)}")
        self._fn = fn
        super().__init__()

    def _write(self, new: Readings) -> None:
        for row in new.records():
            self._fn(row)
            self._written = row["step"]  # where the function raises, what it has had is not given to it again
