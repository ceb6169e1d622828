"""On matrices, where second moments are of rows and columns: the same steps as elsewhere, and the named differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import moments
from gradtx.catalog import ENTRIES
from tests.peers.agreement import enable_x64, ours
from tests.peers.pairs import RATE, recipe

optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")

FACTORED = recipe("Adafactor")
LAST_TWO = moments.factored(axes=(-2, -1))
RNG = np.random.default_rng(3)
W0, GS = RNG.normal(size=(6, 8)), RNG.standard_t(2, size=(100, 6, 8)).astype(np.float32).astype(float)


def walked(tx):
    return ours(tx, w0=W0, gs=GS)


def in_torch(**arguments):
    torch = pytest.importorskip("torch", reason="install the extra: pip install -e '.[peers]'")
    w = torch.tensor(W0, requires_grad=True)
    tx, out = torch.optim.Adafactor([w], foreach=False, **arguments), []
    for g in GS:
        w.grad = torch.tensor(g)
        tx.step()
        out.append(w.detach().numpy().copy())
    return np.stack(out)


def close(mine, theirs, to):
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=to * np.abs(np.diff(theirs, axis=0)).max())


@pytest.mark.parametrize(("name", "theirs"), [("sm3", optax.sm3), ("novograd", optax.novograd)])
def test_as_in_optax(name, theirs):
    entry = ENTRIES[name]
    given = {k: v for k, v in entry.usual.items() if k not in ("learning_rate", "mask")}
    close(walked(entry.make(learning_rate=RATE)), walked(theirs(RATE, **given)), 1e-12)


def test_what_optax_does_otherwise():
    """To the digits of its b_t, which it computes in float32; it does not multiply the decay by the rate."""
    shared = {"momentum": 0.9, "clipping_threshold": 0.5}
    tx = FACTORED(RATE, relative_step=False, weight_decay=0.1 / RATE, moment=moments.factored(), **shared)
    theirs = getattr(optax, FACTORED.__name__)(
        RATE, min_dim_size_to_factor=1, weight_decay_rate=0.1, dtype_momentum=jnp.float64, **shared
    )
    with enable_x64(True):
        close(walked(tx), walked(theirs), 1e-5)
    by_the_rate = FACTORED(RATE, relative_step=False, weight_decay=0.1, moment=moments.factored(), **shared)
    assert np.abs(walked(by_the_rate) - walked(theirs)).max() > 0.1


@pytest.mark.peers
def test_as_in_torch():
    """The last two axes; the decay too, as long as the rate is below 1/√t."""
    close(walked(FACTORED(0.01, moment=LAST_TWO, weight_decay=0.1)), in_torch(lr=0.01, weight_decay=0.1), 1e-12)
    close(walked(FACTORED(0.5, moment=LAST_TWO)), in_torch(lr=0.5), 1e-12)
    later = in_torch(lr=0.5, weight_decay=0.1)
    assert np.abs(walked(FACTORED(0.5, moment=LAST_TWO, weight_decay=0.1)) - later).max() > 1e-2
    assert np.abs(walked(FACTORED(0.5)) - in_torch(lr=0.5)).max() > 1e-2  # a short matrix is not factored


@pytest.mark.peers
def test_as_in_keras():
    """Keras computes rates and powers in float32."""
    keras = pytest.importorskip("keras", reason="install the extra: pip install -e '.[peers]'")
    with enable_x64(True):
        w, tx, out = keras.Variable(W0, dtype="float64"), keras.optimizers.Adafactor(0.5), []
        tx.build([w])
        for g in GS:
            tx.apply([jnp.asarray(g)], [w])
            out.append(np.asarray(w.value))
    close(walked(FACTORED(0.5, moment=LAST_TWO)), np.stack(out), 1e-5)


def test_states_are_smaller_than_in_optax():
    """A matrix that is not factored there, since one of its axes is short, may be factored here."""
    w = jax.ShapeDtypeStruct((4096, 64), jnp.float32)
    mine, theirs = (
        sum(x.size for x in jax.tree.leaves(jax.eval_shape(tx.init, w)))
        for tx in (FACTORED(1e-2, moment=moments.factored()), getattr(optax, FACTORED.__name__)(1e-2))
    )
    assert mine < 4096 + 64 + 16
    assert theirs > 4096 * 64
    assert FACTORED(1e-2).moment == moments.factored(min_dim_size=128)
