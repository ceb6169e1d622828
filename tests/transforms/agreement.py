"""How the family files compare a transformation with its reference: one scan, one set of gradients, one measure.

The measure. An entry of an update is off by |u - u64|, counted in units in the last place (ulp) of float32 at the size
of the step: the larger of |u64| and the step that the same gradients without their signs would give. So where nothing
cancels it is the error in ulp of the result itself; where a running sum of many signs passes near zero, it is the error
against the terms that were summed, without which a float64 sum would fail too. Differences below the smallest normal
number of float32 (1.2e-38) count as none, since the processor may flush those to zero.
"""

import functools
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

STEPS = 1000

# The bounds over 1,000 steps are those of programs as users have them; the others compile faster, and round otherwise.
AS_USERS: dict[str, Any] = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
if "xla_cpu_use_fusion_emitters" in os.environ["GRADTX_TEST_FLAGS"]:
    AS_USERS["xla_cpu_use_fusion_emitters"] = True

enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64


class Case(NamedTuple):
    """A transformation, its reference, and the bound in ulp that its docstring states."""

    tx: Any
    reference: Callable[[np.ndarray], np.ndarray]
    ulp: float
    signs_cancel: bool = True  # the reference of |g| is then the size of the step; else the step itself is

    def __repr__(self) -> str:
        return repr(self.tx)


@functools.cache
def gradients(steps: int = STEPS) -> np.ndarray:
    """float32 gradients, (steps, 48): light and heavy tails, zeros, one sign, both, from 1e-15 to 1e15."""
    rng = np.random.default_rng(0)
    columns = [rng.standard_normal((steps, 4)), rng.standard_cauchy((steps, 4))]
    columns += [rng.standard_cauchy((steps, 4)) * (rng.random((steps, 4)) < 0.5)]  # half of it zeros
    columns += [rng.standard_cauchy((steps, 4)) * (rng.random((steps, 4)) < 0.01)]  # nearly all of it
    columns += [np.abs(rng.standard_cauchy((steps, 4)))]
    columns += [rng.standard_cauchy((steps, 12)) * 10.0 ** np.linspace(-15, 15, 12)]
    columns += [rng.choice([-1.0, 1.0], (steps, 4)) * 10.0 ** rng.uniform(-9, 9, (steps, 4))]
    t = np.arange(steps)[:, None]
    columns += [np.ones((steps, 1)), (-1.0) ** t, np.full((steps, 1), 1e-12), np.exp(-t / 30.0) * (t < 900)]
    columns += [np.sin(t * [0.01, 0.1, 1.0]), (t >= 500) * rng.standard_normal((steps, 1))]
    columns += [rng.standard_normal((steps, 4)) * np.exp(-t / 50.0) + 0.1 * (t % 100 == 0)]
    out = np.concatenate(columns, axis=1).astype(np.float32)
    out.setflags(write=False)
    return out


@functools.cache
def _scan(tx: Any, traced_in: str, as_users: bool) -> Callable:
    @functools.partial(jax.jit, compiler_options=AS_USERS if as_users else None)
    def scan(gs, params):
        def step(state, g):
            u, state = tx.update(g, state, params)
            return state, u

        return jax.lax.scan(step, tx.init(params), gs)[::-1]

    return scan


def run(tx: Any, gs: Any, params: Any = None) -> tuple[Any, Any]:
    """The updates of all steps, and the last state: one scan. The parameters stay where they are, at 0 if not given."""
    gs = jnp.asarray(gs)
    as_users = len(gs) == STEPS and gs.dtype != jnp.float64
    return _scan(tx, str(gs.dtype), as_users)(gs, jnp.zeros_like(gs[0]) if params is None else params)


def ulps(got: Any, want: np.ndarray, size: np.ndarray) -> float:
    """The largest error in ulp of float32; see the top of this file."""
    return float(np.max(ulps_of_each(got, want, size)))


def ulps_of_each(got: Any, want: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The error of each entry in ulp of float32."""
    error = np.abs(np.asarray(got, np.float64) - want)
    tiny = float(np.finfo(np.float32).tiny)
    unit = np.spacing(np.maximum(np.maximum(np.abs(want), size), tiny).astype(np.float32)).astype(np.float64)
    return np.where(error < tiny, 0.0, error / unit)


def measured(case: Case) -> float:
    """The largest error of a case over 1,000 steps in float32."""
    gs = gradients()
    want = case.reference(gs.astype(np.float64))
    size = case.reference(np.abs(gs).astype(np.float64)) if case.signs_cancel else want
    return ulps(run(case.tx, gs)[0], want, np.abs(size))


def assert_agrees_in_float32(case: Case) -> None:
    assert measured(case) <= case.ulp


def assert_agrees_in_float64(case: Case) -> None:
    """To 1e-12 of the step in float64, over 300 steps, against the reference in extended precision."""
    gs = gradients()[:300].astype(np.float64)
    want = case.reference(gs.astype(np.longdouble)).astype(np.float64)
    size = np.abs(case.reference(np.abs(gs))) if case.signs_cancel else np.abs(want)
    with enable_x64(True):
        got, _ = run(case.tx, jnp.asarray(gs))
        assert got.dtype == jnp.float64
    assert np.all(np.abs(np.asarray(got) - want) <= 1e-12 * np.maximum(np.abs(want), size))


def assert_half_gradients_are_read_exactly(case: Case, dtype: Any) -> None:
    """Gradients in half precision give what their values in float32 give, bit for bit, in float32."""
    with np.errstate(over="ignore"):
        half = np.clip(gradients(), -6e4, 6e4).astype(dtype)
    params = jnp.zeros(half.shape[1:], jnp.float32)
    (got, state), (want, wide_state) = run(case.tx, half, params), run(case.tx, half.astype(np.float32), params)
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, want)
    assert jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), state, wide_state))


def assert_docstring_states(case: Case) -> None:
    """The bound tested here is the bound that the docstring of the transformation states."""
    text = " ".join(case.tx._factory.body.__doc__.split())
    stated = re.findall(r"ithin (\d+) ulp of exact arithmetic over 1,000 steps in float32", text)
    assert stated == [str(case.ulp)]


class Agreement:
    """The tests of a family against its reference: a subclass is parametrised by `case`."""

    def test_float32(self, case):
        assert_agrees_in_float32(case)

    def test_float64(self, case):
        assert_agrees_in_float64(case)

    def test_half_gradients(self, case):
        assert_half_gradients_are_read_exactly(case, jnp.bfloat16)


class DocumentedAgreement(Agreement):
    """And the docstring states the bound that is tested."""

    def test_docstring(self, case):
        assert_docstring_states(case)
