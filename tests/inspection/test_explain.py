"""One step explained: numbers against NumPy, wrappers from inside, the table, the page, and what is refused."""

import dataclasses
import html.parser
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.core.pair import is_transformation
from gradtx.inspection.explain import explain
from gradtx.inspection.render import LEAVES, LEAVES_IN_HTML, WIDTH
from gradtx.inspection.stages import look
from gradtx.inspection.watch import watch
from tests.contract.registry import CASES

RANDOM = np.random.default_rng(1)


def normal(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), jnp.float32)


PARAMS = {"body": normal(4, 4), "head": normal(16)}
GRADS = {"body": normal(4, 4), "head": normal(16).at[:8].set(0)}
CLIPPED = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(1e-3))


def explained(tx, grads=GRADS, params=PARAMS, steps=0, **extra):
    state = tx.init(params)
    for _ in range(steps):
        _, state = tx.update(grads, state, params, **extra)
    return explain(tx, grads, state, params, **extra)


def says(explanation, leaf="body"):
    return {s.stage: s.says for row in explanation.rows if row.leaf == leaf for s in row.stages}


def test_the_numbers_of_a_leaf_are_those_of_numpy():
    g, p = (np.asarray(tree["head"], np.float64) for tree in (GRADS, PARAMS))
    row = next(row for row in explained(gradtx.rmsprop(0.1, 0.5, 0.0, 0.02)).rows if row.leaf == "head")
    u = -0.1 * g / np.sqrt(0.01 + 0.5 * g**2)
    rates = np.abs(u[8:] / g[8:])
    wanted = {
        "gradient": np.linalg.norm(g),
        "weight": np.linalg.norm(p),
        "update": np.linalg.norm(u),
        "update_rms": np.sqrt(np.mean(u**2)),
        "ratio": np.linalg.norm(u) / np.linalg.norm(p),
        "rate": np.median(rates),
        "rate_least": rates.min(),
        "rate_largest": rates.max(),
        "cosine_to_gradient": -u @ g / np.linalg.norm(u) / np.linalg.norm(g),
        "zeros": 0.5,
        "zeros_in": 0.5,
        "moment_least": 0.01,
        "moment_largest": np.max(0.01 + 0.5 * g**2),
        "stalled": 0.0,
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(row, name), value, rtol=1e-5, err_msg=name)
    stage = row.stages[0]
    scaled = g / np.sqrt(0.01 + 0.5 * g**2)
    np.testing.assert_allclose([stage.norm_in, stage.norm_out], [np.linalg.norm(g), np.linalg.norm(scaled)], rtol=1e-5)
    np.testing.assert_allclose(stage.rms_out, np.sqrt(np.mean(scaled**2)), rtol=1e-5)
    np.testing.assert_allclose(stage.angle, np.degrees(np.arccos(wanted["cosine_to_gradient"])), rtol=1e-4)


