"""Outside jit too, a state owns its buffers: gradients, parameters and updates may be given away after each update."""

import jax
import pytest

from gradtx.catalog import RECIPES
from tests.contract.registry import CASES

# One case of each piece and wrapper; of a recipe, the pieces share nothing with what they are given or give.
NAMED = [name for name, case in CASES.items() if case.is_value and "-" not in name and name not in RECIPES]


def _buffers(tree):
    arrays = [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array) and x.size and x.is_fully_addressable]
    arrays = [x for x in arrays if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended)]
    return {shard.data.unsafe_buffer_pointer() for x in arrays for shard in x.addressable_shards}


@pytest.mark.parametrize("name", NAMED)
def test_the_state_shares_no_buffer(name):
    case = CASES[name]
    params, grads = case.params, case.gradients(1)[0]
    state = case.init(params)
    for _ in range(2):
        updates, after = case.update(grads, state, params)
        kept = _buffers(after)
        assert not kept & _buffers(grads), "with the gradients"
        assert not kept & _buffers(params), "with the parameters"
        assert not kept & _buffers(updates), "with the updates"
        state = after
