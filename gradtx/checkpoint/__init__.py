"""Checkpoints of parameters and optimizer states, and conversion of their leaves for other file formats.

    with gradtx.checkpoint.Checkpoints("run/checkpoints", max_to_keep=3) as checkpoints:
        start = 0
        if checkpoints.steps:
            restored = checkpoints.restore(params=params, state=tx.init(params))
            params, state, start = restored["params"], restored["state"], restored.step
        for step in range(start + 1, steps + 1):
            params, state = train(params, state)
            if step % 1000 == 0:
                checkpoints.save(step, params=params, state=state)

`Checkpoints` needs Orbax: `pip install "gradtx[checkpoint]"`. Leaves are stored by their key paths. So a chain may have
a new member when its state is restored with `strict=False`; `restored.report` lists the differences. The shardings of
the targets decide where the arrays are placed. A checkpoint holds arrays and numbers only: not the formula of a
schedule, not an iterator.

For other formats, `to_flat(tree)` makes a dict of NumPy arrays, and `from_flat(target, flat)` makes the tree again:

    numpy.savez(file, **to_flat(state))                         from_flat(target, numpy.load(file))
    safetensors.numpy.save_file(to_flat(state), file)           from_flat(target, safetensors.numpy.load_file(file))
    file.write(flax.serialization.msgpack_serialize(to_flat(state)))
                                          from_flat(target, flax.serialization.msgpack_restore(file.read()))
    pickle.dump(to_flat(state), file)                           from_flat(target, pickle.load(file))

Without `to_flat`, npz loses the type bfloat16, and msgpack and safetensors refuse random keys. A plain pickle stores
the names of classes, so a version of gradtx in which a class has another name could not read it.
"""

from gradtx.checkpoint.checkpoints import Checkpoints, Restored
from gradtx.checkpoint.errors import CheckpointError
from gradtx.checkpoint.flat import compare, from_flat, to_flat
from gradtx.checkpoint.report import Change, Report

__all__ = ["Change", "CheckpointError", "Checkpoints", "Report", "Restored", "compare", "from_flat", "to_flat"]