def test_leaves_of_every_size_and_kind_are_measured():
    shapes = {"scalar": (), "none": (0, 3), "small": (3,), "padded": (7, 13), "large": (150, 130)}
    params = {name: normal(*shape) for name, shape in shapes.items()}
    params |= {
        "complex": jax.lax.complex(normal(5), normal(5)),
        "huge": jnp.asarray([3e30, 4e30]),
        "tiny": jnp.asarray([3e-30, 4e-30]),
    }
    rows = {row.leaf: row for row in explained(gradtx.sgd(0.5), params, params).rows}
    for name, p in params.items():
        if name == "none":
            assert math.isnan(rows[name].update)
            continue
        wide = np.asarray(p, np.complex128 if name == "complex" else np.float64)
        np.testing.assert_allclose(rows[name].update, 0.5 * np.linalg.norm(wide), rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(rows[name].update_rms, 0.5 * np.sqrt(np.mean(np.abs(wide) ** 2)), rtol=1e-5)
        np.testing.assert_allclose([rows[name].ratio, rows[name].rate], 0.5, rtol=1e-5)
        np.testing.assert_allclose(rows[name].cosine_to_gradient, 1, rtol=1e-5)
        assert rows[name].cosine_to_gradient <= 1
    even = explained(gradtx.scale_by_rms(0.0, 0.0), jnp.asarray([1.0, 2.0, 4.0, 8.0]), jnp.ones(4)).rows[0]
    np.testing.assert_allclose(even.rate, np.median([1, 1 / 2, 1 / 4, 1 / 8]), rtol=1e-6)


def test_what_each_member_did_in_words():
    norm = math.hypot(*(float(jnp.linalg.norm(g)) for g in GRADS.values()))
    body = float(jnp.linalg.norm(GRADS["body"]))
    words = says(explained(CLIPPED))
    assert words["clip_by_global_norm"] == (
        f"cut to norm {body / norm:.3g} (was {body:.3g}); whole tree to 1 (was {norm:.3g})"
    )
    assert words["scale_by_adam"].startswith("direction turned by ")
    assert words["scale_by_learning_rate"] == "multiplied by -0.001"
    tx = gradtx.chain(
        same=gradtx.identity(),
        third=gradtx.scale(1 / 3.2),
        loose=gradtx.clip_by_value(99.0),
        nothing=gradtx.set_to_zero(),
        weights=gradtx.add_decayed_weights(1.0),
        leaf=gradtx.clip_by_leaf_norm(0.5),
    )
    weight = float(jnp.linalg.norm(PARAMS["body"]))
    assert says(explained(tx)) == {
        "same": "unchanged",
        "third": "divided by 3.2",
        "loose": "unchanged",
        "nothing": f"set to zero (norm {body / 3.2:.3g} before)",
        "weights": f"from zero to norm {weight:.3g}",
        "leaf": f"cut to norm 0.5 (was {weight:.3g})",
    }


def test_a_rotation_is_told_in_degrees():
    turn = (lambda params: (), lambda u, state, params=None: (jnp.stack([-u[1], u[0]]) * 2.0, state))
    turned = gradtx.foreign(*turn)
    (stage,) = explained(turned, normal(2), normal(2)).rows[0].stages
    assert stage.says == "direction turned by 90 degrees, length multiplied by 2"


def test_wrappers_are_looked_into():
    inner = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(0.1))
    for tx, place in (
        (gradtx.skip_nonfinite(inner), "skip_nonfinite/"),
        (gradtx.average(inner), "average/"),
        (gradtx.inject(inner), ""),
        (gradtx.freeze(inner, "head"), "freeze/"),
        (gradtx.store(inner, gradtx.storage.int8()), "store/"),
        (gradtx.route({"body": inner}, default=gradtx.sgd(0.1)), "route/body/"),
        (gradtx.chain(gradtx.identity(), own=inner), "own/"),
        (watch(inner), ""),
    ):
        words = says(explained(tx))
        assert words[f"{place}clip_by_global_norm"].startswith("cut to norm"), tx
        assert words[f"{place}scale_by_learning_rate"] == "multiplied by -0.1", tx
    routed = says(explained(gradtx.route({"body": inner}, default=gradtx.sgd(0.1))), "head")
    assert routed == {"route/default/scale_by_learning_rate": "multiplied by -0.1"}
    assert says(explained(gradtx.freeze(inner, "head")), "head") == {"freeze": "held still"}


def test_what_a_wrapper_gives_to_its_inside_and_makes_of_it():
    tx = gradtx.accumulate(gradtx.sgd(0.1), 2)
    assert says(explained(tx)) == {"accumulate": "no step yet: the gradient was added to those collected"}
    state = tx.update(jax.tree.map(lambda g: 3 * g, GRADS), tx.init(PARAMS), PARAMS)[1]
    row = explain(tx, GRADS, state, PARAMS).rows[0]
    into, member = row.stages
    assert (into.way, into.says) == ("in", "the collected gradients as one: multiplied by 2")
    np.testing.assert_allclose(member.norm_in, 2 * row.gradient, rtol=1e-6)
    scaled = gradtx.dynamic_loss_scale(gradtx.sgd(1.0), 4.0)
    assert [s.says for s in explained(scaled).rows[0].stages] == ["before its inside: divided by 4", "multiplied by -1"]
    uphill = explained(gradtx.sam(gradtx.sgd(0.1), rho=0.5), grad_fn=jax.grad(lambda p: jnp.sum(p["body"] ** 4)))
    assert says(uphill)["sam"].startswith("the gradient from a little uphill instead: ")
    ahead = explained(gradtx.lookahead(gradtx.sgd(0.1), sync_period=1))
    assert ahead.rows[0].stages[-1].says == "back towards the slow weights: divided by 2"


