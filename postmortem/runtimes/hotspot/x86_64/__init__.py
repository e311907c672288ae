"""Frame layouts and code patterns of HotSpot on x86-64."""

from __future__ import annotations
