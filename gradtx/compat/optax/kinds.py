"""optax's types, states and small makers of transformations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

import gradtx
from gradtx.annotations import MaskedNode, OptState, Params, ScalarOrSchedule, Updates
from gradtx.compat.optax.layout import MaskedState, PartitionState
from gradtx.compat.optax.protocol import as_optax, with_protocol
from gradtx.core.pair import GradientTransformation
from gradtx.core.states import EmptyState, HyperparametersState
from gradtx.core.transformation import foreign

__all__ = [
    "AdaptiveGradClipState",
    "AddDecayedWeightsState",
    "AddNoiseState",
    "ApplyEvery",
    "ClipByGlobalNormState",
    "ClipState",
    "EmaState",
    "EmptyState",
    "FactoredState",
    "GradientTransformation",
    "GradientTransformationExtraArgs",
    "LookaheadState",
    "MaskOrFn",
    "MaskedNode",
    "MaskedState",
    "MultiTransformState",
    "NonNegativeParamsState",
    "OptState",
    "Params",
    "PartitionState",
    "ScalarOrSchedule",
    "ScaleByAdaDeltaState",
    "ScaleByAdamState",
    "ScaleByAdanState",
    "ScaleByAmsgradState",
    "ScaleByBacktrackingLinesearchState",
    "ScaleByBeliefState",
    "ScaleByLBFGSState",
    "ScaleByLionState",
    "ScaleByNovogradState",
    "ScaleByRStdDevState",
    "ScaleByRmsState",
    "ScaleByRpropState",
    "ScaleByRssState",
    "ScaleBySM3State",
    "ScaleByScheduleState",
    "ScaleByTrustRatioState",
    "ScaleByZoomLinesearchState",
    "ScaleState",
    "Schedule",
    "TraceState",
    "TransformInitFn",
    "TransformUpdateExtraArgsFn",
    "TransformUpdateFn",
    "Updates",
    "ZeroNansState",
    "ZoomLinesearchInfo",
    "init_empty_state",
    "stateless",
    "stateless_with_tree_map",
    "with_extra_args_support",
]

GradientTransformationExtraArgs = GradientTransformation
Schedule: TypeAlias = Callable[[Any], Any]
TransformInitFn: TypeAlias = Callable[[Any], Any]
TransformUpdateFn: TypeAlias = Callable[..., tuple[Any, Any]]
TransformUpdateExtraArgsFn: TypeAlias = Callable[..., tuple[Any, Any]]
MaskOrFn: TypeAlias = Any

# Pieces without state have the empty one, as in optax; others have gradtx's.
AdaptiveGradClipState = AddDecayedWeightsState = ClipByGlobalNormState = ClipState = EmptyState
NonNegativeParamsState = ScaleByTrustRatioState = ScaleState = EmptyState
AddNoiseState = gradtx.AddNoiseState
ApplyEvery = gradtx.AccumulateState
EmaState = ScaleBySM3State = gradtx.EmaState
FactoredState = ScaleByNovogradState = ScaleByRmsState = gradtx.ScaleByRmsState
LookaheadState = gradtx.LookaheadState
MultiTransformState = PartitionState
ScaleByAdaDeltaState = gradtx.ScaleByAdadeltaState
ScaleByAdamState = gradtx.ScaleByAdamState
ScaleByAdanState = gradtx.ScaleByAdanState
ScaleByAmsgradState = gradtx.ScaleByAmsgradState
ScaleByBacktrackingLinesearchState = gradtx.ScaleByBacktrackingLinesearchState
ScaleByBeliefState = gradtx.ScaleByBeliefState
ScaleByLBFGSState = gradtx.ScaleByLbfgsState
ScaleByLionState = gradtx.ScaleByLionState
ScaleByRStdDevState = gradtx.ScaleByStddevState
ScaleByRpropState = gradtx.ScaleByRpropState
ScaleByRssState = gradtx.AccumulateSquaresState
ScaleByScheduleState = HyperparametersState
ScaleByZoomLinesearchState = gradtx.ScaleByZoomLinesearchState
TraceState = gradtx.AddMomentumState
ZeroNansState = gradtx.ZeroNansState
ZoomLinesearchInfo = gradtx.ZoomLinesearchInfo


def init_empty_state(params: Any) -> EmptyState:
    """The state of a transformation without state."""
    return EmptyState()


def with_extra_args_support(tx: Any) -> GradientTransformation:
    """The transformation, whose update takes any extra argument."""
    return as_optax("tx", tx)


def stateless(f: Callable[[Any, Any], Any]) -> GradientTransformation:
    """A transformation without state from a function of (updates, params)."""
    return with_protocol(
        foreign(init_empty_state, lambda updates, state, params=None: (f(updates, params), EmptyState()))
    )


def stateless_with_tree_map(f: Callable[[Any, Any], Any]) -> GradientTransformation:
    """A transformation without state from a function of a leaf of the updates and its parameter, or None."""

    def update(updates, state, params=None):
        others = () if params is None else (params,)
        return jax.tree.map(f if others else lambda u: f(u, None), updates, *others), EmptyState()

    return with_protocol(foreign(init_empty_state, update))
