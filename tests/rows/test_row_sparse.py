"""`RowSparse`: what it stands for, what it refuses, how it travels through JAX, how it is added."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import apply_updates, global_norm, map_leaves
from gradtx.sparse.rows import RowSparse, distinct
from tests.double import enable_x64

SHAPE = (5, 2)


def sparse(indices=(3, 0, 3), shape=SHAPE, dtype=jnp.float32, seed=0):
    values = np.random.default_rng(seed).normal(size=(len(indices), *shape[1:]))
    return RowSparse(jnp.asarray(indices, jnp.int32), jnp.asarray(values, dtype), shape)


def dense(g):
    out = np.zeros(g.shape, np.asarray(g.values).dtype)
    np.add.at(out, np.asarray(g.indices), np.asarray(g.values))
    return out


@pytest.mark.parametrize("indices", [(3, 0, 3), (), (4,), (1, 1, 1, 1), (0, 1, 2, 3, 4, 0, 1, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("jit", [False, True])
def test_it_stands_for_the_sum_of_its_rows(indices, jit):
    g = sparse(indices)
    run = jax.jit if jit else lambda f: f
    np.testing.assert_allclose(run(RowSparse.dense)(g), dense(g), rtol=1e-6)
    once = run(distinct)(g)
    rows = np.unique(np.asarray(g.indices))
    assert once.distinct
    assert once.values.shape == (min(len(indices), 5), 2)
    np.testing.assert_array_equal(once.indices[: len(rows)], rows)
    assert np.all(np.diff(once.indices) > 0)
    np.testing.assert_array_equal(once.values[len(rows) :], 0.0)
    np.testing.assert_allclose(once.dense(), dense(g), rtol=1e-6)
    np.testing.assert_allclose(
        run(global_norm)({"a": g, "b": jnp.ones(3)}), np.sqrt(np.sum(dense(g) ** 2) + 3), rtol=1e-6
    )


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 2, 3)], ids=str)
def test_rows_of_any_rank(shape):
    g = sparse(shape=shape)
    np.testing.assert_allclose(
        apply_updates(jnp.ones(shape), map_leaves(lambda u: 2.0 * u, g)), 1 + 2 * dense(g), rtol=1e-6
    )


class TestWhatItRefuses:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (([0.0], jnp.ones((1, 2)), SHAPE), TypeError, "indices of a RowSparse must be integers; got float32"),
            (([5], jnp.ones((1, 2)), SHAPE), ValueError, "with 5 rows must be from 0 to 4; got 5"),
            (([0, -1], jnp.ones((2, 2)), SHAPE), ValueError, "with 5 rows must be from 0 to 4; got -1"),
            (([0, 1], jnp.ones((1, 2)), SHAPE), ValueError, r"got \(2,\) and \(1, 2\)"),
            (([[0, 1]], jnp.ones((1, 2)), SHAPE), ValueError, r"use ids.ravel\(\)"),
            (([0], jnp.ones((1, 3)), SHAPE), ValueError, r"values of shape \(k, \*\(2,\)\); got \(1,\) and \(1, 3\)"),
            (([0], jnp.ones((1,)), ()), ValueError, "RowSparse of shape"),
            (([0], jnp.ones((1, 2)), (2**31, 2)), ValueError, r"fewer than 2\*\*31 rows"),
            (("ab", jnp.ones((1, 2)), SHAPE), TypeError, "must be an array; got 'ab'"),
        ],
    )
    def test_at_once(self, arguments, error, message):
        with pytest.raises(error, match=message):
            RowSparse(*arguments)

    def test_a_broken_promise(self):
        with pytest.raises(ValueError, match="distinct=True promises indices that increase"):
            RowSparse([2, 2], jnp.ones((2, 2)), SHAPE, distinct=True)
        assert RowSparse([2, 5, 6], jnp.ones((3, 2)), SHAPE, distinct=True).dense().sum() == 2.0

    @pytest.mark.parametrize("bad", [5, -1, 2**31 - 1, -(2**31)])
    def test_a_traced_index_out_of_range_is_seen_in_every_row(self, bad):
        def step(w, i):
            return apply_updates(w, RowSparse(i, jnp.ones((2, 2)), SHAPE))

        w = np.asarray(jax.jit(step)(jnp.zeros(SHAPE), jnp.asarray([1, bad])))
        assert np.isnan(w[1]).all()
        np.testing.assert_array_equal(w[[0, 2, 3, 4]], 0.0)

    def test_a_64_bit_index_does_not_come_out_as_another_row(self):
        with enable_x64(True):
            out = jax.jit(lambda i: RowSparse(i, jnp.ones((1, 2)), SHAPE).dense())(jnp.asarray([2**32 + 1]))
            assert np.isnan(out).all() or not out.any()
            tx = gradtx.skip_nonfinite(gradtx.sgd(1.0))

            def step(i):
                return tx.update(RowSparse(i, jnp.ones((1, 2)), SHAPE), tx.init(jnp.ones(SHAPE)))

            assert int(jax.jit(step)(jnp.asarray([2**32 + 1]))[1].skipped) == 1

    def test_what_tree_map_did_to_it(self):
        tx = gradtx.sgd(0.1)
        grads = {"layer": {"table": sparse()}}
        halved = jax.tree.map(lambda x: 0.5 * x.astype(jnp.float32), grads)
        with pytest.raises(
            TypeError, match=r"gradient at layer/table .* indices are float32 .*map_leaves\(fn, grads\)"
        ):
            tx.update(halved, tx.init(grads["layer"]["table"].dense()))

    def test_another_shape_than_the_parameters(self):
        tx = gradtx.adam(0.1)
        params = {"layer": {"table": jnp.ones((6, 2))}}
        with pytest.raises(ValueError, match=r"gradient at layer/table has shape \(5, 2\), the parameter \(6, 2\)"):
            tx.update({"layer": {"table": sparse()}}, tx.init(params), params)
        with pytest.raises(ValueError, match=r"a RowSparse of shape \(5, 2\) was added to an array of shape \(6, 2\)"):
            jnp.ones((6, 2)) + sparse()
        with pytest.raises(TypeError, match="its imaginary part would be lost"):
            jnp.ones(SHAPE) + sparse().astype(jnp.complex64)

    def test_as_a_parameter_or_twice(self):
        with pytest.raises(TypeError, match="the parameter at table must be an array; got a RowSparse"):
            gradtx.adam(0.1).init({"table": sparse()})
        with pytest.raises(TypeError, match="two RowSparse gradients cannot meet"):
            map_leaves(lambda a, b: a + b, sparse(), sparse())


class TestTravels:
    def test_through_trees_of_anything(self):
        g = sparse()
        for fill in (None, 1, "x", jax.ShapeDtypeStruct((2,), jnp.float32)):
            back = jax.tree.map(lambda x, fill=fill: fill, g)
            assert isinstance(back, RowSparse)
            repr(back)
        leaves, structure = jax.tree.flatten(g)
        assert len(leaves) == 2
        assert jax.tree.structure(jax.tree.unflatten(structure, leaves)) == structure
        names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path({"a": g})]
        assert names == ["['a'].indices", "['a'].values"]
        assert "RowSparse of shape (5, 2)" in repr(g)

    def test_through_pickle_and_eval_shape(self):
        g = pickle.loads(pickle.dumps(sparse()))
        np.testing.assert_array_equal(g.dense(), sparse().dense())
        shapes = jax.eval_shape(distinct, sparse())
        assert (shapes.dtype, shapes.shape, shapes.ndim, shapes.size) == (jnp.float32, SHAPE, 2, 10)


class TestIsAdded:
    @pytest.mark.parametrize("p", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.complex64])
    @pytest.mark.parametrize("u", [jnp.bfloat16, jnp.float32])
    def test_rounded_once_and_to_the_rows_alone(self, p, u):
        params, g = jnp.full(SHAPE, 1.5, p), sparse((3, 0), dtype=u)
        want = apply_updates(params, distinct(g).dense().astype(jnp.float32))
        for got in (apply_updates(params, g), params + g, optax.apply_updates(params, g), g + params):
            assert got.dtype == p
            np.testing.assert_array_equal(got[np.array([0, 3])], want[np.array([0, 3])])
            np.testing.assert_array_equal(got[np.array([1, 2, 4])], params[np.array([1, 2, 4])])
        assert (np.ones(SHAPE, np.float32) + sparse()).shape == SHAPE

    def test_in_double_precision(self):
        with enable_x64(True):
            g = sparse(dtype=jnp.float64)
            assert (jnp.ones(SHAPE, jnp.float64) + g).dtype == jnp.float64
            np.testing.assert_allclose(g.dense(), dense(g), rtol=1e-15)

    def test_half_precision_values_are_summed_in_float32(self):
        g = RowSparse(jnp.zeros(3000, jnp.int32), jnp.ones((3000, 1), jnp.bfloat16), (4, 1))
        assert float(distinct(g).values[0, 0]) == 3000.0

    def test_what_is_added_has_derivatives(self):
        def total(values):
            return jnp.sum(jnp.arange(10.0).reshape(SHAPE) * (jnp.ones(SHAPE) + RowSparse([3, 0, 3], values, SHAPE)))

        np.testing.assert_allclose(jax.grad(total)(jnp.ones((3, 2))), [[6, 7], [0, 1], [6, 7]])
