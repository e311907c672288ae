"""DWARF: call frame information."""

from __future__ import annotations
