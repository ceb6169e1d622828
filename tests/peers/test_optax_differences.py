"""The differences that the docstring of `gradtx.compat.optax` lists: a test for each, in both libraries."""

import inspect
import operator
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
import gradtx.compat.optax as differences
from tests import reference
from tests.peers.pairs import recipe
from tests.transforms.agreement import Case as AgreementCase
from tests.transforms.agreement import measured

optax = pytest.importorskip("optax", reason="comparisons need the extra: pip install -e '.[peers]'")

W, G = jnp.ones(2), jnp.full(2, 0.5, jnp.float32)


def traces_of(make):
    """How often a step is traced when it gets three equal transformations as static arguments."""
    seen = []

    def step(tx, g):
        seen.append(tx)
        return tx.update(g, tx.init(W), W)[0]

    jitted = jax.jit(step, static_argnums=0)
    for _ in range(3):
        jitted(make(), G)
    return len(seen)


def after(tx, grads, params, steps=1):
    state = tx.init(params)
    for _ in range(steps):
        updates, state = tx.update(grads, state, params)
    return updates, state


def types(tree):
    return [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


def test_every_line_has_a_test():
    listed = re.findall(r"^(\S.*)\n    gradtx: .+\n(?:    .+\n)*?    optax: ", differences.__doc__ or "", re.MULTILINE)
    lines = [re.sub(r"\W+", "_", line).strip("_").lower() for line in listed]
    tests = {name.removeprefix("test_line_") for name in globals() if name.startswith("test_line_")}
    assert set(lines) == tests


def test_line_the_state_of_a_chain():
    ours = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.scale_by_adam()).init(jnp.ones(2))
    theirs = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam()).init(jnp.ones(2))
    assert list(ours) == ["scale_by_adam"]
    with pytest.raises(KeyError):
        ours[0]
    assert isinstance(theirs, tuple)
    assert len(theirs) == 2


def test_line_two_equal_calls():
    assert gradtx.sgd(0.1) == gradtx.sgd(0.1)
    assert repr(gradtx.sgd(0.1)) == "sgd(learning_rate=0.1)"
    assert pickle.loads(pickle.dumps(gradtx.sgd(0.1))) == gradtx.sgd(0.1)
    assert traces_of(lambda: gradtx.sgd(0.1)) == 1
    assert optax.sgd(0.1) != optax.sgd(0.1)
    assert traces_of(lambda: optax.sgd(0.1)) == 3
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(optax.sgd(0.1))


def test_line_a_new_learning_rate():
    traces = []

    @jax.jit
    def step(tx):
        traces.append(tx)
        return tx.update(G, tx.init(W), W)[0][0]

    assert [float(step(gradtx.sgd(rate))) for rate in (1.0, 0.5, 0.25)] == [-0.5, -0.25, -0.125]
    assert len(traces) == 1
    np.testing.assert_allclose(jax.vmap(step)(jax.vmap(gradtx.sgd)(jnp.array([1.0, 2.0]))), [-0.5, -1.0])
    assert float(jax.grad(step)(gradtx.sgd(1.0)).learning_rate) == -0.5
    assert all(callable(leaf) for leaf in jax.tree.leaves(optax.sgd(0.1)))


def test_line_a_schedule():
    tx = gradtx.adam(0.1, b2=lambda step: 0.9)
    assert gradtx.hyperparameters(tx.init(W)) == {"b2": jnp.float32(0.9)}
    with pytest.raises(TypeError):
        after(optax.adam(0.1, b2=lambda step: 0.9), G, W)


def test_line_a_clip_put_in_front_of_adam():
    clip = 1.0
    before = gradtx.adam(0.1).init(W)
    assert gradtx.chain(gradtx.clip_by_global_norm(clip), gradtx.adam(0.1)).init(W).keys() == before.keys()
    theirs = optax.chain(optax.clip_by_global_norm(clip), optax.adam(0.1)).init(W)
    assert jax.tree.structure(theirs) != jax.tree.structure(optax.adam(0.1).init(W))


def test_line_bfloat16_parameters_float32_gradients():
    half = W.astype(jnp.bfloat16)
    for library, kept in ((gradtx, True), (optax, False)):
        tx = library.adam(0.1)
        assert (types(tx.init(half)) == types(after(tx, G, half)[1])) is kept


