"""`store`: the state of any transformation in fewer bytes, decoded only inside the update."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.numerics import increment, zero_count
from gradtx.core.states import ROLES
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, is_none, is_trained, path_name, shape_of
from gradtx.errors import INSTEAD, one_of, suggestion, whole
from gradtx.placement import move_codes, owner_index
from gradtx.storage.codec import Codec, require_codec
from gradtx.storage.encode import decoded_field, encoded, seed, stored, supports
from gradtx.storage.fields import Stored, StoreState, given_role, map_fields

__all__ = ["StoreState", "store"]

for _name in ("mu_dtype", "accumulator_dtype", "state_dtype"):
    INSTEAD[_name] = "store(tx, gradtx.storage.bfloat16()) keeps moments in fewer bytes"


@transformation(any_leaves=True)
def store(inner: Transformation, codec: Codec, *, min_size: int = 4096, roles: Mapping[str, str] | None = None):
    """Keep the parameter-shaped part of a state in fewer bytes, as a codec encodes it.

    An update decodes the state, runs the transformation, and encodes the new state; under jit no decoded copy remains.
    Each piece declares what its fields hold. "signed": numbers of both signs, which may be rounded to zero.
    "nonnegative": means of squares, which never become zero. "magnitude": divisors that are not squares; codecs get
    their squares as "nonnegative". "exact": numbers that must not be rounded, as copies of parameters.

    Under jit, init makes the codes directly; outside, it makes the whole state first. Codes have no derivative. Numbers
    that share a scale share a NaN: one NaN in a gradient makes its block NaN (with `factored`, its matrix), so put
    `skip_nonfinite` outside. On a mesh with Explicit axes a block must lie on one device, or be a whole row.

    Args:
        inner: any transformation, also a chain or wrapper, or one of another library with `roles`.
        codec: one of `gradtx.storage`: `float32()`, `bfloat16()`, `int8()`, `int4()`, `float8()`, `factored()`,
            `offloaded()`; or your own, see `gradtx.storage.Codec`.
        min_size: leaves with fewer entries, and scalars, are not encoded; a whole number, at least 0.
        roles: roles for fields that declare none, or to replace a declared one: {"mu": "signed", "nu": "nonnegative",
            "z": "exact"}, by
            name or by the end of the path. In a piece of your own, annotate the field: `mu: gradtx.storage.Signed`.

    State: `StoreState`. A field with a role is a `Stored` (exact, codes, scales), three trees like the parameters.
    Raises:
        TypeError: `codec` is not a codec, or integers are given a role. ValueError: `min_size` is below 0, a role is
            unknown, or its field does not exist; at init: a large field like the parameters has no role; at an update:
            a gradient does not fit the state.
    Source: Dettmers, Lewis, Shleifer & Zettlemoyer 2022 (arXiv:2110.02861), where Adam and momentum are optimizers of
        their own. Not in optax or torch.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> tx = gradtx.store(gradtx.adam(1e-3), gradtx.storage.int8())
        >>> state = jax.eval_shape(tx.init, jnp.zeros((1024, 1024)))
        >>> round(sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state)) / 1024**2, 2)
        2.02
    """
    require_codec(codec=codec)
    whole(0, min_size=min_size)
    given = dict(roles or {})
    for name, role in given.items():
        one_of(ROLES, **{f"the role of {name}": role})

    def init(params):
        state, owner, salt = inner.init(params), _owners(params), itertools.count()
        if given:
            _require_fields(given, state, params)

        def bare(path, leaf):
            if _mirrors(leaf, owner(path), min_size):
                raise ValueError(_undeclared(path))
            return leaf

        def field(path, tree, role):
            _require_numbers(given, path, tree, role)

            def coded(end, x):
                fits = _mirrors(x, owner((*path, *end)), min_size)
                if not (fits and supports(codec, role, x)):
                    return None
                return encoded(codec, role, (*path, *end), x, seed(np.uint32(0), salt))

            return tree if role == "exact" else stored(tree, coded)

        return move_codes(StoreState(zero_count(), map_fields(field, bare, state, given)), params)

    def update(updates, state, params=None, **extra):
        owner, count, salt = _owners(updates), increment(state.count), itertools.count()
        step = count.astype(jnp.uint32)
        codes: dict[tuple, list] = {}  # of each field, as it was

        def decoded(path, kept, role):
            if not isinstance(kept, Stored):
                return kept
            codes[path] = flatten(kept.codes)[0]
            return decoded_field(codec, role, path, kept, owner)

        def coded_again(path, tree, role):
            if path not in codes:
                return tree
            had = iter(codes[path])

            def coded(end, x):
                return None if next(had) is None else encoded(codec, role, (*path, *end), x, seed(step, salt))

            return stored(tree, coded)

        whole_state = map_fields(decoded, _as_it_is, state.inner, given)
        updates, after = inner.update(updates, whole_state, params, **extra)
        return updates, StoreState(count, map_fields(coded_again, _as_it_is, after, given))

    return init, update


def _owners(tree: Any) -> Callable[[tuple], Any]:
    """A function: path in a state -> the leaf of the tree that it belongs to, or None."""
    place, leaves = owner_index(tree), flatten(tree)[0]

    def owner(path: tuple) -> Any:
        k = place(path)
        return None if k is None else leaves[k]

    return owner


def _mirrors(x: Any, owner: Any, min_size: int) -> bool:
    """Whether x has the shape of its parameter, and is large enough to be encoded."""
    if not (is_trained(x) and is_trained(owner)) or shape_of(x) != shape_of(owner):
        return False
    if jnp.finfo(jnp.result_type(x)).bits < 32:  # it is rounded already
        return False
    return bool(shape_of(x)) and math.prod(shape_of(x)) >= max(min_size, 1)


def _require_fields(given: Mapping[str, str], state: Any, params: Any) -> None:
    """Raise where a role is given for a field that the state does not have. An empty tree tells nothing."""
    if not any(map(is_trained, jax.tree.leaves(params))):
        return
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(state, is_leaf=is_none)[0]]
    names = {path_name(path[:k]) for path in paths for k in range(1, len(path) + 1)}
    for end in given:
        if not any(name == end or name.endswith(f"/{end}") for name in names):
            ends = {name.rsplit("/", 1)[-1] for name in names}
            raise ValueError(f"roles: the state has no field {end!r}{suggestion(end, ends)}")


def _require_numbers(given: Mapping[str, str], path: tuple, tree: Any, role: str) -> None:
    """Raise where the user gave a role to a field that no codec encodes: a count, a key."""
    leaves = jax.tree.leaves(tree)
    if role == "exact" or not leaves or any(map(is_trained, leaves)) or given_role(given, path) is None:
        return
    raise TypeError(
        f"roles: {path_name(path)} is {jnp.result_type(leaves[0])}, but codecs encode only real and complex numbers: "
        f"give it no role, or 'exact'"
    )


def _undeclared(path: tuple) -> str:
    return (
        f"the state at {path_name(path)} has the shape of its parameter, and its field has no role: annotate the field "
        f"in the class of the state (gradtx.storage.Signed, NonNegative, Magnitude or Exact), or give roles={{name: "
        f"'signed', 'nonnegative', 'magnitude' or 'exact'}}"
    )


def _as_it_is(path: tuple, leaf: Any) -> Any:
    return leaf
