"""A training that begins in optax goes on in gradtx, and back again: `import_state` and `export_state`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.catalog import ENTRIES
from gradtx.compat import optax as alias
from gradtx.compat.optax import export_state, from_optax, import_state
from tests.double import enable_x64
from tests.peers.pairs import Pair, pairs

optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers

# Peers in optax whose state has no counterpart here; the error says why.
REFUSED = ("scale_by_stddev corrected", "rprop", "galore")
# Here a pair has the length 1, there any, with the same result.
RESCALED = ("lbfgs",)


def start():
    return {"b": jnp.array([1.0, -2.0, 0.5]), "w": jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)}


def gradient(k):
    rng = np.random.default_rng(k)
    return {"b": jnp.asarray(rng.standard_normal(3)), "w": jnp.asarray(rng.standard_normal((3, 4)))}


def value(p, obj_fn=None):
    return jnp.sum((p["w"] - 1.0) ** 2) + jnp.sum((p["b"] + 3.0) ** 2)


def went(tx, params, state, first, last):
    """The parameters and the state after the updates of some gradients, and all parameters on the way."""
    way, more = [], {}
    if not isinstance(tx, gradtx.GradientTransformation):
        tx, more = optax.with_extra_args_support(tx), {"obj_fn": value}
    for k in range(first, last):
        g = gradient(k)
        updates, state = tx.update(g, state, params, value=value(params), grad=g, value_fn=value, **more)
        params = optax.apply_updates(params, updates)
        way.append(params)
    return params, state, way


def close(left, right, rtol=1e-11):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(plain(a), plain(b), rtol=rtol, atol=rtol)


def plain(x):
    return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)


def goes_on(tx, theirs, rtol=1e-11, exact=True):
    """Three steps of optax; then both; then optax from gradtx's state. exact: whether a state comes back as it was."""
    params, state, _ = went(theirs, start(), theirs.init(start()), 0, 3)
    mine = import_state(tx, state, params, steps=3)
    if exact:
        close(export_state(tx, mine, theirs, params, steps=3), state)
    ours, after, way = went(tx, params, mine, 3, 6)
    other, _, other_way = went(theirs, params, state, 3, 8)
    close(way, other_way[:3], rtol)
    back = export_state(tx, after, theirs, ours, steps=6)
    close(went(theirs, ours, back, 6, 8)[0], other, rtol)


@pytest.mark.parametrize("pair", pairs("optax"))
def test_it_goes_on_here_and_there(pair):
    with enable_x64(True):
        goes_on(pair.tx, pair.in_optax(optax))


def others():
    """Every other piece, recipe and aggregate with a peer: their steps differ."""
    same = {(p.values[0].entry.name, p.values[0].setting) for p in pairs("optax")}
    return [
        pytest.param(Pair(entry, name, setting.optax), id=f"{entry.name} {name}".strip())
        for entry in ENTRIES.values()
        for name, setting in entry.settings.items()
        if setting.optax and entry.kind in ("piece", "recipe", "aggregate") and (entry.name, name) not in same
    ]


@pytest.mark.parametrize("pair", others())
def test_a_state_comes_back_as_it_was(pair):
    tx = pair.entry.make(pair.setting, **({"learning_rate": 0.1} if "learning_rate" in pair.entry.usual else {}))
    with enable_x64(True):
        theirs, steps = pair.in_optax(optax), 0 if pair.entry.kind == "aggregate" else 3
        params, state, _ = went(theirs, start(), theirs.init(start()), 0, steps)
        if f"{pair.entry.name} {pair.setting}".strip() in REFUSED:
            with pytest.raises(ValueError, match=r"optax's \w+State cannot be carried over: "):
                import_state(tx, state, params, steps=steps)
            return
        mine = import_state(tx, state, params, steps=steps)
        close(mine, import_state(tx, export_state(tx, mine, theirs, params, steps=steps), params, steps=steps))
        if pair.entry.group not in RESCALED:
            close(export_state(tx, mine, theirs, params, steps=steps), state)


def cosine(library):
    return library.cosine_decay_schedule(0.1, 20)


