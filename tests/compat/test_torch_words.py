"""Calls as in torch, with the parameters or the optimizer first: each error says what to write here."""

import jax.numpy as jnp
import pytest

import gradtx
from gradtx.compat import torch
from gradtx.testing.compare import error_of

PARAMS = {"w": jnp.ones(3)}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: torch.SGD(PARAMS, lr=0.1), "SGD: the parameters go to tx.init(params), and the learning rate comes"),
        (lambda: torch.Adam([jnp.ones(3)]), "Adam: the parameters go to tx.init(params)"),
        (lambda: torch.Adam(x for x in "ab"), "Adam: the parameters go to tx.init(params)"),
        (lambda: torch.AdamW(params=PARAMS), "AdamW has no argument 'params': the parameters go to tx.init(params)"),
        (lambda: torch.SGD(0.1, nestrov=True), "SGD has no argument 'nestrov' (did you mean 'nesterov'?)"),
        (
            lambda: torch.StepLR(torch.SGD(0.1), 30),
            "takes no optimizer: it is given to one, SGD(lr=StepLR(...))",
        ),
        (lambda: torch.OneCycleLR(torch.SGD(0.1), max_lr=0.1), "OneCycleLR takes no optimizer"),
        (lambda: torch.OneCycleLR(0.1, 9, cycle_momentum=False), "no scheduler here changes the momentum"),
        (lambda: torch.StepLR(0.1, 3, last_epoch=2), "a schedule has no state"),
        (lambda: torch.param_groups(torch.SGD, [{"lr": 0.1}]), "param_groups takes a dict, rule -> options"),
        (lambda: torch.param_groups(torch.SGD(0.1), {"**": {}}), "param_groups takes the function, as SGD"),
        (lambda: torch.SGD(0.1, nesterov=True), "nesterov needs a momentum above 0"),
        (lambda: torch.Muon(adjust_lr_fn="other"), "adjust_lr_fn must be 'original' or 'match_rms_adamw'"),
        (lambda: torch.OneCycleLR(0.1), "OneCycleLR needs total_steps, or epochs and steps_per_epoch"),
        (lambda: torch.ReduceLROnPlateau(0.1, mode="max"), "for 'max' give value=-metric"),
        (lambda: torch.Adafactor(eps=(1e-5, 1e-3)), "leave eps[0] None"),
        (lambda: torch.clip_grad_norm_(1.0, norm_type=1.0), "norm_type must be 2 or infinity"),
        (lambda: torch.clip_grad_norm_(PARAMS, 1.0), "must be a number, a scalar array or a schedule; got a dict with"),
        (
            lambda: gradtx.adam({"w": jnp.ones((64, 64))}),
            "the keys ['w']; parameters go to tx.init(params)",
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_errors_say_what_to_write(call, words):
    error = error_of(call)
    assert isinstance(error, TypeError | ValueError), error
    assert words in str(error)


def test_what_has_no_counterpart_says_so():
    for name, words in {
        "LBFGS": "use gradtx.lbfgs",
        "MultiplicativeLR": "use LambdaLR",
        "Adma": "no attribute",
    }.items():
        with pytest.raises(AttributeError, match=words):
            getattr(torch, name)


def test_switches_of_torch_mean_nothing_here():
    assert torch.Adam(foreach=True, fused=True, capturable=True, differentiable=True) == torch.Adam()
    assert torch.SGD(0.1) == gradtx.chain(gradtx.scale_by_learning_rate(0.1))


def test_values_pickle_and_sweep():
    import pickle

    import jax

    tx = torch.RAdam(torch.CosineAnnealingLR(0.1, 10), weight_decay=0.1)
    assert pickle.loads(pickle.dumps(tx)) == tx
    jax.eval_shape(lambda tx, w: tx.update(w, tx.init(w), w), tx, PARAMS)
    swept = jax.vmap(torch.Adam)(jnp.array([0.1, 0.2]))
    assert jax.tree.leaves(swept)[-1].shape == (2,)
