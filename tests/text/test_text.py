"""`parse`, `to_dict`, `from_dict`: every value goes there and back, and a text can run nothing."""

import ast
import importlib
import json
import re
from math import inf

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import gradtx
from gradtx import frames, moments, sets, storage
from gradtx.compat import torch as dialect
from gradtx.testing.compare import error_of
from gradtx.text.names import makers
from tests.contract.registry import CASES


def piled(tx):
    """In three wrappers."""
    return gradtx.every(gradtx.masked(gradtx.inject(tx), {"w": True, "layers": [False, {"b": True}]}), 2)


def there_and_back(value, names=None):
    return gradtx.parse(repr(value), names), gradtx.from_dict(json.loads(json.dumps(gradtx.to_dict(value))), names)


NAMED = {name: case for name, case in CASES.items() if "<" not in repr(case.tx)}


def test_only_pairs_have_no_name():
    assert set(CASES) - set(NAMED) == {"bare_pair"}


def test_every_case_goes_there_and_back():
    wrong = [
        (name, tx, back)
        for name, case in NAMED.items()
        for tx in (case.tx, piled(case.tx))
        for back in there_and_back(tx, case.namespace)
        if back != tx or hash(back) != hash(tx) or repr(back) != repr(tx)
    ]
    assert not wrong


