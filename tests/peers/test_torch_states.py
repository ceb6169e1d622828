"""A training that begins in torch goes on in gradtx: `gradtx.compat.torch.import_state`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.compat import torch as dialect
from gradtx.compat.torch import import_state
from tests.double import enable_x64

torch = pytest.importorskip("torch", reason="install the extra: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers

SHAPES = {"layer/w": (3, 4), "layer/b": (4,)}  # in torch's order, which is not the order of a tree
NAMES = list(SHAPES)
BEFORE, ALL = 4, 7


def tree(values):
    return {"layer": {name.split("/")[1]: value for name, value in values.items()}}


def draw(shapes=SHAPES):
    rng = np.random.default_rng(3)
    start = {k: rng.normal(size=shape) for k, shape in shapes.items()}
    return start, [{k: rng.standard_t(3, shape) for k, shape in shapes.items()} for _ in range(ALL)]


def saved(make, steps=ALL, shapes=SHAPES, named=False, scheduler=None, dtype=np.float64):
    """torch's parameters and state_dict after some steps, and its parameters at the end."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        start, gradients = draw(shapes)
        w = {k: torch.tensor(v.astype(dtype), requires_grad=True) for k, v in start.items()}
        optimizer = make([(k.replace("/", "."), v) for k, v in w.items()] if named else list(w.values()))
        later = scheduler and scheduler(optimizer)
        for t in range(steps):
            for k, leaf in w.items():
                leaf.grad = torch.tensor(gradients[t][k].astype(dtype))
            optimizer.step()
            if later:
                later.step()
            if t == BEFORE - 1:
                state = optimizer.state_dict()
                kept = {
                    i: {n: x.clone() if torch.is_tensor(x) else x for n, x in s.items()}
                    for i, s in state["state"].items()
                }
                then, params = {**state, "state": kept}, {k: v.detach().numpy().copy() for k, v in w.items()}
        return params, then, {k: v.detach().numpy() for k, v in w.items()}
    finally:
        torch.set_default_dtype(default)


def goes_on(tx, make, shapes=SHAPES, **more):
    params, state_dict, end = saved(make, shapes=shapes, scheduler=more.pop("scheduler", None))
    with enable_x64(True):
        w = jax.tree.map(jnp.asarray, tree(params))
        state = import_state(tx, state_dict, w, names=list(shapes), **more)
        for gradients in draw(shapes)[1][BEFORE:]:
            w, state = tx.step(jax.tree.map(jnp.asarray, tree(gradients)), state, w)
        close(w, tree(end))
    return state


def close(left, right):
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-11)


OPTIMIZERS = {
    "SGD": {"lr": 0.1},
    "SGD momentum": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2},
    "SGD nesterov": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "SGD dampening": {"lr": 0.1, "momentum": 0.9, "dampening": 0.5},
    "Adam": {"lr": 0.1, "weight_decay": 1e-2},
    "Adam amsgrad": {"lr": 0.1, "amsgrad": True, "maximize": True},
    "AdamW": {"lr": 0.1},
    "Adamax": {"lr": 0.1},
    "NAdam": {"lr": 0.1},
    "RAdam": {"lr": 0.1, "betas": (0.9, 0.9)},
    "RMSprop": {"lr": 0.1},
    "RMSprop centered": {"lr": 0.1, "momentum": 0.9, "centered": True},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.1},
    "Adadelta": {"lr": 1.0},
    "Adafactor": {"lr": 0.1},
    "Rprop": {"lr": 0.1},
    "ASGD": {"lr": 0.1, "t0": 1.0, "lambd": 0.1},
}


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_it_goes_on_with_the_same_options(case):
    name, options = case.split()[0], OPTIMIZERS[case]
    steps = {"steps": BEFORE} if "dampening" in case else {}
    goes_on(getattr(dialect, name)(**options), lambda w: getattr(torch.optim, name)(w, **options), **steps)


def test_the_average_of_asgd_goes_on():
    options = OPTIMIZERS["ASGD"]

    def make(w):
        made.append(torch.optim.ASGD(w, **options))
        return made[-1]

    made = []
    state = goes_on(dialect.ASGD(**options), make)
    ax = [of["ax"] for of in made[-1].state_dict()["state"].values()]
    close(gradtx.averaged(state), tree(dict(zip(SHAPES, ax, strict=True))))


def test_rprop_keeps_signs():
    params, state_dict, _ = saved(lambda w: torch.optim.Rprop(w, lr=0.1), steps=BEFORE)
    with enable_x64(True):
        signs = import_state(gradtx.rprop(0.1), state_dict, tree(params), names=NAMES)["scale_by_rprop"].prev_sign
    close(signs, tree({k: np.sign(state_dict["state"][i]["prev"].numpy()) for i, k in enumerate(SHAPES)}))


