"""optax: where the docstrings say that it does the same, and where they say that it does not."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.catalog import ENTRIES, RECIPES
from tests import reference
from tests.optimizers import test_adam, test_adamax, test_amsgrad, test_nadam
from tests.peers.agreement import W0, differ, enable_x64, gradients, ours, same
from tests.peers.pairs import names, pairs, recipe
from tests.transforms import agreement, test_momentum

optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")


def rate(step):
    return 0.1 / (1 + step)


MORE = {
    "sgd schedule": (gradtx.sgd(rate), optax.sgd(rate)),
    "momentum schedule": (gradtx.sgd(rate, 0.9), optax.sgd(rate, 0.9)),
    "rmsprop outside": (gradtx.rmsprop(0.1, eps_in_sqrt=False), optax.rmsprop(0.1, eps_in_sqrt=False)),
    "rmsprop initial": (gradtx.rmsprop(0.1, 0.99, 1e-4, 2.0), optax.rmsprop(0.1, 0.99, 1e-4, 2.0)),
    "rmsprop momentum schedule": (gradtx.rmsprop(rate, momentum=0.9), optax.rmsprop(rate, momentum=0.9)),
    "rmsprop nesterov schedule": (
        gradtx.rmsprop(rate, momentum=0.9, nesterov=True),
        optax.rmsprop(rate, momentum=0.9, nesterov=True),
    ),
    "rmsprop centered outside": (
        gradtx.rmsprop(0.1, centered=True, eps_in_sqrt=False),
        optax.rmsprop(0.1, centered=True, eps_in_sqrt=False),
    ),
    "adam eps_root": (gradtx.adam(rate, 0.8, 0.99, 1e-6, 1e-4), optax.adam(rate, 0.8, 0.99, 1e-6, 1e-4)),
    "adamw": (gradtx.adamw(0.1), optax.adamw(0.1)),
    "adamw schedule": (gradtx.adamw(rate, weight_decay=0.1), optax.adamw(rate, weight_decay=0.1)),
}


def agree(tx, theirs):
    same(tx, ours(theirs))
    np.testing.assert_allclose(ours(tx, np.float32), ours(theirs, np.float32), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("pair", pairs("optax"))
def test_what_the_catalog_says_is_the_same(pair):
    """In float64 and float32."""
    agree(pair.tx, pair.in_optax(optax))


@pytest.mark.parametrize(("tx", "theirs"), MORE.values(), ids=MORE.keys())
def test_more_that_is_the_same(tx, theirs):
    agree(tx, theirs)


@pytest.mark.parametrize("name", names("optax"))
def test_names(name):
    assert callable(operator.attrgetter(name)(optax))


@pytest.mark.parametrize("entry", [e for e in ENTRIES.values() if e.optax_names], ids=lambda e: e.name)
def test_names_that_only_optax_has(entry):
    for name in entry.optax_names:
        assert callable(operator.attrgetter(name)(optax))
        assert not hasattr(gradtx, name.removeprefix("contrib."))


SCHEDULES = {
    "constant": (gradtx.constant_schedule(0.1), optax.constant_schedule(0.1)),
    "linear": (gradtx.linear_schedule(1.0, 0.1, 10, 3), optax.linear_schedule(1.0, 0.1, 10, 3)),
    "exponential": (gradtx.exponential_decay(1.0, 10, 0.5), optax.exponential_decay(1.0, 10, 0.5)),
    "staircase": (
        gradtx.exponential_decay(1.0, 10, 0.5, staircase=True),
        optax.exponential_decay(1.0, 10, 0.5, staircase=True),
    ),
    "cosine": (gradtx.cosine_decay_schedule(1.0, 20, 0.1), optax.cosine_decay_schedule(1.0, 20, 0.1)),
    "warmup cosine": (
        gradtx.warmup_cosine_decay_schedule(0.1, 1.0, 5, 20, 0.2),
        optax.warmup_cosine_decay_schedule(0.1, 1.0, 5, 20, 0.2),
    ),
}


@pytest.mark.parametrize(("schedule", "theirs"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_schedules(schedule, theirs):
    for step in range(31):
        assert float(schedule(step)) == pytest.approx(float(theirs(step)), abs=1e-6)


class TestDifferent:
    def test_without_arguments_one_of_them_ascends_there(self):
        w, gs, factory = jnp.array([1.0]), np.ones((20, 1)), recipe("AdaDelta")
        assert ours(getattr(optax, factory.__name__)(), w0=w, gs=gs)[-1] > 1.0
        assert ours(factory(), w0=w, gs=gs)[-1] < 1.0

    def test_a_step_late_there(self):
        entry = RECIPES[recipe("Rprop").__name__]
        arguments = {**entry.usual, "learning_rate": 0.1}
        gs = np.ones((6, 1))  # without a change of sign, which is treated otherwise there too
        mine, theirs = (
            np.diff(ours(make(**arguments), w0=np.zeros(1), gs=gs), axis=0, prepend=0)
            for make in (entry.factory, getattr(optax, entry.name))
        )
        assert theirs[0] == 0.0
        np.testing.assert_allclose(theirs[1:], mine[:-1], rtol=1e-12)

    def test_no_rate_is_no_minus_there(self):
        u, _ = optax.scale_by_learning_rate(0.1).update(jnp.ones(1), optax.EmptyState())
        assert float(u[0]) < 0
        up, _ = optax.scale_by_learning_rate(None).update(jnp.ones(1), optax.EmptyState())
        assert float(up[0]) > 0
        with pytest.raises(TypeError):
            gradtx.scale_by_learning_rate(None)

    def test_a_raw_maximum_is_not_theirs(self):
        make = recipe("AMSGrad")
        differ(make(0.1, maximum_of="raw"), ours(getattr(optax, make.__name__)(0.1)), by=1e-3)

    def test_eps_is_inside_the_root_only(self):
        make = recipe("Adagrad")
        theirs = getattr(optax, make.__name__)(0.1, 0.0, 1e-3)
        differ(make(0.1, 0.0, 1e-3, eps_in_sqrt=False), ours(theirs), by=1e-3)

    def test_linear_schedule_of_no_length(self):
        assert optax.linear_schedule(1.0, 0.0, 0)(5) == 1.0
        with pytest.raises(ValueError, match="transition_steps"):
            gradtx.linear_schedule(1.0, 0.0, 0)

    def test_the_norm_overflows_there(self):
        g = jnp.array([3e20, 4e20], jnp.float32)
        theirs, _ = optax.clip_by_global_norm(1.0).update(g, optax.EmptyState())
        assert not np.any(theirs)
        np.testing.assert_allclose(
            gradtx.clip_by_global_norm(1.0).update(g, gradtx.EmptyState())[0], [0.6, 0.8], rtol=1e-6
        )

    def test_the_variance_of_a_constant_gradient(self):
        """Kept as a difference it has no digits in float32; kept as a variance it has."""
        gs = np.ones((300, 1), np.float32)
        want = reference.rmsprop_by_definition(gs.astype(float), 0.9, 1e-8)[-1]
        got, _ = agreement.run(gradtx.scale_by_stddev(0.9), gs)
        theirs, _ = agreement.run(optax.scale_by_stddev(0.9), gs)
        assert abs(float(got[-1, 0]) / want[0] - 1) < 1e-5
        assert abs(float(theirs[-1, 0]) / want[0] - 1) > 1e-2


FAMILIES = (test_adam, test_adamax, test_amsgrad, test_nadam, test_momentum)
REFERENCES = {case.tx: case.reference for family in FAMILIES for case in family.CASES}
ULP_OF = [
    param for param in pairs("optax") if param.values[0].entry.kind == "piece" and param.values[0].tx in REFERENCES
]


@pytest.mark.parametrize("pair", ULP_OF)
def test_ulp(pair, record_property):
    """Over the same 1,000 steps in float32, the largest error is not above optax's; for Adam at most 30."""
    loop = REFERENCES[pair.tx]
    mine, other = (agreement.measured(agreement.Case(t, loop, 0)) for t in (pair.tx, pair.in_optax(optax)))
    record_property("ulp", {"gradtx": mine, "optax": other})
    print(f"{pair.tx}: gradtx {mine:.1f} ulp, optax {other:.1f} ulp")
    assert mine <= other
    assert mine <= (30 if pair.tx == gradtx.scale_by_adam() else 50)


def test_all_whose_error_is_compared():
    assert len(ULP_OF) >= 8


def test_optax_in_a_chain_of_ours():
    mixed = gradtx.chain(optax.clip_by_global_norm(1.0), gradtx.adam(0.1))
    same(mixed, ours(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))))


def test_ours_in_a_chain_of_theirs():
    same(
        gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1)),
        ours(optax.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1))),
    )


def test_the_gradients_are_not_trivial():
    gs = gradients()
    assert (gs == 0).any()
    assert gs.shape == (100, W0.size)
    with enable_x64(True):
        assert jnp.asarray(gs).dtype == jnp.float64
    assert jax.dtypes.canonicalize_dtype(np.float64) == np.float32
