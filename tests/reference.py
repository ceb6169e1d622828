"""The algorithms once more, as loops over NumPy arrays in the form of the papers: what the library is compared with.

Each function takes the gradients of all steps, `(steps, ...)`, and gives the updates of all steps, before the learning
rate and the minus of descent. It computes in the type of the gradients: float64, or wider. Nothing here is clever, and
nothing is taken from the library: no bias is corrected by expm1, no average is written as a step, no variance is a sum
of squares.
"""

import functools

import numpy as np


def _per_step(loop):
    @functools.wraps(loop)
    def updates(gs, *args, **kwargs):
        assert gs.dtype.itemsize >= 8, "a reference in half or single precision is none"
        with np.errstate(over="ignore", under="ignore"):
            return np.stack(list(loop(gs, *args, **kwargs)))

    return updates


@_per_step
def gradient_descent(gs):
    yield from gs


@_per_step
def momentum(gs, mu):
    b = 0
    for g in gs:
        b = mu * b + g
        yield b


@_per_step
def nesterov(gs, mu):
    b = 0
    for g in gs:
        b = mu * b + g
        yield g + mu * b


@_per_step
def damped_momentum(gs, mu, tau):
    """Sutskever's momentum as torch damps it: the first gradient enters whole."""
    b = None
    for g in gs:
        b = g if b is None else mu * b + (1 - tau) * g
        yield b


@_per_step
def average(gs, mu, corrected):
    m = 0
    for t, g in enumerate(gs, 1):
        m = mu * m + (1 - mu) * g
        yield m / (1 - mu**t) if corrected else m


@_per_step
def adagrad(gs, eps, initial=0.0, inside=True):
    s = initial
    for g in gs:
        s = s + abs(g) ** 2
        yield g / (np.sqrt(s + eps) if inside else np.sqrt(s) + eps)


@_per_step
def rmsprop(gs, rho, eps, initial=0.0, inside=True, corrected=False):
    s = initial
    for t, g in enumerate(gs, 1):
        s = rho * s + (1 - rho) * abs(g) ** 2
        s_hat = s / (1 - rho**t) if corrected else s
        yield g / (np.sqrt(s_hat + eps) if inside else np.sqrt(s_hat) + eps)


@_per_step
def rmsprop_centered(gs, rho, eps, initial=0.0, inside=True, corrected=False):
    s, m = initial, 0
    for t, g in enumerate(gs, 1):
        s = rho * s + (1 - rho) * abs(g) ** 2
        m = rho * m + (1 - rho) * g
        c = 1 - rho**t if corrected else 1
        variance = np.maximum(s / c - abs(m / c) ** 2, 0)
        yield g / (np.sqrt(variance + eps) if inside else np.sqrt(variance) + eps)


@_per_step
def rmsprop_by_definition(gs, rho, eps, inside=True, corrected=False):
    """As `rmsprop_centered`, for gradients where the difference s - m² has no digits left in any floating point.

    The variance by its definition: the weighted mean of |g_i - m|² over all gradients so far and, where the weights are
    not corrected, over the zero that the averages start from, which has what is left of the weight.
    """
    for t in range(1, len(gs) + 1):
        weights = (1 - rho) * rho ** np.arange(t - 1, -1, -1, dtype=gs.dtype)
        weights = np.concatenate([[0 if corrected else rho ** gs.dtype.type(t)], weights])
        weights = (weights / weights.sum()).reshape(-1, *[1] * (gs.ndim - 1))
        past = np.concatenate([np.zeros_like(gs[:1]), gs[:t]])
        m = np.sum(weights * past, axis=0)
        variance = np.sum(weights * abs(past - m) ** 2, axis=0)
        yield gs[t - 1] / (np.sqrt(variance + eps) if inside else np.sqrt(variance) + eps)


def rmsprop_momentum(gs, rates, rho, eps, mu, rate_inside, inside=True):
    """The whole step, with its minus: momentum over the scaled gradient, the rate in the buffer or after it."""
    steps, b = [], 0
    for rate, u in zip(rates, rmsprop(gs, rho, eps, inside=inside), strict=True):
        b = mu * b + (rate * u if rate_inside else u)
        steps.append(-b if rate_inside else -rate * b)
    return np.stack(steps)


