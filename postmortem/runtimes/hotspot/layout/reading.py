"""Reading the VM's structures by the names of its tables, from memory kept in chunks.

A place in the tables is written "Type.field"; several stand for the names that one thing had in
different JDKs, and the first that exists is taken. Absent names and unreadable memory give None.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

from parsers.limits import LIMITS
from postmortem.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postmortem.program.memory import AddressSpace

_CHUNK_BITS = 12
_CHUNK = 1 << _CHUNK_BITS
_CHUNKS_KEPT = LIMITS.reading_chunks_kept
_WORD = struct.Struct("<Q")
_U32 = struct.Struct("<I")


class Row(Protocol):
    """A row of the VM's struct table. A static field has an address, any other an offset."""

    @property
    def type_string(self) -> str | None:
        """The C++ type; absent for some rows."""
        ...

    @property
    def is_static(self) -> bool:
        """Whether `address` counts."""
        ...

    @property
    def offset(self) -> int:
        """From the start of the object."""
        ...

    @property
    def address(self) -> int:
        """In memory, relocated."""
        ...


class Tables(Protocol):
    """What is asked of the VM's tables: vmstructs.VmStructs."""

    def field(self, type_name: str, field_name: str, /) -> Row | None:
        """The row of a field."""
        ...

    def fields(self, type_name: str, /) -> Iterable[tuple[str, Row]]:
        """All rows of a type, by field name."""
        ...

    def size(self, type_name: str, /) -> int | None:
        """The size of a type."""
        ...

    def constant(self, name: str, /) -> int | None:
        """An integer constant."""
        ...


class Reading:
    """The tables and the memory they describe. Small reads are served from 4 KiB chunks kept here."""

    def __init__(self, memory: AddressSpace, vm: Tables) -> None:
        self.memory = memory
        self.vm = vm
        self._chunks: dict[int, bytes] = {}

    def _chunk(self, number: int) -> bytes:
        chunk = self._chunks.get(number)
        if chunk is None:
            if len(self._chunks) >= _CHUNKS_KEPT:
                self._chunks.clear()
            chunk = self._chunks[number] = self.memory.read_some(number << _CHUNK_BITS, _CHUNK)
        return chunk

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at `address`, or None when not all of them are there."""
        offset = address & (_CHUNK - 1)
        if offset + size <= _CHUNK:
            chunk = self._chunk(address >> _CHUNK_BITS)
            if offset + size <= len(chunk):
                return chunk[offset : offset + size]
        return self.memory.read(address, size)

    def word(self, address: int | None) -> int | None:
        """The 64-bit word at `address`; None for no address."""
        if not address:
            return None
        offset = address & (_CHUNK - 1)
        if offset + 8 <= _CHUNK:
            chunk = self._chunk(address >> _CHUNK_BITS)
            if offset + 8 <= len(chunk):
                return _WORD.unpack_from(chunk, offset)[0]  # type: ignore[no-any-return]
        return self.memory.word(address)

    def u32(self, address: int | None) -> int | None:
        """The unsigned 32-bit integer at `address`; None for no address."""
        if not address:
            return None
        offset = address & (_CHUNK - 1)
        if offset + 4 <= _CHUNK:
            chunk = self._chunk(address >> _CHUNK_BITS)
            if offset + 4 <= len(chunk):
                return _U32.unpack_from(chunk, offset)[0]  # type: ignore[no-any-return]
        return self.memory.unsigned(address, 4)

    def i32(self, address: int | None) -> int | None:
        """The signed 32-bit integer at `address`; None for no address."""
        value = self.u32(address)
        return None if value is None else (value ^ 0x80000000) - 0x80000000

    def u16(self, address: int | None) -> int | None:
        """The unsigned 16-bit integer at `address`; None for no address."""
        data = self.read(address, 2) if address else None
        return None if data is None else int.from_bytes(data, "little")

    def byte(self, address: int | None) -> int | None:
        """The byte at `address`; None for no address."""
        data = self.read(address, 1) if address else None
        return None if data is None else data[0]

    def text(self, address: int | None, limit: int = 4096) -> str | None:
        """The NUL-terminated string at `address`, undecodable bytes replaced."""
        if not address:
            return None
        offset = address & (_CHUNK - 1)
        chunk = self._chunk(address >> _CHUNK_BITS)
        end = chunk.find(b"\0", offset)
        if 0 <= end <= offset + limit and self.memory.budget.take("text", end - offset):
            return chunk[offset:end].decode("utf-8", "replace")
        data = self.memory.cstring(address, limit)
        return None if data is None else data.decode("utf-8", "replace")

    def offset(self, *places: str) -> int | None:
        """The offset of the first instance field of `places` that the tables have."""
        for place in places:
            kind, _, name = place.partition(".")
            field = self.vm.field(kind, name)
            if field is not None and not field.is_static:
                return field.offset
        return None

    def static(self, *places: str) -> int | None:
        """The address of the first static field of `places` that the tables have."""
        for place in places:
            kind, _, name = place.partition(".")
            field = self.vm.field(kind, name)
            if field is not None and field.is_static:
                return field.address or None
        return None

    def at(self, address: int | None, *places: str) -> int | None:
        """The address of a field in the object at `address`."""
        if not address:
            return None
        offset = self.offset(*places)
        return None if offset is None else address + offset

    def field(self, address: int | None, *places: str) -> int | None:
        """The word in a field of the object at `address`."""
        return self.word(self.at(address, *places))

    def static_word(self, *places: str) -> int | None:
        """The word in a static field."""
        return self.word(self.static(*places))

    def type_string(self, place: str) -> str | None:
        """The C++ type that the tables give for a field."""
        kind, _, name = place.partition(".")
        field = self.vm.field(kind, name)
        return None if field is None else field.type_string

    def constant(self, *names: str) -> int | None:
        """The first constant of `names` that the tables have."""
        for name in names:
            value = self.vm.constant(name)
            if value is not None:
                return value
        return None

    def size(self, *types: str) -> int | None:
        """The size of the first type of `types` that the tables have."""
        for kind in types:
            value = self.vm.size(kind)
            if value is not None:
                return value
        return None


def problem(where: str, what: str, hint: str | None = None) -> Problem:
    """A Problem of this stage."""
    return Problem(stage="hotspot", where=where, what=what, hint=hint)
