"""Bars that move, that are closed whatever happens, and that change nothing."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.progress import REPORTS, Progress, progress

pytest.importorskip("tqdm")
scan = Progress.scan


def quiet(*args, **kwargs):
    return progress(*args, file=io.StringIO(), **kwargs)


def body(carry, x):
    return carry * 0.9 + x, carry


XS = jnp.linspace(0.0, 1.0, 250)


def test_a_python_loop():
    out = io.StringIO()
    bar = progress([1, 2, 3], desc="train", file=out, mininterval=0)
    seen = []
    for x in bar:
        bar.show(loss=jnp.float32(0.5), note="warm")
        seen.append(x)
    assert seen == [1, 2, 3]
    assert bar.done == 3
    assert "train: 100%" in out.getvalue()
    assert "loss 0.5, note warm" in out.getvalue()


@jax.jit
def heavy(carry):
    """Enough work that the scan after it is dispatched, and not run, when it returns."""
    return jax.lax.fori_loop(0, 300, lambda _, c: jnp.tanh(c @ c), carry)


def test_numbers_of_a_scan_that_still_runs_are_not_waited_for():
    """The scan waits for its callback; were that to wait for the scan, nothing would move again."""

    def step(carry, x):
        return jnp.tanh(carry @ carry), carry.sum()

    train = jax.jit(lambda carry: Progress.scan(step, carry, length=100))
    out, carry = io.StringIO(), jnp.full((200, 200), 0.01)
    with progress(total=300, file=out, mininterval=0) as bar:
        for _ in range(3):
            carry, losses = train(heavy(carry))
            bar.show(loss=losses[-1])
            bar.update(0)
    assert bar.done == 300
    assert f"loss {float(losses[-1]):.4g}" in out.getvalue()


def test_numbers_are_asked_for_now_and_then():
    asked = []
    for _x in quiet(range(1000), show=lambda: asked.append(1) or {"rate": 0.1}):
        pass
    assert 1 <= len(asked) < 100


def test_closed_after_exceptions():
    loop = quiet([1, 2, 3])

    def stopped():
        for _x in loop:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    assert loop._bar.disable  # what tqdm calls a bar that is closed
    with pytest.raises(RuntimeError, match="stop"), quiet(total=3) as bar:
        raise RuntimeError("stop")
    assert bar._bar.disable
    assert scan(body, 0.0, XS[:4])[1].shape == (4,)  # tells nobody


def test_a_scan_tells_at_most_a_hundred_times(monkeypatch):
    calls, update = [], Progress.update
    monkeypatch.setattr(Progress, "update", lambda self, n=1: (calls.append(n), update(self, n))[0])
    with quiet(total=250) as bar:
        came = bar.scan(body, 0.0, XS)
    assert bar.done == 250
    assert len(calls) <= REPORTS
    expected = jax.lax.scan(body, 0.0, XS)
    for a, b in zip(came, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_compiled_scan_tells_a_new_bar():
    traces = []

    @jax.jit
    def epoch(carry, xs):
        traces.append(1)
        return scan(body, carry, xs)

    for _k in range(2):
        with quiet(total=500) as bar:
            epoch(0.0, XS)
            carry, ys = epoch(0.0, XS)
        assert bar.done == 500
    assert len(traces) == 1
    expected = jax.jit(lambda c, x: jax.lax.scan(body, c, x))(0.0, XS)
    np.testing.assert_array_equal(ys, expected[1])
    np.testing.assert_array_equal(carry, expected[0])


def test_under_vmap_it_tells_once_and_reverse_and_length():
    with quiet(total=10) as bar:
        jax.vmap(lambda c: scan(body, c, XS[:10]))(jnp.arange(3.0))
    assert bar.done == 10
    with quiet() as bar:
        came = scan(lambda c, _x: (c + 1, c), 0, length=205, reverse=True)
    assert bar.done == 205
    assert int(came[0]) == 205
    with quiet() as bar:
        scan(body, 0.0, XS[:0])
    assert bar.done == 0


def test_derivatives_pass():
    slope = jax.grad(lambda c: scan(body, c, XS[:3])[0])(1.0)
    np.testing.assert_allclose(slope, 0.9**3, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"steps": 3}, TypeError, "something to loop over"),
        ({"total": -1}, ValueError, "total must be"),
        ({"show": 3}, TypeError, "show must be a function"),
    ],
)
def test_wrong_arguments(given, kind, said):
    with pytest.raises(kind, match=said):
        progress(**given)


def test_wrong_uses():
    with pytest.raises(TypeError, match="nothing to loop over"):
        list(quiet(total=3))
    with pytest.raises(ValueError, match="one number of steps"):
        scan(body, 0.0, (XS, XS[:3]))
    with pytest.raises(ValueError, match="got neither"):
        scan(body, 0.0)


def test_what_is_shown_is_numbers_by_name():
    with pytest.raises(TypeError, match="show must return a dict of numbers; it returned something of type list"):
        list(quiet([1], show=lambda: [1.0]))
    bar = quiet(total=1)
    bar.show(loss=jnp.ones(3))
    with pytest.raises(TypeError, match=r"loss must be one number or text; got an array of shape \(3,\)"):
        bar.update()