LABELS = {"b": "slow", "w": "fast"}
ONLY_W, ONLY_B = {"b": False, "w": True}, {"b": True, "w": False}


def multi_steps(*arguments, **more):
    return optax.MultiSteps(*arguments, accumulator_dtype=jnp.result_type(float), **more).gradient_transformation()


def injected(library):
    return library.inject_hyperparams(library.adam)


def nested(library, mask):
    """Skipping, a clip, labels, a mask, schedules: four deep."""
    parts = {
        "fast": library.adam(cosine(library)),
        "slow": library.chain(
            library.masked(library.add_decayed_weights(0.1), mask), library.sgd(cosine(library), 0.9)
        ),
    }
    return library.chain(library.clip_by_global_norm(1.0), library.partition(parts, LABELS))


WRAPPERS = {
    "masked": lambda g, o: (
        g.chain(g.masked(g.add_momentum(0.9), "w"), g.sgd(0.05)),
        o.chain(o.masked(o.trace(0.9), ONLY_W), o.sgd(0.05)),
    ),
    "partition": lambda g, o: (
        g.partition({"fast": g.adam(0.1), "slow": g.sgd(0.01, 0.9)}, LABELS),
        o.partition({"slow": o.sgd(0.01, 0.9), "fast": o.adam(0.1)}, LABELS),
    ),
    "a schedule": lambda g, o: (
        g.adamw(cosine(g), weight_decay=1e-4, mask="w"),
        o.adamw(cosine(o), weight_decay=1e-4, mask=ONLY_W),
    ),
    "names": lambda g, o: (
        g.chain(clip=g.clip_by_global_norm(1.0), adam=g.adam(cosine(g))),
        o.named_chain(("clip", o.clip_by_global_norm(1.0)), ("adam", o.adam(cosine(o)))),
    ),
    "two means": lambda g, o: (
        g.chain(g.ema(0.5), g.adam(0.1), g.ema(0.9)),
        o.chain(o.ema(0.5), o.adam(0.1), o.ema(0.9)),
    ),
    "inject": lambda g, o: (g.inject(g.adam(0.3)), injected(o)(0.1)),
    "inject a schedule": lambda g, o: (g.inject(g.adam(cosine(g))), injected(o)(cosine(o))),
    "inject, to no wrapper": lambda g, o: (g.adam(cosine(g)), injected(o)(cosine(o))),
    "accumulate": lambda g, o: (g.accumulate(g.adam(cosine(g)), 2), multi_steps(o.adam(cosine(o)), 2)),
    "accumulate sums": lambda g, o: (
        g.accumulate(g.adam(0.1), 2, reduction="sum"),
        multi_steps(o.adam(0.1), 2, use_grad_mean=False, should_skip_update_fn=o.skip_not_finite),
    ),
    "skip": lambda g, o: (g.skip_nonfinite(nested(g, "b"), 2), o.apply_if_finite(nested(o, ONLY_B), 2)),
    "schedule-free": lambda g, o: (
        g.schedule_free(g.adam(0.1, b1=0.0), 0.1),
        o.contrib.schedule_free(o.adam(0.1, b1=0.0), 0.1),
    ),
    "L-BFGS": lambda g, o: (g.chain(g.scale_by_lbfgs(2), g.scale(-0.1)), o.chain(o.scale_by_lbfgs(2), o.scale(-0.1))),
    "freeze": lambda g, o: (g.freeze(g.adam(0.1), "b"), o.selective_transform(o.adam(0.1), freeze_mask=ONLY_B)),
    "projection": lambda g, o: (
        g.project_onto(g.sgd(0.1, 0.9), g.sets.nonnegative()),
        o.chain(o.sgd(0.1, 0.9), o.keep_params_nonnegative()),
    ),
    "a member of optax": lambda g, o: (
        g.chain(o.partition({"slow": o.sgd(0.01, 0.9), "fast": o.adam(0.1)}, LABELS), g.ema(0.9)),
        o.chain(o.partition({"slow": o.sgd(0.01, 0.9), "fast": o.adam(0.1)}, LABELS), o.ema(0.9)),
    ),
}


