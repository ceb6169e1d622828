"""Encoded states on eight devices: they stay where init puts them, so that a step is compiled once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import storage
from gradtx.sharding import state_shardings
from tests.sharding.meshes import AUTO, EXPLICIT, compilations, mesh_of, put, specs

ADAM = gradtx.adam(0.1)
CODECS = {
    "int8": storage.int8(),
    "int8, many blocks": storage.int8(block=16),
    "int4": storage.int4(),
    "bfloat16": storage.bfloat16(),
    "factored, int8": storage.factored(signed=storage.int8()),
}
BOTH = ("data", "model")
LEAVES = [  # blocks of whole rows, of parts of rows, of several rows; cut evenly and not; more devices than blocks
    ((32, 16), ("data", "model")),
    ((32, 16), ("model", "data")),
    ((8, 300), ("data", "model")),
    ((128, 512), (None, BOTH)),
    ((4, 6, 8), (None, "data", "model")),
    ((512,), (BOTH,)),
    ((24,), ("model",)),
]


def run(tx, params, made):
    """The specs of the state after init and after each of three steps, and how many programs the steps took."""
    return ran(jax.jit(lambda params, state: tx.step(params, state, params)), params, made(params))


def ran(step, params, state):
    """As `run`, of a compiled step."""
    seen = [specs(state)]
    with compilations() as compiled:
        for _ in range(3):
            params, state = step(params, state)
            seen.append(specs(state))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(params))
    return seen, len(compiled)


def inits(tx, params):
    """By init outside jit, and inside with `state_shardings`."""
    return {"eager": tx.init, "told": jax.jit(tx.init, out_shardings=state_shardings(tx, params))}


@pytest.mark.parametrize("codec", CODECS)
def test_codes_stay_where_they_are_on_an_auto_mesh(codec):
    """And one program is enough for states of both ways."""
    tx, mesh = gradtx.store(ADAM, CODECS[codec], min_size=1), mesh_of(2, 4, kind=AUTO)
    params = [put(mesh, jnp.ones(shape), *spec) for shape, spec in LEAVES]
    step = jax.jit(lambda params, state: tx.step(params, state, params))
    for made, programs in zip(inits(tx, params).values(), (1, 0), strict=True):
        (first, *later), compiled = ran(step, params, made(params))
        assert all(seen == first for seen in later)
        assert compiled == programs


@pytest.mark.parametrize("way", ["eager", "told"])
@pytest.mark.parametrize("kind", [AUTO, EXPLICIT], ids=str)
def test_rows_and_columns_are_split_as_theirs_are(kind, way):
    """Of 32 rows over 2 devices and 16 columns over 4; the length of the columns divides the rows."""
    tx, mesh = gradtx.store(ADAM, storage.factored(), min_size=1), mesh_of(2, 4, kind=kind)
    params = {"w": put(mesh, jnp.ones((32, 16)), "data", "model"), "t": put(mesh, jnp.ones((3, 8, 8)), None, "model")}
    (first, *later), compiled = run(tx, params, inits(tx, params)[way])
    assert first["inner/scale_by_adam/nu/codes/w"] == ("data",)
    assert first["inner/scale_by_adam/nu/scales/w"] == ("model",)
    assert first["inner/scale_by_adam/nu/codes/t"] == (None, "model")
    assert first["inner/scale_by_adam/nu/scales/t"] == ()
    assert all(seen == first for seen in later)
    assert compiled == 1


@pytest.mark.parametrize("codec", [storage.int8(), storage.int4(block=8)], ids=repr)
def test_blocks_on_an_explicit_mesh(codec):
    """Of whole rows that are split, of parts of rows, and of several rows; the numbers are those of one device."""
    mesh = mesh_of(2, 4, kind=EXPLICIT)
    w = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)
    params = {
        "part": put(mesh, w[0], ("model")),
        "rows": put(mesh, w[:4, :16], "data", None),
        "lead": put(mesh, w.reshape(4, 8, 64), "model", None, None),
    }
    tx = gradtx.store(ADAM, codec, min_size=1)
    for made in inits(tx, params).values():
        (first, *later), compiled = run(tx, params, made)
        assert all(seen == first for seen in later)
        assert compiled == 1
    step = jax.jit(tx.update)
    alone = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), params)
    updates, expected = (step(p, tx.init(p), p)[0] for p in (params, alone))
    for got, want in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("codec", [storage.int8(), storage.int4(), storage.factored(signed=storage.int8())], ids=repr)
@pytest.mark.parametrize("way", ["eager", "jit"])
def test_blocks_across_devices_are_refused_on_an_explicit_mesh(codec, way):
    tx, mesh = gradtx.store(ADAM, codec, min_size=1), mesh_of(2, 4, kind=EXPLICIT)
    params = {"layer": {"w": put(mesh, jnp.ones((32, 16)), "data", "model")}}
    words = (
        r"cannot encode scale_by_adam/mu/layer/w of shape \(32, 16\), split as .*'data', 'model'.*: some of its blocks"
    )
    with pytest.raises(ValueError, match=words):
        (tx.init if way == "eager" else jax.jit(tx.init))(params)


def test_a_complex_leaf():
    """Its two parts are stacked along an axis that is not split."""
    tx, mesh = gradtx.store(ADAM, storage.int8(block=16), min_size=1), mesh_of(2, 4, kind=AUTO)
    params = {"w": put(mesh, jnp.ones((8, 16), jnp.complex64), "data", None), "v": put(mesh, jnp.ones((8, 16)), "data")}
    (first, *later), compiled = run(tx, params, tx.init)
    assert first["inner/scale_by_adam/mu/codes/w"] == (None, "data")
    assert all(seen == first for seen in later)
    assert compiled == 1


@pytest.mark.parametrize("way", ["eager", "told"])
@pytest.mark.parametrize("kind", [AUTO, EXPLICIT], ids=str)
def test_a_watch(kind, way):
    """The form of its specs too: another form is looked up anew in the second step."""
    tx, mesh = gradtx.watch(gradtx.sgd(0.1), every=2), mesh_of(2, 4, kind=kind)
    params = [put(mesh, jnp.ones(shape), *spec, *[None] * (len(shape) - len(spec))) for shape, spec in LEAVES[:2]]
    step, state = jax.jit(lambda params, state: tx.step(params, state, params)), inits(tx, params)[way](params)
    tx.update(params, state, params)  # outside jit, and without the mesh as a context
    for _ in range(3):
        params, state = step(params, state)
    assert step._cache_size() == 1
