"""Different transformations for different leaves: routes, labels, multipliers."""

import enum
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

PARAMS = {"body": {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}, "head": {"w": jnp.ones(2)}, "steps": jnp.asarray(3)}
GRADS = {**jax.tree.map(jnp.ones_like, PARAMS), "steps": None}
SGD, FAST = gradtx.sgd(0.1), gradtx.sgd(1.0)


def run(tx, params=PARAMS, grads=GRADS, steps=1, **extra):
    state = tx.init(params)
    for _ in range(steps):
        updates, state = jax.jit(tx.update)(grads, state, params, **extra)
    return updates, state


def rates(updates):
    return {k: float(-jnp.ravel(updates[k[0]][k[1]])[0]) for k in (("body", "w"), ("body", "b"), ("head", "w"))}


class TestRoute:
    def test_the_first_rule_that_fits(self):
        tx = gradtx.route({"**/b": gradtx.sgd(0.5), re.compile("^body"): SGD}, default=FAST)
        updates, state = run(tx)
        assert rates(updates) == pytest.approx({("body", "w"): 0.1, ("body", "b"): 0.5, ("head", "w"): 1.0})
        assert updates["steps"] is None
        assert state == {"**/b": {}, "^body": {}, "default": {}}  # sgd is a chain, whose state is a dict

    def test_states_by_the_text_of_the_rule(self):
        def wide(path, leaf):
            return leaf.ndim == 2

        tx = gradtx.route({wide: gradtx.adam(0.1), "**/b": gradtx.add_momentum(0.9)}, default=gradtx.add_momentum(0.5))
        _, state = run(tx)
        assert list(state) == ["**/b", "default", "wide"]
        assert state["wide"]["scale_by_adam"].mu == {
            "body": {"w": state["wide"]["scale_by_adam"].mu["body"]["w"], "b": None},
            "head": {"w": None},
            "steps": None,
        }
        assert [x.shape for x in jax.tree.leaves(state["default"])] == [(2,)]

    def test_each_group_has_its_own_norm(self):
        clip = gradtx.clip_by_global_norm(1.0)
        updates, _ = run(gradtx.route({"body": clip}, default=clip))
        np.testing.assert_allclose(updates["body"]["b"], np.full(2, 1 / np.sqrt(6)), rtol=1e-6)
        np.testing.assert_allclose(updates["head"]["w"], np.full(2, 1 / np.sqrt(2)), rtol=1e-6)

    def test_each_member_gets_the_extras_that_it_takes(self):
        seen = []

        def update(updates, state, params=None, *, loss):
            seen.append(loss)
            return updates, state

        asks = (lambda params: gradtx.EmptyState(), update)
        tx = gradtx.route({"body": asks}, default=SGD)
        tx.update(GRADS, tx.init(PARAMS), PARAMS, loss=2.0, value=1.0)
        assert seen == [2.0]
        with pytest.raises(TypeError, match="needs loss"):
            tx.update(GRADS, tx.init(PARAMS), PARAMS)
        with pytest.raises(TypeError, match="takes no argument 'los'"):
            tx.update(GRADS, tx.init(PARAMS), PARAMS, loss=2.0, los=1.0)

    def test_what_is_no_route(self):
        for rules, default, error, match in (
            (
                {"body": SGD},
                None,
                ValueError,
                "route: no rule matches head/w: give a default=...; the rules are 'body'",
            ),
            ({"bdy": SGD}, FAST, ValueError, "the rule 'bdy' matches no leaf; nearest: body/"),
            (
                {"body": SGD, "body/w": SGD},
                FAST,
                ValueError,
                "'body/w' takes no leaf: every leaf it matches is already taken",
            ),
            ({3: SGD}, FAST, TypeError, "route: a rule must be a glob, .*; got 3"),
            ({"default": SGD}, FAST, ValueError, "has the text .default."),
            (
                {lambda p, x: True: SGD, lambda p, x: False: SGD},
                None,
                ValueError,
                "two keys that are called '<lambda>'",
            ),
            ({"body": gradtx.sgd}, FAST, TypeError, r"rules\['body'\] must be a transformation .* forget to call it"),
            ([SGD], FAST, TypeError, "route: rules must be a dict"),
            ({"**": SGD}, 0.1, TypeError, "default must be a transformation"),
        ):
            with pytest.raises(error, match=match):
                gradtx.route(rules, default).init(PARAMS)

    def test_a_tuple_of_rules(self):
        updates, state = run(gradtx.route({("head", "**/b"): gradtx.add_momentum(0.9)}, default=SGD))
        assert list(state) == ["default", "head, **/b"]
        assert float(updates["body"]["b"][0]) == 1.0

    def test_a_sweep_over_the_rates_inside(self):
        def first(rate):
            tx = gradtx.route({"body": gradtx.sgd(rate)}, default=FAST)
            return tx.update(GRADS, tx.init(PARAMS), PARAMS)[0]["body"]["b"][0]

        np.testing.assert_allclose(jax.vmap(first)(jnp.arange(3.0)), [0.0, -1.0, -2.0])

    def test_its_order_survives_a_round_trip(self):
        tx = gradtx.route({"body/w": SGD, "**": FAST})
        again = jax.tree.map(lambda x: x, tx)
        assert again == tx
        assert list(again.rules) == ["body/w", "**"]
        assert rates(run(again)[0])[("body", "w")] == pytest.approx(0.1)


