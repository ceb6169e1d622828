"""What a training step needs on each device of a mesh, which may be abstract: bytes, and collectives."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from gradtx.core.pair import GradientTransformation
from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.inspection.collectives import Collective, collectives, on_explicit
from gradtx.placement import Mirror, abstract, mirrors, parts
from gradtx.text_table import aligned, byte_count


@dataclasses.dataclass(frozen=True)
class OnDevice:
    """What one device of a mesh holds and does in a step of an optimizer.

    devices: how many there are. parameters, gradients, state: bytes; gradients lie like their parameters.
    temporaries: bytes, an estimate. One leaf of each kind, of the size that it has on a device, is compiled; its
    temporaries per entry are multiplied by all entries on the device. None where such a step cannot be compiled. The
    compiler is that of the devices that are here.
    collectives: those of the step, from the types of its arrays, and the gather of parameters whose state is split
    further than they are; None where the types do not tell. XLA may do several of them at once. The sum of the
    gradients over the batch is not counted.
    unknown: what is not known, and why.
    """

    devices: int
    parameters: int
    gradients: int
    state: int
    temporaries: int | None
    collectives: tuple[Collective, ...] | None
    unknown: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Bytes of all that is known."""
        return self.parameters + self.gradients + self.state + (self.temporaries or 0)

    def __str__(self) -> str:
        held = {name: getattr(self, name) for name in ("parameters", "gradients", "state", "temporaries", "total")}
        rows = [(name, "unknown" if n is None else byte_count(n)) for name, n in held.items()]
        said = [f"{c.count:,} {c.kind} over {', '.join(c.axes)}: {byte_count(c.bytes)}" for c in self.collectives or ()]
        said = said or ["no collectives" if self.collectives is not None else "collectives: unknown"]
        said.append("The sum of the gradients over the batch is not counted.")
        return "\n".join(["", f"on each of {self.devices:,} devices", *aligned(rows), *said, *self.unknown])


def on_device(
    tx: GradientTransformation, params: Any, rules: list[str], state: Any, shardings: list, mesh: Any
) -> OnDevice:
    """See `OnDevice`; `rules` has a word for each parameter, `shardings` one for each leaf of the state."""
    leaves = flatten(params)[0]
    own = [getattr(x, "sharding", None) for x in flatten(on_this_mesh(params, mesh))[0]]
    trained = [is_trained(leaf) for leaf in leaves]
    held = [_bytes(leaf, sharding) for leaf, sharding in zip(leaves, own, strict=True)]
    unknown: list[str] = []
    views: list[Any] = list(own)
    for row, sharding in zip(mirrors(params, state), shardings, strict=True):
        k = row.parameter
        if k is not None and trained[k] and row.coded != "scales" and _axes(sharding) > _axes(own[k]):
            views[k] = _view(shape_of(leaves[k]), row, sharding) or views[k]
    try:
        found, all_of_them = _collectives(tx, params, state, shardings, views, mesh)
        gathered = [k for k, view in enumerate(views) if view is not own[k]]
        found = _with_gathers(found, gathered, held, own, views)
        if not all_of_them:
            unknown.append("collectives: not counted are those of operations of which XLA chooses how they are split")
    except Exception as error:  # of any piece, or of JAX, for types that do not say how a result is split
        found = None
        unknown.append(f"collectives: {_first_line(error)}")
    try:
        temporaries = _temporaries(tx, params, rules, views, mesh.size)
    except Exception as error:  # of any piece that the few leaves are not enough for
        temporaries = None
        unknown.append(f"temporaries: {_first_line(error)}")
    gradients = sum(n for n, yes in zip(held, trained, strict=True) if yes)
    of_state = sum(_bytes(x, sharding) for x, sharding in zip(jax.tree.leaves(state), shardings, strict=True))
    return OnDevice(mesh.size, sum(held), gradients, of_state, temporaries, found, tuple(unknown))


