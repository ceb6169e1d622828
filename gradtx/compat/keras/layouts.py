"""Where Keras' optimizers have the numbers of gradtx's states: which variables, in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

Arrays = Mapping[str, Any]


class Layout(NamedTuple):
    """The variables of an optimizer.

    fields: field of a state here -> variable, both like a parameter. blocks: the variables in Keras' order: those of a
    block come one after another for the first parameter, then for the second. into, out: for fields and variables whose
    numbers have another form, that form from all variables, or from all fields, of one parameter. last: whether the
    product of all momenta stands at the end. every: whether every parameter has all variables, with a scalar in place
    of a row or a column that it has not.
    """

    fields: Mapping[str, str] = {}
    blocks: tuple[tuple[str, ...], ...] = ()
    into: Mapping[str, Callable[[Arrays], Any]] = {}
    out: Mapping[str, Callable[[Arrays], Any]] = {}
    last: bool = False
    every: bool = False


AROUND = Layout(
    {"average": "average", "accumulated": "gradient_accumulator"}, (("average",), ("gradient_accumulator",))
)
"""What stands in front of the variables of every optimizer."""

_ADAM = {"mu": "momentum", "nu": "velocity"}
_PAIR = (("momentum", "velocity"),)
_CENTERED = {"nu": "velocity", "mu": "average_gradient"}
_VARIANCE = {"nu": lambda x: x["velocity"] - jnp.square(x["average_gradient"])}
_SQUARES = {"velocity": lambda x: x["nu"] + jnp.square(x["mu"])}


def _product(x: Arrays) -> Any:
    """The second moment of a factored leaf."""
    return x["row"] / jnp.mean(x["row"], -2, keepdims=True) * x["column"]


LAYOUTS: Mapping[frozenset[str], Layout] = {
    frozenset(kinds.split()): layout
    for kinds, layout in {
        "": Layout(),
        "AddMomentumState": Layout(
            {"trace": "momentum"},
            (("momentum",),),
            {"trace": lambda x: -x["momentum"]},
            {"momentum": lambda x: -x["trace"]},
        ),
        "ScaleByAdamState": Layout(_ADAM, _PAIR),
        "ScaleByAmsgradState": Layout({**_ADAM, "nu_max": "velocity_hat"}, (*_PAIR, ("velocity_hat",))),
        "ScaleByAdamaxState": Layout({"mu": "momentum", "nu": "norm"}, (("momentum", "norm"),)),
        "ScaleByScheduledNadamState": Layout(_ADAM, _PAIR, last=True),
        "ScaleByRmsState": Layout({"nu": "velocity"}, (("velocity",),)),
        "ScaleByRmsState AddMomentumState": Layout(
            {"nu": "velocity", "trace": "momentum"}, (("velocity",), ("momentum",))
        ),
        "ScaleByStddevState": Layout(_CENTERED, (("velocity",), ("average_gradient",)), _VARIANCE, _SQUARES),
        "ScaleByStddevState AddMomentumState": Layout(
            {**_CENTERED, "trace": "momentum"},
            (("velocity",), ("momentum",), ("average_gradient",)),
            _VARIANCE,
            _SQUARES,
        ),
        "AccumulateSquaresState": Layout({"sum_of_squares": "accumulator"}, (("accumulator",),)),
        "ScaleByAdadeltaState": Layout(
            {"e_g": "accumulated_grad", "e_x": "accumulated_delta_var"},
            (("accumulated_grad", "accumulated_delta_var"),),
        ),
        "ScaleByRmsState FactoredMoment": Layout(
            {"row": "row", "column": "column", "full": "velocity"},
            (("row", "column", "velocity"),),
            {"row": lambda x: x["row"][..., None], "column": lambda x: x["column"][..., None, :]},
            {
                "row": lambda x: x["row"][..., 0] if "row" in x else 0,
                "column": lambda x: x["column"][..., 0, :] if "column" in x else 0,
                "velocity": lambda x: _product(x) if "row" in x else x["full"],
            },
            every=True,
        ),
        "FtrlState": Layout({"accumulator": "accumulator", "linear": "linear"}, (("accumulator", "linear"),)),
        "ScaleByLionState": Layout({"mu": "momentum"}, (("momentum",),)),
        "ScheduleFreeState ScaleByRmsState": Layout({"z": "momentum", "nu": "velocity"}, _PAIR),
        "matrices/AddMomentumState": Layout({"trace": "momentum"}, _PAIR),
        "others/ScaleByAdamState": Layout(_ADAM, _PAIR),
        "matrices/AddMomentumState others/ScaleByAdamState": Layout(
            {**_ADAM, "trace": "momentum"}, _PAIR, out={"momentum": lambda x: x["trace"] if "trace" in x else x["mu"]}
        ),
    }.items()
}
"""The types of the states that belong to one of Keras' optimizers -> its variables."""

WRAPPERS = {"HyperparametersState", "AverageState", "AccumulateState", "DecayFirstState"}
"""States that hold those of an optimizer and belong to none of them."""
