"""What a law is tried on: a transformation, trees to feed it, and the ways in which it differs from others."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.leaves import apply_updates
from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.core.transformation import as_transformation, foreign
from gradtx.core.trees import is_none, is_trained
from gradtx.storage.codec import Codec


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A transformation and what the laws must know of it.

    tx: a gradtx value, an optax transformation, or a bare pair `(init, update)`.
    params: the parameters that it is tried on; a small float32 tree unless given.
    grads: gradients of a usual size for them; normal draws unless given.
    extras: what each update is given besides, by name.
    needs_params: whether update refuses to work without params; None where that is not known.
    complex_leaves: whether complex parameters make sense; `check` tries them on gradtx's values unless told.
    smooth: whether steps depend smoothly on gradients, so that derivatives agree with finite differences.
    differentiable: whether a derivative can be taken through steps; False where that is an error; None if not known.
    any_tree: whether it takes any parameters; False where its rules or masks fit these alone.
    takes_rows: whether row-sparse gradients make sense for it; False where it refuses them on purpose.
    rounds: whether it keeps numbers in fewer bits on purpose, as codes of blocks or by chance; None if not known.
    neutral: a transformation from which this one must not differ, to the bit; None where there is none.
    namespace: names that `repr(tx)` uses besides gradtx's own.
    """

    tx: Any
    params: Any = None
    grads: Any = None
    extras: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    needs_params: bool | None = None
    complex_leaves: bool = False
    smooth: bool = False
    differentiable: bool | None = None
    any_tree: bool = True
    takes_rows: bool = True
    rounds: bool | None = None
    neutral: Any = None
    namespace: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        params = plain_params() if self.params is None else self.params
        object.__setattr__(self, "params", like_or_self(params, lambda p: jnp.asarray(p, jnp.result_type(p))))

    @property
    def is_value(self) -> bool:
        """Whether the transformation is one of gradtx's, which are values."""
        return isinstance(self.tx, GradientTransformation)

    @property
    def holds_foreign(self) -> bool:
        """Whether another library's transformation is inside, for which gradtx cannot answer."""
        return any(not is_transformation(x) or x.name == foreign.__name__ for x in self.inside)

    @property
    def inside(self) -> list:
        """The piece that the transformation stands for, and all that are inside it; what is not gradtx's as it is."""

        def walked(tx: Any) -> list:
            if not is_transformation(tx):
                return [tx]
            return [tx.piece, *(y for x in tx.piece.children.values() if is_transformation(x) for y in walked(x))]

        return walked(self.tx)

    @property
    def is_coarse(self) -> bool:
        """Whether it keeps numbers in fewer bits on purpose: as `rounds` says, or what is inside it."""
        if self.rounds is not None:
            return self.rounds
        pieces = [x for x in self.inside if is_transformation(x)]
        codecs = any(isinstance(argument, Codec) for piece in pieces for argument in piece.arguments.values())
        return codecs or any(piece.traits.sets_params for piece in pieces)

    def has(self, trait: str) -> bool:
        """Whether the transformation, and everything inside it, declares a trait."""
        return bool(getattr(as_transformation("tx", self.tx).traits, trait))

    @property
    def init(self) -> Any:
        """The transformation's init."""
        return next(iter(self.tx))

    def update(self, updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        """The transformation's update, with the extra arguments of this case."""
        return tuple(self.tx)[1](updates, state, params, **self.extras)

    def with_tx(self, tx: Any) -> Case:
        """The same case for another transformation."""
        return dataclasses.replace(self, tx=tx)

    @functools.cached_property
    def step(self) -> Any:
        """`step(grads, state, params)`, jitted once for all laws: the update, the next state and parameters."""
        return jax.jit(self.eager_step)

    def eager_step(self, grads: Any, state: Any, params: Any) -> tuple[Any, Any, Any]:
        """One step without jit: the update, the next state, the next parameters."""
        updates, state = self.update(grads, state, params)
        return updates, state, apply_updates(params, updates)

    def run(self, gradients: list, state: Any = None, params: Any = None, *, jit: bool = True) -> tuple[list, Any, Any]:
        """Step through some gradients: the updates of every step, the last state, the last parameters."""
        params = self.params if params is None else params
        state = self.init(params) if state is None else state
        step, history = self.step if jit else self.eager_step, []
        for grads in gradients:
            updates, state, params = step(grads, state, params)
            history.append(updates)
        return history, state, params

    def gradients(self, steps: int, params: Any = None, seed: int = 0) -> list:
        """Gradients for some steps, in the types of the parameters: the same ones for the same seed."""
        random = np.random.default_rng(seed)
        if self.grads is not None and params is None:
            return [_times(self.grads, float(random.normal())) for _ in range(steps)]
        return [like(self.params if params is None else params, lambda p: normal(random, p)) for _ in range(steps)]


def plain_params() -> Any:
    """A small tree of float32 leaves: a scalar, and a matrix at `layers/0/w`."""
    w = jnp.asarray([[1.0, -2.0], [0.25, 3.0], [-0.5, 0.125]], jnp.float32)
    return {"gain": jnp.asarray(1.5, jnp.float32), "layers": [{"w": w}]}


def like(params: Any, make: Any) -> Any:
    """A tree like the parameters, of `make(p)` for trained leaves, and zeros (or None) for those that are not."""

    def leaf(p: Any) -> Any:
        if is_trained(p):
            return make(p)
        if p is None or not isinstance(p, jax.Array | np.ndarray) or jnp.issubdtype(p.dtype, jax.dtypes.extended):
            return None
        return np.zeros_like(p)

    return jax.tree.map(leaf, params, is_leaf=is_none)


def normal(random: np.random.Generator, p: Any) -> jax.Array:
    """Normal draws of the shape and type of a leaf."""
    dtype, shape = jnp.result_type(p), np.shape(p)
    draws = random.normal(size=shape)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        draws = draws + 1j * random.normal(size=shape)
    return jnp.asarray(draws, dtype)


def as_constants(tree: Any) -> Any:
    """The tree as constants of the program that is traced, and not as values which the program is given."""
    return like_or_self(tree, np.asarray)


def cast(tree: Any, dtype: Any) -> Any:
    """The tree with its trained leaves in another type."""
    return like_or_self(tree, lambda p: jnp.asarray(np.asarray(p).astype(dtype)))


def typed(tree: Any, dtype: Any) -> Any:
    """The shapes of the tree, with its trained leaves in another type: for what is traced and not run."""
    return like_or_self(tree, lambda p: jax.ShapeDtypeStruct(np.shape(p), dtype))


def like_or_self(tree: Any, make: Any) -> Any:
    """The tree with `make(p)` for trained leaves; all others stay."""
    return jax.tree.map(lambda p: make(p) if is_trained(p) else p, tree, is_leaf=is_none)


def _times(tree: Any, factor: float) -> Any:
    return like_or_self(tree, lambda g: jnp.asarray(g) * jnp.asarray(factor, jnp.result_type(g)))
