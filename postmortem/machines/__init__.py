"""What differs from processor to processor: one folder each, behind the protocol in machine.py."""

from __future__ import annotations
