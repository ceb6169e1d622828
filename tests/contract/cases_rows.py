"""Cases of what makes up for steps in which a row had no gradient; with dense gradients, in which all rows have one."""

from __future__ import annotations

from gradtx.sparse.skipped_rows import decay_skipped_rows
from tests.contract.adding import ADAM, SGD, add

OF_TABLES = {"any_tree": False}

add("decay_skipped_rows", decay_skipped_rows, inner=ADAM, rows="layers", case=OF_TABLES)
add("decay_skipped_rows-sgd", decay_skipped_rows, inner=SGD, rows="layers/0", case={**OF_TABLES, "neutral": SGD})
add("decay_skipped_rows-none", decay_skipped_rows, inner=ADAM, rows=False, case={"neutral": ADAM, "takes_rows": False})
