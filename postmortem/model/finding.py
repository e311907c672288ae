"""Findings and the verdict."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["critical", "high", "medium", "low", "info"]
Confidence = Literal["certain", "likely", "possible"]
Claim = Literal["observation", "cause"]
"""observation: what happened, and where ("SIGSEGV in a worker of the collector"). cause: why ("the file was cut
short"). An observation leaves the cause open, however certain it is."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """where: a path into the report ("crash.signal.code", "threads[0].frames[2].pc"); value as shown there."""

    where: str
    value: str
    text: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule concluded, with its evidence and what to do.

    `specificity`, 0..100, orders findings for the verdict: a cause outranks a symptom (see
    rules.ranking). The engine fills it with its rule's where the rule left it out. `confidence` is that of
    what is claimed. `rivals`: other explanations that the evidence does not exclude, one phrase each.
    """

    rule: str
    title: str
    severity: Severity
    confidence: Confidence
    claim: Claim = "observation"
    explanation: str
    rivals: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    specificity: int | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: the most specific certain or likely finding.

    `confidence` is that of its claim: of the cause where it states one, else of what was observed.
    """

    rule: str
    title: str
    summary: str
    severity: Severity
    confidence: Confidence
    claim: Claim = "observation"
    next_steps: tuple[str, ...] = ()
