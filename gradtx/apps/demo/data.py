"""Handwritten digits, 8 by 8 pixels, which scikit-learn carries with it: nothing is downloaded."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.optional_imports import extra


class Digits(NamedTuple):
    """Images and what they show, split once.

    train_x, test_x: `[n, 64]`, float32 in [0, 1].
    train_y, test_y: `[n]`, int32 in 0..9.
    """

    train_x: jax.Array
    train_y: jax.Array
    test_x: jax.Array
    test_y: jax.Array


def load(seed: int) -> Digits:
    """The 1,797 images: three quarters to train on, a quarter to test on, each digit in the same share of both.

    Args:
        seed: decides the split.
    """
    with extra("demo"):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images, labels = np.float32(images) / np.float32(16), np.int32(labels)  # the pixels are 0..16
    split = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=seed)
    train_x, test_x, train_y, test_y = map(jnp.asarray, split)
    return Digits(train_x, train_y, test_x, test_y)
