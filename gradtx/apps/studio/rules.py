"""The update rules of the page, `rules.js`: generated from the library's own transformations, never written again."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import itertools
import json
from collections.abc import Mapping
from typing import Any

from gradtx.apps.studio.offered import OFFERED, Offered
from gradtx.apps.studio.primitives import HELPERS, NotTranslatedError
from gradtx.apps.studio.programs import UNNAMED, Field, Programs, amplification, programs
from gradtx.core.pair import GradientTransformation

SCALING = frozenset({"rates", "step_sizes"})  # what steps are multiplied by; what divides them has its own role

HEADER = """\
// The update rules of gradtx {version}, as straight-line arithmetic in float64. They are generated: each function is
// what JAX traces of the library's own transformation, each entry of an array a variable. Changes belong there.
//
// GRADTX.optimizers is a list of
//   {{name, label, call, hyperparameters: [{{name, value, scale, min, max, options, about}}],
//    state: [{{name, like, scaling, about}}], init(w, h) -> s, update(g, s, w, h) -> {{u, s}}}}
// where w, g and u are lists of two numbers, h has the hyperparameters by name, and s the fields of the state: a list
// of two numbers where it is like "params", else a number. The new point is w + u. Nothing is changed in place.
// scale: "log", "linear", "complement" (fine near 1), "flag" (true or false) or "choice" (one of options).
// scaling: whether steps are divided or multiplied by it.
// GRADTX.amplification(g1, g2, rho, eps) is |u| - |g2| for the second update of scale_by_rms, from rest.
"""

CHOOSING = """\
// One of several functions, by the settings that choose between programs.
function chosen(names, functions) {
  return (...given) => {
    const h = given[given.length - 1];
    const key = names.map((name) => String(h[name])).join();
    if (!Object.hasOwn(functions, key)) throw new RangeError(`no rule for ${names.join()} = ${key}`);
    return functions[key](...given);
  };
}
"""


class Functions:
    """Functions of JavaScript, each written once; those with the same body are one."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def add(self, name: str, text: str) -> str:
        """The name under which this function can be called: this one, or that of its double."""
        taken = set(self._names.values())
        names = itertools.chain([name], (f"{name}_{k}" for k in itertools.count(2)))
        return self._names.setdefault(text, next(free for free in names if free not in taken))

    def __str__(self) -> str:
        named = (text.replace(f"function {UNNAMED}", f"function {name}", 1) for text, name in self._names.items())
        return "\n".join(named)


@functools.cache
def rules() -> str:
    """The text of `rules.js`.

    Raises:
        NotTranslatedError: where a transformation does what cannot be written as such a function.
    """
    version, functions = importlib.metadata.version("gradtx"), Functions()
    optimizers = ",\n".join(_optimizer(name, offered, functions) for name, offered in OFFERED.items())
    of_map = functions.add("amplification", amplification())
    lines = [
        f"{HEADER.format(version=version)}const GRADTX = (() => {{",
        '"use strict";',
        f"{HELPERS}{CHOOSING}{functions}",
        "return {",
        f"version: {json.dumps(version)},",
        f"optimizers: [{optimizers}],",
        f"amplification: {of_map},",
        "};",
        "})();",
    ]
    return "".join(f"{line}\n" for line in lines)


def transformation_of(name: str, settings: Mapping[str, Any]) -> GradientTransformation:
    """The transformation whose rule the page follows.

    Args:
        name: of the optimizer, out of `OFFERED`.
        settings: all that can be set, by name.
    """
    return OFFERED[name].recipe(**{**OFFERED[name].fixed, **settings})


def settings_of(name: str) -> dict[str, Any]:
    """The hyperparameters with which the page begins, by name."""
    return dict(OFFERED[name].first)


def combinations(name: str) -> list[dict[str, Any]]:
    """Every combination of the settings that choose between programs; one, without any, where there are none."""
    static = {key: slider for key, slider in OFFERED[name].sliders.items() if slider.is_static}
    values = [(False, True) if slider.scale == "flag" else slider.options for slider in static.values()]
    return [dict(zip(static, chosen, strict=True)) for chosen in itertools.product(*values)]


def _optimizer(name: str, offered: Offered, functions: Functions) -> str:
    """An optimizer as an object of JavaScript."""
    made = {}
    for settings in combinations(name):
        key = ",".join(str(x).lower() if isinstance(x, bool) else x for x in settings.values())
        made[key] = _programs(name, offered, settings)
    states = {found.fields for found in made.values()}
    if len(states) > 1:
        raise NotTranslatedError(f"{name}: which state it keeps depends on a setting: offer it once for each")
    about = {
        "name": name,
        "label": offered.label,
        "call": _call(offered),
        "hyperparameters": [_hyperparameter(offered, key) for key in offered.sliders],
        "state": [_field(field) for field in states.pop()],
    }
    lines = [f"  {key}: {json.dumps(value, ensure_ascii=False)}," for key, value in about.items()]
    static = [key for key, slider in offered.sliders.items() if slider.is_static]
    for member in ("init", "update"):
        of_key = {key: functions.add(f"{name}_{member}", getattr(found, member)) for key, found in made.items()}
        lines.append(f"  {member}: {_chosen(static, of_key)},")
    return "\n".join(["{", *lines, "}"])


def _programs(name: str, offered: Offered, settings: Mapping[str, Any]) -> Programs:
    make = functools.partial(offered.recipe, **offered.fixed, **settings)
    try:
        return programs(make, [key for key, slider in offered.sliders.items() if not slider.is_static])
    except NotTranslatedError as error:
        raise NotTranslatedError(f"{name}: {error}") from None


def _chosen(static: list[str], functions: dict[str, str]) -> str:
    if len(set(functions.values())) == 1:
        return next(iter(functions.values()))
    entries = ", ".join(f"{json.dumps(key)}: {function_name}" for key, function_name in functions.items())
    return f"chosen({json.dumps(static)}, {{ {entries} }})"


def _call(offered: Offered) -> str:
    """The call with the names of what can be set: `sgd(learning_rate, momentum, nesterov=True)`."""
    words, in_place = [], True
    for parameter in inspect.signature(offered.recipe).parameters.values():
        name = parameter.name
        in_place = in_place and name in offered.sliders and parameter.kind is not parameter.KEYWORD_ONLY
        if name in offered.sliders:
            words.append(name if in_place else f"{name}={name}")
        elif name in offered.fixed:
            words.append(f"{name}={offered.fixed[name]!r}")
    return f"{offered.recipe.__name__}({', '.join(words)})"


def _field(field: Field) -> dict[str, Any]:
    scaling = field.role == "nonnegative" or field.name in SCALING
    like = "params" if field.shape else "scalar"
    return {"name": field.name, "like": like, "scaling": scaling, "about": field.about}


def _hyperparameter(offered: Offered, name: str) -> dict[str, Any]:
    slider = offered.sliders[name]
    limits = {} if slider.is_static else {"min": slider.least, "max": slider.most}
    options = {"options": slider.options} if slider.options else {}
    known = {"name": name, "value": offered.first[name], "scale": slider.scale, **limits, **options}
    return {**known, "about": offered.about[name]}
