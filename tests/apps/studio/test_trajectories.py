"""The page's trajectories, in a real browser, are those of gradtx in float64: for every optimizer that it offers.

Each is followed for 200 steps with several settings on three functions. The settings are smooth ones: where a
trajectory is chaotic, two correct programs part after some steps, as their roundings differ.
"""

import json

import numpy as np
import pytest

from gradtx.apps.studio.offered import OFFERED
from tests.apps.studio import browser
from tests.apps.studio.courses import STEPS, courses

pytestmark = pytest.mark.peers

STARTS = {"3*w1^2 + 10*w2^2": (-15, 20), "sin(w1) + cos(w2)": (0.6, -0.8), "(1 - w1)^2 + (w2 - w1^2/20)^2": (18, -20)}
SMALL = {"width": 1000, "height": 900}  # less to draw
VARIANTS = ("as the page begins", "sliders moved", "numbers typed", "other numbers typed")
TYPED = {
    "alpha": (2.0, 1.5),
    "b1": (0.8, 0.95),
    "b2": (0.995, 0.98),
    "b3": (0.98, 0.95),
    "beta": (0.8, 0.5),
    "dampening": (0.25, 0.5),
    "decay": (0.95, 0.925),
    "eps": (1e-3, 5e-4),
    "eps_root": (0.01, 0.0),
    "estim_lr0": (1e-3, 0.1),
    "eta_minus": (0.7, 0.6),
    "eta_plus": (1.1, 1.08),
    "f_min": (-1.0, -2.0),
    "final_learning_rate": (0.02, 0.2),
    "gamma": (0.01, 0.1),
    "hyper_rate": (1e-6, 1e-8),
    "init_dist": (0.1, 1.0),
    "initial_accumulator_value": (0.5, 0.0),
    "initial_scale": (0.3, 0.15),
    "l1": (0.02, 0.1),
    "l2": (0.05, 0.2),
    "lower_bound": (-1.0, -2.0),
    "max_learning_rate": (0.02, 0.05),
    "max_step_size": (0.8, 2.0),
    "min_learning_rate": (1e-4, 1e-3),
    "min_step_size": (1e-3, 1e-4),
    "momentum": (0.4, 0.2),
    "momentum_decay": (0.02, 0.5),
    "nu": (0.5, 0.9),
    "reps_rel": (0.1, 1e-3),
    "rho": (0.97, 0.5),
    "threshold": (4.5, 10.0),
    "weight_decay": (0.03, 0.001),
}
# In the page: [kind, id, value] for each control.
OPERATE = """operations => {
  for (const [kind, id, value] of operations) {
    const control = document.getElementById(id);
    if (kind === "flag") { if (control.checked !== value) control.click(); continue; }
    control.value = kind === "slide" ? Number(control.value) + value : value;
    for (const event of ["input", "change"]) control.dispatchEvent(new Event(event, { bubbles: true }));
  }
}"""
# As text: Playwright converts numbers one by one, and there are 400,000.
READ = """() => JSON.stringify({ settings: gradtxStudio.state().settings,
  courses: Object.fromEntries(GRADTX.optimizers.map(({ name }) => [name, gradtxStudio.trajectory(name)])) })"""


def flags_of(name, variant):
    """The settings that choose between programs: each combination has its turn, first that of the page."""
    first = OFFERED[name].first
    chosen = sorted(OFFERED[name].combinations(), key=lambda flags: not flags.items() <= first.items())
    return chosen[variant % len(chosen)]


def typed(name, variant):
    """The numbers that are typed for a variant, by hyperparameter: at first those that were there."""
    first = {key: value for key, value in OFFERED[name].first.items() if not OFFERED[name].ranges[key].is_static}
    if variant < 2:
        return first
    return {key: value / variant if key == "learning_rate" else TYPED[key][variant - 2] for key, value in first.items()}


def operations(name, variant):
    """What is done to the controls of an optimizer after the variant before."""
    if variant == 1:
        slower = ("learning_rate", "eta_plus")
        numbers = [["slide", f"{name}-{key}", -25 if key in slower else 25] for key in typed(name, variant)]
    else:
        numbers = [["type", f"{name}-{key}-value", repr(value)] for key, value in typed(name, variant).items()]
    kinds = {key: "flag" if slider.scale == "flag" else "choose" for key, slider in OFFERED[name].ranges.items()}
    return [*numbers * (variant > 0), *([kinds[key], f"{name}-{key}", x] for key, x in flags_of(name, variant).items())]