# Wrappers of the catalog with a peer -> their case; `chain` is in most, and lookahead has a test of its own.
CASES = {
    "chain": "names",
    "inject": "inject",
    "masked": "masked",
    "freeze": "freeze",
    "partition": "partition",
    "accumulate": "accumulate",
    "skip_nonfinite": "skip",
    "lookahead": "",
    "schedule_free": "schedule-free",
    "project_onto": "projection",
}
# Those whose state cannot be carried over: theirs, ours, and the words of the error.
APART = {
    "every": (
        lambda: optax.conditionally_transform(optax.adam(0.1), lambda step: step % 2 == 0),
        lambda: gradtx.every(gradtx.adam(0.1), 2),
        "ConditionallyTransformState cannot be carried over: optax decides by the step",
    ),
    "skip_if": (
        lambda: optax.conditionally_mask(optax.adam(0.1), lambda step: step % 2 == 0),
        lambda: gradtx.skip_if(gradtx.adam(0.1), lambda updates, params, value: value > 1.0),
        "ConditionallyMaskState cannot be carried over: optax decides by the step",
    ),
    "sam": (
        lambda: optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.1)),
        lambda: gradtx.sam(gradtx.sgd(0.1, 0.9), 0.05),
        "SAMState cannot be carried over: optax spends several updates",
    ),
    "in_frame": (  # optax makes two leaves of each
        lambda: optax.contrib.split_real_and_imaginary(optax.adam(0.1)),
        lambda: gradtx.in_frame(gradtx.adam(0.1), gradtx.frames.real_and_imaginary()),
        r"is ScaleByAdamState\(count, mu, nu\), and the next in tx's is basis \(InFrameState\)",
    ),
}


def test_every_wrapper_with_a_peer_is_here():
    wrappers = {e.name for e in ENTRIES.values() if e.kind == "wrapper" and any(s.optax for s in e.settings.values())}
    assert wrappers == CASES.keys() | APART.keys()
    assert set(filter(None, CASES.values())) <= WRAPPERS.keys()


@pytest.mark.parametrize("name", APART)
def test_what_cannot_be_carried_over_says_why(name):
    theirs, tx, words = APART[name]
    with pytest.raises(ValueError, match=words):
        import_state(tx(), theirs().init(start()), start())


@pytest.mark.parametrize("pair", pairs("optax") + others())
def test_a_member_of_optax_keeps_its_state_to_the_bit(pair):
    """In a chain of gradtx, whatever its fields mean there."""
    theirs = pair.in_optax(optax)
    tx, state = gradtx.chain(member=theirs), theirs.init(start())
    mine = import_state(tx, state, start())
    close(mine.get("member", state), state, 0.0)
    close(export_state(tx, mine, theirs, start()), state, 0.0)


class Layer(NamedTuple):
    kernel: Any
    bias: Any


A, B = jnp.ones(3), jnp.ones((2, 3))
CONTAINERS = {
    "an array": A,
    "a scalar": jnp.float32(1.0),
    "a tuple": (A, B),
    "a list of tuples": [(A, B), (), (A,)],
    "a NamedTuple": Layer(Layer(A, B), A),
    "with None": {"a": A, "b": None, "c": {}},
    "nothing in a leaf": {"a": jnp.zeros((0, 3)), "b": B},
}


@pytest.mark.parametrize("case", CONTAINERS)
def test_parameters_in_any_container(case):
    """What is a state and what a tree of parameters shows from the parameters, also after NumPy and jit's sorting."""
    params = CONTAINERS[case]
    rate = optax.constant_schedule(0.1)
    theirs = optax.apply_if_finite(optax.chain(optax.ema(0.9), optax.named_chain(("a", optax.novograd(rate)))), 2)
    tx = gradtx.skip_nonfinite(gradtx.chain(gradtx.ema(0.9), a=gradtx.novograd(gradtx.constant_schedule(0.1))), 2)
    state = jax.device_get(jax.jit(theirs.init)(params))
    mine = import_state(tx, state, params)
    assert jax.tree.structure(mine) == jax.tree.structure(tx.init(params))
    mine = jax.jit(lambda state: state)(mine)  # now its dicts are sorted: a comes before ema
    close(export_state(tx, mine, theirs, params), jax.tree.map(jnp.asarray, state), 0.0)


