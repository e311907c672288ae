"""The Java heap, metaspace, direct memory, and what the JVM uses its memory for."""

from __future__ import annotations
