"""Text that every Python has with it: the source of its standard library."""

from __future__ import annotations

import functools
import platform
import re
import sysconfig
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gradtx.apps.race.tasks.fingerprints import fingerprint

FILES = (
    "_pydecimal.py",
    "argparse.py",
    "ast.py",
    "configparser.py",
    "contextlib.py",
    "dataclasses.py",
    "difflib.py",
    "doctest.py",
    "enum.py",
    "functools.py",
    "inspect.py",
    "ipaddress.py",
    "mailbox.py",
    "optparse.py",
    "pickle.py",
    "shutil.py",
    "subprocess.py",
    "tarfile.py",
    "threading.py",
    "typing.py",
)
"""Which files, in this order: long ones that Python has had for years, at the same place in each version."""

HELD_OUT = 0.1
"""The share at the end of each file that no training sees."""

WORDS = re.compile(r"[A-Za-z_]+|[0-9]+|\n[ ]*|[ ]+|.")
"""A token: a name, a number, a line's end with the indentation that follows, blanks, any other character."""


class Text(NamedTuple):
    """train, held_out: `[n]`, int32, the places of tokens in the vocabulary. vocabulary: what they are; the last stands
    for all rarer ones, and is the empty text."""

    train: np.ndarray
    held_out: np.ndarray
    vocabulary: tuple[str, ...]


@functools.cache
def library(folder: Path | None = None) -> tuple[str, ...]:
    """The text of each file, in order.

    Args:
        folder: of the standard library; None for this Python's own.

    Raises:
        FileNotFoundError: this Python has its library in another form, such as an archive.
    """
    folder = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    try:
        return tuple((folder / name).read_text("utf-8") for name in FILES)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"this task reads the source of Python's standard library, and {error.filename} is not there: this Python "
            "has it in another form; run the other tasks, or another Python"
        ) from error


@functools.cache
def tokens(size: int, *, words: bool) -> Text:
    """The library as tokens: the commonest of the part for training, and one more for all others.

    Args:
        size: of the vocabulary, at least 2.
        words: whether tokens are words and the like (`WORDS`); else they are characters.
    """
    texts = [WORDS.findall(text) if words else list(text) for text in library()]
    cuts = [round(len(text) * (1 - HELD_OUT)) for text in texts]
    train = [token for text, cut in zip(texts, cuts, strict=True) for token in text[:cut]]
    held_out = [token for text, cut in zip(texts, cuts, strict=True) for token in text[cut:]]
    common = sorted(Counter(train).items(), key=lambda item: (-item[1], item[0]))[: size - 1]
    places = {token: place for place, (token, _) in enumerate(common)}
    parts = [np.array([places.get(token, size - 1) for token in part], np.int32) for part in (train, held_out)]
    return Text(*parts, vocabulary=(*places, ""))


def sources() -> tuple[tuple[str, str], ...]:
    """What the text is and its SHA-256, which differs between versions of Python: as `Task.sources`."""
    version, texts = platform.python_version(), library()
    name = f"the standard library of Python {version}: {len(texts)} files, {sum(map(len, texts)):,} characters"
    return ((name, fingerprint([np.frombuffer("".join(texts).encode(), np.uint8)])),)
