"""What a core comes wrapped in: compressed files."""

from __future__ import annotations
