"""What the reports say, independent of their format."""

from __future__ import annotations
