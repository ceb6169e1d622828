"""`gradtx.testing.check`: quiet where all is well, and one plain sentence for each law that is broken."""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import LAWS, BrokenError, LawsBrokenError, Report, check, law
from gradtx.testing.compare import near


@pytest.fixture(autouse=True)
def loose():
    """Other people's code is not written for strict promotion."""
    with jax.numpy_dtype_promotion("standard"):
        yield


class MeanState(NamedTuple):
    """A running mean."""

    mean: Any


def _zeros(params):
    return jax.tree.map(jnp.zeros_like, params)


def pair(init=None, update=None):
    """A correct bare pair, or one in which a part is put wrong."""

    def mean(updates, state, params=None):
        new = jax.tree.map(lambda m, g: (m + (g - m) * 0.5).astype(m.dtype), state.mean, updates)
        return jax.tree.map(lambda m, g: (-0.1 * m).astype(g.dtype), new, updates), MeanState(new)

    def passed(updates, state, params=None):
        """The same on real leaves only, so that integers pass."""
        real = jax.tree.map(lambda g: jnp.issubdtype(g.dtype, jnp.inexact), updates)
        down, new = mean(jax.tree.map(lambda g: g * 1.0, updates), state)
        return jax.tree.map(lambda r, d, g: d if r else g, real, down, updates), new

    return init or (lambda params: MeanState(_zeros(params))), update or passed


def broken(tx, **options) -> dict[str, str]:
    """The laws that `check` finds broken; Orbax is left out, for speed."""
    laws = [x for x in LAWS if x != "resumes_from_orbax"]
    return check(tx, raises=False, laws=laws, **options).broken


@pytest.mark.parametrize("tx", [gradtx.chain(pair(), gradtx.scale(2.0)), pair()])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_quiet_where_all_is_well(tx):
    """All laws hold, and the report says which."""
    laws = [x for x in LAWS if x not in ("pickles", "prints_as_its_call")]  # the pair is local to its function
    report = check(tx, laws=laws)
    assert report.ok
    assert "keeps all" in str(report)
    assert "state_types" in report.held
    assert set(report.held) | set(report.skipped) == set(laws)


def test_type_drift():
    """A state that leaves the type of the parameters for that of the gradients is told, with the leaf."""

    def drifting(updates, state, params=None):
        new = jax.tree.map(lambda m, g: 0.5 * m + 0.5 * g, state.mean, updates)
        return new, MeanState(new)

    found = broken(pair(update=drifting), params={"w": jnp.ones(2)})
    assert found.keys() == {"state_types", "integers_pass"}
    assert found["state_types"] == (
        "the state after update, for bfloat16 parameters and float16 gradients, at mean/w is float32[2]; "
        "bfloat16[2] was expected"
    )


def test_weak_type_drift():
    """A counter that starts weak and does not stay so would be traced twice."""

    def init(params):
        return {"count": jnp.asarray(0.0)}

    def update(updates, state, params=None):
        return updates, {"count": state["count"] + jnp.ones((), jnp.float32)}

    found = broken((init, update))
    assert found.keys() == {"state_types"}
    assert "at count is float32[]; float32[] (weak) was expected" in found["state_types"]


def test_nan_at_zero_gradient():
    """A division by a norm that may be zero."""

    def update(updates, state, params=None):
        return jax.tree.map(lambda g: g / jnp.sqrt(jnp.sum(g * g)) if _real(g) and g.size else g, updates), state

    found = broken((lambda params: (), update))
    assert found.keys() == {"finite_steps"}
    assert "the update for zero gradients, at step 1, at gain is nan; a finite number was expected" in found.values()


def test_nan_in_the_derivative():
    """A root whose derivative at zero is infinite."""

    def update(updates, state, params=None):
        return jax.tree.map(lambda g: jnp.sign(g) * jnp.sqrt(jnp.abs(g)) if _real(g) else g, updates), state

    found = broken((lambda params: (), update))
    assert found.keys() == {"finite_derivatives"}
    assert "at zero gradients at gain is nan" in found["finite_derivatives"]


def test_aliasing():
    """Parameters kept in the state without a copy cannot be donated."""
    found = broken(pair(init=lambda params: MeanState(params)))
    assert found.keys() == {"donation"}
    assert "the state at mean/gain is the same buffer as the parameters at gain" in found["donation"]


def test_branch_on_values():
    """A Python `if` on a number cannot be traced; nothing else is tried then."""

    def update(updates, state, params=None):
        return (updates if float(sum(jnp.sum(g) for g in jax.tree.leaves(updates))) > 0 else _zeros(updates)), state

    report = check((lambda params: (), update), raises=False)
    assert report.broken.keys() == {"traceable"}
    assert "update cannot be traced: it raised ConcretizationTypeError" in report.broken["traceable"]
    assert "because traceable is broken" in report.skipped.values()


def test_structure_changes():
    """A state that grows."""
    found = broken((lambda params: {}, lambda updates, state, params=None: (updates, {**state, "seen": jnp.ones(())})))
    assert "state_types" in found
    assert "has a leaf at seen, where none was expected" in found["state_types"]
    assert found.keys() <= {"state_types", "empty_trees", "odd_trees"}


