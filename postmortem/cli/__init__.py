"""The command line: one file a command, what they share in output.py."""

from __future__ import annotations
