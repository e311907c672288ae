"""The order of findings, which of them silence others, and the verdict.

Order: specificity, then confidence, then severity, then the running order of the rules. The verdict is
the first certain or likely finding. When all are merely possible the first of them is the verdict, and
says that it is not established. A remark about the process or the core (specificity below REMARK) is the
verdict only when nothing else was found. No finding, no verdict.

How the process ended is the subject: a process with a fatal signal, a failed check or refused memory always has a
finding that says so (FALLBACK), so a remark is never its verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Confidence, Finding, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIDENCE: dict[Confidence, int] = {"certain": 2, "likely": 1, "possible": 0}
SEVERITY: dict[Severity, int] = {"critical": 4, "high": 3, "medium": 2, "low": 1, "info": 0}

REMARK = 20
KNOWN = "jvm-outdated"
"""Whose merely possible findings are known defects in the place of the crash."""
FALLBACK = "fatal-signal"
"""How the process ended, without an explanation: silenced by every established finding that is no remark."""

_BAD_ADDRESS = ("unmapped-address", "protected-page", "null-dereference", "non-canonical-address")

SILENCES: dict[str, tuple[str, ...]] = {
    "sanitizer-report": ("deliberate-abort", "heap-corruption", "use-after-free"),
    "killed-by-signal": ("raised-signal", "deliberate-abort", "snapshot"),
    "assertion-failure": ("deliberate-abort", "raised-signal"),
    "uncaught-cxx-exception": ("deliberate-abort",),
    "out-of-memory": ("uncaught-cxx-exception", "deliberate-abort"),
    "pure-virtual-call": ("uncaught-cxx-exception", "deliberate-abort"),
    "heap-corruption": ("deliberate-abort", "use-after-free", *_BAD_ADDRESS),
    "stack-smashing": ("deliberate-abort",),
    "buffer-overflow-detected": ("deliberate-abort",),
    "terminate-without-exception": ("deliberate-abort",),
    "rust-panic": ("deliberate-abort", "illegal-instruction"),
    "integer-overflow": ("deliberate-abort",),
    "go-fatal": ("deliberate-abort", "raised-signal"),
    "stack-overflow": (*_BAD_ADDRESS, "write-to-read-only", "use-after-free"),
    "null-function-call": (*_BAD_ADDRESS, "execute-non-executable"),
    "execute-non-executable": (*_BAD_ADDRESS, "write-to-read-only"),
    "python-without-gil": (*_BAD_ADDRESS, "deliberate-abort"),
    "unloaded-code": (
        *_BAD_ADDRESS,
        "crash-in-signal-handler",
        "return-address-overwritten",
        "null-function-call",
        "execute-non-executable",
    ),
    "class-definition-mismatch": (*_BAD_ADDRESS, "null-function-call", "execute-non-executable"),
    "return-address-overwritten": (*_BAD_ADDRESS, "null-function-call", "execute-non-executable"),
    "null-dereference": ("unmapped-address",),
    "misaligned-access": ("non-canonical-address", "unmapped-address", "privileged-instruction"),
    "non-canonical-address": ("unmapped-address",),
    "write-to-read-only": ("protected-page",),
    "truncated-mapping": ("unmapped-address",),
    "mutex-deadlock": ("lock-convoy",),
    "jvm-crash-in-native-library": ("deliberate-abort", "raised-signal"),
    "jvm-jni-fatal-error": ("deliberate-abort",),
    "jvm-internal-error": ("deliberate-abort", "raised-signal"),
    "jvm-signal-chain": ("deliberate-abort", *_BAD_ADDRESS),
    "jvm-stack-overflow": ("stack-overflow", *_BAD_ADDRESS, "write-to-read-only", "use-after-free"),
    "jvm-truncated-mapped-file": (
        "truncated-mapping",
        "unmapped-address",
        "jvm-crash-in-native-library",
        "jvm-crash-in-compiled-code",
        "jvm-crash-in-interpreter",
    ),
    # The VM asks its threads to stop for the collections before the error, and is at one as it ends.
    "jvm-java-heap-exhausted": ("deliberate-abort", "raised-signal", "jvm-internal-error", "jvm-safepoint-stall"),
    "jvm-metaspace-exhausted": ("deliberate-abort", "raised-signal", "jvm-safepoint-stall"),
    "jvm-native-oom": ("deliberate-abort", "raised-signal", "out-of-memory"),
    "jvm-java-deadlock": ("mutex-deadlock", "lock-convoy"),
    "jvm-safepoint-stall": ("raised-signal",),
    "jvm-bad-jni-reference": _BAD_ADDRESS,
    "jvm-illegal-instruction": ("illegal-instruction", "privileged-instruction"),
    "jvm-arithmetic-fault": ("integer-division", "integer-overflow", "floating-point-exception"),
    "jvm-windows-exception": ("jvm-crash-in-native-library", "jvm-internal-error", "jvm-vm-code-crash", *_BAD_ADDRESS),
    "jvm-write-protected-code": (
        *_BAD_ADDRESS,
        "misaligned-access",
        "write-to-read-only",
        "jvm-crash-in-native-library",
        "jvm-vm-code-crash",
    ),
    "jvm-bad-native-return": (
        *_BAD_ADDRESS,
        "use-after-free",
        "jvm-crash-in-compiled-code",
        "jvm-crash-in-interpreter",
    ),
    "jvm-unsafe-access": (*_BAD_ADDRESS, "write-to-read-only"),
    "jvm-crash-in-compiled-code": (*_BAD_ADDRESS, "write-to-read-only"),
    "jvm-crash-in-interpreter": (*_BAD_ADDRESS, "write-to-read-only"),
    "jvm-crash-in-compiler": (*_BAD_ADDRESS, "write-to-read-only", "deliberate-abort"),
    "jvm-crash-in-gc": (*_BAD_ADDRESS, "write-to-read-only", "deliberate-abort"),
}
"""A finding of the rule on the left makes those on the right redundant for the same report. A finding
that is only possible silences nothing."""


def specificity(finding: Finding) -> int:
    """0 when a finding carries none: a remark."""
    return finding.specificity or 0


def _key(finding: Finding) -> tuple[int, int, int]:
    return (specificity(finding), CONFIDENCE[finding.confidence], SEVERITY[finding.severity])


def order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The verdict's finding first: the established by rank, then the merely possible, then the remarks.

    Equal ones stay in the order they came.
    """
    return tuple(sorted(sorted(findings, key=_key, reverse=True), key=_shelf))


