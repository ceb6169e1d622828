"""Laws of storage: a state that was written and read back goes on to the bit."""

from __future__ import annotations

import importlib
import io
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.testing.case import Case
from gradtx.testing.compare import SkippedError, is_key, named, same_bits
from gradtx.testing.law import law

RUNS = ("traceable", "updates_fit", "state_types")


@law(after=RUNS)
def resumes_from_pickle(case: Case) -> None:
    """A state that went through pickle goes on to the bit."""
    _goes_on(case, lambda state: pickle.loads(pickle.dumps(state)))


@law(after=RUNS)
def resumes_from_msgpack(case: Case) -> None:
    """A state that went through Flax's msgpack goes on to the bit."""
    serialization = _optional("flax.serialization")
    _require_no_keys(case, "msgpack")
    _goes_on(case, lambda state: serialization.from_bytes(state, serialization.to_bytes(state)))


@law(after=RUNS)
def resumes_from_npz(case: Case) -> None:
    """A state whose leaves went through an npz file, by their paths, goes on to the bit."""
    _require_no_keys(case, "npz")

    def through(state: Any) -> Any:
        file, leaves = io.BytesIO(), dict(named(state))
        arrays: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in leaves.items()}
        np.savez(file, **arrays)
        file.seek(0)
        read = np.load(file)
        back = [jnp.asarray(read[name].view(leaf.dtype)) for name, leaf in leaves.items()]
        return jax.tree.unflatten(jax.tree.structure(state), back)

    _goes_on(case, through)


@law(after=RUNS)
def resumes_from_orbax(case: Case) -> None:
    """A state that went through an Orbax checkpoint goes on to the bit."""
    orbax = _optional("orbax.checkpoint")

    def through(state: Any) -> Any:
        if not jax.tree.leaves(state):
            raise SkippedError("Orbax does not keep empty trees")
        with tempfile.TemporaryDirectory() as folder, orbax.StandardCheckpointer() as checkpointer:
            checkpointer.save(Path(folder) / "state", state)
            checkpointer.wait_until_finished()
            back = checkpointer.restore(Path(folder) / "state", state)
        # Orbax says on which device each array lies, and for that JAX would compile the step anew.
        return jax.tree.map(lambda x: x if is_key(x) else jnp.asarray(np.asarray(x)), back)

    _goes_on(case, through)


def _goes_on(case: Case, through: Callable[[Any], Any]) -> None:
    gradients = case.gradients(4)
    _, state, params = case.run(gradients[:2])
    back = through(state)
    same_bits("the state read back", back, state)
    expected = case.run(gradients[2:], state, params)
    same_bits("what follows the state read back", case.run(gradients[2:], back, params), expected)


def _require_no_keys(case: Case, form: str) -> None:
    if any(is_key(leaf) for leaf in jax.tree.leaves(case.init(case.params))):
        raise SkippedError(f"{form} does not take typed keys: store their jax.random.key_data")


def _optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise SkippedError(f"{module} is not installed") from None
