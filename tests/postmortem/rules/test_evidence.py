"""The table of what the rules were proven on tells the truth, and no rule is without proof."""

from __future__ import annotations

from pathlib import Path

import pytest

import postmortem
from postmortem.rules import ALL
from postmortem.rules import proven as evidence
from tests.postmortem.rules import evidence as gathering

LOGS = Path(__file__).resolve().parents[3] / "fixtures" / "logs"


def test_the_table_is_what_the_recipes_say() -> None:
    assert gathering.FILE.read_text(encoding="utf-8") == gathering.written(), (
        "run python -m tests.postmortem.rules.evidence"
    )


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.id)
def test_a_crash_fires_it_and_a_near_miss_does_not(rule: postmortem.rules.rule.Rule) -> None:
    found = evidence.of(rule.id)
    assert found is not None
    assert found.fires and found.silent


@pytest.mark.parametrize("name", gathering.LOGS)
def test_logs(name: str) -> None:
    fires, silent = gathering.LOGS[name]
    report = postmortem.analyze(LOGS / f"{name}.log", postmortem.Options(strict=True))
    found = {finding.rule for finding in report.findings}
    assert set(fires) <= found and not found & set(silent)
    expected = "jvm-crash-in-native-library" if name.startswith("jni") else fires[0]
    assert report.verdict is not None and report.verdict.rule == expected
