"""Tests of postmortem.machines."""

from __future__ import annotations
