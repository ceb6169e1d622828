"""Cases of clipping, norms and noise."""

import gradtx
from tests.contract.adding import NEEDS_PARAMS, add

for policy in ("skip", "zero", "raise"):
    add(f"clip_by_global_norm-{policy}", gradtx.clip_by_global_norm, max_norm=0.5, nonfinite=policy, axis_name=None)
add("clip_by_leaf_norm", gradtx.clip_by_leaf_norm, max_norm=0.5, axis_name=None)
add("clip_by_block_rms", gradtx.clip_by_block_rms, threshold=0.5, axis_name=None)
adaptive = {"case": NEEDS_PARAMS, "clipping": 0.1, "eps": 1e-3, "axis_name": None}
add("adaptive_grad_clip", gradtx.adaptive_grad_clip, axis=None, **adaptive)
add("adaptive_grad_clip-axis", gradtx.adaptive_grad_clip, axis=(-1,), **adaptive)
add("clip_by_z_score", gradtx.clip_by_z_score, z_threshold=2.5, decay=0.97, warmup_steps=25, axis_name=None)
add("clip_by_z_score-early", gradtx.clip_by_z_score, z_threshold=0.5, decay=0.5, warmup_steps=2, axis_name=None)
add("normalize_by_update_norm", gradtx.normalize_by_update_norm, scale_factor=0.5, eps=1e-6, axis_name=None)
add("normalize_by_update_norm-exact", gradtx.normalize_by_update_norm, scale_factor=-1.0, eps=0.0, axis_name=None)
trust = {"case": NEEDS_PARAMS, "trust_coefficient": 0.1, "axis_name": None}
add("scale_by_trust_ratio", gradtx.scale_by_trust_ratio, min_norm=0.0, eps=0.0, **trust)
add("scale_by_trust_ratio-least", gradtx.scale_by_trust_ratio, min_norm=0.01, eps=1e-6, **trust)
add("centralize", gradtx.centralize, output_axis=-1, axis_name=None)
add("centralize-first", gradtx.centralize, output_axis=0, axis_name=None)
add("zero_nans", gradtx.zero_nans, axis_name=None)
add("add_noise", gradtx.add_noise, eta=0.01, gamma=0.55, seed=3)
