"""Pictures with matplotlib: `pip install "gradtx[plots]"`. They can be read in grey, and by colour-blind readers.

The data are arrays, by label. A function that draws one panel takes `ax`, a function that draws several takes `figure`;
each returns where it drew. The labels of lines are at their ends: make your own figures with `layout="constrained"`,
so that there is room for them.
"""

from gradtx.plots.amplification import amplification, amplification_map
from gradtx.plots.basin_strips import basin_strips
from gradtx.plots.basins import Basin, basin, basins
from gradtx.plots.curves import races
from gradtx.plots.heat import heat_map
from gradtx.plots.histogram import rate_histogram
from gradtx.plots.panels import Panel, panels
from gradtx.plots.profiles import Profile, performance_profile, profile
from gradtx.plots.readings import ratios, readings_over_time
from gradtx.plots.schedules import schedules
from gradtx.plots.style import in_style, save
from gradtx.plots.trajectories import trajectories
from gradtx.plots.trajectory import Trajectory, trajectory

__all__ = [
    "Basin",
    "Panel",
    "Profile",
    "Trajectory",
    "amplification",
    "amplification_map",
    "basin",
    "basin_strips",
    "basins",
    "heat_map",
    "in_style",
    "panels",
    "performance_profile",
    "profile",
    "races",
    "rate_histogram",
    "ratios",
    "readings_over_time",
    "save",
    "schedules",
    "trajectories",
    "trajectory",
]
