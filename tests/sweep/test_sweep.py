"""Sweeps: what single runs give, in their order, compiled once; and every wrong call."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.optional_imports import MissingExtraError
from gradtx.sweep import _chunk, _members, sweep

RATES = jnp.asarray([0.01, 0.1, 0.3, 0.5, 0.9])
START = {"w": jnp.asarray([1.0, -2.0]), "b": jnp.asarray(0.5)}


def loss(params):
    return jnp.sum(params["w"] ** 2) + jnp.sin(params["b"])


def train(tx, start=START):
    def step(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        return tx.step(grads, state, params), value

    (params, _), losses = jax.lax.scan(step, (start, tx.init(start)), None, length=4)
    return {"params": params, "losses": losses}


def alone(txs, *args):
    """The results of single runs, stacked."""
    return jax.tree.map(lambda *x: np.stack(x), *[train(tx, *more) for tx, *more in zip(txs, *args, strict=True)])


class TestResults:
    @pytest.mark.parametrize("chunk", [None, 1, 2, 5, 7])
    def test_they_are_those_of_single_runs_in_order(self, chunk):
        result = sweep(train, jax.vmap(gradtx.adam)(RATES), chunk=chunk)
        expected = alone([gradtx.adam(float(rate)) for rate in RATES])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), result, expected)
        assert result["losses"].shape == (5, 4)

    def test_a_list_is_stacked(self):
        txs = [gradtx.adam(0.1), gradtx.adam(0.1, b1=0.5), gradtx.adam(0.3, b2=0.9)]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), sweep(train, txs), alone(txs))

    def test_a_number_that_all_share_is_given_to_each(self):
        txs = gradtx.adam(0.1)
        txs = jax.tree.unflatten(jax.tree.structure(txs), [RATES, *jax.tree.leaves(txs)[1:]])
        result = sweep(train, txs, chunk=2)["losses"]
        np.testing.assert_array_equal(result, sweep(train, jax.vmap(gradtx.adam)(RATES), chunk=2)["losses"])

    @pytest.mark.parametrize("chunk", [1, 2])
    def test_schedules_are_swept_too(self, chunk):
        make = lambda peak: gradtx.sgd(gradtx.cosine_decay_schedule(peak, 10))  # noqa: E731
        result = sweep(train, jax.vmap(make)(RATES[:3]), chunk=chunk)
        expected = alone([make(float(rate)) for rate in RATES[:3]])
        np.testing.assert_allclose(result["losses"], expected["losses"], rtol=2e-6)

    @pytest.mark.parametrize("txs", [gradtx.sgd(0.1), [gradtx.sgd(0.1)] * 3])
    def test_other_arguments_differ_between_runs(self, txs):
        starts = {"w": jnp.arange(6.0).reshape(3, 2), "b": jnp.arange(3.0)}
        each = [jax.tree.map(lambda x, k=k: x[k], starts) for k in range(3)]
        expected = alone([gradtx.sgd(0.1)] * 3, each)
        result = sweep(train, txs, starts, chunk=2)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), result, expected)

    def test_keys_go_in_and_come_out(self):
        keys = jax.random.split(jax.random.key(0), 3)
        result = sweep(lambda tx, key: key, gradtx.sgd(0.1), keys, chunk=2)
        assert (result == keys).all()

    def test_one_run_is_a_sweep(self):
        assert sweep(train, [gradtx.sgd(0.1)])["losses"].shape == (1, 4)

    def test_it_can_be_repeated_to_the_bit(self):
        first, second = (sweep(train, jax.vmap(gradtx.adam)(RATES))["losses"] for _ in range(2))
        np.testing.assert_array_equal(first, second)


class TestPrograms:
    @pytest.mark.parametrize(("chunk", "traces"), [(1, 1), (2, 1), (5, 1)])
    def test_one_trace_whatever_remains(self, chunk, traces):
        seen = []

        def counted(tx):
            seen.append(tx)
            return train(tx)["losses"]

        for rates in (RATES, 2 * RATES):
            sweep(counted, jax.vmap(gradtx.sgd)(rates), chunk=chunk)
        assert len(seen) == traces

    @pytest.mark.parametrize(
        ("width", "runs", "side_by_side"),
        [(2, 40, 40), (30, 194, 194), (30, 195, 98), (36, 40, 40), (38, 40, 1), (300, 12, 1)],
    )
    def test_the_chunk_follows_what_a_member_holds(self, width, runs, side_by_side):
        """Adam carries three arrays like the parameter: at a width of 30, 2 MiB hold 194 members."""

        def one(tx):
            def body(carry, _):
                params, state = carry
                return tx.step(params, state, params), None

            params = jnp.ones((width, width))
            return jax.lax.scan(body, (params, tx.init(params)), None, length=1)[0][0][0, 0]

        members, n = _members(jax.vmap(gradtx.adam)(jnp.ones(runs)), ())
        assert _chunk(one, members, n) == side_by_side


class TestErrors:
    BATCH = jax.vmap(gradtx.adam)(RATES)

    @pytest.mark.parametrize(
        ("args", "kind", "message"),
        [
            (([],), ValueError, "the list is empty"),
            ((jax.vmap(gradtx.sgd)(jnp.zeros(0)),), ValueError, "sgd's learning_rate has the length 0"),
            ((gradtx.sgd(0.1),), ValueError, r"sgd\(learning_rate=0.1\) is one transformation: give a batch"),
            (
                ([gradtx.sgd(0.1), gradtx.adam(0.1)],),
                ValueError,
                r"optimizers\[1\] is adam.* sweep each kind separately",
            ),
            (([gradtx.sgd(0.1), gradtx.sgd(0.1, momentum=0.9)],), ValueError, "differ in more than hyperparameters"),
            (([BATCH],), ValueError, r"optimizers\[0\] is itself a batch, of shape \(5,\)"),
            (([gradtx.sgd(0.1), 3],), TypeError, r"optimizers\[1\] must be a transformation"),
            ((gradtx.sgd,), TypeError, "did you forget to call it"),
            ((BATCH, jnp.ones(3)), ValueError, "has the length 5, argument 1 after the optimizers 3"),
            ((BATCH, {"seed": jnp.ones(3)}), ValueError, "argument 1 after the optimizers, at seed, 3"),
            ((BATCH, 7), ValueError, "argument 1 after the optimizers is one number"),
            ((jax.vmap(jax.vmap(gradtx.sgd))(jnp.ones((2, 3))),), ValueError, "holds a batch of transformations"),
        ],
    )
    def test_they_say_what_came(self, args, kind, message):
        with pytest.raises(kind, match=message):
            sweep(lambda tx, *_: train(tx), *args)

    @pytest.mark.parametrize(
        ("chunk", "kind"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError)]
    )
    def test_a_chunk_is_a_whole_number_from_one(self, chunk, kind):
        with pytest.raises(kind, match="chunk must be"):
            sweep(train, self.BATCH, chunk=chunk)


class TestProgress:
    def test_the_bar_counts_runs(self, capsys):
        sweep(train, jax.vmap(gradtx.sgd)(RATES), chunk=2, progress=True)
        assert "5/5" in capsys.readouterr().err

    def test_without_tqdm_an_error_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
        with pytest.raises(MissingExtraError, match=r"tqdm\.auto is not installed: .*gradtx\[progress\]"):
            sweep(train, jax.vmap(gradtx.sgd)(RATES), progress=True)
