"""Rules about the state of the process."""

from __future__ import annotations