@pytest.mark.parametrize(
    "value",
    [
        gradtx.clip_by_value(inf),
        gradtx.scale(jnp.float32(0.1)),
        gradtx.scale(jnp.bfloat16(0.1)),
        gradtx.sgd(2 * gradtx.linear_schedule(1.0, 0.1, 10) - 0.5),
        gradtx.piecewise_constant_schedule(1.0, {5: 0.1, 9: 0.5}),
        gradtx.masked(gradtx.adam(0.1), re.compile("a|b", re.IGNORECASE | re.DOTALL)),
        gradtx.route({re.compile(r".*\d"): gradtx.adam(0.1), "**": gradtx.sgd(0.1)}),
        gradtx.chain(a=gradtx.adam(0.1), b=gradtx.scale(2.0)),
        gradtx.partition({("a", 1): gradtx.adam(0.1), 2: gradtx.sgd(1.0)}, {"w": ("a", 1), "v": 2}),
        gradtx.chain(),
        gradtx.orthogonalize(devices=gradtx.owners(gradtx.split_over("x", {"w": PartitionSpec(None, "x")}), pad=False)),
        storage.factored(signed=storage.int4(block=64)),
        frames.matrices(rows=(0,)),
        moments.per((0, 1)),
        sets.box(-1.0, inf),
        storage.int8(np.int64(64)),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_parts(value):
    assert there_and_back(value) == (value, value)


def test_a_text_as_people_write_it():
    text = """
        gradtx.chain(
            gradtx.clip_by_global_norm(1),  # a comment
            adamw(warmup_cosine_decay_schedule(0.0, 1e-3, 100, 10_000), weight_decay=+0.1, mask="**/kernel"),
            ema(.9, debias=True),
        )
    """
    tx = gradtx.parse(text)
    assert tx == gradtx.chain(
        gradtx.clip_by_global_norm(1.0),
        gradtx.adamw(gradtx.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 10_000), weight_decay=0.1, mask="**/kernel"),
        gradtx.ema(0.9, debias=True),
    )


def test_names_of_the_caller_come_first():
    def falling(step):
        return 0.1 / (1 + step)

    tx = gradtx.sgd(falling)
    assert there_and_back(tx, {"falling": falling}) == (tx, tx)
    assert gradtx.parse("sgd(0.5)", {"sgd": gradtx.adam}) == gradtx.adam(0.5)
    assert gradtx.parse("my.rule(0.5)", {"my.rule": gradtx.adam}) == gradtx.adam(0.5)
    assert gradtx.parse("tx", {"tx": tx}) is tx


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "rmsporp(0.1)",
            "1, column 1: there is no transformation or schedule 'rmsporp' (did you mean 'rmsprop'?)",
        ),
        ("chain(\n  adam(0.1),\n  sdg(0.1))", "line 3, column 3: there is no transformation or schedule 'sdg'"),
        ("storage.int9()", "did you mean 'storage.int8'"),
        ("adam(b3=0.1)", "line 1, column 1: adam has no argument 'b3'"),
        ("chain(adam(-0.1, b1=2))", "line 1, column 7: adam: "),
        ("adam", "adam is a function here: call it, adam(...)"),
        ("adam(rate)", "line 1, column 6: nothing is called 'rate'; give names={'rate': ...}"),
        ("3.5", "a call was expected, as adam(1e-3); got 3.5"),
        ("(adam(0.1),)", "a call was expected"),
        (" ", "the text is empty; parse takes a call, as 'adam(1e-3)'"),
        ("clip(1.0)", "there is no transformation or schedule 'clip'; here it is clip_by_value"),
        ("chain(scale(...))", "line 1, column 13: '...' stands for arguments that are left out"),
        ("adam(0.1", "this is no call"),
        ("adam(0.1); sgd(0.1)", "this is no call"),
        ("scale(<float32[3]>)", "it has an object without a name"),
        ("adam(2 * 0.1)", "only calls, literals, tuples, lists and dicts may stand here; got 2 * 0.1"),
        ("adam(-None)", "only a number may have a sign"),
        ("adam(*[0.1])", "* and ** have no meaning here"),
        ("chain(**{'a': adam(0.1)})", "* and ** have no meaning here"),
        ("masked(adam(0.1), {**{}})", "may stand here"),
        ("adam(f'{1}')", "may stand here"),
        ("adam(b'1')", "may stand here"),
        ("adam(1e-3)(2)", "may stand here"),
        ("adam(1e-3).init", "only names have attributes here"),
        ("(lambda: 1)()", "may stand here"),
        ("[adam(x) for x in (1, 2)]", "a call was expected"),
        ("masked(adam(0.1), [x for x in (1, 2)])", "may stand here"),
        ("__import__('os')", "there is no transformation or schedule '__import__'"),
        ("eval('1')", "there is no transformation or schedule 'eval'"),
        ("re.sub('a', 'b', 'c')", "there is no transformation or schedule 're.sub'"),
        ("jnp.load('x')", "there is no transformation or schedule 'jnp.load'"),
        ("numpy.load('x')", "there is no transformation or schedule 'numpy.load'"),
        ("gradtx.checkpoint.save('x')", "there is no transformation"),
        ("sweep(adam(0.1))", "there is no transformation"),
        ("adam(a.b.c)", "nothing is called 'a.b.c'"),
        ("masked(adam(0.1), re.compile('('))", "line 1, column 19: "),
        ("scale(1 | 2)", "may stand here; got 1 | 2"),
        ("sgd(learning_rate=0.1, learning_rate=0.2)", "learning_rate"),
        ("scale(" + "9" * 400 + ")", "line 1, column 1: "),
        ("route({[1]: sgd(0.1)})", "line 1, column 7: unhashable type"),
    ],
)
def test_bad_texts(text, words):
    error = error_of(lambda: gradtx.parse(text))
    assert isinstance(error, TypeError | ValueError)
    assert words in str(error)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "a call was expected"),
        ({"_target_": "os.system", "_args_": ["true"]}, "there is no transformation or schedule 'os.system'"),
        ({"_target_": "gradtx.rmsporp"}, "did you mean 'rmsprop'"),
        ({"_target_": 3}, "must be the name of a function, as 'gradtx.adam'; got 3"),
        ({"_target_": "a b"}, "must be the name of a function"),
        ({"_target_": "adam", "learning_rate": {1, 2}}, "holds dicts, lists, numbers and texts; got"),
        ({"_target_": "chain", "_args_": 0.1}, "_args_ of chain must be a list; got 0.1"),
        ({"sgd": {"learning_rate": 0.1}}, "a call was expected, as {'_target_': 'gradtx.sgd'"),
        ({"_target_": "adam", "learning_rate": "3e-3"}, "write 3.0e-3"),
        ({"_target_": "masked", "mask": {"_target_": "builtins.dict", "_args_": [[1]]}}, "builtins.dict"),
        ({"_target_": "adam", "b9": 1.0}, "adam has no argument 'b9'"),
        ({"_target_": "adam", "learning_rate": {"_name_": "rate"}}, "nothing is called 'rate'"),
        ([1], "from_dict takes a dict"),
        ({"_target_": "chain", "_args_": [{"_target_": "adam", "b1": 2.0}]}, "at _args_/0: adam: "),
        ({"_target_": "sgd", "learning_rate": {"_target_": "adm"}}, "at learning_rate: there is no transformation"),
        ({"_target_": "chain", "_args_": [{"_target_": 3}]}, "_args_/0/_target_ must be the name of a function"),
    ],
)
def test_bad_dicts(data, words):
    error = error_of(lambda: gradtx.from_dict(data))
    assert isinstance(error, TypeError | ValueError)
    assert words in str(error)


