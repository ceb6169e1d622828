"""gradtx.compat.torch: torch's own words give torch's own steps, to 1e-12 over 300 random steps in float64."""

import inspect
import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.compat import torch as dialect
from tests.peers.agreement import enable_x64

torch = pytest.importorskip("torch", reason="install the extra: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers

STEPS = 300
SHAPES = {"w": (3, 4), "b": (4,)}


def trees(shapes=SHAPES):
    rng = np.random.default_rng(11)
    start = {k: rng.normal(size=shape) for k, shape in shapes.items()}
    gradients = {
        k: rng.standard_t(3, (STEPS, *shape)) * 10.0 ** rng.integers(-3, 2, shape) for k, shape in shapes.items()
    }
    return start, gradients


def theirs(make, make_scheduler=None, *, start, gradients, before=None, values=None):
    """The parameters after each step, all of them as one row."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # else some of its scalars are float32
    try:
        w = {k: torch.tensor(v, requires_grad=True) for k, v in start.items()}
        optimizer = make(list(w.values()))
        scheduler = make_scheduler and make_scheduler(optimizer)
        rows = []
        for t in range(STEPS):
            for k, leaf in w.items():
                leaf.grad = torch.tensor(gradients[k][t])
            if before:
                before(list(w.values()))
            optimizer.step()
            if scheduler:
                scheduler.step(*(() if values is None else (values[t],)))
            rows.append(np.concatenate([leaf.detach().numpy().ravel() for leaf in w.values()]))
        return np.stack(rows)
    finally:
        torch.set_default_dtype(default)


def ours(tx, *, start, gradients, values=None):
    with enable_x64(True):

        @jax.jit
        def run(w, gradients, values):
            def step(carry, now):
                g, value = now
                w, state = carry
                extras = {} if value is None else {"value": value}
                w, state = tx.step(g, state, w, **extras)
                return (w, state), w

            return jax.lax.scan(step, (w, tx.init(w)), (gradients, values))[1]

        w = run(jax.tree.map(jnp.asarray, start), gradients, values)
        return np.concatenate([np.asarray(w[k]).reshape(STEPS, -1) for k in start], 1)


def agree(name, arguments, scheduler=None, rtol=1e-12, shapes=SHAPES):
    start, gradients = trees(shapes)
    options, schedule = dict(arguments), None
    if scheduler:
        kind, settings = scheduler
        schedule = lambda o: getattr(torch.optim.lr_scheduler, kind)(o, **settings)  # noqa: E731
        options["lr"] = getattr(dialect, kind)(arguments["lr"], **settings)
    mine = ours(getattr(dialect, name)(**options), start=start, gradients=gradients)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = theirs(lambda w: getattr(torch.optim, name)(w, **arguments), schedule, start=start, gradients=gradients)
    assert np.isfinite(want).all()
    size = np.maximum.accumulate(np.abs(want), 0)
    assert (np.abs(mine - want) / size).max() < rtol, (np.abs(mine - want) / size).max()


STEP = ("StepLR", {"step_size": 50, "gamma": 0.7})
CASES = {
    "SGD": ("SGD", {"lr": 0.1}),
    "SGD momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}, STEP),
    "SGD damped": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    "SGD nesterov": ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, STEP),
    "Adam": ("Adam", {}),
    "Adam L2": ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.1}, STEP),
    "Adam amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    "Adam decoupled": ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "AdamW": ("AdamW", {"lr": 0.01}, ("CosineAnnealingLR", {"T_max": STEPS, "eta_min": 1e-4})),
    "AdamW amsgrad": ("AdamW", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    "NAdam": ("NAdam", {"lr": 0.01, "weight_decay": 0.1}),
    "NAdam decoupled": ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "RAdam": ("RAdam", {"lr": 0.01, "eps": 1e-2, "weight_decay": 0.1}),
    "RAdam decoupled": ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}, STEP),
    "Adamax": ("Adamax", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}),
    "RMSprop": ("RMSprop", {"weight_decay": 0.1}),
    "RMSprop momentum": ("RMSprop", {"momentum": 0.9, "lr": 0.01}, STEP),
    "RMSprop centered": ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 1e-4}),
    "Adagrad": ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.1, "weight_decay": 0.1}),
    "Adadelta": ("Adadelta", {"weight_decay": 0.1}),
    "Adafactor": ("Adafactor", {"weight_decay": 0.1}),
    "Adafactor late": ("Adafactor", {"lr": 1.0, "d": 2.0, "beta2_decay": -0.5, "maximize": True}),
    "Rprop": ("Rprop", {"etas": (0.6, 1.1)}),
    "ASGD": ("ASGD", {"lr": 0.1, "t0": 100, "weight_decay": 0.1, "lambd": 0.01}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_optimizers(case):
    agree(*case)


L = {"lr": 0.1, "momentum": 0.9}
SCHEDULERS = {
    "LambdaLR": {"lr_lambda": lambda step: 1.0 / (1.0 + step)},
    "StepLR": {"step_size": 7},
    "MultiStepLR": {"milestones": [5, 40, 40, 200], "gamma": 0.5},
    "ConstantLR": {"total_iters": 9},
    "LinearLR": {"total_iters": 50},
    "ExponentialLR": {"gamma": 0.99},
    "PolynomialLR": {"total_iters": 90, "power": 2.0},
    "CosineAnnealingLR": {"T_max": 70, "eta_min": 0.01},
    "CosineAnnealingWarmRestarts": {"T_0": 10, "T_mult": 2, "eta_min": 0.01},
}


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_schedulers(kind):
    agree("SGD", L, (kind, SCHEDULERS[kind]), rtol=1e-11)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 20, "step_size_down": 30}),
        ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 20, "mode": "triangular2"}),
        ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 20, "mode": "exp_range", "gamma": 0.99}),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": STEPS + 1}),
        ("OneCycleLR", {"max_lr": 0.1, "epochs": 7, "steps_per_epoch": 43, "anneal_strategy": "linear"}),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": STEPS + 1, "anneal_strategy": "linear", "three_phase": True}),
    ],
)
def test_cycles(kind, settings):
    start, gradients = trees()
    make = lambda o: getattr(torch.optim.lr_scheduler, kind)(o, cycle_momentum=False, **settings)  # noqa: E731
    want = theirs(lambda w: torch.optim.SGD(w, lr=0.1), make, start=start, gradients=gradients)
    mine = ours(dialect.SGD(getattr(dialect, kind)(**settings)), start=start, gradients=gradients)
    np.testing.assert_allclose(mine, want, rtol=1e-11, atol=1e-11)


def test_one_cycle_of_rate_and_momentum():
    """torch's scheduler changes the momentum too, unless told; here the momentum has a schedule of its own."""
    start, gradients = trees()
    make = lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, STEPS + 1)  # noqa: E731
    want = theirs(lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9), make, start=start, gradients=gradients)
    momentum = dialect.OneCycleLR(0.85, STEPS + 1, div_factor=0.85 / 0.95, final_div_factor=1.0)
    mine = ours(dialect.SGD(dialect.OneCycleLR(0.1, STEPS + 1), momentum=momentum), start=start, gradients=gradients)
    np.testing.assert_allclose(mine, want, rtol=1e-10, atol=1e-10)


