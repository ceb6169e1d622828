"""Averages, lookahead, schedule-free, SAM and a plateau in one another: under jit, scan and vmap, and on devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import averaged, chain, eval_params, inject, reduce_on_plateau, sgd
from gradtx.testing.case import cast
from gradtx.testing.compare import near, same_types

WRAPPERS = {
    "average": lambda inner: gradtx.average(inner, 0.9, start=1, every=2),
    "lookahead": lambda inner: gradtx.lookahead(inner, 3, 0.5, reset_state=True),
    "schedule_free": lambda inner: gradtx.schedule_free(inner, lambda step: 0.1 / (1.0 + step)),
    "sam": lambda inner: gradtx.sam(inner, 0.05),
    "plateau": lambda inner: chain(inner, reduce_on_plateau(0.5, 1, accumulation_size=2)),
    "inject": inject,
}
PAIRS = [(outer, inner) for outer in WRAPPERS for inner in WRAPPERS]
PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.float32(0.25), "n": jnp.array([1, 2]), "none": None}


def grad_fn(params):
    """Of a bowl round 1."""
    return {k: p - 1 if k in "wb" else None for k, p in params.items()}


def step(tx, params, state):
    extra = {k: v for k, v in {"grad_fn": grad_fn, "value": params["b"]}.items() if k in tx.extras.known}
    updates, state = tx.update(grad_fn(params), state, params, **extra)
    return gradtx.apply_updates(params, updates), state


@functools.cache
def made(outer, inner):
    return WRAPPERS[outer](WRAPPERS[inner](sgd(0.1, momentum=0.9)))


@pytest.mark.parametrize(("outer", "inner"), [pair for pair in PAIRS if {"sam", "plateau"} & {*pair}])
def test_jit_scan_and_vmap_agree_and_keep_the_types(outer, inner):
    tx = made(outer, inner)
    jitted = jax.jit(functools.partial(step, tx))
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(5):
        params, after = jitted(params, state)
        same_types("the state", after, state)
        state = after
    assert jitted._cache_size() == 1

    def run(params):
        def body(carry, _):
            return step(tx, *carry), None

        return jax.lax.scan(body, (params, tx.init(params)), length=5)[0]

    batch = jax.tree.map(lambda p: jnp.stack([p, p]), PARAMS)
    mapped = jax.jit(jax.vmap(run))(batch)
    near("a row of mapped scans", jax.tree.map(lambda x: x[1], mapped), (params, state))
    half = cast(PARAMS, "bfloat16")
    before = jax.eval_shape(tx.init, half)
    after = jax.eval_shape(functools.partial(step, tx), half, before)
    same_types("what comes of half precision", after, (half, before))


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_what_is_kept_is_found(outer, inner):
    tx, names = made(outer, inner), [outer, inner]
    params, state = step(tx, PARAMS, tx.init(PARAMS))
    for reader, name in ((averaged, "average"), (eval_params, "schedule_free")):
        if names.count(name) == 1:
            found = reader(state, params)
            near(f"{name} after one step", found, params)  # of one step, the average is that step
            assert found["n"] is params["n"]
            assert found["none"] is None
            rows = jax.tree.map(lambda x: jnp.stack([x, x]), (state, params))
            near("a row", jax.tree.map(lambda x: x[0], jax.vmap(reader)(*rows)), found)
        else:
            with pytest.raises(ValueError, match="there is no state of" if name not in names else "there are 2 states"):
                reader(state, params)


def test_three_deep_in_a_chain_under_accumulate_and_a_mask():
    inner = gradtx.average(gradtx.lookahead(gradtx.schedule_free(sgd(0.1), 0.1), 2), every=2)
    tx = chain(gradtx.clip_by_global_norm(10.0), outer=gradtx.accumulate(gradtx.masked(inner, ("w", "b")), 3))
    params, state = PARAMS, tx.init(PARAMS)
    jitted = jax.jit(functools.partial(step, tx))
    for _ in range(9):
        params, state = jitted(params, state)
    assert state["outer"].inner.count == 3
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((averaged(state, params), eval_params(state, params))))
    assert averaged(state, params)["w"].shape == (2, 2)


def test_each_does_its_work_inside_the_other():
    """On a noisy bowl the average ends nearer the middle than the path, also round lookahead and SAM."""
    noise = jnp.asarray(np.random.default_rng(0).standard_normal((300, 4)), jnp.float32)

    def last(tx, read):
        def body(carry, e):
            w, state = carry
            updates, state = tx.update(w + e, state, w, **({"grad_fn": lambda p: p + e} if tx.extras.needed else {}))
            return (gradtx.apply_updates(w, updates), state), None

        (w, state), _ = jax.lax.scan(body, (jnp.ones(4), tx.init(jnp.ones(4))), noise)
        return float(jnp.linalg.norm(read(state, w)))

    plain = last(sgd(0.5), lambda state, w: w)
    for inner in (sgd(0.5), gradtx.lookahead(sgd(0.5)), gradtx.sam(sgd(0.5), 0.01)):
        assert last(gradtx.average(inner, start=100), averaged) < plain / 4
        assert last(gradtx.schedule_free(inner, 0.1), eval_params) < plain / 2


@pytest.mark.parametrize("name", ["average", "lookahead", "schedule_free"])
def test_the_copy_is_a_copy_in_its_own_place(name):
    mesh = jax.sharding.Mesh(np.array(jax.devices()), "x")
    over = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    params, tx = {"w": jax.device_put(jnp.arange(8.0), over)}, WRAPPERS[name](sgd(0.1))
    step = jax.jit(lambda g, s, p: tx.update(g, s, p), donate_argnums=(1, 2))
    for init in (tx.init, jax.jit(tx.init)):
        state = init(params)
        copies = [x for x in jax.tree.leaves(state) if x.shape == (8,)]
        assert len(copies) == 1
        assert copies[0].sharding == over
        _, state = step(params, state, jax.tree.map(jnp.array, params))
        assert next(x for x in jax.tree.leaves(state) if x.shape == (8,)).sharding == over
    shapes = {"w": jax.ShapeDtypeStruct((8,), jnp.float32)}
    assert jax.eval_shape(tx.init, shapes) == jax.eval_shape(tx.init, params)
    with pytest.raises(TypeError, match=r"copy of the parameters; for shapes, jax\.eval_shape\(tx\.init, shapes\)"):
        tx.init(shapes)
