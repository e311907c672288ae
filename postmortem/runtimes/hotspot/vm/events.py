"""The VM's event rings, which a hs_err log shows as its "Events" sections; found by symbol.

They hang in a list: EventLog {vtable, next, …}. Where the name lies differs, since a Mutex of varying
size is embedded, so the header is recognised: char* name, (17 and newer) char* handle, i4 length, index,
count, padding, record*. A record is {double seconds, Thread*, char* buffer, char text[], …}, and its
buffer pointer points at its own text: that gives the size of a record.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.model import Event, EventLog
from postmortem.runtimes.hotspot.layout.reading import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postmortem.model import Problem
    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_LOGS = LIMITS.events_logs
_MAX_RECORDS = LIMITS.events_records
_MAX_RECORD = LIMITS.events_record
_MAX_RING = LIMITS.events_ring
_HEADER = 512
_TEXT_AT = 24

# Events::_logs until JDK 25, a variable of the file since.
_LISTS = ("_ZN6Events5_logsE", "_ZL15event_logs_list")


class _Ring(NamedTuple):
    name: str
    length: int
    next_slot: int
    in_use: int
    records: int


def event_logs(
    vm: Reading, symbol: Callable[[str], int | None], thread_names: Mapping[int, str] | None = None
) -> tuple[tuple[EventLog, ...], list[Problem]]:
    """The rings, each oldest event first. `thread_names`: by Thread*; others are shown as addresses."""
    place = next((found for name in _LISTS if (found := symbol(name)) is not None), None)
    if place is None:
        what = "the event rings can't be found: libjvm's symbol table is stripped"
        return (), [problem("Events::_logs", what, "install the JDK's debug symbols")]
    problems: list[Problem] = []
    logs: list[EventLog] = []
    seen: set[int] = set()
    address = vm.word(place)
    while address and address not in seen and len(seen) < _MAX_LOGS:
        seen.add(address)
        ring = _ring(vm, address)
        if ring is None:
            problems.append(problem(f"EventLog {address:#x}", "its layout is not recognised"))
        else:
            logs.append(EventLog(name=ring.name, events=_events(vm, ring, thread_names or {})))
        address = vm.word(address + 8)
    return tuple(logs), problems


def _ring(vm: Reading, address: int) -> _Ring | None:
    header = vm.memory.read_some(address, _HEADER)
    for at in range(16, len(header) - 40, 8):
        name_at = struct.unpack_from("<Q", header, at)[0]
        if name_at < 4096:
            continue
        for numbers_at in (at + 16, at + 8):
            if numbers_at + 24 > len(header):
                continue
            length, index, count = struct.unpack_from("<iii", header, numbers_at)
            records = struct.unpack_from("<Q", header, numbers_at + 16)[0]
            if not (0 < length <= _MAX_RECORDS and 0 <= index < length and 0 <= count <= length and records > 4096):
                continue
            # Every record is constructed with the ring, so even an unused one points at itself.
            if vm.word(records + 16) != records + _TEXT_AT:
                continue
            name = vm.text(name_at, 128)
            if name and name.isprintable():
                return _Ring(name, length, index, count, records)
    return None


def _record_size(vm: Reading, records: int) -> int | None:
    """Distance to the next record that points at itself."""
    data = vm.memory.read_some(records, _MAX_RECORD + 24)
    for size in range(_TEXT_AT + 8, len(data) - 24, 8):
        if struct.unpack_from("<Q", data, size + 16)[0] == records + size + _TEXT_AT:
            return size
    return None


def _events(vm: Reading, ring: _Ring, thread_names: Mapping[int, str]) -> tuple[Event, ...]:
    size = _record_size(vm, ring.records) if ring.length > 1 else _MAX_RECORD
    if size is None or ring.in_use == 0:
        return ()
    first = ring.next_slot if ring.in_use == ring.length else 0
    data = vm.memory.read_some(ring.records, min(size * ring.length, _MAX_RING))
    events = []
    for step in range(ring.in_use):
        start = (first + step) % ring.length * size
        if start + _TEXT_AT >= len(data):
            continue
        seconds, thread = struct.unpack_from("<dQ", data, start)
        end = data.find(b"\0", start + _TEXT_AT, start + size)
        raw = data[start + _TEXT_AT : end if end >= 0 else start + size]
        if not vm.memory.budget.take("events") or not vm.memory.budget.take("text", len(raw)):
            break
        text = raw.decode("utf-8", "replace").strip()
        events.append(
            Event(
                time=round(seconds, 3) if math.isfinite(seconds) and 0 <= seconds < 1e12 else None,
                thread=thread_names.get(thread, f"{thread:#x}") if thread else None,
                text=text,
            )
        )
    return tuple(events)