def test_one_after_another_and_products():
    start, gradients = trees()
    lr = torch.optim.lr_scheduler

    def one_after_another(o):
        return lr.SequentialLR(o, [lr.LinearLR(o, 0.1, 1.0, 20), lr.ExponentialLR(o, 0.97)], [20])

    mine = dialect.SequentialLR([dialect.LinearLR(0.1, 0.1, 1.0, 20), dialect.ExponentialLR(0.1, 0.97)], [20])
    sgd = lambda w: torch.optim.SGD(w, lr=0.1)  # noqa: E731
    want = theirs(sgd, one_after_another, start=start, gradients=gradients)
    np.testing.assert_allclose(ours(dialect.SGD(mine), start=start, gradients=gradients), want, rtol=1e-11, atol=1e-12)

    product = lambda o: lr.ChainedScheduler([lr.ConstantLR(o, 0.1, 20), lr.ExponentialLR(o, 0.97)])  # noqa: E731
    mine = dialect.ChainedScheduler([dialect.ConstantLR(0.1, 0.1, 20), dialect.ExponentialLR(1.0, 0.97)])
    want = theirs(sgd, product, start=start, gradients=gradients)
    np.testing.assert_allclose(ours(dialect.SGD(mine), start=start, gradients=gradients), want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("mode", ["rel", "abs"])
def test_plateaus(mode):
    start, gradients = trees()
    values = np.abs(np.cumsum(np.random.default_rng(3).normal(size=STEPS))) + 0.1
    settings = {"factor": 0.5, "patience": 3, "threshold": 0.05, "threshold_mode": mode, "cooldown": 2, "min_lr": 1e-3}
    make = lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, **settings)  # noqa: E731
    want = theirs(lambda w: torch.optim.SGD(w, lr=0.1), make, start=start, gradients=gradients, values=values)
    # torch's scheduler steps behind the update: its value counts for the next one.
    shifted = np.concatenate([[np.inf], values[:-1]])
    tx = gradtx.chain(dialect.SGD(0.1), dialect.ReduceLROnPlateau(0.1, **settings))
    mine = ours(tx, start=start, gradients=gradients, values=np.minimum(shifted, 1e300))
    np.testing.assert_allclose(mine, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("kind", "arguments"), [("norm", (1.0,)), ("norm", (2.0, math.inf)), ("value", (0.5,))])
