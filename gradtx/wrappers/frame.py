"""A transformation in other coordinates."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.numerics import increment, zero_count
from gradtx.core.pair import require_changeable
from gradtx.core.traits import Closures, Group
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, is_trained, require_same_tree
from gradtx.errors import one_of
from gradtx.frames.carry import TURNED, carried
from gradtx.frames.frame import Frame, identity, require_frame
from gradtx.frames.leaves import carry_leaf, learn_leaf, refresh_leaf
from gradtx.frames.trees import bases_of, first_bases, into_frame, out_of_frame, outside, taken
from gradtx.wrappers.conditional import only_where

_OUTSIDE = {"grad", "grad_fn", "value_fn"}
_BELONGS = "which belongs to the coordinates that the parameters have outside of the frame"


class InFrameState(NamedTuple):
    """The state of `in_frame`.

    count: updates so far, int32 scalar; 0 at init.
    basis: what the coordinates depend on, for each leaf that the frame takes; None for frames that never change.
    inner: the inner transformation's state, for leaves in the coordinates of the frame.
    """

    count: jax.Array
    basis: Any
    inner: Any


@transformation(words={"in": "into the frame", "out": "out of the frame"})
def in_frame(inner: Transformation, frame: Frame, *, carry: str | None = None):
    """Run a transformation in other coordinates: as matrices, as real and imaginary parts, in a basis.

        u = out(inner(into(g)))

    The inner transformation gets the parameters in these coordinates too. What depends on the coordinates that the
    parameters have outside belongs outside: weight decay may stand on either side, a trust ratio of whole leaves may
    not. Leaves that the frame does not take pass as they are. `store` goes inside where the frame changes the shape of
    leaves, since outside it encodes only what is like the parameters.

    When the basis of a frame changes, the inner state is carried into the new coordinates by the roles that its fields
    declare, whatever the transformation is; for a change y → Rᵀ·y:

        Signed, Exact                Rᵀ·y            exact, so momentum inside a frame is momentum outside
        NonNegative                  (R∘R)ᵀ·y        the new diagonal of a covariance that was diagonal
        Magnitude, ExactMagnitude    √((R∘R)ᵀ·y²)    the same for its square root

    Args:
        inner: the transformation.
        frame: a frame of `gradtx.frames`, or one of your own: `gradtx.frames.Frame`.
        carry: "turn": every field as above. "turn_signed": only Signed and Exact ones; the others stay, as in the paper
            of SOAP. "keep": the inner state stays as it is, as in the paper of GaLore. None: what is usual for the
            frame.

    State: `InFrameState`.
    Raises:
        TypeError: `frame` is not a frame; a transformation inside needs `value_fn`, `grad_fn` or `grad`, which belong
            to the coordinates outside. ValueError: `carry` is another word, or the frame cannot do it; naming the leaf:
            the frame cannot take it, or a field of the state cannot be carried.
    Source: the idea of Vyas et al. 2024 (arXiv:2409.11321), SOAP, and Zhao et al. 2024 (arXiv:2403.03507), GaLore,
        apart from their Adam and their bases. Not in optax, torch or Keras.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.in_frame(gradtx.normalize_by_update_norm(), gradtx.frames.matrices(rows=None))
        >>> z = jnp.full((2, 2, 1), 3.0)
        >>> print(tx.update(z, tx.init(z))[0].ravel().round(3))
        [0.5 0.5 0.5 0.5]
    """
    inside = Inside("in_frame", inner, frame, carry)

    def update(updates, state, params=None, **extra):
        seen, state = inside.update(updates, state, params, **extra)
        return out_of_frame(frame, seen.mine, seen.bases, seen.updates, updates), state

    def leaf_groups(params):
        leaves = flatten(params)[0]
        return {k: Group(frame.words(outside(x)), inner) for k, x in enumerate(leaves) if is_trained(x)}

    return Closures(inside.init, update, leaf_groups=leaf_groups if type(frame).words is not Frame.words else None)


class Seen(NamedTuple):
    """What came out of a transformation inside a frame.

    updates: a tree in the coordinates of the frame. mine: for each leaf, whether the frame takes it. bases: its basis.
    """

    updates: Any
    mine: list[bool]
    bases: list


class Inside:
    """A transformation inside a frame, whose updates stay in the coordinates of the frame."""

    def __init__(self, who: str, inner: Any, frame: Frame, carry: str | None = None):
        require_frame(**{"frame" if who == "in_frame" else "through": frame})
        require_changeable(who, inner)
        manner = frame.carries[0] if carry is None else carry
        one_of(tuple(TURNED), carry=manner)
        if manner not in frame.carries:
            raise ValueError(f"{frame!r} cannot do carry={manner!r}; it can do {' or '.join(frame.carries)}")
        if not _is_still(frame):
            _require_inside(who, inner)
        self._who, self._inner, self._frame, self._roles = who, inner, frame, TURNED[manner]

    def init(self, params: Any) -> InFrameState:
        """The state before the first step."""
        frame, bases = self._frame, first_bases(self._who, self._frame, params)
        mine, found = taken(self._who, frame, params), flatten(params)[1].flatten_up_to(bases)
        inside = into_frame(frame, mine, found, params, first=True)
        state = self._inner.init(inside)
        if frame.period is not None and self._roles:
            carried(state, _only(mine, inside), self._roles)
        return InFrameState(zero_count(), bases, state)

    def update(self, updates: Any, state: InFrameState, params: Any, **extra: Any) -> tuple[Seen, InFrameState]:
        """What came out inside, and the next state."""
        who, inner, frame = self._who, self._inner, self._frame
        given = extra if _is_still(frame) else _within(who, inner, extra)
        mine, bases = taken(who, frame, updates), bases_of(who, state.basis, frame, updates)
        bases, inner_state = _turned(frame, self._roles, mine, bases, updates, state)
        inside = into_frame(frame, mine, bases, updates)
        params = None if params is None else into_frame(frame, mine, bases, params)
        came, inner_state = inner.update(inside, inner_state, params, **given)
        require_same_tree("update in the frame", came, "gradient in the frame", inside)
        basis = jax.tree.unflatten(flatten(updates)[1], bases)
        return Seen(came, mine, bases), InFrameState(increment(state.count), basis, inner_state)


def _turned(
    frame: Frame, roles: tuple[str, ...], mine: list[bool], bases: list, updates: Any, state: InFrameState
) -> tuple[list, Any]:
    """The bases after these updates, and the inner state in them."""
    if frame.period is None:
        return bases, state.inner
    leaves, structure = flatten(updates)
    shapes = [outside(g) if own else None for own, g in zip(mine, leaves, strict=True)]
    rows = zip(mine, bases, leaves, strict=True)
    bases = [learn_leaf(frame, basis, jnp.asarray(g)) if own else None for own, basis, g in rows]
    fields: list[tuple[str, int, jax.Array]] = []

    def collect(role: str, k: int, y: jax.Array) -> jax.Array:
        fields.append((role, k, y))
        return y

    inside = into_frame(frame, mine, bases, jax.tree.unflatten(structure, shapes)) if roles else None
    if roles:
        carried(state.inner, inside, roles, collect)
    first, turned = state.count == 0, [y for _, _, y in fields]
    for phase, places in _phases(frame, shapes).items():
        own = [j for j, (_, k, _) in enumerate(fields) if k in places]

        def anew(places: list[int] = places, own: list[int] = own) -> tuple[tuple, tuple[list, list]]:
            new = {k: refresh_leaf(frame, bases[k], jnp.asarray(leaves[k]), first) for k in places}
            rows = [fields[j] for j in own]
            return (), (
                [*new.values()],
                [carry_leaf(frame, shapes[k], role, y, bases[k], new[k]) for role, k, y in rows],
            )

        due = (state.count + phase) % frame.period == 0
        due = first | due if phase else due
        _, (new, ys) = only_where(due, anew, tuple, ([bases[k] for k in places], [turned[j] for j in own]))
        for where, values, into in ((places, new, bases), (own, ys, turned)):
            for k, x in zip(where, values, strict=True):
                into[k] = x
    left = iter(turned)
    return bases, carried(state.inner, inside, roles, lambda *_: next(left)) if roles else state.inner


def _phases(frame: Frame, shapes: list) -> dict[int, list[int]]:
    """The leaves that are refreshed in the same steps: by phase, their places."""
    out: dict[int, list[int]] = {}
    for k, shape in enumerate(shapes):
        if shape is not None:
            out.setdefault(frame.phase(shape) % (frame.period or 1), []).append(k)
    return out


def _is_still(frame: Frame) -> bool:
    return frame == identity()


def _only(mine: list[bool], tree: Any) -> Any:
    leaves, structure = flatten(tree)
    return jax.tree.unflatten(structure, [x if own else None for own, x in zip(mine, leaves, strict=True)])


def _require_inside(whose: str, inner: Any) -> None:
    """Raise TypeError if something inside needs what belongs to the coordinates outside."""
    for name in _OUTSIDE & inner.extras.needed.keys():
        who = inner.extras.needed[name]
        raise TypeError(f"{whose}: {who} needs {name}, {_BELONGS}: put {who} around {whose}(...)")


def _within(who: str, inner: Any, extra: dict[str, Any]) -> dict[str, Any]:
    """The extra arguments for the inner transformation: none that belong to the coordinates outside."""
    for name in _OUTSIDE & extra.keys():
        if extra[name] is not None and (inner.extras.anything or name in inner.extras.known):
            raise TypeError(f"{who}: {name} was given for {inner.name}, {_BELONGS}: leave it out")
    return {name: value for name, value in extra.items() if name not in _OUTSIDE}
