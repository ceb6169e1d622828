"""Cases of what makes up for steps in which a row had no gradient; with dense gradients, in which all rows have one."""

from __future__ import annotations

import jax.numpy as jnp

from gradtx.wrappers.skipped_rows import decay_skipped_rows
from tests.contract.adding import ADAM, SGD, add

TABLES = {"tables": [jnp.asarray([[1.0, -2.0], [0.25, 3.0], [-0.5, 0.125]], jnp.float32)], "gain": jnp.float32(1.5)}
OF_TABLES = {"params": TABLES, "any_tree": False}

add("decay_skipped_rows", decay_skipped_rows, inner=ADAM, rows="tables", case=OF_TABLES)
add("decay_skipped_rows-sgd", decay_skipped_rows, inner=SGD, rows="tables/0", case={**OF_TABLES, "neutral": SGD})
add("decay_skipped_rows-none", decay_skipped_rows, inner=ADAM, rows=False, case={"neutral": ADAM})
