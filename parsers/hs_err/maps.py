"""Libraries or memory map (os::print_dll_info: /proc/self/maps on Linux, loaded images on macOS, modules on
Windows), and JVMTI agents."""

from __future__ import annotations

import re

from parsers.hs_err.model import Libraries, Mapping
from parsers.hs_err.reader import HEX, Draft, Section, address

_LINUX = re.compile(
    r"([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][ps-]) ([0-9a-f]{1,16}) "
    r"([0-9a-f]{1,8}:[0-9a-f]{1,8}) (\d{1,20})(?: +(.*))?$"
)
_WINDOWS = re.compile(rf"({HEX}) - ({HEX})\s+(.*)")
_IMAGE = re.compile(rf"({HEX})\s+(\S.*)")


def mapping(text: str) -> Mapping | None:
    """One row, of whichever system."""
    m = _LINUX.match(text)
    if m:
        return Mapping(
            start=int(m[1], 16),
            end=int(m[2], 16),
            permissions=m[3],
            offset=int(m[4], 16),
            device=m[5],
            inode=int(m[6]),
            path=(m[7] or "").strip() or None,
        )
    m = _WINDOWS.match(text)
    if m:
        return Mapping(start=address(m[1]), end=address(m[2]), path=m[3].strip() or None)
    m = _IMAGE.match(text)
    if m and ("/" in m[2] or "\\" in m[2]):
        return Mapping(start=address(m[1]), path=m[2].strip())
    return None


class LibrariesSection(Section):
    """Dynamic libraries, JVMTI agents, native decoder."""

    headings = (
        ("libraries", r"Dynamic libraries:"),
        ("agents", r"JVMTI agents:"),
        ("total", r"Total number of mappings:"),
        ("decoder", r"dbghelp: |symbol engine: |Native decoder|Decoder state"),
        ("libraries", r"Virtual memory mappings"),
    )

    def __init__(self) -> None:
        self.facts = Draft(Libraries)

    def open(self, name: str, text: str) -> bool:
        """`JVMTI agents: none` and the total are facts."""
        if name == "total":
            number = text.rpartition(":")[2].strip()
            return number.isdecimal() and len(number) < 10 and self.facts.put(total=int(number))
        if name == "agents" and text[13:].strip() not in ("", "none"):
            return self.facts.add("agents", text[13:].strip())
        return name != "decoder" or self.facts.add("notes", text)

    def feed(self, name: str, text: str) -> bool:
        """A row."""
        if name == "agents":
            return self.facts.add("agents", text.strip())
        found = mapping(text)
        if found:
            return self.facts.add("mappings", found)
        said = text.startswith(("Can not get library", "Can't", "Error", "Cannot", "[error"))
        return said and self.facts.add("notes", text)

    def any(self, text: str) -> bool:
        """Rows tell themselves."""
        found = mapping(text) if text[:1] in "0123456789abcdef" and not text.startswith("Event") else None
        return found is not None and self.facts.add("mappings", found)

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut
