"""What we read in JVM cores against what the JVM itself said, just before or while it died."""

from __future__ import annotations
