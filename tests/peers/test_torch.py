"""torch: with exactly the arguments that the docstrings name, the same steps; and the stated differences."""

import numpy as np
import pytest

import gradtx
from tests import reference
from tests.peers.agreement import W0, differ, gradients, ours, same
from tests.peers.pairs import RATE, names, needed, pairs, recipe
from tests.transforms import agreement

torch = pytest.importorskip("torch", reason="install the extra: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers


def theirs(factory, dtype=np.float64, w0=W0, gs=None, rates=None, **arguments):
    """The parameters after each step of a torch optimizer under the shared gradients."""
    w = torch.tensor(np.asarray(w0, dtype), requires_grad=True)
    optimizer = factory([w], foreach=False, **arguments)
    out = []
    for t, g in enumerate(np.asarray(gradients() if gs is None else gs, dtype)):
        if rates is not None:
            optimizer.param_groups[0]["lr"] = rates(t)
        w.grad = torch.tensor(g)
        optimizer.step()
        out.append(w.detach().numpy().copy())
    return np.stack(out)


def rate(step):
    return 0.1 / (1 + step)


optim = torch.optim
MORE = {
    "momentum schedule": (gradtx.sgd(rate, 0.9), optim.SGD, {"lr": 0.1, "momentum": 0.9, "rates": rate}),
    "nesterov schedule": (
        gradtx.sgd(rate, 0.9, nesterov=True),
        optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "rates": rate},
    ),
    "rmsprop momentum schedule": (
        gradtx.rmsprop(rate, 0.99, eps_in_sqrt=False, momentum=0.9, rate_in_momentum=False),
        optim.RMSprop,
        {"lr": 0.1, "momentum": 0.9, "rates": rate},
    ),
    "adam eps": (gradtx.adam(rate, 0.8, 0.99, 1e-3), optim.Adam, {"betas": (0.8, 0.99), "eps": 1e-3, "rates": rate}),
    "adam with L2": (
        gradtx.chain(gradtx.add_decayed_weights(0.1), gradtx.adam(0.1)),
        optim.Adam,
        {"lr": 0.1, "weight_decay": 0.1},
    ),
    "adamw schedule": (gradtx.adamw(rate, weight_decay=1e-2), optim.AdamW, {"lr": 0.1, "rates": rate}),
}


