"""Perf map files: names for code that a runtime generated, as `perf` takes them from /tmp/perf-PID.map.

One line per function: START SIZE NAME, the numbers in hexadecimal without prefix (tools/perf/Documentation/
jit-interface.txt of the kernel). A later line for the same address replaces an earlier one, since code is thrown away
and its place used again.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from parsers.limits import LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_LINE = LIMITS.perfmap_longest_line


class PerfMap:
    """Functions by address."""

    def __init__(self, functions: dict[int, tuple[int, str]], skipped: int) -> None:
        """functions: start → (size, name). skipped: lines that were none."""
        self._starts = sorted(functions)
        self._functions = functions
        self.skipped = skipped

    def __len__(self) -> int:
        return len(self._starts)

    def at(self, address: int) -> tuple[str, int] | None:
        """(name, offset into it) of the function that covers an address."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        start = self._starts[index]
        size, name = self._functions[start]
        return (name, address - start) if address - start < size else None


def parse(pieces: Iterable[bytes], limits: Limits = LIMITS) -> PerfMap:
    """The functions of a perf map that comes in pieces; lines that make no sense are counted, never an error."""
    functions: dict[int, tuple[int, str]] = {}
    skipped = 0
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        skipped += _take(lines, functions, limits)
        # Of a line without an end its beginning is enough.
        rest = rest[:_LONGEST_LINE]
    return PerfMap(functions, skipped + _take([rest], functions, limits))


def _take(lines: Iterable[bytes], functions: dict[int, tuple[int, str]], limits: Limits) -> int:
    """Add what lines say; how many of them said nothing."""
    skipped = 0
    for line in lines:
        if not line.strip():
            continue
        parts = line[:_LONGEST_LINE].split(None, 2)
        try:
            start, size = int(parts[0], 16), int(parts[1], 16)
            name = parts[2].rstrip().decode("utf-8", "replace")
        except (ValueError, IndexError):
            skipped += 1
            continue
        if not 0 <= start < 1 << 64 or size <= 0 or (len(functions) >= limits.map_functions and start not in functions):
            skipped += 1
            continue
        functions[start] = size, name
    return skipped
