"""One process of several that share the matrices of a tree; it prints all parameters after a few steps, in hex."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import gradtx
from gradtx.other_shardings import owner_sharding
from gradtx.sharding import state_shardings

ROWS, COLUMNS = PartitionSpec("data"), PartitionSpec(None, "data")
SHAPES = {"a": ((4, 6), ROWS), "b": ((4, 6), ROWS), "c": ((4, 6), ROWS), "tall": ((8, 2), ROWS), "d": ((3, 4), COLUMNS)}
METHODS = {
    "muon": gradtx.muon(0.1, exclude=()),
    # With both sides, the first gradient leaves directions of the longer one free, and rounding chooses.
    "soap": gradtx.soap(0.1, every=2, sides="smaller"),
    "dion": gradtx.dion(0.1, 1, exclude=()),
    "shampoo": gradtx.shampoo(0.1, eps=1e-3, every=2, start=1),
    "psgd": gradtx.psgd_kron(0.1, probability=0.5),
}
STEPS = 3


def main(address, processes, process):
    """Three matrices for the owners, one alone, and one split along the other side."""
    if int(processes) > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, num_processes=int(processes), process_id=int(process))
    mesh = Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Explicit,))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def tree(seed):
        random = np.random.default_rng(seed)
        values = {name: random.normal(size=shape).astype(np.float32) for name, (shape, _) in SHAPES.items()}
        return {
            name: jax.make_array_from_callback(x.shape, NamedSharding(mesh, SHAPES[name][1]), lambda i, x=x: x[i])
            for name, x in values.items()
        }

    for method, tx in METHODS.items():
        params = tree(0)
        state = jax.jit(tx.init, out_shardings=state_shardings(tx, params, others=owner_sharding))(params)
        step = jax.jit(tx.step)
        for k in range(STEPS):
            params, state = step(tree(k + 1), state, params)
        whole = jax.jit(lambda params: params, out_shardings=jax.tree.map(lambda _: everywhere, params))(params)
        for name, x in whole.items():
            print("value", method, name, *(float(v).hex() for v in np.asarray(x).ravel()), flush=True)
    print("done", flush=True)
