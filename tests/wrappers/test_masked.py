"""Which leaves: masks, frozen leaves, and the rules that choose them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.wrappers.rules import first_rules, trained_leaves

PARAMS = {
    "body": {"0": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}, "1": {"kernel": jnp.ones((3, 3)), "bias": None}},
    "head": {"kernel": jnp.ones((3, 1)), "step": jnp.asarray(7)},
}
GRADS = jax.tree.map(lambda p: None if p.dtype == int else jnp.full_like(p, 2.0), PARAMS)
ALL = ["body/0/bias", "body/0/kernel", "body/1/kernel", "head/kernel"]


def chosen(rule):
    leaves = trained_leaves(None, PARAMS)
    return [leaf.path for leaf in leaves if leaf.place in first_rules("test", [rule], leaves)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    {
        "**": ALL,
        "*": ALL,
        "body": ALL[:3],
        "/body/": ALL[:3],
        "body/*": ALL[:3],
        "body/**": ALL[:3],
        "*/kernel": ["head/kernel"],
        "**/kernel": ALL[1:],
        "**/0": ALL[:2],
        "body/?/bias": ["body/0/bias"],
        "b*/*/k*l": ALL[1:3],
        "head/kernel": ["head/kernel"],
        "body/**/kernel": ALL[1:3],
        "body/0/kernel/**": ["body/0/kernel"],
    }.items(),
)
def test_globs(rule, expected):
    assert chosen(rule) == expected


@pytest.mark.parametrize("rule", ["bod", "body/0/kern", "body*kernel", "body/./bias", "head/step", "**/step"])
def test_globs_that_fit_nothing(rule):
    with pytest.raises(ValueError, match=f"the rule {re.escape(repr(rule))} matches no leaf; nearest: .*/"):
        chosen(rule)


def test_a_glob_begins_at_the_root():
    with pytest.raises(ValueError, match=r"'kernel' matches no leaf; did you mean '\*\*/kernel'\?"):
        chosen("kernel")


def test_expressions_are_searched_for_and_functions_are_asked():
    assert chosen(re.compile("ker")) == ALL[1:]
    assert chosen(re.compile("^body.*s$")) == ALL[:1]
    assert chosen(lambda path, leaf: leaf.ndim == 1 or path.startswith("head")) == [ALL[0], ALL[3]]


def run(tx, params=PARAMS, grads=GRADS, *, jit=False):
    state = tx.init(params)
    return (jax.jit(tx.update) if jit else tx.update)(grads, state, params)


MASKS = {
    "a glob": "**/bias",
    "two rules": ("body/0/bias", re.compile("bias$")),
    "a function of path and leaf": lambda path, leaf: leaf.ndim == 1,
    "a function of the parameters": lambda params: jax.tree.map(lambda p: p.ndim == 1, params),
    "a tree": {"body": {"0": {"kernel": False, "bias": True}, "1": {"kernel": False, "bias": None}}, "head": False},
    "a prefix": {"body": {"0": {"kernel": False, "bias": np.True_}, "1": False}, "head": jnp.asarray(False)},
}


class TestMasked:
    @pytest.mark.parametrize("jit", [False, True])
    @pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
    def test_every_kind_of_mask(self, mask, jit):
        if mask == ("body/0/bias", re.compile("bias$")):
            mask = (re.compile("bias$"),)
        updates, _ = run(gradtx.masked(gradtx.scale(-1.0), mask), jit=jit)
        expected = {
            **GRADS,
            "body": {**GRADS["body"], "0": {"kernel": GRADS["body"]["0"]["kernel"], "bias": -2 * jnp.ones(3)}},
        }
        jax.tree.map(np.testing.assert_array_equal, updates, expected)

    def test_the_type_of_a_gradient_changes_nothing(self):
        """A mask that looks at types is asked about the parameters: bfloat16 gradients do not flip it."""
        params = {"wide": jnp.ones(2), "half": jnp.ones(2, jnp.bfloat16)}
        grads = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)
        tx = gradtx.masked(gradtx.scale(-1.0), lambda path, leaf: leaf.dtype == jnp.float32)
        updates, _ = run(tx, params, grads)
        np.testing.assert_array_equal(updates["wide"], -jnp.ones(2))
        np.testing.assert_array_equal(np.asarray(updates["half"], np.float32), np.ones(2))

    def test_leaves_outside_have_no_state_and_no_part_in_norms(self):
        tx = gradtx.masked(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.add_momentum(0.9)), "body/0/bias")
        updates, state = run(tx)
        assert [x.shape for x in jax.tree.leaves(state)] == [(3,)]
        np.testing.assert_allclose(updates["body"]["0"]["bias"], np.full(3, 1 / np.sqrt(3)), rtol=1e-6)

    def test_a_function_needs_the_parameters_a_glob_does_not(self):
        for mask in (lambda path, leaf: True, lambda params: True):
            tx = gradtx.masked(gradtx.scale(-1.0), mask)
            with pytest.raises(ValueError, match=r"call update\(updates, state, params\)"):
                tx.update(GRADS, tx.init(PARAMS))
        gradtx.masked(gradtx.scale(-1.0), "head").update(GRADS, gradtx.EmptyState())

    @pytest.mark.parametrize(
        ("mask", "error", "match"),
        [
            ({"body": True}, ValueError, "masked: there is no mask for head/kernel"),
            (
                {"body": True, "head": True, "tail": True},
                ValueError,
                "a mask for tail, where the parameters have no leaf",
            ),
            ({"body": True, "head": [True]}, ValueError, "masked: there is no mask for head/kernel"),
            (1, TypeError, "masked: the mask at body/0/bias must be True or False; got 1"),
            ({"body": "yes", "head": True}, TypeError, "at body/0/bias must be True or False; got 'yes'"),
            (jnp.ones(3, bool), TypeError, "at body/0/bias must be True or False"),
            (lambda path, leaf: 1, TypeError, "must return True or False; for body/0/bias it returned 1"),
            (lambda a, b, c: True, TypeError, r"must take the parameters, or \(path, leaf\)"),
            ("bdoy", ValueError, "the rule 'bdoy' matches no leaf; nearest: body/"),
            (
                ("body", "body/0"),
                ValueError,
                "'body/0' takes no leaf: every leaf it matches is already taken",
            ),
        ],
    )
    def test_what_is_no_mask(self, mask, error, match):
        with pytest.raises(error, match=match):
            gradtx.masked(gradtx.scale(-1.0), mask).init(PARAMS)

    def test_a_traced_mask(self):
        with pytest.raises(TypeError, match=r"masked: the mask at .* is traced"):
            jax.jit(lambda m: gradtx.masked(gradtx.scale(-1.0), lambda params: m).init(PARAMS))(True)

    def test_extra_arguments_are_cut_and_functions_of_the_parameters_are_whole(self):
        seen = {}

        def update(updates, state, params=None, *, value_fn, grad, value, grad_fn):
            seen.update(value=value, grad=grad, at=value_fn(params), gradient=grad_fn(params))
            return updates, state

        tx = gradtx.masked((lambda params: gradtx.EmptyState(), update), "b")
        params, grads = {"a": jnp.asarray(3.0), "b": jnp.asarray(4.0)}, {"a": jnp.asarray(1.0), "b": jnp.asarray(2.0)}

        def value_fn(params):
            return params["a"] ** 2 + params["b"]

        extras = {"value_fn": value_fn, "value": value_fn(params), "grad": grads, "grad_fn": jax.grad(value_fn)}
        tx.update(grads, tx.init(params), params, **extras)
        assert seen == {"value": 13.0, "grad": {"a": None, "b": 2.0}, "at": 13.0, "gradient": {"a": None, "b": 1.0}}

    def test_a_bare_parameter_and_its_loss_are_not_confused(self):
        seen = []

        def update(updates, state, params=None, *, value):
            seen.append(value)
            return updates, state

        tx = gradtx.masked((lambda params: gradtx.EmptyState(), update), False)
        tx.update(jnp.ones(()), tx.init(jnp.ones(())), jnp.ones(()), value=2.0)
        assert seen == [2.0]


class TestFreeze:
    def test_frozen_leaves_stay_to_the_bit_without_state_or_norm(self):
        params = {**PARAMS, "body": jax.tree.map(lambda p: -0.0 * p, PARAMS["body"])}
        tx = gradtx.freeze(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1)), "body")
        updates, state = run(tx, params, jit=True)
        after = gradtx.apply_updates(params, updates)
        for path in ("0", "1"):
            kernel = after["body"][path]["kernel"]
            assert np.signbit(kernel).all()
            assert (kernel == 0).all()
        np.testing.assert_allclose(after["head"]["kernel"], 0.9 * np.ones((3, 1)), rtol=1e-5)
        assert after["head"]["step"] is params["head"]["step"]
        assert sum(x.size for x in jax.tree.leaves(state)) == 1 + 2 * 3
        np.testing.assert_allclose(
            state["scale_by_adam"].mu["head"]["kernel"], 0.1 / np.sqrt(3) * np.ones((3, 1)), rtol=1e-5
        )

    def test_a_nan_in_a_frozen_leaf_does_nothing(self):
        grads = {**GRADS, "body": jax.tree.map(lambda g: jnp.nan * g, GRADS["body"])}
        updates, _ = run(
            gradtx.freeze(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1)), "body"), grads=grads
        )
        assert all(bool(jnp.isfinite(u).all()) for u in jax.tree.leaves(updates))

    def test_unfrozen_later(self):
        """The state of what was trained goes on; what was frozen begins anew."""
        before = gradtx.freeze(gradtx.adam(0.1), "body")
        _, state = run(before)
        after = gradtx.adam(0.1)
        fresh = after.init(PARAMS)
        state = jax.tree.map(lambda old, new: new if old is None else old, state, fresh, is_leaf=lambda x: x is None)
        updates, _ = after.update(GRADS, state, PARAMS)
        assert jax.tree.structure(updates) == jax.tree.structure(GRADS)


def test_masked_weight_decay_in_a_recipe():
    tx = gradtx.adamw(0.1, weight_decay=0.5, mask="**/kernel")
    zero = jax.tree.map(jnp.zeros_like, GRADS)
    updates, _ = run(tx, grads=zero)
    np.testing.assert_allclose(updates["head"]["kernel"], -0.05 * np.ones((3, 1)), rtol=1e-6)
    np.testing.assert_array_equal(updates["body"]["0"]["bias"], np.zeros(3))


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.route({"**": gradtx.sgd(0.1)}, default=gradtx.adamw(0.1)),
        gradtx.partition({"a": gradtx.sgd(0.1)}, "a"),
        gradtx.masked(gradtx.average(gradtx.sgd(0.1)), False),
        gradtx.freeze(gradtx.lookahead(gradtx.adamw(0.1)), True),
        gradtx.freeze(gradtx.lookahead(gradtx.adamw(0.1)), False),
    ],
    ids=str,
)
def test_a_bare_array_for_parameters(tx):
    """It is a tree of one leaf; a transformation that has no leaf of it is called with an empty tree."""
    w = jnp.ones(3)
    updates, state = jax.jit(tx.update)(w, tx.init(w), w)
    assert updates.shape == (3,)
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(w))
    assert len(gradtx.plan(tx, w).rows) == 1
