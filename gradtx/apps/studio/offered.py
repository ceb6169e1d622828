"""The optimizers of the page, as the catalog describes them: their calls, and the hyperparameters that can be set."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from gradtx.catalog import OPTIMIZERS, Entry, Range, Setting
from gradtx.core.pair import GradientTransformation


class Offered(NamedTuple):
    """An optimizer of the page: a setting of a factory, with some of its hyperparameters on sliders."""

    entry: Entry
    setting: Setting

    @property
    def first(self) -> Mapping[str, Any]:
        """The hyperparameters that can be set, and their values at first."""
        return self.setting.offered

    @property
    def ranges(self) -> dict[str, Range]:
        """The range of each hyperparameter that can be set."""
        return {name: self.entry.range(name) for name in self.first}

    @property
    def fixed(self) -> dict[str, Any]:
        """The arguments that the page cannot change."""
        return {name: value for name, value in self.setting.arguments.items() if name not in self.first}

    def make(self, **hyperparameters: Any) -> GradientTransformation:
        """The transformation that the page follows."""
        return self.entry.factory(**self.fixed, **hyperparameters)

    def combinations(self) -> list[dict[str, Any]]:
        """Every combination of the hyperparameters that choose between programs: flags and choices."""
        static = {name: how for name, how in self.ranges.items() if how.is_static}
        values = [how.options or (False, True) for how in static.values()]
        return [dict(zip(static, chosen, strict=True)) for chosen in itertools.product(*values)]

    @property
    def call(self) -> str:
        """The call with the names of what can be set: `sgd(learning_rate, momentum, nesterov=True)`."""
        words, in_place = [], True
        for name, parameter in inspect.signature(self.entry.factory).parameters.items():
            in_place = in_place and name in self.first and parameter.kind is not parameter.KEYWORD_ONLY
            if name in self.first:
                words.append(name if in_place else f"{name}={name}")
            elif name in self.fixed:
                words.append(f"{name}={self.fixed[name]!r}")
        return f"{self.entry.name}({', '.join(words)})"


OFFERED: Mapping[str, Offered] = MappingProxyType(
    {name: Offered(*described) for name, described in OPTIMIZERS.items() if described[1].offered}
)
"""By name, in the order of the catalog."""