def recorded(chromium, file):
    """What the page has, for each variant on each function: its settings, and the trajectories by optimizer."""
    found = {}
    with browser.shown(chromium, file, viewport=SMALL) as page:
        used = browser.settings(page)["use"]
        page.evaluate(OPERATE, [["flag", f"use-{name}", True] for name in OFFERED if name not in used])
        for variant in range(len(VARIANTS)):
            page.evaluate(OPERATE, [each for name in OFFERED for each in operations(name, variant)])
            for text, start in STARTS.items():
                if variant == 0:
                    browser.type_function(page, text)
                    browser.click_at(page, *start)
                else:
                    there = found[text, 0]["settings"]["start"]
                    page.evaluate(OPERATE, [["type", "function", text]])
                    page.evaluate(OPERATE, [["type", f"start-{k + 1}", repr(w)] for k, w in enumerate(there)])
                found[text, variant] = json.loads(page.evaluate(READ))
    return found


@pytest.mark.slow
def test_trajectories_are_those_of_gradtx(chromium, studio):
    """Points, errors and states of every optimizer at every step, to 1e-9, states of their largest value where that is
    below 1; with what was set, exactly as typed."""
    found = recorded(chromium, studio)
    for (text, variant), page in found.items():
        assert page["settings"]["f"] == text
        assert page["settings"]["start"] == pytest.approx(STARTS[text], abs=0.2)
        for name in OFFERED:
            require_set(page["settings"]["h"][name], name, variant)
    faults = [fault for name in OFFERED for fault in differences(found, name)]
    assert not faults, "\n".join(faults)


def require_set(now, name, variant):
    """Each control has changed what it is for: as typed, or within the range of its slider."""
    expected = {**typed(name, variant), **flags_of(name, variant)}
    assert now.keys() == expected.keys()
    for key, slider in OFFERED[name].ranges.items():
        if variant == 1 and not slider.is_static:
            assert now[key] != expected[key], (name, key)
            assert slider.least <= now[key] <= slider.most
        else:
            assert now[key] == expected[key], (name, key)


def differences(found, name):
    """Where the page's trajectories of an optimizer are not those of the library, in words."""
    for flags in OFFERED[name].combinations():
        chosen = [key for key, page in found.items() if page["settings"]["h"][name].items() >= flags.items()]
        assert chosen, f"{name} with {flags} is not tried"
        settings = [found[key]["settings"] for key in chosen]
        numbers, starts = [x["h"][name] for x in settings], [x["start"] for x in settings]
        expected = courses(name, numbers, [text for text, _ in chosen], starts)
        for (text, variant), ours in zip(chosen, expected, strict=True):
            page = found[text, variant]["courses"][name]
            where = f"{name} on {text}, {VARIANTS[variant]}"
            assert page["stopped"] is None, where
            assert page["s"].keys() == ours["s"].keys(), where
            assert np.ptp(ours["w"], axis=0).min() > 1e-3, f"{where}: it does not move"
            pairs = {"w": (page["w"], ours["w"], 1.0), "error": (page["error"], ours["error"], 1.0)}
            pairs.update({key: (page["s"][key], x, min(np.abs(x).max() or 1.0, 1.0)) for key, x in ours["s"].items()})
            for key, (theirs, value, unit) in pairs.items():
                off = distance(theirs, value, unit)
                if not off.max() <= 1e-9:  # NaN is off
                    yield f"{where}: {key} is off by {off.max():.1e}, first at step {np.argmax(off > 1e-9)}"


def distance(page, ours, unit):
    """How far both are apart at each step, relative to ours where that is more than the unit, else to that."""
    page = np.asarray(page)
    assert page.shape == ours.shape == (STEPS + 1, *ours.shape[1:])
    off = np.abs(page - ours) / np.maximum(unit, np.abs(ours))
    return off.reshape(STEPS + 1, -1).max(1)