def test_the_mean_of_muon_is_carried_over():
    """Its steps are in bfloat16, and so not compared."""
    shapes = {"layer/w": (3, 4)}
    params, state_dict, _ = saved(lambda w: torch.optim.Muon(w, lr=0.1), shapes=shapes)
    with enable_x64(True):
        state = import_state(dialect.Muon(0.1), state_dict, tree(params))
    np.testing.assert_array_equal(state["nesterov_ema"].mu["layer"]["w"], state_dict["state"][0]["momentum_buffer"])


def test_gradtx_own_optimizers_take_it_too():
    goes_on(gradtx.adamw(0.1, weight_decay=0.01), lambda w: torch.optim.AdamW(w, lr=0.1))


def test_groups_and_their_schedule_go_on():
    tx = dialect.param_groups(
        dialect.SGD, {"layer/w": {"momentum": 0.9}, "layer/b": {}}, lr=dialect.StepLR(0.1, step_size=3)
    )
    goes_on(
        tx,
        lambda w: torch.optim.SGD([{"params": w[:1], "momentum": 0.9}, {"params": w[1:]}], lr=0.1),
        scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 3),
        steps=BEFORE,
    )


def adam(w):
    return torch.optim.Adam(w, lr=0.1)


def test_torchs_own_names_are_the_order_if_they_are_the_paths():
    params, state_dict, _ = saved(adam, named=True)
    if "param_names" not in state_dict["param_groups"][0]:
        pytest.skip("this torch keeps no names")
    with enable_x64(True):
        state = import_state(dialect.Adam(0.1), state_dict, tree(params))
        given = import_state(dialect.Adam(0.1), state_dict, tree(params), names=list(SHAPES))
    assert jax.tree.all(jax.tree.map(np.array_equal, state, given))
    np.testing.assert_array_equal(state["scale_by_adam"].mu["layer"]["w"], state_dict["state"][0]["exp_avg"])


def test_a_transform_turns_kernels():
    shapes = {"layer/w": (4, 3), "layer/b": (4,)}
    params, state_dict, _ = saved(adam, shapes=shapes)
    params = {k: v.T for k, v in params.items()}
    with enable_x64(True):
        with pytest.raises(
            ValueError, match=r"'exp_avg' of parameter 0 \(layer/w\) has shape \(4, 3\).*give transform="
        ):
            import_state(dialect.Adam(0.1), state_dict, tree(params), names=list(shapes))
        state = import_state(
            dialect.Adam(0.1), state_dict, tree(params), names=list(shapes), transform=lambda name, x: x.T
        )
    np.testing.assert_array_equal(state["scale_by_adam"].mu["layer"]["w"].T, state_dict["state"][0]["exp_avg"])


def test_half_precision_is_widened():
    w = torch.ones(3, dtype=torch.bfloat16, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=0.1)
    w.grad = torch.full((3,), 0.5, dtype=torch.bfloat16)
    optimizer.step()
    params = {"w": jnp.ones(3, jnp.bfloat16)}
    tx = gradtx.adam(0.1)
    state = import_state(tx, optimizer.state_dict(), params)
    assert jax.tree.map(jnp.result_type, state) == jax.tree.map(jnp.result_type, tx.init(params))
    np.testing.assert_array_equal(state["scale_by_adam"].mu["w"], optimizer.state_dict()["state"][0]["exp_avg"].float())


