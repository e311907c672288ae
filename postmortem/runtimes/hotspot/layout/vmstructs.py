"""The tables in which libjvm describes its own structures, read out of the core.

Source: HotSpot share/runtime/vmStructs.hpp. `gHotSpotVMStructs` and its three sisters are exported pointers
to arrays of entries; exported integers beside them give each member's offset in an entry and the entry's
size, so no layout is assumed here. An array ends at an entry whose name is null. All little-endian.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.program.memory import AddressSpace

_MAX_ENTRIES = LIMITS.vmstructs_entries
_MAX_STRIDE = LIMITS.vmstructs_stride
_NAMES_WINDOW = 1 << 16


class Field(NamedTuple):
    """A row of gHotSpotVMStructs: `address` counts for a static field, `offset` for any other.

    type_string is the C++ type of the field; some rows have none.
    """

    type_string: str | None
    is_static: bool
    offset: int
    address: int


class VmStructs:
    """Fields, sizes and constants by the VM's own names. Absent ones are None, never an error."""

    def __init__(
        self,
        fields: dict[tuple[str, str], Field],
        sizes: dict[str, int],
        superclasses: dict[str, str],
        constants: dict[str, int],
    ) -> None:
        self._fields = fields
        self._sizes = sizes
        self._superclasses = superclasses
        self._constants = constants

    def field(self, type_name: str, field_name: str, /) -> Field | None:
        """The row of a field."""
        return self._fields.get((type_name, field_name))

    def fields(self, type_name: str, /) -> Iterator[tuple[str, Field]]:
        """All rows of a type, by field name."""
        return ((name, row) for (owner, name), row in self._fields.items() if owner == type_name)

    def size(self, type_name: str, /) -> int | None:
        """sizeof a type, in bytes."""
        return self._sizes.get(type_name)

    def superclass(self, type_name: str) -> str | None:
        """The C++ base class that the tables give for a type."""
        return self._superclasses.get(type_name)

    def constant(self, name: str, /) -> int | None:
        """An integer constant."""
        return self._constants.get(name)


def read_tables(memory: AddressSpace, symbol: Callable[[str], int | None]) -> VmStructs | None:
    """The tables of a libjvm whose exported symbols `symbol` finds in memory; None when they aren't there.

    Names that can't be read (their page is in neither core nor file) leave their entries out.
    """
    names = _Names(memory)
    fields: dict[tuple[str, str], Field] = {}
    for type_name, field_name, type_string, is_static, offset, address in _entries(
        memory,
        symbol,
        "gHotSpotVMStructs",
        "gHotSpotVMStructEntry",
        ("TypeName", 8),
        ("FieldName", 8),
        ("TypeString", 8),
        ("IsStatic", 4),
        ("Offset", 8),
        ("Address", 8),
    ):
        owner, name = names.at(type_name), names.at(field_name)
        if owner is not None and name is not None:
            fields[owner, name] = Field(names.at(type_string), bool(is_static), offset, address)
    sizes: dict[str, int] = {}
    superclasses: dict[str, str] = {}
    for type_name, superclass, size in _entries(
        memory, symbol, "gHotSpotVMTypes", "gHotSpotVMTypeEntry", ("TypeName", 8), ("SuperclassName", 8), ("Size", 8)
    ):
        owner, base = names.at(type_name), names.at(superclass)
        if owner is not None:
            sizes[owner] = size
            if base is not None:
                superclasses[owner] = base
    constants: dict[str, int] = {}
    for table, size in (("Int", 4), ("Long", 8)):
        for name_at, value in _entries(
            memory,
            symbol,
            f"gHotSpotVM{table}Constants",
            f"gHotSpotVM{table}ConstantEntry",
            ("Name", 8),
            ("Value", -size),
        ):
            name = names.at(name_at)
            if name is not None:
                constants[name] = value
    if not fields or not sizes:
        return None
    return VmStructs(fields, sizes, superclasses, constants)


def _entries(
    memory: AddressSpace,
    symbol: Callable[[str], int | None],
    table: str,
    entry: str,
    *members: tuple[str, int],
) -> Iterator[tuple[int, ...]]:
    """Members (name, size in bytes; negative: signed) of every entry, up to the one whose first is 0."""

    def exported(name: str) -> int | None:
        place = symbol(name)
        return None if place is None else memory.word(place)

    position, stride = exported(table), exported(f"{entry}ArrayStride")
    if not position or not stride or not 0 < stride <= _MAX_STRIDE:
        return
    layout = []
    for name, size in members:
        offset = exported(f"{entry}{name}Offset")
        if offset is None or offset + abs(size) > stride:
            return
        layout.append((offset, {8: "<Q", 4: "<I", -4: "<i", -8: "<q"}[size]))
    unpackers = [(offset, struct.Struct(code).unpack_from) for offset, code in layout]
    for _ in range(0, _MAX_ENTRIES, 64):
        chunk = memory.read_some(position, 64 * stride)
        for start in range(0, len(chunk) - stride + 1, stride):
            values = tuple(unpack(chunk, start + offset)[0] for offset, unpack in unpackers)
            if not values[0]:
                return
            yield values
        if len(chunk) < 64 * stride:
            return
        position += len(chunk)


class _Names:
    """NUL-terminated names by address, cut out of windows of .rodata that are read once."""

    def __init__(self, memory: AddressSpace) -> None:
        self._memory = memory
        self._windows: dict[int, bytes] = {}
        self._known: dict[int, str | None] = {0: None}

    def at(self, address: int) -> str | None:
        """The text at an address; None for a null pointer or what can't be read."""
        try:
            return self._known[address]
        except KeyError:
            pass
        number, offset = divmod(address, _NAMES_WINDOW)
        window = self._windows.get(number)
        if window is None:
            # Longer than the step, so that a name across the border is whole; a gap before it costs the window only.
            window = self._memory.read_some(number * _NAMES_WINDOW, _NAMES_WINDOW + 4096)
            self._windows[number] = window
        end = window.find(b"\0", offset)
        raw = window[offset:end] if 0 <= offset <= end else self._memory.cstring(address)
        text = self._known[address] = None if raw is None else raw.decode("utf-8", "replace")
        return text
