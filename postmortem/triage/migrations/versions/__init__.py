"""One file a step."""

from __future__ import annotations
