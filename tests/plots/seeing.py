"""What the tests of pictures look at: words, where they stand, and how bright a colour is in grey."""

import itertools

import numpy as np
from PIL import Image


def line(ax, label):
    """The line with this label."""
    (found,) = [one for one in ax.get_lines() if one.get_label() == label]
    return found


def words(ax):
    """The texts that stand in and beside the Axes, from the bottom to the top, and their boxes once they are drawn."""
    ax.figure.draw_without_rendering()
    renderer = ax.figure.canvas.get_renderer()
    boxes = {text.get_text(): text.get_bbox_patch() or text for text in ax.texts if text.get_text()}
    found = {label: _box(text, renderer) for label, text in boxes.items()}
    return dict(sorted(found.items(), key=lambda item: item[1].y0))


def _box(text, renderer):
    """The box of the letters alone, without the line that leads to them."""
    from matplotlib.text import Text

    return Text.get_window_extent(text, renderer)


def overlapping(boxes):
    """Pairs of labels whose boxes overlap by more than a pixel."""
    return [
        (a, b)
        for (a, x), (b, y) in itertools.combinations(boxes.items(), 2)
        if min(x.x1, y.x1) - max(x.x0, y.x0) > 1 and min(x.y1, y.y1) - max(x.y0, y.y0) > 1
    ]


def within(boxes, figure):
    """Whether all boxes lie inside the figure."""
    width, height = figure.get_size_inches() * figure.dpi
    return all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= width and b.y1 <= height for b in boxes.values())


def grey(color):
    """How bright a colour is in a grey print, 0 to 255, by PIL's conversion."""
    from matplotlib.colors import to_rgb

    rgb = np.round(255 * np.array(to_rgb(color))).astype(np.uint8)
    return int(np.asarray(Image.fromarray(rgb[None, None]).convert("L"))[0, 0])
