"""The command `python -m gradtx studio`."""

from __future__ import annotations

import argparse
import math
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from gradtx.apps.options import require_folder, wrong
from gradtx.apps.studio.offered import OFFERED
from gradtx.apps.studio.page import page
from gradtx.atomic_write import write_whole
from gradtx.catalog import RECIPES
from gradtx.errors import suggestion

NAME, ENDINGS = "studio.html", (".html", ".htm")
LONGEST = 2000  # characters of a function; the page has the same limit


def run(words: Sequence[str]) -> int:
    """Write the page and print where it is; returns the exit code."""
    parser = studio_parser()
    options = parser.parse_args([_no_option(word) for word in words])
    if options.list:
        print("\n".join(f"{name:<16} {offered.setting.label}" for name, offered in OFFERED.items()))
        return 0
    path = file_of(parser, options.output)
    use = options.optimizers and list(dict.fromkeys(name for names in options.optimizers for name in names))
    given = {"f": options.function, "start": options.start, "use": use}
    text = page(settings={key: value for key, value in given.items() if value is not None})
    try:
        write_whole(path, text)
    except OSError as error:
        parser.error(f"argument --output: cannot write {str(path)!r}: {error.strerror}")
    uri = path.resolve().as_uri()
    print(f"Wrote {path} ({len(text.encode()) / 1000:.0f} kB): one page, which works without a network.")
    print(f"Open it in a browser: {uri}")
    if options.open and not webbrowser.open(uri):
        print("gradtx: no browser could be started; open the file yourself", file=sys.stderr)
        return 1
    return 0


def studio_parser() -> argparse.ArgumentParser:
    """The options of the studio."""
    parser = argparse.ArgumentParser(
        prog="python -m gradtx studio",
        description="Write an offline page that shows optimizers at work: type an error function of w1 and w2, click a "
        "start, move the sliders. Its update rules are generated from the transformations of this library.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(f"gradtx-{NAME}"),
        metavar="FILE_OR_FOLDER",
        help=f"a file that ends in .html, or a folder for {NAME}, which is made if necessary; default: %(default)s",
    )
    parser.add_argument(
        "--function",
        type=_function,
        metavar="TEXT",
        help="the first error function, such as 'sin(w1) + cos(w2)'; write =, as in --function=-w1^2, if it begins "
        "with a minus",
    )
    parser.add_argument("--start", nargs=2, type=_number, metavar=("W1", "W2"), help="the first starting point")
    parser.add_argument(
        "--optimizers", nargs="+", type=_names, metavar="NAME", help="the optimizers that are on at first; see --list"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument("--list", action="store_true", help="print the names of the optimizers, and stop")
    return parser


def file_of(parser: argparse.ArgumentParser, output: Path) -> Path:
    """The file that `--output` means. It makes the folder; the parser reports an error if it cannot be written."""
    is_file = output.suffix.lower() in ENDINGS and not output.is_dir()
    if output.is_file() and not is_file:
        parser.error(f"argument --output: {str(output)!r} is a file, but the name of a page ends in .html")
    require_folder(parser, output.parent if is_file else output)
    return output if is_file else output / NAME


def _no_option(word: str) -> str:
    """A number such as -1e3 with a space in front. Otherwise argparse takes it for an option, unlike -1000."""
    try:
        float(word)
    except ValueError:
        return word
    return f" {word}"


def _names(text: str) -> list[str]:
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if not names:
        wrong("name at least one optimizer; --list shows them")
    for name in names:
        if name in RECIPES and name not in OFFERED:
            wrong(f"{name} is not on the page, which has optimizers that need gradients and parameters only")
        if name not in OFFERED:
            wrong(f"there is no optimizer {name!r}{suggestion(name, OFFERED)}; --list shows them")
    return names


def _function(text: str) -> str:
    if not text.strip():
        wrong("the function is empty; give one of w1 and w2, for instance '3*w1^2 + 10*w2^2'")
    if len(text) > LONGEST:
        wrong(f"a function has at most {LONGEST} characters; got {len(text)}")
    return text


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        wrong(f"a start is two numbers; got {text!r}")
    if not math.isfinite(number):
        wrong(f"a start must be finite; got {text.strip()}")
    return number
