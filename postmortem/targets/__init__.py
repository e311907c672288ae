"""What is analyzed: a core or log in its container, and the files of the dead process."""

from __future__ import annotations
