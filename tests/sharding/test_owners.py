"""Matrices of a mesh go whole to their owners and back: how much is sent, read from the compiled programs."""

import functools
import math
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import gradtx
from tests.reference_norms import shard_map
from tests.sharding.hlo import collectives
from tests.sharding.meshes import AUTO, EXPLICIT, mesh_of, put

P = PartitionSpec
ROWS, COLUMNS, BOTH, COPIES = P("data"), P(None, "data"), P("data", "model"), P()
M, N = 8, 32  # a step of two products of the small side, as n >= 3·m: three sums of m × m for five steps


def matrices(count, shape=(M, N)):
    return {f"w{k}": np.asarray(jax.random.normal(jax.random.key(k), shape)) for k in range(count)}


def update(tx, g):
    return tx.update(g, tx.init(g))[0]


alone = jax.jit(update, static_argnums=0)  # on one device


def sent(fn, g, spec, mesh, way, **how):
    """The collectives of an orthogonalization, how many numbers each device gets, in matrices; and its result."""
    told = gradtx.split_over(mesh.axis_names, spec) if way in ("told", "shard_map") else None
    fn = partial(update, fn(devices=gradtx.owners(told, **how)))
    g = {name: put(mesh, x, *spec) for name, x in g.items()}
    if way == "shard_map":
        fn = shard_map(fn, mesh=mesh, in_specs=spec, out_specs=spec)
    compiled = jax.jit(fn, out_shardings=NamedSharding(mesh, spec)).lower(g).compile()
    found = [c for c in collectives(compiled) if not c.in_branch]
    size = sum(math.prod(shape) for c in found for _, shape in c.arrays)
    return Counter(c.kind for c in found), size / (M * N), compiled(g)


def mesh_for(way, *sizes):
    return mesh_of(*sizes, kind=EXPLICIT if way == "explicit" else AUTO)


WAYS = ["auto", "explicit", "shard_map"]
A2A, GATHER, SUM = "all-to-all", "all-gather", "all-reduce"


@pytest.mark.parametrize("way", WAYS)
class TestCounts:
    """Of what each device gets; the numbers after the kinds are in matrices."""

    @pytest.mark.parametrize("spec", [ROWS, COLUMNS], ids=str)
    def test_twelve_of_one_shape_are_padded_to_sixteen_and_sent_to_their_owners_and_back(self, way, spec):
        g = matrices(12)
        kinds, size, u = sent(gradtx.orthogonalize, g, spec, mesh_for(way, 8), way)
        assert (kinds, size) == ({A2A: 2}, 4)
        want = alone(gradtx.orthogonalize(), g)
        for name in g:
            np.testing.assert_allclose(u[name], want[name], atol=1e-6)

    @pytest.mark.parametrize("spec", [ROWS, COLUMNS], ids=str)
    def test_a_lonely_one_is_gathered_once(self, way, spec):
        kinds, size, _ = sent(gradtx.orthogonalize, matrices(1), spec, mesh_for(way, 8), way)
        assert (kinds, size) == ({GATHER: 1}, 1)

    def test_a_large_one_adds_up_products_of_its_short_side(self, way):
        """One sum of the squares, of one number, and three of m × m."""
        g, mesh = matrices(1), mesh_for(way, 8)
        kinds, size, u = sent(gradtx.orthogonalize, g, COLUMNS, mesh, way, gather_up_to=0)
        assert kinds == {SUM: 4}
        assert size == pytest.approx(3 * M / N + 1 / (M * N))
        np.testing.assert_allclose(u["w0"], alone(gradtx.orthogonalize(), g)["w0"], atol=2e-6)

    @pytest.mark.parametrize("preconditioning", ["spectral", "aol"])
    def test_other_norms_of_a_large_one_add_up_one_product_more(self, way, preconditioning):
        g, mesh = matrices(1), mesh_for(way, 8)
        make = functools.partial(gradtx.orthogonalize, preconditioning=preconditioning)
        kinds, _, u = sent(make, g, COLUMNS, mesh, way, gather_up_to=0)
        assert kinds == {SUM: 5}
        np.testing.assert_allclose(u["w0"], alone(make(), g)["w0"], atol=2e-6)

    def test_whose_short_side_is_split_it_is_split_along_the_long_one_before(self, way):
        g = matrices(1)
        kinds, size, u = sent(gradtx.orthogonalize, g, ROWS, mesh_for(way, 8), way, gather_up_to=0)
        assert kinds == {A2A: 2, SUM: 4}
        assert size == pytest.approx(3 * M / N + 1 / (M * N) + 2 / 8)
        np.testing.assert_allclose(u["w0"], alone(gradtx.orthogonalize(), g)["w0"], atol=2e-6)

    def test_of_what_is_whole_everywhere_each_device_takes_its_share(self, way):
        """One exchange of the results; inside `shard_map`, where JAX knows only of a sum that it is the same on all."""
        kinds, size, _ = sent(gradtx.orthogonalize, matrices(12), COPIES, mesh_for(way, 8), way)
        assert (kinds, size) == ({SUM if way == "shard_map" else GATHER: 1}, 16)


