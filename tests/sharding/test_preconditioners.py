"""What preconditioners send of a split matrix, in matrices, read from the compiled programs."""

import math
from collections import Counter

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import gradtx
from tests.sharding.hlo import collectives
from tests.sharding.meshes import AUTO, EXPLICIT, mesh_of

ROWS, STACK = PartitionSpec("data"), PartitionSpec(None, "data")
ADAM = gradtx.scale_by_adam()
SOAP = gradtx.in_frame(ADAM, gradtx.frames.eigenbasis(every=2))
CONDA = gradtx.in_frame(ADAM, gradtx.frames.singular_vectors(every=2))
SHAMPOO = gradtx.scale_by_shampoo(every=2)
PSGD = gradtx.scale_by_psgd_kron(0.1, 0.5)
GATHER, A2A = "all-gather", "all-to-all"


def sent(tx, shape, spec, kind, others):
    """What is sent in each step, and what more in a step with a new basis; numbers alone do not count."""
    split = NamedSharding(mesh_of(8, kind=kind), spec)
    g = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=split)
    state, shardings = jax.eval_shape(tx.init, g), gradtx.state_shardings(tx, g, others=others)
    state = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, shardings)
    found = collectives(jax.jit(tx.update, out_shardings=(split, shardings)).lower(g, state).compile())
    count, size = (Counter(), Counter()), [0.0, 0.0]
    for c in found:
        numbers = sum(math.prod(like) for _, like in c.arrays)
        if numbers > shape[0]:
            count[c.in_branch][c.kind] += 1
            size[c.in_branch] += numbers / math.prod(shape)
    return count, size


@pytest.mark.parametrize(
    ("tx", "kind", "each", "anew"),
    [
        pytest.param(SOAP, AUTO, {GATHER: 2}, {GATHER: 2}, id="soap"),  # g and u; both moments
        pytest.param(SOAP, EXPLICIT, {GATHER: 2}, {GATHER: 2}, id="soap explicit"),
        pytest.param(CONDA, AUTO, {GATHER: 2}, {GATHER: 2}, id="conda"),
        pytest.param(SHAMPOO, AUTO, {GATHER: 1}, {}, id="shampoo"),
        pytest.param(PSGD, AUTO, {GATHER: 1}, {}, id="psgd"),
    ],
)
def test_a_lonely_matrix_is_gathered_once_on_each_way(tx, kind, each, anew):
    count, size = sent(tx, (16, 64), ROWS, kind, None)
    assert count == (each, anew)
    assert size == [sum(each.values()), sum(anew.values())]


@pytest.mark.parametrize(
    ("tx", "each", "anew"),
    [
        pytest.param(SOAP, 4, 4, id="soap"),  # g, its update and back; both moments and back
        pytest.param(SHAMPOO, 2, 0, id="shampoo"),
    ],
)
def test_a_stack_goes_to_its_owners_and_back(tx, each, anew):
    count, size = sent(tx, (16, 8, 32), STACK, AUTO, gradtx.owner_sharding)
    assert count == ({A2A: each} if each else {}, {A2A: anew} if anew else {})
    assert size == [each / 8, anew / 8]


SIDES = (16 * 16 + 64 * 64) / (16 * 64)
SHORT = 16 * 16 / (16 * 64)


@pytest.mark.parametrize(
    ("tx", "kind", "each", "anew"),
    [
        pytest.param(SOAP, AUTO, (4, 2 + SIDES), (4, 2 + SIDES), id="soap"),  # g, u, both Q; both moments, L and R
        # The program for a first basis has L and R once more, and the old Q and the new Q are gathered in three places.
        pytest.param(SOAP, EXPLICIT, (4, 2 + SIDES), (10, 2 + 4 * SIDES), id="soap explicit"),
        pytest.param(CONDA, AUTO, (3, 2 + SHORT), (3, 2 + SHORT), id="conda"),  # g, u, Q; both moments and the mean
        pytest.param(SHAMPOO, AUTO, (3, 1 + SIDES), (4, 2 * SIDES), id="shampoo"),  # g, roots; L and R, old roots
        pytest.param(PSGD, AUTO, (3, 1 + SIDES), (2, SIDES), id="psgd"),  # g, both Q; both before the step
    ],
)
def test_a_basis_that_is_split_is_gathered_where_it_is_used(tx, kind, each, anew):
    """Once for each use; the products of the gradient stay split, and nothing of them is sent."""
    count, size = sent(tx, (16, 64), ROWS, kind, gradtx.owner_sharding)
    assert count == ({GATHER: each[0]}, {GATHER: anew[0]})
    assert size == [each[1], anew[1]]
