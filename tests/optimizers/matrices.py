"""How recipes for matrices are compared with their loops: the steps at parameters that stay where they are."""

import numpy as np

from tests.moments.test_moments import matrices
from tests.transforms.agreement import enable_x64, gradients, run, ulps

W = np.linspace(-2, 3, 48, dtype=np.float32)


def steps(tx, shape, dtype):
    """Updates of 1,000 steps, the gradients in float64 and the parameters."""
    gs, w = (gradients() if len(shape) == 1 else matrices()).reshape(-1, *shape), W.reshape(shape)
    with enable_x64(dtype == np.float64):
        return np.asarray(run(tx, gs.astype(dtype), np.asarray(w, dtype))[0]), gs.astype(np.float64), w.astype(float)


def agrees(tx, loop, shape=(6, 8)):
    """The error in float32, in ulp of the step or, where signs cancel, of what the gradients without signs give.

    In float64 the steps are the loop's to 1e-12.
    """
    got, gs, w = steps(tx, shape, np.float32)
    want, size = np.stack([*loop(gs, w)]), np.stack([*loop(np.abs(gs), np.abs(w))])
    wide = steps(tx, shape, np.float64)[0]
    assert np.all(np.abs(wide - want) <= 1e-12 * np.maximum(np.abs(want), np.abs(size)))
    return ulps(got, want, np.abs(size))


def states_bound(factory, bound):
    """Whether the docstring states this bound."""
    return f"Within {bound} ulp of exact arithmetic over 1,000 steps" in " ".join(factory.factory.body.__doc__.split())
