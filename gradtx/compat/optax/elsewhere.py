"""Names of optax that are not about transformations: they are optax's own, where it is installed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from gradtx.errors import suggestion
from gradtx.optional_imports import extra

MODULES = ("assignment", "experimental", "losses", "microbatching", "perturbations")

NAMES = (
    "convex_kl_divergence",
    "cosine_distance",
    "cosine_similarity",
    "ctc_loss",
    "ctc_loss_with_forward_probs",
    "generalized_kl_divergence",
    "hinge_loss",
    "huber_loss",
    "kl_divergence",
    "l2_loss",
    "log_cosh",
    "matrix_inverse_pth_root",
    "microbatch",
    "multi_normal",
    "nnls",
    "ntxent",
    "power_iteration",
    "safe_softmax_cross_entropy",
    "scale_gradient",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "smooth_labels",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "squared_error",
)

INSTEAD = {
    "monte_carlo": "optax has removed it",
}


def absent(name: str, module: str, names: Any) -> AttributeError:
    """The error for a name that a module does not have: what is instead, or the nearest name."""
    if name in INSTEAD:
        return AttributeError(f"{module} has no {name}: {INSTEAD[name]}")
    return AttributeError(f"module {module!r} has no attribute {name!r}{suggestion(name, names)}")


class OptaxModule(ModuleType):
    """A module of optax, found when something in it is asked for: `from gradtx.compat.optax.losses import l2_loss`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(of_optax(self.__name__.rpartition(".")[2], ()), name)


def of_optax(name: str, names: Any) -> Any:
    """optax's own function or module of this name.

    Raises:
        AttributeError: optax has no such name, or there is another way here. MissingExtraError: optax is not installed.
    """
    if name not in MODULES and name not in NAMES:
        raise absent(name, "gradtx.compat.optax", names)
    with extra(None):
        optax = import_module("optax")
    return import_module(f"optax.{name}") if name in MODULES else getattr(optax, name)
