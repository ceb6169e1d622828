"""optax, torch and Keras: where averages, lookahead, schedule-free, SAM and plateaus are theirs, and where not."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.peers.agreement import W0, enable_x64, gradients
from tests.reference_averages import walk

optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")
from optax import contrib  # noqa: E402

INNER = {
    "sgd": (gradtx.sgd(0.1), optax.sgd(0.1)),
    "adam": (gradtx.adam(0.1, b1=0.0), optax.adam(0.1, b1=0.0)),
    "momentum": (gradtx.sgd(0.01, 0.9), optax.sgd(0.01, 0.9)),
}


def near(mine, theirs, rtol):
    """To rtol of the largest value of each entry."""
    mine, theirs = np.asarray(mine), np.asarray(theirs)
    assert np.all(np.abs(mine - theirs) <= rtol * np.max(np.abs(theirs), axis=0))


def theirs_by_step(tx, params, gs, read=lambda state, params: ()):
    """The parameters after each step, and what is read, from optax's pair."""

    def step(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (params, read(state, params))

    return jax.lax.scan(step, (params, tx.init(params)), gs)[1]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("inner", INNER)
def test_lookahead(inner, reset):
    mine, theirs = INNER[inner]
    with enable_x64(True):
        w, gs = jnp.asarray(W0), jnp.asarray(gradients())
        tx = optax.lookahead(theirs, 5, 0.3, reset_state=reset)

        def step(carry, g):
            params, state = carry
            updates, state = tx.update(g, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        params = optax.LookaheadParams.init_synced(w)
        _, want = jax.lax.scan(step, (params, tx.init(params)), gs)
        path, slow = walk(gradtx.lookahead(mine, 5, 0.3, reset_state=reset), gs, w, lambda state, w: state.slow)
    near(path, want.fast, 1e-13)
    near(slow, want.slow, 1e-13)


def warmup(step):
    return 0.1 * jnp.minimum(1.0, (step + 1) / 32)


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("inner", ["sgd", "adam"])
def test_schedule_free(inner, dtype, rtol, scheduled):
    make, theirs = (gradtx.sgd, optax.sgd) if inner == "sgd" else (gradtx.adam, optax.adam)
    rest, rate = {} if inner == "sgd" else {"b1": 0.0}, warmup if scheduled else 0.1
    later = (lambda step: warmup(step - 1)) if scheduled else 0.1  # optax counts from 1 here, from 0 inside
    with enable_x64(dtype == "float64"):
        w, gs = jnp.asarray(W0, dtype), jnp.asarray(gradients(), dtype)
        tx = contrib.schedule_free(theirs(rate, **rest), later, b1=0.9)
        want, want_x = theirs_by_step(tx, w, gs, contrib.schedule_free_eval_params)
        mine = gradtx.schedule_free(make(rate, **rest), rate)
        path, x = walk(mine, gs, w, gradtx.eval_params)
    near(path, want, rtol)
    near(x, want_x, rtol * 10)


def test_schedule_free_differs_where_the_rate_is_scheduled():
    """optax's weights are those of the step after."""
    with enable_x64(True):
        w, gs = jnp.asarray(W0), jnp.asarray(gradients())
        want, _ = theirs_by_step(contrib.schedule_free(optax.sgd(warmup), warmup, b1=0.9), w, gs)
        path, _ = walk(gradtx.schedule_free(gradtx.sgd(warmup), warmup), gs, w)
    assert np.max(np.abs(np.asarray(path) - np.asarray(want))) > 1e-3


@pytest.mark.parametrize("inner", INNER)
def test_sam(inner):
    mine, theirs = INNER[inner]
    scale = np.array([1.0, 0.3, 3.0, 0.1, 0.01])
    adversary = optax.chain(contrib.normalize(), optax.sgd(0.5))
    other = contrib.sam(theirs, adversary, sync_period=2, opaque_mode=True)

    def grad_fn(w, _=None):
        return scale * jnp.sin(w)

    def run(tx, add):
        def step(carry, _):
            w, state = carry
            updates, state = tx.update(grad_fn(w), state, w, grad_fn=grad_fn)
            w = add(w, updates)
            return (w, state), w

        return jax.lax.scan(step, (jnp.asarray(W0), tx.init(jnp.asarray(W0))), length=100)[1]

    with enable_x64(True):
        near(run(gradtx.sam(mine, 0.5), gradtx.apply_updates), run(other, optax.apply_updates), 1e-10)


def test_sam_differs_at_a_zero_gradient():
    def grad_fn(w, _=None):
        return w - 1

    w, adversary = jnp.zeros(2), optax.chain(contrib.normalize(), optax.sgd(0.5))
    theirs = contrib.sam(optax.sgd(1.0), adversary, opaque_mode=True)
    for tx, want in ((theirs, np.nan), (gradtx.sam(gradtx.sgd(1.0)), 1.0)):
        np.testing.assert_array_equal(tx.update(w, tx.init(w), w, grad_fn=grad_fn)[0], [want, want])


def random_plateau(seed):
    """Settings and losses, drawn at random."""
    rng = np.random.default_rng(seed)
    settings = {
        "factor": float(rng.choice([0.1, 0.5, 0.9])),
        "patience": int(rng.integers(1, 8)),
        "rtol": float(rng.choice([1e-4, 0.01, 0.1])),
        "atol": 0.0,
        "cooldown": int(rng.integers(0, 5)),
        "min_scale": float(rng.choice([0.0, 1e-3, 0.2])),
    }
    drift = np.cumprod(rng.choice([0.97, 1.0, 1.02], 200))
    values = 5.0 * drift * (1 + 0.05 * rng.standard_normal(200))
    values[rng.random(200) < 0.03] = np.nan
    return settings, values


def scales(tx, values):
    def step(state, value):
        _, state = tx.update(jnp.ones(1), state, value=value)
        return state, state

    return jax.lax.scan(step, tx.init(jnp.zeros(1)), jnp.asarray(values))[1]


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("seed", range(8))
def test_plateau_is_that_of_optax_step_by_step(seed, size):
    settings, values = random_plateau(seed)
    with enable_x64(True):
        mine = scales(gradtx.reduce_on_plateau(**settings, accumulation_size=size), values)
        theirs = scales(contrib.reduce_on_plateau(**settings, accumulation_size=size), values)
    for name in ("scale", "plateau_count", "cooldown_count", "count", "avg_value"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-12, err_msg=name)
    seen = np.isfinite(theirs.best_value)  # before the first value: infinity there, the largest number here
    np.testing.assert_allclose(mine.best_value[seen], theirs.best_value[seen], rtol=1e-12)
    assert len(np.unique(mine.scale)) > 1


@pytest.mark.peers
@pytest.mark.parametrize("tolerance", ["rel", "abs"])
@pytest.mark.parametrize("seed", range(8))
def test_plateau_is_that_of_torch(seed, tolerance):
    torch = pytest.importorskip("torch")
    settings, values = random_plateau(seed)
    settings |= {"rtol": 0.01, "atol": 0.0} if tolerance == "rel" else {"rtol": 0.0, "atol": 0.1}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=settings["factor"],
        patience=settings["patience"] - 1,
        threshold=settings["rtol"] + settings["atol"],
        threshold_mode=tolerance,
        cooldown=settings["cooldown"],
        min_lr=settings["min_scale"],
        eps=0.0,
    )
    want = [theirs.step(float(value)) or optimizer.param_groups[0]["lr"] for value in values]
    with enable_x64(True):
        got = scales(gradtx.reduce_on_plateau(**settings), values).scale
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert len(np.unique(want)) > 1


def test_plateau_differs_below_zero_and_at_patience_zero():
    falling = np.float32([-1.0, -0.95, -0.9])  # worse each time
    mine = scales(gradtx.reduce_on_plateau(0.5, 2, rtol=0.1), falling)
    theirs = scales(contrib.reduce_on_plateau(0.5, 2, rtol=0.1), falling)
    assert mine.scale[-1] == 0.5
    assert theirs.scale[-1] == 1.0
    assert scales(contrib.reduce_on_plateau(0.5, 0), np.float32([3.0, 2.0])).scale[-1] == 0.25


def walked(**settings):
    """The path, and the average after each step, in float64."""
    with enable_x64(True):
        tx = gradtx.average(gradtx.sgd(0.1), **settings)
        path, got = walk(tx, gradients(), jnp.asarray(W0), lambda state, w: gradtx.averaged(state))
        return np.asarray(path), np.asarray(got)


def test_average_is_that_of_optax_from_the_initial_parameters():
    path, got = walked(decay=0.9, debias=False)
    average, want = W0, []
    for w in path:
        average = optax.incremental_update(w, average, 1 - 0.9)
        want.append(average)
    near(got, np.array(want), 1e-13)


def test_corrected_average_is_optax_ema_of_the_parameters():
    path, got = walked(decay=0.9)
    with enable_x64(True):
        tx = optax.ema(0.9)
        _, want = jax.lax.scan(lambda s, w: tx.update(w, s)[::-1], tx.init(jnp.asarray(W0)), jnp.asarray(path))
    near(got, want, 1e-13)


@pytest.mark.peers
@pytest.mark.parametrize("decay", [None, 0.9])
def test_average_is_that_of_torch(decay):
    torch = pytest.importorskip("torch")
    swa = torch.optim.swa_utils
    path, got = walked(decay=decay, start=0 if decay is None else 1, debias=False)
    model = torch.nn.Linear(5, 1, bias=False).double()
    averaged = swa.AveragedModel(model, **({} if decay is None else {"multi_avg_fn": swa.get_ema_multi_avg_fn(decay)}))
    want = []
    for w in path:
        with torch.no_grad():
            model.weight.copy_(torch.tensor(w)[None])
        averaged.update_parameters(model)
        want.append(averaged.module.weight.detach().numpy()[0].copy())
    near(got, np.array(want), 1e-13)


@pytest.mark.peers
def test_average_is_that_of_keras():
    os.environ["KERAS_BACKEND"] = "jax"
    keras = pytest.importorskip("keras")
    path, got = walked(decay=0.9, start=1, debias=False)
    variable = keras.Variable(W0, dtype="float32")
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    optimizer.build([variable])
    for g in gradients():
        optimizer.apply([jnp.asarray(g, jnp.float32)], [variable])
    want = np.asarray(optimizer._model_variables_moving_average[0])
    assert np.max(np.abs(want - got[-1]) / np.max(np.abs(path), axis=0)) < 1e-5
