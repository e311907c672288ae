"""The panels of the page, one file each with its template and stylesheet; their order is in `panel.py`."""

from __future__ import annotations
