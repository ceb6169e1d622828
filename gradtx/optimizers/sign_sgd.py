"""Descent by signs: of the gradients, or of their running mean."""

from __future__ import annotations

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.errors import below_one
from gradtx.transforms.basic import scale_by_learning_rate, scale_by_sign
from gradtx.transforms.momentum import ema


@transformation
def sign_sgd(learning_rate: Hyper):
    """Descent by the signs of the gradients: `scale_by_sign`, then `scale_by_learning_rate`.

    Every entry moves by the learning rate, however small its gradient is; an entry without gradient rests.

    Args:
        learning_rate: at least 0; the length of the step of every entry, in parameter units.

    State: none.
    Source: Bernstein et al. 2018 (arXiv:1802.04434), algorithm 1. Same as optax. Exact in float32.
    """
    return chain(scale_by_sign(), scale_by_learning_rate(learning_rate))


@transformation
def signum(learning_rate: Hyper, beta: Hyper = 0.9):
    """Descent by the signs of a running mean of the gradients: `ema`, `scale_by_sign`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; the length of the step of every entry, in parameter units.
        beta: `decay` of `ema`; in [0, 1). With 0 this is `sign_sgd`.

    State: a chain's dict, with one entry: `EmaState`.
    Raises: ValueError: beta is outside [0, 1).
    Source: Bernstein et al. 2018 (arXiv:1802.04434), algorithm 2. Same as optax: the sign does not depend on whether
        the mean is corrected. Over 1,000 steps in float32 signs are right where the mean is above 1e-6 of the mean of
        |g|.
    """
    below_one(beta=beta)
    return chain(ema(beta, debias=False), scale_by_sign(), scale_by_learning_rate(learning_rate))
