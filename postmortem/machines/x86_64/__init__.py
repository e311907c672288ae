"""x86-64: register numbers, signal frames, frame-pointer and scan rules."""

from __future__ import annotations