def test_from_optax_gives_the_methods_of_gradtx():
    theirs = optax.MultiSteps(optax.sgd(0.5), 1)
    tx = from_optax(theirs)
    params, _ = tx.step(gradient(0), tx.init(start()), start())
    updates, _ = theirs.update(gradient(0), theirs.init(start()), start())
    close(params, optax.apply_updates(start(), updates), 1e-6)
    assert from_optax(tx) is tx
    with pytest.raises(TypeError, match="tx must be a transformation"):
        from_optax(0.1)


@pytest.mark.parametrize("case", WRAPPERS)
def test_wrappers_go_on(case):
    with enable_x64(True):
        goes_on(*WRAPPERS[case](gradtx, optax), exact=case != "L-BFGS")


def test_the_losses_of_a_jitted_training_go_on_as_before():
    """In float32, as people train; the dicts of a state come back from jit sorted."""

    def trained(tx, params, state, steps):
        @jax.jit
        def step(params, state):
            loss, g = jax.value_and_grad(value)(params)
            updates, state = tx.update(g, state, params)
            return optax.apply_updates(params, updates), state, loss

        losses = []
        for _ in range(steps):
            params, state, loss = step(params, state)
            losses.append(float(loss))
        return params, state, losses

    tx, theirs = nested(gradtx, "b"), nested(optax, ONLY_B)
    params, state, _ = trained(theirs, start(), theirs.init(start()), 5)
    ours, after, losses = trained(tx, params, import_state(tx, state, params), 5)
    _, _, others = trained(theirs, params, state, 7)
    np.testing.assert_allclose(losses, others[:5], rtol=1e-5)
    back = trained(theirs, ours, export_state(tx, after, theirs, ours), 2)[2]
    np.testing.assert_allclose(back, others[5:], rtol=1e-5)


ALIASES = {
    "a schedule": lambda optax: optax.adamw(cosine(optax), weight_decay=1e-4),
    "inject a schedule": lambda optax: injected(optax)(cosine(optax)),
    "nested": lambda optax: optax.apply_if_finite(nested(optax, ONLY_B), 2),
    "a matrix and a vector": lambda optax: optax.contrib.muon(0.1, eps=1e-13, weight_decay=0.1),
}


@pytest.mark.parametrize("case", ALIASES)
def test_under_its_other_name_optax_goes_on_too(case):
    with enable_x64(True):
        goes_on(ALIASES[case](alias), ALIASES[case](optax))


def test_lookahead_takes_the_slow_parameters_from_optax_params():
    tx, theirs = gradtx.lookahead(gradtx.sgd(0.1), 3, 0.5), optax.lookahead(optax.sgd(0.1), 3, 0.5)
    both = optax.LookaheadParams.init_synced(start())
    state = theirs.init(both)
    for k in range(2):
        updates, state = theirs.update(gradient(k), state, both)
        both = optax.apply_updates(both, updates)
    mine = import_state(tx, state, both)
    updates, after = tx.update(gradient(2), mine, both.fast)
    other, _ = theirs.update(gradient(2), state, both)
    both = optax.apply_updates(both, other)
    ours = optax.apply_updates(both.fast, jax.tree.map(lambda u, v: u - v, updates, other.fast))
    close(ours, both.fast, 1e-6)
    close(after.slow, both.slow, 1e-6)
    back = export_state(tx, after, theirs, optax.LookaheadParams(ours, after.slow))
    assert int(back.steps_since_sync) == 0
    with pytest.raises(ValueError, match="give its LookaheadParams as params"):
        import_state(tx, state, start())


