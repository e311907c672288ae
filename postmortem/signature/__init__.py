"""Grouping of equal crashes."""

from __future__ import annotations
