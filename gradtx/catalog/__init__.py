"""What is known of every public factory of transformations and schedules besides its code.

    >>> from gradtx import catalog
    >>> entry = catalog.ENTRIES["adam"]
    >>> entry.group, entry.year, entry.usual["eps"]
    ('adam', 2015, 1e-08)

One entry each: the usual hyperparameters, the names elsewhere, the source, the ranges for an editor, the learning rates
for a race, and what the laws must know. The tests, the applications and the tables of names read it, so that nothing
but its file, its entry and its tests has to name an optimizer. The entries are data: making them computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gradtx.catalog import (
    adam,
    adam_forms,
    adam_kin,
    adaptive,
    betting,
    bounded,
    combinators,
    curvature,
    descent,
    filtered,
    frames,
    general,
    low_memory,
    matrices,
    muons,
    norms,
    older,
    over_steps,
    preconditioners,
    privacy,
    quotients,
    rate_free,
    schedules,
    signs,
    spikes,
    steps,
    wrappers,
)
from gradtx.catalog.entry import LIBRARIES, Entry, Peer, Setting
from gradtx.catalog.hyperparameters import HYPERPARAMETERS, Hyperparameter, Range

__all__ = [
    "ENTRIES",
    "HYPERPARAMETERS",
    "LIBRARIES",
    "OPTIMIZERS",
    "RECIPES",
    "Entry",
    "Hyperparameter",
    "Peer",
    "Range",
    "Setting",
]

_MODULES = (
    descent,
    adaptive,
    adam,
    adam_forms,
    adam_kin,
    older,
    bounded,
    curvature,
    privacy,
    signs,
    low_memory,
    quotients,
    rate_free,
    betting,
    general,
    norms,
    wrappers,
    combinators,
    filtered,
    frames,
    matrices,
    muons,
    preconditioners,
    steps,
    over_steps,
    spikes,
    schedules,
)

ENTRIES: Mapping[str, Entry] = MappingProxyType({entry.name: entry for module in _MODULES for entry in module.ENTRIES})
"""Every entry by the name of its factory."""

RECIPES: Mapping[str, Entry] = MappingProxyType({name: e for name, e in ENTRIES.items() if e.kind == "recipe"})
"""The entries of recipes."""

OPTIMIZERS: Mapping[str, tuple[Entry, Setting]] = MappingProxyType(
    {s.called: (entry, s) for entry in RECIPES.values() for s in entry.settings.values() if s.called}
)
"""What applications call an optimizer -> its entry and its setting, in the order in which they were invented, more or
less."""
