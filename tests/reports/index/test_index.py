"""index.html, the digest and the table of a triage."""

from __future__ import annotations

import csv
import io
import re

import pytest

from postmortem.model.triage import (
    Best,
    Bucket,
    Excess,
    Failure,
    Inputs,
    Member,
    Near,
    Period,
    Step,
    Suspect,
    Triage,
    triage_from_json,
    triage_json,
)
from reports.index import digest, page, table, timeline

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e=cmd|' /C calc'!A0 `x` [a](javascript:b)"


def triage(text: str = "null+0x40 | total", count: int = 12) -> Triage:
    """One bucket with everything, and one with nothing."""
    members = tuple(
        Member(id=str(number), path=f"/cores/{text}{number}", time=number * 900.0, report=f"reports/{number}.json")
        for number in range(count)
    )
    full = Bucket(
        id="ab" * 20, title=text, signature=text, cause=text, rule="null-dereference", severity="critical", count=count,
        grew=3, first_seen=0.0, last_seen=9900.0, status="regressed", fixed_in=text, ticket=text, notes=text,
        programs={text: count}, hosts={text: count}, versions={text: count}, packages={text: count}, incomplete=text,
        other_faults={"SIGSEGV in cancel": 2},
        periodicity=Period(seconds=900.0, p=1e-7, events=14, test="rayleigh"),
        over_represented=(Excess(attribute="host", value=text, inside=9, bucket=12, outside=3, others=90, p=1e-8),),
        similar=(Near(id="cd" * 20, score=0.8, text=text), Near(id="ef" * 20, score=0.7, text=text)),
        best=Best(path="reports/0.html", input=text), members=members, steps=(Step(name=text, file=text, line=3),),
    )  # fmt: skip
    bare = Bucket(id="cd" * 20, title="no finding", signature="no signal", cause="no signal", count=1)
    return Triage(
        tool_version="1", inputs=Inputs(found=20, analyzed=13, skipped=5, failed=2, known=1), buckets=(full, bare),
        failures=(Failure(path=text, what=text),), skipped=(Failure(path=text, what=text),),
        suspects=(Suspect(host=text, crashes=40, of=50, signatures=38, p=1e-9),), stacks={f"main;{text}": count},
    )  # fmt: skip


def test_the_page_says_what_there_is() -> None:
    shown = page.render(triage())
    for words in (
        "13 crashes, 2 buckets",
        "20 inputs found: 13 analyzed (1 in earlier runs), 5 skipped, 2 failed.",
        "Every 15 minutes, p 1e-07, 14 events",
        "9 of 12 are of host",
        "suspect its hardware",
        'href="reports/0.html"',
        'href="#b-' + "cd" * 20,
        "<svg",
        "Faults of other threads at the same time",
        "SIGSEGV in cancel",
    ):
        assert words in shown, words


@pytest.mark.parametrize("made", [triage(HOSTILE), triage(HOSTILE, 600), Triage(tool_version="1")])
def test_hostile_text_stays_text_and_nothing_is_requested(made: Triage) -> None:
    shown = page.render(made)
    assert "<script" not in shown and "\x1b" not in shown and "\u202e" not in shown
    assert "default-src 'none'" in shown
    assert not re.findall(r"(?:src|href)=\"(?!#|reports/\d+\.(?:html|json)\")", shown)
    assert not re.search(r"url\(|@import|https?://", shown)
    assert triage_from_json(triage_json(made)) == made


def test_digest_is_short_and_escaped() -> None:
    shown = digest.render(triage(HOSTILE))
    assert "<script>" not in shown.replace("`", "\0").split("\0")[0]
    assert "\x1b" not in shown
    many = Triage(tool_version="1", buckets=tuple(triage("x" * 300).buckets) * 200)
    assert len(digest.render(many)) < 4000


def test_table_is_csv_and_no_cell_is_a_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(table.render(triage("=1+1").buckets))))
    assert [row["count"] for row in rows] == ["12", "1"]
    assert rows[0]["title"] == "'=1+1"


def test_timeline_without_times_is_nothing() -> None:
    assert timeline.svg([], 0.0, 0.0) == ""
    assert timeline.svg([5.0], 5.0, 5.0).count("<rect") == 1
    assert timeline.stamp(1e30) == "not known"
