"""All laws, in the order in which they are tried."""

from __future__ import annotations

from gradtx.testing import (
    laws_numbers,
    laws_precision,
    laws_sharding,
    laws_state,
    laws_storage,
    laws_traits,
    laws_trees,
    laws_values,
    laws_wrappers,
)
from gradtx.testing.law import Law

FILES = (
    laws_state,
    laws_numbers,
    laws_precision,
    laws_values,
    laws_storage,
    laws_trees,
    laws_traits,
    laws_wrappers,
    laws_sharding,
)

LAWS: dict[str, Law] = {law.name: law for file in FILES for law in vars(file).values() if isinstance(law, Law)}
"""Every law by its name."""
