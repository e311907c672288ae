"""The engine, the ranking and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.model import Address, Finding, Problem, Report, from_json, to_json
from postmortem.model.process import Process
from postmortem.model.queries.paths import resolve
from postmortem.model.report import CxxException, NativeFacts
from postmortem.rules import ALL, ranking
from postmortem.rules.engine import run
from postmortem.rules.fault import null_dereference
from postmortem.rules.rule import Rule
from tests.postmortem.rules.cases import CASES, NULL_READ, each
from tests.postmortem.rules.reports import (
    HEAP,
    aborted,
    crashed,
    frame,
    operand,
    report,
    signal,
    thread,
    verdict,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Confidence, Severity


def finding(
    rule: str, confidence: Confidence = "certain", specificity: int = 50, severity: Severity = "high"
) -> Finding:
    return Finding(
        rule=rule,
        title=rule,
        severity=severity,
        confidence=confidence,
        explanation="Why.",
        specificity=specificity,
    )


def broken(_: Report) -> Iterator[Finding]:
    raise ZeroDivisionError("secret detail")
    yield finding("broken")


BROKEN = Rule(id="broken", group="fault", specificity=1, check=broken, documentation="")


def test_raising_rule_costs_only_its_own_findings() -> None:
    result = run(NULL_READ, (BROKEN, *ALL))
    assert result.verdict is not None and result.verdict.rule == "null-dereference"
    problem = next(p for p in result.problems if p.stage == "rules")
    assert (problem.where, problem.what) == ("broken", "ZeroDivisionError")
    assert "secret" not in repr(result)


def test_strict_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        run(NULL_READ, (BROKEN,), strict=True)


def test_running_again_replaces_what_was_found() -> None:
    first = run(report(problems=(Problem(stage="unwind", where="x", what="y"),)), (BROKEN,))
    again = run(run(first, (BROKEN,)))
    assert [p.stage for p in again.problems] == ["unwind"]
    assert run(run(NULL_READ)) == run(NULL_READ)


def test_stored_report_gives_the_same_findings() -> None:
    for rule, _, item in each("fires"):
        if rule != "mapping-exhaustion":
            assert run(from_json(to_json(item)), strict=True).findings == run(item, strict=True).findings


def test_no_finding_no_verdict() -> None:
    assert run(report(), strict=True).verdict is None


def test_order_is_specificity_confidence_severity() -> None:
    low, high = finding("a", specificity=40), finding("b", specificity=70)
    likely, severe = finding("c", "likely", 70), finding("d", "certain", 70, "critical")
    assert [f.rule for f in ranking.order((low, high, likely, severe))] == ["d", "b", "c", "a"]


def test_possible_never_precedes_established() -> None:
    assert [f.rule for f in ranking.order((finding("a", "possible", 90), finding("b", "likely", 40)))] == [
        "b",
        "a",
    ]


def test_remark_is_the_verdict_only_when_alone() -> None:
    remark, lead = finding("remark", specificity=2), finding("lead", "possible", 40)
    assert [f.rule for f in ranking.order((remark, lead))] == ["lead", "remark"]
    found = ranking.verdict((remark,))
    assert found is not None and found.rule == "remark"


def test_possible_verdict_says_so() -> None:
    found = ranking.verdict((finding("lead", "possible"),))
    assert found is not None and found.confidence == "possible"
    assert found.summary.startswith("No cause is established")


def test_specific_silences_generic_unless_only_possible() -> None:
    generic = finding("unmapped-address")
    assert ranking.silence((finding("null-dereference"), generic)) == (finding("null-dereference"),)
    assert generic in ranking.silence((finding("null-dereference", "possible"), generic))


def test_silences_name_rules_and_have_no_cycle() -> None:
    ids = {rule.id for rule in ALL}
    assert set(ranking.SILENCES) <= ids
    for name, silenced in ranking.SILENCES.items():
        assert set(silenced) <= ids
        assert all(name not in ranking.SILENCES.get(other, ()) for other in silenced)


def test_deadlock_explains_the_signal_that_ended_it() -> None:
    locked = (waiting(1, 0x1000, 2), waiting(2, 0x2000, 1))
    assert verdict(crashed(6, 0, sender=7, threads=locked)) == "mutex-deadlock"
    assert verdict(crashed(address=0, threads=(*NULL_READ.threads, *locked))) == "null-dereference"


def test_mapping_exhaustion_explains_an_abort() -> None:
    from postmortem.model import Memory

    assert verdict(aborted("main", memory=Memory(mappings=65531))) == "mapping-exhaustion"


@pytest.mark.parametrize("rule", [rule for rule in CASES if rule != "missing-symbols"])
def test_the_first_report_that_fires_a_rule_has_it_as_verdict(rule: str) -> None:
    assert verdict(CASES[rule].fires[0]) == rule


def test_fault_in_java_code_is_possible_only() -> None:
    java = crashed(address=8, threads=(thread(frame("a.B.c", kind="java-compiled")),))
    found = run(java, (null_dereference.RULE,), strict=True).verdict
    assert found is not None and found.confidence == "possible"


NUMBERS = st.sampled_from(
    [0, 1, 8, 4095, 65536, HEAP, HEAP >> 12, 0x7FFFFFFDDFF8, 1 << 47, 0xDEADBEEFDEADBEEF, 2**64 - 1]
)
NAMES = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(
        [
            "abort",
            "std::terminate",
            "free",
            "_int_free",
            "__assert_fail",
            "runtime.throw",
            "operator<",
            "a<b(c",
        ]
    ),
)
TEXTS = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.sampled_from(["free(): invalid pointer", "\n", "Assertion `x' failed", "panicked at"]),
)
FRAMES = st.builds(
    frame,
    NAMES,
    pc=st.builds(Address, NUMBERS),
    kind=st.sampled_from(["native", "signal", "java-compiled", "unknown"]),
    module=st.sampled_from([None, "", "/opt/shop", "/lib/libc.so.6"]),
    trust=st.sampled_from(["cfi", "scan"]),
)
THREADS = st.one_of(
    st.builds(waiting, st.integers(0, 4), NUMBERS, st.integers(0, 4)),
    st.lists(FRAMES, max_size=4).map(lambda frames: thread(*frames, registers={"rsp": Address(0x7FFFFFFDE000)})),
)
SIGNALS = st.one_of(
    st.none(),
    st.builds(
        signal,
        st.integers(0, 31),
        st.sampled_from([None, 0, 1, 2, 3, 128, -1, -6]),
        sender_pid=st.sampled_from([None, 0, 7, 100]),
    ),
)
OPERANDS = st.builds(
    operand,
    NUMBERS,
    base_value=NUMBERS,
    base=st.sampled_from([None, "rax", "rsp"]),
    canonical=st.booleans(),
    alignment=st.sampled_from([None, 0, 16]),
    size=st.sampled_from([0, 8]),
)
NATIVE = st.builds(
    NativeFacts,
    abort_message=TEXTS,
    assertion=TEXTS,
    runtime=st.sampled_from([None, "rust", "go", "asan"]),
    runtime_message=TEXTS,
    exceptions=st.lists(
        st.builds(
            CxxException,
            type=st.sampled_from(["int", "std::bad_alloc"]),
            what=TEXTS,
            address=st.just(Address(1)),
            tid=st.sampled_from([None, 100]),
        ),
        max_size=2,
    ).map(tuple),
)


@settings(max_examples=400, deadline=None)
@given(
    signal=SIGNALS,
    address=st.one_of(st.none(), NUMBERS),
    pc=st.one_of(st.none(), NUMBERS),
    operands=st.lists(OPERANDS, max_size=2),
    threads=st.lists(THREADS, max_size=4),
    native=NATIVE,
    known=st.booleans(),
    unwrapped=st.booleans(),
)
def test_never_raises_and_evidence_always_resolves(
    signal: object,
    address: int | None,
    pc: int | None,
    operands: list[object],
    threads: list[object],
    native: NativeFacts,
    known: bool,
    unwrapped: bool,
) -> None:
    item = crashed(
        signal=signal,
        address=address,
        pc=None if pc is None else Address(pc),
        operands=tuple(operands),
        threads=tuple(threads),
        native=native,
        process=Process(pid=100 if known else None),
        unwrapped=unwrapped,
        handler_signal=signal if unwrapped else None,
    )
    result = run(item, strict=True)
    assert (result.verdict is None) == (not result.findings)
    for found in result.findings:
        for evidence in found.evidence:
            resolve(item, evidence.where)


@pytest.mark.parametrize(
    "where", ["", "crash.", "crash..pc", "nothing", "threads[0", "threads[9]", "crash.pc[0]", "a b"]
)
def test_bad_path(where: str) -> None:
    with pytest.raises((LookupError, TypeError)):
        resolve(NULL_READ, where)
