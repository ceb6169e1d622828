"""The frame of eigenvectors: its means with kl, its steps, its three traps, and gradients that are not finite."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import frames
from gradtx.double_precision import double_precision

STEPS = 60


def gradients(m=5, n=8, steps=STEPS, seed=0):
    """They vary mostly along some axes, which are not those of the coordinates."""
    random = np.random.default_rng(seed)
    mix = np.linalg.qr(random.normal(size=(m, m)))[0] * np.exp(-0.4 * np.arange(m))
    return mix @ random.normal(size=(steps, m, n)) * np.exp(random.normal(size=(steps, 1, 1)))


@functools.partial(jax.jit, static_argnums=0)
def scanned(tx, g):
    w = jnp.zeros_like(g[0])

    def step(state, g):
        u, state = tx.update(g, state, w)
        return state, (u, state)

    return jax.lax.scan(step, tx.init(w), g)[1]


def run(tx, g, dtype=np.float32):
    """The updates, and the states after each step, as NumPy arrays."""
    return jax.tree.map(np.asarray, scanned(tx, np.asarray(g, dtype)))


def next_basis(mean, q, t):
    """Eigenvectors at first; then one step of orthogonal iteration, columns in falling order."""
    if t == 0:
        return np.linalg.eigh(mean)[1][:, ::-1]
    order = np.argsort(-np.diag(q.T @ mean @ q), kind="stable")
    return np.linalg.qr(mean @ q[:, order])[0]


def floored(d):
    return np.maximum(d, d.max() / max(10, min(len(d), 4000)) ** 2)


def kl_loop(gs, decay=0.9, every=3, b1=0.9, b2=0.999, eps=1e-8):
    """KL-SOAP: L and R of gradients that the other side has whitened, estimates of eigenvalues, Adam in the basis."""
    m, n = gs.shape[1:]
    left, right, q, p = np.zeros((m, m)), np.zeros((n, n)), np.eye(m), np.eye(n)
    of_rows, of_columns = np.zeros(m), np.zeros(n)
    mu, nu, out = np.zeros((m, n)), np.zeros((m, n)), []
    for t, g in enumerate(gs):
        size = np.sqrt(np.mean(g**2))
        d, e = (floored(of_rows), floored(of_columns)) if t else (np.full(m, size), np.full(n, size))
        y = q.T @ g @ p
        left = decay * left + (1 - decay) * g @ (p / e) @ p.T @ g.T / n
        right = decay * right + (1 - decay) * g.T @ (q / d) @ q.T @ g / m
        if t:
            of_rows = decay * of_rows + (1 - decay) * np.mean(y**2 / e, axis=1)
            of_columns = decay * of_columns + (1 - decay) * np.mean(y**2 / d[:, None], axis=0)
        if t % every == 0:
            new_q, new_p = next_basis(left, q, t), next_basis(right, p, t)
            a, b = q.T @ new_q, p.T @ new_p
            mu, nu, q, p = a.T @ mu @ b, (a**2).T @ nu @ b**2, new_q, new_p
            of_rows, of_columns = of_rows @ a**2, of_columns @ b**2
            if t == 0:
                of_rows = np.mean((q.T @ g) ** 2, axis=1) / size
                of_columns = np.mean((g @ p) ** 2, axis=0) / size
        y = q.T @ g @ p
        mu, nu = b1 * mu + (1 - b1) * y, b2 * nu + (1 - b2) * y * y
        out.append(q @ (mu / (1 - b1 ** (t + 1)) / (np.sqrt(nu / (1 - b2 ** (t + 1))) + eps)) @ p.T)
    return np.asarray(out)


def test_kl():
    """In float64, against the loop; the first step divides rounding by rounding."""
    gs = gradients(6, 6)
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis(0.9, every=3, kl=True))
    with double_precision():
        came = np.asarray(run(tx, gs, np.float64)[0])
    np.testing.assert_allclose(came[1:], kl_loop(gs)[1:], rtol=0, atol=1e-6)


def test_kl_follows_the_size_of_the_gradients():
    """Bases do not depend on it; the means are of the first degree."""
    tx = gradtx.in_frame(gradtx.identity(), frames.eigenbasis(0.9, every=3, kl=True))
    gs = gradients(6, 6, steps=8)
    one, large = (run(tx, gs * size)[1].basis for size in (1.0, 1e25))
    np.testing.assert_allclose(one.left, large.left, atol=1e-3)
    np.testing.assert_allclose(one.row_values[-1] * 1e25, large.row_values[-1], rtol=1e-4)


def test_kl_finds_the_factors_of_a_covariance():
    """For gradients A·Z·B, the ratios of the estimates become those of AAᵀ and BᵀB; the plain means do too."""
    random = np.random.default_rng(0)
    q, p = (np.linalg.qr(random.normal(size=(k, k)))[0] for k in (4, 6))
    a, b = np.asarray([8.0, 4.0, 2.0, 1.0]), np.asarray([32.0, 16.0, 8.0, 4.0, 2.0, 1.0])
    gs = (q * np.sqrt(a)) @ random.normal(size=(1500, 4, 6)) @ (p * np.sqrt(b)).T
    basis = run(gradtx.in_frame(gradtx.identity(), frames.eigenbasis(0.995, every=5, kl=True)), gs)[1].basis
    np.testing.assert_allclose(np.log(basis.row_values[-1].ravel() / basis.row_values[-1].min()), np.log(a), atol=0.3)
    values = basis.column_values[-1].ravel()
    np.testing.assert_allclose(np.log(values / values.min()), np.log(b), atol=0.3)


def when_new(states):
    """The steps in which the basis changed."""
    q = np.asarray(states)
    return [t for t in range(1, len(q)) if np.any(q[t] != q[t - 1])]


def test_staggered():
    """Each shape has its own steps, which do not depend on the other leaves; all begin at the first."""
    shapes = {"a": (5, 8), "b": (3, 4), "c": (6, 6), "d": (5, 8)}
    gs = {name: jnp.asarray(gradients(*shape, steps=12), jnp.float32) for name, shape in shapes.items()}
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis(every=5, staggered=True))
    w = {name: jnp.zeros(shape) for name, shape in shapes.items()}

    def steps(names):
        some = {name: w[name] for name in names}
        scan = jax.jit(lambda s: jax.lax.scan(lambda s, g: (tx.update(g, s)[1],) * 2, s, {k: gs[k] for k in names})[1])
        states = scan(tx.init(some))
        return {name: when_new(states.basis[name].left) for name in names}

    together = steps("abcd")
    assert together["a"] == together["d"] == steps("a")["a"]
    assert len({tuple(x) for x in together.values()}) > 1
    assert all(np.all(np.diff(x) == 5) and 1 <= x[0] <= 5 for x in together.values())
    states = run(tx.replace(frame=frames.eigenbasis(every=5)), gradients(steps=12))[1]
    assert when_new(states.basis.left) == [5, 10]


def test_one_cond_for_each_phase():
    """A step without a new basis computes none; leaves of one shape share the branch."""
    params = {"a": jnp.ones((6, 9)), "b": jnp.ones((6, 9)), "c": jnp.ones((7, 3))}
    frame = frames.eigenbasis(every=10, staggered=True)
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frame)
    program = jax.make_jaxpr(tx.update)(params, tx.init(params))
    conds = [eqn for eqn in program.eqns if eqn.primitive.name == "cond"]
    phases = {frame.phase(jax.ShapeDtypeStruct(x.shape, x.dtype)) for x in params.values()}
    assert len(conds) == len(phases) == 2
    assert not {"eigh", "qr", "householder_product", "geqrf"} & {eqn.primitive.name for eqn in program.eqns}


def test_trap_1_the_first_step_is_rounding_over_rounding():
    """In float32 it is far from the float64 one; behind `hold_still` there is none."""
    g = np.random.default_rng(0).normal(size=(1, 64, 64))
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis())
    with double_precision():
        exact = np.asarray(run(tx, g, np.float64)[0])
    assert np.linalg.norm(np.asarray(run(tx, g)[0]) - exact) > 2 * np.linalg.norm(exact)
    assert np.all(np.asarray(run(gradtx.chain(tx, gradtx.hold_still()), g)[0]) == 0)


def test_trap_2_second_moments_that_stay_while_the_basis_turns():
    """With a new basis in every step, entries in the basis become large; those that turn by R∘R stay near one."""
    gs = np.random.default_rng(0).normal(size=(50, 6, 6))

    def largest(carry):
        tx = gradtx.in_frame(gradtx.scale_by_adam(0.95, 0.95), frames.eigenbasis(every=1), carry=carry)
        with double_precision():
            u, states = run(tx, gs, np.float64)
        inside = np.swapaxes(np.asarray(states.basis.left), -1, -2) @ np.asarray(u) @ np.asarray(states.basis.right)
        return np.abs(inside[1:]).max()

    assert largest("turn") < 2.5
    assert largest("turn_signed") > 2 * largest("turn")


def test_trap_3_the_signs_and_the_order_of_eigenvectors():
    """Eigenvalues are in falling order, and the steps do not depend on the signs of the columns."""
    gs = gradients(steps=6)
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis(0.9, every=1))
    with double_precision():
        _, states = run(tx, gs, np.float64)
        basis = jax.tree.map(lambda x: x[3], states.basis)
        values = np.diag(basis.left.T @ basis.rows @ basis.left)
        assert np.all(np.diff(values) < 0)
        state, signs = jax.tree.map(lambda x: x[3], states), np.asarray([1.0, -1, 1, -1, -1])
        other = state._replace(
            basis=state.basis._replace(left=state.basis.left * signs[None]),
            inner=state.inner._replace(mu=state.inner.mu * signs[:, None]),
        )
        update = jax.jit(tx.update)
        u, v = (np.asarray(update(gs[4], s)[0]) for s in (state, other))
    np.testing.assert_allclose(u, v, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kl", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gradients_that_are_not_finite(bad, kl):
    """The basis stays, and counts them; with `skip_nonfinite` around it the whole step is skipped, and nothing lost."""
    gs = gradients(steps=7)
    gs[3, 1, 2] = bad
    frame = frames.eigenbasis(0.9, every=3, kl=kl)
    states = run(gradtx.in_frame(gradtx.identity(), frame), gs)[1]
    before, after = (jax.tree.map(lambda x, t=t: x[t], states.basis) for t in (2, 3))
    np.testing.assert_array_equal(before.rows, after.rows)
    np.testing.assert_array_equal(states.basis.skipped.ravel(), [0, 0, 0, 1, 1, 1, 1])
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(states.basis))
    tx = gradtx.skip_nonfinite(gradtx.in_frame(gradtx.scale_by_adam(), frame))
    u, states = run(tx, gs)
    assert int(states.skipped[-1]) == 1
    u_without, _ = run(tx, np.append(np.delete(gs, 3, 0), gs[:1], 0))  # as long as the other run: one program
    np.testing.assert_array_equal(np.delete(u, 3, 0), u_without[:-1])


def test_a_basis_that_is_not_finite_is_not_used():
    """The old one stays, with the state inside."""
    tx, gs = gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis(0.9, every=2)), gradients(steps=3)
    _, states = run(tx, gs)
    state = jax.tree.map(lambda x: x[1], states)
    rows = state.basis.rows.copy()
    rows[0, 0] = np.nan
    u, after = jax.jit(tx.update)(np.float32(gs[2]), state._replace(basis=state.basis._replace(rows=rows)))
    np.testing.assert_array_equal(after.basis.left, state.basis.left)
    assert int(after.basis.skipped[0, 0]) == 1
    assert np.all(np.isfinite(u))


def test_the_plan_names_sides_that_are_too_long():
    params = {"a": jnp.ones((5, 7)), "b": jnp.ones((3, 4)), "c": jnp.ones((8, 9)), "d": jnp.ones(3)}
    rows = gradtx.plan(gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis(max_dim=5)), params).rows
    assert [row.rule for row in rows] == [
        "basis of rows, 7 columns > 5",
        "basis of rows and columns",
        "no basis, 8 rows > 5, 9 columns > 5",
        "no basis: no matrix",
    ]


@pytest.mark.parametrize("shape", [(16, 16), (16, 24)], ids=str)
def test_codecs_leave_the_basis_exact(shape):
    """Also where it has the shape of its leaf; with eight bits for the moments the bases are the same, to the bit."""
    gs = gradients(*shape, steps=12)
    tx = gradtx.in_frame(gradtx.scale_by_adam(), frames.eigenbasis(every=3))
    u, states = run(tx, gs)
    v, stored = run(gradtx.store(tx, gradtx.storage.int8(), min_size=0), gs)
    basis = stored.inner.basis
    for field, expected in states.basis._asdict().items():
        came = getattr(basis, field)
        came = came.exact if isinstance(came, gradtx.storage.Stored) else came
        if expected is not None:
            np.testing.assert_array_equal(came, expected)
    assert stored.inner.inner.mu.codes.dtype == jnp.uint8
    difference = np.linalg.norm(np.asarray(u - v)[1:]) / np.linalg.norm(np.asarray(u)[1:])
    assert 0 < difference < 0.1
