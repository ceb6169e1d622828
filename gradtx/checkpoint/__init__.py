"""Checkpoints of parameters and states, and their leaves for other file formats.

    with gradtx.checkpoint.Checkpoints("run/checkpoints", max_to_keep=3) as checkpoints:
        start = 0
        if checkpoints.steps:
            restored = checkpoints.restore(params=params, state=tx.init(params))
            params, state, start = restored["params"], restored["state"], restored.step
        for step in range(start + 1, steps + 1):
            params, state = train(params, state)
            if step % 1000 == 0:
                checkpoints.save(step, params=params, state=state)

`Checkpoints` needs Orbax: `pip install "gradtx[checkpoint]"`. Everything is found again by key paths, so that a chain
may have gained a member since (`strict=False`, and `restored.report` says what it did), and the shardings of the
targets say where it goes. What is no array or number (a schedule's formula, an iterator) is not in a checkpoint.

Other formats store `to_flat(tree)`, a dict of NumPy arrays, and `from_flat(target, flat)` makes the tree of it:

    numpy.savez(file, **to_flat(state))                         from_flat(target, numpy.load(file))
    safetensors.numpy.save_file(to_flat(state), file)           from_flat(target, safetensors.numpy.load_file(file))
    file.write(flax.serialization.msgpack_serialize(to_flat(state)))
                                          from_flat(target, flax.serialization.msgpack_restore(file.read()))
    pickle.dump(to_flat(state), file)                           from_flat(target, pickle.load(file))

Without `to_flat`, npz loses the name of bfloat16, msgpack and safetensors refuse random keys, and pickle keeps the
names of the classes, so that a version of gradtx in which one has another name cannot read it.
"""

from gradtx.checkpoint.checkpoints import Checkpoints, Restored
from gradtx.checkpoint.errors import CheckpointError
from gradtx.checkpoint.flat import compare, from_flat, to_flat
from gradtx.checkpoint.report import Change, Report

__all__ = ["Change", "CheckpointError", "Checkpoints", "Report", "Restored", "compare", "from_flat", "to_flat"]
