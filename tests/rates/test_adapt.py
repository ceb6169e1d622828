"""`adapt_learning_rate` itself: any transformation inside, one rate or one a leaf, and its errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adapt_learning_rate, rates, sgd
from gradtx.catalog import ENTRIES

W = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(3.0)}
G = {"a": jnp.array([3.0, 0.0]), "b": jnp.array(4.0)}


@rates.estimator()
def one_over_norm(eps: gradtx.Number = 0.0):
    """One over the norm of the gradients."""

    def before(g, state, params, now):
        return rates.Advice(1 / (gradtx.global_norm(g) + eps)), state

    return lambda params: gradtx.EmptyState(), before


@rates.estimator(one_rate=True)
def half_fed():
    """Half of the gradients are fed."""

    def before(g, state, params, now):
        return rates.Advice(None, 0.5), state

    return lambda params: gradtx.EmptyState(), before


def test_one_rate_for_the_tree():
    tx = adapt_learning_rate(sgd(1.0), one_over_norm())
    u, state = tx.update(G, tx.init(W), W)
    np.testing.assert_allclose(u["a"], [-0.6, 0.0])
    np.testing.assert_allclose(u["b"], -0.8)
    np.testing.assert_allclose(state.rate, 0.2)


def test_one_rate_for_each_leaf():
    tx = adapt_learning_rate(sgd(1.0), one_over_norm(), per="leaf")
    u, state = tx.update(G, tx.init(W), W)
    np.testing.assert_allclose(u["a"], [-1.0, 0.0])
    np.testing.assert_allclose(u["b"], -1.0)
    np.testing.assert_allclose(state.rate["a"], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(state.rate["b"], 0.25)


def test_each_leaf_is_as_it_is_alone():
    whole, alone = (
        adapt_learning_rate(sgd(1.0), rates.distance(), per="leaf"),
        adapt_learning_rate(sgd(1.0), rates.distance()),
    )
    state, states = whole.init(W), {k: alone.init(W[k]) for k in W}
    params = W
    for _ in range(3):
        u, state = whole.update(G, state, params)
        for k in W:
            one, states[k] = alone.update(G[k], states[k], params[k])
            np.testing.assert_array_equal(u[k], one)
            np.testing.assert_array_equal(state.estimator.norm[k], states[k].estimator.norm)
        params = gradtx.apply_updates(params, u)


def test_a_factor_that_follows_a_schedule():
    tx = adapt_learning_rate(sgd(1.0), rates.constant(0.5), learning_rate=lambda step: 1.0 / (1 + step))
    first, state = tx.update(G, tx.init(W), W)
    second, state = tx.update(G, state, W)
    np.testing.assert_allclose([first["b"], second["b"]], [-2.0, -1.0])
    np.testing.assert_allclose(state.inner.rate, 0.5)


def test_what_is_in_units_of_the_gradient_is_fed_too():
    """So half of the gradients with half of eps are the same step of Adam."""
    tx = adapt_learning_rate(gradtx.adam(0.1, eps=1.0), half_fed())
    got, _ = tx.update(G, tx.init(W), W)
    want, _ = gradtx.adam(0.1, eps=1.0).update(G, gradtx.adam(0.1).init(W))
    np.testing.assert_allclose(got["a"], want["a"], rtol=1e-6)
    inside = adapt_learning_rate(gradtx.chain(gradtx.scale_by_adam(eps=1.0), gradtx.scale(-0.1)), half_fed())
    np.testing.assert_allclose(inside.update(G, inside.init(W), W)[0]["a"], want["a"], rtol=1e-6)
    other = adapt_learning_rate(gradtx.adam(0.1, eps=1.0), half_fed(), gradient_units=())
    half = jax.tree.map(lambda g: 0.5 * g, G)
    want, _ = gradtx.adam(0.1, eps=1.0).update(half, gradtx.adam(0.1).init(W))
    np.testing.assert_allclose(other.update(G, other.init(W), W)[0]["a"], want["a"], rtol=1e-6)


def test_numbers_of_the_estimator_can_be_swept():
    @jax.jit
    def first(tx):
        return tx.update(G, tx.init(W), W)[0]["b"]

    sweep = jax.vmap(lambda r: adapt_learning_rate(sgd(1.0), rates.constant(r)))(jnp.array([0.5, 1.0, 2.0]))
    np.testing.assert_allclose(jax.vmap(first)(sweep), [-2.0, -4.0, -8.0])
    slope = jax.grad(lambda r: first(adapt_learning_rate(sgd(1.0), rates.constant(r))))(1.0)
    np.testing.assert_allclose(slope, -4.0)


def test_a_value():
    """It compares, prints and hashes as the call that made it."""
    assert repr(rates.distance(1e-3)) == "rates.distance(reps_rel=0.001, eps=1e-08)"
    assert rates.distance(1e-3) == rates.distance(0.001) != rates.distance()
    assert len({rates.distance(), rates.distance(), rates.weighted_distance()}) == 2
    assert repr(one_over_norm(0.5)) == "one_over_norm(eps=0.5)"
    tx = adapt_learning_rate(sgd(1.0), rates.distance())
    assert eval(repr(tx), vars(gradtx)) == tx
    assert tx.replace(estimator=rates.weighted_distance()).estimator == rates.weighted_distance()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: adapt_learning_rate(sgd(1.0), rates.distance),
            TypeError,
            r"estimator must be an estimator.*call it, distance\(\)",
        ),
        (lambda: adapt_learning_rate(sgd(1.0), 0.1), TypeError, "estimator must be an estimator.*got 0.1"),
        (
            lambda: adapt_learning_rate(sgd(1.0), rates.distance(), per="row"),
            ValueError,
            "per must be one of 'tree', 'leaf'",
        ),
        (lambda: adapt_learning_rate(sgd(1.0), half_fed(), per="leaf"), ValueError, "one rate for all leaves"),
        (
            lambda: adapt_learning_rate(sgd(1.0), rates.distance(), learning_rate=-1.0),
            ValueError,
            "learning_rate must be",
        ),
        (
            lambda: adapt_learning_rate(gradtx.keep_master(sgd(1.0)), rates.distance()),
            ValueError,
            "put keep_master outside",
        ),
        (
            lambda: adapt_learning_rate(sgd(1.0), rates.distance(), gradient_units="eps"),
            TypeError,
            r"gradient_units must be a tuple of names, such as \('eps',\); got 'eps'",
        ),
        (
            lambda: adapt_learning_rate(gradtx.adam(1.0), rates.distance(), gradient_units=("ep",)),
            ValueError,
            r"names 'ep' \(did you mean 'eps'.*nothing inside adam\(.*\) has a hyperparameter",
        ),
        (lambda: rates.constant(lambda step: step), TypeError, "rate is read once and cannot follow a schedule"),
        (lambda: rates.constant(-1.0), ValueError, "rate must be finite and at least 0"),
        (lambda: rates.distance(rel=1.0), TypeError, "distance has no argument 'rel'"),
    ],
)
def test_bad_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_params_are_needed():
    tx = adapt_learning_rate(sgd(1.0), rates.distance())
    with pytest.raises(ValueError, match="adapt_learning_rate needs the parameters"):
        tx.update(G, tx.init(W))


def of_gradients_alone(tx):
    """Whether the eps of a piece is in units of the gradient, and it needs nothing besides gradients and parameters."""
    declared = tx.own_traits.gradient_powers
    return (
        not {"eps", "eps_root"}.isdisjoint(tx.hypers)
        and not tx.extras.needed
        and 0 not in (declared(tx.arguments) if declared else {}).values()
    )


PIECES = [entry.make(setting) for entry in ENTRIES.values() if entry.kind == "piece" for setting in entry.settings]


@pytest.mark.parametrize("tx", [tx for tx in PIECES if of_gradients_alone(tx)], ids=lambda tx: repr(tx)[:60])
def test_the_unit_of_each_eps(tx):
    """Fed with half of the gradients, the update is the same, or half of it for pieces that keep the size."""
    zero = {"initial_accumulator_value": 0.0} if "initial_accumulator_value" in tx.arguments else {}
    tx = tx.replace(**{name: 0.25 for name in ("eps", "eps_root") if name in tx.hypers}, **zero)
    w, g = {"w": jnp.ones((2, 2))}, {"w": jnp.array([[0.5, 2.0], [-1.0, 0.25]])}
    fed = adapt_learning_rate(tx, half_fed())
    got, want = fed.update(g, fed.init(w), w)[0]["w"], tx.update(g, tx.init(w), w)[0]["w"]
    assert np.allclose(got, want, rtol=1e-5) or np.allclose(got, 0.5 * want, rtol=1e-5)


@pytest.mark.parametrize("eps_in_sqrt", [True, False])
def test_a_recipe_with_eps_inside_the_root_is_fed_its_square(eps_in_sqrt):
    """So the step is that of the whole gradients."""
    inner, g, w = gradtx.rmsprop(1.0, 0.9, 1e-8, eps_in_sqrt=eps_in_sqrt), jnp.array(1e-4), jnp.array(1.0)
    tx = adapt_learning_rate(inner, half_fed())
    want = -1e-4 / (np.sqrt(1e-9 + 1e-8) if eps_in_sqrt else np.sqrt(1e-9) + 1e-8)
    np.testing.assert_allclose(tx.update(g, tx.init(w), w)[0], want, rtol=1e-6)


def test_an_eps_of_two_units_is_refused():
    """That of clipping is in units of the parameters, that of Adam in units of the gradient."""

    @gradtx.transformation
    def clipped(eps: gradtx.Hyper = 1e-3):
        return gradtx.chain(gradtx.adaptive_grad_clip(0.1, eps), gradtx.scale_by_adam(eps=eps))

    tx = adapt_learning_rate(clipped(), half_fed())
    with pytest.raises(ValueError, match=r"eps has several units inside clipped\(eps=0.001\): leave it out"):
        tx.update(G, tx.init(W), W)
    tx = tx.replace(gradient_units=())
    tx.update(G, tx.init(W), W)