def test_a_count_inside_a_wrapper_that_skips_is_not_that_outside():
    """A mean around MultiSteps has seen 3 gradients, what is inside 1; with one number for all it would be taken."""
    inside = optax.chain(optax.scale_by_rms(), optax.ema(0.9))
    theirs = optax.chain(optax.ema(0.5), multi_steps(optax.chain(inside, optax.scale(-0.1)), 2))
    tx = gradtx.chain(gradtx.ema(0.5), gradtx.accumulate(gradtx.chain(gradtx.scale_by_rms(), gradtx.ema(0.9)), 2))
    params, state, _ = went(theirs, start(), theirs.init(start()), 0, 3)
    mine = import_state(tx, state, params)
    assert [int(mine["ema"].count), int(mine["accumulate"].inner["scale_by_rms"].count)] == [3, 1]
    bare = optax.chain(optax.ema(0.5), multi_steps(optax.scale_by_rms(), 2))
    with pytest.raises(ValueError, match=r"accumulate/inner/count counts the updates, and ScaleByRmsState .* steps="):
        import_state(
            gradtx.chain(gradtx.ema(0.5), gradtx.accumulate(gradtx.scale_by_rms(), 2)), bare.init(start()), start()
        )


def test_half_precision_is_widened_here_and_rounded_there():
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), start())
    theirs, tx = optax.adam(0.1, mu_dtype=jnp.bfloat16), gradtx.adam(0.1)
    grads = jax.tree.map(lambda x: x.astype(jnp.bfloat16), gradient(0))
    _, state = theirs.update(grads, theirs.init(params), params)
    mine = import_state(tx, state, params)
    assert mine["scale_by_adam"].mu["w"].dtype == jnp.float32
    assert jax.tree.structure(mine) == jax.tree.structure(tx.init(params))
    close(export_state(tx, mine, theirs, params), state, 0.0)


def test_a_hyperparameter_that_inject_holds_comes_along():
    theirs = optax.inject_hyperparams(optax.adam)(0.1)
    state = theirs.init(start())
    state.hyperparams["learning_rate"] = jnp.asarray(0.025)
    mine = import_state(gradtx.inject(gradtx.adam(0.5)), state, start())
    assert float(gradtx.hyperparameters(mine)["learning_rate"]) == np.float32(0.025)
    with pytest.raises(ValueError, match=r"learning_rate = 0\.025; in tx it is 0\.5"):
        import_state(gradtx.adam(0.5), state, start())


def wider(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64) if x.dtype == np.float32 else x, tree)


# tx, optax's transformation, what is done to its state, and the words of the error.
SHORT = {"b": jnp.zeros(3), "w": jnp.zeros((4, 3))}
BAD = {
    "a matrix that is no hidden one": (
        gradtx.muon(0.1, exclude="w"),
        optax.contrib.muon(0.1),
        None,
        r"MuonState\.mu/w is kept where it comes from and not where it goes.*mask the same leaves in both",
    ),
    "another chain": (
        gradtx.sgd(0.1, 0.9),
        optax.adam(0.1),
        None,
        r"is ScaleByAdamState\(count, mu, nu\), and the next",
    ),
    "a member more": (
        gradtx.adam(0.1),
        optax.chain(optax.trace(0.9), optax.adam(0.1)),
        None,
        r"state at 0 is TraceState\(trace\), and the next in tx's is scale_by_adam/mu",
    ),
    "a member less": (
        gradtx.chain(gradtx.adam(0.1), gradtx.ema(0.9)),
        optax.adam(0.1),
        None,
        r"ema/mu \(EmaState\) has nothing in optax's state",
    ),
    "a schedule only there": (gradtx.adam(0.1), optax.adam(optax.constant_schedule(0.1)), None, "tx has no schedule"),
    "shapes": (
        gradtx.adam(0.1),
        optax.adam(0.1),
        lambda s: optax.adam(0.1).init(SHORT),
        r"ScaleByAdamState.mu/w has shape \(4, 3\), and \(3, 4\) is needed",
    ),
    "a tree": (
        gradtx.adam(0.1),
        optax.adam(0.1),
        lambda s: optax.adam(0.1).init({"b": SHORT["b"]}),
        "the two differ at w",
    ),
    "digits": (gradtx.adam(0.1), optax.adam(0.1), wider, "mu/b is float64, and float32 here"),
    "a mask": (
        gradtx.freeze(gradtx.adam(0.1), "b"),
        optax.adam(0.1),
        None,
        "mu/b is kept where it comes from and not where it goes",
    ),
    "a tree, where it is converted": (
        gradtx.chain(gradtx.scale_by_cocob()),
        optax.contrib.scale_by_cocob(),
        lambda s: optax.contrib.scale_by_cocob().init({"b": SHORT["b"]}),
        "is of another tree of parameters",
    ),
    "no count": (gradtx.rmsprop(0.1), optax.rmsprop(0.1), None, r"give steps=, the number of updates done"),
    "no state": (gradtx.adam(0.1), optax.adam(0.1), lambda s: (), r"scale_by_adam/mu \(ScaleByAdamState\) has nothing"),
    "other steps": (
        gradtx.schedule_free(gradtx.sgd(0.1), 0.1),
        optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.1)),
        None,
        "SAMState cannot be carried over",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_named(case):
    tx, theirs, change, words = BAD[case]
    state = theirs.init(start())
    with pytest.raises(ValueError, match=words):
        import_state(tx, change(state) if change else state, start())


