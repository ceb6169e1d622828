"""The update rules of the page, `rules.js`. They are generated from the library's own transformations."""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
import json
from collections.abc import Mapping
from typing import Any

from gradtx.apps.studio.offered import OFFERED, Offered
from gradtx.apps.studio.primitives import HELPERS, NotTranslatedError
from gradtx.apps.studio.programs import UNNAMED, Programs, amplification, programs

HEADER = """\
// The update rules of gradtx {version}, as straight-line arithmetic in float64. They are generated: each function is
// what JAX traces of the library's own transformation, with a variable for each entry of an array. Change them there.
//
// GRADTX.optimizers is a list of
//   {{name, label, call, hyperparameters: [{{name, value, scale, min, max, options, about}}],
//    state: [{{name, like, scaling, about}}], init(w, h) -> s, update(g, s, w, f, h) -> {{u, s}}}}
// where w, g and u are lists of two numbers, f is the error at w, h has the hyperparameters by name, and s the fields
// of the state: a list of two numbers if it is like "params", else a number. The new point is w + u. Arguments are
// never changed.
// scale: "log", "linear", "complement" (fine near 1), "flag" (true or false) or "choice" (one of options).
// scaling: whether steps are divided or multiplied by this field.
// GRADTX.amplification(g1, g2, rho, eps) is |u| - |g2| for the second update of RMSProp, which starts at zero.
"""

CHOOSING = """\
// One of several functions, chosen by the settings that need different programs.
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
    """JavaScript functions. Two with the same body become one."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def add(self, name: str, text: str) -> str:
        """The name to call the function by: the given one, with a number if it is taken, or that of an equal one."""
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
        NotTranslatedError: a transformation uses something that has no translation.
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


def _optimizer(name: str, offered: Offered, functions: Functions) -> str:
    """The JavaScript object of an optimizer."""
    numbers = [key for key, how in offered.ranges.items() if not how.is_static]
    made: dict[str, Programs] = {}
    for static in offered.combinations():
        key = ",".join(str(x).lower() if isinstance(x, bool) else x for x in static.values())
        try:
            made[key] = programs(functools.partial(offered.make, **static), numbers)
        except NotTranslatedError as error:
            raise NotTranslatedError(f"{name}: {error}") from None
    states = {found.fields for found in made.values()}
    if len(states) > 1:
        raise NotTranslatedError(f"{name}: its state depends on a setting; offer each value as an optimizer of its own")
    about = {
        "name": name,
        "label": offered.setting.label,
        "call": offered.call,
        "hyperparameters": [_hyperparameter(offered, key) for key in offered.first],
        "state": [field.described() for field in states.pop()],
    }
    lines = [f"  {key}: {json.dumps(value, ensure_ascii=False)}," for key, value in about.items()]
    static_names = [key for key in offered.first if key not in numbers]
    for member in ("init", "update"):
        of_key = {key: functions.add(f"{name}_{member}", getattr(found, member)) for key, found in made.items()}
        lines.append(f"  {member}: {_chosen(static_names, of_key)},")
    return "\n".join(["{", *lines, "}"])


def _chosen(static: list[str], functions: Mapping[str, str]) -> str:
    if len(set(functions.values())) == 1:
        return next(iter(functions.values()))
    entries = ", ".join(f"{json.dumps(key)}: {function_name}" for key, function_name in functions.items())
    return f"chosen({json.dumps(static)}, {{ {entries} }})"


def _hyperparameter(offered: Offered, name: str) -> dict[str, Any]:
    how = offered.ranges[name]
    limits = {} if how.is_static else {"min": how.least, "max": how.most}
    options = {"options": how.options} if how.options else {}
    about = offered.entry.about(name)
    return {"name": name, "value": offered.first[name], "scale": how.scale, **limits, **options, "about": about}
