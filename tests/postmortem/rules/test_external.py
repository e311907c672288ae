"""Rules of other distributions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from postmortem.cli.group import cli
from postmortem.rules import ALL, external
from postmortem.rules.engine import every_rule, run
from tests.postmortem.rules.cases import NULL_READ

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = '''
"""House rule."""
import postmortem


def check(report):
    yield postmortem.Finding(
        rule="our-allocator",
        title="Our allocator was asked for a null arena",
        severity="high",
        confidence="certain",
        explanation="It says so.",
        evidence=postmortem.proof(report, ("crash.signal.name", "the signal")),
        remedies=("Ask us.",),
    )


RULE = postmortem.Rule(id="our-allocator", group="fault", specificity=99, check=check, documentation=__doc__)
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A function that installs a distribution: the text of its module, and what its entry point names."""

    def installed(module: str, value: str = "house_rules:RULE") -> None:
        (tmp_path / "house_rules.py").write_text(module)
        info = tmp_path / "house_rules-1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: house-rules\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[postmortem.rules]\nhouse = {value}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        external.load.cache_clear()

    yield installed
    external.load.cache_clear()
    sys.modules.pop("house_rules", None)


def test_none_is_the_usual_case() -> None:
    assert every_rule() == (ALL, ())


def test_its_finding_may_be_the_verdict(install: object) -> None:
    install(GOOD)  # type: ignore[operator]
    report = run(NULL_READ, strict=True)
    assert report.verdict is not None and report.verdict.rule == "our-allocator"
    assert report.findings[0].evidence[0].value == "SIGSEGV"
    listed = CliRunner().invoke(cli, ["rules"])
    assert [line.split()[2] for line in listed.output.splitlines() if line.startswith("our-allocator")] == ["external"]


@pytest.mark.parametrize(
    ("module", "value", "said"),
    [
        ("raise OSError('secret')", "house_rules:RULE", "can't be loaded: OSError"),
        ("RULE = 7", "house_rules:RULE", "is no postmortem.Rule"),
        (GOOD, "house_rules:OTHER", "can't be loaded: AttributeError"),
        (GOOD.replace("our-allocator", "null-dereference"), "house_rules:RULE", "'null-dereference' is taken"),
    ],
)
def test_one_that_is_no_rule_costs_itself_only(install: object, module: str, value: str, said: str) -> None:
    before = run(NULL_READ, ALL).findings
    install(module, value)  # type: ignore[operator]
    report = run(NULL_READ, strict=True)
    assert report.findings == before
    (problem,) = [problem for problem in report.problems if problem.stage == "rules"]
    assert said in problem.what and "secret" not in problem.what
