"""Entries of methods that follow the gradient, or the gradient times an approximate inverse Hessian."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.optimizers.lbfgs import lbfgs, scale_by_lbfgs
from gradtx.optimizers.sgd import sgd

_MOMENTUM_RATES = (0.003, 0.01, 0.03, 0.1)

ENTRIES = (
    Entry(
        sgd,
        "recipe",
        "sgd",
        identities=(("sgd(0.1, momentum=0.0)", "sgd(0.1)"),),
        usual={"learning_rate": 0.1, "momentum": None, "nesterov": False, "dampening": None},
        source="Robbins & Monro",
        year=1951,
        settings={
            "": Setting(
                called="sgd",
                demo=True,
                label="Gradient descent",
                optax=Peer("sgd"),
                torch=Peer("SGD"),
                keras=Peer("SGD"),
                rates=(0.01, 0.03, 0.1, 0.3),
                quick=True,
                offered={"learning_rate": 0.02},
            ),
            "momentum": Setting(
                arguments={"momentum": 0.9},
                called="momentum",
                demo=True,
                label="Momentum",
                optax=Peer("sgd"),
                torch=Peer("SGD", {"momentum": 0.9}),
                keras=Peer("SGD", {"momentum": 0.9}),
                rates=_MOMENTUM_RATES,
                quick=True,
                shared={"momentum": 0.9},
                offered={"learning_rate": 0.005, "momentum": 0.9, "dampening": 0.0},
            ),
            "nesterov": Setting(
                arguments={"momentum": 0.9, "nesterov": True},
                called="nesterov",
                demo=True,
                label="Nesterov momentum",
                optax=Peer("sgd"),
                torch=Peer("SGD", {"momentum": 0.9, "nesterov": True}),
                keras=Peer("SGD", {"momentum": 0.9, "nesterov": True}),
                rates=_MOMENTUM_RATES,
                shared={"momentum": 0.9, "nesterov": True},
                offered={"learning_rate": 0.005, "momentum": 0.9},
            ),
            "damped": Setting(
                arguments={"momentum": 0.9, "dampening": 0.5}, torch=Peer("SGD", {"momentum": 0.9, "dampening": 0.5})
            ),
        },
    ),
    Entry(
        scale_by_lbfgs,
        "piece",
        "lbfgs",
        usual={"memory_size": 10, "scale_init_precond": True, "axis_name": None},
        source="Nocedal & Wright, algorithm 7.4",
        year=2006,
        settings={"": Setting(optax=Peer("scale_by_lbfgs", differs="optax keeps pairs of negative curvature."))},
        fields={
            "count": "updates so far",
            "slot": "where the next pair is stored",
            "params": "parameters of the last update",
            "updates": "gradients of the last update",
            "diff_params_memory": "differences of parameters",
            "diff_updates_memory": "differences of gradients",
            "weights_memory": "curvature of each pair",
        },
        full_batch=True,
        laws={"needs_params": True},
    ),
    Entry(
        lbfgs,
        "recipe",
        "lbfgs",
        usual={"learning_rate": None, "memory_size": 10, "scale_init_precond": True, "axis_name": None},
        source="Liu & Nocedal, doi:10.1007/BF01589116",
        year=1989,
        settings={"": Setting(optax=Peer("lbfgs", differs="optax keeps pairs of negative curvature."))},
        full_batch=True,
        not_offered="it needs functions of the loss",
        laws={"needs_params": True, "smooth": False},
    ),
)
