"""Data that comes with scikit-learn or with Python itself, so that nothing is downloaded, and fingerprints of it."""

from __future__ import annotations

import functools
import hashlib
import platform
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.optional_imports import extra

FILES = tuple(
    f"{name}.py"
    for name in (
        *("_pydecimal", "argparse", "ast", "configparser", "contextlib", "dataclasses", "difflib", "doctest", "enum"),
        *("functools", "inspect", "ipaddress", "mailbox", "optparse", "pickle", "shutil", "subprocess", "tarfile"),
        *("threading", "typing"),
    )
)
"""Long files of the standard library that have been at the same place in every version for years."""

HELD_OUT = 0.1
"""The share at the end of each file that is not used for training."""

WORDS = re.compile(r"[A-Za-z_]+|[0-9]+|\n[ ]*|[ ]+|.")
"""A token: a name, a number, a line break with the indentation after it, blanks, or any other character."""


class Digits(NamedTuple):
    """Images `[n, 64]`, float32 in [0, 1], and the digits that they show `[n]`, int32."""

    train_x: jax.Array
    train_y: jax.Array
    test_x: jax.Array
    test_y: jax.Array


class Table(NamedTuple):
    """x: `[n, features]`, float32, each feature with mean 0 and standard deviation 1. y: `[n]`, int32, the class."""

    x: np.ndarray
    y: np.ndarray


class Text(NamedTuple):
    """train, held_out: `[n]`, int32, places of tokens in the vocabulary; its last entry, "", is for all others."""

    train: np.ndarray
    held_out: np.ndarray
    vocabulary: tuple[str, ...]


def load_digits(seed: int) -> Digits:
    """1,797 handwritten digits of 8 by 8 pixels; a quarter, with the same share of each digit, is the test set."""
    with extra("demo"):
        from sklearn import datasets
        from sklearn.model_selection import train_test_split

    images, labels = datasets.load_digits(return_X_y=True)
    images, labels = np.float32(images) / np.float32(16), np.int32(labels)  # the pixels are 0..16
    split = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=seed)
    train_x, test_x, train_y, test_y = map(jnp.asarray, split)
    return Digits(train_x, train_y, test_x, test_y)


def load_table(name: str) -> Table:
    """`breast_cancer` or `wine` of scikit-learn, standardised."""
    with extra("demo"):
        from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return Table(((x - x.mean(0)) / x.std(0)).astype(np.float32), y.astype(np.int32))


@functools.cache
def library(folder: Path | None = None) -> tuple[str, ...]:
    """The texts of `FILES` in the standard library, by default of this Python.

    Raises: FileNotFoundError: this Python has no source files, but an archive for example.
    """
    folder = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    try:
        return tuple((folder / name).read_text("utf-8") for name in FILES)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"this task reads the source of Python's standard library, and {error.filename} does not exist: run the "
            "other tasks, or another Python"
        ) from error


@functools.cache
def tokens(size: int, *, words: bool) -> Text:
    """The standard library as tokens, which are words as of `WORDS`, or characters.

    The vocabulary has a size of at least 2: the most frequent tokens in the part for training, and one for all others.
    """
    texts = [WORDS.findall(text) if words else list(text) for text in library()]
    cuts = [round(len(text) * (1 - HELD_OUT)) for text in texts]
    train = [token for text, cut in zip(texts, cuts, strict=True) for token in text[:cut]]
    held_out = [token for text, cut in zip(texts, cuts, strict=True) for token in text[cut:]]
    common = sorted(Counter(train).items(), key=lambda item: (-item[1], item[0]))[: size - 1]
    places = {token: place for place, (token, _) in enumerate(common)}
    parts = [np.array([places.get(token, size - 1) for token in part], np.int32) for part in (train, held_out)]
    return Text(*parts, vocabulary=(*places, ""))


def text_sources() -> tuple[tuple[str, str], ...]:
    """Name and fingerprint of the text, which differ between versions of Python; as `Task.sources`."""
    version, texts = platform.python_version(), library()
    name = f"the standard library of Python {version}: {len(texts)} files, {sum(map(len, texts)):,} characters"
    return ((name, fingerprint([np.frombuffer("".join(texts).encode(), np.uint8)])),)


def fingerprint(arrays: Iterable[Any]) -> str:
    """The SHA-256 of arrays with their types and shapes, the same on machines with another byte order."""
    digest = hashlib.sha256()
    for array in map(np.asarray, arrays):
        little = array.astype(array.dtype.newbyteorder("<"))
        digest.update(f"{little.dtype.str}{little.shape}".encode() + little.tobytes())
    return f"sha256 {digest.hexdigest()}"
