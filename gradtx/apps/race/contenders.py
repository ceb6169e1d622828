"""The optimizers of a race, by library and name: the same algorithm, hyperparameters and learning rates in each."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import inspect
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gradtx.apps.race.task import Task
from gradtx.catalog import OPTIMIZERS, Entry, Setting
from gradtx.optional_imports import extra

LIBRARIES = ("gradtx", "optax", "torch")
LEAST, MOST = 4, 6  # decades of learning rates, if there are at least five rates
SMALL = 100  # parameters; optimizers of larger tasks take seconds to compile
COMPARED = ("momentum", "rmsprop", "adam")  # from other libraries by default, where all would take too long


@dataclasses.dataclass(frozen=True)
class Contender:
    """An optimizer of a library.

    make: `(rate, **hyperparameters) -> (init, update)`, whose update takes `value` and `value_fn`; for torch
        `(groups, **hyperparameters) -> optimizer`, with torch's parameter groups, which hold the rates.
    centre: the geometric middle of its learning rates in a race. hyperparameters: passed to `make`, unless a task has
        others for it. full_batch: it runs only where gradients have no noise. rates: its learning rates in the demo.
    """

    name: str
    library: str
    make: Callable[..., Any]
    centre: float
    hyperparameters: Mapping[str, Any]
    full_batch: bool = False
    rates: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """Its name on the command line: `adam`, `torch:adam`."""
        return self.name if self.library == "gradtx" else f"{self.library}:{self.name}"

    def hyperparameters_on(self, task: Task) -> dict[str, Any]:
        """Its hyperparameters, with those that the task sets for it; ValueError if it does not have one of these."""
        own, overrides = dict(self.hyperparameters), dict(task.hyperparameters.get(self.name, {}))
        unknown = [name for name in overrides if name not in own]
        if unknown:
            raise ValueError(
                f"task {task.name}: hyperparameters sets {', '.join(unknown)} of {self.name}, which has "
                f"{', '.join(own) or 'none'}"
            )
        return own | overrides

    def absence(self, task: Task) -> str | None:
        """Why it does not run on a task; None if it runs."""
        if task.optimizers and self.name not in task.optimizers:
            return "the task does not suit it"
        if self.full_batch and not task.full_batch:
            return "compares signs of gradients, which noise hides there"
        if self.library == "torch" and (task.torch is None or task.batches is not None or task.project is not None):
            return "the task is not written for torch"
        return None

    def by_default(self, task: Task) -> bool:
        """Whether it runs if no optimizers are chosen: all of gradtx, all of optax on small tasks, else a few."""
        return self.library == "gradtx" or self.name in COMPARED or (self.library == "optax" and is_small(task))


def is_small(task: Task) -> bool:
    """Whether a task has few parameters, so that its optimizers compile fast."""
    return _size(task.start) <= SMALL


@functools.lru_cache(maxsize=64)
def _size(start: Callable[[Any], Any]) -> int:
    parameters = jax.eval_shape(start, jax.ShapeDtypeStruct((), np.int32))
    return sum(math.prod(x.shape) for x in jax.tree.leaves(parameters))


def grid(centre: float, n: int) -> np.ndarray:
    """The learning rates of an optimizer, rounded to three digits: all optimizers have as many, over as many decades.

        rate_i = centre · 10^(span·(i/(n - 1) - 1/2)),    span = (n - 1)/2 decades, at least 4 and at most 6

    With fewer than 5 rates, neighbours are a decade apart; a single one is the centre, the geometric middle.

    >>> grid(0.002, 5)
    array([2.e-05, 2.e-04, 2.e-03, 2.e-02, 2.e-01])
    """
    span = min(n - 1, max(LEAST, min(MOST, (n - 1) / 2)))
    exponents = np.linspace(-span / 2, span / 2, n) if n > 1 else np.zeros(1)
    return np.array([float(f"{centre * 10**x:.3g}") for x in exponents])


def installed(library: str) -> bool:
    """Whether a library can be imported."""
    try:
        return importlib.util.find_spec(library) is not None
    except ModuleNotFoundError:  # raised by an import hook
        return False


def contenders() -> dict[str, Contender]:
    """All optimizers by label, gradtx's first; also those of libraries that are not installed."""
    found = []
    for library in LIBRARIES:
        for name, (entry, setting) in raced().items():
            make, rates = _maker(library, entry, setting), setting.rates
            if make is not None:
                centre = float(f"{math.exp(sum(map(math.log, rates)) / len(rates)):.1g}")
                found.append(Contender(name, library, make, centre, setting.shared, entry.full_batch, rates))
    return {contender.label: contender for contender in found}


def raced() -> dict[str, tuple[Entry, Setting]]:
    """The optimizers of the catalog that take part in races and in the demo, by name."""
    return {name: (entry, setting) for name, (entry, setting) in OPTIMIZERS.items() if setting.rates}


def _maker(library: str, entry: Entry, setting: Setting) -> Callable[..., Any] | None:
    """The `make` of a contender; None if the library does not have it."""
    if library == "gradtx":
        rate, *_ = inspect.signature(entry.factory).parameters
        own = {**entry.usual, **setting.arguments}
        return functools.partial(entry.factory, **{name: x for name, x in own.items() if name != rate})
    if library == "optax":  # one that differs is another algorithm, since the arguments are ours
        peer = setting.optax
        return functools.partial(_optax, peer.name, peer.theirs) if peer and not peer.differs else None
    if setting.torch is None or entry.make().traits.needs_matrices:  # torch steps through all runs as one tensor
        return None
    return functools.partial(_torch, setting.torch.name, setting.torch.theirs)


def _optax(name: str, more: Mapping[str, Any], rate: Any, **hyperparameters: Any) -> Any:
    with extra("peers"):
        import optax
    factory = operator.attrgetter(name)(optax)
    known = inspect.signature(factory).parameters
    made = factory(rate, **{**{k: x for k, x in hyperparameters.items() if k in known}, **more})
    return optax.with_extra_args_support(made)  # the engine gives the loss to all


def _torch(name: str, more: Mapping[str, Any], groups: list[dict[str, Any]], **hyperparameters: Any) -> Any:
    with extra("peers"):
        import torch
    return getattr(torch.optim, name)(groups, lr=1.0, **{**more, **_in_torch(hyperparameters)})


def _in_torch(given: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters under torch's names."""
    words = {key: value for key, value in given.items() if key != "eps_in_sqrt"}  # torch never adds eps in the root
    for pair, word in (
        (("b1", "b2"), "betas"),
        (("eta_minus", "eta_plus"), "etas"),
        (("min_step_size", "max_step_size"), "step_sizes"),
    ):
        if pair[0] in words:
            words[word] = tuple(words.pop(key) for key in pair)
    return {"alpha" if key == "decay" else key: value for key, value in words.items()}
