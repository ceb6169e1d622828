"""The page as one file: `index.html` with the other files of `page/` and the generated rules inside."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from gradtx.apps.studio.rules import rules

GENERATED = "rules.js"
SLASH, COMMENT = r"<\\/", r"<\!--"  # in strings and regular expressions of JavaScript they mean </ and <!--
_END_OF_STYLE, _END_OF_SCRIPT = re.compile("</(?=style)", re.IGNORECASE), re.compile("</(?=script)", re.IGNORECASE)
_INLINE = re.compile(r"<!-- inline: ([\w.-]+) -->")


def page(settings: Mapping[str, Any] | None = None) -> str:
    """The whole page, which needs no other file.

    Args:
        settings: initial settings in place of the page's own: `f`, the text of a function of w1 and w2; `start`, two
            numbers; `use`, names of optimizers.

    Raises:
        ValueError: a part is neither a script nor a style, or is named twice.
        FileNotFoundError: a part does not exist.
    """
    first = f"GRADTX.settings = {json.dumps(dict(settings or {}), allow_nan=False)};\n"
    return assembled(part("index.html"), {GENERATED: rules() + first})


def part(name: str) -> str:
    """The text of a file of `page/`."""
    return (resources.files("gradtx.apps.studio") / "page" / name).read_text(encoding="utf-8")


def assembled(text: str, generated: Mapping[str, str]) -> str:
    """A page with the named part in place of each `<!-- inline: NAME -->`, in a script or style element.

    Args:
        text: the page.
        generated: the parts that are not files, by name.

    Raises: as in `page`.
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
    """A part as an element. It escapes what would end the element."""
    if name.endswith(".css"):
        return f"<style>\n{_END_OF_STYLE.sub(SLASH, text)}</style>"
    if name.endswith(".js"):
        safe = _END_OF_SCRIPT.sub(SLASH, text).replace("<!--", COMMENT)
        return f"<script>\n{safe}</script>"
    raise ValueError(f"the part {name} is neither a style (.css) nor a script (.js)")
