"""A progress bar of a race: what is running, and about how long the rest will take."""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Sequence
from typing import Any

from gradtx.apps.race.engine import Tick
from gradtx.apps.race.work import Work
from gradtx.optional_imports import extra

REFRESH = 0.5  # seconds


class Bar:
    """A tqdm bar over pieces of work; nothing is shown if there is no terminal.

    The remaining time is estimated from the median of the finished pieces of the same task, kind and library, or from
    the mean of all if there are none.
    """

    def __init__(self, works: Sequence[Work]):
        with extra("race"):
            from tqdm import tqdm
        self.works = works
        self.took: dict[tuple[str, str, str], list[float]] = {}
        form = "{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}]{postfix}"
        self.bar = tqdm(total=len(works), disable=None, leave=False, dynamic_ncols=True, bar_format=form)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.close()

    def begin(self, place: int, work: Work) -> Tick:
        """Show what is running; returns a function to call from time to time, so that the clock is updated."""
        left = self._left(place)
        self.bar.set_postfix_str(f"about {left} left, {work.about}" if left else work.about)
        shown = time.monotonic()

        def tick() -> None:
            nonlocal shown
            if time.monotonic() > shown + REFRESH:
                self.bar.refresh()
                shown = time.monotonic()

        return tick

    def end(self, work: Work, seconds: float | None) -> None:
        """A piece of work took so long; None: it was in the store."""
        if seconds is not None:
            self.took.setdefault(_sort(work), []).append(seconds)
        self.bar.update()

    def say(self, sentence: str) -> None:
        """Print a line above the bar."""
        self.bar.write(sentence)

    def _left(self, place: int) -> str:
        every = [seconds for each in self.took.values() for seconds in each]
        if not every:
            return ""
        usual = statistics.fmean(every)
        medians = {sort: statistics.median(each) for sort, each in self.took.items()}
        seconds = sum(medians.get(_sort(work), usual) for work in self.works[place:])
        return str(datetime.timedelta(seconds=round(seconds)))


def _sort(work: Work) -> tuple[str, str, str]:
    return work.task, work.kind.__name__, work.label.rpartition(":")[0]