def agree(tx, factory, arguments, rtol=1e-10):
    same(tx, theirs(factory, **arguments), rtol=rtol)
    want = theirs(factory, np.float32, **arguments)
    np.testing.assert_allclose(ours(tx, np.float32), want, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("pair", pairs("torch"))
def test_what_the_catalog_says_is_the_same(pair):
    """In float64 and float32. torch's own powers in NAdam are of fewer digits, and its rate in ASGD is float32."""
    factory = getattr(optim, pair.peer.name)
    rtol = {optim.NAdam: 1e-6 if "momentum_decay" in pair.peer.theirs else 1e-8, optim.ASGD: 1e-7}.get(factory, 1e-10)
    agree(pair.tx, factory, {"lr": RATE, **pair.peer.theirs}, rtol)


@pytest.mark.parametrize(("tx", "factory", "arguments"), MORE.values(), ids=MORE.keys())
def test_more_that_is_the_same(tx, factory, arguments):
    agree(tx, factory, arguments)


@pytest.mark.parametrize("name", names("torch"))
def test_names(name):
    assert issubclass(getattr(optim, name), optim.Optimizer)


class TestDifferent:
    @pytest.mark.parametrize("pair", needed("torch"))
    def test_our_arguments_that_the_catalog_names_are_needed(self, pair):
        differ(pair.usual, theirs(getattr(optim, pair.peer.name), lr=RATE, **pair.peer.theirs), by=1e-12)

    def test_a_maximum_of_the_corrected_moment_is_not_theirs(self):
        differ(recipe("AMSGrad")(0.1), theirs(optim.Adam, lr=0.1, amsgrad=True), by=1e-3)

    def test_rmsprop_with_the_rate_in_the_buffer_is_not_theirs(self):
        tx = gradtx.rmsprop(rate, 0.99, eps_in_sqrt=False, momentum=0.9)
        differ(tx, theirs(optim.RMSprop, lr=0.1, momentum=0.9, rates=rate), by=1e-2)

    def test_eps_outside_is_needed(self):
        differ(recipe("Adagrad")(0.1, 0.0, 1e-10), theirs(optim.Adagrad, lr=0.1), by=1e-12)
        differ(gradtx.rmsprop(0.1, 0.99), theirs(optim.RMSprop, lr=0.1), by=1e-6)

    def test_a_constant_b1_is_their_limit(self):
        constant = recipe("NAdam")(0.1)
        differ(constant, theirs(optim.NAdam, lr=0.1), by=1e-3)
        same(constant, theirs(optim.NAdam, lr=0.1, momentum_decay=1e6), rtol=1e-6)

    def test_adam_s_weight_decay_is_not_decoupled(self):
        differ(gradtx.adamw(0.1, weight_decay=0.1), theirs(optim.Adam, lr=0.1, weight_decay=0.1), by=1e-2)

    def test_the_norm_has_a_millionth_added(self):
        g = np.array([3e-7, 4e-7])
        w = torch.tensor(g, requires_grad=True)
        w.grad = torch.tensor(g)
        torch.nn.utils.clip_grad_norm_([w], 1e-7)
        np.testing.assert_allclose(w.grad.numpy(), g * 1e-7 / (5e-7 + 1e-6), rtol=1e-12)
        mine, _ = gradtx.clip_by_global_norm(1e-7).update(g, gradtx.EmptyState())
        np.testing.assert_allclose(mine, g * 1e-7 / 5e-7, rtol=1e-6)

    def test_clip_by_value_is_clip_grad_value(self):
        g = np.array([-3.0, 0.5, 2.0])
        w = torch.tensor(g, requires_grad=True)
        w.grad = torch.tensor(g)
        torch.nn.utils.clip_grad_value_([w], 1.0)
        np.testing.assert_array_equal(w.grad.numpy(), gradtx.clip_by_value(1.0).update(g, gradtx.EmptyState())[0])

    def test_centered_keeps_the_difference_and_loses_it(self):
        """A constant gradient has hardly a variance left: theirs is off by percents in float32, ours by 0.2%."""
        gs = np.ones((300, 1))
        want = -reference.rmsprop_by_definition(gs, 0.9, 1e-4, inside=False)[-1]
        args = {"lr": 1.0, "alpha": 0.9, "eps": 1e-4, "centered": True}
        last = theirs(optim.RMSprop, np.float32, w0=[0.0], gs=gs[:299], **args)[-1]
        moved = theirs(optim.RMSprop, np.float32, w0=[0.0], gs=gs, **args)[-1] - last
        tx = gradtx.rmsprop(1.0, 0.9, 1e-4, eps_in_sqrt=False, centered=True)
        mine = agreement.run(tx, gs.astype(np.float32))[0][-1]
        assert abs(float(moved[0]) / want[0] - 1) > 1e-2
        assert abs(float(mine[0]) / want[0] - 1) < 2e-3


def test_ulp_of_adam(record_property):
    """The same 1,000 steps in float32 from parameters at 0 that are put back there, so that the step itself is read."""
    gs = agreement.gradients()
    loop = lambda g: reference.adam(g, 0.9, 0.999, 1e-8)  # noqa: E731
    w = torch.zeros(gs.shape[1:], requires_grad=True)
    optimizer, steps = optim.Adam([w], lr=1.0, foreach=False), []
    for g in gs:
        w.grad = torch.tensor(g)
        optimizer.step()
        steps.append(-w.detach().numpy().astype(np.float64))
        w.data.zero_()
    size = np.abs(loop(np.abs(gs).astype(np.float64)))
    torch_ulp = agreement.ulps(np.stack(steps), loop(gs.astype(np.float64)), size)
    our_ulp = agreement.measured(agreement.Case(gradtx.scale_by_adam(), loop, 30))
    record_property("ulp", {"gradtx": our_ulp, "torch": torch_ulp})
    print(f"adam: gradtx {our_ulp:.1f} ulp, torch {torch_ulp:.1f} ulp")
    assert our_ulp <= 30
    assert our_ulp <= torch_ulp
