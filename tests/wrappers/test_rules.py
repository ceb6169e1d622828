"""Rules, masks and labels: on leaves that are not trained, on keys with a slash, on leaves in boxes."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core.trees import leaf_names
from gradtx.testing.compare import same_bits
from gradtx.wrappers.rules import nearest

TX = gradtx.sgd(0.1)
W = {"w": jnp.ones(2), "flag": jnp.asarray(True), "key": jax.random.key(0), "n": jnp.int32(3), "none": None}
G = {"w": jnp.full(2, 0.5), "flag": None, "key": None, "n": None, "none": None}
UNTRAINED = ("flag", "key", "n", "none")
NAMERS = {
    "glob": lambda name: name,
    "regular expression": lambda name: re.compile(f"^{name}$"),
    "function": lambda name: lambda path, leaf: path == name and leaf is not NotImplemented,
    "tuple": lambda name: (name,),
}
BY_RULE = {
    "masked": lambda rule: gradtx.masked(TX, (rule, "w")),
    "freeze": lambda rule: gradtx.freeze(TX, rule),
    "route": lambda rule: gradtx.route({rule: gradtx.adam(1.0)}, default=TX),
    "per_leaf_learning_rate": lambda rule: gradtx.chain(TX, gradtx.per_leaf_learning_rate({rule: 2.0})),
}


@pytest.mark.parametrize("by", BY_RULE)
@pytest.mark.parametrize("namer", NAMERS)
def test_a_rule_may_be_for_leaves_that_are_not_trained(by, namer):
    for name in UNTRAINED:
        tx = BY_RULE[by](NAMERS[namer](name))
        updates, _ = tx.update(G, tx.init(W), W)
        same_bits("the update", updates["w"], jnp.full(2, -0.05))
        if namer != "function":
            tx.update(G, tx.init(W))  # without the parameters too


def test_a_function_that_knows_only_arrays():
    """It raises on None and on keys; that is no answer, and no error."""
    tx = gradtx.masked(TX, lambda path, leaf: leaf.dtype == jnp.int32)
    same_bits("the update", tx.update(G, tx.init(W), W)[0]["w"], G["w"])


def test_a_rule_that_has_nothing_left_among_them_is_refused():
    tx = gradtx.route({"*": TX, "n": TX})
    with pytest.raises(ValueError, match="the rule 'n' takes no leaf"):
        tx.init(W)
    with pytest.raises(ValueError, match="the rule 'm' matches no leaf; nearest: "):
        gradtx.freeze(TX, "m").init(W)


PATHS = ["embed/table", *(f"layers/{k}/{name}" for k in range(9) for name in ("bias", "kernel")), "head/kernel"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("head/kernal", "head/kernel"),
        ("**/bais", "layers/0/bias, layers/1/bias, layers/2/bias, ..."),
        ("Embed/Table", "embed/table"),
        (r"layer/\d+/kernel", "layers/0/kernel, layers/1/kernel, layers/2/kernel, ..."),
        ("zzz", "embed/table, layers/0/bias, layers/0/kernel, ..."),
    ],
)
def test_the_nearest_leaves(pattern, found):
    assert nearest(pattern, PATHS) == found


def test_a_label_may_be_for_leaves_that_are_not_trained():
    transforms = {"train": TX, "frozen": gradtx.set_to_zero()}
    labels = {"w": "train", "flag": "frozen", "key": "frozen", "n": "frozen", "none": "frozen"}
    for given in (labels, lambda params: labels):
        tx = gradtx.partition(transforms, given)
        same_bits("the update", tx.update(G, tx.init(W), W)[0]["w"], jnp.full(2, -0.05))
    with pytest.raises(ValueError, match="no leaf has the label 'frozen'"):
        gradtx.partition(transforms, {**labels, **dict.fromkeys(UNTRAINED, "train")}).init(W)


class TestKeysWithASlash:
    """`a/b` may be one key, or `b` inside `a`."""

    ONE, BOTH = {"a/b": jnp.ones(1), "c": jnp.ones(1)}, {"a/b": jnp.ones(1), "a": {"b": jnp.ones(1), "c": jnp.ones(1)}}

    @pytest.mark.parametrize("by", BY_RULE)
    def test_a_glob_that_names_both_is_refused(self, by):
        if by != "masked":
            BY_RULE[by]("a/b").init(self.ONE)
        tx = gradtx.masked(TX, "a/b") if by == "masked" else BY_RULE[by]("a/b")
        with pytest.raises(ValueError, match=r"rule 'a/b' names two places of the tree, 'a' > 'b' and 'a/b': rename"):
            tx.init(self.BOTH)

    def test_above_the_leaves_too(self):
        tree = {"a/b": {"v": jnp.ones(1)}, "a": {"b": {"w": jnp.ones(1)}}}
        for rule in ("a/b", "a/?", ("a/b", "c")):
            with pytest.raises(ValueError, match="names two places of the tree"):
                gradtx.freeze(TX, rule).init(tree)
        for rule, frozen in (("a/b/w", ["frozen", ""]), ("a/b/v", ["", "frozen"]), ("a", ["frozen", "frozen"])):
            groups = gradtx.freeze(TX, rule).leaf_groups(tree)
            assert [groups[k].label for k in (0, 1)] == frozen  # the nested leaf comes first

    def test_a_glob_for_many_places_is_meant_so(self):
        groups = gradtx.freeze(TX, "**").leaf_groups(self.BOTH)
        assert {group.label for group in groups.values()} == {"frozen"}


@jax.tree_util.register_pytree_with_keys_class
class Box:
    """As nnx's Variable and linen's Partitioned."""

    def __init__(self, value):
        self.value = value

    def tree_flatten_with_keys(self):
        return [(jax.tree_util.GetAttrKey("value"), self.value)], None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


PLAIN = {"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, "value": jnp.ones(1)}
BOXED = jax.tree.map(Box, PLAIN)
RULES = {
    "glob": "**/kernel",
    "the whole path": "dense/kernel",
    "the path with the box": "dense/kernel/value",
    "regular expression": re.compile("kernel$"),
    "function of the path": lambda path, leaf: path.endswith("kernel"),
    "function of the leaf": lambda path, leaf: leaf.ndim == 2,
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("by", ["masked", "freeze", "route", "per_leaf_learning_rate", "a mask", "labels"])
def test_a_leaf_has_one_name_in_a_box_and_without(by, name):
    """The state is made for boxes, and the updates come without: as flax's nnx.Optimizer does it."""
    rule, is_kernel = RULES[name], jax.tree.map(lambda x: x.ndim == 2, BOXED)
    tx = {
        "masked": lambda: gradtx.masked(TX, rule),
        "freeze": lambda: gradtx.freeze(TX, rule),
        "route": lambda: gradtx.route({rule: TX}, default=gradtx.scale(1.0)),
        "per_leaf_learning_rate": lambda: gradtx.per_leaf_learning_rate({rule: -0.1}),
        "a mask": lambda: gradtx.masked(TX, is_kernel),
        "labels": lambda: gradtx.partition(
            {"kernel": TX, "others": gradtx.scale(1.0)},
            jax.tree.map(lambda x: "kernel" if x else "others", is_kernel),
        ),
    }[by]()
    state = tx.init(BOXED)
    boxed, _ = tx.update(BOXED, state, BOXED)
    if name == "the path with the box" and by not in ("a mask", "labels"):
        return  # it is the name of nothing once the box is gone
    plain, _ = tx.update(PLAIN, jax.tree.map(lambda x: x, tx.init(PLAIN)), PLAIN)
    kernel, other = (0.0, -0.1) if by == "freeze" else (-0.1, 1.0)
    np.testing.assert_array_equal(plain["dense"]["kernel"], jnp.full((2, 2), jnp.float32(kernel)))
    np.testing.assert_array_equal(plain["dense"]["bias"], jnp.full(2, jnp.float32(other)))
    for a, b in zip(jax.tree.leaves(boxed), jax.tree.leaves(plain), strict=True):
        same_bits("the update", a, b)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Pair:
    value: jax.Array
    other: jax.Array


def test_an_attribute_value_among_others_is_a_name():
    assert leaf_names({"a": Pair(jnp.ones(1), jnp.ones(1)), "b": Box(jnp.ones(1))}) == ["a/value", "a/other", "b"]
    assert leaf_names([Pair(None, {"c": 1}), Box(Box(2)), Box({"d": 3})]) == [
        "0/value",
        "0/other/c",
        "1/value",
        "2/value/d",
    ]


def test_an_error_names_a_boxed_leaf_as_the_others():
    with pytest.raises(ValueError, match=r"gradient at dense/kernel has shape \(1,\), the parameter \(2, 2\)"):
        TX.update({**BOXED, "dense": {**BOXED["dense"], "kernel": Box(jnp.ones(1))}}, TX.init(BOXED), BOXED)
