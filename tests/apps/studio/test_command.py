"""`python -m gradtx studio`, and the page as one file."""

import os
import re
import stat
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

import gradtx
from gradtx.apps.cli import main
from gradtx.apps.studio.page import assembled, part
from gradtx.atomic_write import write_whole
from gradtx.catalog import OPTIMIZERS

PAGE = Path(gradtx.__file__).parent / "apps" / "studio" / "page"


def refused(capsys, *words):
    """What is said where the command refuses its options."""
    with pytest.raises(SystemExit) as stopped:
        main(["studio", *words])
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_command_in_a_process_of_its_own_writes_the_default_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "gradtx", "studio"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["gradtx-studio.html"]
    assert f"{(tmp_path / 'gradtx-studio.html').as_uri()}" in done.stdout


def test_file_or_folder(tmp_path, capsys, studio):
    """A name that ends in .html is a file, any other a folder; both are made, and an old page is replaced."""
    text = studio.read_text(encoding="utf-8")
    for words, where in (
        ("a/b.html", "a/b.html"),
        ("new/folder", "new/folder/studio.html"),
        ("new", "new/studio.html"),
    ):
        assert main(["studio", "--output", str(tmp_path / words)]) == 0
        assert (tmp_path / where).read_text(encoding="utf-8") == text
        assert (tmp_path / where).as_uri() in capsys.readouterr().out
    (tmp_path / "a/b.html").write_text("old")
    assert main(["studio", "--output", str(tmp_path / "a/b.html")]) == 0
    assert (tmp_path / "a/b.html").read_text(encoding="utf-8") == text
    assert not list(tmp_path.rglob("*.part"))


def test_nothing_outside_the_file_is_named(studio):
    """No address, no import, nothing left to be put in."""
    text = studio.read_text(encoding="utf-8")
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=(?![\"']?data:)", text)
    assert not re.search(r"\b(?:fetch|XMLHttpRequest|WebSocket|sendBeacon|importScripts|eval)\s*\(", text)
    assert not re.search(r"@import|url\((?!['\"]?data:)", text)
    assert "<!-- inline:" not in text


def test_every_part_of_the_page_is_in_it():
    """No file of the folder is forgotten."""
    names = set(re.findall(r"<!-- inline: (\S+) -->", part("index.html")))
    assert names - {"rules.js"} == {file.name for file in PAGE.iterdir() if file.suffix in (".js", ".css")}


def test_parts_cannot_end_their_element():
    page = "<!-- inline: rules.js --><p>"
    text = assembled(page, {"rules.js": "const a = '</script><!--', b = '</SCRIPT>';\n"})
    assert text == "<script>\nconst a = '<\\/script><\\!--', b = '<\\/SCRIPT>';\n</script><p>"


@pytest.mark.parametrize(
    ("page", "error", "said"),
    [
        ("<!-- inline: rules.js --><!-- inline: rules.js -->", ValueError, "rules.js twice"),
        ("nothing", ValueError, "does not name its part rules.js"),
        ("<!-- inline: rules.js --><!-- inline: missing.js -->", FileNotFoundError, "missing.js"),
        ("<!-- inline: rules.js --><!-- inline: index.html -->", ValueError, "index.html is neither"),
    ],
)
def test_parts_that_do_not_fit_are_refused(page, error, said):
    with pytest.raises(error, match=said):
        assembled(page, {"rules.js": ""})


def test_bad_options_are_refused_with_what_was_expected(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    cases = {
        ("--optimizers", "addam"): "no optimizer 'addam' (did you mean 'adam'?)",
        ("--optimizers", "sgd,lbfgs"): "lbfgs is not on the page, which has optimizers that need gradients",
        ("--optimizers", ","): "name at least one",
        ("--start", "1", "x"): "a start is two numbers; got 'x'",
        ("--start", "1", "inf"): "a start must be finite; got inf",
        ("--function", " "): "the function is empty",
        ("--function", "w1" * 2000): "at most 2000 characters; got 4000",
        ("--output", str(tmp_path / "file")): "is a file, but the name of a page ends in .html",
        ("--output", str(tmp_path / "file" / "page.html")): "cannot write into",
        ("--output", "/proc/nothing"): "cannot write into '/proc/nothing'",
    }
    for words, said in cases.items():
        assert said in refused(capsys, *words)
    assert (tmp_path / "file").read_text() == "mine"


def test_list_names_each_optimizer(capsys):
    assert main(["studio", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["rmsprop_centered", "RMSProp, centered"] in [line.split(maxsplit=1) for line in lines]
    assert len(lines) == sum(bool(setting.offered) for _, setting in OPTIMIZERS.values()) > 40


@pytest.mark.parametrize("opens", [True, False])
def test_open_asks_for_a_browser_and_says_where_there_is_none(tmp_path, capsys, monkeypatch, opens):
    asked = []
    monkeypatch.setattr(webbrowser, "open", lambda uri: asked.append(uri) or opens)
    assert main(["studio", "--open", "--output", str(tmp_path / "page.html")]) == (0 if opens else 1)
    assert asked == [(tmp_path / "page.html").as_uri()]
    assert ("no browser could be started" in capsys.readouterr().err) is not opens


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """Where the disk fails in the middle, the old file stays and nothing lies beside it."""
    path = tmp_path / "page.html"
    write_whole(path, "old")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_full_disk_is_told(tmp_path, capsys, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in refused(capsys, "--output", str(tmp_path / "page.html"))
    assert not list(tmp_path.iterdir())


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
