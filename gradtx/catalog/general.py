"""Entries of general pieces: scaling, momentum, noise, line searches."""

from __future__ import annotations

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.transforms.backtracking import scale_by_backtracking_linesearch
from gradtx.transforms.basic import identity, scale, scale_by_learning_rate, scale_by_sign, set_to_zero
from gradtx.transforms.momentum import add_damped_momentum, add_momentum, add_nesterov_momentum, ema
from gradtx.transforms.noise import add_noise
from gradtx.transforms.plateau import reduce_on_plateau
from gradtx.transforms.turns import take_turns
from gradtx.transforms.zoom import scale_by_zoom_linesearch
from gradtx.wrappers.decay import add_decayed_weights

_COUNTED = {"count": "updates so far"}
_TRACE = {"trace": "running sum of g"}
_SEARCHED = {
    **_COUNTED,
    "learning_rate": "the step found last",
    "value": "the value there",
    "grad": "the gradient there",
    "info": "what the search did",
}


def _same(name: str, **theirs: object) -> dict[str, Setting]:
    return {"": Setting(optax=Peer(name, theirs))}


ENTRIES = (
    Entry(identity, "piece", "basic", settings=_same("identity")),
    Entry(set_to_zero, "piece", "basic", settings=_same("set_to_zero")),
    Entry(take_turns, "piece", "basic", laws={"needs_params": True}),
    Entry(
        scale, "piece", "basic", usual={"step_size": -0.5}, settings=_same("scale"), optax_names=("scale_by_schedule",)
    ),
    Entry(
        scale_by_learning_rate,
        "piece",
        "basic",
        usual={"learning_rate": 0.1, "flip_sign": True},
        settings={
            **_same("scale_by_learning_rate"),
            "up": Setting(arguments={"flip_sign": False}, optax=Peer("scale_by_learning_rate")),
        },
    ),
    Entry(
        scale_by_sign,
        "piece",
        "basic",
        source="Bernstein et al., arXiv:1802.04434, algorithm 1",
        year=2018,
        settings=_same("scale_by_sign"),
        normalizes=True,
    ),
    Entry(
        add_decayed_weights,
        "piece",
        "basic",
        usual={"weight_decay": 0.01, "mask": None, "cautious": False},
        source="Loshchilov & Hutter, arXiv:1711.05101, algorithm 2",
        year=2019,
        settings={**_same("add_decayed_weights"), "cautious": Setting(arguments={"cautious": True})},
        laws={"needs_params": True},
    ),
    Entry(
        add_momentum,
        "piece",
        "momentum",
        usual={"decay": 0.9},
        source="Polyak",
        year=1964,
        settings=_same("trace"),
        optax_names=("trace",),
        fields=_TRACE,
        normalizes=False,
    ),
    Entry(
        add_nesterov_momentum,
        "piece",
        "momentum",
        usual={"decay": 0.9},
        source="Nesterov",
        year=1983,
        settings=_same("trace", nesterov=True),
        fields=_TRACE,
        normalizes=False,
    ),
    Entry(
        add_damped_momentum,
        "piece",
        "momentum",
        usual={"decay": 0.9, "dampening": 0.5},
        source="torch's SGD",
        fields={**_COUNTED, **_TRACE},
        normalizes=False,
    ),
    Entry(
        ema,
        "piece",
        "momentum",
        usual={"decay": 0.9, "debias": True},
        source="Kingma & Ba, arXiv:1412.6980, section 3",
        year=2015,
        settings={**_same("ema"), "biased": Setting(arguments={"debias": False}, optax=Peer("ema"))},
        fields={**_COUNTED, "mu": "running mean of g"},
        normalizes=False,
    ),
    Entry(
        add_noise,
        "piece",
        "noise",
        optax_absent={"seed": "key"},
        usual={"eta": 0.01, "gamma": 0.55, "key": 3},
        source="Neelakantan et al., arXiv:1511.06807, equation 1",
        year=2015,
        settings={"": Setting(optax=Peer("add_noise", differs="optax splits its key at every step."))},
        fields={**_COUNTED, "key": "the random key"},
    ),
    Entry(
        scale_by_backtracking_linesearch,
        "piece",
        "line searches",
        usual={
            "max_backtracking_steps": 12,
            "slope_rtol": 1e-4,
            "decrease_factor": 0.8,
            "increase_factor": 1.5,
            "max_learning_rate": 1.0,
            "atol": 0.0,
            "rtol": 0.0,
            "store_grad": False,
            "axis_name": None,
        },
        source="Armijo; Nocedal & Wright, algorithm 3.1",
        year=1966,
        settings={
            "": Setting(
                optax=Peer("scale_by_backtracking_linesearch", differs="optax takes the last step where it fails.")
            )
        },
        fields={**_SEARCHED, "untried": "the next step of a search that ran out of tries"},
        full_batch=True,
        laws={"needs_params": True, "smooth": False},
    ),
    Entry(
        scale_by_zoom_linesearch,
        "piece",
        "line searches",
        usual={
            "max_linesearch_steps": 12,
            "max_learning_rate": None,
            "tol": 0.0,
            "increase_factor": 2.0,
            "slope_rtol": 1e-4,
            "curv_rtol": 0.9,
            "approx_dec_rtol": 1e-6,
            "stepsize_precision": 1e-5,
            "initial_guess_strategy": "keep",
            "axis_name": None,
        },
        source="Nocedal & Wright, algorithms 3.5 and 3.6",
        year=2006,
        settings={
            "": Setting(optax=Peer("scale_by_zoom_linesearch", differs="optax's stepsize_precision is a length."))
        },
        fields=_SEARCHED,
        full_batch=True,
        laws={"needs_params": True, "smooth": False},
    ),
    Entry(
        reduce_on_plateau,
        "piece",
        "plateau",
        usual={
            "factor": 0.1,
            "patience": 10,
            "rtol": 1e-4,
            "atol": 0.0,
            "cooldown": 0,
            "accumulation_size": 1,
            "min_scale": 0.0,
        },
        source="torch's ReduceLROnPlateau",
        settings={"": Setting(optax=Peer("contrib.reduce_on_plateau", differs="optax's is for values above zero."))},
        fields={
            "scale": "the factor in use",
            "best_value": "the lowest mean so far",
            "plateau_count": "means in a row that were not lower",
            "cooldown_count": "means that do not count any more",
            "count": "values in the present mean",
            "avg_value": "the present mean",
        },
    ),
)
