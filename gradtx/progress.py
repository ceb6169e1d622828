"""Progress bars for Python loops, and for a `lax.scan` that is one compiled program.

jax-tqdm (0.4) has bars for scans too. There, the number of steps is fixed when the body is decorated, the scanned data
must begin with `arange(n)`, and each scan has a bar of its own. Here, `Progress.scan` has the arguments of `lax.scan`,
one bar may count the steps of many scans, compiled programs report to the bar that is open while they run, and a bar
shows numbers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import jax
import jax.numpy as jnp

from gradtx.core.trees import shape_of
from gradtx.errors import describe, whole
from gradtx.optional_imports import extra

REPORTS = 100
"""The largest number of reports from one scan to its bar."""

SECONDS = 0.2
"""The time between two updates of the numbers that are shown. Each update copies them from the device."""


def progress(
    steps: Iterable | None = None,
    *,
    total: int | None = None,
    show: Callable[[], Mapping[str, Any]] | None = None,
    desc: str | None = None,
    **tqdm: Any,
) -> Progress:
    """Show the progress of a Python loop, or of the steps of a `lax.scan`. It needs the extra `progress`.

        for batch in progress(batches, show=lambda: {"loss": loss}):
            ...
        with progress(total=epochs * n) as bar:
            carry, losses = bar.scan(body, carry, batches)

    Args:
        steps: an iterable to loop over. Without it, use the bar in a `with` block, and advance it with `bar.update()`
            or `bar.scan(...)`.
        total: the number of steps; at least 0; None for the length of `steps`, if it has one.
        show: a function that returns a dict of the numbers to show, scalars or text. It is called a few times a second
            at most. The loop never waits for an array that is not computed yet. `bar.show(loss=loss)` in the loop does
            the same.
        desc: a text in front of the bar.
        **tqdm: further arguments of `tqdm.auto.tqdm`, such as `disable=True`, `leave=False`, `file=...`.

    Returns: a `Progress`, which is an iterator and a context manager. The end of either closes it, and so does an
        exception.
    Raises: MissingExtraError: tqdm is not installed. TypeError: `steps` is not an iterable, or `show` is not a
        function. ValueError: `total` is below 0.

    Example:
        >>> import io
        >>> seen = [x for x in progress([1, 2, 3], file=io.StringIO())]
        >>> seen
        [1, 2, 3]
    """
    if total is not None:
        whole(0, total=total)
    if steps is not None and not isinstance(steps, Iterable):
        raise TypeError(f"steps must be something to loop over, or absent with total=n; got {describe(steps)}")
    if show is not None and not callable(show):
        raise TypeError(f"show must be a function that returns a dict of numbers; got {describe(show)}")
    if total is None:
        total = len(steps) if hasattr(steps, "__len__") else None  # pyright: ignore[reportArgumentType]
    with extra("progress"):
        from tqdm.auto import tqdm as made
    return Progress(made(total=total, desc=desc, **tqdm), steps, show)


class Progress:
    """A progress bar; see `progress`."""

    def __init__(self, bar: Any, steps: Iterable | None, show: Callable[[], Mapping[str, Any]] | None):
        self._bar, self._steps, self._show = bar, steps, show
        self._shown_at = -float("inf")
        self._numbers: Mapping[str, Any] = {}
        self._closed = False

    def __iter__(self) -> Iterator:
        if self._steps is None:
            raise TypeError("this bar has nothing to loop over: give progress(steps), or use it in a `with` block")
        try:
            for step in self._steps:
                yield step
                self.update()
        finally:
            self.close()

    def __enter__(self) -> Self:
        _OPEN.append(self)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                jax.effects_barrier()  # scans may have reports that did not arrive yet
        finally:
            self.close()

    @property
    def done(self) -> int:
        """The number of steps that are done."""
        return self._bar.n

    def update(self, steps: int = 1) -> None:
        """Advance by a number of steps."""
        self._advance(steps)
        if (self._show or self._numbers) and time.monotonic() - self._shown_at >= SECONDS:
            self._show_numbers()

    def show(self, **numbers: Any) -> None:
        """Show these numbers, scalars or text, at the next update. An array that is not computed yet is shown later."""
        self._numbers = {**self._numbers, **numbers}

    def close(self) -> None:
        """Show the last numbers, and leave the bar as it is. A second call does nothing."""
        while self in _OPEN:
            _OPEN.remove(self)
        if self._closed:
            return
        self._closed = True
        try:
            if self._numbers:
                self._bar.set_postfix_str(_text(self._numbers), refresh=False)
        finally:
            self._bar.close()

    @staticmethod
    def scan(body: Callable, init: Any, xs: Any = None, length: int | None = None, **scan: Any) -> tuple[Any, Any]:
        """`jax.lax.scan`, which reports its progress, at most 100 times, to the bar that is open while it runs.

        The results are exactly those of `jax.lax.scan`. It works inside `jax.jit`, as `gradtx.Progress.scan(...)`: a
        program that is already compiled reports to a new bar, and to none if no bar is open. Scans under `vmap` run as
        one scan, and report once.

        Args:
            body, init, xs, length, **scan: as in `jax.lax.scan`.

        Returns: the last carry, and the stacked outputs.
        Raises: ValueError: `xs` and `length` do not give one number of steps.
        """
        n = _length(xs, length)
        every = max(-(-n // REPORTS), 1)

        def reporting(carry: Any, indexed: Any) -> tuple[Any, Any]:
            k, x = indexed
            carry, y = body(carry, x)
            due = ((k + 1) % every == 0) | (k + 1 == n)
            since = jnp.where((k + 1) % every == 0, every, n % every)
            jax.lax.cond(due, lambda: jax.debug.callback(_report, since), lambda: None)
            return carry, y

        steps = jnp.arange(n, dtype=jnp.int32)
        if scan.get("reverse"):
            steps = steps[::-1]
        return jax.lax.scan(reporting, init, (steps, xs), length=n, **scan)

    def _advance(self, steps: int) -> None:
        """Advance the bar and do nothing else: a program that is still running calls this, so it must not wait."""
        with _LOCK:
            self._bar.update(steps)

    def _show_numbers(self) -> None:
        shown = self._show() if self._show else {}
        if not isinstance(shown, Mapping):
            raise TypeError(f"progress: show must return a dict of numbers; it returned {describe(shown)}")
        numbers = {**self._numbers, **shown}
        ready = {name: x for name, x in numbers.items() if not hasattr(x, "is_ready") or x.is_ready()}
        if ready or not numbers:
            self._bar.set_postfix_str(_text(ready))
        self._shown_at = time.monotonic()


_OPEN: list[Progress] = []  # the innermost bar is the last
_LOCK = threading.Lock()  # a compiled program reports from another thread


def _report(steps: Any) -> None:
    if _OPEN:
        _OPEN[-1]._advance(int(steps))


def _length(xs: Any, length: int | None) -> int:
    lengths = {x.shape[0] for x in map(jnp.asarray, jax.tree.leaves(xs)) if x.ndim}
    if length is not None:
        whole(0, length=length)
        lengths.add(length)
    if len(lengths) != 1:
        got = f"got the lengths {sorted(lengths)}" if lengths else "got neither"
        raise ValueError(f"scan: xs and length must give one number of steps; {got}")
    return lengths.pop()


def _text(numbers: Mapping[str, Any]) -> str:
    """Numbers as short text. This waits for arrays."""
    return ", ".join(f"{k} {x if isinstance(x, str) else format(_scalar(k, x), '.4g')}" for k, x in numbers.items())


def _scalar(name: str, x: Any) -> float:
    if shape_of(x):
        raise TypeError(f"progress: {name} must be one number or text; got an array of shape {shape_of(x)}")
    return float(x)
