"""Nothing that optax exports to transform gradients is absent without a line that says why."""

import inspect
import re
import types
import warnings

import pytest

import gradtx
from gradtx.catalog import ENTRIES

optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers

# What gradtx has in place of a name, with names of gradtx in backticks; or why it has nothing.
INSTEAD = {
    "apply_every": "`accumulate`, which also takes a mean; `every` for an update in some steps only",
    "flatten": "`pack`",
    "inject_stateful_hyperparams": "a hyperparameter follows any `schedule`; `inject` moves it into the state",
    "measure_with_ema": "`watch`, and `readings` of its state",
    "monitor": "`watch`",
    "snapshot": "`watch`",
    "skip_large_updates": "`skip_spikes`, or `skip_if` with a condition of one's own",
    "skip_not_finite": "`skip_nonfinite`",
    "stateless": "`transformation`",
    "stateless_with_tree_map": "`transformation` and `map_leaves`",
    "with_extra_args_support": "an update takes what it declares; `foreign` wraps a pair of functions",
    "init_empty_state": "`EmptyState`",
    "scale_by_factored_rms": "`scale_by_rms` with moments.factored",
    "scale_by_novograd": "`scale_by_rms` with moments.per_leaf, then `add_momentum`: `novograd`",
    "scale_by_sm3": "Adagrad's sum of squares with moments.max_of_axes",
    "scale_by_param_block_norm": "`scale_by_param_block_rms`, which is the norm over the root of the size",
    "scale_by_polyak": "`adapt_learning_rate` with rates.polyak",
    "per_example_global_norm_clip": "`differentially_private_aggregate`; or jax.vmap of `clip_by_global_norm`",
    "per_example_layer_norm_clip": "jax.vmap of `clip_by_leaf_norm`",
    "contrib.dpsgd": "`chain` of `differentially_private_aggregate` and `sgd`",
    "contrib.hutchinson_estimator_diag_hessian": "`scale_by_sophia` makes its estimates itself",
    "contrib.mechanize": "`adapt_learning_rate` with rates.mechanic",
    "contrib.normalize": "`normalize_by_update_norm`",
    "contrib.scale_by_adopt": "`adopt` with the rate 1, and `scale` by -1 behind it",
    "contrib.scale_by_galore": "`in_frame` with frames.low_rank",
    "contrib.scale_by_muon": "`orthogonalize` behind `nesterov_ema`",
    "contrib.schedule_free_adamw": "`schedule_free` of `adamw`",
    "contrib.schedule_free_eval_params": "`eval_params`",
    "contrib.schedule_free_sgd": "`schedule_free` of `sgd`",
    "microbatch": "it splits a function of a batch, and is no transformation",
    "scale_gradient": "it is for the inside of a model, as jax.custom_vjp",
    "periodic_update": "it copies parameters, as jax.lax.cond does; `average` keeps a mean of them",
    "tree_map_params": "every array of a state that is like the parameters has their structure: jax.tree.map",
}

# Arithmetic, distributions and solvers, which are no transformations.
FUNCTIONS = {
    "bias_correction",
    "matrix_inverse_pth_root",
    "multi_normal",
    "nnls",
    "power_iteration",
    "safe_increment",
    "safe_int32_increment",
    "safe_norm",
    "safe_root_mean_squares",
    "update_infinity_moment",
    "update_moment",
    "update_moment_per_elem_norm",
}


def exported(module, prefix=""):
    """The functions that a module of optax exports; losses and projections are in modules of their own."""
    elsewhere = {*dir(optax.losses), *dir(optax.projections)}
    for name in dir(module):
        if name.startswith("_") or name in elsewhere:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found = getattr(module, name)
        if callable(found) and not isinstance(found, type | types.GenericAlias) and not is_annotation(found):
            yield prefix + name


def is_annotation(found):
    return not inspect.isroutine(found) and getattr(found, "__module__", "") == "typing"


THEIRS = sorted({*exported(optax), *exported(optax.contrib, "contrib.")})


def known():
    """The names that gradtx has, or of which the catalog says what they are here."""
    peers = {s.optax.name for entry in ENTRIES.values() for s in entry.settings.values() if s.optax}
    others = {name for entry in ENTRIES.values() for name in entry.optax_names}
    return {*gradtx.__all__, *peers, *others}


def is_here(name, names):
    return name in names or name.removeprefix("contrib.") in names


def test_there_are_lists():
    assert len(THEIRS) > 150


@pytest.mark.parametrize("name", THEIRS)
def test_each_is_here_or_has_a_reason(name):
    assert is_here(name, known()) or name in INSTEAD or name in FUNCTIONS


def test_reasons_are_needed():
    """A name that has come, here or there, needs no line any more."""
    names = known()
    assert not {name for name in INSTEAD if is_here(name, names)}
    assert not {name for name in FUNCTIONS if name in gradtx.__all__}
    assert {*INSTEAD, *FUNCTIONS} <= set(THEIRS)


@pytest.mark.parametrize("name", INSTEAD)
def test_what_a_reason_names_exists(name):
    for word in re.findall(r"`(\w+)`", INSTEAD[name]):
        assert word in gradtx.__all__, word
    for package, member in re.findall(r"\b(rates|moments|frames)\.(\w+)", INSTEAD[name]):
        assert callable(getattr(getattr(gradtx, package), member)), f"{package}.{member}"


def test_a_name_of_theirs_that_is_missing_is_found():
    assert not is_here("a_transformation_of_tomorrow", known())
    assert "adam" in THEIRS
    assert is_here("adam", known() - {"sgd"})
    assert not is_here("adam", known() - {"adam"})
