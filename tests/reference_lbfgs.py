"""L-BFGS by its definition: the dense matrix H of Nocedal & Wright, equation 7.16, built anew at every step."""

import numpy as np


def directions(ws: np.ndarray, gs: np.ndarray, memory_size: int, scaled: bool = True) -> np.ndarray:
    """H·g for each row of parameters and gradients, in their own precision."""
    pairs: list = []
    n, out = ws.shape[1], []
    for t, g in enumerate(gs):
        if t > 0:
            s, y = ws[t] - ws[t - 1], g - gs[t - 1]
            if not s.any() and not y.any():
                pairs = []
            if s @ y > np.finfo(np.float64).eps ** 0.5 * np.sqrt((s @ s) * (y @ y)):
                pairs = [*pairs, (s, y)][-memory_size:]
        out.append(inverse_hessian(pairs, g, n, scaled) @ g)
    return np.array(out)


def inverse_hessian(pairs: list, g: np.ndarray, n: int, scaled: bool = True) -> np.ndarray:
    """H from some pairs (s, y), oldest first; without pairs the identity over max(1, |g|)."""
    one = np.eye(n, dtype=g.dtype)
    h = one / max(1, np.sqrt(g @ g)) if scaled else one
    if pairs and scaled:
        s, y = pairs[-1]
        h = one * (s @ y) / (y @ y)
    for s, y in pairs:
        rho = 1 / (s @ y)
        v = one - rho * np.outer(y, s)
        h = v.T @ h @ v + rho * np.outer(s, s)
    return h


def backtracking(phi, slope, t, *, slope_rtol, decrease_factor, most):
    """The first of t, decrease_factor·t, ... with enough decrease, and how many were tried; None where none of most."""
    for k in range(most):
        if phi(t) <= phi(0.0) + slope_rtol * t * slope:
            return t, k + 1
        t *= decrease_factor
    return None, most


def more_thuente(number: int):
    """Test functions 1 to 6 of Moré & Thuente 1994, section 5: (φ, φ', slope_rtol, curv_rtol)."""
    if number == 1:
        return lambda a: -a / (a**2 + 2), lambda a: (a**2 - 2) / (a**2 + 2) ** 2, 1e-3, 0.1
    if number == 2:
        b = 0.004
        return (
            lambda a: (a + b) ** 5 - 2 * (a + b) ** 4,
            lambda a: 5 * (a + b) ** 4 - 8 * (a + b) ** 3,
            0.1,
            0.1,
        )
    if number == 3:
        b, n = 0.01, 39

        def corner(a):
            return abs(a - 1) if abs(a - 1) >= b else (a - 1) ** 2 / (2 * b) + b / 2

        def corner_slope(a):
            return np.sign(a - 1) if abs(a - 1) >= b else (a - 1) / b

        wave = n * np.pi / 2
        return (
            lambda a: corner(a) + (1 - b) / wave * np.sin(wave * a),
            lambda a: corner_slope(a) + (1 - b) * np.cos(wave * a),
            0.1,
            0.1,
        )
    b1, b2 = {4: (1e-3, 1e-3), 5: (1e-2, 1e-3), 6: (1e-3, 1e-2)}[number]
    g1, g2 = (np.sqrt(1 + b**2) - b for b in (b1, b2))
    return (
        lambda a: g1 * np.sqrt((1 - a) ** 2 + b2**2) + g2 * np.sqrt(a**2 + b1**2),
        lambda a: g1 * (a - 1) / np.sqrt((1 - a) ** 2 + b2**2) + g2 * a / np.sqrt(a**2 + b1**2),
        1e-3,
        1e-3,
    )
