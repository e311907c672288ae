"""Arguments and locals of native frames by DWARF."""

from __future__ import annotations