def test_line_a_gradient_that_does_not_fit_its_parameter():
    params, grads = {"layers": [{"w": jnp.ones((3, 1))}]}, {"layers": [{"w": jnp.ones(3)}]}
    with pytest.raises(ValueError, match=r"gradient at layers/0/w has shape \(3,\), the parameter \(3, 1\)"):
        after(gradtx.adam(0.1), grads, params)
    updates, _ = after(optax.adam(0.1), grads, params)
    assert updates["layers"][0]["w"].shape == (3, 3)


def test_line_a_misspelt_extra_argument():
    with pytest.raises(TypeError, match="takes no argument 'valeu'"):
        gradtx.adam(0.1).update(G, gradtx.adam(0.1).init(W), W, valeu=1.0)
    optax.adam(0.1).update(G, optax.adam(0.1).init(W), W, valeu=1.0)


def test_line_integer_leaves():
    params, updates = {"n": jnp.array([7])}, {"n": jnp.array([0.9])}
    with pytest.raises(TypeError, match="update at n is float32, the parameter int32"):
        gradtx.apply_updates(params, updates)
    assert int(gradtx.apply_updates(params, {"n": None})["n"][0]) == 7
    assert int(optax.apply_updates(params, updates)["n"][0]) == 7  # 7.9, cut back to 7


def test_line_adam_in_float32_over_1_000_steps():
    def loop(grads):
        return reference.adam(grads, 0.9, 0.999, 1e-8)

    ours, theirs = (measured(AgreementCase(library.scale_by_adam(), loop, 0)) for library in (gradtx, optax))
    assert ours <= 30
    assert theirs > 100


def test_line_a_gradient_of_1e25():
    huge, small = jnp.array([1e25, 1.0]), jnp.ones(2)
    for library, recovers in ((gradtx, True), (optax, False)):
        tx = library.rmsprop(0.1, decay=0.1)
        step = jax.jit(tx.update)
        state = tx.init(W)
        updates, state = step(huge, state, W)
        for _ in range(100):
            updates, state = step(small, state, W)
        assert (abs(float(updates[0])) > 0.05) is recovers


def both(label):
    """The recipe that people call so, in gradtx and in optax."""
    ours = recipe(label)
    return ours, getattr(optax, ours.__name__, None)


def test_line_adadelta_without_arguments():
    ours, theirs = both("AdaDelta")
    assert float(after(ours(), G, W)[0][0]) < 0
    assert float(after(theirs(), G, W)[0][0]) > 0


def test_line_the_first_step_of_rprop():
    ours, theirs = both("Rprop")
    np.testing.assert_allclose(after(ours(0.1), G, W)[0], -0.1, rtol=1e-6)
    np.testing.assert_array_equal(after(theirs(0.1), G, W)[0], 0.0)


def test_line_amsgrad():
    ours, theirs = both("AMSGrad")
    assert ours(0.1, maximum_of="raw") != ours(0.1, maximum_of="corrected")
    assert "maximum_of" not in inspect.signature(theirs).parameters


def test_line_supersab_dampened_momentum():
    ours, theirs = both("SuperSAB")
    assert ours()
    assert gradtx.sgd(0.1, 0.9, dampening=0.9)
    assert theirs is None
    assert "dampening" not in inspect.signature(optax.sgd).parameters


def test_line_a_mask_that_asks_for_dtypes():
    params = {"wide": jnp.ones(1), "half": jnp.ones(1, jnp.bfloat16)}
    grads = jax.tree.map(lambda p: jnp.ones(1, jnp.bfloat16), params)

    def wide(tree):
        return jax.tree.map(lambda x: x.dtype == jnp.float32, tree)

    ours, _ = after(gradtx.masked(gradtx.scale(-1.0), wide), grads, params)
    assert (float(ours["wide"][0]), float(ours["half"][0])) == (-1.0, 1.0)
    theirs, _ = after(optax.masked(optax.scale(-1.0), wide), grads, params)
    assert (float(theirs["wide"][0]), float(theirs["half"][0])) == (1.0, 1.0)


def test_line_a_label_that_no_leaf_has():
    with pytest.raises(ValueError, match="no leaf has the label 'slwo'"):
        gradtx.partition({"fast": gradtx.sgd(1.0), "slwo": gradtx.sgd(0.1)}, "fast").init({"w": W})
    optax.partition({"fast": optax.sgd(1.0), "slwo": optax.sgd(0.1)}, {"w": "fast"}).init({"w": W})


