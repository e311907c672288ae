"""Stacks that are not on a thread's stack."""

from __future__ import annotations
