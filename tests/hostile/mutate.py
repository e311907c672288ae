"""Mutations of real inputs that know the structure of what they change.

A mutation of a core is a list of patches (file offset, new bytes) and perhaps a length to cut to, so that a large core
need not be copied for each. All choices come from the random.Random that is given.
"""

from __future__ import annotations

import json
import mmap
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.hostile.elf import NT_AUXV, NT_FILE, NT_PRSTATUS, NT_SIGINFO, Map, read_map

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from tests.hostile.trace import Trace

_SMALL = (0, 1, 2, 3, 7, 8, 0xFF, 0x100, 0xFFF, 0x1000, 0xFFFF, 0x10000)
_LARGE = (
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, 1 << 40, (1 << 47) - 8, 1 << 47, 1 << 48, 1 << 62),
    *((1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 8, (1 << 64) - 4096),
)


@dataclass
class Mutation:
    """patches in order; cut: length of the file, None for the whole; what: kinds of changes, for the record."""

    patches: list[tuple[int, bytes]] = field(default_factory=list)
    cut: int | None = None
    what: list[str] = field(default_factory=list)


@dataclass
class Subject:
    """A core to be mutated: its bytes, its map, and what an analysis of it reads."""

    head: mmap.mmap
    map: Map
    trace: Trace

    @classmethod
    def of(cls, path: Path, trace: Trace) -> Subject:
        """Of the file at `path`, which must not change: mapped, so that children share it."""
        with path.open("rb") as file:
            head = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return cls(head, read_map(head), trace)


def number(chance: Random, old: int, size: int = 8) -> bytes:
    """An integer of `size` bytes that is likely to be wrong in a telling way."""
    pick = chance.random()
    if pick < 0.3:
        value = chance.choice(_SMALL)
    elif pick < 0.55:
        value = chance.choice(_LARGE)
    elif pick < 0.8:
        value = old + chance.choice((-4096, -8, -1, 1, 4, 8, 16, 4096, 1 << 20))
    elif pick < 0.9:
        value = old ^ 1 << chance.randrange(8 * size)
    else:
        value = chance.getrandbits(8 * size)
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def core(subject: Subject, chance: Random) -> Mutation:
    """One mutant of a core: one to a few changes, seldom many."""
    found = Mutation()
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5, 20))):
        kind = chance.choices([kind for kind, _ in _CORE], [weight for _, weight in _CORE])[0]
        kind(subject, chance, found)
    return found


def _program_header(subject: Subject, chance: Random, found: Mutation) -> None:
    if not subject.map.headers:
        return
    at = chance.choice(subject.map.headers)
    place, size = chance.choice(((0, 4), (4, 4), (8, 8), (16, 8), (32, 8), (40, 8), (48, 8)))
    if chance.random() < 0.2:  # a copy of another one: segments that overlap
        other = chance.choice(subject.map.headers)
        found.patches.append((at, subject.head[other : other + 56]))
    else:
        old = int.from_bytes(subject.head[at + place : at + place + size], "little")
        found.patches.append((at + place, number(chance, old, size)))
    found.what.append("program-header")


def _elf_header(subject: Subject, chance: Random, found: Mutation) -> None:
    place, size = chance.choice(((32, 8), (40, 8), (54, 2), (56, 2), (58, 2), (60, 2), (62, 2)))
    old = int.from_bytes(subject.head[place : place + size], "little")
    found.patches.append((place, number(chance, old, size)))
    found.what.append("elf-header")


def _note_header(subject: Subject, chance: Random, found: Mutation) -> None:
    if not subject.map.notes:
        return
    note = chance.choice(subject.map.notes)
    place = chance.choice((0, 4, 8))
    old = int.from_bytes(subject.head[note.header + place : note.header + place + 4], "little")
    found.patches.append((note.header + place, number(chance, old, 4)))
    found.what.append("note-header")


