"""The optimizers that can be raced, by library and name: the same algorithm, hyperparameters and rates in each."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gradtx.apps.demo.contenders import CONTENDERS
from gradtx.apps.race.task import Task
from gradtx.optional_imports import extra

LIBRARIES = ("gradtx", "optax", "torch")
LEAST, MOST = 4, 6  # decades that rates span, where there are enough of them

_MOMENTS = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
HYPERPARAMETERS: dict[str, Mapping[str, Any]] = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "adagrad": {"initial_accumulator_value": 0.1, "eps": 0.0},
    "rmsprop": {"decay": 0.9, "eps": 1e-8, "eps_in_sqrt": False},
    "adadelta": {"rho": 0.9, "eps": 1e-6},
    "adam": _MOMENTS,
    "amsgrad": _MOMENTS,
    "adamw": {**_MOMENTS, "weight_decay": 1e-2},
    "nadam": _MOMENTS,
    "adamax": _MOMENTS,
    "lion": {"b1": 0.9, "b2": 0.99, "weight_decay": 1e-3},
    "rprop": {"eta_minus": 0.5, "eta_plus": 1.2, "min_step_size": 1e-6, "max_step_size": 50.0},
    "supersab": {
        "eta_minus": 0.5,
        "eta_plus": 1.05,
        "momentum": 0.9,
        "min_learning_rate": 1e-6,
        "max_learning_rate": 10.0,
    },
}
"""Of each optimizer, in gradtx's words, for all libraries. Of eps, torch's Adagrad and RMSProp have it outside of the
root, optax's Adagrad inside: at 0 both are the same, and Adagrad's initial value keeps the divisor from zero."""

OPTAX = {"momentum": "sgd", "nesterov": "sgd"} | {
    name: name for name in HYPERPARAMETERS if name not in ("momentum", "nesterov", "rprop", "supersab")
}
"""The function of optax for each of its names here; the arguments are called as ours. Its Rprop is another one."""

TORCH: dict[str, tuple[str, Mapping[str, Any]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {}),
    "nesterov": ("SGD", {}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "adadelta": ("Adadelta", {}),
    "adam": ("Adam", {}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "adamw": ("AdamW", {}),
    "nadam": ("NAdam", {"momentum_decay": 1e6}),  # so large that its b1 is constant
    "adamax": ("Adamax", {}),
    "rprop": ("Rprop", {}),
}
"""The class of torch for each of its names here, and what it needs besides."""

SMALL = 100  # parameters of a task; larger ones compile for seconds
BESIDE = ("momentum", "rmsprop", "adam")  # of other libraries, where all would take too long


@dataclasses.dataclass(frozen=True)
class Contender:
    """An optimizer of a library.

    make: `(rate, **hyperparameters) -> (init, update)`; for torch `(groups, **hyperparameters) -> optimizer`, where a
        group is torch's: parameters, and their rate. centre: the rate in the middle of those that it tries.
    hyperparameters: what make is given, where a task does not say otherwise of it by name.
    full_batch: it compares the signs of gradients, and runs only where these have no noise.
    """

    name: str
    library: str
    make: Callable[..., Any]
    centre: float
    hyperparameters: Mapping[str, Any]
    full_batch: bool = False

    @property
    def label(self) -> str:
        """What the command calls it: `adam`, `torch:adam`."""
        return self.name if self.library == "gradtx" else f"{self.library}:{self.name}"

    def hyperparameters_on(self, task: Task) -> dict[str, Any]:
        """Its hyperparameters, with what the task gives to the optimizer of its name in place of its own.

        Raises:
            ValueError: the task gives it one that it does not have.
        """
        own, given = dict(self.hyperparameters), dict(task.hyperparameters.get(self.name, {}))
        unknown = [name for name in given if name not in own]
        if unknown:
            raise ValueError(
                f"task {task.name}: hyperparameters gives {self.name} {', '.join(unknown)}; it has "
                f"{', '.join(own) or 'none'}"
            )
        return own | given

    def absence(self, task: Task) -> str | None:
        """Why it does not run on a task; None where it does."""
        if task.optimizers and self.name not in task.optimizers:
            return "makes no sense there"
        if self.full_batch and not task.full_batch:
            return "compares signs of gradients, which noise hides there"
        if self.library == "torch" and (task.torch is None or task.batches is not None or task.project is not None):
            return "the task is not written for torch"
        return None

    def by_default(self, task: Task) -> bool:
        """Whether it runs where nobody chooses: all of gradtx, optax on small tasks, and a few beside."""
        return self.library == "gradtx" or self.name in BESIDE or (self.library == "optax" and is_small(task))


def is_small(task: Task) -> bool:
    """Whether a task has so few parameters that it compiles fast."""
    return _size(task.start) <= SMALL


@functools.lru_cache(maxsize=64)
def _size(start: Callable[[Any], Any]) -> int:
    parameters = jax.eval_shape(start, jax.ShapeDtypeStruct((), np.int32))
    return sum(math.prod(x.shape) for x in jax.tree.leaves(parameters))


def grid(centre: float, n: int) -> np.ndarray:
    """The learning rates that an optimizer tries: as many, and over as many decades, as any other has on this task.

        rate_i = centre · 10^(span·(i/(n - 1) - 1/2)),    span = (n - 1)/2, but 4 to 6 decades

    Fewer than 5 are a decade apart. All are rounded to three digits.

    Args:
        centre: the middle, by ratio; greater than 0.
        n: how many; at least 1. One is the centre alone.

    Example:
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
    except ModuleNotFoundError:  # said by a finder
        return False


