"""Estimators of a learning rate, for `adapt_learning_rate`, and what is needed to write one."""

from gradtx.rates.constant import constant
from gradtx.rates.distance import DistanceState, distance, weighted_distance
from gradtx.rates.estimator import Advice, Estimate, Estimator, Now, estimator

__all__ = [
    "Advice",
    "DistanceState",
    "Estimate",
    "Estimator",
    "Now",
    "constant",
    "distance",
    "estimator",
    "weighted_distance",
]
