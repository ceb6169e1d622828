"""`gradtx.compat.optax.contrib`: the names of optax.contrib."""

import gradtx
from gradtx.compat.optax import contrib_matrices, contrib_quotients, contrib_rates, contrib_wrappers
from gradtx.compat.optax.elsewhere import absent
from gradtx.compat.optax.kinds import EmptyState
from gradtx.rates.mechanic import MechanicState as MechanicState

_PARTS = (contrib_matrices, contrib_quotients, contrib_rates, contrib_wrappers)
_FROM_PARTS = {name: getattr(part, name) for part in _PARTS for name in part.__all__}
globals().update(_FROM_PARTS)

COCOBState = gradtx.ScaleByCocobState
DAdaptAdamWState = gradtx.ScaleByDadaptAdamState
DifferentiallyPrivateAggregateState = gradtx.DifferentiallyPrivateAggregateState
DoGState = DoWGState = ProdigyState = gradtx.AdaptLearningRateState
GaLoreState = SplitRealAndImaginaryState = gradtx.InFrameState
MadgradState = gradtx.ScaleByMadgradState
MomoAdamState = gradtx.ScaleByMomoAdamState
MomoState = gradtx.ScaleByMomoState
MuonState = gradtx.EmaState
NormalizeState = EmptyState
ReduceLROnPlateauState = gradtx.ReduceOnPlateauState
ScaleByAdemamixState = ScaleBySimplifiedAdEMAMixState = gradtx.DivideByRmsState
ScheduleFreeState = gradtx.ScheduleFreeState
SophiaState = gradtx.ScaleBySophiaState

__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    "COCOBState",
    "DAdaptAdamWState",
    "DifferentiallyPrivateAggregateState",
    "DoGState",
    "DoWGState",
    "GaLoreState",
    "MadgradState",
    "MechanicState",
    "MomoAdamState",
    "MomoState",
    "MuonState",
    "NormalizeState",
    "ProdigyState",
    "ReduceLROnPlateauState",
    "ScaleByAdemamixState",
    "ScaleBySimplifiedAdEMAMixState",
    "ScheduleFreeState",
    "SophiaState",
    "SplitRealAndImaginaryState",
    *_FROM_PARTS,
]


def __getattr__(name: str) -> object:
    raise absent(name, __name__, __all__)
