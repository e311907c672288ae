"""Tests of postmortem.targets."""

from __future__ import annotations
