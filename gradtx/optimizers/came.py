"""CAME: Adafactor with momentum. The momentum, a mean of updates, is divided by its distance from them."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves, zeros
from gradtx.core.numerics import clip_and_square, divide_by_root, ema
from gradtx.core.states import NonNegative, Signed
from gradtx.core.transformation import transformation
from gradtx.errors import in_unit_interval, positive
from gradtx.moments.factored import factored
from gradtx.moments.moment import Kept, Moment, Step, divided, require_moment, started
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.clipping import clip_by_block_rms
from gradtx.wrappers.decay import add_decayed_weights

SQUARES, RESIDUALS = factored(1e-30, axes=(-2, -1)), factored(1e-16, axes=(-2, -1))


class ScaleByConfidenceState(NamedTuple):
    """The state of `scale_by_confidence`."""

    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init
    nu: NonNegative  # running mean s of |g - m|²; what the moment keeps, float32 or wider; 0 at init, or None


@dataclasses.dataclass(frozen=True, repr=False)
class _NotEntrywise(Moment):
    """A moment that keeps nothing of a leaf, and has no second moment of it, where it would keep all its entries."""

    moment: Moment

    def __repr__(self) -> str:
        return repr(self.moment)

    @property
    def least(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.moment.least

    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...] | None, ...]:
        """Those of the moment, or None for each."""
        own = self.moment.shapes(shape)
        return (None,) * len(own) if shape in own else own

    def learn(self, kept: Kept, g_sq: jax.Array, step: Step) -> tuple[Kept, Any]:
        """As the moment does, or nothing."""
        return (kept, None) if all(x is None for x in kept) else self.moment.learn(kept, g_sq, step)

    def room(self, shape: tuple[int, ...]) -> float:
        """That of the moment."""
        return self.moment.room(shape)

    def together(self, trees: tuple) -> Any:
        """As in the moment."""
        return self.moment.together(trees)

    def apart(self, field: Any) -> tuple:
        """As in the moment."""
        return self.moment.apart(field)


@transformation
def scale_by_confidence(b1: Hyper = 0.9, b3: Hyper = 0.9999, *, moment: Moment = RESIDUALS):
    """Divide a running mean of the updates by the running root mean square of its distance from them.

        m = b1·m + (1 - b1)·g
        s = b3·s + (1 - b3)·|g - m|²
        u = m/√s,   and u = m in leaves where the moment keeps a number for every entry

    Neither mean is corrected for its start at 0. Gradients above 9.2e18 (float32) count as 9.2e18, since the square of
    the difference of two would overflow.

    Args:
        b1: the weight of the past in m; in [0, 1].
        b3: the weight of the past in s; in [0, 1].
        moment: which squares s is the mean of, as in `divide_by_rms`; the default is `moments.factored(1e-16, axes=(-2,
            -1))`, which adds 1e-16 to them.

    State: `ScaleByConfidenceState`: mu, like params; nu, what the moment keeps, None where that is every entry; 0 at
        init.
    Raises: ValueError: an argument is out of range, or the moment cannot take a leaf. TypeError: moment is no
        moment.
    Source: Luo et al. 2023 (arXiv:2307.02047), algorithm 2, its second half. Not in optax, torch or Keras. Within 30
        ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, g = gradtx.scale_by_confidence(b1=0.5, b3=0.0), jnp.array([[2.0, -2.0], [4.0, -4.0]])
        >>> print(tx.update(g, tx.init(g))[0].round(3))
        [[ 1. -1.]
         [ 1. -1.]]
    """
    in_unit_interval(b1=b1, b3=b3)
    require_moment(moment)
    coarse = _NotEntrywise(moment)

    def init(params):
        return ScaleByConfidenceState(zeros(params), started(coarse, params))

    def update(updates, state, params=None):
        def mean(g, mu):
            bounded = clip_and_square(g, 0.5)[0]
            mu = ema(mu, bounded, b1)
            return bounded - mu, mu

        def leaf(away, s, mu):
            if s is None:
                return 1.0 * mu  # in a buffer of its own, since the state has mu too
            return divide_by_root(mu, s)

        def step(s, away_sq):
            return ema(s, away_sq, b3)

        away, mu = map_leaves(mean, updates, state.mu)
        updates, nu = divided(coarse, leaf, away, state.nu, mu, step=step)
        return updates, ScaleByConfidenceState(mu, nu)

    return init, update


@transformation
def came(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    b3: Hyper = 0.9999,
    *,
    clipping_threshold: Hyper = 1.0,
    moment: Moment = SQUARES,
    residual_moment: Moment = RESIDUALS,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """CAME: `scale_by_rms` with a factored moment, `clip_by_block_rms`, `scale_by_confidence`, decay, then the rate.

    Args:
        learning_rate: at least 0; usually 2e-4.
        b1, b3: as in `scale_by_confidence`.
        b2: `decay` of `scale_by_rms`.
        clipping_threshold: as in `clip_by_block_rms`.
        moment: of `scale_by_rms`; `moments.factored(1e-30, axes=(-2, -1))` unless given.
        residual_moment: of `scale_by_confidence`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict: `ScaleByRmsState` and `ScaleByConfidenceState`, in matrices both with the means of rows and
        columns. Its update needs `params`.
    Raises: ValueError: an argument is out of range.
    Source: Luo et al. 2023 (arXiv:2307.02047), algorithm 2; ε₁ and ε₂ are the eps of the two moments. Not in
        optax, torch or Keras. Within 30 ulp of exact arithmetic over 1,000 steps in float32.
    """
    in_unit_interval(b1=b1, b2=b2, b3=b3)
    positive(clipping_threshold=clipping_threshold)
    return chain(
        scale_by_rms(b2, 0.0, moment=moment),
        clip_by_block_rms(clipping_threshold),
        scale_by_confidence(b1, b3, moment=residual_moment),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