def test_integers_eroded():
    """Integers among the parameters that are scaled like the rest."""

    def update(updates, state, params=None):
        return jax.tree.map(lambda g: (g * jnp.asarray(0.5, g.dtype)).astype(g.dtype), updates), state

    found = broken((lambda params: (), update))
    assert found.keys() == {"integers_pass"}
    assert "the update of untrained leaves at count is 0, where 4 was expected" in found["integers_pass"]


def test_hidden_state():
    """A closure that counts for itself."""
    calls = itertools.count()

    def update(updates, state, params=None):
        factor = 1.0 / (1 + next(calls))
        return jax.tree.map(lambda g: g * jnp.asarray(factor, g.dtype) if _real(g) else g, updates), state

    assert "pure" in broken((lambda params: (), update))


def test_input_changed():
    """A gradient tree that is written to."""

    def update(updates, state, params=None):
        if isinstance(updates, dict) and "gain" in updates:
            updates["gain"] = updates["gain"] * 0
        return dict(updates) if isinstance(updates, dict) else updates, state

    assert "inputs_unchanged" in broken((lambda params: (), update))


@gradtx.transformation
def double_step():
    """Its step goes twice as far as its update."""

    def init(params):
        return gradtx.EmptyState()

    def update(updates, state, params=None):
        return gradtx.map_leaves(lambda g: -g, updates), state

    def step(updates, state, params):
        return jax.tree.map(lambda p, g: p - 2 * g, params, updates), state

    return init, update, step


def test_step_that_is_not_the_update():
    """A step that leads elsewhere than the update."""
    assert "the parameters after steps" in broken(double_step())["step_is_update_and_apply"]


def test_message_is_sentences():
    """The error lists each broken law with its sentence, and carries the report."""
    with pytest.raises(LawsBrokenError) as caught:
        check(pair(init=lambda params: MeanState(params)), laws=["state_types", "donation"])
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value.report, Report)
    assert caught.value.report.held == ("state_types",)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("breaks 1 of 2 laws:")
    assert lines[1].startswith("  donation: the state at mean/gain is the same buffer")


def test_a_broken_law_says_how_to_leave_out_what_makes_no_sense():
    """Complex leaves, scalars, trees of another shape; and of entries that differ, the one that is wrong is shown."""
    tx = gradtx.scale_by_rms(0.9, moment=gradtx.moments.per_row())
    found = check(tx, laws=["traceable"], raises=False).broken
    assert found["traceable"].endswith("(it was tried on a scalar and a matrix: for others, give params=...)")
    found = check(tx, {"w": jnp.ones((2, 3))}, laws=["traceable", "odd_trees"], raises=False).broken
    assert found.keys() == {"odd_trees"}
    assert found["odd_trees"].endswith("(if it is made for its own parameters only, say so: any_tree=False)")
    real = pair(update=lambda g, state, params=None: (jax.tree.map(lambda x: x.real + 0 * x, g), state))
    found = check(real, laws=["complex_numbers_turn"], complex_leaves=True, raises=False).broken
    assert found["complex_numbers_turn"].endswith("(if it is for real leaves only, say so: complex_leaves=False)")
    with pytest.raises(BrokenError, match=r"it at 0 is 3.0, where 2.0 was expected"):
        near("it", [np.float32([1.0 + 2**-23, 3.0])], [np.float32([1.0, 2.0])])


def test_own_laws_and_own_trees():
    """Laws of one's own, by value; parameters and gradients of one's own."""

    @law()
    def descends(case):
        """The first update points against the gradient."""
        grads = case.gradients(1)[0]
        updates, _ = case.update(grads, case.init(case.params), case.params)
        if not all((u * g <= 0).all() for u, g in zip(*map(jax.tree.leaves, (updates, grads)), strict=True)):
            raise BrokenError("an update points along its gradient")

    trees = {"params": {"w": jnp.ones(3)}, "grads": {"w": jnp.asarray([1.0, -2.0, 3.0])}}
    assert check(gradtx.sgd(0.1), laws=[descends], **trees).held == ("descends",)
    assert broken_by(descends, gradtx.scale(0.1)) == {"descends": "an update points along its gradient"}


def broken_by(one, tx):
    """What one law says."""
    return check(tx, laws=[one], raises=False).broken


def test_unknown_law():
    """A misspelt law is an error with the near name."""
    with pytest.raises(ValueError, match="did you mean 'donation'"):
        check(gradtx.sgd(0.1), laws=["donations"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_optax_adam():
    """With bfloat16 parameters and float32 gradients, optax's Adam does not keep the types of its state."""
    optax = pytest.importorskip("optax")
    found = broken(optax.adam(1e-3), params={"w": jnp.ones(2, jnp.bfloat16)}, grads={"w": jnp.ones(2)})
    assert found.keys() == {"state_types", "integers_pass"}
    assert found["state_types"] == (
        "the state after update, for the given parameters and the given gradients, at 0/mu/w is float32[2]; "
        "bfloat16[2] was expected"
    )


def _real(x):
    return jnp.issubdtype(jnp.result_type(x), jnp.inexact)
