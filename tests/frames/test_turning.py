"""Frames that turn: equivariant under rotations, and the inner state goes with the basis, whatever is inside."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import frames, moments
from gradtx.catalog import ENTRIES
from gradtx.double_precision import double_precision
from gradtx.frames.carry import along_columns, along_rows
from gradtx.roles import declared_roles


def rotation(n, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


@functools.partial(jax.jit, static_argnums=0)
def scanned(tx, gradients):
    params = 0.3 * gradients[::-1]
    state = tx.init(0.3 * gradients[0])
    return jax.lax.scan(lambda s, row: tx.update(row[0], s, row[1])[::-1], state, (gradients, params))[1]


def updates_of(tx, gradients):
    """The updates of every step, in float64, at parameters that turn with the gradients."""
    with double_precision():
        return np.asarray(scanned(tx, gradients))


def has_roles(tx):
    """Whether a field of the state declares a role."""

    def anywhere(node):
        children = jax.tree.leaves(node, is_leaf=lambda x: x is not node)
        return bool(declared_roles(type(node))) or any(anywhere(x) for x in children if x is not node)

    return anywhere(jax.eval_shape(tx.init, jnp.zeros((2, 2))))


PIECES = {name: entry.make() for name, entry in ENTRIES.items() if entry.kind == "piece"}
DECLARED = [name for name, tx in PIECES.items() if not tx.extras.needed and has_roles(tx)]
BASIS = frames.eigenbasis(0.9, every=4, sides="rows")
GRADIENTS = np.random.default_rng(0).normal(size=(30, 5, 7))


def test_the_catalog_has_pieces_with_roles():
    """The list below is not empty by mistake."""
    assert {"scale_by_adam", "scale_by_rms", "scale_by_lbfgs", "add_momentum", "ema"} <= set(DECLARED)
    assert len(DECLARED) > 12


@pytest.mark.parametrize("name", DECLARED)
def test_equivariant_under_rotations(name):
    """In the eigenvectors of g·gᵀ, whatever declares roles turns with the gradients: u(U·g) = U·u(g)."""
    turn = rotation(5, seed=1)
    tx = gradtx.in_frame(PIECES[name], BASIS)
    came, expected = updates_of(tx, turn @ GRADIENTS), turn @ updates_of(tx, GRADIENTS)
    np.testing.assert_allclose(came, expected, rtol=0, atol=1e-9 * np.max(np.abs(expected)))


@pytest.mark.parametrize("moment", [moments.per_row(), moments.per_leaf(), moments.factored()], ids=repr)
def test_second_moments_of_several_entries(moment):
    """They have length 1 along the axes of which they are the mean; such an axis stays as it is."""
    turn, tx = rotation(5, seed=1), gradtx.in_frame(gradtx.scale_by_rms(moment=moment), BASIS)
    came, expected = updates_of(tx, turn @ GRADIENTS), turn @ updates_of(tx, GRADIENTS)
    np.testing.assert_allclose(came, expected, rtol=0, atol=1e-9 * np.max(np.abs(expected)))


def test_second_moments_of_blocks_cannot_turn():
    tx = gradtx.in_frame(gradtx.scale_by_rms(moment=moments.blocks(2)), BASIS)
    with pytest.raises(ValueError, match=r"where its leaf has shape .* in the frame, so it cannot follow"):
        tx.init(jnp.ones((4, 6)))


def test_without_the_frame_it_is_not():
    turn, tx = rotation(5, seed=1), gradtx.scale_by_adam()
    assert np.max(np.abs(updates_of(tx, turn @ GRADIENTS) - turn @ updates_of(tx, GRADIENTS))) > 0.5


@pytest.mark.parametrize("sides", ["both", "smaller", "rows", "columns"])
def test_both_sides(sides):
    """u(U·g·Vᵀ) = U·u(g)·Vᵀ, for the sides that turn. In the first step entries of y that are 0 are noise over eps."""
    u, v = rotation(6, seed=1), rotation(6, seed=2)
    u = np.eye(6) if sides == "columns" else u
    v = v if sides in ("both", "columns") else np.eye(6)
    gradients = np.random.default_rng(0).normal(size=(40, 6, 6))
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis(0.9, every=3, sides=sides))
    came, expected = updates_of(tx, u @ gradients @ v.T), u @ updates_of(tx, gradients) @ v.T
    np.testing.assert_allclose(came[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(came[1:], expected[1:], atol=1e-10)


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("inner", [gradtx.add_momentum(0.9), gradtx.ema(0.9)], ids=repr)
def test_momentum_inside_is_momentum_outside(inner, every):
    tx = gradtx.in_frame(inner, frames.eigenbasis(0.9, every))
    np.testing.assert_allclose(updates_of(tx, GRADIENTS), updates_of(inner, GRADIENTS), rtol=0, atol=1e-12)


def test_momentum_of_complex_leaves_too():
    """Each side turns by the adjoint of what the other turns by."""
    inner, random = gradtx.ema(0.9), np.random.default_rng(0)
    gradients = random.normal(size=(12, 4, 5)) + 1j * random.normal(size=(12, 4, 5))
    tx = gradtx.in_frame(inner, frames.eigenbasis(0.9, every=2))
    np.testing.assert_allclose(updates_of(tx, gradients), updates_of(inner, gradients), rtol=0, atol=1e-12)


def test_started_in_the_basis_of_its_first_gradient_the_first_step_is_its_polar_factor():
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis())
    u, _, vt = np.linalg.svd(GRADIENTS[0], full_matrices=False)
    np.testing.assert_allclose(updates_of(tx, GRADIENTS[:1])[0], u @ vt, atol=1e-6)


@pytest.mark.parametrize("along", [along_rows, along_columns])
def test_second_moments_keep_their_sum_and_sign(along):
    """R∘R does, where R itself makes some negative and changes the sum; magnitudes keep the sum of their squares."""
    random = np.random.default_rng(0)
    v = jnp.asarray(random.exponential(size=(3, 8, 8)), jnp.float32)
    r = jnp.asarray(np.stack([rotation(8, seed=k) for k in range(3)]), jnp.float32)
    came = along(r, "nonnegative", v)
    assert jnp.min(came) >= 0
    np.testing.assert_allclose(jnp.sum(came), jnp.sum(v), rtol=1e-6)
    plain = along(r, "signed", v)
    assert jnp.min(plain) < 0
    assert abs(float(jnp.sum(plain) / jnp.sum(v)) - 1) > 0.1
    magnitude = along(r, "magnitude", v)
    assert jnp.min(magnitude) >= 0
    np.testing.assert_allclose(jnp.sum(magnitude**2), jnp.sum(v**2), rtol=1e-6)
    np.testing.assert_allclose(along(r, "magnitude", v * 1e25), magnitude * 1e25, rtol=1e-5)
    back = along(jnp.swapaxes(r, -1, -2), "exact", along(r, "exact", v))
    np.testing.assert_allclose(back, v, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("role", ["signed", "nonnegative", "magnitude"])
def test_a_permutation_of_the_basis_permutes_every_field(role):
    v = jnp.asarray(np.random.default_rng(0).exponential(size=(4, 6)), jnp.float32)
    order = np.asarray([2, 0, 1, 3])
    swap = jnp.eye(4)[:, order]
    np.testing.assert_allclose(along_rows(swap, role, v), v[order], rtol=1e-6)


def test_a_second_moment_is_the_diagonal_of_a_turned_covariance():
    random = np.random.default_rng(0)
    v, r = random.exponential(size=5), rotation(5, seed=3)
    expected = np.diag(r.T @ np.diag(v) @ r)
    came = along_columns(jnp.asarray(r, jnp.float32), "nonnegative", jnp.asarray(v, jnp.float32)[None])
    np.testing.assert_allclose(came[0], expected, rtol=1e-5)


def inner_after(carry, frame, inner=None):
    """The inner state after a refresh that follows one gradient, and what it was before."""
    tx = gradtx.in_frame(inner or gradtx.scale_by_adam(b1=1.0 - 2**-20, b2=1.0 - 2**-20), frame, carry=carry)
    x = jnp.asarray(GRADIENTS[0], jnp.float32)
    update = jax.jit(tx.update)
    _, before = update(x, tx.init(x))
    _, after = update(jnp.asarray(1e-6 * GRADIENTS[1], jnp.float32), before)
    return before.inner, after.inner


def test_carry():
    """What stays under "keep" and "turn_signed" is as it was, and the rest is not."""
    frame = frames.eigenbasis(0.0, every=1)
    moved = {}
    for carry in ("turn", "turn_signed", "keep", None):
        before, after = inner_after(carry, frame)
        moved[carry] = [
            np.max(np.abs(np.asarray(a) - b)) / np.max(np.abs(b)) > 1e-2
            for a, b in zip(before[1:], after[1:], strict=True)
        ]
    assert moved == {"turn": [True, True], "turn_signed": [True, False], "keep": [False, False], None: [True, True]}


def test_low_rank_keeps_unless_told():
    frame = frames.low_rank(2, every=1)
    same = [
        np.array_equal(*map(np.asarray, pair)) for pair in zip(*map(jax.tree.leaves, both_ways(frame)), strict=True)
    ]
    assert all(same)


def both_ways(frame):
    return inner_after("keep", frame)[1], inner_after(None, frame)[1]


def unrolled(params):
    return {"mean": jnp.zeros_like(params)}


def no_roles(updates, state, params=None):
    return updates, {"mean": 0.9 * state["mean"] + 0.1 * updates}


def test_what_declares_no_roles_can_only_be_kept():
    x = jnp.ones((3, 3))
    with pytest.raises(ValueError, match=r"state at mean, of shape .*, and its field has no role"):
        gradtx.in_frame((unrolled, no_roles), frames.eigenbasis()).init(x)
    tx = gradtx.in_frame((unrolled, no_roles), frames.eigenbasis(), carry="keep")
    tx.update(x, tx.init(x))


@pytest.mark.parametrize("inner", [gradtx.scale_by_shampoo(), gradtx.scale_by_psgd_kron()], ids=lambda tx: tx.name)
def test_statistics_of_sides_cannot_turn(inner):
    """They are squares of the sides of a leaf, which has another shape."""
    with pytest.raises(ValueError, match=r"state at left, of shape \(3, 3\), belongs to a leaf of shape \(3, 4\)"):
        gradtx.in_frame(inner, frames.eigenbasis()).init(jnp.ones((3, 4)))


def test_codes_cannot_turn():
    x = {"w": jnp.ones((64, 64))}
    stored = gradtx.store(gradtx.scale_by_adam(), gradtx.storage.int8(), min_size=0)
    with pytest.raises(ValueError, match=r"state at .*mu/codes/w .*give carry='keep', or put what changes its form"):
        gradtx.in_frame(stored, frames.eigenbasis()).init(x)
    gradtx.in_frame(stored, frames.low_rank(8)).init(x)
    around = gradtx.store(gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis()), gradtx.storage.int8())
    state = around.init(x)
    jax.eval_shape(around.update, x, state)


def test_a_random_basis_cannot_carry():
    with pytest.raises(ValueError, match=r"frames.low_rank.* cannot do carry='turn'; it can do keep"):
        gradtx.in_frame(gradtx.scale_by_adam(), frames.low_rank(2, basis="random"), carry="turn")


@pytest.mark.parametrize("frame", [frames.eigenbasis(), frames.low_rank(2)], ids=repr)
def test_zero_gradients_leave_the_identity(frame):
    """Nothing is NaN, and the basis is that of the leaf, at the first step and later."""
    x = {"w": jnp.zeros((4, 6)), "b": jnp.zeros(3)}
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frame)
    state = tx.init(x)
    basis = state.basis
    for _ in range(3):
        updates, state = tx.update(x, state)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(updates))
    for came, expected in zip(jax.tree.leaves(state.basis), jax.tree.leaves(basis), strict=True):
        np.testing.assert_array_equal(came, expected)


@pytest.mark.parametrize("frame", [frames.eigenbasis(every=1), frames.low_rank(2, every=1)], ids=repr)
@pytest.mark.parametrize("size", [1e25, 1e-30])
def test_sizes(frame, size):
    """A basis does not depend on the size of the gradients."""
    tx = gradtx.in_frame(gradtx.scale_by_sign(), frame)
    for g in GRADIENTS[:3]:
        updates, _ = tx.update(jnp.asarray(g * size, jnp.float32), tx.init(jnp.zeros((5, 7))))
        assert np.all(np.isfinite(updates))
        assert np.max(np.abs(updates)) > 0.1


@pytest.mark.parametrize("frame", [frames.eigenbasis(every=1, decay=0.5), frames.low_rank(2, every=1)], ids=repr)
def test_complex_leaves(frame):
    """Bases are unitary: the update of SGD is the gradient, or its part in the directions of the basis."""
    random = np.random.default_rng(0)
    z = jnp.asarray(random.normal(size=(5, 7)) + 1j * random.normal(size=(5, 7)), jnp.complex64)
    tx = gradtx.in_frame(gradtx.identity(), frame)
    state = tx.init(z)
    for turn in (1.0, 1j):
        updates, state = tx.update(z * turn, state)
    expected = np.asarray(z * 1j)
    if frame.period and isinstance(frame, type(frames.low_rank(2))):
        u, s, vh = np.linalg.svd(expected, full_matrices=False)
        expected = (u[:, :2] * s[:2]) @ vh[:2]
    np.testing.assert_allclose(updates, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: frames.low_rank(0), ValueError, "low_rank: rank must be at least 1; got 0"),
        (lambda: frames.low_rank(2.0), TypeError, "low_rank: rank must be a whole number; got 2.0"),
        (lambda: frames.low_rank(2, every=0), ValueError, "low_rank: every must be at least 1; got 0"),
        (lambda: frames.low_rank(2, basis="SVD"), ValueError, "basis must be one of 'svd', 'random'; got 'SVD'"),
        (lambda: frames.low_rank(2, key=2**32), ValueError, "key must be below"),
        (lambda: frames.eigenbasis(decay=1.5), ValueError, r"eigenbasis: decay must be in \[0, 1\]; got 1.5"),
        (lambda: frames.eigenbasis(every=0), ValueError, "eigenbasis: every must be at least 1; got 0"),
        (lambda: frames.eigenbasis(sides="left"), ValueError, "sides must be one of 'both'"),
        (lambda: frames.eigenbasis(max_dim=0), ValueError, "max_dim must be at least 1"),
        (lambda: frames.eigenbasis(kl=1), TypeError, "eigenbasis: kl must be True or False; got 1"),
        (lambda: frames.eigenbasis(staggered=None), TypeError, "staggered must be True or False; got None"),
    ],
)
def test_bad_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_state_of_another_shape_names_the_leaf():
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frames.low_rank(2))
    with pytest.raises(
        ValueError, match=r"update at w has shape \(5, 7\), and the state has a basis for another shape"
    ):
        tx.update({"w": jnp.ones((5, 7))}, tx.init({"w": jnp.ones((9, 4))}))


def test_which_sides_of_which_leaves():
    """Long sides and vectors keep their coordinates; a leaf without a side that turns has no basis at all."""
    params = {"tall": jnp.ones((20, 4)), "long": jnp.ones((20, 30)), "stack": jnp.ones((2, 3, 4)), "b": jnp.ones(3)}
    state = gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis(max_dim=10)).init(params)
    shapes = jax.tree.map(
        lambda s: s and [None if x is None else x.shape for x in s[:4]], state.basis, is_leaf=is_basis
    )
    expected = {"tall": [None, (4, 4)] * 2, "long": None, "b": None}
    assert shapes == {**expected, "stack": [(2, 3, 3), (2, 4, 4)] * 2}


def is_basis(x):
    return x is None or hasattr(x, "_fields")


def test_one_svd_in_many_steps():
    """The new basis is made under one cond, for all leaves: a step without it does not compute it."""
    params = {name: jnp.ones((6, 9)) for name in "abc"}
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frames.low_rank(2))
    program = jax.make_jaxpr(tx.update)(params, tx.init(params))
    conds = [eqn for eqn in program.eqns if eqn.primitive.name == "cond"]
    assert len(conds) == 1
    outside = "\n".join(str(eqn.primitive) for eqn in program.eqns)
    assert "svd" not in outside
    assert str(conds[0]).count("svd") >= 3


@pytest.mark.parametrize("basis", ["svd", "random"])
def test_a_low_rank_step_has_no_temporary_of_the_size_of_a_leaf(basis):
    """Besides the update itself, and what a new basis needs, which is made once in many steps."""
    shape, rank = (128, 4096), 4
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frames.low_rank(rank, basis=basis))
    params = jnp.zeros(shape)
    step = jax.jit(lambda g, s, p: functools.reduce(lambda _, k: k, [tx.step(g, s, p)]), donate_argnums=(1, 2))
    memory = step.lower(params, tx.init(params), params).compile().memory_analysis()
    leaf = 4 * params.size
    assert memory.temp_size_in_bytes < (4.5 if basis == "svd" else 1.5) * leaf


@pytest.mark.parametrize("name", ["Adam in an eigenbasis", "splus", "conda", "dion"])
def test_gradients_as_large_as_floats_get(name):
    """The rotated ones, and a momentum that grows, are finite; so are the updates."""
    g = {"w": jnp.asarray(3.4e38 * np.sign(np.random.default_rng(0).normal(size=(5, 8))), jnp.float32)}
    make, w = getattr(gradtx, name, None), {"w": jnp.ones((5, 8))}
    tx = make(0.1) if make else gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis())
    run = jax.jit(lambda state: jax.lax.scan(lambda s, _: tx.update(g, s, w)[::-1], state, None, 30))
    assert np.isfinite(run(tx.init(w))[1]["w"]).all()


@pytest.mark.parametrize("frame", [frames.eigenbasis(), frames.singular_vectors(), frames.low_rank(2)], ids=repr)
def test_an_infinite_gradient_shows_and_leaves_the_basis(frame):
    tx = gradtx.in_frame(gradtx.identity(), frame)
    g = jnp.ones((3, 4)).at[1, 2].set(jnp.inf)
    u, state = tx.update(g, tx.init(g))
    assert np.isnan(u).any()
    assert np.isfinite(tx.update(jnp.ones((3, 4)), state)[0]).all()


def test_the_first_basis_of_a_late_matrix_is_that_of_eigenvectors():
    """Whose first gradients are zero gets eigenvectors at the first basis after these, alone or in a stack.

    The other matrices of the stack go on as if they were alone, and one whose gradients stay zero keeps its axes.
    """
    tx = gradtx.in_frame(gradtx.identity(), frames.eigenbasis(0.9, every=4))
    gs = np.random.default_rng(0).normal(size=(5, 3, 5, 7)).astype(np.float32)
    gs[:2, 0] = gs[:, 2] = 0.0

    @jax.jit
    def last(gs):
        return jax.lax.scan(lambda s, g: tx.update(g, s)[::-1], tx.init(gs[0]), gs)[0].basis

    stack = last(gs)
    for q, mean in ((stack.left[0], stack.rows[0]), (stack.right[0], stack.columns[0])):
        inside = np.asarray(q).T @ np.asarray(mean) @ np.asarray(q)
        np.testing.assert_allclose(inside - np.diag(np.diag(inside)), 0, atol=1e-5 * np.abs(mean).max())
    for k in range(3):
        alone = last(gs[:, k])
        np.testing.assert_allclose(np.abs(stack.left[k]), np.abs(alone.left), atol=2e-5)
        np.testing.assert_allclose(np.abs(stack.right[k][:, :5]), np.abs(alone.right[:, :5]), atol=2e-5)


def test_the_plan_says_which_leaves_have_a_basis():
    params = {"w": jnp.ones((4, 6)), "b": jnp.ones(3), "tall": jnp.ones((40, 20))}
    rules = {
        frame: {row.leaf: row.rule for row in gradtx.plan(gradtx.in_frame(gradtx.scale_by_adam(), frame), params).rows}
        for frame in (frames.low_rank(9), frames.singular_vectors())
    }
    low, singular = rules.values()
    assert low == {"w": "no low rank: 9 is not below 4", "b": "no low rank: no matrix", "tall": "rank 9 of 20"}
    assert (singular["w"], singular["tall"]) == ("singular vectors of rows", "singular vectors of columns")
    assert singular["b"] == "no basis: no matrix"
