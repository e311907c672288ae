"""Where files with symbols are looked for: one file a kind of place."""

from __future__ import annotations
