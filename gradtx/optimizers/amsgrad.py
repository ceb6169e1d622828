"""AMSGrad: Adam divided by the largest second moment so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import bias_correction, divide_by_root, increment, zero_count
from gradtx.core.states import NonNegative, Signed
from gradtx.core.traits import Divisor
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative, one_of
from gradtx.optimizers.adam import next_moments
from gradtx.transforms.basic import scale_by_learning_rate


class ScaleByAmsgradState(NamedTuple):
    """The state of `scale_by_amsgrad`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init
    nu: NonNegative  # running mean v of |g|²; like params, real, float32 or wider; 0 at init
    nu_max: NonNegative  # the largest v, or v̂, so far; like nu; 0 at init


def _divisors(given: Mapping[str, Any], state: Any) -> dict[str, Divisor]:
    """How `nu_max` is used, for the trait `divides`."""
    raw = given["maximum_of"] == "raw"
    weight = bias_correction(given["b2"], state.count, jnp.float32) if raw and given["bias_correction_nu"] else 1.0
    return {"nu_max": Divisor(given["eps_root"], given["eps"], weight)}


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=_divisors)
def scale_by_amsgrad(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    maximum_of: str = "corrected",
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
):
    """Adam, divided by the largest second moment so far instead of the present one.

        m, v as in `scale_by_adam`
        x = max(x, v̂)                      maximum_of="corrected"
        x = max(x, v), then x/(1 - b2^t)   maximum_of="raw"
        u = m̂/(√(x + eps_root) + eps)

    Gradients above 1.8e19 (float32) count as 1.8e19.

    Args:
        b1, b2, eps, eps_root: as in `scale_by_adam`.
        maximum_of: "corrected" takes the maximum of v̂ (optax). "raw" takes that of v and corrects it (torch, Keras).
        bias_correction_mu, bias_correction_nu: correct m, and v or x; without one of them, its 1 - b^t is 1. The paper
            corrects neither.

    State: `ScaleByAmsgradState`: count, int32 scalar; mu, like params; nu and nu_max, like params, real; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Reddi, Kale & Kumar 2018 (arXiv:1904.09237), algorithm 2, which corrects nothing. Keras adds eps to the
        uncorrected root. Within 30 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_amsgrad()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1. -1.]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, eps_root=eps_root)
    one_of(("corrected", "raw"), maximum_of=maximum_of)

    def init(params):
        nu, nu_max = zeros(params, real=True), zeros(params, real=True)
        return ScaleByAmsgradState(zero_count(), zeros(params), nu, nu_max)

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        one = jnp.ones((), width)
        c1 = bias_correction(b1, t, width) if bias_correction_mu else one
        c2 = bias_correction(b2, t, width) if bias_correction_nu else one

        def leaf(g, mu, nu, nu_max):
            _, mu, nu = next_moments(g, mu, nu, b1, b2)
            nu_max = jnp.maximum(nu_max, nu / c2 if maximum_of == "corrected" else nu)
            v = nu_max if maximum_of == "corrected" else nu_max / c2
            return divide_by_root(mu / c1, v, eps, eps_root), mu, nu, nu_max

        # Without a gradient the maximum does not change: v decreases, and so does v̂.
        trees = (state.mu, state.nu, state.nu_max)
        updates, mu, nu, nu_max = map_leaves(leaf, updates, *trees, idle=(b1, b2, None))
        return updates, ScaleByAmsgradState(t, mu, nu, nu_max)

    return init, update


@transformation
def amsgrad(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    maximum_of: str = "corrected",
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
):
    """AMSGrad: `scale_by_amsgrad`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-3.
        b1, b2, eps, eps_root, maximum_of, bias_correction_mu, bias_correction_nu: as in `scale_by_amsgrad`. torch's is
            maximum_of="raw".

    State: a chain's dict, with one entry: `ScaleByAmsgradState`.
    Source: Reddi, Kale & Kumar 2018 (arXiv:1904.09237).
    """
    scaling = scale_by_amsgrad(
        b1,
        b2,
        eps,
        eps_root,
        maximum_of=maximum_of,
        bias_correction_mu=bias_correction_mu,
        bias_correction_nu=bias_correction_nu,
    )
    return chain(scaling, scale_by_learning_rate(learning_rate))
