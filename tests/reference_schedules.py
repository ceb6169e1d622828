"""The schedules once more, as loops over Python floats in the form of the papers: what the library is compared with.

Each function gives the values of steps 0 to n - 1. They count steps as a training loop does, one after another, and
nothing is taken from the library: no index is computed by a logarithm, no cosine as a sine squared.
"""

import itertools
import math


def constant(n, value):
    return [value] * n


def linear(n, init, end, steps, begin=0):
    return polynomial(n, init, end, 1, steps, begin)


def polynomial(n, init, end, power, steps, begin=0):
    out = []
    for t in range(n):
        share = min(max(t - begin, 0), steps) / steps
        out.append((init - end) * (1 - share) ** power + end)
    return out


def exponential(n, init, steps, rate, begin=0, staircase=False, end=None):
    out = []
    for t in range(n):
        periods = max(t - begin, 0) / steps
        value = init * rate ** (math.floor(periods) if staircase else periods)
        if end is not None:
            value = max(value, end) if rate < 1 else min(value, end)
        out.append(value)
    return out


def staircase(n, init, every, rate):
    """By whole steps: multiplied after every so many."""
    value, out = init, []
    for t in range(n):
        if t and t % every == 0:
            value *= rate
        out.append(value)
    return out


def half_life(n, init, end, steps, begin=0):
    """The half-life goes along a line; the value is what halves in that time."""
    lives = linear(n, math.log(0.5) / math.log(init), math.log(0.5) / math.log(end), steps, begin)
    return [0.5 ** (1 / life) for life in lives]


def inverse_time(n, init, steps, rate, begin=0, staircase=False):
    out = []
    for t in range(n):
        periods = max(t - begin, 0) / steps
        out.append(init / (1 + rate * (math.floor(periods) if staircase else periods)))
    return out


def inverse_sqrt(n, init, peak, warmup):
    """fairseq's: a line, then peak·√warmup/√t."""
    factor = peak * warmup**0.5
    return [init + t * (peak - init) / warmup if t < warmup else factor * t**-0.5 for t in range(n)]


def noam(n, d, warmup):
    """Vaswani et al., equation 3; step 0 stands for nothing there."""
    return [0.0, *(d**-0.5 * min(t**-0.5, t * warmup**-1.5) for t in range(1, n))]


def t5(n, k):
    return [1 / math.sqrt(max(t, k)) for t in range(n)]


def cosine(n, init, steps, alpha=0.0, exponent=1.0):
    out = []
    for t in range(n):
        share = (0.5 * (1 + math.cos(math.pi * min(t, steps) / steps))) ** exponent
        out.append(init * ((1 - alpha) * share + alpha))
    return out


def restarts(n, init, first, t_mul=2.0, m_mul=1.0, alpha=0.0):
    """By counting: where the steps since the last restart reach the length of the cycle, the next one begins."""
    passed, length, height, out = 0.0, first, 1.0, []
    for _ in range(n):
        while passed >= length:
            passed, length, height = passed - length, length * t_mul, height * m_mul
        share = 0.5 * (1 + math.cos(math.pi * passed / length))
        out.append(init * ((1 - alpha) * height * share + alpha))
        passed += 1
    return out


def through(n, points, shape="linear"):
    """A curve through points (step, value), constant after the last."""
    out = []
    for t in range(n):
        value = points[-1][1]
        for (a, x), (b, y) in itertools.pairwise(points):
            if a <= t < b:
                share = (t - a) / (b - a)
                share = share if shape == "linear" else 0.5 * (1 - math.cos(math.pi * share))
                value = x + (y - x) * share
        out.append(value)
    return out


def scaled(init, scales):
    """The points of a piecewise interpolation."""
    points = [(0, init)]
    for step, scale in scales.items():
        points.append((step, points[-1][1] * scale))
    return points


def linear_onecycle(n, steps, peak, pct_start=0.3, pct_final=0.85, div=25.0, final_div=1e4):
    low = peak / div
    return through(n, [(0, low), (pct_start * steps, peak), (pct_final * steps, low), (steps, low / final_div)])


def cosine_onecycle(n, steps, peak, pct_start=0.3, div=25.0, final_div=1e4):
    low = peak / div
    return through(n, [(0, low), (pct_start * steps, peak), (steps, low / final_div)], "cosine")


def cyclic(n, init, peak, up, down, m_mul=1.0, gamma=1.0):
    """By walking: up, then down, then the next triangle."""
    out, passed, height = [], 0, 1.0
    for t in range(n):
        if passed >= up + down:
            passed, height = passed - (up + down), height * m_mul
        share = passed / up if passed <= up else (up + down - passed) / down
        out.append(init + (peak - init) * share * height * gamma**t)
        passed += 1
    return out


def warmed_up(n, after, warmup, init=0.0):
    """A line to the first value of `after`, then its values."""
    line = [init + (after[0] - init) * t / warmup for t in range(warmup)]
    return (line + after)[:n]


def stable_then_decay(n, init, peak, warmup, stable, decay, end=0.0, shape="linear"):
    weight = {
        "linear": lambda s: 1 - s,
        "cosine": lambda s: 0.5 * (1 + math.cos(math.pi * s)),
        "sqrt": lambda s: 1 - math.sqrt(s),
    }[shape]
    out = []
    for t in range(n):
        share = min(max(t - warmup - stable, 0) / decay, 1)
        out.append(init + (peak - init) * t / warmup if t < warmup else end + (peak - end) * weight(share))
    return out


def piecewise_constant(n, init, scales):
    value, out = init, []
    for t in range(n):
        value *= scales.get(t, 1.0)
        out.append(value)
    return out


def joined(n, tables, boundaries):
    """Tables of values one after another, each from its own start."""
    out = []
    for t in range(n):
        k = sum(t >= b for b in boundaries)
        out.append(tables[k][t - ([0, *boundaries][k])])
    return out
