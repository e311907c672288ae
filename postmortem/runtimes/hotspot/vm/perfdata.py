"""The counters of the hsperfdata memory, by name.

PerfMemory starts with a 32-byte prologue (magic 0xcafec0c0, read by the offsets in the VM's tables);
num_entries entries follow from entry_offset on, each {entry_length, name_offset, vector_length: i4;
data_type, flags, units, variability: i1; data_offset: i4}, little-endian, offsets from the entry.
data_type is a JVM signature letter: J a 64-bit number, B with a vector length a NUL-terminated string.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.runtimes.hotspot.layout.reading import problem

if TYPE_CHECKING:
    from postmortem.model import Problem
    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_BYTES = LIMITS.perfdata_bytes
_MAX_ENTRIES = LIMITS.perfdata_entries
_ENTRY = struct.Struct("<iiibbbbi")
_LONG = struct.Struct("<q")


def counters(vm: Reading) -> tuple[dict[str, str], list[Problem]]:
    """All counters in name order: numbers in decimal, strings as they are."""
    start, capacity = vm.static_word("PerfMemory._start"), vm.static_word("PerfMemory._capacity")
    if start is None or capacity is None:
        return {}, [problem("PerfMemory", "the performance counters can't be located")]
    if not start or not capacity:
        return {}, []  # -XX:-UsePerfData
    data = vm.memory.read_some(start, min(capacity, _MAX_BYTES))
    places = [vm.offset(f"PerfDataPrologue.{name}") for name in ("entry_offset", "num_entries")]
    if not data or None in places:
        return {}, [
            problem(
                "PerfMemory",
                "the performance counters are not in the core",
                "the file mapping is dumped when bit 3 of /proc/PID/coredump_filter is set",
            )
        ]
    try:
        first, count = (struct.unpack_from("<i", data, place or 0)[0] for place in places)
    except struct.error:
        return {}, [problem("PerfMemory", f"only {len(data)} bytes of it are there")]
    found: dict[str, str] = {}
    position, damaged = first, 0
    for _ in range(max(0, min(count, _MAX_ENTRIES))):
        if position < 0 or position + _ENTRY.size > len(data):
            damaged = count - len(found)
            break
        length, name_at, vector, kind, _, _, _, data_at = _ENTRY.unpack_from(data, position)
        if length < _ENTRY.size or not 0 < name_at < length or not 0 < data_at <= length:
            damaged = count - len(found)
            break
        end = data.find(b"\0", position + name_at, position + length)
        value = _value(data, position + data_at, position + length, kind, vector)
        if end < 0 or value is None or not vm.memory.budget.take("text", len(value)):
            damaged += 1
        else:
            found[data[position + name_at : end].decode("utf-8", "replace")] = value
        position += length
    problems = [problem("PerfMemory", f"{damaged} of {count} counters can't be read")] if damaged else []
    return dict(sorted(found.items())), problems


def _value(data: bytes, start: int, end: int, kind: int, vector: int) -> str | None:
    end = min(end, len(data))
    if kind == ord("J") and vector == 0:
        return str(_LONG.unpack_from(data, start)[0]) if start + 8 <= end else None
    if kind == ord("B") and vector > 0:
        return data[start : min(start + vector, end)].split(b"\0", 1)[0].decode("utf-8", "replace")
    return None
