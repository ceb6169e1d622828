"""The translator of jaxprs, as far as no browser is needed: what it refuses, its literals, the text it writes."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx
from gradtx import Hyper
from gradtx.apps.studio.javascript import function, members, written
from gradtx.apps.studio.offered import OFFERED
from gradtx.apps.studio.primitives import NotTranslatedError, literal
from gradtx.apps.studio.programs import programs
from gradtx.apps.studio.rules import rules
from gradtx.catalog import ENTRIES, RECIPES
from tests.double import enable_x64


def script(fn, *shapes, x64=True):
    with enable_x64(x64):
        program = jax.make_jaxpr(fn)(*[jax.ShapeDtypeStruct(shape, jnp.result_type(float)) for shape in shapes])
    inputs = [members(name, shape) for name, shape in zip("abc", shapes, strict=False)]
    return function("f", ", ".join("abc"[: len(shapes)]), program, inputs, lambda out: written(out[0]))


@given(st.floats())
def test_literals_are_read_back_to_the_bit(x):
    text = literal(x).strip("()").replace("Infinity", "inf")
    assert np.float64(text).tobytes() == np.float64(x).tobytes() or x != x
    assert literal(x).startswith("(") == (np.signbit(x) and x == x)


@given(st.integers(-(2**31), 2**31 - 1))
def test_integers_are_written_without_a_point(n):
    assert int(literal(np.int32(n)).strip("()")) == n


def test_straight_lines_without_what_is_not_needed():
    """Each entry is a variable, a literal that is negative has brackets, and what nobody reads is not written."""
    text = script(lambda a, b: (a - jnp.sin(b) * 0.0 if False else -2.0 * a) - b, (2,), ())
    assert text.splitlines()[-2:] == ["  return [t3, t4];", "}"]
    assert re.findall(r"const t\d = (.*);", text) == ["(-2.0) * a[0]", "(-2.0) * a[1]", "t1 - b", "t2 - b"]


def test_a_branch_is_a_choice_of_results():
    text = script(lambda a: jax.lax.cond(a > 0.0, lambda: a, lambda: -a), ())
    assert re.findall(r"const t\d = (.*);", text)[-1] == "t2 ? a : t3"


def test_known_choices_are_made_while_writing():
    text = script(lambda a: jax.lax.select(jax.lax.optimization_barrier(jnp.zeros((), bool)), a, a + 1.0), ())
    assert "?" not in text


@pytest.mark.parametrize(
    ("fn", "shapes", "named"),
    [
        (lambda a: jnp.tan(a), [()], "primitive 'tan' "),
        (lambda a: jnp.sort(a), [(2,)], "primitive 'sort' "),
        (lambda a: jax.lax.while_loop(lambda x: x < 1.0, lambda x: 2.0 * x, a), [()], "primitive 'while' "),
        (lambda a: jax.lax.switch((a > 0) + 1, [abs] * 3, a), [()], "primitive 'cond' "),
        (lambda a: jax.lax.fori_loop(0, 3, lambda _, x: 2.0 * x, a), [()], "primitive '(scan|while)' "),
        (lambda a: a.astype(jnp.int32), [()], "'convert_element_type' has no translation from number to integer"),
        (lambda a: a.astype(jnp.float32), [()], "'convert_element_type' has the type float32; only float64"),
        (lambda a: jnp.dot(a, a), [(2,)], "primitive 'dot_general' "),
    ],
)
def test_what_has_no_translation_is_refused_by_name(fn, shapes, named):
    with jax.numpy_dtype_promotion("standard"), pytest.raises(NotTranslatedError, match=named):
        script(fn, *shapes)


def test_single_precision_is_refused():
    """The page computes in float64; a program in float32 would not be what it shows."""
    with pytest.raises(NotTranslatedError, match="float32"):
        script(lambda a: 2 * a, (), x64=False)


@gradtx.transformation
def wavy(learning_rate: Hyper):
    """A transformation that the page cannot follow."""

    def init(params):
        return gradtx.EmptyState()

    def update(updates, state, params=None):
        return gradtx.map_leaves(lambda g: learning_rate * jnp.tan(g), updates), state

    return init, update


def test_a_transformation_without_translation_is_refused():
    with pytest.raises(NotTranslatedError, match="primitive 'tan' has no translation"):
        programs(wavy, ["learning_rate"])


def test_any_transformation_of_known_arithmetic_is_written():
    """Nothing is made for the optimizers that are offered: a chain of the user's is written as well."""

    def make(rate):
        return gradtx.chain(gradtx.clip_by_value(1.0), gradtx.scale_by_adam(), gradtx.scale_by_learning_rate(rate))

    found = programs(make, ["rate"])
    assert [field.name for field in found.fields] == ["count", "mu", "nu"]
    assert [field.scaling for field in found.fields] == [False, False, True]
    assert {field.name: field.about for field in found.fields} == ENTRIES["scale_by_adam"].fields
    assert "// clip_by_value" in found.update
    assert "h.rate" in found.update


@pytest.fixture(scope="module")
def text():
    return rules()


def test_every_recipe_is_offered_or_says_why_not():
    offered = {offered.entry.name for offered in OFFERED.values()}
    assert offered == {name for name, entry in RECIPES.items() if not entry.not_offered}


def test_rules_are_the_same_each_time_and_write_nothing_twice(text):
    assert rules.__wrapped__() == text
    bodies = re.findall(r"^function \w+\([^)]*\) \{\n((?:  .*\n)+)\}", text, re.MULTILINE)
    assert len(bodies) == len(set(bodies)) > 20
    code = re.sub(r"^//.*$|\"about\": \"[^\n]*", "", text, flags=re.MULTILINE)
    assert not re.search(r"\b(NaN|undefined|None|nan)\b", code)
    assert max(map(len, text.splitlines())) < 3000


@pytest.mark.parametrize("name", OFFERED)
def test_ranges_are_those_that_the_optimizer_allows(name):
    """It can be made at both ends of each slider; and where an end is that of its range, not beyond."""
    first = OFFERED[name].first
    for flags in OFFERED[name].combinations():
        assert OFFERED[name].make(**{**first, **flags}).name == OFFERED[name].entry.name
    for key, slider in OFFERED[name].ranges.items():
        if slider.is_static:
            continue
        assert slider.least <= first[key] <= slider.most
        for end in (slider.least, slider.most):
            OFFERED[name].make(**{**first, key: end})
        if slider.least == 0:
            with pytest.raises(ValueError, match=re.escape(key) if key not in ("momentum",) else "decay|momentum"):
                OFFERED[name].make(**{**first, key: -1e-9})
        if slider.scale == "complement":
            with pytest.raises(ValueError, match=r"in \[0, 1"):
                OFFERED[name].make(**{**first, key: 1.0 + 1e-9})


def test_everything_on_the_page_has_a_text(text):
    texts = re.findall(r'"about": "((?:[^"\\]|\\.)*)"', text)
    assert len(texts) > 100
    assert all(texts)
    assert not [x for x in texts if "`" in x or x.startswith("as in")]
