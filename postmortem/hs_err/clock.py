"""When a log was written (os::print_date_and_time of runtime/os.cpp)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parsers.hs_err import HsErrLog

_DATE = re.compile(r"[A-Z][a-z]{2}\s+([A-Z][a-z]{2})\s+(\d{1,2})\s+(\d{2}):(\d{2}):(\d{2})\s+(\d{4})(?:\s+(.{0,80}))?$")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UTC = ("UTC", "GMT", "Z", "Coordinated Universal Time", "Greenwich Mean Time", "Etc/UTC")


def written(told: HsErrLog) -> str | None:
    """ISO 8601, to the second. Names of time zones are ambiguous: only those of UTC give an offset."""
    found = moment(told)
    return None if found is None else found.isoformat()


def moment(told: HsErrLog) -> datetime | None:
    """The same as a time, without a zone where it is not known."""
    match = _DATE.match((told.summary.time or "").strip())
    if match is None or match[1] not in _MONTHS:
        return None
    zone = (match[7] or told.summary.timezone or "").strip()
    try:
        return datetime(
            int(match[6]),
            _MONTHS.index(match[1]) + 1,
            int(match[2]),
            int(match[3]),
            int(match[4]),
            min(int(match[5]), 59),
            tzinfo=UTC if zone in _UTC else None,
        )
    except ValueError:
        return None
