"""Draw the picture of the README: `python -m tests.pictures` writes it into notebooks/pictures/.

sweep.png: the loss after 30 steps for 24,000 settings of SGD, made by one `vmap`; Adam tunes one of them by `grad`.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import gradtx
from gradtx import plots

FOLDER = Path(__file__).parent.parent / "notebooks" / "pictures"
WIDTH = 8.0  # inches: 800 pixels of a page, at 200 dots an inch two for each
START, STEPS = [-15.0, 20.0], 30
UNTUNED, TUNING_STEPS = gradtx.sgd(0.01, momentum=0.8), 60
RATES, MOMENTA = np.linspace(0.001, 0.22, 200), np.linspace(0.0, 0.98, 120)


def bowl(w):
    return 3 * w[0] ** 2 + 10 * w[1] ** 2


@jax.jit
def final_loss(tx):
    """The loss after `STEPS` steps: one compiled program for all learning rates and momenta."""

    def body(carry, _):
        w, state = carry
        return tx.step(jax.grad(bowl)(w), state, w), None

    start = jnp.array(START)
    (w, _), _ = jax.lax.scan(body, (start, tx.init(start)), length=STEPS)
    return bowl(w)


def tuned(tx, steps):
    """The values that Adam visits when it descends the logarithm of the final loss, and the best of them."""
    slope, meta = jax.jit(jax.grad(lambda tx: jnp.log(final_loss(tx)))), gradtx.adam(0.01)
    state, visited = meta.init(tx), [tx]
    for _ in range(steps):
        tx, state = meta.step(slope(tx), state, tx)
        visited.append(tx)
    return visited, min(visited, key=final_loss)


def sweep():
    across = jax.vmap(gradtx.sgd, in_axes=(0, None))
    txs = jax.vmap(across, in_axes=(None, 0))(jnp.asarray(RATES), jnp.asarray(MOMENTA))
    losses = np.asarray(jax.vmap(jax.vmap(final_loss))(txs))
    visited, best = tuned(UNTUNED, TUNING_STEPS)

    figure = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.45, 1))
    colors = left.pcolormesh(
        RATES, MOMENTA, np.log10(np.clip(losses, 1e-12, 1e6)), cmap="cividis", rasterized=True, shading="nearest"
    )
    left.plot([tx.learning_rate for tx in visited], [tx.momentum for tx in visited], color="white", lw=1.6)
    left.set(xlabel="learning rate", ylabel="momentum", title="24,000 settings of SGD, run by one jax.vmap")
    bar = figure.colorbar(colors, ax=left, label="loss after 30 steps", aspect=16, extend="both")
    bar.set_ticks([-12, -6, 0, 6], labels=[rf"$10^{{{power}}}$" for power in (-12, -6, 0, 6)])

    w1, w2 = np.meshgrid(np.linspace(-17.0, 12.0, 80), np.linspace(-17.0, 22.0, 80))
    right.contour(w1, w2, bowl((w1, w2)), levels=np.geomspace(3.0, 6000.0, 12), colors="0.8", linewidths=0.7)
    for tx, marker, name, color, line in (
        (UNTUNED, "o", "before", "#8c510a", "--"),
        (best, "D", "tuned", "#01665e", "-"),
    ):
        label = f"{name}: loss {float(final_loss(tx)):.1g}"
        path = plots.trajectory(tx, bowl, START, STEPS).path
        right.plot(*path.T, line, color=color, marker=marker, ms=3, lw=1.2, label=label)
        left.plot(tx.learning_rate, tx.momentum, marker, mfc=color, mec="white", ms=7)
    right.set(xlabel="$w_1$", ylabel="$w_2$", title="One of them, tuned by jax.grad")
    right.legend(loc="upper right", frameon=True, edgecolor="none", framealpha=1.0)
    return figure


PICTURES = {"sweep.png": sweep}


def write(folder):
    """Draw all pictures, in 256 colours so that the files are small; return their paths."""
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
