"""A made-up VM: memory that is laid out by hand, and tables that describe it."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple, cast

from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes.hotspot.layout.reading import Reading

BASE = 0x7F0000000000
SIZE = 1 << 20


class Entry(NamedTuple):
    """What the code under test asks of a row of the tables."""

    type_string: str | None
    is_static: bool
    offset: int
    address: int


class FakeVm:
    """One megabyte at BASE, a bump allocator, and tables filled by place ("Type.field")."""

    def __init__(self) -> None:
        self.content = bytearray(SIZE)
        self.top = 64
        self.fields: dict[tuple[str, str], Entry] = {}
        self.sizes: dict[str, int] = {}
        self.constants: dict[str, int] = {}

    def room(self, size: int, align: int = 8) -> int:
        """The address of `size` zero bytes."""
        self.top = (self.top + align - 1) // align * align
        address = BASE + self.top
        self.top += size
        return address

    def put(self, address: int, layout: str, *values: float | bytes) -> None:
        """Write values, little-endian."""
        struct.pack_into("<" + layout, self.content, address - BASE, *values)

    def text(self, text: str) -> int:
        """The address of a NUL-terminated copy."""
        data = text.encode() + b"\0"
        address = self.room(len(data), 1)
        self.content[address - BASE : address - BASE + len(data)] = data
        return address

    def instance(self, **offsets: int) -> None:
        """Instance fields: Type__field=offset."""
        for place, offset in offsets.items():
            kind, _, name = place.partition("__")
            self.fields[kind, name] = Entry(None, False, offset, 0)

    def static(self, place: str, value: int, layout: str = "Q") -> int:
        """A static field that holds `value`; its address."""
        address = self.room(8)
        self.put(address, layout, value)
        kind, _, name = place.partition(".")
        self.fields[kind, name] = Entry(None, True, 0, address)
        return address

    def field(self, kind: str, name: str, /) -> Entry | None:
        """As VmStructs.field."""
        return self.fields.get((kind, name))

    def size(self, kind: str, /) -> int | None:
        """As VmStructs.size."""
        return self.sizes.get(kind)

    def constant(self, name: str, /) -> int | None:
        """As VmStructs.constant."""
        return self.constants.get(name)

    @property
    def memory(self) -> AddressSpace:
        """The memory as it is now."""
        return AddressSpace([Piece(BASE, BASE + SIZE, bytes(self.content), 0)])

    def reading(self) -> Reading:
        """What the functions under test take."""
        return Reading(self.memory, cast("Any", self))
