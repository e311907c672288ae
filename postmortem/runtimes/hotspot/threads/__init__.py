"""Java threads, virtual threads, and what they wait for."""

from __future__ import annotations
