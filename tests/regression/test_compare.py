"""The comparison sees a planted change, and a named change can't hide what matters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from postmortem.model import to_json
from tests.build import reports as build
from tests.regression.compare import differences, read_changes, unexpected


def _report() -> Any:
    return json.loads(to_json(build.native()))


def test_equal_reports_are_equal() -> None:
    one, other = _report(), _report()
    other["timings"] = {"unwind": 99.0}
    assert list(differences(one, other)) == []


@pytest.mark.parametrize("what", ["frame", "confidence", "number"])
def test_a_planted_change_is_found(what: str) -> None:
    one, other = _report(), _report()
    if what == "frame":
        other["threads"][0]["frames"][0]["function"] = "other"
        where = "threads[0].frames[0].function"
    elif what == "confidence":
        other["findings"][0]["confidence"] = "possible"
        one["findings"][0]["confidence"] = "certain"
        where = "findings[0].confidence"
    else:
        other["core"]["size"] = one["core"]["size"] + 1
        where = "core.size"
    changes = read_changes("threads[*] a reason\nfindings[*] a reason\n")
    assert [path for path, _, _ in unexpected(one, other, changes)] == [where]


def test_a_named_change_covers_its_path_only() -> None:
    one, other = _report(), _report()
    other["core"]["size"], other["core"]["path"] = 0, "elsewhere"
    changes = read_changes("core.size the size is that of the container now\n")
    assert [path for path, _, _ in unexpected(one, other, changes)] == ["core.path"]


@pytest.mark.parametrize("line", ["core.size", "verdict.title because", "threads[*].frames[*].function because"])
def test_a_change_needs_a_reason_and_spares_what_is_protected(line: str) -> None:
    with pytest.raises(ValueError):
        read_changes(line)
