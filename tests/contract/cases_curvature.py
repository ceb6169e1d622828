"""Cases of what estimates the curvature from functions of the loss."""

from gradtx.catalog import ENTRIES
from tests.contract.adding import add
from tests.contract.cases_search import bowl

CURVATURE = {"needs_params": True, "smooth": False, "complex_leaves": False}
for name, function in {
    "scale_by_sophia": "value_fn",
    "sophia": "value_fn",
    "scale_by_sophia_g": "sampled_value_fn",
    "sophia_g": "sampled_value_fn",
}.items():
    add(name, ENTRIES[name].factory, **ENTRIES[name].arguments(), case={**CURVATURE, "extras": {function: bowl}})
