"""What an entry of the catalog says of a public factory."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from gradtx.catalog.hyperparameters import HYPERPARAMETERS, Range

LIBRARIES = ("optax", "torch", "keras")


@dataclasses.dataclass(frozen=True)
class Peer:
    """The same algorithm in another library.

    name: in optax, torch.optim or keras.optimizers (for schedules keras.optimizers.schedules).
    theirs: what it is given besides the learning rate; of optax, besides our arguments, which have the same names.
    ours: what gradtx's factory is given, in place of the usual arguments, so that both do the same.
    differs: how they differ where they are given the same hyperparameters; None where they do the same.
    """

    name: str
    theirs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    ours: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    differs: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to call a factory, where its arguments choose between algorithms.

    arguments: in place of the usual ones.
    optax, torch, keras: the same algorithm there; None if there is none.
    called: the name of an optimizer in the applications; "" if they do not have it. label: the name that people write.
    rates: learning rates to try on a small network, in rising order; none if it is not raced.
    shared: the hyperparameters that a race gives to every library, in gradtx's words, so that all do the same.
    quick: whether the short race runs it. demo: whether `python -m gradtx` runs it when it is not told which.
    traffic: bytes read and written, and bytes of temporaries, for each parameter in a compiled step; where that is
        more than one and a half times the bytes of gradients, parameters and state.
    offered: the hyperparameters that an editor offers, in order -> the value at first; none if it does not offer it.
        These values suit functions of two parameters, so learning rates are larger than for networks.
    """

    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    optax: Peer | None = None
    torch: Peer | None = None
    keras: Peer | None = None
    called: str = ""
    label: str = ""
    rates: tuple[float, ...] = ()
    quick: bool = False
    demo: bool = False
    traffic: tuple[float, float] | None = None
    shared: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    offered: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A public factory of transformations or schedules.

    factory: the function itself.
    kind: "piece", "recipe", "wrapper" (it holds other transformations), "aggregate" (it makes one gradient of those of
        several examples) or "schedule".
    group: the family of a piece or recipe; for others what they are for.
    usual: every argument with a usual value, spelled out. Arguments for which the user gives transformations, rules or
        functions are left out.
    source: who published it, and where; "" for what has no source. year: of that, or None.
    settings: by name; the first, "", has the usual arguments.
    ranges, abouts: of hyperparameters that mean something else here than elsewhere: the range, and what it is.
    fields: what each field of the state is, for pieces.
    factors: the fields of the state by which steps are multiplied, entry by entry.
    optax_names: its names in optax that gradtx does not have.
    optax_absent: arguments of optax's factory of the same name that this one does not have -> what there is instead.
    full_batch: whether it needs gradients without noise.
    not_offered: why an editor for functions of two numbers does not offer a recipe; "" if it does.
    laws: fields of `gradtx.testing.Case` in which its cases differ from a smooth transformation of complex leaves that
        does not need the parameters.
    normalizes: whether the size of its steps does not depend on the size of the gradients. None where the question
        makes no sense: a clip, a sign flip, a transformation that needs more than gradients.
    identities: pairs of calls that do the same, as `gradtx.parse` reads them: this factory in a limit, and another one.
    after_huge: how a gradient of 1e25 is forgotten: "fast"; "slow", as the usual weights of the past say, so that ten
        thousand steps are not enough; "never". "unknown" where the steps do not tell.
    complex_as: "phase" if complex gradients with another phase give steps with that phase, "parts" if real and
        imaginary parts are entries of their own, "" for neither.
    """

    factory: Callable[..., Any]
    kind: str
    group: str
    _: dataclasses.KW_ONLY
    usual: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    source: str = ""
    year: int | None = None
    settings: Mapping[str, Setting] = dataclasses.field(default_factory=lambda: {"": Setting()})
    ranges: Mapping[str, Range] = dataclasses.field(default_factory=dict)
    abouts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    factors: tuple[str, ...] = ()
    optax_names: tuple[str, ...] = ()
    optax_absent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    full_batch: bool = False
    not_offered: str = ""
    laws: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    identities: tuple[tuple[str, str], ...] = ()
    normalizes: bool | None = None
    after_huge: str = "fast"
    complex_as: str = "phase"

    @property
    def name(self) -> str:
        """The name of the factory."""
        return self.factory.__name__

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        return " ".join((inspect.getdoc(self.factory) or "").split("\n\n")[0].split())

    @property
    def asks_for_functions(self) -> bool:
        """Whether its update must be given functions of the parameters, as line searches are."""
        return any(name.endswith("value_fn") for name in self.make().extras.needed)

    def arguments(self, setting: str = "") -> dict[str, Any]:
        """Every argument of a setting, spelled out."""
        return {**self.usual, **self.settings[setting].arguments}

    def make(self, setting: str = "", **others: Any) -> Any:
        """The transformation or schedule of a setting, with other arguments in place of its own."""
        return self.factory(**{**self.arguments(setting), **others})

    def range(self, hyperparameter: str) -> Range:
        """The range of a hyperparameter of this factory."""
        return self.ranges.get(hyperparameter) or HYPERPARAMETERS[hyperparameter].range

    def about(self, hyperparameter: str) -> str:
        """What a hyperparameter is, in a few words."""
        return self.abouts.get(hyperparameter) or HYPERPARAMETERS[hyperparameter].about
