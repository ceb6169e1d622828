"""`gradtx.compat.optax` beside optax: the same names, the same arguments, the same losses of ordinary programs."""

import importlib
import inspect
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
import gradtx.compat.optax as alias
from gradtx.compat.optax import elsewhere
from gradtx.transforms.newton_schulz import PRECONDITIONINGS
from tests.double import enable_x64

optax = pytest.importorskip("optax", reason="pip install -e '.[peers]'")
pytest.importorskip("optax.contrib")

pytestmark = pytest.mark.peers

SPACES = ("", "contrib", "projections", "schedules", "second_order", "transforms", "tree", "tree_utils")

# Defaults that are functions or transformations: the same thing, but not the same object.
DEFAULTS = {"linesearch", "decay_rate_fn", "clip_value_fn", "hessian_diagonal_fn"}


def space(library, name):
    return getattr(library, name) if name else library


def published(name):
    """The public names of a module of optax, but submodules."""
    module = space(optax, name)
    return [n for n in dir(module) if n[0] != "_" and not isinstance(getattr(module, n, None), types.ModuleType)]


def test_every_name_is_here():
    missing = []
    for place in SPACES:
        ours = space(alias, place)
        for name in published(place):
            if not hasattr(ours, name):
                missing.append(f"{place}.{name}".lstrip("."))
    assert not missing


def test_no_other_names_are_called_optax():
    ours = {n for n in dir(alias) if n[0] != "_" and not isinstance(getattr(alias, n), types.ModuleType)}
    own = {"to_optax", "from_optax", "import_state", "export_state", "ConditionFn", "StatefulSchedule"}
    assert ours - {*dir(optax)} <= own


@pytest.mark.parametrize("place", SPACES)
def test_arguments(place):
    """optax's arguments in its order with its defaults; what is more is keyword-only."""
    for name in published(place):
        theirs, ours = getattr(space(optax, place), name), getattr(space(alias, place), name, None)
        if not inspect.isfunction(theirs) or ours is None:
            continue
        wanted = list(inspect.signature(theirs).parameters.values())
        found = list(inspect.signature(ours).parameters.values())
        assert len(found) >= len(wanted), name
        for ours_, theirs_ in zip(found, wanted, strict=False):
            assert (ours_.name, ours_.kind) == (theirs_.name, theirs_.kind), name
            same = ours_.default is theirs_.default or ours_.name in DEFAULTS or ours_.default == theirs_.default
            assert same, f"{name}: {ours_.name}={ours_.default!r}, in optax {theirs_.default!r}"
        assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in found[len(wanted) :]), name


def test_what_is_not_about_transformations_is_optaxs_own():
    assert alias.losses is optax.losses
    assert importlib.import_module("gradtx.compat.optax.losses").l2_loss is optax.l2_loss
    assert all(getattr(alias, name) is getattr(optax, name) for name in elsewhere.NAMES)
    with pytest.raises(AttributeError, match=r"has no attribute .adamm. .did you mean .adam."):
        alias.adamm  # noqa: B018
    with pytest.raises(AttributeError, match="has no monte_carlo: optax has removed it"):
        alias.monte_carlo  # noqa: B018


def test_the_alias_needs_no_optax():
    program = """
import sys
sys.modules["optax"] = None
import gradtx
assert not any(name.startswith("gradtx.compat") for name in sys.modules)
import gradtx.compat.optax as optax
optax.chain(optax.clip(1.0), optax.adam(0.1), optax.contrib.normalize())
try:
    optax.l2_loss
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "optax is not installed: pip install optax\n"


X = jnp.stack([jnp.linspace(-1.0, 1.0, 8), jnp.cos(2.0 * jnp.arange(8))], axis=1)
Y = jnp.sin(2 * X[:, 0]) - 0.5 * X[:, 1] ** 2
PARAMS = {"w": jnp.array([[0.5, -0.2, 0.1], [0.3, 0.4, -0.6]]), "b": jnp.zeros(3), "v": jnp.array([0.2, -0.7, 0.4])}


def loss(params, x=X, y=Y):
    return jnp.mean((jnp.tanh(x @ params["w"] + params["b"]) @ params["v"] - y) ** 2)


def plain(lib):
    """The loop of optax's first page."""
    rate = lib.warmup_cosine_decay_schedule(0.0, 0.1, 5, 30)
    return lib.chain(
        lib.clip_by_global_norm(1.0), lib.adamw(rate, weight_decay=0.01, mask={"w": True, "b": False, "v": True})
    )


