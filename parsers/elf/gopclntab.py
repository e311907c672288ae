"""The functions in a Go program's own table, which it keeps without symbols (src/debug/gosym/pclntab.go).

Header from Go 1.16 on: magic, two zeros, instruction size, pointer size, then words: functions, files, (1.18: address
of the text), offsets of the names, compilation units, files, pc tables and functions. A row of the function table has
the function's start and the offset of its record: from 1.18 two uint32, the start relative to the text; before two
words. The record begins with the start again, then the offset of the name.
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
    """words: of the header behind its first eight bytes. row: of the function table. based: starts count from text."""

    words: int
    row: struct.Struct
    start_size: int
    based: bool


_RELATIVE = _Form(8, struct.Struct("<II"), 4, based=True)
_FORMS = {
    0xFFFFFFFA: _Form(7, struct.Struct("<QQ"), 8, based=False),  # 1.16
    0xFFFFFFF0: _RELATIVE,  # 1.18
    0xFFFFFFF1: _RELATIVE,  # 1.20
}


def functions(table: bytes | memoryview, text: int) -> Iterator[Function]:
    """All functions of a table; none when it has another form or is damaged. text: the address of the code section.

    A position-independent program has no address in the header before it is relocated: `text` serves then.
    """
    if len(table) < _HEADER:
        return
    magic, zeros, _, pointer = struct.unpack_from("<IHBB", table)
    form = _FORMS.get(magic)
    if form is None or zeros or pointer != _POINTER or len(table) < _HEADER + 8 * form.words:
        return
    words = struct.unpack_from(f"<{form.words}Q", table, _HEADER)
    count, names, rows = min(words[0], LIMITS.symbols), words[-5], words[-1]
    base = (words[2] or text) if form.based else 0
    if rows + (count + 1) * form.row.size > len(table) or names >= len(table):
        return
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
