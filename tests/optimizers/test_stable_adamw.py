"""StableAdamW against algorithm 2 of Wortsman et al., whose averages are corrected by decays of the step."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import divide_by_capped_rms, stable_adamw
from tests.optimizers.matrices import agrees, states_bound

RATE, DECAY = 0.1, 0.01


def paper(gs, w, b1=0.9, b2=0.99, eps=1e-8, threshold=1.0):
    m = v = 0
    for t, g in enumerate(gs, 1):
        first, second = (b * (1 - b ** (t - 1)) / (1 - b**t) for b in (b1, b2))
        m, v = first * m + (1 - first) * g, second * v + (1 - second) * g * g
        rms = np.sqrt(np.mean(g * g / np.maximum(v, eps**2)))
        yield -RATE / max(1, rms / threshold) * (m / (np.sqrt(v) + eps) + DECAY * w)


@pytest.mark.parametrize("shape", [(6, 8), (48,)])
def test_agrees_with_the_paper(shape):
    assert agrees(stable_adamw(RATE, weight_decay=DECAY), paper, shape) <= 20
    assert states_bound(stable_adamw, 20)


def test_the_part_alone():
    """Another threshold, another decay, and the bound that it states."""

    def loop(gs, w):
        return (-u for u in paper(gs, w, b2=0.9, threshold=2.0))

    after = gradtx.add_decayed_weights(DECAY)
    part = divide_by_capped_rms(gradtx.ema(0.9), 0.9, threshold=2.0, after=after)
    assert agrees(gradtx.chain(part, gradtx.scale(RATE)), loop) <= 20
    assert "within 20 ulp" in " ".join(divide_by_capped_rms.factory.body.__doc__.split())


def test_a_spike_moves_no_further_than_a_usual_gradient():
    """After a thousand small gradients one that is a thousand times larger: Adam's step grows, this one does not."""
    w, small = jnp.zeros(4), jnp.full(4, 1e-3)
    sizes = {}
    for name, tx in {"stable": stable_adamw(1.0, 0.0, weight_decay=0.0), "adam": gradtx.adam(1.0, 0.0, 0.99)}.items():
        state = tx.init(w)
        for _ in range(100):
            _, state = tx.update(small, state, w)
        sizes[name] = float(jnp.abs(tx.update(1000 * small, state, w)[0]).max())
    assert sizes["adam"] > 5
    assert sizes["stable"] == pytest.approx(1.0, rel=1e-3)


def test_the_cap_holds_for_the_decay_too():
    w, g = jnp.ones(4), jnp.full(4, 1e-3)
    tx = stable_adamw(1.0, 0.0, weight_decay=0.5)
    state = tx.init(w)
    for _ in range(100):
        _, state = tx.update(g, state, w)
    u, _ = tx.update(1000 * g, state, w)
    without = stable_adamw(1.0, 0.0, weight_decay=0.0)
    v = without.update(1000 * g, state, w)[0]
    assert float((v - u)[0]) < 0.1  # 0.5 without a cap


def test_a_filter_that_sets_parameters_is_refused():
    with pytest.raises(ValueError, match="must be added unchanged"):
        divide_by_capped_rms(gradtx.ema(), after=gradtx.compensate(gradtx.sgd(0.1)))
    with pytest.raises(ValueError, match="threshold must be greater than 0"):
        divide_by_capped_rms(gradtx.ema(), threshold=0.0)
