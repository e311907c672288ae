"""Names, files and lines for addresses of ELF files, with a cache on disk by build-id."""

from __future__ import annotations
