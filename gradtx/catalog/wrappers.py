"""Entries of wrappers: transformations that hold other transformations."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.core.chain import chain
from gradtx.core.transformation import foreign
from gradtx.inspection.watch import watch
from gradtx.precision.compensate import compensate
from gradtx.precision.loss_scale import dynamic_loss_scale
from gradtx.precision.master import keep_master
from gradtx.precision.rounding import round_stochastically
from gradtx.precision.split import split24
from gradtx.sparse.skipped_rows import decay_skipped_rows
from gradtx.storage.store import store
from gradtx.wrappers.accumulate import accumulate
from gradtx.wrappers.average import average
from gradtx.wrappers.every import every
from gradtx.wrappers.inject import inject
from gradtx.wrappers.lookahead import lookahead
from gradtx.wrappers.masked import freeze, masked
from gradtx.wrappers.partition import partition, per_leaf_learning_rate, route
from gradtx.wrappers.sam import sam
from gradtx.wrappers.schedule_free import schedule_free
from gradtx.wrappers.skip import skip_if, skip_nonfinite, skip_spikes


def _same(name: str) -> dict[str, Setting]:
    return {"": Setting(optax=Peer(name))}


def _differs(name: str, how: str) -> dict[str, Setting]:
    return {"": Setting(optax=Peer(name, differs=how))}


_RULES = "optax has no rules by path, and calls functions with the gradients."

ENTRIES = (
    Entry(chain, "wrapper", "around", settings=_same("chain"), optax_names=("named_chain",)),
    Entry(foreign, "wrapper", "around"),
    Entry(
        inject,
        "wrapper",
        "around",
        settings=_differs("inject_hyperparams", "optax's wraps a factory."),
        optax_names=("inject_hyperparams",),
    ),
    Entry(masked, "wrapper", "which leaves", settings=_differs("masked", _RULES)),
    Entry(
        freeze,
        "wrapper",
        "which leaves",
        optax_absent={"mask": "a wrapper: freeze(inner, frozen)"},
        settings=_differs("freeze", "optax's is not a wrapper."),
        optax_names=("selective_transform",),
    ),
    Entry(
        partition,
        "wrapper",
        "which leaves",
        optax_absent={"param_labels": "labels"},
        settings=_differs("partition", _RULES),
        optax_names=("multi_transform",),
    ),
    Entry(route, "wrapper", "which leaves"),
    Entry(per_leaf_learning_rate, "wrapper", "which leaves", usual={"default": 1.0}),
    Entry(
        accumulate,
        "wrapper",
        "when",
        usual={"steps": 2, "reduction": "mean"},
        settings=_differs("MultiSteps", "optax's runs the inner transformation at every update."),
        optax_names=("MultiSteps",),
    ),
    Entry(
        every,
        "wrapper",
        "when",
        usual={"steps": 2, "otherwise": "zero"},
        settings=_differs("conditionally_transform", "optax's takes a function of the step."),
        optax_names=("conditionally_transform",),
    ),
    Entry(
        skip_nonfinite,
        "wrapper",
        "when",
        usual={"max_consecutive": None, "check_updates": True, "axis_name": None},
        settings=_differs("apply_if_finite", "optax's looks at the gradients only."),
        optax_names=("apply_if_finite",),
    ),
    Entry(
        skip_if,
        "wrapper",
        "when",
        usual={"axis_name": None},
        settings=_differs("conditionally_mask", "optax's takes a function of the step."),
        optax_names=("conditionally_mask",),
    ),
    Entry(skip_spikes, "wrapper", "when", usual={"k_sigma": 6.0, "window": 128, "axis_name": None}),
    Entry(
        average,
        "wrapper",
        "averages",
        usual={"decay": None, "start": 0, "every": 1, "debias": True},
        source="Polyak & Juditsky, doi:10.1137/0330046",
        year=1992,
        optax_names=("incremental_update",),
    ),
    Entry(
        lookahead,
        "wrapper",
        "averages",
        optax_absent={"fast_optimizer": "inner, as in every wrapper"},
        usual={"sync_period": 6, "slow_step_size": 0.5, "reset_state": False},
        source="Zhang et al., arXiv:1907.08610, algorithm 1",
        year=2019,
        settings=_differs("lookahead", "optax's keeps the slow parameters with the fast ones."),
    ),
    Entry(
        schedule_free,
        "wrapper",
        "averages",
        optax_absent={"base_optimizer": "inner, as in every wrapper"},
        usual={"learning_rate": 1.0, "b1": 0.9, "weight_lr_power": 2.0, "average_decay": None},
        source="Defazio et al., arXiv:2405.15682, equations 3 to 5",
        year=2024,
        settings=_differs("contrib.schedule_free", "optax's reads a schedule one step late."),
        fields={
            "b1": "the share of the average in the parameters",
            "weight_sum": "sum of the weights of the average",
            "max_learning_rate": "largest learning rate so far",
            "z": "where the inner steps lead",
        },
    ),
    Entry(
        sam,
        "wrapper",
        "averages",
        optax_absent={
            "optimizer": "inner, as in every wrapper",
            "adv_optimizer": "`sam` takes the gradients itself",
            "sync_period": "`sam` takes the gradients itself",
            "reset_state": "`sam` takes the gradients itself",
            "opaque_mode": "`sam` takes the gradients itself",
            "batch_axis_name": "`sam` takes the gradients itself",
        },
        usual={"rho": 0.05, "axis_name": None},
        source="Foret et al., arXiv:2010.01412, algorithm 1",
        year=2021,
        settings=_differs("contrib.sam", "optax's takes a second optimizer."),
    ),
    Entry(store, "wrapper", "storage", usual={"min_size": 4096, "roles": None}),
    Entry(
        round_stochastically,
        "wrapper",
        "precision",
        usual={"key": 0},
        source="Gupta et al., arXiv:1502.02551, section 3",
        year=2015,
    ),
    Entry(compensate, "wrapper", "precision", source="Kahan, doi:10.1145/363707.363723", year=1965),
    Entry(keep_master, "wrapper", "precision", source="Micikevicius et al., arXiv:1710.03740, section 3.1", year=2018),
    Entry(split24, "wrapper", "precision"),
    Entry(
        dynamic_loss_scale,
        "wrapper",
        "precision",
        usual={
            "initial_scale": 32768.0,
            "growth_factor": 2.0,
            "backoff_factor": 0.5,
            "growth_interval": 2000,
            "min_scale": 1.0,
            "axis_name": None,
        },
        source="Micikevicius et al., arXiv:1710.03740, section 3.2",
        year=2018,
    ),
    Entry(decay_skipped_rows, "wrapper", "rows"),
    Entry(
        watch,
        "wrapper",
        "inspection",
        usual={"window": 128, "every": 100, "sample": 256, "groups": None, "previous": True, "bins": (-8.0, 4.0, 24)},
    ),
)