@_per_step
def adadelta(gs, rho, eps):
    s = big_u = 0
    for g in gs:
        s = rho * s + (1 - rho) * abs(g) ** 2
        u = np.sqrt(big_u + eps) / np.sqrt(s + eps) * g
        big_u = rho * big_u + (1 - rho) * abs(u) ** 2
        yield u


@_per_step
def adam(gs, b1, b2, eps, eps_root=0.0):
    m = v = 0
    for t, g in enumerate(gs, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * abs(g) ** 2
        yield (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)


@_per_step
def amsgrad(gs, b1, b2, eps, maximum_of, eps_root=0.0):
    m = v = x = 0
    for t, g in enumerate(gs, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * abs(g) ** 2
        if maximum_of == "corrected":
            x = np.maximum(x, v / (1 - b2**t))
            x_hat = x
        else:
            x = np.maximum(x, v)
            x_hat = x / (1 - b2**t)
        yield (m / (1 - b1**t)) / (np.sqrt(x_hat + eps_root) + eps)


@_per_step
def adamax(gs, b1, b2, eps):
    m = x = 0
    for t, g in enumerate(gs, 1):
        m = b1 * m + (1 - b1) * g
        x = np.maximum(b2 * x, abs(g) + eps)
        yield m / (1 - b1**t) / x


@_per_step
def nadam(gs, b1, b2, eps, eps_root=0.0):
    """Dozat's algorithm 2 with one μ."""
    m = v = 0
    for t, g in enumerate(gs, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * abs(g) ** 2
        m_bar = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        yield m_bar / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)


@_per_step
def nadam_scheduled(gs, b1, b2, eps, psi, eps_root=0.0):
    """Dozat's algorithm 2 with the μ of his section 2."""

    def mu(t):
        return b1 * (1 - 0.5 * 0.96 ** (t * psi))

    m = v = 0
    product = 1.0
    for t, g in enumerate(gs, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * abs(g) ** 2
        product *= mu(t)
        m_bar = mu(t + 1) * m / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
        yield m_bar / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)


@_per_step
def sign(gs):
    for g in gs:
        yield np.where(g == 0, 0, g / np.where(g == 0, 1, abs(g)))


@_per_step
def lion(gs, b1, b2):
    m = 0
    for g in gs:
        yield np.sign(b1 * m + (1 - b1) * g)
        m = b2 * m + (1 - b2) * g


@_per_step
def rprop(gs, first, minus=0.5, plus=1.2, smallest=1e-6, largest=50.0):
    delta, before = np.full(gs.shape[1:], first, gs.dtype), np.zeros(gs.shape[1:])
    for g in gs:
        g = g.copy()
        delta[g * before > 0] *= plus
        delta[g * before < 0] *= minus
        delta = np.clip(delta, smallest, largest)
        g[g * before < 0] = 0
        before = np.sign(g)
        yield np.sign(g) * delta


@_per_step
def supersab(gs, first, minus=0.5, plus=1.05, mu=0.9, smallest=1e-6, largest=10.0):
    """Entry by entry, as Tollenaere tells it: go on and grow, or take the step back and shrink."""
    rate = np.full(gs.shape[1:], first, gs.dtype)
    before, last = np.zeros(gs.shape[1:]), np.zeros(gs.shape[1:], gs.dtype)
    for g in gs:
        step = np.empty_like(g)
        for i in np.ndindex(g.shape):
            if g[i] * before[i] < 0:
                rate[i] = max(minus * rate[i], smallest)
                step[i], last[i], before[i] = -last[i], 0, 0
            else:
                if g[i] * before[i] > 0:
                    rate[i] = min(plus * rate[i], largest)
                step[i] = last[i] = rate[i] * g[i] + mu * last[i]
                before[i] = np.sign(g[i])
        yield step


@_per_step
def clipped_by_value(gs, largest):
    for g in gs:
        yield np.where(abs(g) > largest, largest * np.sign(g), g)


@_per_step
def clipped_by_norm(gs, largest):
    for g in gs:
        unit = np.max(abs(g))
        norm = unit * np.sqrt(np.sum(abs(g / unit) ** 2)) if unit > 0 else 0.0
        yield g * (largest / norm) if norm > largest else g


@_per_step
def decayed(gs, ws, factor):
    for g, w in zip(gs, ws, strict=True):
        yield g + factor * w