def contenders() -> dict[str, Contender]:
    """All contenders by label, gradtx's first, those of libraries that are not installed too."""
    found: list[Contender] = []
    for name, spelled in HYPERPARAMETERS.items():
        demo = CONTENDERS[name]
        found.append(Contender(name, "gradtx", demo.make, _centre(demo.rates), spelled, demo.full_batch))
    ours = {contender.name: contender for contender in found}
    for name in OPTAX:
        make = functools.partial(_optax, name)
        found.append(dataclasses.replace(ours[name], library="optax", make=make))
    for name in TORCH:
        make = functools.partial(_torch, name)
        found.append(dataclasses.replace(ours[name], library="torch", make=make))
    order = list(HYPERPARAMETERS)
    found.sort(key=lambda c: (LIBRARIES.index(c.library), order.index(c.name)))
    return {contender.label: contender for contender in found}


def _centre(rates: tuple[float, ...]) -> float:
    """The middle of the demonstration's rates, by ratio, to one digit."""
    return float(f"{math.exp(sum(map(math.log, rates)) / len(rates)):.1g}")


def _optax(name: str, rate: Any, **hyperparameters: Any) -> Any:
    with extra("peers"):
        import optax
    return getattr(optax, OPTAX[name])(rate, **hyperparameters)


def _torch(name: str, groups: list[dict[str, Any]], **hyperparameters: Any) -> Any:
    with extra("peers"):
        import torch
    kind, more = TORCH[name]
    return getattr(torch.optim, kind)(groups, lr=1.0, **more, **_in_words_of_torch(hyperparameters))


def _in_words_of_torch(given: Mapping[str, Any]) -> dict[str, Any]:
    words = {key: value for key, value in given.items() if key != "eps_in_sqrt"}  # it never is
    for pair, word in ((("b1", "b2"), "betas"), (("eta_minus", "eta_plus"), "etas")):
        if pair[0] in words:
            words[word] = tuple(words.pop(key) for key in pair)
    if "min_step_size" in words:
        words["step_sizes"] = words.pop("min_step_size"), words.pop("max_step_size")
    if "decay" in words:
        words["alpha"] = words.pop("decay")
    return words
