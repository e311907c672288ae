"""What the modules' own files say: how they were built, what they need of others."""

from __future__ import annotations
