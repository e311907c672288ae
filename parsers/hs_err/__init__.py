"""HotSpot's fatal error log (hs_err_pid*.log) of JDK 8 to 27: bytes in, typed facts out.

    parse(data) -> HsErrLog       all that the log says; what it could not use is in `unknown`
    looks_like(data) -> bool      from the first 4 KiB

The writer is VMError::report (src/hotspot/share/utilities/vmError.cpp): steps, one heading or a line each.
So the reader goes line by line: a heading opens a section, the section's reader has the lines below until
the next one.
"""

from __future__ import annotations

from parsers.hs_err.model import HsErrLog
from parsers.hs_err.splitter import looks_like, parse

__all__ = ["HsErrLog", "looks_like", "parse"]
