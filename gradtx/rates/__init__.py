"""Estimators of a learning rate, for `adapt_learning_rate`, and what is needed to write one."""

from gradtx.rates.constant import constant
from gradtx.rates.distance import DistanceState, distance, weighted_distance
from gradtx.rates.estimator import Advice, Estimate, Estimator, Now, estimator
from gradtx.rates.hypergradient import HypergradientState, hypergradient
from gradtx.rates.mechanic import MechanicState, mechanic
from gradtx.rates.polyak import polyak
from gradtx.rates.prodigy import ProdigyState, prodigy

__all__ = [
    "Advice",
    "DistanceState",
    "Estimate",
    "Estimator",
    "HypergradientState",
    "MechanicState",
    "Now",
    "ProdigyState",
    "constant",
    "distance",
    "estimator",
    "hypergradient",
    "mechanic",
    "polyak",
    "prodigy",
    "weighted_distance",
]