@pytest.mark.parametrize("way", ["told", "explicit", "shard_map"])
def test_split_along_both_axes_of_a_mesh(way):
    """An all-to-all along each axis. On an Auto mesh the specs must be told: XLA would gather the whole stack."""
    g = matrices(12)
    kinds, size, u = sent(gradtx.orthogonalize, g, BOTH, mesh_for(way, 4, 2), way)
    assert (kinds, size) == ({A2A: 4}, 8)
    want = alone(gradtx.orthogonalize(), g)
    for name in g:
        np.testing.assert_allclose(u[name], want[name], atol=1e-6)


def test_a_stack_whose_first_axis_is_split_is_at_its_owners():
    g = {"w": np.asarray(jax.random.normal(jax.random.key(0), (16, M, N)))}
    for way in WAYS:
        assert sent(gradtx.orthogonalize, g, ROWS, mesh_for(way, 8), way)[0] == {}


def test_a_tall_matrix_and_its_like_are_one_stack():
    """Of a tall one, rows are the columns of the wide; a decomposition too is made by owners."""
    g = {"wide": matrices(1)["w0"], "tall": matrices(2)["w1"].T}
    mesh, specs = mesh_of(8), {"wide": COLUMNS, "tall": ROWS}
    tx = gradtx.orthogonalize("svd", devices=gradtx.owners(gradtx.split_over("data", specs)))
    split = {name: put(mesh, x, *specs[name]) for name, x in g.items()}
    compiled = jax.jit(partial(update, tx)).lower(split).compile()
    assert Counter(c.kind for c in collectives(compiled)) == {A2A: 2}
    for name, want in update(tx.replace(devices=None), g).items():
        np.testing.assert_allclose(compiled(split)[name], want, atol=2e-6)


def test_the_length_and_the_derivative_are_those_of_one_device():
    """With the dual norm, of which each device has a part, and through the sums of a large matrix."""
    tx = gradtx.orthogonalize(((1.5, -0.5, 0.0),), dual_norm=True, devices=gradtx.owners(gather_up_to=0))
    g, mesh = matrices(1)["w0"], mesh_of(8, kind=EXPLICIT)

    def value(g):
        return jnp.sum(update(tx, g) ** 2)

    got = jax.jit(jax.value_and_grad(value))(put(mesh, g, None, "data"))
    want = jax.value_and_grad(value)(jnp.asarray(g))
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-4, atol=1e-5 * np.abs(want[1]).max())


def test_muon_inside_shard_map():
    """Momentum is where the parameter is; the length is that of the whole shape, not of the part."""
    mesh, specs = mesh_of(8), {"a": ROWS, "b": COLUMNS, "c": COPIES}
    told = gradtx.owners(gradtx.split_over("data", specs))
    tx = gradtx.muon(1.0, exclude=(), shape_rule="spectral")

    def two(tx, g):
        u, state = tx.update(g, tx.init(g), g)
        return tx.update(u, state, g)[0]

    # Parts have more than one row: `on_matrices` sees no matrix in others.
    g = dict(zip(specs, matrices(3, (16, 32)).values(), strict=True))
    split = {name: put(mesh, x, *specs[name]) for name, x in g.items()}
    of_parts = partial(two, tx.replace(polar=gradtx.orthogonalize(devices=told)))
    over = jax.jit(shard_map(of_parts, mesh=mesh, in_specs=(specs,), out_specs=specs))
    for name, want in two(tx, g).items():
        np.testing.assert_allclose(over(split)[name], want, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_without_padding_twelve_do_not_divide_over_eight(way):
    message = r"the 12 matrices of shape \(8, 32\), as at w0, do not divide over 8 devices"
    with pytest.raises(ValueError, match=message):
        sent(gradtx.orthogonalize, matrices(12), ROWS, mesh_for(way, 8), way, pad=False)


def test_bad_owners():
    for arguments, message in (
        ({"split": "data"}, "split must be split_over"),
        ({"pad": 1}, "pad must be True or False"),
        ({"gather_up_to": 0.5}, "gather_up_to"),
    ):
        with pytest.raises(TypeError, match=message):
            gradtx.owners(**arguments)
    with pytest.raises(TypeError, match=r"devices must be gradtx.owners\(...\) or None"):
        gradtx.orthogonalize(devices="data")
    assert repr(gradtx.owners()) == "owners(None, pad=True, gather_up_to=16777216)"
