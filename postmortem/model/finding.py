"""Findings and the verdict."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["critical", "high", "medium", "low", "info"]
Confidence = Literal["certain", "likely", "possible"]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """where: a path into the report ("crash.signal.code", "threads[0].frames[2].pc"); value as shown there."""

    where: str
    value: str
    text: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule concluded, with its evidence and what to do.

    `specificity`, 0..100, orders findings for the verdict: a cause outranks a symptom (see
    rules.ranking). The engine fills it with its rule's where the rule left it out.
    """

    rule: str
    title: str
    severity: Severity
    confidence: Confidence
    explanation: str
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    specificity: int | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: the most specific certain or likely finding."""

    rule: str
    title: str
    summary: str
    severity: Severity
    confidence: Confidence
    next_steps: tuple[str, ...] = ()
