"""Second moments in a state: how large they are, and where they no longer do what they are there for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import bias_correction
from gradtx.core.states import declared_roles
from gradtx.core.trees import flatten, is_trained
from gradtx.inspection.buckets import Buckets, Group, counts, ends
from gradtx.inspection.inside import Record, plain


def measured_moments(buckets: Buckets, row: Record) -> dict[str, list[Group]]:
    """Field -> numbers of the leaves, of what a member divides by after this step.

    Of each leaf: least and largest; alive, the entries that are not zero; dead, those that are zero where the gradient
    is not; dwarfed, those alive whose root is below eps (of members of which it is known how they use eps; else none).
    """
    state = plain(row.state)
    fields = [field for field, role in declared_roles(type(state)).items() if role == "nonnegative"]
    numbers = dict(row.piece.arguments)
    if state is not row.state:
        numbers |= row.state.hyperparameters
    out = {}
    for field in fields:
        leaves = flatten(getattr(state, field))[0]
        if len(leaves) != len(row.before):
            continue
        known = EPS.get((row.piece.name, field))
        inside, outside, weight = known(numbers, state) if known else (0.0, 0.0, 1.0)

        def of(g: Any, v: Any, valid: Any, inside=inside, outside=outside, weight=weight) -> dict[str, Any]:
            corrected = v / jnp.asarray(weight, v.dtype)
            small = (jnp.asarray(inside, v.dtype) > corrected) | (jnp.asarray(outside, v.dtype) > jnp.sqrt(corrected))
            least, largest = ends(v, valid)
            alive, dead, dwarfed = counts(valid, v > 0, (v == 0) & (g != 0), (v > 0) & small)
            return {"least": least, "largest": largest, "alive": alive, "dead": dead, "dwarfed": dwarfed}

        out[field] = buckets.each(of, [_modulus(g) for g in row.before], leaves)
    return out


def _modulus(g: Any) -> Any:
    return jnp.abs(g) if is_trained(g) and jnp.iscomplexobj(g) else g


Use = Callable[[dict[str, Any], Any], tuple[Any, Any, Any]]


def _adam(numbers: dict[str, Any], state: Any) -> tuple[Any, Any, Any]:
    return numbers["eps_root"], numbers["eps"], _weight(numbers["b2"], state)


def _amsgrad(numbers: dict[str, Any], state: Any) -> tuple[Any, Any, Any]:
    inside, outside, weight = _adam(numbers, state)
    return inside, outside, 1.0 if numbers["maximum_of"] == "corrected" else weight


def _rms(numbers: dict[str, Any], state: Any) -> tuple[Any, Any, Any]:
    inside, outside, _ = _root(numbers, state)
    return inside, outside, _weight(numbers["decay"], state) if numbers["bias_correction"] else 1.0


def _root(numbers: dict[str, Any], state: Any) -> tuple[Any, Any, Any]:
    eps = numbers["eps"]
    return (eps, 0.0, 1.0) if numbers["eps_in_sqrt"] else (0.0, eps, 1.0)


def _weight(decay: Any, state: Any) -> jax.Array:
    return bias_correction(decay, state.count, jnp.float32)


EPS: dict[tuple[str, str], Use] = {
    ("scale_by_adam", "nu"): _adam,
    ("scale_by_nadam", "nu"): _adam,
    ("scale_by_amsgrad", "nu_max"): _amsgrad,
    ("scale_by_rms", "nu"): _rms,
    ("scale_by_stddev", "nu"): _root,
    ("accumulate_squares", "sum_of_squares"): _root,
}
"""(member, field): its eps inside the root, its eps outside, and the weights that the moment is divided by."""
