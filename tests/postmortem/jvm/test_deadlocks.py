"""Deadlocks that jstack prints none of: of class initializers."""

from __future__ import annotations

import re

import pytest

from tests.postmortem.jvm import check, corpus

pytestmark = pytest.mark.jdk

_WAITING = re.compile(
    r'^"(?P<name>[^"]+)".*\n(?:[ \t]\S.*\n|   .*\n)*?'
    r"\t- waiting on the Class initialization monitor for (?P<class>\S+)$",
    re.MULTILINE,
)


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs(["deadlock-class-init"], jdks=corpus.JUDGED_ON))
def test_class_initializers_wait_for_one_another(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    report = check.report_of(place)
    prices, taxes = (f"initialization of crash.Initializers${name}" for name in ("Prices", "Taxes"))
    (deadlock,) = report["jvm"]["deadlocks"]
    assert {(member["name"], member["waiting_for"], member["held_by"]) for member in deadlock["threads"]} == {
        ("loads-prices", taxes, "loads-taxes"),
        ("loads-taxes", prices, "loads-prices"),
    }
    waits = {
        thread["java"]["name"]: thread["java"]["blocked_on"]
        for thread in report["threads"]
        if thread["java"] is not None and (thread["java"]["blocked_on"] or "").startswith("initialization")
    }
    assert waits == {"loads-prices": taxes, "loads-taxes": prices, "waits-for-prices": prices}
    dump = check.told(place, "Thread.print")
    assert dump is not None
    # The dumps of 8 and 11 do not say what these threads wait for.
    told = {match["name"]: f"initialization of {match['class']}" for match in _WAITING.finditer(dump)}
    assert told == (waits if jdk >= 17 else {})
