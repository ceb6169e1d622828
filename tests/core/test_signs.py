"""The trait `sign`: whether updates point along the gradients or against them, as far as that is known."""

import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx import Transformation, transformation

ADAM, SGD, UP = gradtx.adam(0.1), gradtx.sgd(0.1), gradtx.scale_by_adam()
BOTH = {"up": UP, "down": SGD}
STRANGER = (lambda params: (), lambda updates, state, params=None: (updates, state))  # a bare pair, as optax's are


@transformation
def descends():
    """A user's own piece, which says that it steps downhill."""
    return lambda params: gradtx.EmptyState(), lambda updates, state, params=None: (updates, state)


@transformation
def holds_two(a: Transformation, b: Transformation):
    """A user's own wrapper, which declares nothing."""
    return lambda params: gradtx.EmptyState(), lambda updates, state, params=None: (updates, state)


@pytest.mark.parametrize(
    ("tx", "sign"),
    [
        (gradtx.identity(), 1),
        (UP, 1),
        (ADAM, -1),
        (gradtx.adamw(gradtx.linear_schedule(1.0, 0.1, 10)), -1),
        (gradtx.scale_by_learning_rate(0.1, flip_sign=False), 1),
        (gradtx.scale(-0.1), -1),
        (gradtx.scale(jnp.float32(-0.1)), -1),
        (gradtx.scale(0.0), 1),
        (gradtx.scale(lambda step: -0.1), 0),
        (gradtx.chain(), 1),
        (gradtx.chain(ADAM, gradtx.scale(-1.0)), 1),
        (gradtx.chain(gradtx.scale(-1.0), gradtx.scale(-1.0), step=SGD), -1),
        (gradtx.chain(STRANGER, gradtx.scale_by_learning_rate(0.1)), 0),
        (STRANGER, 0),
        (gradtx.route({"a": ADAM}, default=SGD), -1),
        (gradtx.route({"a": UP}, default=SGD), 0),
        (gradtx.partition(BOTH, {"a": "up", "b": "down"}), 0),
        (gradtx.per_leaf_learning_rate({"a": 0.1}), 1),
        (gradtx.freeze(ADAM, "a"), -1),
        (gradtx.masked(UP, "a"), 1),
        (gradtx.masked(ADAM, "a"), 0),
        (gradtx.every(ADAM, 2), -1),
        (gradtx.every(ADAM, 2, otherwise="pass"), 0),
        (gradtx.lookahead(gradtx.skip_nonfinite(gradtx.inject(ADAM))), -1),
        (holds_two(ADAM, SGD), -1),
        (holds_two(ADAM, UP), 0),
        (transformation(sign=-1)(descends.__wrapped__)(), -1),
    ],
    ids=lambda x: "pair" if x is STRANGER else str(x)[:50],  # a pair of functions would be named by its address
)
def test_sign(tx, sign):
    assert gradtx.chain(tx).traits.sign == sign


def test_a_traced_factor_is_not_known():
    signs = []
    jax.jit(lambda tx: signs.append(tx.traits.sign))(gradtx.scale(-0.1))
    jax.jit(lambda tx: signs.append(tx.traits.sign))(gradtx.sgd(0.1))
    assert signs == [0, -1]


def test_what_needs_matrices_makes_all_round_it_need_them():
    matrices = transformation(needs_matrices=True)(descends.__wrapped__)()
    assert gradtx.lookahead(gradtx.chain(SGD, matrices)).traits.needs_matrices
    assert not gradtx.lookahead(gradtx.chain(SGD)).traits.needs_matrices


def test_a_frame_says_whether_leaves_are_matrices_to_it():
    def needs(frame, inner=ADAM):
        return gradtx.in_frame(inner, frame).traits.needs_matrices

    assert not needs(gradtx.frames.identity())
    assert not needs(gradtx.frames.real_and_imaginary())
    assert needs(gradtx.frames.identity(), gradtx.orthogonalize())
    assert all(map(needs, (gradtx.frames.matrices(), gradtx.frames.low_rank(1), gradtx.frames.eigenbasis())))
    assert gradtx.graft(ADAM, ADAM, through=gradtx.frames.low_rank(1)).traits.needs_matrices
    assert not gradtx.graft(ADAM, ADAM).traits.needs_matrices
