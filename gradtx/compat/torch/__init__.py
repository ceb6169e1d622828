"""torch's optimizers under their own names, arguments, defaults and formulas, as gradtx transformations.

    >>> import jax.numpy as jnp
    >>> from gradtx.compat import torch
    >>> tx = torch.SGD(torch.StepLR(0.1, step_size=30), momentum=0.9, weight_decay=1e-4)
    >>> state = tx.init({"w": jnp.zeros(3)})

torch itself is not needed. What is different from `torch.optim` 2.13, on purpose:

* The parameters are not the first argument: they go to `tx.init(params)`. `lr` is the first one, with torch's default.
* `lr` may be a schedule, one of those here or any of gradtx. A scheduler here takes the learning rate where torch takes
  the optimizer, and counts updates: call torch's `scheduler.step()` after each update to have the same.
* Parameter groups are rules for paths: `param_groups(SGD, {"head/**": {"lr": 0.01}, "**": {}}, lr=0.1)`.
* `foreach`, `fused`, `capturable` and `differentiable` say how torch computes. They are accepted and mean nothing here:
  a step is one compiled program, and has a derivative.
* `clip_grad_norm_` and `clip_grad_value_` are transformations: `chain(clip_grad_norm_(1.0), SGD(0.1))`.
* They return chains of gradtx's pieces. These print, and `gradtx.parse` reads the text.
* Sums are in float32 or wider where torch uses the type of the parameters.
* A training that runs goes on here: `import_state(tx, optimizer.state_dict(), params)`.
* `LBFGS` runs up to 20 iterations in a step, with a closure: use `gradtx.lbfgs`. `MultiplicativeLR` depends on all its
  past: use `LambdaLR` with the product.
"""

from gradtx.compat.torch.adam import Adam, Adamax, AdamW, NAdam, RAdam, SparseAdam
from gradtx.compat.torch.clips import clip_grad_norm_, clip_grad_value_
from gradtx.compat.torch.groups import param_groups
from gradtx.compat.torch.optimizers import ASGD, SGD, Adadelta, Adafactor, Adagrad, Muon, RMSprop, Rprop
from gradtx.compat.torch.schedulers import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from gradtx.compat.torch.states import import_state

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "Muon",
    "NAdam",
    "OneCycleLR",
    "PolynomialLR",
    "RAdam",
    "RMSprop",
    "ReduceLROnPlateau",
    "Rprop",
    "SequentialLR",
    "SparseAdam",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
    "import_state",
    "param_groups",
]

_INSTEAD = {
    "LBFGS": "it runs several iterations in a step, with a closure; use gradtx.lbfgs(), and give its update value=, "
    "grad= and value_fn=",
    "MultiplicativeLR": "it depends on all its past; use LambdaLR with the product of the factors",
}


def __getattr__(name: str) -> object:
    if name in _INSTEAD:
        raise AttributeError(f"gradtx.compat.torch has no {name}: {_INSTEAD[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
