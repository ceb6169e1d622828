"""`check` finds nothing wrong with what is right: functions, codecs, keys and infinities trip no law."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import storage
from gradtx.testing import LAWS, check

ADAM = gradtx.adam(0.1)
KEY = jax.random.key(0)
OF_VALUES = [name for name, law in LAWS.items() if law.trial.__module__ == "gradtx.testing.laws_values"]


def falling(step):
    """A named function as a schedule."""
    return 0.5 / (1 + step)


def is_matrix(path, leaf):
    """A named function as a rule."""
    return leaf.ndim == 2


def of_some_leaves(tx):
    return {"tx": tx, "any_tree": False}


RIGHT = {
    "codec": {"tx": gradtx.store(ADAM, storage.int8())},
    "codec of small leaves": {"tx": gradtx.store(ADAM, storage.int8(), min_size=0)},
    "codec in a codec": {"tx": gradtx.store(ADAM, storage.factored(signed=storage.int8()), min_size=0)},
    "random key": {"tx": gradtx.round_stochastically(ADAM, KEY)},
    "seed": {"tx": gradtx.add_noise(1.0, 0.5, KEY)},
    "regular expression": {"tx": gradtx.masked(ADAM, (re.compile(".*"),))},
    "regular expression as a rule": of_some_leaves(gradtx.route({re.compile("lay.*", re.IGNORECASE): ADAM}, ADAM)),
    "regular expression as a mask": of_some_leaves(gradtx.adamw(0.1, mask=re.compile(".*w"))),
    "function as a mask": of_some_leaves(gradtx.adamw(0.1, mask=is_matrix)),
    "function as a schedule": {"tx": gradtx.sgd(falling)},
    "function inside a schedule": {"tx": gradtx.adam(gradtx.join_schedules([falling, 0.1], [3]))},
    "lambda": {"tx": gradtx.sgd(lambda step: 0.1 / (step + 1))},
    "mask of NumPy's bools": of_some_leaves(gradtx.masked(ADAM, {"gain": np.True_, "layers": np.bool_(False)})),
    "infinity": {"tx": gradtx.clip_by_global_norm(jnp.inf)},
    "infinity in an array": {"tx": gradtx.clip_by_value(jnp.asarray(jnp.inf))},
    "infinity in a wrapper": {"tx": gradtx.skip_spikes(ADAM, k_sigma=np.inf)},
    "labels that do not compare": of_some_leaves(
        gradtx.partition({0: gradtx.sgd(0.1), "a": ADAM}, {"gain": 0, "layers": "a"})
    ),
    "numbers of NumPy": {"tx": gradtx.sgd(np.float32(0.1), momentum=np.array(0.9))},
}


@pytest.mark.parametrize("name", RIGHT)
def test_no_law_of_values_is_broken(name):
    """Laws that cannot be tried on it say why. They compile nothing; what does is tried on all of them at once."""
    given = dict(RIGHT[name])
    report = check(given.pop("tx"), laws=OF_VALUES, raises=False, **given)
    assert report.ok, str(report)
    if name == "lambda":
        assert {"pickles", "prints_as_its_call"} <= report.skipped.keys()


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.round_stochastically(
            gradtx.skip_spikes(gradtx.masked(gradtx.sgd(falling), (re.compile(".*"),)), jnp.inf), KEY
        ),
        gradtx.store(
            gradtx.chain(gradtx.add_noise(1.0, 0.5, KEY), gradtx.clip_by_global_norm(jnp.inf), gradtx.scale_by_rms()),
            storage.factored(signed=storage.int8()),
            min_size=0,
        ),
    ],
    ids=["with parameters that are rounded", "with codes"],
)
def test_no_law_is_broken(tx):
    """Keys, infinities, regular expressions, functions, codecs in codecs; all laws but that of Orbax."""
    report = check(tx, {"w": jnp.ones((3, 2), jnp.bfloat16)}, laws=[x for x in LAWS if x != "resumes_from_orbax"])
    assert report.ok


def test_packed_gradients_that_a_codec_finds_first():
    """Its refusal, that these codes are none of its own, is as good as that of the transformation inside."""
    tx = gradtx.store(gradtx.muon(0.1), storage.int4(), min_size=1)
    assert check(tx, laws=["packed_leaves"], raises=False).ok


def test_an_estimate_from_small_differences():
    """Prodigy divides by differences of parameters that one rounding changes visibly: two programs give 100 ulp."""
    laws = ["vmap_over_hyperparameters", "inject_is_neutral"]
    assert check(gradtx.prodigy(), laws=laws, raises=False).ok
