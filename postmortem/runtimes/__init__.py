"""What runs code in a process: one folder each, behind the protocol in runtime.py."""

from __future__ import annotations
