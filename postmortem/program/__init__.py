"""The dead process: its memory, its modules, who it was."""

from __future__ import annotations
