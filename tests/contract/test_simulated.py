"""Any part round any other, three deep, against the same parts in NumPy and double precision."""

import dataclasses
import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import gradtx
from tests.contract import simulator
from tests.double import enable_x64


@dataclasses.dataclass(frozen=True)
class Turned(gradtx.frames.Frame):
    """Other axes for the last side of every leaf."""

    def takes(self, leaf):
        return True

    def into(self, basis, x):
        return x @ jnp.asarray(simulator.turn(x.shape[-1]), x.dtype)

    def out(self, basis, y, leaf):
        return y @ jnp.asarray(simulator.turn(y.shape[-1]), y.dtype).T


PARTS = {
    "frame": (lambda tx: gradtx.in_frame(tx, Turned()), simulator.Turned),
    "clip": (lambda tx: gradtx.chain(gradtx.clip_by_global_norm(1.0), tx), simulator.Clipped),
    "add": (lambda tx: gradtx.add(tx, gradtx.sgd(0.01, momentum=0.5)), simulator.Added),
    "graft": (lambda tx: gradtx.graft(tx, gradtx.sgd(0.05, momentum=0.9)), simulator.Grafted),
    "cautious": (lambda tx: gradtx.cautious(tx), simulator.Cautious),
    "every": (lambda tx: gradtx.every(tx, 2), simulator.EverySecond),
    "accumulate": (lambda tx: gradtx.accumulate(tx, 2), simulator.Accumulated),
    "lookahead": (lambda tx: gradtx.lookahead(tx, 2, 0.5), simulator.Lookahead),
    "outer": (lambda tx: gradtx.outer(tx, gradtx.sgd(0.7, momentum=0.5, nesterov=True), 2), simulator.Outer),
    "restart": (lambda tx: gradtx.restart(tx, 3), simulator.Restarted),
    "divide": (lambda tx: gradtx.divide_by_rms(tx, 0.99), simulator.Divided),
    "optimistic": (
        lambda tx: gradtx.chain(tx, gradtx.scale_by_optimistic_gradient(1.0, 0.5)),
        simulator.Optimistic,
    ),
    "adapt": (lambda tx: gradtx.adapt_learning_rate(tx, gradtx.rates.distance(0.1)), simulator.Adapted),
    "project": (lambda tx: gradtx.project_onto(tx, gradtx.sets.l2_ball(2.0)), simulator.Projected),
}
PASSING = ("clip", "every", "accumulate", "restart")  # round a projection, whose updates must be added as they are
INSIDE = {
    "sgd": (gradtx.sgd(0.1, momentum=0.9), lambda: simulator.Momentum(0.1, 0.9)),
    "adam": (gradtx.adam(0.05), lambda: simulator.Adam(0.05)),
}
STEPS = 8
W = {"a": np.array([[1.0, -2.0], [0.25, 3.0], [-0.5, 0.125]]), "b": np.array([0.7, -1.3, 2.0])}


def gradients():
    rng = np.random.default_rng(5)
    return [{name: rng.normal(size=w.shape) for name, w in W.items()} for _ in range(STEPS)]


def simulated(names, inside):
    """The parameters after each step."""
    make = INSIDE[inside][1]
    for name in names:
        make = functools.partial(PARTS[name][1], make)
    part, w, path = make(), W, []
    part.begin(w)
    for g in gradients():
        w = simulator.each(np.add, w, part.step(g, w))
        path.append(w)
    return path


def fits(names):
    """Whether no part changes the updates of a projection."""
    return "project" not in names or all(name in PASSING for name in names[names.index("project") + 1 :])


PILES = st.lists(st.sampled_from(sorted(PARTS)), min_size=3, max_size=3).filter(fits)


@hypothesis.settings(max_examples=22, phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate))
@hypothesis.example(["cautious", "graft", "add"], "adam")
@hypothesis.example(["graft", "restart", "cautious"], "adam")
@hypothesis.example(["outer", "add", "divide"], "sgd")
@hypothesis.example(["adapt", "accumulate", "add"], "adam")
@hypothesis.example(["divide", "frame", "restart"], "adam")
@hypothesis.example(["restart", "adapt", "project"], "sgd")
@hypothesis.given(PILES, st.sampled_from(sorted(INSIDE)))
def test_three_deep(names, inside):
    """To 1e-9 in double precision, over eight steps."""
    tx = INSIDE[inside][0]
    for name in names:
        tx = PARTS[name][0](tx)
    with enable_x64(True):
        start = jax.tree.map(jnp.asarray, W)
        stacked = jax.tree.map(lambda *g: jnp.stack(g), *gradients())

        def step(carry, g):
            w, state = carry
            updates, state = tx.update(g, state, w)
            w = gradtx.apply_updates(w, updates)
            return (w, state), w

        path = jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), stacked)[1])(start)
        for t, want in enumerate(simulated(names, inside)):
            for name, expected in want.items():
                np.testing.assert_allclose(path[name][t], expected, rtol=1e-9, atol=1e-9 * (1 + np.abs(expected).max()))


@pytest.mark.parametrize("name", sorted(PARTS.keys() - set(PASSING)))
def test_no_other_part_goes_round_a_projection(name):
    """The error says where the projection belongs."""
    with pytest.raises(ValueError, match=r"changes the updates of project_onto.*put project_onto outside"):
        PARTS[name][0](PARTS["project"][0](INSIDE["sgd"][0]))
