"""optax.contrib's optimizers with a quotient, under its names, arguments, order and defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

import gradtx
from gradtx.compat.optax.dtypes import in_dtype
from gradtx.compat.optax.errors import refuse
from gradtx.compat.optax.protocol import optaxed, with_protocol
from gradtx.core.pair import GradientTransformation
from gradtx.core.states import RandomKey
from gradtx.core.transformation import Transformation, transformation
from gradtx.optimizers.ademamix import momentum_over_rms, two_means_over_rms
from gradtx.optimizers.adopt import fourth_root
from gradtx.transforms.curvature import hessian_diagonal
from gradtx.transforms.seeds import key_data_of, key_of, require_seed

__all__ = [
    "HutchinsonState",
    "acprop",
    "ademamix",
    "adopt",
    "hutchinson_estimator_diag_hessian",
    "madgrad",
    "scale_by_acprop",
    "scale_by_ademamix",
    "scale_by_adopt",
    "scale_by_madgrad",
    "scale_by_simplified_ademamix",
    "simplified_ademamix",
    "sophia",
]

acprop = optaxed(gradtx.acprop)
scale_by_acprop = optaxed(gradtx.scale_by_acprop)


@optaxed
def scale_by_ademamix(
    b1: Any = 0.9,
    b2: Any = 0.999,
    b3: Any = 0.9999,
    alpha: Any = 6.0,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
) -> GradientTransformation:
    """The quotient of `gradtx.ademamix`."""
    return in_dtype(two_means_over_rms(b1, b2, b3, alpha, eps, eps_root), mu_dtype, "mu")


@optaxed
def ademamix(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.999,
    b3: Any = 0.9999,
    alpha: Any = 5.0,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    weight_decay: Any = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """`gradtx.ademamix`."""
    tx = gradtx.ademamix(learning_rate, b1, b2, b3, alpha, eps, eps_root, weight_decay=weight_decay, mask=mask)
    return in_dtype(tx, mu_dtype, "mu")


@optaxed
def scale_by_simplified_ademamix(
    b1: Any = 0.99, b2: Any = 0.95, alpha: Any = 0.0, eps: Any = 1e-8, eps_root: Any = 0.0
) -> GradientTransformation:
    """The quotient of `gradtx.simplified_ademamix`."""
    return momentum_over_rms(b1, b2, alpha, eps, eps_root)


@optaxed
def simplified_ademamix(
    learning_rate: Any,
    b1: Any = 0.99,
    b2: Any = 0.95,
    alpha: Any = 0.0,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    weight_decay: Any = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """`gradtx.simplified_ademamix`."""
    return gradtx.simplified_ademamix(learning_rate, b1, b2, alpha, eps, eps_root, weight_decay=weight_decay, mask=mask)


@optaxed
def scale_by_adopt(
    b1: Any = 0.9,
    b2: Any = 0.9999,
    eps: Any = 1e-6,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[Any], Any] = fourth_root,
) -> GradientTransformation:
    """The pieces of `gradtx.adopt` without the learning rate."""
    clip = gradtx.clip_by_value(clip_value_fn) if use_clipping else gradtx.identity()
    mean = gradtx.nesterov_ema(b1) if nesterov else gradtx.ema(b1, debias=False)
    tx = gradtx.chain(gradtx.scale_by_previous_rms(b2, eps), clip, mean)
    return in_dtype(tx, mu_dtype, "mu")


@optaxed
def adopt(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.9999,
    eps: Any = 1e-6,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[Any], Any] = fourth_root,
) -> GradientTransformation:
    """`scale_by_adopt`, then the learning rate."""
    words: dict[str, Any] = {"nesterov": nesterov, "use_clipping": use_clipping, "clip_value_fn": clip_value_fn}
    tx = scale_by_adopt(b1, b2, eps, mu_dtype, **words)
    return gradtx.chain(tx, gradtx.scale_by_learning_rate(learning_rate))


@optaxed
def scale_by_madgrad(learning_rate: Any, momentum: Any = 0.9, eps: Any = 1e-6) -> GradientTransformation:
    """`gradtx.scale_by_madgrad`."""
    return gradtx.scale_by_madgrad(learning_rate, momentum, eps)


@optaxed
def madgrad(
    learning_rate: Any, momentum: Any = 0.9, weight_decay: Any = 0.0, eps: Any = 1e-6
) -> GradientTransformation:
    """`gradtx.madgrad`."""
    return gradtx.madgrad(learning_rate, momentum, weight_decay, eps)


@transformation
def with_obj_fn(inner: Transformation):
    """The same, where `value_fn` may also be called `obj_fn`."""

    def update(updates, state, params=None, *, obj_fn=None, value_fn=None):
        return inner.update(updates, state, params, value_fn=value_fn or obj_fn)

    return inner.init, update


class HutchinsonState(NamedTuple):
    """The state of `hutchinson_estimator_diag_hessian`."""

    key: RandomKey  # the data of the random key of the next estimate; uint32


@optaxed
@transformation
def hutchinson_estimator_diag_hessian(random_seed: Any = None):
    """Replace the updates by an estimate of the diagonal of the Hessian of `obj_fn`, also called `value_fn`.

    Args:
        random_seed: of the signs: an integer in [0, 2**32), or a key of `jax.random`; None: 0.

    State: `HutchinsonState`. Its update needs `params`.
    """
    seed = 0 if random_seed is None else random_seed
    require_seed(random_seed=seed)

    def init(params):
        return HutchinsonState(key_data_of(seed))

    def update(updates, state, params, *, obj_fn=None, value_fn=None):
        function = obj_fn if value_fn is None else value_fn
        if function is None:
            raise ValueError("hutchinson_estimator_diag_hessian needs obj_fn: update(..., obj_fn=...)")
        after, own = jax.random.split(jax.random.wrap_key_data(state.key, impl=jax.random.key_impl(key_of(seed))))
        return hessian_diagonal(function, params, own), HutchinsonState(jax.random.key_data(after))

    return init, update


def _seed_of(estimator: Any) -> tuple[Any, Any]:
    """The seed of Hutchinson's estimator, for `sophia`, which makes its estimates itself; and any other estimator."""
    if estimator is None:
        return 0, None
    if getattr(estimator, "name", "") != "hutchinson_estimator_diag_hessian":
        return 0, estimator
    return 0 if estimator.random_seed is None else estimator.random_seed, None


@optaxed
def sophia(
    learning_rate: Any,
    b1: Any = 0.965,
    b2: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 1e-4,
    weight_decay_mask: Any = None,
    gamma: Any = 0.01,
    clip_threshold: Any = 1.0,
    update_interval: int = 10,
    hessian_diagonal_fn: Any = None,
    mu_dtype: Any = None,
    verbose: bool = False,
    print_win_rate_every_n_steps: int = 0,
) -> GradientTransformation:
    """`gradtx.sophia`, whose update takes `obj_fn`, gradtx's `value_fn`."""
    seed, unknown = _seed_of(hessian_diagonal_fn)
    refuse(
        "sophia",
        "the diagonal is estimated from value_fn; a hutchinson_estimator_diag_hessian says its seed",
        hessian_diagonal_fn=(unknown, None),
        verbose=(verbose, False),
        print_win_rate_every_n_steps=(print_win_rate_every_n_steps, 0),
    )
    numbers = (learning_rate, b1, b2, eps, weight_decay, weight_decay_mask, gamma, clip_threshold, update_interval)
    return in_dtype(with_obj_fn(with_protocol(gradtx.sophia(*numbers, key=seed))), mu_dtype, "mu")