class TestPartition:
    @pytest.mark.parametrize(
        "labels",
        [
            {"body": "slow", "head": "fast", "steps": "whatever"},
            {"body": {"w": "slow", "b": "slow"}, "head": {"w": "fast"}, "steps": None},
            lambda params: {"body": "slow", "head": "fast", "steps": None},
        ],
    )
    def test_labels(self, labels):
        updates, _ = run(gradtx.partition({"slow": SGD, "fast": FAST}, labels))
        assert rates(updates) == pytest.approx({("body", "w"): 0.1, ("body", "b"): 0.1, ("head", "w"): 1.0})

    def test_labels_that_are_no_strings(self):
        tx = gradtx.partition({True: SGD, 0: gradtx.add_momentum(0.9)}, {"body": True, "head": 0, "steps": 0})
        assert list(tx.init(PARAMS)) == ["True", "0"]

    def test_labels_that_are_equal_and_print_differently(self):
        class Speed(enum.StrEnum):
            SLOW = "slow"

        labels = {"body": Speed.SLOW, "head": 1.0, "steps": None}
        updates, _ = run(gradtx.partition({"slow": SGD, 1: FAST}, labels))
        assert rates(updates) == pytest.approx({("body", "w"): 0.1, ("body", "b"): 0.1, ("head", "w"): 1.0})

    def test_a_state_of_other_labels(self):
        tx = gradtx.partition({"slow": gradtx.adam(0.1)}, "slow")
        with pytest.raises(TypeError, match="the state has an entry 'fast'"):
            tx.update(GRADS, {**tx.init(PARAMS), "fast": {}}, PARAMS)

    def test_what_is_no_labelling(self):
        both = {"slow": SGD, "fast": FAST}
        for labels, error, match in (
            (
                {"body": "slow", "head": "fsat", "steps": ""},
                ValueError,
                "head/w has the label 'fsat' .did you mean 'fast'",
            ),
            ({"body": "slow", "head": "fast"}, ValueError, "partition: there is no label for steps"),
            ("slow", ValueError, "no leaf has the label 'fast'; the leaves have .'slow'."),
            (lambda params: jnp.ones(3), TypeError, "the label of body/b must be one of"),
            (lambda params: {"body": ["slow"], "head": "fast", "steps": ""}, ValueError, "there is no label for body/"),
            (lambda a, b: "slow", TypeError, "labels must be a tree, or a function of the parameters"),
        ):
            with pytest.raises(error, match=match):
                gradtx.partition(both, labels).init(PARAMS)
        with pytest.raises(ValueError, match="two keys that are called '1'"):
            gradtx.partition({1: SGD, "1": FAST}, {})

    def test_a_function_is_given_the_parameters_not_the_gradients(self):
        def by_type(params):
            return jax.tree.map(lambda p: "wide" if p.dtype == jnp.float32 else "half", params)

        params = {"a": jnp.ones(1), "b": jnp.ones(1, jnp.bfloat16)}
        grads = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)
        updates, _ = run(gradtx.partition({"wide": SGD, "half": FAST}, by_type), params, grads)
        np.testing.assert_allclose([updates["a"][0], updates["b"][0]], [-0.1, -1.0], rtol=1e-6)


class TestPerLeafLearningRate:
    def test_multipliers(self):
        updates, _ = run(gradtx.chain(FAST, gradtx.per_leaf_learning_rate({"**/b": 0.0, "body": 0.25})))
        assert rates(updates) == pytest.approx({("body", "w"): 0.25, ("body", "b"): 0.0, ("head", "w"): 1.0})

    def test_a_schedule_for_one_group(self):
        """Layers that thaw one after another."""
        tx = gradtx.chain(FAST, gradtx.per_leaf_learning_rate({"body": lambda step: jnp.minimum(step / 2, 1.0)}))
        updates, state = run(tx, steps=2)
        assert rates(updates) == pytest.approx({("body", "w"): 0.5, ("body", "b"): 0.5, ("head", "w"): 1.0})
        assert gradtx.hyperparameters(state) == {"step_size": 0.5}

    def test_multipliers_are_swept(self):
        values = jax.vmap(lambda m: gradtx.per_leaf_learning_rate({"body": m}))(jnp.arange(2.0))
        out = jax.vmap(lambda tx: tx.update(GRADS, tx.init(PARAMS), PARAMS)[0]["body"]["b"][0])(values)
        np.testing.assert_allclose(out, [0.0, 1.0])
