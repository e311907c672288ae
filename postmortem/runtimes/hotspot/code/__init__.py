"""Generated code: the code cache, nmethods, methods, stubs, and what a pc in them means."""

from __future__ import annotations
