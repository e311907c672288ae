"""The forms in which a core or log is given, one file each; `targets/container.py` has their order."""

from __future__ import annotations
