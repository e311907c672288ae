"""The HotSpot JVM in a core: described by its own tables, from JDK 8 on."""

from __future__ import annotations

LIBRARY = "libjvm.so"