def test_what_runs_side_by_side_is_compared_with_what_came_in():
    """A sum with the gradient, not with one of its terms; a wrapper whose insides follow each other with the last."""
    summed = explained(gradtx.add(gradtx.scale(-2.0), gradtx.scale(-0.5), gradtx.scale(1.0)))
    assert says(summed)["add"] == "the sum of what is inside: multiplied by -1.5"
    np.testing.assert_allclose(summed.rows[0].stages[-1].norm_in, summed.rows[0].gradient, rtol=1e-6)
    grafted = explained(gradtx.graft(gradtx.scale(-2.0), gradtx.scale(-0.25)))
    assert says(grafted)["graft"] == "the direction of one, the length of the other: multiplied by -0.25"
    routed = explained(gradtx.route({"body": gradtx.scale(2.0), "**": gradtx.scale(3.0)}))
    assert [stage.says for stage in routed.rows[0].stages] == ["multiplied by 2"]
    assert [s.stage for s in explained(in_a_row(gradtx.scale(2.0), gradtx.scale(4.0))).rows[0].stages] == [
        "in_a_row/first/scale",
        "in_a_row/second/scale",
    ]


@gradtx.transformation
def in_a_row(first: gradtx.Transformation, second: gradtx.Transformation):
    """The second gets what the first has made."""

    def update(updates, state, params=None):
        updates, _ = first.update(updates, (), params)
        return second.update(updates, (), params)

    return first.init, update


@gradtx.transformation
def sometimes(inner: gradtx.Transformation):
    def update(updates, state, params=None, **extra):
        return jax.lax.cond(
            jnp.asarray(True), lambda: inner.update(updates, state, params, **extra), lambda: (updates, state)
        )

    return inner.init, update


def test_an_inside_under_an_unknown_condition_is_one_stage():
    words = says(explained(sometimes(gradtx.sgd(0.1))))
    assert words == {"sometimes": "multiplied by -0.1 (it runs its inside under a condition, which is not shown)"}


def test_a_clip_under_a_condition_is_one_as_for_watch():
    found = explained(gradtx.chain(sometimes(gradtx.clip_by_global_norm(1.0)), gradtx.scale(-1e-3)))
    assert says(found)["sometimes"].startswith("cut to norm")
    assert "clipped" in {finding.kind for finding in found.findings}


NESTED = {
    "switches": gradtx.skip_nonfinite(gradtx.every(gradtx.skip_spikes(gradtx.adam(1e-3)), 1)),
    "averages": gradtx.average(gradtx.schedule_free(gradtx.lookahead(gradtx.sgd(0.1)), 0.1)),
    "leaves": gradtx.freeze(gradtx.route({"body": gradtx.inject(gradtx.adam(1e-3))}, default=CLIPPED), "head/0"),
    "scheduled": gradtx.skip_spikes(gradtx.sgd(lambda step: 0.1 / (1.0 + step)), k_sigma=lambda step: 6.0 + step),
    "optax": gradtx.chain(optax.clip_by_global_norm(1.0), gradtx.accumulate(optax.trace(0.9), 1)),
}


@pytest.mark.parametrize("name", NESTED)
def test_from_inside_it_is_the_same_step_to_the_bit(name):
    tx, params, grads = NESTED[name], {**PARAMS, "head": [PARAMS["head"]]}, {**GRADS, "head": [GRADS["head"]]}
    _, state = tx.update(grads, tx.init(params), params)
    wanted = jax.jit(tx.update)(grads, state, params)
    got = jax.jit(lambda *args: look(tx, *args, {}, inside=True)[:2])(grads, state, params)
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, got, wanted)


