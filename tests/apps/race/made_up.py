"""Small races that never ran, whose measures can be worked out by hand."""

import numpy as np

from gradtx.apps.race.results import Agreement, Cell, NotCompared, Results
from gradtx.apps.race.task import TaskInfo

HOSTILE = """</script><img src=x onerror="alert('1')">|`*_]&amp;"""


def task(name="bowl", *, target=0.1, bound=0.0, rates=3, seeds=3, steps=20, about="A bowl.", sources=()):
    """A task whose scores are taken every ten steps."""
    return TaskInfo(name, about, "loss", steps, target, rates, seeds, bound, tuple(sources))


def cell(name, scores, *, on="bowl", library="gradtx", rates=(0.01, 0.1, 1.0), compiling=2.0, running=9.0):
    """A cell from scores `[rates, seeds, evaluations]`, or `[rates, evaluations]` for one seed."""
    scores = np.array(scores, np.float64)
    scores = scores[:, None, :] if scores.ndim == 2 else scores
    at = np.arange(scores.shape[2]) * 10
    return Cell(on, name, library, np.array(rates, np.float64), at, scores, compiling, running)


def results(tasks, cells, **more):
    """A race of these."""
    machine = {"processor": "abacus", "jax": "0.10.2"}
    settings = {"tasks": "bowl", "optimizers": "adam, sgd"}
    plain = {"agreements": (), "machine": machine, "settings": settings, "seconds": 61.5}
    return Results(**{"tasks": tuple(tasks), "cells": tuple(cells), **plain, **more})


def seeds(*ends, start=1.0, middle=None):
    """Scores `[seeds, 3]` of one rate, from a start, by way of the middle, to where each seed ends."""
    return [[start, end if middle is None else middle, end] for end in ends]


NOWHERE = seeds(np.inf, np.nan, -np.inf)


def small():
    """Two tasks, three optimizers, two libraries: sgd diverges at one rate; everything has a place in it."""
    adam = [seeds(0.5, 0.6, 0.4), seeds(0.01, 0.02, 0.03, middle=0.05), seeds(0.2, 0.3, 0.1)]
    sgd = [seeds(0.7, 0.8, 0.9), seeds(0.2, 0.1, 0.3), NOWHERE]
    rmsprop = [seeds(0.3, 0.3, 0.3), seeds(0.05, 0.05, 0.05), seeds(2.0, 2.0, 2.0)]
    first = [cell("sgd", sgd), cell("adam", adam), cell("rmsprop", rmsprop)]
    first += [cell("adam", np.array(adam) * 1.001, library="optax", compiling=1.0, running=10.0)]
    up = [seeds(2.0, 2.0, 2.0), seeds(2.0, 2.0, 2.0), seeds(1.99, 2.0, 2.0)]
    down = [seeds(0.5, 0.4, 0.6), seeds(0.1, 0.1, 0.2), seeds(0.0, 0.05, 0.1)]
    second = [cell(n, np.array(s) - 1.0, on="trap") for n, s in (("sgd", down), ("adam", up), ("rmsprop", down))]
    fingerprint = (("numbers", "sha256:0123abcd"),)
    return results(
        [task(sources=fingerprint), task("trap", target=-0.85, bound=-1.0, about="A trap.", sources=fingerprint)],
        [*first, *second],
        agreements=(Agreement("bowl", "adam", "optax", 20, 3e-7, 1e-6),),
        not_compared=(NotCompared("sgd", "optax", "Its first step is one late."),),
    )
