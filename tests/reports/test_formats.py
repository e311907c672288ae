"""Every format over every kind of report: safe, bounded, complete."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from postmortem.model import Cycle, Evidence, Finding, Report, Thread, Verdict, from_json
from reports import FORMATS, terminal
from reports.anchors import ancestors, anchor
from reports.words import stacks, threads
from tests.build import reports as build

SAMPLES = {
    "minimal": build.minimal,
    "native": build.native,
    "jvm": build.jvm,
    "big_jvm": build.big_jvm,
    "recursion": build.recursion,
    "hostile": build.hostile,
}
VOID = {"meta", "input", "br", "img", "hr", "link"}


class Page(HTMLParser):
    """What of a page matters for safety and links."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif not self._inside:
            self.text.append(data)

    def hrefs(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.tags if tag == "a" and "href" in attrs]


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    return {name: Page(FORMATS["html"](make())) for name, make in SAMPLES.items()}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", SAMPLES)
def test_every_report_renders_as_utf8(name: str, form: str) -> None:
    assert FORMATS[form](SAMPLES[name]()).encode()


@pytest.mark.parametrize("name", SAMPLES)
def test_the_only_script_is_ours_and_its_hash_is_allowed(pages: dict[str, Page], name: str) -> None:
    page = pages[name]
    assert len(page.scripts) == 1
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_loaded_or_run(pages: dict[str, Page], name: str) -> None:
    for tag, attrs in pages[name].tags:
        assert tag not in {
            "img",
            "iframe",
            "object",
            "embed",
            "link",
            "base",
            "video",
            "audio",
            "image",
            "use",
        }
        assert not any(attribute.startswith("on") or attribute in {"src", "srcset", "action"} for attribute in attrs)
        href = attrs.get("href")
        if href is not None and not href.startswith("#"):
            assert tag == "a"
            assert href.startswith(("https://", "http://"))
            assert "noreferrer" in (attrs.get("rel") or "")
        assert "url(" not in (attrs.get("style") or "")


def test_the_style_sheet_requests_nothing() -> None:
    style = FORMATS["html"](build.minimal()).partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("name", SAMPLES)
def test_links_lead_to_ids_that_exist_once(pages: dict[str, Page], name: str) -> None:
    page = pages[name]
    assert len(page.ids) == len(set(page.ids))
    for href in page.hrefs():
        if href.startswith("#"):
            assert href[1:] in page.ids


@pytest.mark.parametrize("name", ["native", "jvm", "recursion"])
def test_every_piece_of_evidence_links_to_its_place(pages: dict[str, Page], name: str) -> None:
    hrefs = pages[name].hrefs()
    for finding in SAMPLES[name]().findings:
        for evidence in finding.evidence:
            places = {f"#{anchor(path)}" for path in ancestors(evidence.where)}
            group = {"#threads-12-frames-3"} if evidence.where.startswith("threads[23]") else set()
            assert (places | group).intersection(hrefs), evidence.where


def test_a_frame_of_a_grouped_thread_links_to_the_stack_that_is_shown(pages: dict[str, Page]) -> None:
    # threads[23] has the stack of threads[11], the first with it.
    page = pages["jvm"]
    assert "threads-11-frames" in page.ids
    assert "threads-23" in page.ids
    assert any(href.startswith("#threads-11-frames") for href in page.hrefs())


@pytest.mark.parametrize("form", ["html", "markdown", "text"])
def test_unseen_characters_are_shown_as_codes(form: str) -> None:
    text = FORMATS[form](build.hostile())
    assert not re.search("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]", text)
    assert "u202e" in text
    assert "x1b" in text


def test_crash_text_is_not_a_template(pages: dict[str, Page]) -> None:
    shown = "".join(pages["hostile"].text)
    assert "{{ 7*7 }}" in shown
    assert "alert(1)" in shown


def test_markdown_leaves_no_markup_outside_code() -> None:
    text = FORMATS["markdown"](build.hostile())
    # Fences in the page are longer than any run of backticks in the crash data.
    assert re.search(r"^`{4,}text$", text, re.M)
    bare = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", text)
    bare = re.sub(r"(?<!\\)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", bare)
    assert not re.search(r"(?<!\\)<(?!/?(sub|details|summary)>)", bare)
    assert not re.search(r"(?<!\\)\[x(?<!\\)\]\(", bare)


def test_rich_markup_in_crash_text_is_text() -> None:
    assert "[bold]x[/bold]" in FORMATS["text"](build.hostile()).replace("\n", "")


@pytest.mark.parametrize("name", SAMPLES)
def test_markdown_fits_a_ticket(name: str) -> None:
    assert len(FORMATS["markdown"](SAMPLES[name]()).encode()) < 30_000


def test_markdown_says_what_it_left_out() -> None:
    long = "x" * 5000
    finding = Finding(rule="r", title=long, severity="low", confidence="likely", explanation=long)
    steps = tuple(f"{at} {'é`|' * 900}" for at in range(60))
    verdict = Verdict(rule="r", title=long, summary=long, severity="low", confidence="likely", next_steps=steps)
    base = build.jvm(threads=300, different=290, depth=60)
    text = FORMATS["markdown"](_with(base, verdict=verdict, findings=(finding,) * 300, problems=base.problems * 400))
    assert len(text.encode()) < 30_000
    assert "Shortened to fit a ticket" in text
    fences = re.findall(r"^`{3,}(?:text)?$", text, re.M)
    assert len(fences) % 2 == 0


