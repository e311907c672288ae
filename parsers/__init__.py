"""Bytes in, typed facts out. Imports nothing else of this project, opens nothing but what it is given."""

from __future__ import annotations
