"""Every question that rules, triage and reports ask of a report, answered once."""

from __future__ import annotations
