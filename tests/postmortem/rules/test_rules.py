"""Each rule fires on its fault, stays silent on near misses, and survives absent facts."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from postmortem import rules
from postmortem.model.queries.paths import resolve, show
from postmortem.rules.engine import run
from tests.postmortem.rules.cases import CASES
from tests.postmortem.rules.jvm_cases import JVM_CASES
from tests.postmortem.rules.jvm_state_cases import JVM_STATE_CASES
from tests.postmortem.rules.lifetime_cases import LIFETIME_CASES
from tests.postmortem.rules.reports import findings

if TYPE_CHECKING:
    from postmortem.model import Report
    from postmortem.rules.rule import Rule
    from tests.postmortem.rules.cases import Cases

NATIVE_CASES = {**CASES, **LIFETIME_CASES}
ALL_CASES = {**NATIVE_CASES, **JVM_CASES, **JVM_STATE_CASES}
HEADINGS = ("What it finds:", "Why it matters:", "Evidence it needs:", "False alarms:", "What to do:")
CONTRACT = [
    "null-dereference",
    "null-function-call",
    "non-canonical-address",
    "unmapped-address",
    "write-to-read-only",
    "execute-non-executable",
    "use-after-free",
    "stack-overflow",
    "stack-smashing",
    "heap-corruption",
    "assertion-failure",
    "uncaught-cxx-exception",
    "pure-virtual-call",
    "out-of-memory",
    "rust-panic",
    "go-fatal",
    "integer-division",
    "integer-overflow",
    "illegal-instruction",
    "truncated-mapping",
    "misaligned-access",
    "seccomp-violation",
    "killed-by-signal",
    "resource-limit-signal",
    "sanitizer-report",
    "crash-in-signal-handler",
    "mutex-deadlock",
    "lock-convoy",
    "thread-exhaustion",
    "mapping-exhaustion",
    "malloc-arena-growth",
    "replaced-binary",
    "mixed-libraries",
    "truncated-core",
    "incomplete-core",
    "missing-symbols",
]


def parameters(kind: str) -> list[object]:
    return _parameters(NATIVE_CASES, kind)


def jvm_parameters(kind: str) -> list[object]:
    return _parameters({**JVM_CASES, **JVM_STATE_CASES}, kind)


def _parameters(table: dict[str, Cases], kind: str) -> list[object]:
    return [
        pytest.param(rule, item, id=f"{rule}-{number}")
        for rule, cases in table.items()
        for number, item in enumerate(getattr(cases, kind))
    ]


@pytest.mark.parametrize(("rule", "item"), parameters("fires"))
def test_fires(rule: str, item: Report) -> None:
    assert findings(item, rule)


@pytest.mark.parametrize(("rule", "item"), parameters("misses"))
def test_near_miss_is_silent(rule: str, item: Report) -> None:
    assert not findings(item, rule)


@pytest.mark.parametrize(("rule", "item"), parameters("lacks"))
def test_absent_fact_is_silent(rule: str, item: Report) -> None:
    assert not findings(item, rule)


@pytest.mark.parametrize(("rule", "item"), parameters("fires"))
def test_evidence_resolves_and_words_are_complete(rule: str, item: Report) -> None:
    for finding in run(item, strict=True).findings:
        assert finding.evidence, finding.rule
        for evidence in finding.evidence:
            assert evidence.value == show(resolve(item, evidence.where))
        assert not finding.title.endswith(".")
        assert finding.explanation.endswith((".", "!"))
        assert "  " not in finding.explanation
        assert finding.remedies


def test_every_native_rule_has_cases() -> None:
    assert {rule.id for rule in rules.ALL if rule.group != "jvm"} == set(NATIVE_CASES)


def test_contract() -> None:
    assert set(CONTRACT) <= {rule.id for rule in rules.ALL}


def test_table_matches_folder() -> None:
    folder = Path(rules.__file__).parent
    files = {
        (path.parent.name, path.stem)
        for path in folder.glob("*/*.py")
        if "\nRULE = Rule(" in path.read_text(encoding="utf-8")
    }
    assert {(rule.group, rule.id.replace("-", "_")) for rule in rules.ALL} == files
    assert len({rule.id for rule in rules.ALL}) == len(rules.ALL)


@pytest.mark.parametrize("rule", rules.ALL, ids=lambda rule: rule.id)
def test_documentation_has_its_headings(rule: Rule) -> None:
    lines = rule.documentation.splitlines()
    assert lines[0].endswith(".") and len(lines[0]) < 80
    assert [h for line in lines for h in HEADINGS if line.startswith(h)] == list(HEADINGS)
    assert 0 <= rule.specificity <= 100


def _source(rule: Rule) -> str:
    return Path(inspect.getfile(rule.check)).read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", rules.ALL, ids=lambda rule: rule.id)
def test_every_finding_states_its_claim(rule: Rule) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(_source(rule)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
    ]
    assert calls
    for call in calls:
        assert "claim" in {keyword.arg for keyword in call.keywords}, f"line {call.lineno}"


@pytest.mark.parametrize("rule", rules.ALL, ids=lambda rule: rule.id)
def test_certainty_is_earned(rule: Rule) -> None:
    """A rule that can say certain names the rivals that its evidence excludes, and has a near miss for each."""
    if '"certain"' not in _source(rule):
        return
    text = " ".join(rule.documentation.split())
    assert "Rivals excluded:" in text
    rivals = text.partition("Rivals excluded:")[2].partition("What to do:")[0].split(";")
    assert len(ALL_CASES[rule.id].misses) >= len(rivals), "each rival has a near miss"


@pytest.mark.parametrize(("rule", "item"), [*parameters("fires"), *jvm_parameters("fires")])
def test_a_likely_cause_names_its_rivals(rule: str, item: Report) -> None:
    for finding in findings(item, rule):
        assert finding.rivals or (finding.claim, finding.confidence) != ("cause", "likely"), finding.title


@pytest.mark.parametrize(("number", "call"), [(0, "abort()"), (1, "raise(SIGABRT)")])
def test_a_deliberate_end_is_named_by_its_call(number: int, call: str) -> None:
    (finding,) = findings(CASES["deliberate-abort"].fires[number], "deliberate-abort")
    assert finding.title == f"{call} called in give_up()"
