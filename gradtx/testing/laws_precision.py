"""Laws of precision: counters do not wrap, and no number is rounded to a shorter type on its way."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import flatten, is_trained
from gradtx.double_precision import double_precision
from gradtx.testing.case import Case, cast, like_or_self
from gradtx.testing.compare import BrokenError, SkippedError, all_finite, is_key, named, near, stacked
from gradtx.testing.law import law

RUNS = ("traceable", "updates_fit", "state_types")

SINGLE = 1e-4  # of the largest entry: float16 rounds by up to 5e-4, and float32 leaves room for a thousand roundings
COUNTER_BITS = 31
STEPS = 16  # what counts to a smaller number is taken for a place in a ring


@law()
def state_is_arrays(case: Case) -> None:
    """The state of init has arrays for leaves: a Python number would be another type after the first jitted step."""
    for name, leaf in named(case.init(case.params)):
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic):
            raise BrokenError(
                f"the state of init at {name} is the {type(leaf).__name__} {leaf!r}; an array was expected"
            )


@law(after=(*RUNS, "state_is_arrays"))
def counters_do_not_wrap(case: Case) -> None:
    """Counters have 31 bits or more, and a counter at its largest value stays there with finite updates."""
    state, params, seen = case.init(case.params), case.params, []
    gradients = case.gradients(STEPS)
    for grads in gradients:
        seen.append(dict(named(state)))
        _, state, params = case.step(grads, state, params)
    seen.append(dict(named(state)))
    counters = {name: seen[0][name].dtype for name in seen[0] if _counts([each[name] for each in seen])}
    for name, dtype in counters.items():
        if jnp.iinfo(dtype).bits < COUNTER_BITS:
            raise BrokenError(f"the counter of the state at {name} is {dtype}; int32 or wider was expected")
    if not counters:
        raise SkippedError("its state does not count steps")
    most = {name: jnp.full((), jnp.iinfo(dtype).max, dtype) for name, dtype in counters.items()}
    leaves, structure = flatten(state)
    names = iter([name for name, _ in named(state)])
    full = jax.tree.unflatten(structure, [x if x is None else most.get(next(names), x) for x in leaves])
    updates, after, _ = case.step(gradients[0], full, params)
    for name, leaf in named(after):
        if name in most and int(leaf) < 0:
            raise BrokenError(
                f"the counter of the state at {name} goes from {most[name]} to {leaf}: stop there, as in "
                f"jnp.where(count < {most[name]}, count + 1, count)"
            )
    all_finite("the update with counters at their largest value", updates)


def _counts(values: list) -> bool:
    """Whether these values of a leaf of the state are those of a counter: whole numbers that rise by one, or rest."""
    if np.shape(values[0]) or is_key(values[0]) or not jnp.issubdtype(values[0].dtype, jnp.integer):
        return False
    rises = np.diff([int(value) for value in values])
    return bool(set(rises) <= {0, 1} and rises.any())


@law(after=RUNS)
def single_precision(case: Case) -> None:
    """Steps in float32 are those in float64, to float32's rounding: nothing goes through a shorter type."""
    _require_floats(case)
    _require_no_chance(case)
    _require_full_state(case)
    gradients = case.gradients(4)
    history, _, _ = case.run(gradients)
    with double_precision():
        wide, _, _ = case.run([cast(grads, "float64") for grads in gradients], params=cast(case.params, "float64"))
    for (name, came), (_, want), (_, p) in zip(
        named(stacked(history)), named(stacked(wide)), named(case.params), strict=True
    ):
        # An update may be the difference of two parameters, which have their own rounding.
        room = SINGLE * np.max(np.abs(want), initial=0.0) + 16 * float(jnp.finfo(jnp.float32).eps) * np.max(np.abs(p))
        off = np.abs(came.astype(want.dtype) - want)
        if np.max(off, initial=0.0) > room:
            raise BrokenError(f"the float32 update at {name} is {np.max(off):.1e} away from the float64 update")


@law(after=RUNS)
def double_precision_is_kept(case: Case) -> None:
    """With float64 parameters and gradients, updates follow changes of gradients that float32 does not see."""
    _require_floats(case)
    with double_precision():
        params = cast(case.params, "float64")
        gradients = [cast(grads, "float64") for grads in case.gradients(4)]
        came, *coarse, fine = (
            stacked(case.run(_changed(gradients, size), params=params)[0]) for size in (0.0, *COARSE, FINE)
        )
    rows = zip(named(came), *map(named, coarse), named(fine), strict=True)
    for (name, a), *others in rows:
        *b, c = (x for _, x in others)
        most = 2.0**-18 * np.max(np.abs(a), initial=0.0)
        follows = all(np.max(np.abs(np.asarray(x) - a), initial=0.0) > most for x in b)
        if follows and np.array_equal(a, c):
            raise BrokenError(
                f"the float64 update at {name} does not change when gradients change by {FINE:.0e}: "
                f"it is computed in a shorter type"
            )


# An update that follows both coarse changes is not a sign, which one of them may flip; bfloat16 sees both.
COARSE, FINE = (2.0**-4, 2.0**-6), 2.0**-32


def _changed(gradients: list, size: float) -> list:
    """The gradients after the first, each entry changed by some part of this size."""

    def leaf(g: jax.Array) -> jax.Array:
        return g * (1 + size * jnp.asarray(np.cos(1.0 + np.arange(g.size)).reshape(g.shape)))

    return [gradients[0], *(like_or_self(grads, leaf) for grads in gradients[1:])]


@law(after=RUNS)
def complex_numbers_turn(case: Case) -> None:
    """Complex parameters and gradients times i give updates times i: no part is dropped or treated by itself."""
    if not case.complex_leaves:
        raise SkippedError("complex parameters make no sense for it")
    if case.extras:
        raise SkippedError("its extra arguments belong to its own parameters")
    _require_no_chance(case)
    _require_full_state(case)
    params = cast(case.params, "complex64")
    gradients = case.gradients(3, params)
    history, _, _ = case.run(gradients, params=params)
    turned, _, _ = case.run([_turned(grads) for grads in gradients], params=_turned(params))
    near("the update of what is turned by i", stacked(turned), jax.tree.map(lambda u: u * 1j, stacked(history)))


def _turned(tree: Any) -> Any:
    return like_or_self(tree, lambda x: x * jnp.asarray(1j, x.dtype))


def _require_floats(case: Case) -> None:
    types = {jnp.result_type(p) for p in jax.tree.leaves(case.params) if is_trained(p)}
    if types != {jnp.dtype("float32")}:
        raise SkippedError("its parameters are not float32")


def _require_no_chance(case: Case) -> None:
    """Random numbers of another type are other numbers."""
    for leaf in jax.tree.leaves(jax.eval_shape(case.init, case.params)):
        if is_key(leaf) or (leaf.dtype == jnp.uint32 and leaf.shape == (2,)):
            raise SkippedError("its state has a random key")


def _require_full_state(case: Case) -> None:
    if case.is_coarse:
        raise SkippedError("it keeps numbers in fewer bits on purpose")
