"""ELF: cores, executables and shared objects (System V gABI)."""

from __future__ import annotations
