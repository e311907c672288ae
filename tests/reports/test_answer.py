"""The words of the answer: what is sure, and of what."""

from __future__ import annotations

import msgspec
import pytest

from postmortem.model import Evidence, Finding, Report
from postmortem.rules.ranking import order, verdict
from reports.words import answer
from tests.build import reports as build

PLACE = Finding(
    rule="jvm-crash-in-native-library",
    title="SIGFPE in native library libbins.so",
    severity="critical",
    confidence="certain",
    claim="observation",
    explanation="It divided.",
    evidence=(Evidence(where="crash.signal.code_name", value="FPE_INTDIV"),),
    specificity=79,
)
CAUSE = msgspec.structs.replace(
    PLACE, rule="integer-division", title="Division by zero: width is 0", claim="cause", specificity=70
)


def told(*findings: Finding) -> str:
    ranked = order(findings)
    report: Report = msgspec.structs.replace(build.native(), findings=ranked, verdict=verdict(ranked))
    return answer.confidence_text(report)


def test_a_cause_that_is_found_is_named_where_the_verdict_is_the_place() -> None:
    assert told(PLACE, CAUSE) == ("critical severity, certain observation; certain cause: Division by zero: width is 0")


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(CAUSE, confidence="possible"),
        msgspec.structs.replace(CAUSE, claim="observation"),
        msgspec.structs.replace(CAUSE, severity="high"),
        # Of other threads, and not of what ended the process.
        msgspec.structs.replace(CAUSE, evidence=(Evidence(where="threads[3].wait.object", value="0x1"),)),
    ],
)
def test_else_the_cause_is_open(other: Finding) -> None:
    assert told(PLACE, other) == "critical severity, certain observation; the cause is open"


def test_a_cause_needs_no_further_words() -> None:
    assert told(CAUSE) == "critical severity, certain cause"
