"""Clipping, norms and noise as loops over NumPy arrays, in the form of the papers; see `tests/reference.py`.

Each function takes the gradients of all steps, `(steps, n)`, and gives the updates of all steps. Besides: what holds
parameters still for such a comparison, and what spreads one over eight devices.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from tests.reference import _per_step

if hasattr(jax, "shard_map"):
    shard_map = jax.shard_map
else:  # before JAX 0.6.1
    from jax.experimental.shard_map import shard_map


def over_devices(fn, *spec, mesh=(8,)):
    """fn jitted over the eight simulated devices, its arguments and results all split by this spec."""
    names = ("x", "y")[: len(mesh)]
    devices = Mesh(np.array(jax.devices()[:8]).reshape(mesh), names)
    split = PartitionSpec(*(spec or names))
    return jax.jit(shard_map(fn, mesh=devices, in_specs=split, out_specs=split))


class Held:
    """A transformation whose parameters stand still, and which sees flat gradients in their shape."""

    def __init__(self, tx, params):
        self.tx, self.params = tx, np.asarray(params)
        self._factory = tx._factory

    def __repr__(self):
        return f"{self.tx}, {self.params.shape}"

    def _params(self, like):
        return jnp.asarray(self.params, jnp.float64 if like.dtype == jnp.float64 else jnp.float32)

    def init(self, params):
        return self.tx.init(self._params(params))

    def update(self, updates, state, params=None):
        out, state = self.tx.update(updates.reshape(self.params.shape), state, self._params(updates))
        return out.reshape(updates.shape), state


def _norm(x):
    return np.sqrt(np.sum(x * x))


@_per_step
def clipped_by_rms(gs, threshold):
    """Shazeer & Stern, algorithm 4."""
    for g in gs:
        yield g / max(1.0, np.sqrt(np.mean(g * g)) / threshold)


@_per_step
def clipped_by_units(gs, w, lam, eps):
    """Brock et al., equation 3, for a matrix w: its columns, the weights into one output, are the units."""
    for g in gs:
        u = g.reshape(w.shape).copy()
        for i in range(w.shape[1]):
            bound = lam * max(_norm(w[:, i]), eps)
            if _norm(u[:, i]) > bound:
                u[:, i] = u[:, i] * bound / _norm(u[:, i])
        yield u.reshape(g.shape)


@_per_step
def clipped_by_z(gs, z_thres, alpha, warmup):
    """Kumar et al., section 3: a warm-up of plain mean and variance, then moving averages of the clipped norms."""
    past, mu, var = [], None, None
    for g in gs:
        norm = _norm(g)
        if len(past) < warmup:
            past.append(norm)
            mu, var = np.mean(past), np.var(past)
            yield g
            continue
        sigma, clipped = np.sqrt(var), norm
        if norm - mu > z_thres * sigma:
            clipped = mu + z_thres**2 / ((norm - mu) / sigma) * sigma
        yield g * clipped / norm
        mu = alpha * mu + (1 - alpha) * clipped
        var = alpha * var + (1 - alpha) * (clipped - mu) ** 2


@_per_step
def normalized(gs, scale, eps):
    for g in gs:
        yield scale * g / (_norm(g) + eps)


@_per_step
def trusted(gs, w, least, trust, eps):
    """LAMB's ratio of norms, with optax's lower bound for both."""
    for g in gs:
        of_w, of_g = max(_norm(w), least), max(_norm(g), least)
        yield g * trust * of_w / (of_g + eps) if of_w > 0 and of_g > 0 else g


@_per_step
def centralized(gs, shape, outputs):
    """Yong et al., equation 1: for each output, the mean of its weights' gradients is subtracted."""
    for g in gs:
        u = np.moveaxis(g.reshape(shape).copy(), outputs, 0)
        for i in range(len(u)):
            u[i] = u[i] - np.sum(u[i]) / u[i].size
        yield np.moveaxis(u, 0, outputs).reshape(g.shape)


@_per_step
def noisy(gs, draws, eta, gamma):
    """Neelakantan et al., equation 1, with the standard normal numbers of every step given."""
    for t, (g, n) in enumerate(zip(gs, draws, strict=True)):
        yield g + np.sqrt(eta / (1 + t) ** gamma) * n