def _note_of(*types: int) -> Callable[[Subject, Random, Mutation], None]:
    def change(subject: Subject, chance: Random, found: Mutation) -> None:
        notes = [note for note in subject.map.notes if note.type in types and note.size >= 16]
        if not notes:
            return
        note = chance.choice(notes)
        at = note.descriptor + 8 * chance.randrange(min(note.size, 1 << 20) // 8)
        old = int.from_bytes(subject.head[at : at + 8], "little")
        new = number(chance, old)
        if note.type == NT_PRSTATUS and chance.random() < 0.5 and subject.map.loads:
            load = chance.choice(subject.map.loads)  # a register that points at some memory
            new = struct.pack("<Q", chance.randrange(load.start, load.end))
        found.patches.append((at, new))
        found.what.append(f"note-{note.type:#x}")

    return change


def _file_table(subject: Subject, chance: Random, found: Mutation) -> None:
    """NT_FILE: counts, rows and names."""
    notes = [note for note in subject.map.notes if note.type == NT_FILE and note.size > 64]
    if not notes:
        return
    note = notes[0]
    (count,) = struct.unpack_from("<Q", subject.head, note.descriptor)
    names = note.descriptor + 16 + 24 * min(count, note.size // 24)
    pick = chance.random()
    if pick < 0.3:
        at = note.descriptor + chance.choice((0, 8))
        found.patches.append((at, number(chance, int.from_bytes(subject.head[at : at + 8], "little"))))
    elif pick < 0.7:
        at = note.descriptor + 16 + 8 * chance.randrange(max(1, 3 * min(count, note.size // 24)))
        found.patches.append((at, number(chance, int.from_bytes(subject.head[at : at + 8], "little"))))
    elif names < note.descriptor + note.size:
        at = chance.randrange(names, note.descriptor + note.size)
        found.patches.append((at, chance.choice((b"\0", b"\n", b"/", b"\x1b[2J", b"\xff\xfe", b"../", b"A" * 300))))
    found.what.append("nt-file")


def _place(subject: Subject, chance: Random, places: dict[str, list[tuple[int, int]]]) -> tuple[str, int, int] | None:
    """A place that some function reads: first the function, then one of its places."""
    for _ in range(8):
        site = chance.choice(sorted(places))
        address, size = chance.choice(places[site])
        step = min(size, 1 << 16)
        address += chance.randrange(0, max(step, 1), 8 if step >= 8 else max(step, 1)) if step else 0
        if subject.map.offset_of(address) is not None:
            return site, address, min(8, size)
    return None


def _read_word(subject: Subject, chance: Random, found: Mutation) -> None:
    """A word that the analysis reads: another number, or a pointer to itself, a neighbour or another such word."""
    place = _place(subject, chance, subject.trace.words)
    if place is None:
        return
    site, address, size = place
    offset = subject.map.offset_of(address)
    assert offset is not None
    old = int.from_bytes(subject.head[offset : offset + 8], "little") if offset + 8 <= len(subject.head) else address
    pick = chance.random()
    if pick < 0.5 or size < 8:
        new = number(chance, old, size or 8)
    elif pick < 0.65:
        new = struct.pack("<Q", address - chance.choice((0, 0, 8, 16, 24)))
    else:
        other = _place(subject, chance, subject.trace.words)
        new = struct.pack("<Q", (other[1] if other else address) & (1 << 64) - 1)
        back = subject.map.offset_of(other[1]) if other else None
        if back is not None and chance.random() < 0.4:  # a circle of two
            found.patches.append((back, struct.pack("<Q", address)))
    found.patches.append((offset, new))
    found.what.append(site)


def _read_string(subject: Subject, chance: Random, found: Mutation) -> None:
    """A string that the analysis reads: no end, other characters, very long."""
    if not subject.trace.strings:
        return
    place = _place(subject, chance, subject.trace.strings)
    offset = subject.map.offset_of(place[1]) if place else None
    if place is None or offset is None:
        return
    new = chance.choice(
        (
            b"", b"\x1b]0;x\x07", b"\xff\xfe\xfd\xfc", b"%s%n{}{{", b"<script>", b"../" * 40,
            b"A" * chance.choice((100, 5000, 100_000)), "\u202e\u0000".encode(), b"_Z" + b"S0_" * 60,
            b"$$Lambda$" * 50, b"\xed\xa0\x80",
        )
    )  # fmt: skip
    found.patches.append((offset, new))
    found.what.append(f"string of {place[0]}")


def _block(subject: Subject, chance: Random, found: Mutation) -> None:
    """A piece of memory overwritten: zeros, ones, text, random bytes, or the first bytes of the core."""
    place = _place(subject, chance, subject.trace.words)
    offset = subject.map.offset_of(place[1]) if place else None
    if place is None or offset is None:
        return
    length = chance.choice((16, 64, 512, 4096, 1 << 16))
    source = chance.choice((b"\0", b"\xff", b"A", None, subject.head[:4096]))
    data = chance.randbytes(length) if source is None else (source * (length // len(source) + 1))[:length]
    found.patches.append((offset, data))
    found.what.append(f"block of {place[0]}")


def _plain(subject: Subject, chance: Random, found: Mutation) -> None:
    """Bytes anywhere, near the beginning more often."""
    for _ in range(chance.choice((1, 4, 50))):
        bound = min(chance.choice((4096, 65536, subject.map.size, subject.map.size)), subject.map.size)
        # The first bytes say that it is a core at all: seldom.
        at = chance.randrange(0 if bound <= 64 or chance.random() < 0.01 else 64, bound)
        found.patches.append((at, chance.randbytes(chance.randrange(1, 16))))
    found.what.append("bytes")


def _cut(subject: Subject, chance: Random, found: Mutation) -> None:
    found.cut = chance.randrange(1, chance.choice((65536, subject.map.size)))
    found.what.append("cut")


_CORE: tuple[tuple[Callable[[Subject, Random, Mutation], None], int], ...] = (
    (_program_header, 8),
    (_elf_header, 1),
    (_note_header, 4),
    (_note_of(NT_PRSTATUS), 6),
    (_note_of(NT_AUXV), 4),
    (_note_of(NT_SIGINFO), 1),
    (_file_table, 8),
    (_read_word, 40),
    (_read_string, 8),
    (_block, 8),
    (_plain, 6),
    (_cut, 2),
)

_TOKENS = (
    "0x", "#", "[", "]", "(", ")", "'", ": ", "=", "\t", "\x00", "\x1b[31m", "�", "-", " ", "99999999999999999999",
    "9" * 5000, "0x" + "f" * 300, "K", "\r", "{", "}", "%", "./", "a" * 20000, "J ", "=>", "Current thread", "# ",
)  # fmt: skip


def text(data: bytes, chance: Random, rounds: int | None = None) -> bytes:
    """A mutant of a log: lines dropped, doubled, moved, joined, cut; numbers made strange; bytes; sections repeated."""
    lines = data.split(b"\n")
    for _ in range(rounds or chance.choice((1, 2, 5, 20, 100))):
        if not lines:
            lines = [b""]
        at = chance.randrange(len(lines))
        pick = chance.random()
        if pick < 0.12:
            del lines[at : at + chance.choice((1, 5, 50))]
        elif pick < 0.24:
            piece = lines[at : at + chance.choice((1, 5, 50))]
            lines[at:at] = piece * chance.choice((1, 1, 3, 40))
        elif pick < 0.34:
            other = chance.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif pick < 0.42:
            lines[at : at + 2] = [b"".join(lines[at : at + 2])]
        elif pick < 0.7:
            line = lines[at]
            place = chance.randrange(len(line) + 1)
            token = chance.choice(_TOKENS).encode("utf-8", "surrogateescape")
            lines[at] = line[:place] + token + line[place + chance.choice((0, 1, len(token))) :]
        elif pick < 0.88:
            octets = bytearray(lines[at])
            for _ in range(chance.choice((1, 3))):
                if octets:
                    octets[chance.randrange(len(octets))] = chance.randrange(256)
            lines[at] = bytes(octets)
        else:
            lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
    result = b"\n".join(lines)
    return result[: chance.randrange(len(result) + 1)] if chance.random() < 0.05 else result


def stored(value: Any, chance: Random) -> bytes:
    """A mutant of a stored report, given as what json.loads makes of it: types, sizes, depths, numbers, names."""
    copy = json.loads(json.dumps(value))
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        _change_json(copy, chance)
    data = json.dumps(copy).encode()
    if chance.random() < 0.1:
        at = chance.randrange(len(data))
        data = data[:at] + chance.randbytes(chance.randrange(8)) + data[at + chance.randrange(8) :]
    if chance.random() < 0.03:
        data = data[: chance.randrange(len(data))]
    return data


def _change_json(value: Any, chance: Random) -> None:
    holder, key = value, None
    for _ in range(chance.randrange(1, 9)):
        inner = holder if key is None else holder[key]
        if isinstance(inner, dict) and inner:
            holder, key = inner, chance.choice(sorted(inner))
        elif isinstance(inner, list) and inner:
            holder, key = inner, chance.randrange(len(inner))
        else:
            break
    if key is None:
        return
    old = holder[key]
    options: list[Any] = [
        None, 0, -1, 1 << 63, 1 << 64, 1 << 200, 1.5, "", "0x0", "0xffffffffffffffff", "-0x1", "0x" + "f" * 40,
        "x" * chance.choice((10, 100_000)), "\x1b[2J", "\ud800", "</script><script>alert(1)</script>", "$(id)", [], {},
        True, [[[[]]]], {"a": {"b": {}}}, "crash.signal.code", "threads[0].frames[9999999].function",
    ]  # fmt: skip
    if isinstance(old, list) and old:
        options += [old * chance.choice((2, 50)), old[:1], list(reversed(old))]
    if isinstance(old, str):
        options += [old * chance.choice((2, 100)), old[::-1], old + "\x00", old.upper()]
    if isinstance(old, int):
        options += [old + 1, -old, old * 1000]
    alike = [value for value in options if type(value) is type(old)]
    holder[key] = chance.choice(alike if alike and chance.random() < 0.85 else options)


def module(data: bytes, chance: Random) -> bytes:
    """A mutant of an executable or library: headers, sections, dynamic section, notes, CFI, symbols, DWARF, bytes."""
    copy = bytearray(data)
    shoff, phoff = (int.from_bytes(data[at : at + 8], "little") for at in (40, 32))
    phnum, shnum = (int.from_bytes(data[at : at + 2], "little") for at in (56, 60))
    sections = [
        struct.unpack_from("<IIQQQQIIQQ", data, shoff + 64 * index)
        for index in range(shnum)
        if shoff + 64 * index + 64 <= len(data)
    ]
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        pick = chance.random()
        if pick < 0.15 and sections:
            at = shoff + 64 * chance.randrange(len(sections)) + chance.choice((0, 4, 8, 16, 24, 32, 40, 44, 48, 56))
            size = 4 if (at - shoff) % 64 in (0, 4, 40, 44) else 8
        elif pick < 0.3 and phnum:
            at = phoff + 56 * chance.randrange(phnum) + chance.choice((0, 4, 8, 16, 32, 40, 48))
            size = 4 if (at - phoff) % 56 in (0, 4) else 8
        elif pick < 0.35:
            at, size = chance.choice(((24, 8), (32, 8), (40, 8), (54, 2), (56, 2), (58, 2), (60, 2), (62, 2)))
        elif sections:
            _, kind, _, _, offset, length, *_ = chance.choice(sections)
            if kind == 8 or not length or offset >= len(data):
                continue
            at, size = offset + chance.randrange(length), chance.choice((1, 2, 4, 8))
        else:
            at, size = chance.randrange(len(data)), 8
        if at + size <= len(copy):
            copy[at : at + size] = number(chance, int.from_bytes(copy[at : at + size], "little"), size)
    return bytes(copy[: chance.randrange(1, len(copy))]) if chance.random() < 0.05 else bytes(copy)
