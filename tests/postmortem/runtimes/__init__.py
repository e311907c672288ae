"""Tests of postmortem.runtimes."""

from __future__ import annotations
