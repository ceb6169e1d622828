"""Each primitive in JavaScript is that of JAX, in a real browser, at ordinary and at hostile numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradtx.apps.studio.javascript import function, members, written
from gradtx.apps.studio.primitives import FORMS, HELPERS
from tests.apps.studio import browser
from tests.double import enable_x64

pytestmark = pytest.mark.peers

NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 1e-300, 1e300, np.inf, -np.inf, np.nan, 7.0]
INTEGERS = [0, 1, -1, 7, 2**31 - 1, -(2**31)]
KINDS = {"number": ("float64", NUMBERS), "integer": ("int32", INTEGERS), "flag": ("bool", [False, True])}


def of_lax(name):
    """The function of lax that a primitive is."""
    return getattr(lax, {"and": "bitwise_and", "or": "bitwise_or", "not": "bitwise_not"}.get(name, name))


def elementwise():
    """Each form of the table with the function it stands for, and all tuples of operands."""
    for kind, forms in FORMS.items():
        for name, form in forms.items():
            operands = 3 if name == "clamp" else 2 if "{}" in form.replace("{}", "", 1) else 1
            yield f"{name}-{kind}", kind, of_lax(name), operands


def tuples(kind, operands):
    """Operands: each number with each other; bounds of a clamp in their order."""
    dtype, values = KINDS[kind]
    if operands == 3:
        rows = [(low, x, high) for low, high in ((values[1], values[1]), (-1, 1)) for x in values]
    else:
        rows = np.stack(np.meshgrid(*[np.arange(len(values))] * operands), -1).reshape(-1, operands)
        rows = [[values[i] for i in row] for row in rows]
    return [np.asarray(column, dtype) for column in zip(*rows, strict=True)]


OF_PRIMITIVES = {label: rest for label, *rest in elementwise()}


def script(fn, *shapes):
    """fn as a function `f(a, b, ...)` of JavaScript."""
    names = "abc"[: len(shapes)]
    with enable_x64(True):
        program = jax.make_jaxpr(fn)(*shapes)
    inputs = [members(name, shape.shape) for name, shape in zip(names, shapes, strict=True)]
    return HELPERS + function("f", ", ".join(names), program, inputs, lambda out: written(out[0]))


def run(page, text, columns):
    """The results of f for each row of the columns; what JSON cannot say goes as text."""
    rows = [
        [repr(x) if isinstance(x, float) else x for x in row]
        for row in zip(*(c.tolist() for c in columns), strict=True)
    ]
    numbers = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
    rows = json.dumps(rows)
    for python, javascript in numbers.items():
        rows = rows.replace(f'"{python}"', f'"{javascript}"')
    found = page.evaluate(
        f"""(() => {{ {text}
        const read = (x) => (typeof x === "string" ? Number(x) : x);
        const say = (x) => (Object.is(x, -0) ? "-0.0" : typeof x === "number" ? String(x) : x);
        return {rows}.map((row) => say(f(...row.map(read)))); }})()"""
    )
    return [float(x.replace("Infinity", "inf").replace("NaN", "nan")) if isinstance(x, str) else x for x in found]


@pytest.fixture(scope="module")
def blank(chromium, tmp_path_factory):
    """An empty page."""
    file = tmp_path_factory.mktemp("blank") / "blank.html"
    file.write_text('<!doctype html><link rel="icon" href="data:,"><title>blank</title>')
    with browser.shown(chromium, file) as found:
        yield found


def test_all_primitives_of_the_table_are_tried_here():
    """What has a translation has a test."""
    assert {name for forms in FORMS.values() for name in forms} == {label.rsplit("-", 1)[0] for label in OF_PRIMITIVES}


def test_elementwise_primitives_are_those_of_jax(blank):
    """To the bit where arithmetic is exact, else to 4 ulp; XLA's cube root is off by 115 at 1e-300."""
    for label, (kind, fn, operands) in OF_PRIMITIVES.items():
        columns = tuples(kind, operands)
        shape = jax.ShapeDtypeStruct((), columns[0].dtype)
        found = run(blank, script(fn, *[shape] * operands), columns)
        with enable_x64(True):
            expected = np.asarray(fn(*map(jnp.asarray, columns)))
        rounded = label.split("-")[0] in ("cbrt", "cos", "sin", "exp", "expm1", "log", "log1p", "pow", "rsqrt")
        for row, ours, theirs in zip(zip(*columns, strict=True), expected.tolist(), found, strict=True):
            bound = 120 if label == "cbrt-number" else 4
            close = (
                abs(ours - theirs) <= bound * np.spacing(abs(ours)) if rounded and np.isfinite(ours) else ours == theirs
            )
            assert close or (ours != ours and theirs != theirs), (label, row, ours, theirs)


@pytest.mark.parametrize(
    ("fn", "shape"),
    [
        (lambda x: lax.convert_element_type(x > 0.5, "float64") + lax.convert_element_type(x < 9.0, "int32"), ()),
        (lambda x: lax.integer_pow(x, 3) - lax.integer_pow(x, -2), ()),
        (lambda x: lax.select(x > 1.0, x, -x) + lax.stop_gradient(lax.optimization_barrier(x)), ()),
        (lambda x: jnp.sum(x) * jnp.max(x) - jnp.min(x), (2,)),
        (lambda x: jnp.where(jnp.all(x > 0.5), 1.0, 2.0) + jnp.where(jnp.any(x > 2.0), 4.0, 8.0), (2,)),
        (lambda x: jnp.squeeze(jnp.reshape(jnp.broadcast_to(x, (3, 2)), (6, 1))[:, 0:1].sum(0)), (2,)),
        (jax.jit(lambda x: jax.nn.relu(x) * 3.0), ()),
        (lambda x: jnp.stack([x.max(), x.sum()]).min() - jnp.concatenate([x, 2 * x]).max(), (2,)),
    ],
)
def test_structure_is_that_of_jax(blank, fn, shape):
    """Shapes, conversions, reductions and calls."""
    with jax.numpy_dtype_promotion("standard"), enable_x64(True):
        values = np.asarray([0.25, 1.5, 3.0]) if not shape else np.asarray([[0.25, 1.5], [3.0, 0.75], [-1.0, 0.1]])
        try:
            text = script(fn, jax.ShapeDtypeStruct(shape, np.float64))
        except NotImplementedError as error:
            pytest.fail(str(error))
        expected = [float(fn(jnp.asarray(x))) for x in values]
    found = [float(blank.evaluate(f"(() => {{ {text}\n return f({json.dumps(x.tolist())}); }})()")) for x in values]
    np.testing.assert_allclose(found, expected, rtol=1e-15)
