"""What all of Keras' optimizers have around their steps: scaled losses, accumulation, clips, an average."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gradtx.compat.terms import given
from gradtx.compat.words import in_words, require_words
from gradtx.core.chain import chain
from gradtx.core.hyper import Count
from gradtx.core.leaves import map_leaves
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import Term, as_hyper, at, is_schedule, schedule
from gradtx.core.transformation import Transformation, transformation
from gradtx.transforms.basic import scale
from gradtx.transforms.clipping import clip_by_global_norm, clip_by_leaf_norm, clip_by_value
from gradtx.wrappers.accumulate import accumulate
from gradtx.wrappers.average import AverageState, average
from gradtx.wrappers.lookup import only_trained, the_state

RATE = "learning_rate"
REASONS = {
    "decay": ": give learning_rate a schedule, schedules.InverseTimeDecay(rate, 1, decay)",
    "lr": ": it is called learning_rate",
    "var_list": ": the parameters go to tx.init(params)",
    "variables": ": the parameters go to tx.init(params)",
}
in_keras_words = in_words(RATE, REASONS)


@schedule
def at_last_part(value: Term, steps: int):
    """A schedule of all updates, for what runs in the last of every `steps` of them."""
    return lambda step: at(value, jnp.asarray(step) * steps + (steps - 1))


@transformation(any_leaves=True)
def put_average(inner: Transformation, every: Count, parts: Count = 1):
    """Put the average that `average` keeps in place of the parameters.

        w = a      in each update of the last of `every` windows of `parts` updates

    Args:
        inner: a transformation with one `average(...)` in it.
        every: once in this many windows; a whole number, at least 1.
        parts: updates in a window; a whole number, at least 1.

    State: that of `inner`. Its update needs `params`.
    Raises: ValueError: there is no average, or several.
    Source: Keras' `ema_overwrite_frequency`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> from gradtx.compat.keras.around import put_average
        >>> tx, w = put_average(gradtx.average(gradtx.sgd(1.0), 0.5, debias=False), every=1), jnp.array(4.0)
        >>> print(w + tx.update(jnp.array(2.0), tx.init(w), w)[0])  # the mean of 4 and 2
        3.0
    """

    def update(updates, state, params, **extra):
        updates, state = inner.update(updates, state, params, **extra)
        kept = the_state("put_average", AverageState, "average", state)
        due = ((kept.count - 1) // jnp.asarray(parts, jnp.int32) + 1) % jnp.asarray(every, jnp.int32) == 0
        put = map_leaves(lambda u, w, a: jnp.where(due, a - w, u), updates, only_trained(params), kept.average)
        return put, state

    return inner.init, update


def around(
    tx: GradientTransformation,
    clipnorm: Any = None,
    clipvalue: Any = None,
    global_clipnorm: Any = None,
    use_ema: bool = False,
    ema_momentum: Any = 0.99,
    ema_overwrite_frequency: int | None = None,
    loss_scale_factor: Any = None,
    gradient_accumulation_steps: int | None = None,
    name: str | None = None,
) -> GradientTransformation:
    """Keras' order: the scale of the loss, the sum of gradients, a clip, the step, the average of parameters."""
    clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
    if sum(bound is not None for bound in clips.values()) > 1:
        raise ValueError(f"give one of clipnorm, clipvalue and global_clipnorm; got {clips}")
    makers = (clip_by_leaf_norm, clip_by_value, clip_by_global_norm)
    clip = [make(bound) for make, bound in zip(makers, clips.values(), strict=True) if given(bound)]
    if clip:
        tx = chain(*clip, *(tx.members if tx.made_by is chain else (tx,)))
    parts = gradient_accumulation_steps or 1
    if gradient_accumulation_steps:
        if parts < 2:
            raise ValueError(f"gradient_accumulation_steps must be at least 2, or None; got {parts!r}")
        tx = accumulate(tx, parts)
    if loss_scale_factor is not None:
        tx = chain(scale(1.0 / loss_scale_factor), tx)
    if not use_ema and ema_overwrite_frequency is not None:
        raise ValueError("ema_overwrite_frequency has no effect without use_ema=True")
    if use_ema:
        tx = average(tx, ema_momentum, start=parts, debias=False)
    return put_average(tx, ema_overwrite_frequency, parts) if ema_overwrite_frequency else tx


_AROUND = list(inspect.signature(around).parameters.values())[1:]


def optimizer(step: Callable[..., GradientTransformation]) -> Callable[..., GradientTransformation]:
    """An optimizer of Keras from its step: the function takes what all of them take too.

    Keras' order of arguments: those of the step, the common ones, then those of the step that are keyword-only here.
    The step sees a learning rate that follows its own count, also where gradients are collected.
    """
    both = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = list(inspect.signature(step).parameters.values())
    later = [p.replace(kind=both) for p in own if p.kind is p.KEYWORD_ONLY]
    signature = inspect.Signature([p for p in own if p.kind is both] + _AROUND + later)
    common = {p.name for p in _AROUND}

    @functools.wraps(step)
    def called(*args: Any, **kwargs: Any) -> GradientTransformation:
        require_words(step.__name__, signature, RATE, REASONS, args, kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given_to = bound.arguments
        rate, parts = as_hyper(RATE, given_to[RATE]), given_to["gradient_accumulation_steps"]
        if parts and is_schedule(rate):
            rate = at_last_part(rate, int(parts))
        tx = step(**{k: x for k, x in {**given_to, RATE: rate}.items() if k not in common})
        return around(tx, **{k: x for k, x in given_to.items() if k in common})

    called.__dict__["__signature__"] = signature
    return called