def test_markdown_answers_first() -> None:
    text = FORMATS["markdown"](build.native())
    order = [
        text.index(part)
        for part in (
            "# Null pointer",
            "## Why",
            "## What to do",
            "## Crashing stack",
            "## Findings",
            "## Other threads",
            "## Modules not matched",
            "## What could not be done",
        )
    ]
    assert order == sorted(order)


def test_html_of_200_java_threads_is_under_a_megabyte() -> None:
    assert len(FORMATS["html"](build.big_jvm()).encode()) < 1_000_000


def test_html_stays_bounded_whatever_the_crash_holds() -> None:
    report = build.jvm(threads=3000, depth=80, different=2999, mappings=30_000, flags=5000)
    assert len(FORMATS["html"](report).encode()) < 2_000_000


@pytest.mark.parametrize("form", ["html", "markdown", "text"])
def test_recursion_is_folded(form: str) -> None:
    text = FORMATS[form](build.recursion())
    assert "2 frames repeated 14,500 times" in " ".join(text.split())
    assert text.count("parse_member") < 20
    assert len(text) < 40_000


def test_json_is_the_model_unchanged() -> None:
    for make in (build.minimal, build.native, build.jvm, build.recursion):
        assert from_json(FORMATS["json"](make()).encode()) == make()


def test_json_writes_lone_surrogates_as_codes() -> None:
    text = FORMATS["json"](build.hostile())
    assert isinstance(json.loads(text), dict)
    assert "\\\\udc80" in text
    assert from_json(text.encode()).threads


@pytest.mark.parametrize("width", [40, 80, 160])
def test_terminal_keeps_to_its_width_and_is_plain(width: int) -> None:
    text = terminal.render(build.native(), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text
    assert "ledger::Account::balance() const" in text.replace("\n", "") or width == 40


def test_without_the_script_all_is_there(pages: dict[str, Page]) -> None:
    page = pages["jvm"]
    assert "com.example.shop.service5.OrderProcessor5.handleStep3" in "".join(page.text)
    hidden = [tag for tag, attrs in page.tags if "hidden" in attrs]
    assert hidden == ["form"]


def test_equal_stacks_are_one_group() -> None:
    report = build.native()
    groups = threads.group_threads(report.threads)
    assert [len(group.threads) for group in groups] == [1, 8, 1, 1, 1]
    assert groups[0].crashed
    assert threads.group_title(groups[1]) == "worker-0, worker-1, worker-2 and 5 more"
    assert threads.telling_function(groups[1]) == "ledger::Worker::run()"


@pytest.mark.parametrize(
    "cycles",
    [
        (Cycle(start=-5, period=2, count=9),),
        (Cycle(start=1, period=0, count=9),),
        (Cycle(start=1, period=-1, count=9),),
        (Cycle(start=1, period=2, count=1 << 60),),
        (Cycle(start=90, period=60, count=3),),
        (Cycle(start=1, period=2, count=20), Cycle(start=3, period=2, count=20)),
        (Cycle(start=1 << 62, period=1 << 62, count=1 << 62),),
    ],
)
def test_cycles_that_lie_do_no_harm(cycles: tuple[Cycle, ...]) -> None:
    frames = build.recursion(100).threads[0].frames
    rows = stacks.fold(frames, cycles, 50)
    assert 0 < len(rows) <= 51
    report = _with(build.recursion(100), threads=(Thread(tid=1, crashed=True, frames=frames, cycles=cycles),))
    for form in FORMATS.values():
        assert form(report)


def test_a_cycle_stored_once_hides_nothing_after_it() -> None:
    frames = build.recursion(100).threads[0].frames
    once = (*frames[:3], *frames[-2:])
    rows = stacks.fold(once, (Cycle(start=1, period=2, count=50),))
    assert len(rows) == 4
    assert isinstance(rows[1], stacks.CycleRow)
    assert rows[1].hidden == 0


def test_long_stacks_say_how_much_is_left_out() -> None:
    frames = build.java_stack(1, 500)
    rows = stacks.fold(frames, (), 100)
    cut = next(row for row in rows if isinstance(row, stacks.CutRow))
    assert len(rows) == 101
    assert cut.text == "400 frames not shown (75 to 474)"


def test_evidence_that_leads_nowhere_is_text() -> None:
    finding = Finding(
        rule="r",
        title="t",
        severity="low",
        confidence="likely",
        explanation="e",
        evidence=(Evidence(where="no.such[3].path", value="1"),),
    )
    page = Page(FORMATS["html"](_with(build.minimal(), findings=(finding,))))
    assert "no.such[3].path" in "".join(page.text)
    assert not any("no-such" in href for href in page.hrefs())


@pytest.mark.parametrize("name", ["native", "jvm", "minimal"])
def test_html_is_navigable(pages: dict[str, Page], name: str) -> None:
    page = pages[name]
    names = [tag for tag, _ in page.tags]
    assert names.count("h1") == names.count("main") == names.count("nav") == 1
    levels = [int(tag[1]) for tag in names if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert names.count("table") == names.count("caption")
    assert all(attrs.get("aria-label") for tag, attrs in page.tags if tag == "svg")
    assert page.tags[0] == ("html", {"lang": "en"})


def _with(report: Report, **changes: object) -> Report:
    import msgspec

    return msgspec.structs.replace(report, **changes)
