"""States in `jax.export`: a step with gradtx's states can be serialized, and called elsewhere."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

from jax.tree_util import PyTreeDef, default_registry

from gradtx.layout import Layout, layout_of
from gradtx.packing import Packed
from gradtx.sparse.rows import RowSparse


def register_states() -> None:
    """Tell `jax.export` how to write the containers of states: every NamedTuple in the modules of gradtx.

    Also those that are not public, as what an estimator or a frame keeps.

    A tree that `pack` has joined is written if its parameters are in dicts, lists and tuples.
    """
    try:
        from jax import export
    except ImportError:  # with JAX 0.6 it needs absl, which JAX does not install
        return
    own = [module for name, module in sys.modules.items() if name.startswith("gradtx.")]
    for kind in dict.fromkeys(x for module in own for x in vars(module).values() if inspect.isclass(x)):
        if kind.__module__.startswith("gradtx.") and issubclass(kind, tuple) and hasattr(kind, "_fields"):
            place = "gradtx.compat" if kind.__module__.startswith("gradtx.compat.") else "gradtx"
            _once(export.register_namedtuple_serialization, kind, serialized_name=f"{place}.{kind.__name__}")
    _once(
        export.register_pytree_node_serialization,
        RowSparse,
        serialized_name="gradtx.RowSparse",
        serialize_auxdata=lambda aux: json.dumps([list(aux[0]), aux[1]]).encode(),
        deserialize_auxdata=_row_sparse,
    )

    _once(
        export.register_pytree_node_serialization,
        Packed,
        serialized_name="gradtx.Packed",
        serialize_auxdata=_layout_bytes,
        deserialize_auxdata=_layout,
    )


def _layout_bytes(layout: Layout) -> bytes:
    try:
        structure = layout.structure.serialize_using_proto()
    except ValueError as error:
        raise ValueError(
            "jax.export writes packed parameters only in dicts, lists and tuples: unpack them, or change the "
            f"container ({error})"
        ) from None
    return json.dumps([structure.hex(), layout.names, layout.shapes, layout.types]).encode()


def _layout(data: bytes | bytearray) -> Layout:
    structure, names, shapes, types = json.loads(bytes(data))
    made = PyTreeDef.deserialize_using_proto(default_registry, bytes.fromhex(structure))
    return layout_of(made, tuple(names), tuple(map(tuple, shapes)), tuple(types))


def _row_sparse(data: bytes | bytearray) -> tuple:
    shape, distinct = json.loads(bytes(data))
    return tuple(shape), distinct


def _once(register: Any, kind: type, **how: Any) -> None:
    try:
        register(kind, **how)
    except ValueError:  # a reload of the package registers the same classes again
        return
