"""The pair: what update checks before it runs, extras, schedules in any hyperparameter, foreign pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import EmptyState, Hyper, Transformation, adam, adamw, chain, hyperparameters, scale, sgd, transformation
from tests.double import enable_x64

PARAMS = {"layers": [{"w": jnp.ones((3, 1)), "b": jnp.zeros(1)}]}
GRADS = {"layers": [{"w": jnp.full((3, 1), 2.0), "b": jnp.ones(1)}]}


def grads_with(**changes):
    return {"layers": [{**GRADS["layers"][0], **changes}]}


@transformation
def scale_by_loss(strength: Hyper = 1.0):
    """A piece that needs `value`, and takes `damping`."""

    def init(params):
        return EmptyState()

    def update(updates, state, params=None, *, value, damping=0.0):
        return jax.tree.map(lambda g: g * (strength * value - damping), updates), state

    return init, update


@transformation
def wrap(inner: Transformation):
    """A wrapper that forwards everything."""

    def update(updates, state, params=None, **extra):
        return inner.update(updates, state, params, **extra)

    return inner.init, update


@pytest.mark.parametrize("tx", [adam(1e-3), wrap(adam(1e-3)), chain(a=adam(1e-3)), gradtx.inject(adam(1e-3))], ids=str)
@pytest.mark.parametrize(
    ("grads", "error", "message"),
    [
        (grads_with(w=jnp.ones(3)), ValueError, r"at layers/0/w has shape \(3,\), the \w+ \(3, 1\)"),
        (grads_with(w=None), ValueError, r"at layers/0/w is None"),
        (grads_with(w="text"), TypeError, r"at layers/0/w must be an array or a number; got 'text'"),
        (grads_with(w=print), TypeError, r"at layers/0/w must be an array or a number; got <built-in function print>"),
        (grads_with(w=jnp.ones((3, 1), jnp.int32)), TypeError, r"at layers/0/w is int32, the \w+ float32"),
        ({"layers": [{"w": jnp.ones((3, 1))}]}, ValueError, r"there is no (gradient|update) at layers/0/b"),
        (grads_with(c=jnp.ones(1)), ValueError, r"at layers/0/c has no (parameter|mu)"),
        ({"layers": ({**GRADS["layers"][0]},)}, TypeError, r"the same leaves in other containers"),
        (None, ValueError, r"are None, where the \w+s are a tree"),
    ],
    ids=["shape", "none", "string", "function", "int", "missing", "extra", "containers", "nothing"],
)
@pytest.mark.parametrize("with_params", [True, False])
def test_a_wrong_gradient_is_an_error_that_names_the_leaf(tx, grads, error, message, with_params):
    with pytest.raises(error, match=message):
        tx.update(grads, tx.init(PARAMS), PARAMS if with_params else None)


def test_a_state_of_other_parameters_is_suspected():
    with pytest.raises(ValueError, match=r"update at layers/0/b has no mu.*; was the state made for other parameters"):
        adam(1e-3).update(PARAMS, adam(1e-3).init({"layers": [{"w": PARAMS["layers"][0]["w"]}]}))


def test_an_argument_that_a_recipe_lacks_leads_to_the_piece():
    with pytest.raises(TypeError, match="adam has no argument 'weight_decay'; chain it with add_decayed_weights"):
        adam(1e-3, weight_decay=0.1)


@pytest.mark.parametrize("tx", [sgd(0.1), scale(2.0)], ids=str)
def test_a_stateless_transformation_refuses_what_is_no_array(tx):
    with pytest.raises(TypeError, match="update at layers/0/w must be an array or a number; got 'text'"):
        tx.update(grads_with(w="text"), tx.init(PARAMS))


def test_parameters_that_are_no_arrays_are_refused_at_init():
    with pytest.raises(TypeError, match="parameter at activation must be an array or a number; got <function"):
        adam(1e-3).init({"w": jnp.ones(2), "activation": lambda x: x})


def test_the_state_of_another_transformation_is_refused():
    with pytest.raises(TypeError, match=r"scale_by_rms: the state must be a ScaleByRmsState; got .*ScaleByAdamState"):
        gradtx.scale_by_rms().update(GRADS, gradtx.scale_by_adam().init(PARAMS), PARAMS)
    with pytest.raises(TypeError, match=r"chain: the state has an entry 'add_momentum'; the members are \["):
        adam(1e-3).update(GRADS, sgd(0.1, 0.9).init(PARAMS), PARAMS)
    with pytest.raises(TypeError, match=r"scale_by_adam: the state must be a ScaleByAdamState; got .*EmptyState"):
        adam(1e-3).update(GRADS, sgd(0.1).init(PARAMS), PARAMS)
    with pytest.raises(TypeError, match=r"has schedules for \['learning_rate'\]"):
        sgd(lambda step: 0.1).update(GRADS, sgd(0.1).init(PARAMS))
    with pytest.raises(TypeError, match="chain: the state must be a dict; got None"):
        adam(1e-3).update(GRADS, None, PARAMS)


@pytest.mark.parametrize("tx", [adam(1e-3), gradtx.scale_by_adam()], ids=str)
def test_swapped_arguments_get_their_own_message(tx):
    with pytest.raises(TypeError, match=r"updates and state are swapped: call update\(updates, state, params\)"):
        tx.update(tx.init(PARAMS), GRADS, PARAMS)


def test_a_missing_gradient_is_not_taken_for_swapped_arguments():
    """Where the state looks like the parameters."""

    @gradtx.transformation
    def mean():
        def update(updates, state, params=None):
            return gradtx.map_leaves(lambda g, m: (m, 0.5 * m + 0.5 * g), updates, state)

        return gradtx.zeros, update

    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    tx = mean()
    for grads, leaf in (({"kernel": params["kernel"]}, "bias"), ({**params, "more": params["bias"]}, "more")):
        with pytest.raises(ValueError, match=leaf):
            tx.update(grads, tx.init(params), params)


def test_state_and_params_that_are_swapped_get_their_own_message():
    tx = adam(1e-3)
    with pytest.raises(TypeError, match=r"params and state are swapped: call update\(updates, state, params\)"):
        tx.update(GRADS, PARAMS, tx.init(PARAMS))


def test_missing_params_are_named():
    with pytest.raises(ValueError, match="add_decayed_weights needs the parameters"):
        adamw(1e-3).update(GRADS, adamw(1e-3).init(PARAMS))


def test_extras_reach_those_who_declare_them_and_no_others():
    tx = chain(scale(2.0), wrap(scale_by_loss()), scale(1.0))
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, value=3.0, damping=1.0)
    np.testing.assert_allclose(updates["layers"][0]["b"], [4.0])
    with pytest.raises(TypeError, match="scale_by_loss needs value: call update"):
        tx.update(GRADS, tx.init(PARAMS), PARAMS)
    with pytest.raises(TypeError, match="no argument 'speed' in update; its extra arguments: damping, value"):
        tx.update(GRADS, tx.init(PARAMS), PARAMS, value=3.0, speed=1.0)


@pytest.mark.parametrize("tx", [sgd(0.1), chain(), adam(0.1), gradtx.identity(), gradtx.inject(sgd(0.1))], ids=str)
def test_what_other_libraries_always_pass_is_always_allowed(tx):
    tx.update(GRADS, tx.init(PARAMS), PARAMS, value=1.0, grad=GRADS, value_fn=lambda p: 0.0)
    with pytest.raises(TypeError, match="takes no argument 'other'"):
        tx.update(GRADS, tx.init(PARAMS), PARAMS, other=1.0)


def test_unpacks_as_the_pair():
    init, update = sgd(0.5)
    updates, _ = update(GRADS, init(PARAMS))
    np.testing.assert_allclose(updates["layers"][0]["b"], [-0.5])


def test_a_body_that_returns_nonsense_from_update_is_told():
    @transformation
    def forgetful():
        return lambda params: EmptyState(), lambda updates, state, params=None: updates

    with pytest.raises(TypeError, match=r"forgetful: update must return \(updates, state\)"):
        forgetful().update(GRADS, EmptyState())


@pytest.mark.parametrize(
    ("tx", "expected"),
    [
        (sgd(lambda step: 0.1 / (1 + step)), [-0.1, -0.05, -0.1 / 3]),
        (sgd(gradtx.linear_schedule(1.0, 0.0, 2)), [-1.0, -0.5, 0.0]),
        (scale(lambda step: step), [0.0, 1.0, 2.0]),
    ],
    ids=str,
)
def test_the_first_update_sees_step_zero(tx, expected):
    state, seen = tx.init(jnp.float32(0.0)), []
    for _ in range(3):
        updates, state = tx.update(jnp.float32(1.0), state)
        seen.append(float(updates))
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


def test_the_rate_in_use_is_read_from_the_state():
    tx = adam(lambda step: 0.1 * 0.5**step, b2=gradtx.constant_schedule(0.99))
    state = tx.init(PARAMS)
    assert {k: float(v) for k, v in hyperparameters(state).items()} == pytest.approx({"learning_rate": 0.1, "b2": 0.99})
    for expected in (0.1, 0.05, 0.025):
        _, state = tx.update(GRADS, state, PARAMS)
        assert float(hyperparameters(state)["learning_rate"]) == pytest.approx(expected)
    assert hyperparameters(adam(0.1).init(PARAMS)) == {}


def test_scheduled_values_are_strong_float32_or_as_wide_as_the_parameters():
    tx = sgd(lambda step: 0.1)
    for params, expected in ((jnp.ones(2, jnp.bfloat16), jnp.float32), (jnp.ones(2), jnp.float32)):
        state = tx.init(params)
        rate = hyperparameters(state)["learning_rate"]
        assert rate.dtype == expected
        assert not rate.weak_type
    with enable_x64(True):
        rate = hyperparameters(tx.init(jnp.ones(2, jnp.float64)))["learning_rate"]
        assert rate.dtype == jnp.float64
        assert float(rate) == 0.1


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (lambda step: jnp.ones(3), ValueError, r"the schedule for .*learning_rate must return a scalar.*\(3,\)"),
        (lambda step: "fast", TypeError, "the schedule for .*learning_rate must return a number.*'fast'"),
        (lambda step: None, TypeError, "the schedule for .*learning_rate must return a number.*None"),
        (lambda step: 1j, TypeError, "must return a real number.*complex64"),
        (lambda step: -1.0, ValueError, "learning_rate must be finite and at least 0; got -1.0"),
    ],
    ids=["shape", "string", "none", "complex", "negative"],
)
def test_a_schedule_that_returns_nonsense_is_told_at_init(rate, error, message):
    with pytest.raises(error, match=message):
        sgd(rate).init(PARAMS)


def test_what_is_read_once_cannot_follow_a_schedule():
    with pytest.raises(TypeError, match="rmsprop: initial_scale is read once and cannot follow a schedule"):
        gradtx.rmsprop(0.1, initial_scale=lambda step: 0.1)
    with pytest.raises(TypeError, match="initial_scale is read once"):
        gradtx.scale_by_rms(initial_scale=gradtx.constant_schedule(0.1))


def test_half_precision_hyperparameters_do_not_round_what_they_meet():
    rate = jnp.bfloat16(0.5)
    updates, _ = sgd(rate).update(jnp.float32(1 + 2**-20), {}, None)
    assert updates.dtype == jnp.float32
    assert float(updates) == -0.5 * (1 + 2**-20)


@pytest.mark.parametrize(
    "params", [jnp.ones(2), [jnp.ones(2)], (jnp.ones(2),), {"w": jnp.ones(2)}], ids=lambda p: type(p).__name__
)
def test_a_state_that_mirrors_the_parameters(params):
    @transformation
    def momentum(decay: Hyper = 0.9):
        def update(updates, state, params=None):
            return gradtx.map_leaves(lambda g, b: (decay * b + g, decay * b + g), updates, state)

        return gradtx.zeros, update

    for tx in (momentum(), chain(momentum()), chain(tuple(momentum()))):
        updates, _ = tx.update(params, tx.init(params), params)
        jax.tree.map(np.testing.assert_array_equal, updates, params)


def test_extra_arguments_of_bare_pairs():
    pair = (lambda params: (), lambda updates, state, params=None, *, value: (updates * value, state))
    tx = chain(pair)
    assert float(tx.update(jnp.float32(2.0), tx.init(0.0), value=3.0)[0]) == 6.0
    with pytest.raises(TypeError, match="foreign needs value: call update"):
        tx.update(jnp.float32(2.0), tx.init(0.0))


def test_bare_pairs_with_two_or_three_arguments():
    two = (lambda params: (), lambda updates, state: (jax.tree.map(jnp.negative, updates), state))
    three = (lambda params: (), lambda updates, state, params=None: (params, state))
    tx = chain(two, three)
    updates, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert updates is PARAMS
    assert jax.tree.leaves(state) == []
    assert chain(two) == chain(two)


@pytest.mark.parametrize(
    "wrong", [adam, 3.0, None, "adam", (1, 2), [sgd(1.0)]], ids=["factory", "number", "none", "name", "numbers", "list"]
)
def test_a_chain_of_something_else_is_refused(wrong):
    with pytest.raises(TypeError, match=r"chain: members\[1\] must be a transformation"):
        chain(sgd(0.1), wrong)
    with pytest.raises(TypeError, match="chain: extra must be a transformation"):
        chain(extra=wrong)


def test_an_error_in_a_schedule_says_whose_it_is():
    with pytest.raises(TypeError) as caught:
        sgd(lambda: 0.1).init(PARAMS)
    assert "the schedule for sgd's learning_rate" in caught.value.__notes__[0]


def test_a_schedule_for_a_member():
    with pytest.raises(TypeError, match=r"got a schedule: use scale_by_learning_rate\(schedule\)"):
        chain(gradtx.constant_schedule(0.1))


def test_the_factory_itself_in_place_of_its_value():
    with pytest.raises(TypeError, match=r"did you forget to call it: adam\(...\)\?"):
        chain(adam)


class TestStep:
    """Update and apply in one call."""

    def test_needs_params(self):
        with pytest.raises(ValueError, match=r"a step needs the parameters: call step\(updates, state, params\)"):
            chain(scale(0.1)).step(GRADS, {}, None)

    def test_names_the_leaf_that_does_not_fit(self):
        tx = sgd(0.1)
        with pytest.raises(ValueError, match=r"at layers/0/w has shape \(3,\)"):
            tx.step(grads_with(w=jnp.ones(3)), tx.init(PARAMS), PARAMS)

    def test_of_the_empty_chain_adds_the_gradients(self):
        params, state = chain().step(GRADS, chain().init(PARAMS), PARAMS)
        np.testing.assert_array_equal(params["layers"][0]["w"], jnp.full((3, 1), 3.0))
        assert state == {}

    @pytest.mark.skipif(
        jax.default_backend() != "cpu" or jax.__version_info__ < (0, 10), reason="counted by XLA's compiler of JAX 0.10"
    )
    @pytest.mark.parametrize(
        ("tx", "most"),
        [
            (gradtx.accumulate(adam(1e-3), 4), 52),
            (gradtx.skip_nonfinite(adam(1e-3), check_updates=False), 44),
            (adam(1e-3), 40),
        ],
        ids=lambda x: getattr(x, "name", x),
    )
    def test_writes_nothing_for_what_rests(self, tx, most):
        """Bytes for each parameter, as XLA counts them; with update and apply_updates they are 60, 54 and 40."""
        params = jnp.zeros(2**16)
        train = jax.jit(lambda params, state, grads: tx.step(grads, state, params), donate_argnums=(0, 1))
        step = train.lower(params, tx.init(params), params).compile()
        cost = step.cost_analysis()
        assert (cost[0] if isinstance(cost, list) else cost)["bytes accessed"] <= (most + 0.2) * params.size
        assert step.memory_analysis().temp_size_in_bytes < params.size
