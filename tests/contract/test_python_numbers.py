"""Tree tools put Python numbers into states; an update takes them as the arrays that they stand for."""

import jax
import jax.numpy as jnp
import pytest

from gradtx.catalog import RECIPES
from gradtx.testing.compare import near
from tests.contract.golden import frozen
from tests.contract.registry import CASES


def _as_number(x):
    return x.item() if isinstance(x, jax.Array) and x.shape == () and x.dtype.kind in "fib" else x


def _holds_numbers(name):
    return any(line.endswith(("32[]", "bool[]")) and "uint" not in line for line in STATES.get(name, []))


STATES = frozen()
# One case of each piece and wrapper: what differs between the cases of one is not in its scalars, and the scalars of a
# recipe are those of its pieces.
WHOLE = [name for name in CASES if "-" not in name and name not in RECIPES]
NAMED = [name for name in WHOLE if CASES[name].is_value and _holds_numbers(name)]


@pytest.mark.parametrize("name", NAMED)
def test_python_numbers_in_a_state(name):
    case = CASES[name]
    grads, state = case.gradients(1)[0], case.init(case.params)
    came = case.update(grads, jax.tree.map(_as_number, state), case.params)
    wanted = case.update(grads, state, case.params)
    near("the update", jax.tree.map(jnp.asarray, came[0]), wanted[0])
    assert [jnp.result_type(x) for x in jax.tree.leaves(came[1])] == [
        jnp.result_type(x) for x in jax.tree.leaves(wanted[1])
    ]
