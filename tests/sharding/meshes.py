"""Meshes of the eight simulated devices, and trees that lie on them."""

import contextlib

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

AUTO, EXPLICIT = AxisType.Auto, AxisType.Explicit
_COMPILED = []


def _note(event, seconds, **_):
    if event.endswith("backend_compile_duration"):
        _COMPILED.append(seconds)


jax.monitoring.register_event_duration_secs_listener(_note)


@contextlib.contextmanager
def compilations():
    """A list that gets the seconds of each program that XLA compiles inside."""
    start, seconds = len(_COMPILED), []
    yield seconds
    seconds += _COMPILED[start:]


def mesh_of(*sizes, kind=AUTO, names=("data", "model")):
    """A mesh of these sizes, over the first devices."""
    return jax.make_mesh(
        sizes,
        names[: len(sizes)],
        axis_types=(kind,) * len(sizes),
        devices=jax.devices()[: int(np.prod(sizes))],
    )


def put(mesh, x, *spec):
    """An array on a mesh, split so."""
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))


def assert_first_update_on_explicit_meshes(tx, g, *, atol):
    """Of a matrix split by rows and by columns it is that on one device, and split as the gradient."""
    first = jax.jit(lambda g: tx.update(g, tx.init(g))[0])
    expected = np.asarray(first(g))
    for spec in (("x", None), (None, "x")):
        split = put(mesh_of(8, kind=EXPLICIT, names=("x",)), g, *spec)
        came = first(split)
        np.testing.assert_allclose(np.asarray(came), expected, atol=atol)
        assert jax.typeof(came).sharding.spec == PartitionSpec(*spec)


def params_on(mesh, axis="data"):
    """A matrix split by rows, one split by columns, a vector that is whole, and a scalar."""
    return {
        "rows": put(mesh, jnp.ones((16, 4)), axis),
        "layers": [{"columns": put(mesh, jnp.ones((3, 8)), None, axis)}, {"bias": put(mesh, jnp.ones(5))}],
        "gain": put(mesh, jnp.ones(())),
    }


def specs(tree):
    """The spec of each leaf by its path, without trailing Nones."""
    entries = jax.tree_util.tree_flatten_with_path(tree)[0]
    found = {}
    for path, x in entries:
        sharding = getattr(x, "sharding", x)
        spec = () if sharding is None else sharding.spec
        while spec and spec[-1] is None:
            spec = spec[:-1]
        found[jax.tree_util.keystr(path, simple=True, separator="/")] = tuple(spec)
    return found
