"""Every case of the native corpus gets the verdict that it must, and no finding that it must not.

Cores come from the directory that POSTMORTEM_NATIVE_CORPUS names (as fixtures/native/recipe.py writes it),
or are made for the session. A case whose compiler is missing is skipped.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import pytest

from tests.postmortem.corpus import FAILED, cases, directory, parameters
from tests.postmortem.rules.evidence import STATE

if TYPE_CHECKING:
    from pathlib import Path

    from postmortem.model import Report

CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in cases()}

pytestmark = pytest.mark.corpus


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The directory of the cases."""
    return directory()


def analyzed(corpus: Path, name: str) -> Report:
    """The report of a case; its executable lies beside the core."""
    import postmortem

    return postmortem.analyze(corpus / name / "core", postmortem.Options(strict=True))


def _for_the_machine(report: Report, place: Path) -> set[str]:
    """Rules that tell of the machine and not of the case: its libc may be stripped and its debug file missing."""
    nameless = {frame.module for frame in report.threads[0].frames if frame.function is None and frame.module}
    theirs = {module for module in nameless if not (place / PurePath(module).name).exists()}
    return {"missing-symbols"} if nameless and nameless == theirs else set()


def test_every_case_could_be_made() -> None:
    directory()
    assert not FAILED


@pytest.mark.parametrize("name", parameters())
def test_case(corpus: Path, name: str) -> None:
    case = CASES[name]
    report = analyzed(corpus, name)
    found = {finding.rule for finding in report.findings}
    verdict = report.verdict.rule if report.verdict else None
    if "rule" in case:
        assert verdict == case["rule"]
    if "title" in case:
        assert report.verdict is not None
        titles = [case["title"]] if isinstance(case["title"], str) else case["title"]
        assert any(title in report.verdict.title for title in titles), report.verdict.title
    assert not found - _for_the_machine(report, corpus / case["name"]) & set(case.get("near_miss_of", ()))
    assert set(case.get("also", ())) <= found
    if case["name"] in STATE:
        assert STATE[case["name"]] in found
