"""Rules about the fault itself."""

from __future__ import annotations