@pytest.mark.parametrize(
    ("one", "other"), [("adabelief", "adam"), ("adam", "adabelief"), ("adabelief", "adamax"), ("adabelief", "yogi")]
)
def test_states_with_the_same_fields_are_told_apart_by_their_names(one, other):
    tx, theirs = getattr(gradtx, one)(0.1), getattr(optax, one)(0.1)
    mine, state = tx.init(start()), theirs.init(start())
    tx, theirs = getattr(gradtx, other)(0.1), getattr(optax, other)(0.1)
    with pytest.raises(ValueError, match=r"is ScaleBy\w+State, and scale_by_\w+/mu is of ScaleBy\w+State: tx must be"):
        import_state(tx, state, start())
    with pytest.raises(ValueError, match=r"is ScaleBy\w+State, and scale_by_\w+/mu is of ScaleBy\w+State: tx must be"):
        export_state(getattr(gradtx, one)(0.1), mine, theirs, start())


def test_the_mean_alone_is_not_lions():
    with pytest.raises(ValueError, match="is EmaState, and scale_by_lion/mu is of ScaleByLionState"):
        import_state(gradtx.lion(0.1), optax.ema(0.9).init(start()), start())


def test_steps_are_those_that_the_state_has():
    params, state, _ = went(optax.adam(0.1), start(), optax.adam(0.1).init(start()), 0, 3)
    with pytest.raises(ValueError, match="steps=9, and the state has counted 3: leave steps out"):
        import_state(gradtx.adam(0.1), state, params, steps=9)
    mine = import_state(gradtx.adam(0.1), state, params, steps=3)
    with pytest.raises(ValueError, match="steps=9, and the state has counted 3: leave steps out"):
        export_state(gradtx.adam(0.1), mine, optax.adam(0.1), params, steps=9)
    theirs = optax.chain(optax.scale_by_rms(), optax.scale_by_schedule(lambda step: -0.1))  # one of both counts
    _, state, _ = went(theirs, start(), theirs.init(start()), 0, 3)
    tx = gradtx.chain(gradtx.scale_by_rms(), gradtx.scale(lambda step: -0.1))
    with pytest.raises(ValueError, match="steps=9, and the state has counted 3"):
        import_state(tx, state, params, steps=9)


def test_only_transformations_of_gradtx_are_taken_and_only_their_states():
    state = optax.adam(0.1).init(start())
    with pytest.raises(TypeError, match="import_state takes a gradtx transformation"):
        import_state(optax.adam(0.1), state, start())
    with pytest.raises(ValueError, match="the state is not one of sgd"):
        export_state(gradtx.sgd(0.1, 0.9), gradtx.adam(0.1).init(start()), optax.sgd(0.1, 0.9), start())
    with pytest.raises(TypeError, match="steps must be a whole number"):
        import_state(gradtx.adam(0.1), state, start(), steps=1.5)
