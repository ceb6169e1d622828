"""A race written down: Markdown that is well formed, a page that stands alone, sentences that are computed."""

import dataclasses
import functools
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="install the extra: pip install -e '.[plots]'")

from gradtx.apps.race import findings, pictures, report, tables
from gradtx.apps.race.results import Agreement, from_json
from tests.apps.race.made_up import HOSTILE, NOWHERE, cell, results, seeds, small, task

VOID = {"meta", "img", "br", "link", "input"}


def hostile():
    """The small race with names that try to be markup."""
    whole = small()
    named = [dataclasses.replace(c, optimizer=HOSTILE if c.optimizer == "adam" else c.optimizer) for c in whole.cells]
    named = [dataclasses.replace(c, task=HOSTILE if c.task == "bowl" else c.task) for c in named]
    bowl = dataclasses.replace(whole.tasks[0], name=HOSTILE, about=HOSTILE, unit=HOSTILE, sources=((HOSTILE, HOSTILE),))
    words = {HOSTILE: HOSTILE}
    return dataclasses.replace(
        whole,
        tasks=(bowl, whole.tasks[1]),
        cells=tuple(named),
        machine=words,
        settings={"command": f"run ``` {HOSTILE}\n# more", **words},
        agreements=(Agreement(HOSTILE, HOSTILE, HOSTILE, 3, math.nan, 1e-6),),
    )


def one_task():
    """One task, one optimizer, one rate, one seed."""
    return results([task(rates=1, seeds=1)], [cell("adam", [[1.0, 0.5, 0.2]], rates=[0.1])])


def all_diverged():
    """Nobody ends anywhere."""
    return results([task()], [cell("adam", [NOWHERE] * 3), cell("sgd", [NOWHERE] * 3)])