def test_clips(kind, arguments):
    start, gradients = trees()
    clip = getattr(torch.nn.utils, f"clip_grad_{kind}_")
    want = theirs(
        lambda w: torch.optim.SGD(w, lr=0.1),
        start=start,
        gradients=gradients,
        before=lambda w: clip(w, *arguments),
    )
    tx = gradtx.chain(getattr(dialect, f"clip_grad_{kind}_")(*arguments), dialect.SGD(0.1))
    np.testing.assert_allclose(ours(tx, start=start, gradients=gradients), want, rtol=1e-12, atol=1e-13)


def test_groups():
    start, gradients = trees()

    def make(w):
        return torch.optim.AdamW([{"params": w[:1], "lr": 0.1, "weight_decay": 0.5}, {"params": w[1:]}], lr=0.01)

    tx = dialect.param_groups(dialect.AdamW, {"w": {"lr": 0.1, "weight_decay": 0.5}, "**": {}}, lr=0.01)
    want = theirs(make, start=start, gradients=gradients)
    np.testing.assert_allclose(ours(tx, start=start, gradients=gradients), want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("adjust", [None, "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon(adjust, nesterov):
    """To bfloat16, in which both iterate, and whose products round in another order."""
    options = {"lr": 0.02, "adjust_lr_fn": adjust, "nesterov": nesterov}
    agree("Muon", options, rtol=0.15, shapes={"w": (6, 4), "v": (4, 6)})


@pytest.mark.parametrize("name", [n for n in dialect.__all__ if hasattr(torch.optim, n)])
def test_arguments_of_optimizers(name):
    """The same names, order and defaults, without the parameters."""
    want = [(p.name, p.default) for p in inspect.signature(getattr(torch.optim, name)).parameters.values()][1:]
    got = [(p.name, p.default) for p in inspect.signature(getattr(dialect, name)).parameters.values()]
    assert got == want


LEFT_OUT = {
    "last_epoch",
    "cycle_momentum",
    "base_momentum",
    "max_momentum",
    "scale_fn",
    "scale_mode",
    "optimizer",
    "eps",
}


@pytest.mark.parametrize("name", [n for n in dialect.__all__ if hasattr(torch.optim.lr_scheduler, n)])
def test_arguments_of_schedulers(name):
    """The same names, order and defaults, with the rate for the optimizer; those that are left out are named."""
    theirs = inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters.values()
    want = [(p.name, p.default) for p in theirs if p.name not in LEFT_OUT]
    got = [(p.name, p.default) for p in inspect.signature(getattr(dialect, name)).parameters.values()]
    without_rate = [pair for pair in got if pair[0] != "lr"]
    empty = inspect.Parameter.empty
    assert [(n, d) for n, d in without_rate] == [(n, empty if d is empty else d) for n, d in want]


def test_no_optimizer_of_theirs_is_missing():
    names = {n for n, o in vars(torch.optim).items() if inspect.isclass(o) and issubclass(o, torch.optim.Optimizer)}
    kinds = set(torch.optim.lr_scheduler.__all__)
    absent = (names | kinds) - set(dialect.__all__)
    assert absent == {"LBFGS", "MultiplicativeLR", "Optimizer", "LRScheduler"}
