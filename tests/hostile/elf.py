"""Where the parts of an ELF core lie, found by formats of the tests' own: what the mutator aims at."""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import mmap

NT_FILE, NT_AUXV, NT_PRSTATUS, NT_SIGINFO = 0x46494C45, 6, 1, 0x53494749


class Load(NamedTuple):
    """A PT_LOAD: [start, end) of memory at `offset` of the file, as far as it was dumped."""

    start: int
    end: int
    offset: int
    flags: int


class Note(NamedTuple):
    """A note: file offsets of its header and descriptor."""

    header: int
    descriptor: int
    size: int
    type: int


@dataclass
class Map:
    """The parts of a core. headers: file offsets of the program headers."""

    size: int
    phoff: int = 64
    headers: list[int] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def offset_of(self, address: int) -> int | None:
        """The file offset of an address that was dumped."""
        index = bisect_right(self.loads, address, key=lambda load: load.start) - 1
        if index < 0 or address >= self.loads[index].end:
            return None
        return self.loads[index].offset + address - self.loads[index].start


def read_map(head: mmap.mmap) -> Map:
    """The map of a core."""
    size = len(head)
    (phoff,) = struct.unpack_from("<Q", head, 32)
    (count,) = struct.unpack_from("<H", head, 56)
    found = Map(size=size, phoff=phoff)
    for index in range(count):
        at = phoff + 56 * index
        if at + 56 > len(head):
            break
        kind, flags, offset, vaddr, _, filesz, _, _ = struct.unpack_from("<IIQQQQQQ", head, at)
        found.headers.append(at)
        if kind == 1 and filesz:
            found.loads.append(Load(vaddr, vaddr + min(filesz, size - offset), offset, flags))
        elif kind == 4:
            position = offset
            while position + 12 <= min(offset + filesz, len(head)):
                name, descriptor, note = struct.unpack_from("<III", head, position)
                start = position + 12 + (name + 3 & ~3)
                found.notes.append(Note(position, start, descriptor, note))
                position = start + (descriptor + 3 & ~3)
    found.loads.sort()
    return found
