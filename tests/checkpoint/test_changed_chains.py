"""Restoring into a transformation that has changed since: what is found, what is not, and what is said of it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.catalog import ENTRIES, RECIPES
from gradtx.checkpoint import CheckpointError, Checkpoints
from gradtx.checkpoint.leaves import entries
from gradtx.checkpoint.report import castable, comparison
from gradtx.testing.compare import same_bits

pytest.importorskip("orbax.checkpoint", reason="pip install -e '.[checkpoint]'")

PARAMS = {"dense": {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}}
LIKE_ADAM = [e for e in RECIPES.values() if {"b2", "eps"} <= e.usual.keys() and not e.laws]


def trained(tx, steps=2):
    """A state with something in it."""
    state = tx.init(PARAMS)
    for k in range(steps):
        _, state = tx.update(jax.tree.map(lambda p, k=k: p + k + 1.0, PARAMS), state, PARAMS)
    return state


def compared(old, new):
    """The report for two trees called `state`."""
    saved, wanted = ({name: leaf for name, (leaf, _) in entries("state", tree).items()} for tree in (old, new))
    return comparison(saved, wanted).report


def moved(old, new):
    """What is renamed from the state of one transformation to that of another."""
    return list(compared(old.init(PARAMS), new.init(PARAMS)).renamed)


def test_a_member_was_added(tmp_path):
    before, after = gradtx.adam(1e-3), gradtx.chain(gradtx.clip_by_z_score(3.0), gradtx.adam(1e-3))
    old, fresh = trained(before), after.init(PARAMS)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, state=old)
        with pytest.raises(CheckpointError, match=r"(?s)step 7 .* differ.*missing.* state/clip_by_z") as e:
            checkpoints.restore(state=fresh)
        assert "strict=False" in str(e.value)
        back = checkpoints.restore(state=fresh, strict=False)
        with pytest.raises(CheckpointError, match=r"state/clip_by_z_score/count and .*ShapeDtypeStruct.*give arrays"):
            checkpoints.restore(state=jax.eval_shape(lambda: fresh), strict=False)
    assert e.value.report == back.report
    assert back.report.missing == tuple(f"state/clip_by_z_score/{x}" for x in fresh["clip_by_z_score"]._fields)
    assert not back.report.extra
    assert back.report.loaded == 5
    same_bits("the old part", back["state"]["scale_by_adam"], old["scale_by_adam"])
    same_bits("the new part", back["state"]["clip_by_z_score"], fresh["clip_by_z_score"])
    after.update(PARAMS, back["state"], PARAMS)


def test_a_member_was_removed(tmp_path):
    before, after = gradtx.chain(gradtx.zero_nans(), gradtx.adam(1e-3)), gradtx.adam(1e-3)
    old = trained(before)
    abstract = jax.eval_shape(after.init, PARAMS)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, state=old)
        with pytest.raises(CheckpointError, match="extra in the checkpoint, ignored: state/zero_nans"):
            checkpoints.restore(state=abstract)
        back = checkpoints.restore(state=abstract, strict=False)
    assert all(name.startswith("state/zero_nans/") for name in back.report.extra)
    assert back.report.extra
    same_bits("what is left", back["state"], {"scale_by_adam": old["scale_by_adam"]})


def test_a_member_was_renamed(tmp_path):
    adam = gradtx.scale_by_adam()
    before, after = gradtx.chain(adam, gradtx.scale(-0.1)), gradtx.chain(gradtx.scale(-0.1), direction=adam)
    old = trained(before)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, params=PARAMS, state=old)
        with pytest.raises(CheckpointError, match=r"missing from the checkpoint[^:]*: state/direction/count"):
            checkpoints.restore(state=after.init(PARAMS))  # one of that name may be another method
        rename = {"state/scale_by_adam": "state/direction"}
        back = checkpoints.restore(state=after.init(PARAMS), rename=rename)
        with pytest.raises(CheckpointError, match=r"has nothing at 'state/adam' \(did you mean"):
            checkpoints.restore(state=after.init(PARAMS), rename={"state/adam": "state/direction"})
        with pytest.raises(CheckpointError, match="would have two leaves at state/scale_by_adam/mu/dense/"):
            checkpoints.restore(state=after.init(PARAMS), rename={"state/scale_by_adam/nu": "state/scale_by_adam/mu"})
    assert back.report.exact
    same_bits("the member", back["state"]["direction"], old["scale_by_adam"])


def test_methods_whose_states_look_alike():
    """The largest gradients of one are not the squares of another, though both are called nu."""
    alike = [gradtx.chain(e.make()) for e in ENTRIES.values() if e.fields.keys() == {"count", "mu", "nu"}]
    assert len(alike) > 2
    for old, new in itertools.permutations(alike, 2):
        report = compared(old.init(PARAMS), new.init(PARAMS))
        assert not report.renamed
        assert report.missing
        assert report.loaded == 0


def test_members_that_a_number_alone_tells_apart():
    """One fewer or one more, and nobody knows which is which; under names of their own they are known."""
    slow, fast, new = (gradtx.add_momentum(x) for x in (0.99, 0.9, 0.5))
    old = gradtx.chain(fast, slow).init(PARAMS)
    for tx in (gradtx.chain(slow), gradtx.chain(new, fast, slow)):
        report = compared(old, tx.init(PARAMS))
        assert report.loaded == 0
        assert {"state/add_momentum", "state/add_momentum_1"} <= set(report.doubtful)
        assert not report.exact
        assert "numbered states, more or fewer than before, not loaded: state/add_momentum" in str(report)
    assert compared(old, gradtx.chain(fast, slow).init(PARAMS)).exact
    named = compared(gradtx.chain(fast=fast, slow=slow).init(PARAMS), gradtx.chain(slow=slow).init(PARAMS))
    assert named.doubtful == ()
    assert named.loaded == len(jax.tree.leaves(PARAMS))
    layers = {"layer_0": jnp.ones(2), "layer_1": jnp.ones(2)}
    assert compared(layers, {**layers, "layer_2": jnp.ones(2)}).loaded == 2


def test_a_number_beyond_the_largest_of_its_new_type(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, w=jnp.array([1.0, 1e5, jnp.inf]))
        with pytest.raises(
            CheckpointError, match="w has a float32 beyond the largest float16: give a target of float32"
        ):
            checkpoints.restore(w=jnp.zeros(3, "float16"), strict=False)
        back = checkpoints.restore(w=jnp.zeros(3, "bfloat16"), strict=False)
    np.testing.assert_array_equal(back["w"].astype("float32"), [1.0, 99840.0, jnp.inf])


def test_shapes_and_types(tmp_path):
    """Another shape is never loaded; another type is where its values mean the same."""
    old = {"w": jnp.arange(3.0), "v": jnp.ones(4), "n": jnp.int32(3), "codes": jnp.ones(2, "int8"), "rate": 0.25}
    old |= {"key": jax.random.key(0), "wide": jnp.ones(2), "py": jnp.float32(0.5)}
    new = {"w": jnp.zeros(3, "bfloat16"), "v": jnp.zeros(5), "n": 0, "codes": jnp.zeros(2), "rate": jnp.float32(0)}
    new |= {"key": jax.random.key(1, impl="rbg"), "wide": jnp.zeros(2, "complex64"), "py": 0.0}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, tree=old)
        with pytest.raises(
            CheckpointError, match=r"different shape, not loaded: tree/v is float32\[4\] in the checkpoint, float32\[5"
        ):
            checkpoints.restore(tree=new)
        back = checkpoints.restore(tree=new, strict=False)
    assert [c.name for c in back.report.reshaped] == ["tree/v"]
    assert {c.name: c.loaded for c in back.report.retyped} == {
        "tree/codes": False,
        "tree/key": False,
        "tree/n": True,
        "tree/py": True,
        "tree/rate": True,
        "tree/w": True,
        "tree/wide": True,
    }
    expected = {**new, "w": jnp.arange(3).astype("bfloat16"), "n": 3, "rate": jnp.float32(0.25)}
    same_bits("the tree", back["tree"], {**expected, "wide": jnp.ones(2, "complex64"), "py": 0.5})
    assert type(back["tree"]["n"]) is int


@pytest.mark.parametrize(
    ("saved", "wanted", "fits"),
    [
        ("int8", "int32", True),
        ("int32", "int8", False),
        ("uint8", "int8", False),
        ("int32", "float32", False),
        ("float32", "int32", False),
        ("complex64", "float32", False),
        ("float32", "bfloat16", True),
        ("bool", "int32", False),
        ("python int", "int64", True),
        ("python bool", "bool", True),
        ("int64", "python int", True),
        ("key<fry>", "uint32", False),
    ],
)
def test_castable(saved, wanted, fits):
    assert castable(saved, wanted) is fits


def test_none_is_nothing(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, tree={"a": None, "b": jnp.ones(2)})
        back = checkpoints.restore(tree={"a": jnp.zeros(3), "b": None}, strict=False)
    assert back.report.missing == ("tree/a",)
    assert back.report.extra == ("tree/b",)
    assert back["tree"]["b"] is None


def test_only_what_is_asked_for(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, params=PARAMS, state=jnp.ones(3))
        back = checkpoints.restore(params=jax.tree.map(jnp.zeros_like, PARAMS))
        same_bits("the parameters", back["params"], PARAMS)
        assert back.report.exact
        assert list(back) == ["params"]
        with pytest.raises(CheckpointError, match=r"missing from the checkpoint.*: averages"):
            checkpoints.restore(params=PARAMS, averages=jnp.zeros(3))
        back = checkpoints.restore(averages=jnp.full(3, 2.0), strict=False)
        np.testing.assert_array_equal(back["averages"], [2, 2, 2])


# What counts as moved


def test_into_a_wrapper_and_out():
    adam = gradtx.adam(1e-3)
    wrapped, piece = gradtx.skip_nonfinite(adam), gradtx.scale_by_adam()
    assert moved(adam, wrapped) == [("state", "state/inner")]
    assert moved(wrapped, adam) == [("state/inner", "state")]
    assert moved(piece, gradtx.chain(piece)) == [("state", "state/scale_by_adam")]
    assert moved(wrapped, gradtx.lookahead(wrapped, 5, 0.5)) == [("state", "state/inner")]


def test_members_that_share_a_move_keep_their_names():
    """A schedule's count, which has no mark but its member's name, goes along with the others."""
    rate = gradtx.linear_schedule(0.1, 0.0, 10)
    old = gradtx.chain(gradtx.zero_nans(), gradtx.adam(rate))
    new = gradtx.chain(gradtx.zero_nans(), gradtx.skip_nonfinite(gradtx.adam(rate)))
    assert moved(old, new) == [
        ("state/scale_by_adam", "state/skip_nonfinite/inner/scale_by_adam"),
        ("state/scale_by_learning_rate", "state/skip_nonfinite/inner/scale_by_learning_rate"),
    ]


def test_a_layer_that_was_renamed_moves_in_every_mirror():
    tx, renamed = gradtx.scale_by_adam(), {"linear": PARAMS["dense"]}
    report = compared(tx.init(PARAMS), tx.init(renamed))
    assert report.renamed == (("state/mu/dense", "state/mu/linear"), ("state/nu/dense", "state/nu/linear"))


def test_another_statistic_is_no_rename():
    """The mean of squares is not a momentum, if ever so alike."""
    rms, momentum = gradtx.scale_by_rms(), gradtx.add_momentum(0.9)
    assert moved(gradtx.chain(rms), gradtx.chain(momentum)) == []
    assert moved(rms, momentum) == []
    assert moved(gradtx.add_noise(0.1, 0.5, jax.random.key(0)), gradtx.scale_by_adam()) == []
    assert moved(gradtx.chain(gradtx.scale_by_lion()), gradtx.chain(gradtx.scale_by_adam())) == []


def test_two_that_fit_are_none():
    """Where either of two could be the one, neither is taken, nor a part of it."""
    adam = gradtx.scale_by_adam()
    assert moved(gradtx.chain(a=adam, b=adam), gradtx.chain(c=adam, d=adam)) == []
    assert moved(gradtx.chain(a=adam, b=adam), gradtx.chain(a=adam, d=adam)) == []
    assert moved(gradtx.chain(a=adam), gradtx.chain(c=adam, d=adam)) == []


def test_scalars_alone_are_no_mark():
    counts = gradtx.chain(a=gradtx.zero_nans()), gradtx.chain(b=gradtx.zero_nans())
    assert compared(counts[0].init(PARAMS["dense"]["w"]), counts[1].init(PARAMS["dense"]["w"])).renamed == ()
    old, new = {"a": {"count": jnp.int32(3)}}, {"b": {"count": jnp.int32(0)}}
    assert compared(old, new).renamed == ()


def test_trees_do_not_exchange_leaves(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, ema={"w": jnp.ones(3)}, params={})
        back = checkpoints.restore(ema={}, params={"w": jnp.zeros(3)}, strict=False)
    assert back.report.missing == ("params/w",)


def test_a_report_of_many_is_short():
    report = compared({f"x{i}": jnp.ones(2) for i in range(99)}, {})
    assert len(report.extra) == 99
    assert "and 93 more" in str(report)
    assert len(str(report)) < 300


BODY = {"body": {"w": jnp.ones((2, 2))}, "head": jnp.ones(2)}


class TestUnfrozen:
    """Leaves that were frozen when the checkpoint was made, and are trained from now on."""

    def saved(self, tmp_path, tx, steps=1000):
        def body(carry, _):
            return tx.step(BODY, carry[1], carry[0]), None

        state = jax.jit(lambda: jax.lax.scan(body, (BODY, tx.init(BODY)), length=steps)[0][1])()
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(steps, state=state)
        return state

    def back(self, tmp_path, tx):
        with Checkpoints(tmp_path) as checkpoints:
            return checkpoints.restore(state=tx.init(BODY), strict=False)

    @pytest.mark.parametrize("inner", [e.factory(0.1) for e in LIKE_ADAM])
    def test_it_is_reported_that_their_count_goes_on(self, tmp_path, inner):
        self.saved(tmp_path, gradtx.freeze(inner, "body"), 3)
        report = self.back(tmp_path, inner).report
        assert report.late == report.missing
        assert all(name.endswith("/body/w") for name in report.late)
        assert "count of their state was loaded: first steps may be too long" in str(report)

    def test_states_without_a_count_and_new_members_are_not_late(self, tmp_path):
        self.saved(tmp_path, gradtx.freeze(gradtx.sgd(0.1, momentum=0.9), "body"), 3)
        report = self.back(tmp_path, gradtx.chain(gradtx.sgd(0.1, momentum=0.9), gradtx.scale_by_adam())).report
        assert report.missing
        assert not report.late

    def test_with_a_rule_of_their_own_they_begin_as_if_new(self, tmp_path):
        adam = gradtx.adam(0.1)
        old = self.saved(tmp_path, gradtx.freeze(adam, "body"))
        bare = self.back(tmp_path, adam)
        routed = gradtx.route({"body": adam}, default=adam)
        back = self.back(tmp_path, routed)
        assert not back.report.late
        same_bits(
            "the state of the head",
            back["state"]["default"]["scale_by_adam"].mu["head"],
            old["scale_by_adam"].mu["head"],
        )
        fresh, _ = adam.update(BODY, adam.init(BODY), BODY)
        cured, _ = routed.update(BODY, back["state"], BODY)
        long, _ = adam.update(BODY, bare["state"], BODY)
        same_bits("the first step of the body", cured["body"]["w"], fresh["body"]["w"])
        same_bits("the step of the head", cured["head"], long["head"])
        assert np.all(np.abs(long["body"]["w"]) > 2.4 * np.abs(fresh["body"]["w"]))
