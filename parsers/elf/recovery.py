"""The tables of a core whose headers were damaged: what of them can be told from the rest of the file.

The kernel and gcore put the program headers at 64, entries of 56 bytes, and the notes behind the last of them
(fs/binfmt_elf.c elf_core_dump), so a wrong e_phoff, e_phentsize or e_phnum is seen and set right. Notes of a core have
one of few names at 4-byte boundaries: behind a note whose sizes are wrong the next one is found by its name.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.elf import header as elf
from parsers.elf import notes
from parsers.elf.x86_64 import prstatus
from parsers.limits import LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

_EHDR_SIZE, _PHDR_SIZE = 64, 56
_NHDR = struct.Struct("<III")
_NAMES = (b"CORE\0", b"LINUX\0")
_NAME_OF_SIZE = {len(name): name.rstrip(b"\0") for name in _NAMES}
_NAME_ROOM = 8
_LONGEST_NAME = 32
_HEAD = _NHDR.size + _LONGEST_NAME
_WINDOW = 1 << 16
_SIZES = {notes.NT_PRSTATUS: prstatus.SIZE, notes.NT_PRPSINFO: 136, notes.NT_SIGINFO: 128, notes.NT_FPREGSET: 512}
"""Bytes of notes named CORE that have always as many."""
_KNOWN = {
    notes.NT_PRSTATUS, notes.NT_FPREGSET, notes.NT_PRPSINFO, notes.NT_AUXV, notes.NT_FILE, notes.NT_SIGINFO, 4,
}  # fmt: skip
"""Types of notes named CORE; 4 is NT_TASKSTRUCT, of old kernels."""
_TYPES = {elf.PT_LOAD, elf.PT_NOTE}


def program_headers(
    data: elf.Buffer, header: elf.Header, limits: Limits = LIMITS
) -> tuple[list[elf.ProgramHeader], int, list[str]]:
    """As elf.read_program_headers, and what had to be set right, in words. Raises ParseError where nothing helps."""
    words = []
    if header.phentsize != _PHDR_SIZE:
        words.append(f"e_phentsize is {header.phentsize}, taken as {_PHDR_SIZE}")
        header = header._replace(phentsize=_PHDR_SIZE)
    if header.phoff != _EHDR_SIZE and not _is_table(data, header.phoff) and _is_table(data, _EHDR_SIZE):
        words.append(f"e_phoff is {header.phoff:#x}, taken as {_EHDR_SIZE:#x}")
        header = header._replace(phoff=_EHDR_SIZE)
    if header.phnum != elf.PN_XNUM:
        count = _count(data, header.phoff, limits)
        if count > header.phnum:
            words.append(f"e_phnum is {header.phnum}, taken as {count}")
            header = header._replace(phnum=min(count, elf.PN_XNUM - 1))
    headers, claimed = elf.read_program_headers(data, header, limits)
    return headers, claimed, words


def _is_table(data: elf.Buffer, offset: int) -> bool:
    """Whether a core's program headers may begin here: the first is a note, or memory that the file holds."""
    head = bytes(data[offset : offset + _PHDR_SIZE]) if 0 < offset < len(data) else b""
    if len(head) < _PHDR_SIZE:
        return False
    entry = elf.ProgramHeader(*struct.unpack("<IIQQQQQQ", head))
    return entry.type in _TYPES and entry.flags <= 7 and entry.offset <= len(data) and entry.filesz <= 1 << 47


def _count(data: elf.Buffer, offset: int, limits: Limits) -> int:
    """Program headers between `offset` and the notes, by the place of these; 0 where that tells nothing."""
    table = bytes(data[offset : offset + 16 * _PHDR_SIZE])
    for at in range(0, len(table) - _PHDR_SIZE + 1, _PHDR_SIZE):
        entry = elf.ProgramHeader(*struct.unpack_from("<IIQQQQQQ", table, at))
        if entry.type != elf.PT_NOTE:
            continue
        count, rest = divmod(entry.offset - offset, _PHDR_SIZE)
        if rest or not 0 < count <= limits.program_headers or not _is_note(data, entry.offset):
            return 0
        last = offset + (count - 1) * _PHDR_SIZE
        return count if _is_table(data, last) else 0
    return 0


def _is_note(data: elf.Buffer, offset: int) -> bool:
    return bytes(data[offset + _NHDR.size : offset + _NHDR.size + 5]) in (_NAMES[0], b"LINUX")


def lost_notes(
    data: elf.Buffer, phoff: int, headers: list[elf.ProgramHeader], limits: Limits = LIMITS
) -> tuple[int, int]:
    """(offset, size in bytes) of where a core's notes lie when no program header leads to them."""
    start = phoff + len(headers) * _PHDR_SIZE
    begins = [entry.offset for entry in headers if entry.type == elf.PT_LOAD and start < entry.offset < len(data)]
    # Where the headers say nothing, in the first bytes; threads of thousands need no more than that.
    end = min(begins) if begins else min(len(data), start + (1 << 20))
    return start, min(max(0, end - start), limits.note_bytes)