def test_line_a_frozen_leaf():
    params = {"body": -0.0 * W, "head": W}
    grads = {"body": 100.0 * G, "head": G}
    ours = gradtx.freeze(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.add_momentum(0.9)), "body")
    updates, state = after(ours, grads, params)
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [(2,)]
    np.testing.assert_array_equal(updates["head"], G)
    assert np.signbit(gradtx.apply_updates(params, updates)["body"]).all()
    mask = {"body": True, "head": False}
    theirs = optax.chain(optax.clip_by_global_norm(1.0), optax.trace(0.9), optax.freeze(mask))
    updates, state = after(theirs, grads, params)
    assert len(jax.tree.leaves(state)) == 2
    assert float(updates["head"][0]) < 0.01
    assert not np.signbit(optax.apply_updates(params, updates)["body"]).any()


def through(tx, gradients):
    state = tx.init(W)
    for g in gradients:
        updates, state = tx.update(g, state, W)
    return updates


def test_line_one_nan_while_gradients_accumulate():
    grads = [jnp.nan * G, G, G, G]
    bare = through(gradtx.accumulate(gradtx.scale(1.0), 2), grads)
    np.testing.assert_array_equal(bare, G)
    skipping = through(gradtx.skip_nonfinite(gradtx.accumulate(gradtx.scale(1.0), 3)), grads)
    np.testing.assert_array_equal(skipping, G)
    theirs = through(optax.MultiSteps(optax.scale(1.0), 2).gradient_transformation(), grads)
    assert np.isnan(theirs).all()


def test_line_an_update_that_overflows():
    large = jnp.full(2, 1e20)
    ours = after(gradtx.skip_nonfinite(gradtx.scale(1e30)), large, W)[0]
    np.testing.assert_array_equal(ours, jnp.zeros(2))
    theirs = after(optax.apply_if_finite(optax.scale(1e30), 5), large, W)[0]
    assert np.isinf(theirs).all()


def test_line_two_schedules():
    rise, fall = gradtx.linear_schedule(0.0, 1.0, 10), gradtx.cosine_decay_schedule(1.0, 100)
    assert float((rise * fall + 1.0)(5)) == pytest.approx(1.0 + 0.5 * float(fall(5)))
    with pytest.raises(TypeError):
        optax.linear_schedule(0.0, 1.0, 10) * optax.cosine_decay_schedule(1.0, 100)


def test_the_names_of_optax_lead_to_those_here():
    names = {theirs: entry.name for entry in gradtx.catalog.ENTRIES.values() for theirs in entry.optax_names}
    assert len(names) >= 14
    for name, ours in names.items():
        assert callable(operator.attrgetter(name)(optax))
        theirs = name.removeprefix("contrib.")
        with pytest.raises(AttributeError, match=f"no attribute '{theirs}': here it is {ours}"):
            getattr(gradtx, theirs)


def test_formulas_under_optaxs_names():
    def second(library, b2):
        tx = library.scale_by_adan(b2=b2)
        return tx.update(2 * G, after(tx, G, W)[1], W)[0]

    np.testing.assert_allclose(second(differences, 0.5), second(optax, 0.5), rtol=1e-6)  # here b2 is 1 - b2
    assert abs(second(differences, 0.9) - second(optax, 0.9)).min() > 0.01

    first = [after(library.contrib.mechanize(library.sgd(1.0)), G, W)[0] for library in (differences, optax)]
    np.testing.assert_allclose(first[0], 100 * first[1], rtol=0.05)

    tall = {"w": jnp.eye(5, 3), "b": jnp.ones(3)}
    for library, of_rank_1, scaled in ((differences, 5, 2.0), (optax, 3, 1.0)):
        updates, state = after(library.contrib.galore(1.0, rank=1, scale=2.0), tall, tall)
        assert of_rank_1 in [x.size for x in jax.tree.leaves(state)]
        np.testing.assert_allclose(updates["b"], -scaled, rtol=1e-5)


def test_the_state_of_a_named_chain():
    ours, theirs = (x.named_chain(("clip", x.clip(1.0)), ("adam", x.adam(0.1))) for x in (differences, optax))
    assert list(ours.init(W)) == ["adam"]
    assert list(theirs.init(W)) == ["clip", "adam"]
    assert list(ours.init(W)["adam"]) == ["scale_by_adam"]
