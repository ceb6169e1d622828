"""How far the numbers travel: the calls of gradtx between `tx.update` and the function of a leaf."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import gradtx

PACKAGE = str(Path(gradtx.__file__).parent)
MOST = 8
INSIDE_ON_LEAF = {"<genexpr>", "<listcomp>", "float_dtype", "at_width", "_cast", "_stored"}


def frames_to_the_leaf(run):
    """The names of gradtx's functions from the first call to each function of a leaf, which `map_leaves` calls."""
    paths = []

    def own(frame):
        while frame is not None:
            if frame.f_code.co_filename.startswith(PACKAGE):
                yield frame.f_code
            frame = frame.f_back

    def profile(frame, event, _):
        if event == "call":
            stack = list(own(frame))
            if len(stack) > 1 and stack[1].co_name == "on_leaf" and stack[0].co_name not in INSIDE_ON_LEAF:
                paths.append([code.co_qualname for code in reversed(stack)])

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return paths


@pytest.mark.parametrize("schedule", [False, True])
@pytest.mark.parametrize("traced", [False, True])
def test_a_common_chain_takes_few_calls_to_its_leaves(schedule, traced):
    rate = gradtx.linear_schedule(1e-3, 1e-4, 100) if schedule else 1e-3
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(rate))
    params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
    state = tx.init(params)
    update = (
        (lambda: jax.jit(tx.update).lower(params, state, params))
        if traced
        else lambda: tx.update(params, state, params)
    )
    paths = frames_to_the_leaf(update)
    assert {path[0] for path in paths} == {"GradientTransformation.update"}
    assert len(paths) >= 4  # the clip, Adam, the decay and the rate
    longest = max(paths, key=len)
    assert len(longest) - 1 <= MOST, " > ".join(longest)
