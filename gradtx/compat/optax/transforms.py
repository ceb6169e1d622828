"""`gradtx.compat.optax.transforms`: the names of optax.transforms."""

from gradtx.compat.optax import accumulation, kinds, monitoring, pieces, softer, updating, which, wrappers
from gradtx.compat.optax.elsewhere import absent

_OF = {
    accumulation: accumulation.__all__,
    monitoring: monitoring.__all__,
    kinds: [
        "AddNoiseState",
        "EmaState",
        "MaskedNode",
        "MaskedState",
        "NonNegativeParamsState",
        "PartitionState",
        "TraceState",
        "ZeroNansState",
    ],
    pieces: [
        "adaptive_grad_clip",
        "add_decayed_weights",
        "add_noise",
        "clip",
        "clip_by_block_rms",
        "clip_by_global_norm",
        "ema",
        "keep_params_nonnegative",
        "trace",
        "zero_nans",
    ],
    softer: ["unitwise_clip", "unitwise_norm"],
    updating: ["per_example_global_norm_clip", "per_example_layer_norm_clip"],
    which: ["freeze", "masked", "partition", "selective_transform"],
    wrappers: [
        "ApplyIfFiniteState",
        "ConditionFn",
        "ConditionallyMaskState",
        "ConditionallyTransformState",
        "apply_if_finite",
        "chain",
        "conditionally_mask",
        "conditionally_transform",
        "flatten",
        "named_chain",
    ],
}
_NAMES = {name: getattr(module, name) for module, names in _OF.items() for name in names}
globals().update(_NAMES)

__all__ = [*_NAMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    raise absent(name, __name__, __all__)
