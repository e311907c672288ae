"""A triage in words: index.html, a Markdown digest for chat, CSV."""

from __future__ import annotations
