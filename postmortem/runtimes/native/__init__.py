"""The C and C++ runtimes in a core: messages, exceptions, locks, arenas, mappings."""

from __future__ import annotations
