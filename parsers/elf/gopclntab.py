"""The functions in a Go program's own table, which it keeps without symbols (src/debug/gosym/pclntab.go).

Header from Go 1.16 on: magic, two zeros, instruction size, pointer size, then words: functions, files, (1.18: address
of the text), offsets of the names, compilation units, files, pc tables and functions. A row of the function table has
the function's start and the offset of its record: from 1.18 two uint32, the start relative to the text; before two
words. The record begins with the start again, then the offset of the name, the size of the arguments, the offset of
deferreturn, those of the pc tables of the stack pointer, file and line, how many more tables there are, the offset of
its compilation unit's files (1.20: and the first line), four bytes and then the offsets of the other tables, the third
of which tells of inlined code (src/runtime/symtab.go, funcdata.go). A pc table is pairs of varints, what to add to a
value that begins with -1 (zigzag) and how far that value reaches.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

_POINTER = 8
_HEADER = 8


class Function(NamedTuple):
    """Link-time start, bytes up to the next function, name."""

    start: int
    size: int
    name: bytes


class _Form(NamedTuple):
    """words: of the header behind its first eight bytes. row: of the function table. based: starts count from text.
    first_line: a record has it.
    """

    words: int
    row: struct.Struct
    start_size: int
    based: bool
    first_line: bool


_FORMS = {
    0xFFFFFFFA: _Form(7, struct.Struct("<QQ"), 8, based=False, first_line=False),  # 1.16
    0xFFFFFFF0: _Form(8, struct.Struct("<II"), 4, based=True, first_line=False),  # 1.18
    0xFFFFFFF1: _Form(8, struct.Struct("<II"), 4, based=True, first_line=True),  # 1.20
}
_RECORD = struct.Struct("<iiIIIIII")
"""Behind the start: name, arguments, deferreturn, tables of sp, file and line, count of further ones, unit."""
_QUANTUM = 6
"""Where the header has the size of the smallest instruction, in which pc tables count."""
_INLINED = 2
"""Which of the further tables says what is inlined: PCDATA_InlTreeIndex."""
_NO_UNIT = 0xFFFFFFFF


class Place(NamedTuple):
    """What the table knows of an address. name: of the function. frame: bytes that it has pushed below the return
    address; None where that is not known. file, line: None for inlined code, whose are another function's.
    """

    name: bytes
    start: int
    frame: int | None
    file: str | None
    line: int | None


class Table:
    """A table that is asked about single addresses, all of them as they were linked."""

    def __init__(self, data: bytes | memoryview, text: int) -> None:
        """text: the address of the code section. Raises ValueError when it has another form or is damaged."""
        found = _header(data)
        if found is None:
            raise ValueError("not a table of functions of Go 1.16 or newer")
        self._form, self._words = found
        self._data = data
        self._base = (self._words[2] or text) if self._form.based else 0
        self._starts: list[int] | None = None

    def at(self, address: int) -> Place | None:
        """The function that holds an address; None where none does."""
        from bisect import bisect_right

        form, data = self._form, self._data
        count, names, rows = min(self._words[0], LIMITS.symbols), self._words[-5], self._words[-1]
        if self._starts is None:
            self._starts = [start for start, _ in form.row.iter_unpack(data[rows : rows + count * form.row.size])]
        wanted = address - self._base
        index = bisect_right(self._starts, wanted) - 1
        (last,) = struct.unpack_from("<I" if form.start_size == 4 else "<Q", data, rows + count * form.row.size)
        if index < 0 or wanted >= last:
            return None
        _, record = form.row.unpack_from(data, rows + index * form.row.size)
        at = rows + record + form.start_size
        if at + _RECORD.size + 8 > len(data):
            return None
        name, _, _, sp_table, file_table, line_table, others, unit = _RECORD.unpack_from(data, at)
        text = bytes(data[names + name : names + name + LIMITS.string]).split(b"\0", 1)[0] if name >= 0 else b""
        start = self._starts[index]
        further = at + _RECORD.size + (8 if form.first_line else 4)
        inlined = self._value(self._further(further, others, _INLINED), start, wanted)
        frame = self._value(sp_table, start, wanted)
        line = None if inlined is not None and inlined >= 0 else self._value(line_table, start, wanted)
        file = None if line is None else self._file(self._value(file_table, start, wanted), unit)
        return Place(text, self._base + start, frame if frame is not None and frame >= 0 else None, file, line)

    def _further(self, at: int, count: int, wanted: int) -> int:
        if wanted >= count or at + 4 * (wanted + 1) > len(self._data):
            return 0
        return int(struct.unpack_from("<I", self._data, at + 4 * wanted)[0])

    def _value(self, table: int, start: int, wanted: int) -> int | None:
        """The value of a pc table at an address; both relative to the text where the form is."""
        if not table:
            return None
        data, position = self._data, self._words[-2] + table
        value, pc = -1, start
        for _ in range(LIMITS.go_pc_table_rows):
            change, position = _varint(data, position)
            if change is None or (change == 0 and pc != start):
                return None
            value += (change >> 1) ^ -(change & 1)
            reach, position = _varint(data, position)
            if reach is None:
                return None
            pc += reach * (data[_QUANTUM] or 1)
            if wanted < pc:
                return value
        return None

    def _file(self, number: int | None, unit: int) -> str | None:
        if number is None or number < 0 or unit == _NO_UNIT:
            return None
        units, files = self._words[-4], self._words[-3]
        at = units + 4 * (unit + number)
        if at + 4 > len(self._data):
            return None
        (offset,) = struct.unpack_from("<I", self._data, at)
        raw = bytes(self._data[files + offset : files + offset + LIMITS.string]).split(b"\0", 1)[0]
        return raw.decode("utf-8", "replace") or None


def _varint(data: bytes | memoryview, position: int) -> tuple[int | None, int]:
    value = shift = 0
    while position < len(data) and shift < 35:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    return None, position


def _header(table: bytes | memoryview) -> tuple[_Form, tuple[int, ...]] | None:
    """The form of a table, and the words of its header."""
    if len(table) < _HEADER:
        return None
    magic, zeros, _, pointer = struct.unpack_from("<IHBB", table)
    form = _FORMS.get(magic)
    if form is None or zeros or pointer != _POINTER or len(table) < _HEADER + 8 * form.words:
        return None
    words = struct.unpack_from(f"<{form.words}Q", table, _HEADER)
    count = min(words[0], LIMITS.symbols)
    if words[-1] + (count + 1) * form.row.size > len(table) or words[-5] >= len(table):
        return None
    return form, words


def functions(table: bytes | memoryview, text: int) -> Iterator[Function]:
    """All functions of a table; none when it has another form or is damaged. text: the address of the code section.

    A position-independent program has no address in the header before it is relocated: `text` serves then.
    """
    header = _header(table)
    if header is None:
        return
    form, words = header
    count, names, rows = min(words[0], LIMITS.symbols), words[-5], words[-1]
    base = (words[2] or text) if form.based else 0
    content = bytes(table[names : names + LIMITS.symbols_names_limit])
    starts = list(form.row.iter_unpack(table[rows : rows + count * form.row.size]))
    (last,) = struct.unpack_from("<I" if form.start_size == 4 else "<Q", table, rows + count * form.row.size)
    for index, (start, record) in enumerate(starts):
        at = rows + record + form.start_size
        following = starts[index + 1][0] if index + 1 < count else last
        if at + 4 > len(table) or following < start:
            continue
        (name,) = struct.unpack_from("<i", table, at)
        end = content.find(b"\0", name, name + LIMITS.string) if name >= 0 else -1
        if end > name:
            yield Function(base + start, following - start, content[name:end])
