"""The README's pictures, made anew: `python -m tests.pictures` writes them into notebooks/pictures/.

trajectories.png: four optimizers on an elongated bowl, and what they divide the gradient by. amplification.png: which
second gradients RMSProp makes larger, for three decays.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import gradtx
from gradtx import plots

FOLDER = Path(__file__).parent.parent / "notebooks" / "pictures"
WIDTH = 8.0  # inches: 800 pixels of a page, at 200 dots an inch two for each
START, STEPS = [-15.0, 20.0], 80


def bowl(w):
    return 3 * w[0] ** 2 + 10 * w[1] ** 2


def divisor(second_moment, decay=0.0):
    """√s after each step, s divided by the sum of its weights where decay is not 0; nothing before the first."""
    weights = 1.0 - decay ** np.arange(1, len(second_moment))[:, None]
    return np.concatenate([np.full((1, 2), np.nan), np.sqrt(second_moment[1:] / weights)])


def figure(height):
    """A figure that belongs to no window."""
    made = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def trajectories():
    transformations = {
        "SGD": gradtx.sgd(0.03),
        "SGD with momentum": gradtx.sgd(0.01, momentum=0.9),
        "RMSProp": gradtx.rmsprop(0.5),
        "Adam": gradtx.adam(1.0),
    }
    courses = {label: plots.trajectory(tx, bowl, START, STEPS) for label, tx in transformations.items()}
    divisors = dict.fromkeys(courses, np.ones((STEPS + 1, 2)))
    divisors["RMSProp"] = divisor(courses["RMSProp"].states["nu"])
    divisors["Adam"] = divisor(courses["Adam"].states["nu"], decay=0.999)
    limits = ((-17.0, 17.0), (-22.0, 22.0))
    return plots.trajectories(
        bowl, courses, scalings=divisors, limits=limits, scaling_name="divisor of the gradient", figure=figure(3.9)
    )


def amplification():
    made = figure(2.75)
    panels = made.subplots(1, 3, sharey=True)
    for ax, rho in zip(panels, (0.5, 0.9, 0.99), strict=True):
        plots.amplification_map(rho, ax=ax, colorbar=ax is panels[-1])
        ax.label_outer()
    return made


PICTURES = {"trajectories.png": trajectories, "amplification.png": amplification}


def write(folder):
    """Make all of them, in 256 colours so that the files are small; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in PICTURES.items():
        with plots.in_style():
            path = plots.save(draw(), folder / name)
        with Image.open(path) as image:
            few = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, kmeans=4, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        paths.append(path)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER, metavar="FOLDER")
    for path in write(parser.parse_args().output):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