def iterate(
    data: elf.Buffer, start: int, size: int, damage: list[str], limits: Limits = LIMITS
) -> Iterator[notes.Note]:
    """The notes of a core, also those behind one whose header is wrong. Says in `damage` where that was."""
    end = min(start + size, len(data))
    position, head = start, bytes(data[start : start + _HEAD])
    good = _is_start(data, head, position, end)
    while position + _NHDR.size <= end:
        name_size, descriptor_size, kind = _NHDR.unpack_from(head.ljust(_NHDR.size, b"\0"))
        if not name_size and not descriptor_size and not kind and _is_padding(data, position, end):
            return
        begin = position + _NHDR.size + (name_size + 3 & ~3)
        following = begin + (descriptor_size + 3 & ~3)
        if good and begin + descriptor_size <= end:
            ahead = bytes(data[following : following + _HEAD])
            if _is_start(data, ahead, following, end):
                name = head[_NHDR.size : _NHDR.size + name_size]
                yield _note(data, name, kind, begin, descriptor_size)
                position, head = following, ahead
                continue
        if _is_padding(data, position, end):
            return
        found = _next(data, position + _NHDR.size, end)
        room = (end if found is None else found) - position - _NHDR.size - _NAME_ROOM
        name = head[_NHDR.size : _NHDR.size + _NAME_ROOM].rstrip(b"\0")
        if name not in _NAME_OF_SIZE.values() and name_size in _NAME_OF_SIZE and descriptor_size + 3 & ~3 == room:
            name = _NAME_OF_SIZE[name_size]  # the sizes lead to the next note: the name is what was damaged
        if name in _NAME_OF_SIZE.values() and room > 0:
            begin = position + _NHDR.size + _NAME_ROOM
            expected = _SIZES.get(kind) if name == b"CORE" else None
            yield _note(data, name, kind, begin, min(room, expected or room))
            if descriptor_size == expected and name_size in _NAME_OF_SIZE:
                found = following  # this one is whole; what is damaged comes next
            else:
                damage.append(f"the header of the note at offset {position:#x}")
        elif found is not None:
            damage.append(f"what lies at offset {position:#x} of the notes")
        if found is None or len(damage) >= limits.damaged_notes:
            return
        position, head = found, bytes(data[found : found + _HEAD])
        good = _is_start(data, head, position, end)


def _note(data: elf.Buffer, name: bytes, kind: int, begin: int, size: int) -> notes.Note:
    return notes.Note(name.rstrip(b"\0"), kind, memoryview(data[begin : begin + size]), begin)


def _is_start(data: elf.Buffer, head: bytes, position: int, end: int) -> bool:
    """Whether a note may begin with these bytes, or the notes end."""
    if position + _NHDR.size > end:
        return position <= end + 3
    name_size, size, _ = _NHDR.unpack_from(head.ljust(_NHDR.size, b"\0"))
    if not 1 < name_size <= _LONGEST_NAME or position + _NHDR.size + name_size + size > end:
        # The last one of a file that is cut is none, and no damage. Zeros fill what is left of a segment.
        return not head.strip(b"\0") and _is_padding(data, position, end)
    name = head[_NHDR.size : _NHDR.size + name_size].rstrip(b"\0")
    return name in _NAME_OF_SIZE.values() or all(32 < letter < 127 for letter in name)


def _is_padding(data: elf.Buffer, position: int, end: int) -> bool:
    return not bytes(data[position : min(end, position + 4096)]).strip(b"\0")


def _next(data: elf.Buffer, start: int, end: int) -> int | None:
    """The next place where a note of a core begins, told by its name."""
    overlap = _NHDR.size + _NAME_ROOM
    for at in (start, *range(start + 512, end, _WINDOW)):  # it is most often near
        block = bytes(data[at : min(end, at + (512 if at == start else _WINDOW) + overlap)])
        hits = [_hit(block, name.ljust(_NAME_ROOM, b"\0"), at) for name in _NAMES]
        found: list[int] = [at + hit for hit in hits if hit is not None]
        if found:
            return min(found)
    return None


def _hit(block: bytes, name: bytes, at: int) -> int | None:
    """Where in a block, which lies at offset `at`, the first header with this name begins."""
    hit = block.find(name, _NHDR.size)
    while hit >= 0:
        if (at + hit) % 4 == 0:
            return hit - _NHDR.size
        hit = block.find(name, hit + 1)
    return None


def is_status(note: notes.Note, before: notes.Note | None) -> bool:
    """Whether this is a thread's status whose type was damaged: by its size, at the first note of a thread.

    NT_AUXV may have as many bytes, and comes behind notes named CORE.
    """
    return (
        note.name == b"CORE"
        and len(note.descriptor) == prstatus.SIZE
        and note.type not in _KNOWN
        and (before is None or before.name == b"LINUX")
    )
