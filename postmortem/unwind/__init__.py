"""From registers and memory to frames: find the rule for a pc, then execute it."""

from __future__ import annotations
