"""How the JVM describes its own structures, and how fields of them are read."""

from __future__ import annotations
