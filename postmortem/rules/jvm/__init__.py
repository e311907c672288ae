"""Rules about the JVM."""

from __future__ import annotations