def test_nothing_is_changed_and_the_state_stays():
    state = CLIPPED.init(PARAMS)
    before = jax.tree.map(np.array, (GRADS, state, PARAMS))
    first, second = explain(CLIPPED, GRADS, state, PARAMS), explain(CLIPPED, GRADS, state, PARAMS)
    assert str(first) == str(second)
    jax.tree.map(np.testing.assert_array_equal, (GRADS, state, PARAMS), before)


def test_it_is_compiled_once():
    from gradtx.inspection.explain import _program

    explained(CLIPPED)
    compiled = _program._cache_size()
    explained(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(1e-3)), steps=1)  # an equal value
    assert _program._cache_size() == compiled


def test_a_gradient_that_names_its_rows():
    table = {"table": jnp.ones((50, 2))}
    grads = {"table": gradtx.RowSparse(jnp.asarray([3, 7, 3]), jnp.ones((3, 2)), (50, 2))}
    row = explained(gradtx.sgd(0.5), grads, table).rows[0]
    np.testing.assert_allclose([row.gradient, row.update], [math.sqrt(10), 0.5 * math.sqrt(10)], rtol=1e-6)
    assert row.zeros == 96 / 100


def wide(count):
    return {f"layer{k:03}": jnp.full(4, 1.0 + k) for k in range(count)}


def test_the_table_fits_and_says_what_it_left_out():
    params = wide(12) | {"layer010": jnp.full((2, 2), 11.0)}
    grads = {name: jnp.full(p.shape, 1e-5) for name, p in params.items()} | {"layer010": jnp.full((2, 2), jnp.inf)}
    explanation = explained(gradtx.accumulate(gradtx.sgd(1e-3), 1), grads, params)
    text = str(explanation)
    assert max(map(len, text.splitlines())) <= WIDTH
    table = text.split("-" * WIDTH)[1]
    assert f"and {12 - LEAVES} more leaves, in .rows" in table
    assert len(explanation.rows) == 12
    assert table.strip().startswith("layer010")  # the worst first
    assert "more leaves" not in str(explained(CLIPPED))


def test_many_findings_of_one_sort_are_one_sentence():
    params = wide(9)
    text = " ".join(str(explained(gradtx.sgd(0.5), params, params)).split())
    assert text.count("times the weights") == 1
    assert "and 5 more leaves" in text


