"""Sets of parameters for `project_onto`, as values: where the parameters of an optimizer may be.

A projection takes each leaf to the nearest point of the set. Sets of this package, and the functions of
`optax.projections` that do the same. Those take the whole tree as one vector; a set takes each leaf, or each slice of a
leaf along `axis`. Where the tree is one array, both are the same.

| here | in optax |
|---|---|
| `box(lower, upper)` | `projection_box` |
| `nonnegative()` | `projection_non_negative` |
| `hypercube(side)` | `projection_hypercube` |
| `linf_ball(radius)` | `projection_linf_ball` |
| `l2_ball(radius)` | `projection_l2_ball` |
| `sphere(radius)` | `projection_l2_sphere` |
| `l1_ball(radius)` | `projection_l1_ball` |
| `l1_sphere(radius)` | `projection_l1_sphere` |
| `simplex(total)` | `projection_simplex` |
| `hyperplane(a, b)` | `projection_hyperplane` |
| `halfspace(a, b)` | `projection_halfspace` |
| `line(a)` | `projection_vector` |
| `stiefel()`, `everywhere()`, `sphere()` of the initial norm | |
"""

from gradtx.sets.balls import l2_ball, sphere
from gradtx.sets.boxes import box, hypercube, linf_ball, nonnegative
from gradtx.sets.flats import halfspace, hyperplane, line
from gradtx.sets.set import Set, everywhere
from gradtx.sets.simplex import l1_ball, l1_sphere, simplex
from gradtx.sets.stiefel import stiefel

__all__ = [
    "Set",
    "box",
    "everywhere",
    "halfspace",
    "hypercube",
    "hyperplane",
    "l1_ball",
    "l1_sphere",
    "l2_ball",
    "line",
    "linf_ball",
    "nonnegative",
    "simplex",
    "sphere",
    "stiefel",
]