# tx, torch's optimizer, arguments of import_state, what is done to the state_dict, the words of the error
BAD = {
    "names": (
        gradtx.adam(0.1),
        "Adam",
        {"names": ["layer/w", "layer/c"]},
        None,
        r"names has 'layer/c', and params has no such leaf \(did you mean 'layer/w'",
    ),
    "too few": (
        gradtx.adam(0.1),
        "Adam",
        {"names": ["layer/w"]},
        None,
        "names has no 'layer/b', a leaf of params",
    ),
    "order": (
        gradtx.adam(0.1),
        "Adam",
        {},
        None,
        r"'exp_avg' of parameter 0 \(layer/b\) has shape \(3, 4\).*names= if",
    ),
    "missing": (
        gradtx.adam(0.1),
        "Adam",
        {"names": NAMES},
        lambda s: s["state"][1].pop("exp_avg"),
        r"mu needs torch's 'exp_avg' or .* of parameter 1 \(layer/b\); the state_dict has 'step', 'exp_avg_sq'",
    ),
    "no entry": (
        gradtx.adam(0.1),
        "Adam",
        {"names": NAMES},
        lambda s: s["state"].pop(1),
        r"of parameter 1 \(layer/b\); the state_dict has nothing",
    ),
    "too much": (
        gradtx.sgd(0.1),
        "Adam",
        {"names": NAMES},
        None,
        r"torch's 'exp_avg' of parameter . \(layer/.\) has no place",
    ),
    "another": (gradtx.adam(0.1), "Adagrad", {"names": NAMES}, None, "the state_dict has 'step', 'sum'"),
    "unknown here": (gradtx.ftrl(0.1), "Adam", {"names": NAMES}, None, "torch has nothing for scale_by_ftrl/root"),
    "steps apart": (
        gradtx.adam(0.1),
        "Adam",
        {"names": NAMES},
        lambda s: s["state"][1].update(step=torch.tensor(2.0)),
        r"count is one number for all, and torch's 'step' is 2 for parameter 1 \(layer/b\) and 4 for parameter 0",
    ),
    "no steps": (
        gradtx.sgd(gradtx.cosine_decay_schedule(0.1, 9)),
        "SGD",
        {"names": NAMES},
        None,
        "counts the steps, and torch does not: give steps=",
    ),
    "Adamax in Adam": (gradtx.adam(0.1), "Adamax", {"names": NAMES}, None, "nu needs torch's 'exp_avg_sq' or"),
    "Adam in Adamax": (dialect.Adamax(0.1), "Adam", {"names": NAMES}, None, "nu needs torch's 'exp_inf' of"),
    "NAdam in Adam": (gradtx.adam(0.1), "NAdam", {"names": NAMES}, None, "torch's 'mu_product' of .* has no place"),
    "momentum in Lion": (
        gradtx.lion(0.1),
        "SGD",
        {"names": NAMES},
        lambda s: s["state"].update({k: {"momentum_buffer": np.zeros(x)} for k, x in enumerate(SHAPES.values())}),
        "mu needs torch's 'exp_avg' or 'grad_avg' of .* the state_dict has 'momentum_buffer'",
    ),
    "other steps": (gradtx.adam(0.1), "Adam", {"names": NAMES, "steps": 9}, None, "steps=9, and torch has counted 4"),
    "no whole step": (
        gradtx.adam(0.1),
        "Adam",
        {"names": NAMES},
        lambda s: [of.update(step=3.7) for of in s["state"].values()],
        r"torch's 'step' of parameter . \(layer/.\) is 3.7, which is not a number of steps",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_named(case):
    tx, name, arguments, change, words = BAD[case]
    params, state_dict, _ = saved(lambda w: getattr(torch.optim, name)(w, lr=0.1), steps=BEFORE)
    if change:
        change(state_dict)
    with enable_x64(True), pytest.raises(ValueError, match=words):
        import_state(tx, state_dict, tree(params), **arguments)


def test_digits_are_not_lost_and_other_things_not_taken():
    params, state_dict, _ = saved(adam, steps=BEFORE)
    with pytest.raises(ValueError, match="is float64, and float32 here"):
        import_state(gradtx.adam(0.1), state_dict, tree(params), names=NAMES)
    with pytest.raises(TypeError, match=r"must be torch's optimizer.state_dict\(\); got a dict"):
        import_state(gradtx.adam(0.1), state_dict["state"], tree(params))
    with pytest.raises(TypeError, match="takes a gradtx transformation"):
        import_state(adam, state_dict, tree(params))


def test_equal_shapes_in_a_dict_need_names():
    """A dict sorts its keys, torch's parameters are in the order of the program: moments would be exchanged."""
    layers = {str(k): jnp.full((2, 2), float(k)) for k in range(12)}
    weights = [torch.full((2, 2), float(k), requires_grad=True) for k in range(12)]
    optimizer = torch.optim.Adam(weights)
    for k, w in enumerate(weights):
        w.grad = torch.full((2, 2), float(k))
    optimizer.step()
    state_dict = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"layers/0 and layers/1 have the same shape.*give names="):
        import_state(gradtx.adam(1e-3), state_dict, {"layers": layers})
    names = [f"layers/{k}" for k in range(12)]
    state = import_state(gradtx.adam(1e-3), state_dict, {"layers": layers}, names=names)
    mu = state["scale_by_adam"].mu["layers"]
    assert all(np.allclose(mu[str(k)], 0.1 * k) for k in range(12))
    in_order = import_state(gradtx.adam(1e-3), state_dict, [layers[str(k)] for k in range(12)])
    assert np.allclose(in_order["scale_by_adam"].mu[11], 1.1)
    with pytest.raises(ValueError, match="names has 'layers/0' twice"):
        import_state(gradtx.adam(1e-3), state_dict, {"layers": layers}, names=[names[0], *names[:-1]])
