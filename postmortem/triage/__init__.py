"""Batch triage: from whatever was collected to the defects behind it."""

from __future__ import annotations