def linear():
    """Scores within one order of magnitude, three seeds, many optimizers, ties."""
    ends = ([seeds(2.5 + 0.1 * (k // 2), 2.6, 2.7, start=5.5)] * 3 for k in range(6))
    return results([task(target=2.55)], [cell(f"o{k}", scores) for k, scores in enumerate(ends)])


def trap():
    """The small race, the second task being one on which adam is made to fail."""
    bowl, other = small().tasks
    given = {name: {"b1": 0.9, "b2": 0.99} for name in ("adam", "amsgrad")}
    other = dataclasses.replace(other, hyperparameters=given, counted=False)
    return dataclasses.replace(small(), tasks=(bowl, other))


RACES = {
    "trap": trap,
    "small": small,
    "hostile": hostile,
    "one": one_task,
    "diverged": all_diverged,
    "linear": linear,
    "nobody": lambda: results([task()], []),
    "nothing": lambda: results([], []),
}


@functools.cache
def written(name):
    whole = RACES[name]()
    return whole, report.page(whole), report.as_markdown(whole)


@pytest.fixture(params=RACES)
def race(request):
    return written(request.param)


class Page(HTMLParser):
    """What is in a page: that elements are closed in order, attributes, texts of scripts, and the shapes of tables."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.scripts, self.rows, self.text = [], [], {}, [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open[-1][0] == tag, f"{tag} closed in {self.open[-1]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "script":
            name = self.open[-1][1].get("id", "sorting")
            self.scripts[name] = self.scripts.get(name, "") + data
        elif self.open and self.open[-1][0] != "style":
            self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


class TestPage:
    def test_it_stands_alone(self, race):
        _, text, _ = race
        page = Page(text)
        assert text.startswith("<!DOCTYPE html>")
        assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
        for _, attributes in page.elements:
            assert not {"srcset", "action"} & set(attributes)
            assert not [name for name in attributes if name.startswith("on")]
            assert attributes.get("src", "data:").startswith("data:image/svg+xml;base64,") or "src" not in attributes
            assert attributes.get("href", "#").startswith("#")
        (policy,) = [m["content"] for m in page.of("meta") if "http-equiv" in m]
        assert "default-src 'none'" in policy
        assert "url(" not in text.partition("</style>")[0]

    def test_links_lead_somewhere(self, race):
        page = Page(race[1])
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        links = {a["href"][1:] for a in page.of("a")}
        assert {name for name in links if name.startswith("task")} <= set(ids)
        assert {a["aria-labelledby"] for a in page.of("section") if "aria-labelledby" in a} <= set(ids)

    def test_pictures_say_what_is_seen(self, race):
        whole, text, _ = race
        pictures = Page(text).of("img")
        assert all(len(picture["alt"]) > 60 for picture in pictures)
        ran = {c.task for c in whole.cells}
        assert len(pictures) == 2 * len(ran) + bool(ran) + (len({c.optimizer for c in whole.cells}) > 1)

    def test_tables_have_captions_scopes_and_full_rows(self, race):
        page = Page(race[1])
        assert len(page.of("caption")) == len(page.of("table"))
        heads = page.of("th")
        assert {head["scope"] for head in heads} <= {"row", "col"}
        widths, left = [], list(page.rows)
        for table in _tables(race[0]):
            widths += [len(table.headings)] * (1 + len(table.rows))
        assert sorted(left) == sorted(widths)

    def test_the_numbers_inside_are_the_results(self, race):
        whole, text, _ = race
        data = json.loads(Page(text).scripts["results"])
        assert data["machine"] == whole.machine
        assert data["settings"] == whole.settings
        assert [t["name"] for t in data["tasks"]] == [t.name for t in whole.tasks]
        cells = {(c.task, c.optimizer, c.library): c for c in whole.cells}
        assert len(data["cells"]) == len(cells)
        for found in data["cells"]:
            mine = cells[found["task"], found["optimizer"], found["library"]]
            np.testing.assert_array_equal(np.array(found["final_scores"], float), mine.scores[:, :, -1])
            np.testing.assert_array_equal(found["rates"], mine.rates)
            if found["best"] is not None:
                np.testing.assert_array_equal(np.array(found["best_scores"], float), mine.scores[found["best"]])

    def test_names_that_try_to_be_markup_are_words(self):
        page = Page(written("hostile")[1])
        assert page.text.count(HOSTILE) > 10
        assert set(page.scripts) == {"results", "sorting"}
        assert not [a for a in page.of("img") if a["src"] == "x"]
        assert HOSTILE in pictures.about_race(hostile(), hostile().tasks[0])

    def test_equal_results_give_equal_pages(self):
        assert written("small")[1:] == (report.page(small()), report.as_markdown(small()))


class TestMarkdown:
    def test_every_row_has_as_many_cells_as_its_headings(self, race):
        lines, seen = race[2].splitlines(), 0
        for i, line in enumerate(lines):
            if re.fullmatch(r"\|( ---:? \|)+", line):
                width = _cells(line)
                j = i - 1
                while j < len(lines) and lines[j].startswith("|"):
                    assert _cells(lines[j]) == width, lines[j]
                    j += 1
                seen += j - i
        assert seen == sum(len(table.rows) + 1 for table in _tables(race[0]))

    def test_no_name_is_markup(self):
        text = written("hostile")[2]
        assert "<img" not in text.partition("## To run it again")[0]
        assert "</script" not in re.sub(r"````bash\n.*\n````", "", text)
        assert "````bash\n" in text

    def test_the_small_race(self):
        text = written("small")[2]
        assert "3 optimizers of gradtx, optax on 2 tasks: 63 trainings in 61.5 seconds." in text
        assert "| adam | gradtx | 0.1 | 0.02 (0.01 to 0.03) | 10 (at 0.1) | 500 ms | 2.5 s | 1.00 |" in text
        assert "| sgd | gradtx | 0.1 | 0.2 (0.1 to 0.3) | never | never | never | 0.00 |" in text
        assert "| bowl, trap | numbers | sha256:0123abcd |" in text
        assert "| sgd | optax | Its first step is one late. |" in text
        assert "scores being counted above -1. It begins at 1; the target is 0.15" in text
        assert "```bash\npython -m gradtx race\n```" in text

    def test_what_diverged_says_so(self):
        text = written("diverged")[2]
        assert "| adam | gradtx | – | diverged at every rate | never | never | never | 0.00 |" in text

    def test_a_best_rate_at_the_end_of_the_range_is_marked(self):
        text = written("small")[2]
        assert "| sgd | gradtx | 1 (highest tried) | 0.05 (0 to 0.1) |" in text
        assert "(only one tried)" in written("one")[2]


class TestFindings:
    def test_of_the_small_race(self):
        found = findings.findings(small())
        assert (
            found[0]
            == "On the 2 tasks that all 3 optimizers ran, rmsprop reached the most targets, 2; sgd and adam the "
            "fewest, 1."
        )
        text = " ".join(found)
        assert "that does not tell them apart" in text  # two tasks can tell nobody apart
        assert (
            "On trap these fail at every rate that was tried, closing less than 5% of the gap (1 at the start): adam"
            in text
        )
        assert "is reached by rmsprop and sgd" in text
        assert "All 1 comparison of updates with optax are within bounds" in text
        assert "gradtx takes 0.90 times as long to run and 2.00 times as long to compile" in text
        assert "3 of 63 trainings diverged, 4.8%; most often those of sgd, 17%." in text

    def test_who_steps_along_the_gradient_and_wins_is_named_with_its_seeds(self):
        low, high = [seeds(*[0.01] * 6)] * 3, [seeds(*[0.5] * 6)] * 3
        found = findings.findings(results([task()], [cell("sgd", low), cell("adam", high)]))
        (one,) = [line for line in found if line.startswith("Plain")]
        assert one == (
            "Plain gradient steps (sgd) end lower than every other method on 1 of 1 task: bowl (sgd 0.01, adam 0.5, "
            "lower in 6 of 6 seeds)."
        )
        few = results([task()], [cell("sgd", [seeds(0.01)] * 3), cell("adam", [seeds(0.5)] * 3)])
        assert "lower in 1 of 1 seed, too few to tell" in " ".join(findings.findings(few))

    def test_a_clear_winner_is_not_hedged(self):
        tasks = [task(f"t{k}") for k in range(6)]
        cells = [cell(n, [seeds(end)] * 3, on=t.name) for t in tasks for n, end in (("a", 0.01), ("b", 0.02))]
        text = " ".join(findings.findings(results(tasks, cells)))
        assert "a is ahead of b on 6, behind on 0." in text

    def test_a_disagreement_is_the_news(self):
        bad = Agreement("bowl", "adam", "torch", 20, math.nan, 1e-6)
        text = " ".join(findings.findings(dataclasses.replace(small(), agreements=(*small().agreements, bad))))
        assert (
            "1 of 2 comparisons of updates with optax and torch are beyond their bounds: adam of torch on bowl" in text
        )

    def test_nothing_compared_is_the_news_too(self):
        whole = dataclasses.replace(small(), agreements=(Agreement("bowl", "adam", "torch", 0, 0.0, 1e-6),))
        text = " ".join(findings.findings(whole))
        assert "In 1 of 1 comparison of updates with torch no step was compared, and nothing is shown: adam of" in text
        assert "within bounds" not in text
        assert "| adam | torch | 1 | no step was compared | bowl | 1.0e-06 | NO |" in report.as_markdown(whole)

    def test_what_a_task_sets_is_named_and_a_trap_does_not_count(self):
        whole = trap()
        text = " ".join(findings.findings(whole))
        assert "On the 1 task that all 3 optimizers ran" in text
        assert "trap is built so that one method fails, so it does not count in comparisons over tasks." in text
        assert "(1 at the start): adam with b1 = 0.9 and b2 = 0.99 (" in text
        assert "than every other method on 0 of 1 task." in text
        for page in (Page(report.page(whole)).text, report.as_markdown(whole)):
            assert "adam and amsgrad with b1 = 0.9 and b2 = 0.99; all others race with their own settings." in page
            assert "trap is built so that one method fails" in page

    def test_torch_is_slow_for_a_reason_that_is_said(self):
        cells = [cell("adam", [seeds(0.1)] * 3), cell("adam", [seeds(0.1)] * 3, library="torch", compiling=0.0)]
        text = " ".join(findings.findings(results([task()], cells)))
        assert "it steps from Python, on one thread, with a parameter group for each rate" in text
        assert "from Python" not in " ".join(findings.findings(small()))

    def test_widths_that_may_be_wider_say_so(self):
        cells = [cell("a", [seeds(0.01)] * 3), cell("b", [seeds(0.5), seeds(0.01), seeds(0.5)])]
        whole = results([task()], cells)
        assert "median over tasks: a, ≥ 2.00; the fewest: b, 1.00." in " ".join(findings.findings(whole))
        assert [row[-1] for row in tables.overall_table(whole).rows] == ["≥ 2.00", "1.00"]
        bars = pictures.summary(whole).axes[1]
        assert [text.get_text() for text in bars.texts] == ["≥ 2.0", "1.0"]

    def test_sentences_are_whole(self, race):
        for sentence in findings.findings(race[0]):
            assert sentence.endswith(".")
            assert not re.search(r"\bnan\b|\binf\b|  |-0\b", sentence), sentence

    def test_a_race_of_one_claims_nothing(self):
        assert findings.findings(one_task()) == [
            "In 1 of 1 case the best rate is at an end of those tried, and a better one may lie beyond: adam on bowl."
        ]


class TestPictures:
    def test_there_is_a_panel_and_a_strip_for_each(self):
        one = pictures.race(linear(), linear().tasks[0])
        assert [ax.texts[0].get_text() for ax in one.axes] == [f"o{k}: {2.6 if k < 4 else 2.7}" for k in range(6)]
        strips = pictures.basins(linear(), linear().tasks[0]).axes[0]
        assert strips.get_xscale() == "log"
        assert [label.get_text() for label in strips.get_yticklabels()] == [f"o{k}" for k in range(6)]

    def test_the_matrix_has_the_multiples_of_the_fewest_steps(self):
        fast, slow = [[[1.0, 0.1, 0.1]] * 3] * 3, [[[1.0, 0.5, 0.1]] * 3] * 3
        ax = pictures.summary(results([task()], [cell("slow", slow), cell("fast", fast)])).axes[0]
        assert [label.get_text() for label in ax.get_yticklabels()] == ["fast", "slow"]
        assert [text.get_text() for text in ax.texts] == ["1", "2"]

    def test_beside_one_that_begins_at_the_target_the_others_are_no_multiple(self):
        cells = [cell("a", [[0.1, 0.1, 0.1]] * 3), cell("b", [[1.0, 0.1, 0.1]] * 3), cell("c", [[1.0, 1.0, 1.0]] * 3)]
        ax = pictures.summary(results([task()], cells)).axes[0]
        assert [text.get_text() for text in ax.texts] == ["1", "∞", "–"]

    def test_one_that_ran_only_where_nothing_counts_has_no_bar(self):
        cells = [*trap().cells, cell("amsgrad", [seeds(-0.9)] * 3, on="trap")]
        figure = pictures.summary(dataclasses.replace(trap(), cells=tuple(cells)))
        assert len(figure.axes[0].get_yticklabels()) == 4
        assert len(figure.axes[1].texts) == 3

    def test_the_picture_for_a_readme_is_small_and_wide(self, tmp_path):
        from gradtx.plots.style import save

        path = save(pictures.summary(small()), tmp_path / "summary.png", dpi=100)
        from matplotlib.image import imread

        assert imread(path).shape[1] == 800
        assert path.stat().st_size < 150_000

    def test_nothing_to_draw_is_said(self):
        with pytest.raises(ValueError, match="nothing ran"):
            pictures.summary(results([task()], []))
        assert pictures.profile(one_task()) is None


class TestFiles:
    def test_all_three_are_written_and_read_back(self, tmp_path):
        paths = report.write(small(), tmp_path / "new" / "folder")
        assert [path.name for path in paths] == ["results.json", "report.md", "report.html"]
        back = from_json(paths[0].read_text(encoding="utf-8"))
        assert back.tasks == small().tasks
        for mine, theirs in zip(small().cells, back.cells, strict=True):
            np.testing.assert_array_equal(mine.scores, theirs.scores)
        assert paths[1].read_text(encoding="utf-8") == written("small")[2]
        assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)

    def test_a_folder_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match="file"):
            report.write(one_task(), tmp_path / "file")

    def test_the_table_for_a_terminal(self):
        lines = tables.summary_for_terminal(small()).splitlines()
        rows = [line.split() for line in lines[4:7]]
        assert [row[0] for row in rows] == ["rmsprop", "adam", "sgd"]
        assert [row[1] for row in rows] == ["2", "1", "1"]
        assert max(map(len, lines)) <= 100
        assert "There is nothing to compare over tasks" in tables.summary_for_terminal(results([task()], []))


def _tables(whole):
    found = [tables.overall_table(whole), tables.libraries_table(whole), tables.agreement_table(whole)]
    found += [tables.not_compared_table(whole), tables.sources_table(whole)]
    found += [tables.pairs("", ("", ""), content) for content in (whole.settings, whole.machine)]
    found += [tables.task_table(whole, one) for one in whole.tasks]
    return [table for table in found if table.rows]


def _cells(line):
    """How many cells a line of a Markdown table has: bars that nothing escapes, less one."""
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_embedded_numbers_are_strict_json():
    def refuse(word):
        raise AssertionError(word)

    assert json.loads(report.numbers_shown(all_diverged()), parse_constant=refuse)["cells"][0]["best"] is None