class Parser(html.parser.HTMLParser):
    """Every element must be closed in order; counts the elements, keeps attributes and text."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes.extend((tag, *pair) for pair in attrs)
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(text):
    parser = Parser()
    parser.feed(text)
    assert parser.open == []
    return parser


def test_the_page_is_a_table_that_anybody_can_read_and_loads_nothing(tmp_path):
    params = {"<script>alert(1)</script>": jnp.ones(3), **wide(20)}
    explanation = explained(gradtx.sgd(0.5), params, params)
    path = explanation.to_html(tmp_path / "step.html")
    page = parsed(path.read_text(encoding="utf-8"))
    assert page.seen.count("script") == 0
    assert "<script>alert(1)</script>" in "".join(page.text)
    assert not {"src", "href"} & {name for _, name, _ in page.attributes}
    assert {"table", "caption", "thead", "tbody", "main", "title"} <= set(page.seen)
    scopes = [value for tag, name, value in page.attributes if tag == "th" and name == "scope"]
    assert scopes.count("rowgroup") == 21
    assert scopes.count("col") == 5
    assert len(scopes) == page.seen.count("th")
    assert ("html", "lang", "en") in page.attributes
    notebook = parsed(explanation._repr_html_())
    assert f"and {21 - LEAVES_IN_HTML} more leaves, in" in "".join(notebook.text)


def test_what_is_refused():
    state = CLIPPED.init(PARAMS)
    with pytest.raises(ValueError, match="gradient at head has shape"):
        explain(CLIPPED, {**GRADS, "head": jnp.ones(3)}, state, PARAMS)
    with pytest.raises(ValueError, match="there is no gradient at head"):
        explain(CLIPPED, {"body": GRADS["body"]}, state, PARAMS)
    with pytest.raises(TypeError, match="the state has an entry 'x'"):
        explain(CLIPPED, GRADS, {"x": 1}, PARAMS)
    with pytest.raises(TypeError, match="chain takes no argument 'valu'"):
        explain(CLIPPED, GRADS, state, PARAMS, valu=1.0)
    with pytest.raises(TypeError, match="sam needs grad_fn"):
        explained(gradtx.sam(gradtx.sgd(0.1)))
    with pytest.raises(ValueError, match="needs the parameters"):
        explain(CLIPPED, GRADS, state, None)
    with pytest.raises(ValueError, match=r"state at scale_by_adam/count has shape \(2,\).*is it a batch"):
        explain(CLIPPED, GRADS, jax.tree.map(lambda x: jnp.stack([x, x]), state), PARAMS)
    with pytest.raises(ValueError, match="holds a batch of transformations"):
        explain(jax.vmap(gradtx.sgd)(jnp.ones(2)), GRADS, {}, PARAMS)
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda g: explain(CLIPPED, g, state, PARAMS).rows[0].update)(GRADS)
    with pytest.raises(TypeError, match="tx must be a transformation"):
        explain(PARAMS, GRADS, state, CLIPPED)


def test_extras_pass_through():
    stop = gradtx.skip_if(gradtx.sgd(0.1), lambda updates, params, value: value > 1.0)
    assert explained(stop, value=jnp.asarray(2.0)).rows[0].update == 0
    assert explained(stop, value=0.5).rows[0].update > 0
    tx = gradtx.accumulate(gradtx.sgd(0.1), 4)
    assert explained(tx, flush=True).rows[0].update > 0


def test_it_is_data():
    explanation = explained(CLIPPED)
    assert dataclasses.asdict(explanation)["rows"][0]["stages"][0]["stage"] == "clip_by_global_norm"
    assert explanation.call == repr(CLIPPED)
    assert repr(explanation) == str(explanation)
    assert explain(CLIPPED, {}, CLIPPED.init({}), {}).rows == ()
    assert "0 leaves" in str(explain(gradtx.chain(), {}, {}, {}))


def test_every_transformation_can_be_seen_from_inside():
    """One of each factory; traced, not compiled: updates and states of the same types come out."""
    wrapped = 0
    for name, case in {getattr(case.tx, "name", name): case for name, case in CASES.items()}.items():
        if not (case.is_value and any(is_transformation(x) for x in case.tx.children.values())):
            continue
        args, extras = (case.gradients(1)[0], case.init(case.params), case.params), dict(case.extras)
        wanted = jax.eval_shape(lambda *args, case=case: case.update(*args), *args)
        got = jax.eval_shape(lambda *args, tx=case.tx, extras=extras: look(tx, *args, extras, inside=True)[:2], *args)
        assert jax.tree.structure(got) == jax.tree.structure(wanted), name
        types = [[(x.shape, x.dtype) for x in jax.tree.leaves(tree)] for tree in (got, wanted)]
        assert types[0] == types[1], name
        wrapped += 1
    assert wrapped > 20


def test_leaves_that_are_split_over_an_explicit_mesh():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
    params = {"rows": normal(256, 80), "columns": normal(256, 80), "whole": normal(3)}
    specs = {"rows": ("x",), "columns": (None, "x"), "whole": ()}
    spec = jax.sharding.PartitionSpec
    split = {k: jax.device_put(x, jax.sharding.NamedSharding(mesh, spec(*specs[k]))) for k, x in params.items()}
    tx = gradtx.adam(1e-3)
    with jax.set_mesh(mesh):
        came, wanted = (explain(tx, p, tx.init(p), p).rows for p in (split, params))
    for a, b in zip(came, wanted, strict=True):
        np.testing.assert_allclose([a.update, a.rate, a.gradient], [b.update, b.rate, b.gradient], rtol=1e-5)
