"""Entries of pieces that bound or fix the size of updates."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.transforms.adaptive_clipping import adaptive_grad_clip, clip_by_z_score
from gradtx.transforms.clipping import clip_by_block_rms, clip_by_global_norm, clip_by_leaf_norm, clip_by_value
from gradtx.transforms.normalize import centralize, normalize_by_update_norm, scale_by_trust_ratio, zero_nans


def _same(name: str, **theirs: object) -> dict[str, Setting]:
    return {"": Setting(optax=Peer(name, theirs))}


ENTRIES = (
    Entry(clip_by_value, "piece", "clipping", usual={"max_delta": 0.75}, settings=_same("clip"), optax_names=("clip",)),
    Entry(clip_by_leaf_norm, "piece", "clipping", usual={"max_norm": 0.5, "axis_name": None}, source="Keras' clipnorm"),
    Entry(
        clip_by_global_norm,
        "piece",
        "clipping",
        usual={"max_norm": 0.5, "nonfinite": "propagate", "axis_name": None},
        source="Pascanu et al., arXiv:1211.5063, algorithm 1",
        year=2013,
        settings={
            **_same("clip_by_global_norm"),
            **{policy: Setting(arguments={"nonfinite": policy}) for policy in ("skip", "zero", "raise")},
        },
    ),
    Entry(
        clip_by_block_rms,
        "piece",
        "clipping",
        usual={"threshold": 0.5, "axis_name": None},
        source="Shazeer & Stern, arXiv:1804.04235, algorithm 4",
        year=2018,
        settings=_same("clip_by_block_rms"),
    ),
    Entry(
        adaptive_grad_clip,
        "piece",
        "clipping",
        usual={"clipping": 0.1, "eps": 1e-3, "axis": None, "axis_name": None},
        source="Brock et al., arXiv:2102.06171, equation 3",
        year=2021,
        settings={
            "": Setting(optax=Peer("adaptive_grad_clip", differs="optax clips norms below 1e-6 too much.")),
            "axis": Setting(arguments={"axis": (-1,)}),
        },
        laws={"needs_params": True},
    ),
    Entry(
        clip_by_z_score,
        "piece",
        "clipping",
        usual={"z_threshold": 2.5, "decay": 0.97, "warmup_steps": 25, "axis_name": None},
        source="Kumar et al., arXiv:2504.02507, section 3",
        year=2025,
        settings={"": Setting(), "early": Setting(arguments={"z_threshold": 0.5, "decay": 0.5, "warmup_steps": 2})},
        fields={
            "count": "updates so far",
            "mean": "running mean of the norm",
            "stddev": "running deviation of the norm",
        },
    ),
    Entry(
        normalize_by_update_norm,
        "piece",
        "norms",
        usual={"scale_factor": 0.5, "eps": 1e-6, "axis_name": None},
        settings={**_same("normalize_by_update_norm"), "exact": Setting(arguments={"scale_factor": -1.0, "eps": 0.0})},
    ),
    Entry(
        scale_by_trust_ratio,
        "piece",
        "norms",
        usual={"min_norm": 0.0, "trust_coefficient": 0.1, "eps": 0.0, "axis_name": None},
        source="You et al., arXiv:1708.03888",
        year=2017,
        settings={
            **_same("scale_by_trust_ratio"),
            "least": Setting(arguments={"min_norm": 0.01, "eps": 1e-6}, optax=Peer("scale_by_trust_ratio")),
        },
        laws={"needs_params": True},
    ),
    Entry(
        centralize,
        "piece",
        "norms",
        usual={"output_axis": -1, "axis_name": None},
        source="Yong et al., arXiv:2004.01461, equation 1",
        year=2020,
        settings={"": Setting(), "first": Setting(arguments={"output_axis": 0}, optax=Peer("centralize"))},
    ),
    Entry(
        zero_nans,
        "piece",
        "norms",
        usual={"axis_name": None},
        settings={
            "": Setting(optax=Peer("zero_nans", differs="optax keeps a flag for each leaf, of the last update."))
        },
        fields={"count": "updates that had a NaN"},
    ),
)
