"""Every law on every case of the registry."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from gradtx.catalog import RECIPES
from gradtx.testing import LAWS, Case, examine
from gradtx.testing.compare import all_finite, same_structure, same_types
from tests.contract.golden import golden
from tests.contract.registry import CALLS, CASES

# Every factory has one case that is held to all laws. Its further ones, with other settings or round other
# transformations, are held to those that can differ there; of a wrapper the numbers are those of what is inside.
STATE = [
    "traceable",
    "updates_fit",
    "state_types",
    "state_is_arrays",
    "one_trace",
    "jit_equals_eager",
    "counters_do_not_wrap",
    "donation",
    "inputs_unchanged",
    "neutral_setting",
    "extras_reach_the_inside",
    "equality",
    "pickles",
    "prints_as_its_call",
    "is_a_pytree",
    "untrained_leaves_pass",
    "mismatches_are_errors",
    "packed_leaves",
    "sparse_rows",
    "resumes_from_pickle",
    "resumes_from_npz",
]
NUMBERS = ["finite_steps", "finite_complex_steps", "finite_derivatives", "right_derivatives"]
NUMBERS += ["one_trace_for_all_values", "constants_under_jit", "single_precision", "double_precision_is_kept"]
NUMBERS += ["complex_numbers_turn"]

# With a neutral setting a case is what is inside it to the bit, jitted and not: its numbers are not tried, nor these.
OF_INSIDE = ["jit_equals_eager", "inputs_unchanged", "packed_leaves"]

# A recipe is a chain of pieces, which are held to all laws, and chains are: it keeps these if they do. It is held to
# those that its own lines can break (values, traced hyperparameters, extras, errors), and to those that the pieces can
# break together (types, finite steps, resuming, rows, leaves that are not trained).
OF_PIECES = [
    "idle_factors",
    "owned_buffers",
    "odd_trees",
    "empty_trees",
    "integers_pass",
    "sharded",
    "donation",
    "pure",
    "state_types_of_all_mixes",
    "jit_equals_eager",
    "inputs_unchanged",
    "packed_leaves",
    "finite_complex_steps",
    "complex_numbers_turn",
]
OF_PIECES += ["resumes_from_orbax", "resumes_from_msgpack", "step_is_update_and_apply", "scan"]
OF_PIECES += ["chain_of_one", "chain_is_associative", "inject_is_neutral"]
OF_PIECES += ["vmap_over_params", "vmap_over_hyperparameters", "constants_under_jit", "finite_derivatives"]
OF_PIECES += ["right_derivatives", "single_precision", "double_precision_is_kept"]

# Of which its further settings are not tried again either.
OF_RECIPES = ["sparse_rows", "untrained_leaves_pass", "mismatches_are_errors", "extras_reach_the_inside"]


def is_of_recipe(name):
    """Whether the case is of a recipe, with whatever settings: of what is no piece itself."""
    return name in CALLS and CASES[name].tx.piece.name != CASES[name].tx.name


def laws_for(name):
    """The laws that a case is held to."""
    if is_of_recipe(name):
        left_out = OF_PIECES + OF_RECIPES * ("-" in name)
        return [law for law in LAWS.values() if law.name not in left_out]
    if "-" not in name:
        return [*LAWS.values()]
    if CASES[name].neutral is not None:
        return [LAWS[law] for law in STATE if law not in OF_INSIDE]
    wraps = CALLS[name].factory.__module__.startswith(("gradtx.wrappers.", "gradtx.storage.", "gradtx.precision."))
    return [LAWS[law] for law in (STATE if wraps else STATE + NUMBERS)]


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:(orbax|flax|tensorstore|msgpack|nest_asyncio)")
@pytest.mark.parametrize("name", CASES)
def test_case(name):
    """The case keeps its laws, and its state is the golden one; the error names every law that is broken."""
    report = examine(CASES[name], [*laws_for(name), golden(name)])
    report.require()
    # That a law says nothing of a case is no reason to call the test skipped.
    missing = {reason for reason in report.skipped.values() if "not installed" in reason}
    if missing:
        pytest.skip(", ".join(sorted(missing)))


DTYPES = st.sampled_from(["float16", "bfloat16", "float32", "complex64", "int32", "bool"])
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)
LEAVES = st.one_of(st.none(), st.tuples(SHAPES, DTYPES))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3), st.tuples(inner, inner)
    ),
    max_leaves=5,
)
SOME = [name for name, case in CASES.items() if "-" not in name and case.any_tree]


def _built(tree):
    """Arrays for the shapes and types that hypothesis chose."""

    def is_leaf(x):
        return x is None or (isinstance(x, tuple) and len(x) == 2 and isinstance(x[1], str))

    def leaf(x):
        return None if x is None else jnp.asarray(np.arange(np.prod(x[0])).reshape(x[0]), x[1])

    return jax.tree.map(leaf, tree, is_leaf=is_leaf)


@hypothesis.given(name=st.sampled_from(SOME), tree=st.fixed_dictionaries({"root": TREES}))
def test_types_stay_for_any_tree(name, tree):
    """Whatever the tree and the types in it, update gives back what init made, and updates for every leaf."""
    case, params = CASES[name], _built(tree)
    grads = Case(case.tx, params).gradients(1, params)[0]
    state = jax.eval_shape(case.init, params)
    updates, after = jax.eval_shape(case.update, grads, state, params)
    same_structure("the update", updates, grads)
    same_types("the state", after, state)


@hypothesis.settings(max_examples=10)
@hypothesis.given(
    name=st.sampled_from(SOME),
    entries=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=4, max_size=4),
)
def test_any_gradients_give_finite_updates(name, entries):
    """Four steps of any finite gradients are finite."""
    case = CASES[name]
    gradients = [jax.tree.map(lambda p, e=e: jnp.full_like(p, e), case.params) for e in entries]
    history, state, _ = case.run(gradients)
    all_finite("the update", history)
    all_finite("the state", state)


WHOLE = {CASES[name].tx.name for name in CALLS if len(laws_for(name)) == len(LAWS)}  # factories with such a case


def test_every_factory_is_held_to_every_law():
    """Further cases come besides one that has all laws, or of a recipe all but those of its pieces."""
    assert set(OF_PIECES + OF_RECIPES + OF_INSIDE) < LAWS.keys()
    assert {call.factory.__name__ for name, call in CALLS.items() if not is_of_recipe(name)} == WHOLE
    assert RECIPES.keys() <= CALLS.keys()


@pytest.mark.parametrize("name", [name for name in CASES if is_of_recipe(name)])
def test_a_recipe_has_nothing_inside_that_is_not_held_to_every_law(name):
    """All that it is made of has a case of its own: so it may be held to fewer laws."""
    assert {x.name for x in CASES[name].inside} <= WHOLE
