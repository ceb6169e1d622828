"""One process of several that train together.

The parameters are on every device, the state and the batch are spread over all of them, as in ZeRO's first stage. It
continues from the newest checkpoint in the folder, if there is one, and prints the loss of each step with all bits.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import gradtx
from gradtx.checkpoint import Checkpoints

STEPS, EVERY = 16, 3


def loss_of(params, x, y):
    """The mean error of a small network."""
    hidden = jnp.tanh(x @ params["in"]["w"] + params["in"]["b"])
    return jnp.mean((hidden @ params["out"]["w"] - y) ** 2)


def start():
    """The first parameters, the same on every process."""
    rng = np.random.default_rng(0)
    inner = {"w": rng.normal(size=(4, 8)).astype(np.float32), "b": np.zeros(8, np.float32)}
    return {"in": inner, "out": {"w": rng.normal(size=(8, 2)).astype(np.float32)}}


def main(address, processes, process, folder, pause):
    if int(processes) > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, num_processes=int(processes), process_id=int(process))
    mesh = Mesh(np.array(jax.devices()), ("data",))
    everywhere, spread = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    rate = gradtx.cosine_decay_schedule(0.05, decay_steps=STEPS)
    noise = gradtx.add_noise(0.01, 0.5, jax.random.key(1))
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), noise, gradtx.adam(rate))

    params = jax.tree.map(lambda p: jax.make_array_from_callback(p.shape, everywhere, lambda i: p[i]), start())
    split = jax.tree.map(
        lambda x: spread if x.ndim and x.shape[0] % 4 == 0 else everywhere, jax.eval_shape(tx.init, params)
    )
    state = jax.jit(tx.init, out_shardings=split)(params)

    @jax.jit
    def step(params, state, x, y):
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        updates, state = tx.update(grads, state, params)
        fixed = jax.lax.with_sharding_constraint
        return loss, fixed(gradtx.apply_updates(params, updates), everywhere), fixed(state, split)

    def batch(k):
        """The batch of a step: each process makes its own part."""
        rng = np.random.default_rng(k)
        x = rng.normal(size=(8, 4)).astype(np.float32)
        y = np.sin(x[:, :2])
        return [jax.make_array_from_callback(a.shape, spread, lambda i, a=a: a[i]) for a in (x, y)]

    with Checkpoints(folder, max_to_keep=2) as checkpoints:
        done = 0
        if checkpoints.steps:
            restored = checkpoints.restore(params=params, state=state)
            params, state, done = restored["params"], restored["state"], restored.step
        moment = state["scale_by_adam"].mu["in"]["w"]
        print("from", done, moment.addressable_shards[0].data.size / moment.size, flush=True)
        for k in range(done + 1, STEPS + 1):
            loss, params, state = step(params, state, *batch(k))
            print("loss", k, float(loss).hex(), flush=True)
            if k % EVERY == 0:
                checkpoints.save(k, params=params, state=state)
            time.sleep(float(pause))
    print("done", STEPS, 0, flush=True)
