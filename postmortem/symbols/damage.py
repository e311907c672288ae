"""What pyelftools raises for debug information that is damaged."""

from __future__ import annotations

import struct
import zlib

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct.core import ConstructError

from parsers.errors import ParseError

DAMAGE = (
    ELFError, DWARFError, ConstructError, ParseError, AssertionError, AttributeError, IndexError, KeyError,
    NotImplementedError, OverflowError, RecursionError, TypeError, ValueError, struct.error, UnicodeError,
    zlib.error, OSError,
)  # fmt: skip
"""Its own errors, and those that come out of it besides."""
