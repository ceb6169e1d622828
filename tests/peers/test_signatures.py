"""The signatures of names that optax has too: the same arguments in the same order, and a list of what differs."""

import inspect

import pytest

import gradtx
from gradtx.catalog import ENTRIES

optax = pytest.importorskip("optax", reason="pip install -e '.[peers]'")
contrib = pytest.importorskip("optax.contrib")

pytestmark = pytest.mark.peers

# Arguments of optax that gradtx does not have, and what to write instead.
DTYPES = "`store` keeps moments in fewer bytes, for every transformation"
EVERYWHERE = {
    "mu_dtype": DTYPES,
    "accumulator_dtype": DTYPES,
    "state_dtype": DTYPES,
    "dtype_momentum": DTYPES,
    "verbose": "`state.info` says what the search did",
    "mask_compatible_extra_args": "extra arguments that are trees like the parameters are always split",
}
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def theirs(name):
    """What optax has under a name, which may have moved to contrib."""
    return getattr(contrib, name, None) or getattr(optax, name, None)


NAMES = [name for name in ENTRIES if inspect.isfunction(theirs(name))]
assert len(NAMES) > 60


def arguments(function):
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind not in VARIADIC]
    return [p.name for p in parameters], [p.name for p in parameters if p.kind in POSITIONAL]


@pytest.mark.parametrize("name", NAMES)
def test_arguments(name):
    """Each argument of optax is here, or the catalog says what is instead; what stands at one place is the same."""
    (ours, positional), (others, their_positional) = arguments(getattr(gradtx, name)), arguments(theirs(name))
    instead = ENTRIES[name].optax_absent
    assert {x for x in others if x not in ours and x not in EVERYWHERE} == instead.keys()
    known = [x for x in their_positional if x not in EVERYWHERE]  # a dtype in their place is an error
    for mine, other in zip(positional, known, strict=False):
        if not instead.get(other, other).startswith(mine):
            assert other in instead  # an error for who gives it
            break


def test_what_stands_where_optax_has_a_dtype_is_no_silent_mistake():
    with pytest.raises(TypeError, match="weight_decay must be a number, a scalar array or a schedule; got None"):
        gradtx.adamw(1e-3, 0.9, 0.999, 1e-8, 0.0, None, 1e-4)


STATES = [name for name in gradtx.__all__ if name.endswith("State") and hasattr(theirs(name), "_fields")]
# Fields that optax has and gradtx does not, or that stand elsewhere.
FIELDS = {
    "AddNoiseState": "optax's rng_key changes at every step; key does not",
    "DifferentiallyPrivateAggregateState": "as AddNoiseState",
    "EmaState": "optax calls mu ema",
    "ScaleByBacktrackingLinesearchState": "ours has count and untried",
    "LookaheadState": "optax keeps the slow weights with the parameters",
    "ScaleByAdanState": "the count comes first, as in all others",
    "ScaleByLionState": "optax has a count, which it does not read",
    "ScaleByRpropState": "optax keeps the last update, of which it needs the sign",
    "ScaleByRmsState": "optax has a count only with bias_correction",
    "ScaleByStddevState": "as ScaleByRmsState",
    "ScaleByZoomLinesearchState": "ours has count",
    "ScheduleFreeState": "ours holds the inner state last, as every wrapper",
    "ZeroNansState": "ours counts",
}


@pytest.mark.parametrize("name", STATES)
def test_fields_of_states(name):
    ours, others = getattr(gradtx, name)._fields, theirs(name)._fields
    assert (ours == others) == (name not in FIELDS), f"{ours}, in optax {others}"


def test_a_schedule_from_0_to_a_value_below():
    """optax's cosine takes the end as a share of the peak, and has none where the peak is 0."""
    numbers = {"init_value": 0.0, "peak_value": 0.0, "warmup_steps": 2, "decay_steps": 8, "end_value": -3.0}
    assert float(gradtx.warmup_cosine_decay_schedule(**numbers)(8)) == -3.0
    assert float(optax.warmup_cosine_decay_schedule(**numbers)(8)) == 0.0
