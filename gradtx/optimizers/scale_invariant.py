"""Steps of weights whose length does not matter, since a normalisation follows: AdamP and SGDP."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper, Number
from gradtx.core.leaves import map_leaves
from gradtx.core.numerics import quotient
from gradtx.core.pair import require_changeable
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.errors import below_one, concrete, in_unit_interval, non_negative, whole
from gradtx.optimizers.adam import scale_by_adam
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.momentum import add_momentum, add_nesterov_momentum
from gradtx.transforms.norms import leaf_norm
from gradtx.transforms.radial import radial_part


class ProjectScaleInvariantState(NamedTuple):
    """The state of `project_scale_invariant`."""

    inner: Any  # the inner transformation's state


@transformation
def project_scale_invariant(
    inner: Transformation,
    delta: Hyper = 0.1,
    *,
    weight_decay: Hyper = 0.0,
    decay_ratio: Hyper = 0.1,
    output_axis: int = -1,
):
    """Remove the radial part of updates where the gradient has none, and let such weights decay less.

        where |cos(w, g)| < delta/√n, for the weights of each output; or else for the leaf as a whole:
            u = u - ŵ·Re⟨ŵ, u⟩,   u = u + decay_ratio·weight_decay·w
        elsewhere, and in leaves of fewer than two axes:
            u = u + weight_decay·w

    u is the inner update for g, n the number of weights of an output, or of the leaf; ŵ = w/‖w‖₂ of these. A
    normalisation behind a layer makes the gradient orthogonal to its weights. Momentum has a radial part all the same,
    which makes them longer and their steps shorter in effect.

    Args:
        inner: the direction, as `scale_by_adam()`; it does not have the learning rate yet.
        delta: how far from orthogonal a gradient may be; finite, at least 0. With 0 nothing is projected.
        weight_decay: as in `add_decayed_weights`.
        decay_ratio: the share of weight_decay where updates are projected; in [0, 1].
        output_axis: the axis of the outputs: the last in kernels of Flax and Keras, 0 in those of torch.

    State: `ProjectScaleInvariantState`. Its update needs `params`.
    Raises: ValueError: an argument is out of range, a leaf does not have the axis, `params` is not given, or there is a
        weight_decay and `inner` has a learning rate. TypeError: output_axis is not a whole number.
    Source: Heo et al. 2021 (arXiv:2006.08217), equations 11 and 12, and their code, which has output_axis=0 and adds
        1e-8 to norms. A zero gradient is orthogonal, there and here. Not in optax, torch or Keras.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.project_scale_invariant(gradtx.add_momentum(0.5)), jnp.array([[3.0], [4.0]])
        >>> first, state = tx.update(jnp.array([[4.0], [-3.0]]), tx.init(w), w)  # orthogonal: all of it
        >>> print(first.ravel(), tx.update(jnp.array([[5.0], [0.0]]), state, w)[0].ravel())  # not so: the momentum
        [ 4. -3.] [ 7.  -1.5]
    """
    non_negative(delta=delta, weight_decay=weight_decay)
    in_unit_interval(decay_ratio=decay_ratio)
    whole(output_axis=output_axis)
    require_changeable("project_scale_invariant", inner)
    if inner.traits.sign < 0 and concrete(weight_decay) not in (None, 0.0):
        raise ValueError(
            f"inner must be a direction, to which the decay is added: {inner.name} has its learning rate already; give "
            f"the rate behind, chain(project_scale_invariant(...), scale_by_learning_rate(...)), or no weight_decay"
        )

    def leaf(u, g, w):
        if w.ndim < 2 or w.size == 0:
            return u + weight_decay * w
        views = [tuple(k for k in range(w.ndim) if k != output_axis % w.ndim), tuple(range(w.ndim))]
        (by_output, turned), (whole_leaf, turned_whole) = (_without_radial(u, g, w, axes, delta) for axes in views)
        decay = weight_decay * jnp.where(by_output | whole_leaf, decay_ratio, 1.0)
        return jnp.where(by_output, turned, jnp.where(whole_leaf, turned_whole, u)) + decay * w

    def init(params):
        return ProjectScaleInvariantState(inner.init(params))

    def update(updates, state, params, **extra):
        for name, g in zip(leaf_names(updates), flatten(updates)[0], strict=True):
            n = len(shape_of(g)) if is_trained(g) else 0
            if n > 1 and not -n <= output_axis < n:
                raise ValueError(
                    f"project_scale_invariant: the update at {name} has shape {shape_of(g)}, no axis {output_axis}"
                )
        new, after = inner.update(updates, state.inner, params, **extra)
        return map_leaves(leaf, new, updates, params), ProjectScaleInvariantState(after)

    return init, update


def _without_radial(
    u: jax.Array, g: jax.Array, w: jax.Array, axes: tuple[int, ...], delta: Any
) -> tuple[jax.Array, jax.Array]:
    """Whether g is nearly orthogonal to w in all slices along these axes, and u without its radial parts there."""
    along, _ = radial_part(g, w, axes)
    cosine = jnp.max(jnp.abs(quotient(along, leaf_norm(g, axes))))
    size = w.size / max(along.size, 1)
    part, direction = radial_part(u, w, axes)
    return cosine < delta / size**0.5, u - part * direction


@transformation
def adamp(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    weight_decay: Hyper = 0.0,
    delta: Hyper = 0.1,
    decay_ratio: Hyper = 0.1,
    output_axis: int = -1,
):
    """AdamP: `project_scale_invariant` round `scale_by_adam`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0. It multiplies the weight decay too.
        b1, b2, eps: as in `scale_by_adam`.
        weight_decay, delta, decay_ratio, output_axis: as in `project_scale_invariant`.

    State: a chain's dict, with one entry: `ProjectScaleInvariantState`. Its update needs `params`.
    Source: Heo et al. 2021 (arXiv:2006.08217), algorithm 2; defaults as in their code. Not in optax, torch or Keras.
        Within 40 ulp of the largest parameter so far over 1,000 steps in float32.
    """
    how: dict[str, Any] = {"weight_decay": weight_decay, "decay_ratio": decay_ratio, "output_axis": output_axis}
    return chain(
        project_scale_invariant(scale_by_adam(b1, b2, eps), delta, **how), scale_by_learning_rate(learning_rate)
    )


@transformation
def sgdp(
    learning_rate: Hyper,
    momentum: Number = 0.9,
    *,
    weight_decay: Number = 0.0,
    delta: Hyper = 0.1,
    decay_ratio: Hyper = 0.1,
    nesterov: bool = False,
    output_axis: int = -1,
):
    """SGDP: `project_scale_invariant` round the momentum, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0. It multiplies the weight decay too.
        momentum: `decay` of `add_momentum`; in [0, 1).
        weight_decay: divided by 1 - momentum, as the steps are longer by that factor; then as in
            `project_scale_invariant`. It cannot be a schedule.
        delta, decay_ratio, output_axis: as in `project_scale_invariant`.
        nesterov: use `add_nesterov_momentum`.

    State: a chain's dict, with one entry: `ProjectScaleInvariantState`. Its update needs `params`.
    Raises: ValueError: momentum is not in [0, 1). TypeError: momentum or weight_decay is a schedule.
    Source: Heo et al. 2021 (arXiv:2006.08217), algorithm 1; defaults as in their code, except for the momentum, which
        is 0 there. Not in optax, torch or Keras. Within 40 ulp of the largest parameter so far over 1,000 steps in
        float32.
    """
    below_one(momentum=momentum)
    decay = weight_decay / (1.0 - momentum)
    how: dict[str, Any] = {"weight_decay": decay, "decay_ratio": decay_ratio, "output_axis": output_axis}
    direction = (add_nesterov_momentum if nesterov else add_momentum)(momentum)
    return chain(project_scale_invariant(direction, delta, **how), scale_by_learning_rate(learning_rate))