def test_what_has_no_name_has_no_dict():
    for value in (gradtx.sgd(lambda step: 0.1), gradtx.chain((lambda p: (), lambda u, s, p=None: (u, s)))):
        with pytest.raises(ValueError, match="no name"):
            gradtx.to_dict(value)
    for value in (3, "adam(0.1)", [gradtx.sgd(0.1)]):
        with pytest.raises(TypeError, match="to_dict takes what gradtx made"):
            gradtx.to_dict(value)
    with pytest.raises(ValueError, match="_args_ has another meaning"):
        gradtx.to_dict(gradtx.chain(_args_=gradtx.sgd(0.1)))
    with pytest.raises(TypeError, match="parse takes a text"):
        gradtx.parse(gradtx.sgd(0.1))


def test_what_is_not_called_and_batches_say_what_to_do():
    with pytest.raises(TypeError, match=r"adam is not called yet: give it adam\(\.\.\.\)"):
        gradtx.to_dict(gradtx.adam)
    with pytest.raises(ValueError, match=r"learning_rate=<float32\[2\]> is an array, as in a batch"):
        gradtx.to_dict(jax.vmap(gradtx.sgd)(jnp.array([0.1, 0.2])))


def test_what_is_nested_too_deeply_is_refused():
    text = "chain(" * 5000 + ")" * 5000
    assert "nested" in str(error_of(lambda: gradtx.parse(text)))
    data = {"_target_": "chain"}
    for _ in range(5000):
        data = {"_target_": "chain", "_args_": [data]}
    with pytest.raises(ValueError, match="nested too deeply"):
        gradtx.from_dict(data)


def test_a_text_can_call_only_what_makes_values():
    made = {name for name in makers() if "." in name and not name.startswith(("compat.", "optimizers."))}
    assert {name.partition(".")[0] for name in made} == {
        "frames",
        "jnp",
        "moments",
        "np",
        "rates",
        "re",
        "sets",
        "storage",
    }
    assert "storage.book" not in made
    assert "rates.estimator" not in made
    assert "storage.Codec" not in made
    others = {name for name, make in makers().items() if "." not in name and not hasattr(make, "factory")}
    assert others == {"owners", "split_over", "P"}  # which leaves are split, and how


@pytest.mark.parametrize(
    "tx",
    [dialect.RAdam(dialect.CosineAnnealingLR(0.1, 9)), dialect.ASGD(), dialect.Adafactor()],
    ids=lambda tx: tx.name,
)
def test_parts_that_are_not_public_have_their_whole_path(tx):
    assert there_and_back(tx) == (tx, tx)
    targets = re.findall(r"'_target_': '(gradtx[\w.]+)'", str(gradtx.to_dict(tx)))
    assert any(target.count(".") > 1 for target in targets)
    for module, _, name in (target.rpartition(".") for target in targets):
        assert hasattr(importlib.import_module(module), name)


def test_a_dict_is_what_hydra_reads():
    """`_target_` is a full name that can be imported, `_args_` a list, all else arguments by name."""
    data = gradtx.to_dict(gradtx.chain(gradtx.clip_by_value(inf), gradtx.store(gradtx.sgd(0.1), storage.int8())))
    assert data["_target_"] == "gradtx.chain"
    assert data["_args_"][0] == {
        "_target_": "gradtx.clip_by_value",
        "max_delta": {"_target_": "builtins.float", "_args_": ["inf"]},
    }
    assert data["_args_"][1]["codec"] == {"_target_": "gradtx.storage.int8", "block": 256}
    split = gradtx.clip_by_global_norm(1.0, axis_name=gradtx.split_over("x", PartitionSpec("x")))
    spec = {"_target_": "jax.sharding.PartitionSpec", "_args_": ["x"]}
    assert gradtx.to_dict(split)["axis_name"] == {"_target_": "gradtx.split_over", "_args_": ["x", spec]}
    assert ast.literal_eval(repr(data)) == data
