"""L-BFGS with a line search, for full batches."""

from __future__ import annotations

from typing import Annotated, Any

from gradtx.core.chain import chain
from gradtx.core.factory import Leaves
from gradtx.core.norms import AxisName
from gradtx.core.schedule import Hyper
from gradtx.core.transformation import as_transformation, transformation
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.transforms.lbfgs import scale_by_lbfgs
from gradtx.transforms.zoom import scale_by_zoom_linesearch


def _transformation_or_none(name: str, value: Any) -> Any:
    return None if value is None else as_transformation(name, value)


_ZOOM = scale_by_zoom_linesearch(20, initial_guess_strategy="one")


@transformation
def lbfgs(
    learning_rate: Hyper | None = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: Annotated[Any, Leaves(_transformation_or_none)] = _ZOOM,
    *,
    axis_name: AxisName = None,
):
    """L-BFGS: `scale_by_lbfgs`, the rate with the minus of descent, then a line search. For full batches.

    Call update under jit. At the optimum no step lowers the value any more: `info.failed` in the state of the search
    says so.

    Args:
        learning_rate: at least 0; None for 1. With a line search it only scales the first guess: leave it None.
        memory_size, scale_init_precond: as in `scale_by_lbfgs`.
        linesearch: a transformation that comes last: `scale_by_zoom_linesearch` with 20 points and a first guess of 1
            if not given, or `scale_by_backtracking_linesearch`; None for the rate alone.
        axis_name: as in `scale_by_lbfgs`; one of these searches that has none takes it from here, and
            `scale_by_zoom_linesearch` says what value_fn must then return.

    State: a chain's dict: `ScaleByLbfgsState`, and that of the search. Its update needs `params`, and with a search by
        keyword `value`, `grad` and `value_fn`, a function of the parameters.
    Raises: ValueError: a search with another axis_name; and as `scale_by_lbfgs`.
    Source: Liu & Nocedal 1989 (doi:10.1007/BF01589116). As optax's.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> f, tx = lambda w: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2, gradtx.lbfgs()
        >>> @jax.jit
        ... def step(w, state):
        ...     value, grad = gradtx.value_and_grad_from_state(f)(w, state=state)
        ...     updates, state = tx.update(grad, state, w, value=value, grad=grad, value_fn=f)
        ...     return gradtx.apply_updates(w, updates), state
        >>> w = jnp.array([-1.2, 1.0])
        >>> state = tx.init(w)
        >>> for _ in range(50):
        ...     w, state = step(w, state)
        >>> print(w)
        [1. 1.]
    """
    rate = scale(-1.0) if learning_rate is None else scale_by_learning_rate(learning_rate)
    directions = scale_by_lbfgs(memory_size, scale_init_precond, axis_name=axis_name)
    of_search = getattr(linesearch, "axis_name", axis_name)
    if of_search not in (None, axis_name):
        raise ValueError(f"the linesearch has axis_name={of_search!r}, lbfgs {axis_name!r}: give both the same")
    if of_search != axis_name:
        linesearch = linesearch.replace(axis_name=axis_name)
    return chain(directions, rate, *([] if linesearch is None else [linesearch]))
