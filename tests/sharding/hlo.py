"""Reading compiled programs: which collectives there are, and how long the program is."""

import re
from typing import NamedTuple

KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast"
INSTRUCTION = re.compile(rf"= (?P<type>.*?) (?P<kind>{KINDS})(?:-start)?\(")
ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
BRANCHES = re.compile(r"(?:true_computation|false_computation)=%?([\w.\-]+)|branch_computations=\{([^}]*)\}")
CALLED = re.compile(r"(?:calls|to_apply|condition|body)=%?([\w.\-]+)")


class Collective(NamedTuple):
    """A collective: its kind, the types and shapes that it takes at once, and whether it is in a branch of a cond."""

    kind: str
    arrays: tuple[tuple[str, tuple[int, ...]], ...]
    in_branch: bool


def collectives(compiled):
    """The collectives of a compiled program, in its order."""
    bodies, entry = _computations(compiled.as_text())
    always, reached = _reached(bodies, [entry]), _reached(bodies, [entry], branches=True)
    found = []
    for name in reached:
        for line in bodies[name]:
            match = INSTRUCTION.search(line)
            if match:
                arrays = tuple(
                    (t, tuple(map(int, filter(None, s.split(","))))) for t, s in ARRAY.findall(match["type"])
                )
                found.append(Collective(match["kind"], arrays, name not in always))
    return found


def length(compiled):
    """How many instructions a compiled program has."""
    return sum(len(lines) for lines in _computations(compiled.as_text())[0].values())


def _computations(text):
    bodies, entry, name = {}, None, None
    for line in text.splitlines():
        match = COMPUTATION.match(line)
        if match:
            name = match["name"]
            bodies[name] = []
            entry = name if match["entry"] else entry
        elif name is not None and " = " in line:
            bodies[name].append(line)
        elif line.startswith("}"):
            name = None
    return bodies, entry


def _reached(bodies, names, *, branches=False):
    """The computations that are called from these; those in branches too, if asked for."""
    reached, waiting = [], list(names)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.append(name)
        for line in bodies[name]:
            waiting += CALLED.findall(line)
            if branches:
                for one, several in BRANCHES.findall(line):
                    waiting += [n.strip().lstrip("%") for n in (one or several).split(",")]
    return reached