def grouped(lib):
    """Groups of parameters, an average in the state, and half-precision momentum."""
    label = {"w": "body", "b": "body", "v": "head"}
    return lib.multi_transform(
        {"body": lib.sgd(0.1, momentum=0.5, nesterov=True), "head": lib.lion(0.01, mu_dtype=jnp.bfloat16)},
        lambda params: {name: label[name] for name in params},
    )


def accumulated(lib):
    """Gradients of several batches, skipped where they are not finite."""
    inner = lib.apply_if_finite(lib.chain(lib.trace(0.5), lib.scale_by_schedule(lambda step: -0.1 / (1 + step))), 3)
    return lib.MultiSteps(inner, every_k_schedule=2).gradient_transformation()


def injected(lib):
    """A learning rate in the state."""
    return lib.inject_hyperparams(lib.rmsprop)(learning_rate=0.02, decay=lambda step: 0.9)


def averaged(lib):
    """Schedule-free descent."""
    return lib.contrib.schedule_free(lib.sgd(0.3), 0.3, b1=0.5)


def averaged_after_a_warm_up(lib):
    """Schedule-free descent whose weights follow a schedule."""
    return lib.contrib.schedule_free_sgd(0.3, warmup_steps=5, b1=0.5)


def losses(lib, make, steps=20):
    tx = make(lib)

    def step(carry, k):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        if make is injected:
            state.hyperparams["learning_rate"] = jnp.where(k < 10, 0.02, 0.005)
        updates, state = tx.update(grads, state, params)
        return (lib.apply_updates(params, updates), state), value

    return jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), jnp.arange(steps))[1]


@pytest.mark.parametrize("make", [plain, grouped, accumulated, injected, averaged, averaged_after_a_warm_up])
def test_programs(make):
    ours, theirs = losses(alias, make), losses(optax, make)
    assert ours[-1] < 0.9 * ours[0]
    np.testing.assert_allclose(ours, theirs, rtol=2e-5)


def test_lbfgs_and_lookahead():
    def by_lbfgs(lib):
        tx = lib.lbfgs()
        value_and_grad = lib.value_and_grad_from_state(loss)

        def step(carry, _):
            params, state = carry
            value, grad = value_and_grad(params, state=state)
            updates, state = tx.update(grad, state, params, value=value, grad=grad, value_fn=loss)
            return (lib.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), length=5)[1]

    np.testing.assert_allclose(by_lbfgs(alias), by_lbfgs(optax), rtol=2e-2)  # optax keeps pairs of negative curvature

    def by_lookahead(lib):
        tx = lib.lookahead(lib.sgd(0.1), sync_period=3, slow_step_size=0.5)
        params = lib.LookaheadParams.init_synced(PARAMS)

        def step(carry, _):
            params, state = carry
            updates, state = tx.update(jax.grad(loss)(params.fast), state, params)
            return (lib.apply_updates(params, updates), state), loss(params.slow)

        return jax.lax.scan(step, (params, tx.init(params)), length=7)[1]

    np.testing.assert_allclose(by_lookahead(alias), by_lookahead(optax), rtol=1e-5)


