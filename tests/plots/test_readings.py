"""Readings over time and effective rates, of a watch that really ran."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

import gradtx
from gradtx import plots
from gradtx.inspection.readings import Readings, readings
from gradtx.inspection.watch import watch
from tests.plots.seeing import line, overlapping, within, words

SHAPE = (4, 3)


@pytest.fixture(scope="module")
def real():
    """Of 12 steps, of a clip and Adam on three leaves."""
    tx = watch(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.01)), every=1, window=16)
    params = {name: (k + 1.0) * jnp.ones(SHAPE) for k, name in enumerate(("first", "second", "third"))}

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.tree.map(lambda w: w - 0.3, params), state, params)
        return (gradtx.apply_updates(params, updates), state), None

    return readings(jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), length=12)[0][1])(params))


def made(n=8, groups=3, bins=6):
    """With chosen numbers: entry [t, g] of a field is 10^-g, and all entries lie in the third bin."""
    counts = np.zeros((n, groups, bins))
    counts[:, :, 2] = 10.0
    field = np.tile(10.0 ** -np.arange(groups, dtype=float), (n, 1))
    names = tuple(f"layer{g}" for g in range(groups))
    fields = {f.name: field for f in dataclasses.fields(Readings)}
    stage = np.tile(field[:, None], (1, 2, 1)) * np.array([[[1.0], [5.0]]])
    others = {"steps": 10 * np.arange(n), "names": names, "stages": ("clip", "adam"), "stage_norm": stage}
    return Readings(**{**fields, **others, "rate_counts": counts, "rate_edges": np.logspace(-3, 3, bins + 1)})


class TestLines:
    def test_update_to_weight_with_the_usual_band(self, real):
        ax = plots.ratios(real)
        for g, name in enumerate(real.names):
            np.testing.assert_allclose(line(ax, name).get_xydata().T, [real.steps, real.update_to_weight[:, g]])
        assert (ax.get_yscale(), ax.get_xlabel()) == ("log", "step")
        assert ax.get_ylabel() == "|update| / |weight| (per step)"
        boxes = words(ax)
        assert {"usual: about 10⁻³", *real.names} == set(boxes)
        assert not overlapping(boxes)
        assert within(boxes, ax.figure)
        low, high = ax.get_ylim()
        assert low < 1e-3 / 3 < 3e-3 < high

    @pytest.mark.parametrize(
        "field", ["grad_norm", "cosine_to_gradient", "sign_agreement", "clipped", "second_moment_max"]
    )
    def test_every_kind_of_reading(self, real, field):
        ax = plots.readings_over_time(real, field)
        np.testing.assert_allclose(line(ax, "second").get_ydata(), getattr(real, field)[:, 1])
        assert ax.get_ylabel()

    def test_a_stage(self, real):
        ax = plots.readings_over_time(real, "stage_norm", stage="clip_by_global_norm", names="third")
        np.testing.assert_allclose(line(ax, "third").get_ydata(), real.stage_norm[:, 0, 2])
        assert ax.get_ylabel() == "norm after clip_by_global_norm"

    def test_some_of_the_leaves_and_one_step(self):
        ax = plots.ratios(made(n=1), names=["layer2", "layer0"])
        assert line(ax, "layer2").get_marker() != ""
        assert "layer1" not in [one.get_label() for one in ax.get_lines()]

    def test_many_leaves_are_told_by_their_shade(self):
        ax = plots.ratios(made(groups=40))
        key = ax.figure.axes[1]
        ax.figure.draw_without_rendering()
        assert [text.get_text() for text in key.get_yticklabels()][::5] == ["layer0", "layer39"]
        assert list(words(ax)) == ["usual: about 10⁻³"]


class TestHistogram:
    def test_shares_and_quantiles(self):
        given = made()
        given.rate_counts[:, 1] = 0.0
        given.rate_counts[:, 2] = [10, 0, 0, 0, 0, 0]
        ax = plots.rate_histogram(given)
        np.testing.assert_allclose(line(ax, "50%").get_ydata(), -2.0, atol=1e-12)
        np.testing.assert_allclose(line(ax, "10%").get_ydata(), -2.8)
        np.testing.assert_allclose(line(ax, "90%").get_ydata(), -0.2)
        shown = [c for c in ax.collections if isinstance(c, QuadMesh)][-1]
        np.testing.assert_allclose(shown.get_array().filled(0)[:, 0], [0.5, 0, 0.5, 0, 0, 0])
        assert "update" in ax.get_ylabel()
        assert ax.get_xlabel() == "step"

    def test_one_leaf_and_steps_without_entries(self):
        given = made()
        given.rate_counts[3] = 0.0
        ax = plots.rate_histogram(given, names="layer1")
        assert np.isnan(line(ax, "50%").get_ydata()[3])
        blank = next(c for c in ax.collections if isinstance(c, QuadMesh))
        assert blank.get_array().mask[:, 3].all()
        assert not blank.get_array().mask[:, 2].any()

    def test_a_real_one(self, real):
        ax = plots.rate_histogram(real)
        ax.figure.draw_without_rendering()
        assert ax.get_xlim() == (-0.5, 11.5)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda r: plots.ratios(r, names="layer9"),
            r"names has 'layer9' \(did you mean 'layer\d'\?\); there are 'layer0'",
        ),
        (lambda r: plots.ratios(r, names=[]), "names is empty"),
        (lambda r: plots.ratios(dataclasses.replace(r, steps=np.zeros(0))), "readings holds no step"),
        (lambda r: plots.readings_over_time(r, "grad_nrm"), r"field must be one of .* \(did you mean 'grad_norm'\?\)"),
        (lambda r: plots.readings_over_time(r, "stage_norm"), "stage_norm needs a stage, one of 'clip', 'adam'"),
        (
            lambda r: plots.readings_over_time(r, "stage_norm", stage="sgd"),
            "stage must be one of 'clip', 'adam'; got 'sgd'",
        ),
        (lambda r: plots.readings_over_time(r, "zeros", stage="clip"), "stage is for stage_norm; zeros has none"),
        (
            lambda r: plots.readings_over_time(dataclasses.replace(r, clipped=np.nan * r.clipped), "clipped"),
            "clipped holds no finite number",
        ),
        (
            lambda r: plots.rate_histogram(dataclasses.replace(r, rate_counts=np.nan * r.rate_counts)),
            "rate_counts holds no entry",
        ),
    ],
)
def test_what_cannot_be_drawn(draw, message):
    with pytest.raises(ValueError, match=message):
        draw(made())


def test_what_are_no_readings_and_no_axes(real):
    state = watch(gradtx.sgd(0.1)).init(jnp.ones(2))
    with pytest.raises(TypeError, match=r"give what gradtx.readings\(state\) returns; got something of type Watch"):
        plots.ratios(state)
    with pytest.raises(TypeError, match="ax must be matplotlib Axes"):
        plots.ratios(real, ax=Figure())
