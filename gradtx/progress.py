"""Progress bars: round a Python loop, and for a `lax.scan` that is one compiled program."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import jax
import jax.numpy as jnp

from gradtx.core.errors import describe, whole
from gradtx.core.trees import shape_of
from gradtx.optional_imports import extra

REPORTS = 100
"""How often a scan tells how far it is, at most."""

SECONDS = 0.2
"""Between two looks at the numbers that are shown, each of which copies some from the device."""


def progress(
    steps: Iterable | None = None,
    *,
    total: int | None = None,
    show: Callable[[], Mapping[str, Any]] | None = None,
    desc: str | None = None,
    **tqdm: Any,
) -> Progress:
    """Show how far a loop is: over batches in Python, or over the steps of a `lax.scan`; with the extra `progress`.

        for batch in progress(batches, show=lambda: {"loss": loss}):
            ...
        with progress(total=epochs * n) as bar:
            carry, losses = bar.scan(body, carry, batches)

    Args:
        steps: what to loop over. Without it, use the bar in `with`, and move it by `bar.update()` or `bar.scan(...)`.
        total: of how many steps; at least 0. None: the length of `steps`, where it has one.
        show: a function that gives the numbers to show, by name, scalars or text. It is called a few times a second at
            most; nothing waits for an array that is not computed yet. `bar.show(loss=loss)` in the loop does the same.
        desc: what stands in front of the bar.
        **tqdm: further arguments of `tqdm.auto.tqdm`, as `disable=True`, `leave=False`, `file=...`.

    Returns: a `Progress`: an iterator and a context manager. It is closed at the end of either, and by an exception.
    Raises: MissingExtraError: tqdm is not installed. TypeError: `steps` or `show` of another kind. ValueError: `total`
        below 0.

    Example:
        >>> import io
        >>> seen = [x for x in progress([1, 2, 3], file=io.StringIO())]
        >>> seen
        [1, 2, 3]
    """
    if total is not None:
        whole(0, total=total)
    if steps is not None and not isinstance(steps, Iterable):
        raise TypeError(f"steps must be something to loop over, or total=n alone; got {describe(steps)}")
    if show is not None and not callable(show):
        raise TypeError(f"show must be a function that gives a dict of numbers; got {describe(show)}")
    if total is None:
        total = len(steps) if hasattr(steps, "__len__") else None  # pyright: ignore[reportArgumentType]
    with extra("progress"):
        from tqdm.auto import tqdm as made
    return Progress(made(total=total, desc=desc, **tqdm), steps, show)


class Progress:
    """A bar; see `progress`."""

    def __init__(self, bar: Any, steps: Iterable | None, show: Callable[[], Mapping[str, Any]] | None):
        self._bar, self._steps, self._show = bar, steps, show
        self._looked = -float("inf")
        self._numbers: Mapping[str, Any] = {}
        self._closed = False

    def __iter__(self) -> Iterator:
        if self._steps is None:
            raise TypeError("this bar has nothing to loop over: give progress(steps), or use it in `with`")
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
                jax.effects_barrier()  # what a scan has still to tell
        finally:
            self.close()

    @property
    def done(self) -> int:
        """How many steps are done."""
        return self._bar.n

    def update(self, steps: int = 1) -> None:
        """Move on by so many steps."""
        self._move(steps)
        if (self._show or self._numbers) and time.monotonic() - self._looked >= SECONDS:
            self._look()

    def _move(self, steps: int) -> None:
        """Move on, and wait for nothing: a program that is running calls this, and goes on when it is done."""
        with _LOCK:
            self._bar.update(steps)

    def show(self, **numbers: Any) -> None:
        """Show these numbers, scalars or text, at the next look. An array that is not computed yet is shown later."""
        self._numbers = {**self._numbers, **numbers}

    def close(self) -> None:
        """Show the last numbers, and leave the bar as it is; a second call does nothing."""
        while self in _OPEN:
            _OPEN.remove(self)
        if self._closed:
            return
        self._closed = True
        try:
            if self._numbers:
                self._bar.set_postfix_str(_said(self._numbers), refresh=False)
        finally:
            self._bar.close()

    @staticmethod
    def scan(body: Callable, init: Any, xs: Any = None, length: int | None = None, **scan: Any) -> tuple[Any, Any]:
        """As the function `scan`: `jax.lax.scan`, which tells the bar that is open how far it is.

        It needs no bar of its own: inside a jitted function, call `gradtx.Progress.scan(...)`.
        """
        return scan_(body, init, xs, length, **scan)

    def _look(self) -> None:
        shown = self._show() if self._show else {}
        if not isinstance(shown, Mapping):
            raise TypeError(f"progress: show must return a dict of numbers; it returned {describe(shown)}")
        numbers = {**self._numbers, **shown}
        ready = {name: x for name, x in numbers.items() if not hasattr(x, "is_ready") or x.is_ready()}
        if ready or not numbers:
            self._bar.set_postfix_str(_said(ready))
        self._looked = time.monotonic()


def scan(body: Callable, init: Any, xs: Any = None, length: int | None = None, **scan: Any) -> tuple[Any, Any]:
    """`jax.lax.scan`, which tells how far it is, at most 100 times, to the bar that is open while it runs.

    The results are those of `jax.lax.scan`, to the bit. It may be inside `jax.jit`: a program that is compiled already
    tells a new bar, and without one it tells nobody. Under `vmap` the scans run as one, and tell once.

    Args:
        body, init, xs, length, **scan: as of `jax.lax.scan`.

    Returns: the last carry, and the stacked outputs.
    """
    n = _length(xs, length)
    every = max(-(-n // REPORTS), 1)

    def told(carry: Any, indexed: Any) -> tuple[Any, Any]:
        k, x = indexed
        carry, y = body(carry, x)
        due = ((k + 1) % every == 0) | (k + 1 == n)
        since = jnp.where((k + 1) % every == 0, every, n % every)
        jax.lax.cond(due, lambda: jax.debug.callback(_tell, since), lambda: None)
        return carry, y

    steps = jnp.arange(n, dtype=jnp.int32)
    if scan.get("reverse"):
        steps = steps[::-1]
    return jax.lax.scan(told, init, (steps, xs), length=n, **scan)


scan_ = scan
_OPEN: list[Progress] = []  # the innermost is last
_LOCK = threading.Lock()  # what a program tells comes on a thread of its own


def _tell(steps: Any) -> None:
    if _OPEN:
        _OPEN[-1]._move(int(steps))


def _length(xs: Any, length: int | None) -> int:
    lengths = {x.shape[0] for x in map(jnp.asarray, jax.tree.leaves(xs)) if x.ndim}
    if length is not None:
        whole(0, length=length)
        lengths.add(length)
    if len(lengths) != 1:
        got = f"they have {sorted(lengths)}" if lengths else "there is neither"
        raise ValueError(f"scan: xs and length must tell one number of steps; {got}")
    return lengths.pop()


def _said(numbers: Mapping[str, Any]) -> str:
    """Numbers in a few letters; arrays are waited for."""
    return ", ".join(f"{k} {x if isinstance(x, str) else format(_scalar(k, x), '.4g')}" for k, x in numbers.items())


def _scalar(name: str, x: Any) -> float:
    if shape_of(x):
        raise TypeError(f"progress: {name} must be one number or text; got an array of shape {shape_of(x)}")
    return float(x)
