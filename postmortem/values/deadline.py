"""The time that reading values may take."""

from __future__ import annotations

import time


class Expired(Exception):
    """The time is used up."""


class Deadline:
    """Seconds from now; asked for now and then."""

    def __init__(self, seconds: float) -> None:
        self._end = time.perf_counter() + seconds

    def check(self) -> None:
        """Raises Expired when the time is up."""
        if time.perf_counter() > self._end:
            raise Expired
