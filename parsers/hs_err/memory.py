"""Memory dumps, and what a word points at (os::print_hex_dump, os::print_location of runtime/os.cpp)."""

from __future__ import annotations

import re

from parsers.hs_err.model import CrashedThread, Location, Words
from parsers.hs_err.reader import HEX, Draft, address

_ROW = re.compile(rf"(?:=>|  )?({HEX}):[ \t]+([0-9a-fA-F?]{{1,16}}(?: [0-9a-fA-F?]{{1,16}}){{0,63}}) ?(?:  .*)?$")
_SLOT = re.compile(r"stack at sp \+ (\d{1,4}) slots: (.*)")
_REGISTER = re.compile(r"([A-Za-z]\w{0,7}) {0,3}=(.*)")
_SYMBOL = re.compile(rf"({HEX}): (.*)")
_NAME = re.compile(rf"(?:<offset ({HEX})>|(.{{1,2048}}?)(?:\+({HEX}))?)$")
_VALUE = re.compile(rf"({HEX}|\d{{1,20}})\b")
_THREAD = re.compile(rf"stack for thread: ?({HEX})")
_KINDS = (
    ("is null", "null"),
    ("is NULL", "null"),
    ("unknown value", "unknown"),
    ("stack for thread", "stack"),
    ("is a thread", "thread"),
    ("is an oop", "object"),
    ("points into unknown readable", "memory"),
    ("into object", "object"),
    ("pointing into metadata", "metadata"),
    ("compressed pointer to class", "metadata"),
    ("{method}", "method"),
    ("codelet", "code"),
    ("in a stub", "code"),
    ("entry_point", "code"),
    ("nmethod", "code"),
    ("code_begin", "code"),
    ("CodeBlob", "code"),
    ("a stub", "code"),
    ("is a JNI", "object"),
    ("handle", "object"),
    ("is a valid", "object"),
    ("not a valid", "unknown"),
    ("Metadata", "metadata"),
    ("allocated in", "memory"),
    ("live malloced", "memory"),
    ("malloced block", "memory"),
    ("read error", "other"),
    ("ClassLoaderData", "metadata"),
    ("in the Java heap", "object"),
    ("is a GrowableArray", "memory"),
    ("VirtualThread", "thread"),
    ("pointing into the GC", "memory"),
    ("is a zaddress", "object"),
    ("zaddress", "object"),
)


def words(text: str) -> Words | None:
    """`0x…:   00 00 83 …` or `0x…:   00007f… 0000…   ascii`; unit by the number of digits."""
    m = _ROW.match(text)
    if not m:
        return None
    digits = m[2].split()
    unit = max(1, max(len(d) for d in digits) // 2)
    return Words(address=address(m[1]), unit=unit, values=tuple(None if "?" in d else int(d, 16) for d in digits))


def location(where: str, text: str) -> Location:
    """What is said of one register or slot."""
    text = text.strip()
    value = _VALUE.match(text)
    number = int(value[1], 0) if value and value[1].startswith("0x") else (int(value[1]) if value else None)
    symbol = _symbol(where, text, number)
    if symbol:
        return symbol
    kind = next((kind for phrase, kind in _KINDS if phrase in text), "other")
    thread = _THREAD.search(text)
    return Location(
        where=where,
        kind=kind,
        text=text,
        value=number,
        thread=address(thread[1]) if thread else (number if kind == "thread" else None),
    )


def _symbol(where: str, text: str, value: int | None) -> Location | None:
    """`0x…: pthread_kill+0x11 in /lib64/libc.so.6 at 0x…`, `0x…: <offset 0x…> in …`."""
    m = _SYMBOL.match(text)
    head, found, tail = m[2].partition(" in ") if m else ("", "", "")
    name = _NAME.match(head) if found else None
    if not name:
        return None
    path, _, base = tail.rpartition(" at ")
    at = address(base) if path and re.fullmatch(HEX, base.strip()) else None
    return Location(
        where=where,
        kind="symbol",
        text=text,
        value=value,
        symbol=name[2],
        offset=address(name[1] or name[3] or "0"),
        module=(path if at is not None else tail).strip() or None,
        module_base=at,
    )


class Locations:
    """Register to memory mapping, and the same of stack slots: entries with further lines where an object is
    dumped."""

    _DETAIL = re.compile(
        r"[ \t]|-|\[|\{|0x|[a-z][^\[]{0,200}\[?0x|Compiled method|Framesize|BufferBlob|StubRoutines|"
        r"[\w.$/]+[;{\[]|[\w.$/+]+ *(\{|$)|Event:"
    )

    def __init__(self, facts: Draft[CrashedThread], into: str) -> None:
        self._facts, self._into = facts, into
        self.blanks = 0

    def feed(self, text: str) -> bool:
        """A line of the section."""
        found = _SLOT.match(text) or _REGISTER.match(text)
        if found and (found.re is _SLOT or not text.startswith(" ")):
            self.blanks = 0
            made = location(found[1], found[2])
            draft = Draft(Location)
            draft.values = {
                k: getattr(made, k) for k in Location.__struct_fields__ if getattr(made, k) not in (None, ())
            }
            return self._facts.add(self._into, draft)
        draft_last: Draft[Location] | None = self._facts.last(self._into)
        if draft_last is None or self.blanks > 1 or not self._DETAIL.match(text):
            return False
        return draft_last.add("details", text)

    def blank(self) -> None:
        """An empty line may stand between the parts of a dumped object."""
        self.blanks += 1