def test_a_value_stays_a_value():
    tx = alias.chain(alias.clip(1.0), alias.adam(0.1))
    assert isinstance(tx, alias.GradientTransformationExtraArgs)
    numbers = "learning_rate=0.1, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0"
    members = f"compat.optax.clip_by_value(max_delta=1.0), compat.optax.adam({numbers})"
    assert repr(tx) == f"compat.optax.chain({members})"
    assert tx == alias.chain(alias.clip(1.0), alias.adam(0.1))
    rates = jax.vmap(lambda rate: alias.sgd(rate).update(jnp.ones(2), alias.sgd(rate).init(jnp.ones(2)))[0])
    np.testing.assert_array_equal(rates(jnp.array([1.0, 2.0])), [[-1.0, -1.0], [-2.0, -2.0]])
    state = tx.init(jnp.ones(2))
    assert state == (alias.EmptyState(), (alias.ScaleByAdamState(*state[1][0]), alias.EmptyState()))
    ours = gradtx.chain(gradtx.clip_by_value(1.0), gradtx.adam(0.1)).init(jnp.ones(2))
    assert list(tx.update(jnp.ones(2), ours)[1]) == ["scale_by_adam"]  # gradtx's layout stays gradtx's
    updates, _ = tx.update(jnp.ones(2, jnp.bfloat16), tx.init(jnp.ones(2, jnp.bfloat16)), not_known_here=1)
    assert updates.dtype == jnp.bfloat16
    assert isinstance(gradtx.chain(tx, gradtx.scale(2.0)), gradtx.GradientTransformation)


REFUSED = [
    (lambda: alias.scale_by_lion(mode="other"), "mode must be"),
    (lambda: alias.scale_by_sm3(b2=0.9), "the squares are summed"),
    (lambda: alias.contrib.momo(adapt_lower_bound=True), "give lower_bound"),
    (lambda: alias.contrib.dog(init_step=0.1), "give .'heuristic', reps_rel."),
    (lambda: alias.contrib.scale_by_muon(preconditioning="other"), "preconditioning must be"),
    (lambda: alias.add_noise(0.1, 0.5, key=1, seed=1), "takes key or seed"),
    (lambda: alias.polyak_sgd(variant="sps++"), "give 'sps' or 'sps.'"),
    (lambda: alias.inject_hyperparams(alias.adam, static_args="lr"), "static_args has 'lr'"),
]


@pytest.mark.parametrize(("make", "says"), REFUSED, ids=range(len(REFUSED)))
def test_what_has_no_meaning_here_is_an_error(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize("words", [{"mode": "smooth", "smooth_beta": 2.0}, {"mode": "refined"}], ids=str)
def test_lion_with_softer_signs(words):
    gs, found = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)) * 3), []
    for library in (alias, optax):
        tx = library.scale_by_lion(0.6, 0.8, **words)
        found.append(jax.lax.scan(lambda s, g, tx=tx: tx.update(g, s)[::-1], tx.init(gs[0]), gs)[1])
    np.testing.assert_allclose(*found, rtol=1e-6, atol=1e-7)


def test_norms_of_leaves_and_units():
    random = np.random.default_rng(1)
    for shape in [(), (3,), (1, 3), (3, 4), (2, 3, 4), (2, 3, 4, 5), (1, 2, 3, 4, 5)]:
        w, g = (jnp.asarray(random.normal(size=shape), jnp.float32) for _ in range(2))
        norms = [library.transforms.unitwise_norm(w) for library in (alias, optax)]
        np.testing.assert_allclose(*norms, rtol=1e-6)
        largest = 0.5 * norms[0]
        clips = [library.transforms.unitwise_clip(norms[0], largest, g) for library in (alias, optax)]
        np.testing.assert_allclose(*clips, rtol=1e-6)
        scaled = [
            library.scale_by_param_block_norm(2.0).update(g, alias.EmptyState(), w)[0] for library in (alias, optax)
        ]
        np.testing.assert_allclose(*scaled, rtol=1e-6)
    along = [library.transforms.unitwise_norm(w, axis=(0, 2)) for library in (alias, optax)]
    np.testing.assert_allclose(*along, rtol=1e-6)


def test_verbose_prints_where_a_search_fails(capfd):
    for search in (
        alias.scale_by_zoom_linesearch(3, verbose=True),
        alias.scale_by_backtracking_linesearch(3, verbose=True),
    ):
        w, f = jnp.array([1.0, 0.0]), lambda w: jnp.sum(w * w)
        for sign, fails in ((-1.0, False), (1.0, True)):
            _, state = search.update(sign * w, search.init(w), w, value=None, grad=None, value_fn=f)
            jax.effects_barrier()
            assert bool(state.info.failed) == fails == ("no step met the conditions" in capfd.readouterr().out)
    with pytest.raises(TypeError, match=r"Unexpected keyword arguments .'y'.: value_fn does not take them"):
        search.update(-w, state, w, value=None, grad=None, value_fn=lambda w, x: f(w) + x, x=1.0, y=2.0)


def test_hutchinson_s_estimator():
    """Exact where the Hessian is diagonal; its signs and its mean elsewhere; `sophia` takes its seed."""
    w = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([[3.0]])}
    estimator = alias.contrib.hutchinson_estimator_diag_hessian(jax.random.key(3))
    update = jax.jit(
        lambda state: estimator.update(w, state, w, obj_fn=lambda w: jnp.sum(w["a"] ** 4) + w["b"][0, 0] ** 2)
    )
    found, state = update(estimator.init(w))
    np.testing.assert_allclose(found["a"], [12.0, 48.0], rtol=1e-6)
    np.testing.assert_allclose(found["b"], [[2.0]], rtol=1e-6)
    assert not np.array_equal(state.key, estimator.init(w).key)
    v = jnp.array([1.0, 2.0, 3.0])
    product, state = lambda v: jnp.prod(v), estimator.init(v)
    estimates = jax.lax.scan(lambda s, _: estimator.update(v, s, v, obj_fn=product)[::-1], state, None, 400)[1]
    np.testing.assert_allclose(jnp.mean(estimates, axis=0), jnp.zeros(3), atol=0.6)
    assert float(jnp.abs(estimates).max()) > 1.0
    assert "key=5" in repr(
        alias.contrib.sophia(0.1, hessian_diagonal_fn=alias.contrib.hutchinson_estimator_diag_hessian(5))
    )
    with pytest.raises(ValueError, match="needs obj_fn"):
        estimator.update(v, state, v)
    with pytest.raises(ValueError, match="estimated from value_fn"):
        alias.contrib.sophia(0.1, hessian_diagonal_fn=alias.adam(0.1))


@pytest.mark.parametrize("preconditioning", PRECONDITIONINGS)
def test_the_matrices_of_muon(preconditioning):
    """`gradtx.compat.optax` in float64 to 1e-12: the momentum corrected for its start, and dimension numbers."""
    random = np.random.default_rng(0)
    w = {
        "heads": random.normal(size=(4, 1, 10, 3)),
        "bias": random.normal(size=3),
        "kernel": random.normal(size=(7, 5)),
    }
    gs = {name: random.normal(size=(4, *x.shape)) for name, x in w.items()}
    found = []
    for contrib in (alias.contrib, optax.contrib):
        numbers = contrib.MuonDimensionNumbers
        axes = {"heads": numbers((2,), (0, 3)), "bias": None, "kernel": numbers()}
        words = {"preconditioning": preconditioning, "muon_weight_dimension_numbers": axes, "ns_coeffs": "dion"}
        nesterov = preconditioning != "aol"
        tx = contrib.muon(0.1, eps=1e-13, nesterov=nesterov, adaptive=not nesterov, **words)
        with enable_x64(True):
            params, grads = (jax.tree.map(jnp.asarray, tree) for tree in (w, gs))
            run = jax.jit(
                lambda gs, w=params, tx=tx: jax.lax.scan(lambda s, g: tx.update(g, s, w)[::-1], tx.init(w), gs)
            )
            found.append(jax.tree.map(np.asarray, run(grads)[1]))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-12), *found)
