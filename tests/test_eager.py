"""Steps outside jit as compiled programs: when there is one, what it changes, and what runs operation by operation."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import eager as programs

PARAMS = {"w": jnp.ones((3, 2)), "b": jnp.array([0.5, -2.0])}
GRADS = {"w": jnp.full((3, 2), 0.25), "b": jnp.array([3.0, 1.0])}


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """The programs that were made, in order; each test starts without any."""
    programs._steps.cache_clear()
    found, make = [], programs._program

    def listener(*args):
        found.append(make(*args))
        return found[-1]

    monkeypatch.setattr(programs, "_program", listener)
    return found


def walked(tx, steps, params=PARAMS, grads=GRADS, **more):
    """The parameters and the state after steps outside jit."""
    state = tx.init(params)
    for _ in range(steps):
        params, state = tx.step(grads, state, params, **more)
    return params, state


def same(one, other, **tolerance):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        assert a.weak_type == b.weak_type
        np.testing.assert_allclose(a, b, **tolerance)


def test_the_third_step_is_compiled_and_gives_the_same(made):
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(0.1))
    walked(tx, 2)
    assert not made
    after = walked(tx, 5)
    assert len(made) == 1
    with jax.disable_jit():
        expected = walked(tx, 5)
    assert len(made) == 1
    same(after, expected, rtol=1e-5)


def test_other_numbers_share_a_program(made):
    walked(gradtx.adam(0.1), 4)
    for rate in (0.2, 0.3, 0.4):
        after = walked(gradtx.adam(rate), 2)
    assert len(made) == 2  # the rate a constant, and an argument
    with jax.disable_jit():
        same(after, walked(gradtx.adam(0.4), 2), rtol=1e-5)


def test_other_shapes_and_dtypes_have_their_own(made):
    tx = gradtx.sgd(0.1, 0.9)
    for params in (jnp.ones(2), jnp.ones(3), jnp.ones(3, "bfloat16")):
        walked(tx, 3, params, params)
    assert len(made) == 3


def test_a_trace_has_no_program_in_it(made):
    tx, state = gradtx.adam(0.1), gradtx.adam(0.1).init(PARAMS)
    before = str(jax.make_jaxpr(lambda: tx.step(GRADS, state, PARAMS))())
    walked(tx, 3)
    made.clear()
    assert str(jax.make_jaxpr(lambda: tx.step(GRADS, state, PARAMS))()) == before
    rates = jnp.array([0.1, 0.2, 0.3])
    jax.vmap(lambda rate: tx.replace(learning_rate=rate).step(GRADS, state, PARAMS))(rates)
    jax.vmap(lambda rate: tx.step(GRADS, state, PARAMS)[0]["b"] * rate)(rates)
    jax.grad(lambda rate: tx.replace(learning_rate=rate).step(GRADS, state, PARAMS)[0]["b"].sum())(0.1)
    assert not made


class TestErrors:
    def test_of_wrong_trees_name_the_leaf(self):
        tx = gradtx.adam(0.1)
        params, state = walked(tx, 4)
        for _ in range(4):
            with pytest.raises(ValueError, match=r"gradient at w has shape \(3,\), the parameter \(3, 2\)"):
                tx.step({**GRADS, "w": jnp.ones(3)}, state, params)

    def test_of_schedules_name_the_step(self, made):
        tx = gradtx.chain(gradtx.clip_by_global_norm(gradtx.linear_schedule(1.0, -1.0, 10)), gradtx.sgd(0.1))
        params, state = walked(tx, 6)
        assert made[0] is not None
        with pytest.raises(ValueError, match=r"max_norm .* got -0\.2.*linear_schedule.*this is step 6"):
            tx.step(GRADS, state, params)
        donated = jax.tree.map(jnp.array, state)
        with pytest.raises(ValueError, match="this is step 6"):
            tx.step(GRADS, donated, params, donate=True)
        assert not any(x.is_deleted() for x in jax.tree.leaves((donated, params)))

    def test_of_a_schedule_in_a_branch_too(self, made):
        tx = gradtx.skip_nonfinite(gradtx.sgd(gradtx.linear_schedule(1.0, -1.0, 10)))
        params, state = walked(tx, 6)
        assert made == [None]
        with pytest.raises(ValueError, match="this is step 6"):
            tx.step(GRADS, state, params)

    def test_of_numbers_that_are_not_finite(self):
        tx = gradtx.chain(gradtx.clip_by_global_norm(1.0, nonfinite="raise"), gradtx.sgd(0.1))
        params, state = walked(tx, 4)
        with pytest.raises(FloatingPointError, match="the update at w has"):
            tx.step({**GRADS, "w": jnp.full((3, 2), jnp.nan)}, state, params)

    def test_of_a_watch_for_other_groups(self):
        one, two = (gradtx.watch(gradtx.sgd(0.1), every=1, groups={name: "*"}) for name in ("one", "two"))
        walked(two, 4)
        params, state = walked(one, 4)
        with pytest.raises(ValueError, match="watch: the state was made for the leaves or groups"):
            two.step(GRADS, state, params)

    def test_of_values_that_no_factory_checked(self):
        walked(gradtx.sgd(0.1), 4)
        wrong = jax.tree.map(lambda x: -x, gradtx.sgd(0.1))
        with pytest.raises(ValueError, match="learning_rate must be"):
            walked(wrong, 1)


def rising():
    """A schedule with a Python counter."""
    steps = []

    def rate(step):
        steps.append(step)
        return 0.1 * len(steps)

    return rate


@gradtx.transformation
def noted(note: list):
    def init(params):
        return gradtx.EmptyState()

    def update(updates, state, params=None):
        note.append(updates)
        return updates, state

    return init, update


class TestOperationByOperation:
    """What runs so at every step."""

    @pytest.mark.parametrize(
        "tx",
        [
            gradtx.sgd(rising()),
            gradtx.chain(noted([]), gradtx.sgd(0.1)),
            gradtx.chain((lambda params: (), lambda grads, state, params=None: (grads, state)), gradtx.sgd(0.1)),
            gradtx.masked(gradtx.sgd(0.1), lambda path, leaf: path == "w"),
        ],
        ids=["schedule", "transformation", "pair", "mask"],
    )
    def test_functions_of_others(self, tx, made):
        walked(tx, 4)
        assert not made

    def test_their_python(self):
        note: list = []
        tx = gradtx.chain(noted(note), gradtx.sgd(0.1))
        walked(tx, 5)
        assert len(note) == 5
        assert not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(note))

    def test_numpy_parameters(self, made):
        tx, params = gradtx.sgd(0.1), {"w": np.ones(2, "float32"), "n": np.arange(2)}
        for _ in range(4):
            assert tx.step(params, tx.init(params), params)[0]["n"] is params["n"]
        assert not made

    def test_several_devices(self, made):
        first, second = jax.devices()[:2]
        params = {"w": jax.device_put(PARAMS["w"], first), "b": jax.device_put(PARAMS["b"], second)}
        after, _ = walked(gradtx.sgd(0.1), 4, params, params)
        assert after["b"].devices() == {second}
        assert not made

    def test_sparse_rows(self, made):
        tx, table = gradtx.sgd(0.1), jnp.ones((4, 2))
        rows = gradtx.RowSparse(jnp.array([1]), jnp.ones((1, 2)), (4, 2))
        for _ in range(4):
            tx.step(rows, tx.init(table), table)
        assert not made

    def test_a_function_of_the_value(self, made):
        tx = gradtx.chain(gradtx.sgd(1.0), gradtx.scale_by_backtracking_linesearch(5))
        params = PARAMS
        state = tx.init(params)

        for _ in range(4):
            value, grads = jax.value_and_grad(lambda p: jnp.sum(p["w"] ** 2) + jnp.sum(p["b"] ** 2))(params)
            more = {"value": value, "grad": grads, "value_fn": lambda p: jnp.sum(p["w"] ** 2) + jnp.sum(p["b"] ** 2)}
            params, state = tx.step(grads, state, params, **more)
        assert not made


def test_donated_arrays_are_deleted_from_the_first_step(made):
    tx = gradtx.adam(0.1)
    params, state = jax.tree.map(jnp.array, PARAMS), tx.init(PARAMS)
    new, after = tx.step(GRADS, state, params, donate=True)
    assert len(made) == 1
    assert params["w"].is_deleted()
    assert state["scale_by_adam"].mu["w"].is_deleted()
    same((new, after), walked(tx, 1), rtol=1e-5)


def test_no_arrays_are_kept():
    def train():
        for rate in (0.1, jnp.float32(0.2)):
            walked(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(rate)), 20)

    train()
    gc.collect()
    before = len(jax.live_arrays())
    train()
    gc.collect()
    assert len(jax.live_arrays()) <= before
    for n in range(1, 100):  # of the kinds that are over, too
        programs._steps(n)
    assert programs._steps.cache_info().currsize == programs._KINDS


def test_nothing_that_is_returned_shares_memory():
    tx = gradtx.lookahead(gradtx.sgd(0.1), 2)
    params, state = walked(tx, 3)
    given, came = jax.tree.leaves((params, state)), jax.tree.leaves(tx.step(GRADS, state, params))
    places = [x.unsafe_buffer_pointer() for x in (*given, *came)]
    assert len(set(places)) == len(places)


def test_a_decay_near_one_stays_in_double_precision():
    """1 - b2 of a float32 b2 has few digits: an optimizer must not depend on those that ran before it."""
    for b2 in (0.999, 0.99999, 1 - 1e-7):
        tx = gradtx.adam(0.1, b2=b2)
        _, state = walked(tx, 6)
        with jax.disable_jit():
            _, expected = walked(tx, 6)
        same(state, expected, rtol=1e-5)


def test_a_function_in_a_pytree_stays_a_function():
    """`value_fn` may be a `Partial`, which is a pytree without leaves: what it reads may change at any time."""
    height = [1.0]
    value_fn = jax.tree_util.Partial(lambda w: height[0] * jnp.sum(w["w"] ** 2))
    tx = gradtx.chain(gradtx.sgd(1.0), gradtx.scale_by_backtracking_linesearch(30))
    params = {"w": jnp.ones(2)}
    for height[0] in (1.0, 1.0, 1.0, 1000.0):
        value, grads = jax.value_and_grad(value_fn)(params)
        after, _ = tx.step(grads, tx.init(params), params, value=value, grad=grads, value_fn=value_fn)
        assert value_fn(after) <= value


def test_one_array_in_two_places_is_not_given_away():
    tied = jnp.ones(3)
    params = {"a": tied, "b": tied}
    tx = gradtx.sgd(0.1, momentum=0.9)
    after, _ = tx.step({"a": tied, "b": tied}, tx.init(params), params, donate=True)
    assert not tied.is_deleted()
    np.testing.assert_allclose(after["a"], 0.9)