def _shelf(finding: Finding) -> int:
    if specificity(finding) < REMARK:
        return 2
    return 1 if finding.confidence == "possible" else 0


def silence(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings without those that a certain or likely one makes redundant."""
    findings = tuple(findings)
    if any(f.rule != FALLBACK and f.confidence != "possible" and specificity(f) >= REMARK for f in findings):
        findings = tuple(f for f in findings if f.rule != FALLBACK)
    redundant = {name for f in findings if f.confidence != "possible" for name in SILENCES.get(f.rule, ())}
    return tuple(f for f in findings if f.rule not in redundant)


def verdict(findings: Iterable[Finding]) -> Verdict | None:
    """The verdict over findings of any order; None when there are none."""
    ranked = order(findings)
    first = next(iter(ranked), None)
    if first is None:
        return None
    summary, steps = first.explanation, first.remedies
    known = next((f for f in ranked if f.rule == KNOWN and f.confidence == "possible"), None)
    if known is not None and first.claim == "observation":
        # Where the cause is open, a known defect that shows in this very place is the first thing to try.
        summary, steps = f"{summary} {known.title}.", (*known.remedies[:1], *steps)
    if first.confidence == "possible":
        summary = f"No cause is established; this is the best lead. {summary}"
    return Verdict(
        rule=first.rule,
        title=first.title,
        summary=summary,
        severity=first.severity,
        confidence=first.confidence,
        claim=first.claim,
        next_steps=steps,
    )
