"""The course of an optimizer is that of its formula, step by step, in the dtype of the start."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import plots

START = np.array([-15.0, 20.0])


def bowl(w):
    return 3.0 * w[0] ** 2 + 10.0 * w[1] ** 2


def loop(steps, rate=0.05, rho=0.9, eps=1e-8):
    """RMSProp on the bowl, in float64 NumPy."""
    w, s, path, terms = START, np.zeros(2), [START], [np.zeros(2)]
    for _ in range(steps):
        g = np.array([6.0, 20.0]) * w
        s = rho * s + (1 - rho) * g**2
        w = w - rate * g / np.sqrt(s + eps)
        path.append(w)
        terms.append(s)
    return np.array(path), np.array(terms)


def test_rmsprop_as_by_hand_in_float64():
    with jax.enable_x64(True):
        course = plots.trajectory(gradtx.rmsprop(0.05), bowl, START, 200)
    path, terms = loop(200)
    assert course.path.dtype == course.states["nu"].dtype == np.float64
    np.testing.assert_allclose(course.path, path, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(course.states["nu"], terms, rtol=1e-12)
    np.testing.assert_allclose(course.values, bowl(path.T), rtol=1e-12, atol=1e-12)
    assert course.diverged is None


def test_the_worked_example_in_float32():
    course = plots.trajectory(gradtx.rmsprop(0.05), bowl, [-15.0, 20.0], 2)
    assert course.path.dtype == np.float32
    np.testing.assert_allclose(course.path[1:], [[-14.84, 19.84], [-14.73, 19.73]], atol=0.006)
    np.testing.assert_allclose(course.states["nu"][1], [810, 16000], rtol=1e-6)


def test_states_go_by_their_names_and_by_their_places_where_there_are_two():
    two = plots.trajectory(gradtx.chain(gradtx.scale_by_rms(), gradtx.adam(0.1)), bowl, START, 3).states
    assert set(two) == {"mu", "scale_by_adam/nu", "scale_by_rms/nu"}
    assert {leaf.shape for leaf in two.values()} == {(4, 2)}
    assert plots.trajectory(gradtx.sgd(0.01), bowl, START, 3).states == {}


@pytest.mark.parametrize("tx", [gradtx.lbfgs(), optax.adam(0.5), gradtx.adam(gradtx.linear_schedule(0.5, 0.0, 5))])
def test_line_searches_other_libraries_and_schedules(tx):
    with jax.numpy_dtype_promotion("standard"):  # optax promotes
        course = plots.trajectory(tx, bowl, START, 5)
    assert course.path.shape == (6, 2)
    assert course.values[-1] < course.values[0]


def test_other_numbers_of_variables():
    course = plots.trajectory(gradtx.sgd(0.25), lambda w: jnp.sum(w**2), [1.0, 2.0, 4.0], 1)
    np.testing.assert_array_equal(course.path, [[1, 2, 4], [0.5, 1, 2]])


def test_a_course_that_diverges_is_kept_as_it_came():
    course = plots.trajectory(gradtx.sgd(1e3), lambda w: w[0] ** 4 + w[1] ** 4, [1.0, 1.0], 10)
    assert course.path.shape == (11, 2)
    first = course.diverged
    assert 0 < first < 10
    assert np.isfinite(course.values[:first]).all()
    assert not np.isfinite(course.values[first:]).all()


@pytest.mark.parametrize(
    ("function", "start", "error", "message"),
    [
        (bowl, [[1.0, 2.0]], ValueError, r"start must be a vector of real numbers.*got shape \(1, 2\), float32"),
        (bowl, [1, 2], ValueError, r"start must be a vector of real numbers.*int32"),
        (bowl, [1.0, np.nan], ValueError, r"start must be finite; got \[ 1\. nan\]"),
        (lambda w: 1 / w[0], [0.0, 1.0], ValueError, r"the function is not finite at the start \[0\. 1\.\]: it is inf"),
        (lambda w: jnp.sqrt(w[0]), [0.0, 1.0], ValueError, r"the gradient of the function is not finite at the start"),
        (lambda w: w[2], [0.0, 1.0], ValueError, r"function must be of 2 variables, w of shape \(2,\).*index 2"),
        (lambda w: sum(w[k] for k in range(3)), [0.0, 1.0], ValueError, "function must be of 2 variables"),
        (lambda x, y, z: x, [0.0, 1.0], TypeError, "function must take one argument, the array w of its variables"),
        (lambda w: w, [0.0, 1.0], TypeError, r"must return one real number; it returned an array of shape \(2,\)"),
        (lambda w: None, [0.0, 1.0], TypeError, "function must return one real number; it returned NoneType"),
        (3.0, [0.0, 1.0], TypeError, "function must take an array w and return a number, as lambda w: .*; got 3.0"),
    ],
)
def test_what_is_no_start_and_no_function(function, start, error, message):
    with pytest.raises(error, match=message):
        plots.trajectory(gradtx.sgd(0.1), function, start, 3)


def test_unpacked_variables_of_another_number():
    def three(w):
        a, b, c = w
        return a + b + c

    with pytest.raises(ValueError, match="function must be of 2 variables"):
        plots.trajectory(gradtx.sgd(0.1), three, [0.0, 1.0], 3)


def test_what_is_no_transformation_and_no_number_of_steps():
    with pytest.raises(TypeError, match="tx must be a transformation"):
        plots.trajectory(gradtx.sgd, bowl, START, 3)
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        plots.trajectory(gradtx.sgd(0.1), bowl, START, 0)
