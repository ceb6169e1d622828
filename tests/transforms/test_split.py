"""Leaves that are whole on each device count once in every norm, product and mean, as on one device alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import gradtx
from tests.reference_norms import shard_map
from tests.sharding.meshes import mesh_of

pytestmark = pytest.mark.skipif(jax.__version_info__ < (0, 8), reason="JAX does not know varying axes before 0.8")

P = PartitionSpec
SPECS = {"split": P("data"), "whole": {"matrix": P(), "vector": P()}, "number": None}
SHAPES = {"split": (8, 3), "whole": {"matrix": (2, 3), "vector": (5,)}}


def trees(*axes):
    """A tree of these shapes, or several along leading axes, with an integer that is not trained."""
    rng = np.random.default_rng(len(axes))
    drawn = jax.tree.map(lambda shape: np.float32(rng.normal(size=(*axes, *shape))), SHAPES, is_leaf=is_shape)
    return {**drawn, "number": np.full(axes, 7, np.int32)}


def is_shape(x):
    return isinstance(x, tuple)


SGD, ADAM = gradtx.sgd(0.1), gradtx.adam(0.1)
MADE = {
    "clip_by_global_norm": lambda axis: gradtx.clip_by_global_norm(0.5, axis_name=axis),
    "skipping": lambda axis: gradtx.clip_by_global_norm(0.5, nonfinite="skip", axis_name=axis),
    "clip_by_leaf_norm": lambda axis: gradtx.clip_by_leaf_norm(0.5, axis_name=axis),
    "clip_by_block_rms": lambda axis: gradtx.clip_by_block_rms(0.5, axis_name=axis),
    "adaptive_grad_clip": lambda axis: gradtx.adaptive_grad_clip(0.1, axis=0, axis_name=axis),
    "clip_by_z_score": lambda axis: gradtx.clip_by_z_score(0.01, warmup_steps=2, axis_name=axis),
    "normalize_by_update_norm": lambda axis: gradtx.normalize_by_update_norm(axis_name=axis),
    "scale_by_trust_ratio": lambda axis: gradtx.scale_by_trust_ratio(axis_name=axis),
    "centralize": lambda axis: gradtx.centralize(axis_name=axis),
    "zero_nans": lambda axis: gradtx.zero_nans(axis_name=axis),
    "reduce_variance": lambda axis: gradtx.reduce_variance(0.5, 0.9, 0.5, axis_name=axis),
    "scale_by_param_block_rms": lambda axis: gradtx.scale_by_param_block_rms(axis_name=axis),
    "remove_radial": lambda axis: gradtx.remove_radial(axis_name=axis),
    "floor_by_weight_norm": lambda axis: gradtx.floor_by_weight_norm(2.0, axis_name=axis),
    "cautious": lambda axis: gradtx.cautious(gradtx.add_momentum(0.9), sign=1, axis_name=axis),
    "graft": lambda axis: gradtx.graft(ADAM, SGD, axis_name=axis),
    "graft, tree": lambda axis: gradtx.graft(ADAM, SGD, "tree", axis_name=axis),
    "lbfgs": lambda axis: gradtx.lbfgs(0.1, linesearch=None, axis_name=axis),
    "skip_nonfinite": lambda axis: gradtx.skip_nonfinite(SGD, axis_name=axis),
    "skip_spikes": lambda axis: gradtx.skip_spikes(SGD, 0.1, 2, axis_name=axis),
    "sam": lambda axis: gradtx.sam(SGD, 0.1, axis_name=axis),
    "zoom": lambda axis: gradtx.lbfgs(axis_name=axis),
    "backtracking": lambda axis: gradtx.chain(
        gradtx.sgd(4.0), gradtx.scale_by_backtracking_linesearch(10, axis_name=axis)
    ),
}


def bowl(params, total=lambda x: x):
    """Of one device; with `total` the part of each, and the whole value."""
    whole = sum(jnp.sum((x - 1) ** 2) for x in jax.tree.leaves(params["whole"]))
    return total(jnp.sum((params["split"] - 0.5) ** 2)) + whole


def steps(name, axis, total):
    """Three steps with their updates, as one function of parameters and gradients."""
    tx = MADE[name](axis)

    def step(carry, g):
        params, state = carry
        extra = {}
        if "value_fn" in tx.extras.known or name in ("zoom", "backtracking"):
            extra = {"value": None, "grad": None, "value_fn": lambda p: bowl(p, total)}
        if "grad_fn" in tx.extras.known:
            extra = {"grad_fn": lambda p: jax.tree.map(lambda x: 2 * x if jnp.ndim(x) else x, p)}
        updates, state = tx.update(g, state, params, **extra)
        return (gradtx.apply_updates(params, updates), state), updates

    return lambda params, gradients: jax.lax.scan(step, (params, tx.init(params)), gradients)[1]


def summed(x):
    return jax.lax.psum(x, "data")


WAYS = {"JAX knows": ("data", True), "split_over": (gradtx.split_over("data", SPECS), False)}


@pytest.mark.parametrize("name", MADE)
def test_updates_are_those_of_one_device(name):
    params, gradients = trees(), trees(3)
    expected = jax.jit(steps(name, None, lambda x: x))(params, gradients)
    specs = {**SPECS, "number": P()}
    each_step = jax.tree.map(lambda spec: P(None, *spec), specs)
    mapped = {"mesh": mesh_of(8), "in_specs": (specs, each_step), "out_specs": each_step}
    for way, (axis, known) in WAYS.items():
        updates = jax.jit(shard_map(steps(name, axis, summed), check_vma=known, **mapped))(params, gradients)
        for got, want in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-6, err_msg=way)


def test_under_vmap():
    """Where the split leaf has a batch axis, and the others have none."""
    params = trees()
    specs = {"split": P("x"), "whole": P(), "number": P()}
    axes = {"split": 0, "whole": None, "number": None}
    norm = jax.vmap(
        lambda tree: gradtx.global_norm(tree, gradtx.split_over("x", specs)), in_axes=(axes,), axis_name="x"
    )
    np.testing.assert_allclose(norm(params), np.full(8, gradtx.global_norm(params)), rtol=1e-6)


def test_two_axes_of_which_a_leaf_has_one():
    mesh, tree = mesh_of(2, 4), {"both": jnp.arange(1.0, 9.0), "one": jnp.arange(1.0, 5.0), "none": jnp.ones(3)}
    specs, axes = {"both": P(("data", "model")), "one": P("model"), "none": P()}, ("data", "model")
    for known, axis in ((True, axes), (False, gradtx.split_over(axes, specs))):
        mapped = {"mesh": mesh, "in_specs": (specs,), "out_specs": P(), "check_vma": known}
        norm = shard_map(lambda tree, axis=axis: gradtx.global_norm(tree, axis), **mapped)
        np.testing.assert_allclose(jax.jit(norm)(tree), gradtx.global_norm(tree), rtol=1e-6)
        slope = jax.jit(jax.grad(norm))(tree)
        for got, want in zip(*map(jax.tree.leaves, (slope, jax.grad(gradtx.global_norm)(tree))), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-30, 1e25])
def test_the_second_pass(size):
    """Where squares leave the range of numbers, with leaves of both kinds."""
    tree, specs = (
        {"split": jnp.arange(1.0, 9.0) * size, "whole": jnp.ones(3) * size},
        {"split": P("data"), "whole": P()},
    )
    for known, axis in ((True, "data"), (False, gradtx.split_over("data", specs))):
        mapped = {"mesh": mesh_of(8), "in_specs": (specs,), "out_specs": P(), "check_vma": known}
        norm = jax.jit(shard_map(lambda tree, axis=axis: gradtx.global_norm(tree, axis), **mapped))(tree)
        np.testing.assert_allclose(norm, 207**0.5 * size, rtol=1e-6)


def test_it_is_a_value():
    both = [gradtx.clip_by_global_norm(1.0, axis_name=gradtx.split_over("data", dict(SPECS))) for _ in range(2)]
    assert both[0] == both[1]
    assert hash(both[0]) == hash(both[1])
    assert both[0] != gradtx.clip_by_global_norm(1.0, axis_name=gradtx.split_over("data", {**SPECS, "split": P()}))
    assert eval(repr(both[0]), {**vars(gradtx), "P": P, "PartitionSpec": P}) == both[0]


def test_bad_input():
    with pytest.raises(TypeError, match="axis_name must be the name of an axis or a tuple of names; got 3"):
        gradtx.split_over(3, P())
    with pytest.raises(TypeError, match=r"specs must have a jax\.sharding\.PartitionSpec for each leaf; got 'data'"):
        gradtx.split_over("data", {"w": "data"})
    with pytest.raises(ValueError, match=r"there is no spec for the leaf w, and the spec at b belongs to no leaf; the"):
        gradtx.global_norm({"w": jnp.ones(3)}, gradtx.split_over("data", {"b": P()}))
