"""Parts of optimizers once more, in NumPy and double precision: each is an object with its own memory.

A part has `begin(w)`, which gives it the first parameters, and `step(g, w)`, which returns the update of every leaf;
trees are dicts of arrays. A part round others makes them with the functions that it is given, so that it can make them
anew. Nothing is taken from the library.
"""

import numpy as np


def each(fn, *trees):
    return {name: fn(*(tree[name] for tree in trees)) for name in trees[0]}


def norm(x):
    return np.sqrt(np.sum(x * x))


def length(tree):
    return np.sqrt(sum(norm(x) ** 2 for x in tree.values()))


class Part:
    """It remembers nothing of the first parameters."""

    def begin(self, w):
        pass


class Momentum(Part):
    """A decaying sum of gradients, times the rate; Nesterov's or not."""

    def __init__(self, rate, decay=0.0, nesterov=False):
        self.rate, self.decay, self.nesterov, self.sum = rate, decay, nesterov, None

    def step(self, g, w):
        self.sum = each(np.array, g) if self.sum is None else each(lambda b, g: self.decay * b + g, self.sum, g)
        ahead = each(lambda b, g: self.decay * b + g, self.sum, g) if self.nesterov else self.sum
        return each(lambda b: -self.rate * b, ahead)


class Adam(Part):
    """Kingma & Ba's algorithm 1."""

    def __init__(self, rate):
        self.rate, self.t = rate, 0

    def step(self, g, w):
        if self.t == 0:
            self.m = self.v = each(np.zeros_like, g)
        self.t += 1
        self.m = each(lambda m, g: 0.9 * m + 0.1 * g, self.m, g)
        self.v = each(lambda v, g: 0.999 * v + 0.001 * g * g, self.v, g)
        c, d = 1 - 0.9**self.t, 1 - 0.999**self.t
        return each(lambda m, v: -self.rate * (m / c) / (np.sqrt(v / d) + 1e-8), self.m, self.v)


class Around(Part):
    """A part round one other."""

    def __init__(self, make):
        self.make = make
        self.inner = make()
        self.t = 0

    def begin(self, w):
        self.start = w
        self.inner.begin(w)

    def step(self, g, w):
        self.t += 1
        return self.around(g, w)


class Clipped(Around):
    """The gradients are cut to a norm of 1."""

    def around(self, g, w):
        return self.inner.step(each(lambda x: x * min(1.0, 1.0 / length(g)), g), w)


class Added(Around):
    """A second optimizer on the same gradients."""

    second = None

    def around(self, g, w):
        self.second = self.second or Momentum(0.01, 0.5)
        return each(np.add, self.inner.step(g, w), self.second.step(g, w))


class Grafted(Around):
    """The length of each leaf's step comes from a momentum."""

    other = None

    def around(self, g, w):
        self.other = self.other or Momentum(0.05, 0.9)
        d, m = self.inner.step(g, w), self.other.step(g, w)
        return each(lambda d, m: d * norm(m) / norm(d) if norm(d) else d * 0.0, d, m)


class Cautious(Around):
    """No entry of a step of descent goes along the gradient; the others make up for it."""

    def around(self, g, w):
        def leaf(u, g):
            keep = u * g < 0
            return u * keep / max(keep.mean(), 1e-3)

        return each(leaf, self.inner.step(g, w), g)


class EverySecond(Around):
    """It runs in the first step, the third, and so on."""

    def around(self, g, w):
        return self.inner.step(g, w) if self.t % 2 else each(np.zeros_like, g)


class Accumulated(Around):
    """It runs in every second step, on the mean of two gradients."""

    def around(self, g, w):
        if self.t % 2:
            self.kept = g
            return each(np.zeros_like, g)
        return self.inner.step(each(lambda a, b: (a + b) / 2, self.kept, g), w)


class Lookahead(Around):
    """After every second step, half the way back to where the last two began."""

    def around(self, g, w):
        self.slow = self.start if self.t == 1 else self.slow
        u = self.inner.step(g, w)
        if self.t % 2 == 0:
            self.slow = each(lambda s, w, u: s + 0.5 * (w + u - s), self.slow, w, u)
            u = each(np.subtract, self.slow, w)
        return u


class Outer(Around):
    """After every second step, a Nesterov step of the slow weights."""

    def around(self, g, w):
        if self.t == 1:
            self.slow, self.over = self.start, Momentum(0.7, 0.5, nesterov=True)
        u = self.inner.step(g, w)
        if self.t % 2 == 0:
            way = self.over.step(each(lambda s, w, u: s - (w + u), self.slow, w, u), self.slow)
            self.slow = each(np.add, self.slow, way)
            u = each(np.subtract, self.slow, w)
        return u


class Restarted(Around):
    """Before every third step but the first, all is forgotten."""

    def around(self, g, w):
        if self.t > 1 and (self.t - 1) % 3 == 0:
            self.inner = self.make()
            self.inner.begin(w)
        return self.inner.step(g, w)


class Adapted(Around):
    """A rate is learnt: the largest distance from the start, over the root of the sum of squared gradients."""

    def around(self, g, w):
        if self.t == 1:
            self.distance, self.squares = 0.1 * (1 + length(self.start)), 0.0
        self.distance = max(self.distance, length(each(np.subtract, w, self.start)))
        self.squares += length(g) ** 2
        rate = self.distance / np.sqrt(self.squares + 1e-8)
        return each(lambda u: rate * u, self.inner.step(g, w))


class Projected(Around):
    """Each leaf comes back to a ball."""

    def around(self, g, w):
        def leaf(u, w):
            x = w + u
            return x * min(1.0, 2.0 / norm(x)) - w

        return each(leaf, self.inner.step(g, w), w)


def turn(n):
    """An orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(n).normal(size=(n, n)))[0]


class Turned(Around):
    """It runs in other coordinates, which never change."""

    def begin(self, w):
        super().begin(each(lambda x: x @ turn(x.shape[-1]), w))

    def around(self, g, w):
        g, w = (each(lambda x: x @ turn(x.shape[-1]), tree) for tree in (g, w))
        return each(lambda x: x @ turn(x.shape[-1]).T, self.inner.step(g, w))


class Divided(Around):
    """What comes out is divided by the root of the mean of the squared gradients."""

    def around(self, g, w):
        self.v = each(np.zeros_like, g) if self.t == 1 else self.v
        self.v = each(lambda v, g: 0.99 * v + 0.01 * g * g, self.v, g)
        c = 1 - 0.99**self.t
        return each(lambda u, v: u / (np.sqrt(v / c) + 1e-8), self.inner.step(g, w), self.v)


class Optimistic(Around):
    """Each step counts with its change since the last one."""

    def around(self, g, w):
        u = self.inner.step(g, w)
        self.last = u if self.t == 1 else self.last
        out = each(lambda u, last: u + 0.5 * (u - last), u, self.last)
        self.last = u
        return out
