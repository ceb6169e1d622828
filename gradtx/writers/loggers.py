"""Writers that pass readings on step by step: to TensorBoard, or to any function."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gradtx.errors import describe
from gradtx.inspection.readings import Readings
from gradtx.optional_imports import extra
from gradtx.writers.writer import Writer, unwritable


class TensorBoardWriter(Writer):
    """Writes readings for TensorBoard: scalars such as `grad_norm/layers/0/w`, and histograms of effective rates.

    It needs tensorboardX, from the extra `sight`, but neither torch nor TensorFlow. The histograms are of log10 of the
    rate. Readings that do not apply are left out. A second run in the same folder adds another file, so give each run a
    folder of its own.

    Args:
        folder: for the event file; it is made if it does not exist.

    Raises:
        OSError: the folder cannot be written. MissingExtraError: tensorboardX is not installed.
    """

    def __init__(self, folder: str | os.PathLike):
        with extra("sight"):
            from tensorboardX import SummaryWriter
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._events = SummaryWriter(str(folder))
        except OSError as error:
            raise unwritable(error, folder) from None
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
                    self._events.add_histogram_raw(
                        f"log10_rate/{name}",
                        min=float(edges[0]),
                        max=float(edges[-1]),
                        num=int(counts.sum()),
                        sum=float(counts @ middles),
                        sum_squares=float(counts @ middles**2),
                        bucket_limits=edges[1:].tolist(),
                        bucket_counts=counts.tolist(),
                        global_step=step,
                    )
        self._events.flush()

    def _finish(self) -> None:
        self._events.close()


class CallableWriter(Writer):
    """Calls a function for each new step with a flat dict: `{"step": 10, "grad_norm/layers/0/w": 0.5, ...}`.

    Args:
        fn: the function, such as `print`, `list.append`, or `run.log` of wandb. Its result is not used.

    Raises:
        TypeError: `fn` is not a function.

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
            raise TypeError(f"fn must be a function that takes a dict; got {describe(fn)}")
        self._fn = fn
        super().__init__()

    def _write(self, new: Readings) -> None:
        for row in new.records():
            self._fn(row)
            self._written = row["step"]  # if the function raises, it does not get the earlier rows again
