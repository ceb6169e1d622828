"""The page as one file: its parts, which lie in `page/`, put where `index.html` names them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from gradtx.apps.studio.rules import rules

GENERATED = "rules.js"
SLASH, COMMENT = r"<\\/", r"<\!--"  # in a string or a regular expression the same as without the backslash
_END_OF_STYLE, _END_OF_SCRIPT = re.compile("</(?=style)", re.IGNORECASE), re.compile("</(?=script)", re.IGNORECASE)
_INLINE = re.compile(r"<!-- inline: ([\w.-]+) -->")


def page(settings: Mapping[str, Any] | None = None) -> str:
    """The whole page, which needs nothing besides itself.

    Args:
        settings: what it begins with instead of its own defaults: `f`, the text of a function of w1 and w2; `start`,
            two numbers; `use`, names of optimizers.

    Raises:
        ValueError: a part that is neither a script nor a style, or is named twice.
        FileNotFoundError: a part that does not exist.
    """
    return assembled(part("index.html"), {GENERATED: rules() + _begin(settings or {})})


def part(name: str) -> str:
    """The text of a file of `page/`."""
    return (resources.files("gradtx.apps.studio") / "page" / name).read_text(encoding="utf-8")


def assembled(text: str, generated: Mapping[str, str]) -> str:
    """A page with each `<!-- inline: NAME -->` replaced by the part in an element of its own.

    Args:
        text: the page.
        generated: parts that are not in files, by name.

    Raises: as `page`.
    """
    seen: set[str] = set()

    def element(match: re.Match) -> str:
        name = match.group(1)
        if name in seen:
            raise ValueError(f"the page names its part {name} twice")
        seen.add(name)
        return _element(name, generated[name] if name in generated else part(name))

    whole = _INLINE.sub(element, text)
    for name in sorted(generated.keys() - seen):
        raise ValueError(f"the page does not name its part {name}")
    return whole


def _element(name: str, text: str) -> str:
    """A part as an element; what would end it from inside is written otherwise."""
    if name.endswith(".css"):
        return f"<style>\n{_END_OF_STYLE.sub(SLASH, text)}</style>"
    if name.endswith(".js"):
        safe = _END_OF_SCRIPT.sub(SLASH, text).replace("<!--", COMMENT)
        return f"<script>\n{safe}</script>"
    raise ValueError(f"the part {name} is neither a style (.css) nor a script (.js)")


def _begin(settings: Mapping[str, Any]) -> str:
    return f"GRADTX.settings = {json.dumps(dict(settings), allow_nan=False)};\n"
