"""The VM itself: flags, arguments, events, operations, errors."""

from __future__ import annotations
