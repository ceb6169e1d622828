"""Second moments as values: they say which entries share one running mean of squares.

    >>> import gradtx
    >>> from gradtx import moments
    >>> tx = gradtx.scale_by_rms(0.999, moment=moments.factored())
    >>> tx.moment
    moments.factored(eps=1e-30, axes=None, min_dim_size=2)

`scale_by_rms`, `divide_by_rms` and the piece of Adagrad take one. This decides what the state keeps, and what each
entry is divided by. `gradtx.storage` is about something else: codecs keep a second moment of every entry in fewer bytes
between two steps, and the step itself divides by the whole one.
"""

from gradtx.moments.factored import FactoredMoment, factored
from gradtx.moments.largest import max_of_axes
from gradtx.moments.means import blocks, full, per, per_column, per_leaf, per_row
from gradtx.moments.moment import Moment

__all__ = [
    "FactoredMoment",
    "Moment",
    "blocks",
    "factored",
    "full",
    "max_of_axes",
    "per",
    "per_column",
    "per_leaf",
    "per_row",
]