def on_this_mesh(params: Any, mesh: Any) -> Any:
    """The parameters as shapes with their shardings; one that was not placed is whole on every device.

    Raises: ValueError: a parameter is on another mesh.
    """
    leaves, structure = flatten(params)
    whole, out = NamedSharding(mesh, PartitionSpec()), []
    for name, leaf in zip(leaf_names(params), leaves, strict=True):
        own = getattr(leaf, "sharding", None)
        own = whole if own is None or not getattr(leaf, "committed", True) else own
        if not isinstance(own, NamedSharding) or dict(own.mesh.shape) != dict(mesh.shape):
            raise ValueError(f"mesh: the parameter at {name} is on {own}, not on the mesh {mesh}")
        out.append(None if leaf is None else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=own))
    return jax.tree.unflatten(structure, out)


def _collectives(
    tx: Any, params: Any, state: Any, shardings: list, views: list, mesh: Any
) -> tuple[tuple[Collective, ...], bool]:
    """Those of the step and whether these are all, in which parameters and gradients are split as the state is."""
    leaves, structure = flatten(params)
    split = [x if x is None else on_explicit(mesh, x, view.spec) for x, view in zip(leaves, views, strict=True)]
    params = jax.tree.unflatten(structure, split)
    held = [on_explicit(mesh, x, s.spec) for x, s in zip(jax.tree.leaves(state), shardings, strict=True)]
    return collectives(_step(tx), params, jax.tree.unflatten(jax.tree.structure(state), held), params)


def _with_gathers(found: tuple, places: list[int], held: list[int], own: list, views: list) -> tuple[Collective, ...]:
    """With a gather for each parameter that is split less than its state, since every device needs it as it was."""
    numbers = {(c.kind, c.axes): [c.count, c.bytes] for c in found}
    for k in places:
        axes = tuple(sorted(_axes(views[k]) - _axes(own[k])))
        count_and_bytes = numbers.setdefault(("all-gather", axes), [0, 0])
        count_and_bytes[0] += 1
        count_and_bytes[1] += held[k]
    return tuple(Collective(*key, *value) for key, value in sorted(numbers.items()))


def _temporaries(tx: Any, params: Any, rules: list[str], views: list, devices: int) -> int:
    """An estimate; see `OnDevice`."""
    leaves, structure = flatten(params)
    few, held, first = [], {}, {}
    for leaf, rule, view in zip(leaves, rules, views, strict=True):
        if not is_trained(leaf):
            few.append(None if leaf is None else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype))
            continue
        # What makes use of whole matrices has them whole at some time, each on one device.
        shape = leaf.shape if tx.traits.needs_matrices else view.shard_shape(leaf.shape)
        kind, size = (shape, leaf.dtype, rule), math.prod(shape)
        few.append(None if kind in first else jax.ShapeDtypeStruct(shape, leaf.dtype))
        first[kind], held[kind] = size, held.get(kind, 0) + size
    if tx.traits.needs_matrices:  # the matrices of a kind are shared out
        held = {kind: first[kind] * math.ceil(n / first[kind] / devices) if n else 0 for kind, n in held.items()}
    tree = jax.tree.unflatten(structure, few)
    state = jax.eval_shape(tx.init, abstract(tree))
    step = _step(tx)
    # JAX writes results into donated arguments in their order: first parameters, then the state.
    donating = jax.jit(lambda params, state, grads: step(grads, state, params), donate_argnums=(0, 1))
    compiled = donating.lower(tree, state, tree).compile()
    analysis: Any = compiled.memory_analysis()
    found = analysis.temp_size_in_bytes
    return round(found * sum(held.values()) / max(sum(first.values()), 1))


def _view(shape: tuple[int, ...], row: Mirror, sharding: Any) -> Any:
    """How a parameter is split where its state is updated, if a leaf of the state, or its codes, are split so."""
    if row.leaf.shape == shape:
        return sharding
    spec = tuple(sharding.spec)[: len(shape)]
    fits = row.coded and all(n % parts(sharding.mesh, entry) == 0 for n, entry in zip(shape, spec, strict=False))
    return NamedSharding(sharding.mesh, PartitionSpec(*spec)) if fits else None


def _step(tx: Any) -> Any:
    needed = dict.fromkeys(tx.extras.needed, 1.0)
    return lambda grads, state, params: tx.step(grads, state, params, **needed)


def _axes(sharding: Any) -> set[str]:
    entries = (entry if isinstance(entry, tuple) else (entry,) for entry in sharding.spec)
    return {axis for entry in entries for axis in entry if axis is not None}


def _bytes(leaf: Any, sharding: Any) -> int:
    return 0 if leaf is None else math.prod(sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
