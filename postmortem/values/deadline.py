"""The time that reading values may take."""

from __future__ import annotations

import time

_WAITING = 8
"""So many times the seconds of CPU may pass: a busy machine leaves out no value, a disk that hangs ends it."""


class Expired(Exception):
    """The time is used up."""


class Deadline:
    """Seconds of CPU from now; asked for now and then."""

    def __init__(self, seconds: float) -> None:
        self._end = time.process_time() + seconds
        self._latest = time.perf_counter() + _WAITING * seconds

    def check(self) -> None:
        """Raises Expired when the time is up."""
        if time.process_time() > self._end or time.perf_counter() > self._latest:
            raise Expired
