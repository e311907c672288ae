"""Inputs made as an attacker would who has the source at hand: each asks for time or memory beyond its size.

Each function writes one input into a folder and gives the path, and options for the analysis where it needs some.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import lz4.frame
import zstandard

from tests.build.core import CoreBuilder

if TYPE_CHECKING:
    from collections.abc import Callable

NT_AUXV, NT_PRSTATUS, NT_FILE = 6, 1, 0x46494C45
STACK, CODE, DATA = 0x7F0000000000, 0x400000, 0x10000000
_Q = struct.Struct("<Q")


class Input(NamedTuple):
    """kind: core (a log, too) or stored. options: those of the analysis by name. refused: no report is possible; None: either."""

    path: Path
    kind: str = "core"
    options: dict[str, Any] = {}
    refused: bool | None = False


CRAFTED: list[Callable[[Path], Input]] = []


def crafted(make: Callable[[Path], Input]) -> Callable[[Path], Input]:
    CRAFTED.append(make)
    return make


def words(*values: int) -> bytes:
    return b"".join(_Q.pack(value & (1 << 64) - 1) for value in values)


def auxv(*pairs: tuple[int, int]) -> bytes:
    return b"".join(words(*pair) for pair in pairs) + words(0, 0)


def put(folder: Path, builder: CoreBuilder, name: str = "core") -> Path:
    path = folder / name
    path.write_bytes(builder.bytes())
    return path


class Image:
    """An ELF image in memory: PT_LOAD over all of it, a dynamic section, and what is added to it."""

    def __init__(self, size: int = 0x10000, base: int = CODE) -> None:
        self.base = base
        self.data = bytearray(size)
        self.headers: list[tuple[int, ...]] = [(1, 7, 0, base, base, size, size, 4096)]
        self.dynamic: list[tuple[int, int]] = []

    def at(self, offset: int, data: bytes) -> int:
        self.data[offset : offset + len(data)] = data
        return self.base + offset

    def bytes(self, type_: int = 2) -> bytes:
        headers = list(self.headers)
        if self.dynamic:
            table = b"".join(struct.pack("<qQ", *entry) for entry in self.dynamic) + bytes(16)
            address = self.at(0x800, table)
            headers.append((2, 6, 0x800, address, address, len(table), len(table), 8))
        self.at(
            0,
            b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
            + struct.pack("<HHIQQQIHHHHHH", type_, 62, 1, self.base + 0x1000, 64, 0, 0, 64, 56, len(headers), 64, 0, 0),
        )
        for index, header in enumerate(headers):
            kind, flags, offset, vaddr, paddr, filesz, memsz, align = header
            row = struct.pack("<IIQQQQQQ", kind, flags, offset, vaddr, paddr, filesz, memsz, align)
            self.at(64 + 56 * index, row)
        return bytes(self.data)

    def symbols(self, table: int, strings: int, string_size: int, count: int, hash_at: int) -> None:
        """.dynsym at offset `table`, names at `strings`, DT_HASH with the count."""
        self.at(hash_at, struct.pack("<II", 1, count))
        self.dynamic += [
            (4, self.base + hash_at), (5, self.base + strings), (6, self.base + table), (10, string_size),
        ]  # fmt: skip


def with_image(image: Image, **registers: int) -> CoreBuilder:
    builder = CoreBuilder().thread(1, rip=image.base + 0x1000, rsp=STACK, **registers)
    builder.files((image.base, image.base + len(image.data), 0, "/bin/x"))
    return builder.memory(image.base, image.bytes(), flags=7).note(NT_AUXV, auxv((3, image.base + 64)))


def large_core(path: Path, loads: list[tuple[int, int, int, int, int]], notes: bytes, note_headers: int = 1) -> Path:
    """A core with many program headers: (vaddr, memsz, flags, offset in the content, filesz); content is 64 kB."""
    count = note_headers + len(loads)
    table = bytearray()
    content_at = 64 + 56 * count + 64
    body = notes + bytes(-len(notes) % 4096)
    data_at = content_at + len(body)
    for _ in range(note_headers):
        table += struct.pack("<IIQQQQQQ", 4, 0, content_at, 0, 0, len(notes), 0, 4)
    for vaddr, memsz, flags, offset, filesz in loads:
        table += struct.pack("<IIQQQQQQ", 1, flags, data_at + offset, vaddr, 0, filesz, memsz, 4096)
    extended = count >= 0xFFFF
    shoff = 64 + 56 * count if extended else 0
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, shoff, 0, 64, 56, 0xFFFF if extended else count, 64, 1 if extended else 0, 0
    )
    section = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, count if extended else 0, 0, 0)
    path.write_bytes(header + table + section + body + b"\x41" * 65536)
    return path


def notes_of(builder: CoreBuilder) -> bytes:
    return b"".join(builder.notes)


# Threads and stacks


def _chain(length: int, step: int = 16) -> bytes:
    """A chain of frame pointers: each frame saves the next and returns into the code."""
    stack = bytearray(step * (length + 1))
    for index in range(length):
        struct.pack_into("<QQ", stack, step * index, STACK + step * (index + 1), CODE + 0x20 + index % 7)
    return bytes(stack)


@crafted
def threads_times_frames(folder: Path) -> Input:
    """500 threads that share one chain of 29,000 frame pointers."""
    builder = CoreBuilder()
    for tid in range(1, 501):
        builder.thread(tid, rip=CODE + 16, rsp=STACK, rbp=STACK)
    builder.memory(STACK, _chain(29_000)).memory(CODE, bytes(4096), flags=5)
    return Input(put(folder, builder))


@crafted
def one_thread_of_half_a_million_frames(folder: Path) -> Input:
    builder = CoreBuilder().thread(1, rip=CODE + 16, rsp=STACK, rbp=STACK)
    builder.memory(STACK, _chain(500_000)).memory(CODE, bytes(4096), flags=5)
    return Input(put(folder, builder))


@crafted
def frames_that_differ(folder: Path) -> Input:
    """200,000 frames, each with a pc of its own: nothing can be kept by pc."""
    stack = bytearray(16 * 200_001)
    for index in range(200_000):
        struct.pack_into("<QQ", stack, 16 * index, STACK + 16 * (index + 1), CODE + 16 + 13 * index)
    builder = CoreBuilder().thread(1, rip=CODE + 16, rsp=STACK, rbp=STACK)
    return Input(put(folder, builder.memory(STACK, bytes(stack)).memory(CODE, b"\x90" * 3_000_000, flags=5)))


@crafted
def threads_without_end(folder: Path) -> Input:
    """100,000 threads."""
    builder = CoreBuilder().thread(1, rip=CODE, rsp=STACK)
    one = builder.notes[0]
    builder.notes = [one[: 20 + 32] + struct.pack("<i", tid) + one[20 + 36 :] for tid in range(1, 100_001)]
    return Input(put(folder, builder.memory(STACK, bytes(4096)).memory(CODE, bytes(4096), flags=5)))


@crafted
def scanned_stacks(folder: Path) -> Input:
    """Every word of the stack is a candidate of the scan."""
    stack = words(*[CODE + 5] * 100_000)
    code = b"\xe8\0\0\0\0" * 800
    builder = CoreBuilder().thread(1, rip=CODE + 16, rsp=STACK).memory(STACK, stack).memory(CODE, code, flags=5)
    return Input(put(folder, builder))


@crafted
def signal_frames_without_end(folder: Path) -> Input:
    """20,000 signal frames, each below the other."""
    trampoline = b"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"
    size = 0x400
    stack = bytearray(size * 20_001)
    for index in range(20_000):
        at = size * index
        # ucontext: uc_mcontext at 40: r8 … r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags
        gregs = [0] * 23
        gregs[15], gregs[16] = STACK + at + size, CODE
        struct.pack_into("<23Q", stack, at + 40, *gregs)
        struct.pack_into("<iii", stack, at + 0x130, 11, 0, 1)
    builder = CoreBuilder().thread(1, rip=CODE, rsp=STACK).memory(STACK, bytes(stack))
    return Input(put(folder, builder.memory(CODE, trampoline.ljust(4096, b"\0"), flags=5)))


def _cfi(program: bytes, cfa: bytes | None) -> Image:
    """An image whose one FDE covers its code with this program."""
    image = Image(0x20000)
    if cfa is not None:
        program = b"\x0f" + _uleb(len(cfa)) + cfa + b"\x90\x01" + program
    cie = struct.pack("<I", 0) + b"\x01zR\0\x01\x78\x10\x01\x1b" + b"\x0c\x07\x08\x90\x01"
    cie = struct.pack("<I", len(cie)) + cie
    fde_at = image.base + 0x4000 + len(cie)
    body = struct.pack("<I", fde_at + 4 - (image.base + 0x4000))
    body += struct.pack("<iI", image.base + 0x1000 - (fde_at + 8), 0x2000) + b"\0" + program
    image.at(0x4000, cie + struct.pack("<I", len(body)) + body + bytes(4))
    table = struct.pack("<ii", 0x1000 - 0x3000, fde_at - (image.base + 0x3000))
    header = b"\x01\x1b\x03\x3b" + struct.pack("<iI", 0x4000 - 0x3004, 1) + table
    image.at(0x3000, header)
    image.headers.append((0x6474E550, 4, 0x3000, image.base + 0x3000, 0, len(header), len(header), 4))
    return image


def _uleb(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


@crafted
def expressions_of_every_frame(folder: Path) -> Input:
    """The CFA of each of 200,000 frames is an expression of 1,000 operations: rsp + 8 in the end."""
    image = _cfi(b"", b"\x96" * 1000 + b"\x77\x08")
    stack = words(*[image.base + 0x1100] * 200_000)
    return Input(put(folder, with_image(image).memory(STACK, stack)))


@crafted
def programs_of_every_place(folder: Path) -> Input:
    """8,000 places in one FDE, whose program remembers its state and goes on by a byte, 4,000 times."""
    image = _cfi((b"\x0a" + b"\x41") * 2000, None)
    stack = words(*[image.base + 0x1001 + index for index in range(8000)] * 20)
    return Input(put(folder, with_image(image).memory(STACK, stack)))


@crafted
def remembered_rows(folder: Path) -> Input:
    """Rows with rules for 60 registers, remembered 256 times for each place."""
    registers = b"".join(bytes([0x80 | number, 1]) for number in range(60))
    image = _cfi(registers + b"\x0a" * 1500 + b"\x0b" * 1500, None)
    stack = words(*[image.base + 0x1001 + index for index in range(8000)])
    return Input(put(folder, with_image(image).memory(STACK, stack)))


# Notes and headers


@crafted
def note_headers_onto_one_note(folder: Path) -> Input:
    builder = (
        CoreBuilder()
        .thread(1, rip=CODE, rsp=STACK)
        .files(*((0x1000 * n, 0x1000 * n + 0x1000, 0, f"/data/{n}") for n in range(1, 3000)))
    )
    return Input(large_core(folder / "core", [(STACK, 4096, 6, 0, 4096)], notes_of(builder), 60_000))


@crafted
def small_notes_without_end(folder: Path) -> Input:
    """3,000,000 notes of 16 bytes."""
    empty = struct.pack("<III", 0, 0, 99)
    builder = CoreBuilder().thread(1, rip=CODE, rsp=STACK)
    return Input(large_core(folder / "core", [(STACK, 4096, 6, 0, 4096)], notes_of(builder) + empty * 3_000_000))


@crafted
def segments_onto_the_same_bytes(folder: Path) -> Input:
    """900,000 segments."""
    loads = [(DATA + 0x2000 * n, 0x1000, 6, 0, 4096) for n in range(900_000)]
    return Input(large_core(folder / "core", loads, notes_of(CoreBuilder().thread(1, rip=CODE, rsp=DATA))))


@crafted
def segments_over_each_other(folder: Path) -> Input:
    """60,000 segments of 2^62 bytes: sums go beyond 64 bits."""
    loads = [(DATA + 0x1000 * n, 1 << 62, 6, 0, 1 << 62) for n in range(60_000)]
    return Input(large_core(folder / "core", loads, notes_of(CoreBuilder().thread(1, rip=CODE, rsp=DATA))))


@crafted
def program_break(folder: Path) -> Input:
    """60,000 anonymous mappings above the executable, none of them the program break's permissions."""
    image = Image(0x4000)
    builder = with_image(image)
    notes = notes_of(builder)
    loads = [(image.base, 0x4000, 5, 0, 0x4000)] + [(0x500000 + 0x2000 * n, 0x1000, 4, 0, 0) for n in range(60_000)]
    path = large_core(folder / "core", loads, notes)
    data = bytearray(path.read_bytes())
    data[-65536 : -65536 + 0x4000] = image.bytes()
    path.write_bytes(bytes(data))
    return Input(path)


@crafted
def large_blocks_of_malloc(folder: Path) -> Input:
    """60,000 segments over the same bytes, which look like blocks of malloc one after another."""
    loads = [(DATA + 0x100000 * n, 0x10000, 6, 0, 0x10000) for n in range(60_000)]
    path = large_core(folder / "core", loads, notes_of(CoreBuilder().thread(1, rip=CODE, rsp=DATA)))
    data = bytearray(path.read_bytes())
    for at in range(0, 0x10000, 0x1000):
        struct.pack_into("<QQ", data, len(data) - 65536 + at, 0, 0x1002)
    path.write_bytes(bytes(data))
    return Input(path)


@crafted
def auxiliary_vector_of_megabytes(folder: Path) -> Input:
    vector = b"".join(struct.pack("<QQ", n, n) for n in range(1000, 2_000_000))
    return Input(put(folder, CoreBuilder().thread(1, rip=CODE, rsp=STACK).note(NT_AUXV, vector)))


def _file_table(rows: list[tuple[int, int, int]], names: bytes) -> bytes:
    return struct.pack("<QQ", len(rows), 4096) + b"".join(struct.pack("<QQQ", *row) for row in rows) + names


@crafted
def rows_of_the_file_table(folder: Path) -> Input:
    rows = [(0x1000 * n, 0x1000 * n + 0x1000, n % 3) for n in range(1, 400_001)]
    table = _file_table(rows, b"".join(b"/lib/%d.so\0" % (n % 1000) for n in range(400_000)))
    return Input(put(folder, CoreBuilder().thread(1, rip=CODE, rsp=STACK).note(NT_FILE, table)))


@crafted
def long_paths(folder: Path) -> Input:
    """20,000 paths of 4 kB, which go up and down the tree."""
    rows = [(0x1000 * n, 0x1000 * n + 0x1000, 0) for n in range(1, 20_001)]
    names = b"".join(b"/usr/lib" + b"/../lib" * 580 + b"/%d.so\0" % n for n in range(20_000))
    builder = CoreBuilder().thread(1, rip=CODE, rsp=STACK).note(NT_FILE, _file_table(rows, names))
    return Input(put(folder, builder))


@crafted
def short_paths_of_many_parts(folder: Path) -> Input:
    """8,000 paths of 2,000 parts."""
    rows = [(0x1000 * n, 0x1000 * n + 0x1000, 0) for n in range(1, 8_001)]
    names = b"".join(b"/." * 1000 + b"/%d.so\0" % n for n in range(8_000))
    builder = CoreBuilder().thread(1, rip=CODE, rsp=STACK).note(NT_FILE, _file_table(rows, names))
    return Input(put(folder, builder))


@crafted
def names_without_end_in_the_file_table(folder: Path) -> Input:
    rows = [(0x1000 * n, 0x1000 * n + 0x1000, 0) for n in range(1, 1000)]
    builder = CoreBuilder().thread(1, rip=CODE, rsp=STACK)
    return Input(put(folder, builder.note(NT_FILE, _file_table(rows, b"/" + b"x" * 20_000_000))))


@crafted
def devices_and_pipes_as_modules(folder: Path) -> Input:
    """The core maps /dev/zero, a FIFO, /proc/kmsg, a directory, itself."""
    os.mkfifo(folder / "pipe")
    names = ["/dev/zero", str(folder / "pipe"), "/proc/kmsg", "/proc/self/mem", "/", str(folder / "core"), "/dev/tty"]
    rows = [(0x10000 * n, 0x10000 * n + 0x1000, 0, name) for n, name in enumerate(names, 1)]
    builder = CoreBuilder().thread(1, rip=CODE, rsp=STACK).files(*rows)
    return Input(put(folder, builder))


# What lies in memory


@crafted
def arguments_of_long_strings(folder: Path) -> Input:
    """4,000 pointers to a string of 128 kB, as arguments and as environment."""
    text, vector = STACK + 0x40000, auxv((25, STACK + 0x40000))[:-16]
    pointers = words(4000, *[text] * 4000, 0, *[text] * 4000, 0)
    stack = bytes(0x30000 - len(pointers)) + pointers + vector
    stack = stack.ljust(0x40000, b"\0") + b"PATH=" + b"A" * 131_000 + b"\0"
    builder = CoreBuilder().thread(1, rip=CODE, rsp=STACK).note(NT_AUXV, vector + bytes(16))
    return Input(put(folder, builder.memory(STACK, stack)))


@crafted
def symbols_with_one_endless_name(folder: Path) -> Input:
    """400,000 symbols whose names are all the rest of a string table without NUL."""
    count = 400_000
    image = Image(0x10000 + 24 * count + (1 << 20))
    table, strings = 0x10000, 0x10000 + 24 * count
    row = struct.pack("<IBBHQQ", 1, 0x12, 0, 1, image.base + 0x1000, 0x1000)
    image.at(table, row * count)
    image.at(strings, b"\0" + b"S" * ((1 << 20) - 1))
    image.symbols(table, strings, 1 << 20, count, 0xF000)
    return Input(put(folder, with_image(image).memory(STACK, bytes(64))))


@crafted
def frames_with_long_names(folder: Path) -> Input:
    """190,000 frames in a function whose name has 60 kB."""
    image = Image(0x40000)
    image.at(0x10000, bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, image.base + 0x1000, 0x8000))
    image.at(0x20000, b"\0" + b"f" * 60_000 + b"\0")
    image.symbols(0x10000, 0x20000, 0x20000, 2, 0xF000)
    stack = bytearray(16 * 190_001)
    for index in range(190_000):
        struct.pack_into("<QQ", stack, 16 * index, STACK + 16 * (index + 1), image.base + 0x1010)
    return Input(put(folder, with_image(image, rbp=STACK).memory(STACK, bytes(stack))))


@crafted
def names_that_repeat_themselves(folder: Path) -> Input:
    """Mangled names whose demangled form grows with each reference."""
    image = Image(0x80000)
    names = [b"_Z1fI" + b"S_" * 40 + b"1aIS_S_EE" + b"S0_" * n + b"vv" for n in range(200)]
    names += [b"_Z" + b"N" * 3000, b"_Z" + b"P" * 4000 + b"i", b"_RNvC" + b"I" * 3000, b"_Z1f" + b"DpT_" * 800]
    table, blob = bytearray(24), bytearray(b"\0")
    for index, name in enumerate(names):
        table += struct.pack("<IBBHQQ", len(blob), 0x12, 0, 1, image.base + 0x1000 + 16 * index, 16)
        blob += name + b"\0"
    image.at(0x10000, bytes(table))
    image.at(0x20000, bytes(blob))
    image.symbols(0x10000, 0x20000, len(blob), len(names) + 1, 0xF000)
    stack = words(*[image.base + 0x1008 + 16 * index for index in range(len(names))])
    return Input(put(folder, with_image(image).memory(STACK, stack)))


@crafted
def hash_chain_without_end(folder: Path) -> Input:
    """DT_GNU_HASH whose last chain has no end mark for 32 MB."""
    image = Image(33 << 20)
    image.at(0xF000, struct.pack("<IIII", 1, 1, 1, 0) + bytes(8) + struct.pack("<I", 2))
    image.dynamic += [(0x6FFFFEF5, image.base + 0xF000), (5, image.base + 0x2000), (6, image.base + 0x3000), (10, 100)]
    return Input(put(folder, with_image(image).memory(STACK, bytes(64))))


@crafted
def soname_without_end(folder: Path) -> Input:
    image = Image(0x200000)
    image.at(0x10000, b"s" * 0x1F0000)
    image.dynamic += [(5, image.base + 0x10000), (14, 0), (10, 0x1F0000)]
    return Input(put(folder, with_image(image).memory(STACK, bytes(64))))


def _link_map(count: int, circle: bool, name: bytes) -> CoreBuilder:
    image = Image(0x10000)
    nodes = DATA
    image.at(0xE000, words(1, nodes))
    image.dynamic += [(21, image.base + 0xE000)]
    names = nodes + 40 * count
    body = bytearray()
    for index in range(count):
        following = nodes + 40 * (index + 1) if index + 1 < count else (nodes if circle else 0)
        body += words(image.base, names, image.base + 0x800, following, 0)
    builder = CoreBuilder().thread(1, rip=image.base + 0x1000, rsp=STACK)
    builder.memory(image.base, image.bytes(), flags=7).note(NT_AUXV, auxv((3, image.base + 64)))
    return builder.memory(DATA, bytes(body) + name)


@crafted
def link_map_flood(folder: Path) -> Input:
    return Input(put(folder, _link_map(200_000, False, b"/" + b"l" * 200_000)))


@crafted
def link_map_in_a_circle(folder: Path) -> Input:
    return Input(put(folder, _link_map(60_000, True, b"/lib/x.so\0")))


@crafted
def link_map_of_distinct_images(folder: Path) -> Input:
    """10,000 images, each with 300 segments and a name of 4 kB."""
    image = Image(0x8000)
    image.headers += [(1, 7, 0, 0, 0, 0x8000, 0x8000, 4096)] * 300
    image.base, image.headers[0] = 0, (1, 7, 0, 0, 0, 0x8000, 0x8000, 4096)
    content = image.bytes(3)
    main = Image(0x10000)
    main.at(0xE000, words(1, DATA))
    main.dynamic += [(21, main.base + 0xE000)]
    count = 10_000
    body = b"".join(
        words(0x5000000000 + 0x10000 * n, DATA + 40 * count, 0, DATA + 40 * (n + 1) if n + 1 < count else 0, 0)
        for n in range(count)
    )
    builder = CoreBuilder().thread(1, rip=main.base + 0x1000, rsp=STACK).note(NT_AUXV, auxv((3, main.base + 64)))
    notes = notes_of(builder)
    loads = [(0x5000000000 + 0x10000 * n, 0x8000, 7, 0, 0x8000) for n in range(count)]
    path = large_core(folder / "core", loads, notes)
    data = bytearray(path.read_bytes())
    data[-65536 : -65536 + 0x8000] = content
    # The executable and the list as two more segments, in place of two of the images.
    at = 64 + 56
    for vaddr, blob, flags in ((main.base, main.bytes(), 7), (DATA, body + b"/" + b"n" * 5000, 6)):
        struct.pack_into("<IIQQQQQQ", data, at, 1, flags, len(data), vaddr, 0, len(blob), len(blob), 4096)
        data += blob
        at += 56
    path.write_bytes(bytes(data))
    return Input(path)


def _aborted(folder: Path, memory: bytes, name: bytes = b"__cxa_throw", threads: int = 1) -> Input:
    """A process that aborted in a function of that name, with `memory` at DATA."""
    image = Image(0x40000)
    image.at(0x10000, bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, image.base + 0x1000, 0x1000))
    image.at(0x20000, b"\0" + name + b"\0")
    image.symbols(0x10000, 0x20000, 0x1000, 2, 0xF000)
    builder = CoreBuilder()
    for tid in range(1, threads + 1):
        builder.thread(tid, signal=6, rip=image.base + 0x1010, rsp=STACK, fs_base=DATA + 0x100)
    builder.process(1, b"x", b"x").siginfo(6, -6, 1)
    builder.files((image.base, image.base + len(image.data), 0, "/bin/x"))
    builder.memory(image.base, image.bytes(), flags=7).note(NT_AUXV, auxv((3, image.base + 64)))
    return Input(put(folder, builder.memory(DATA, memory).memory(STACK, words(image.base + 0x1020) * 8)))


def _exception(at: int, type_info: int, following: int = 0) -> bytes:
    """A living __cxa_exception of 128 bytes with its count of references, whose object lies at `at` + 128."""
    body = bytearray(words(1, 0) + bytes(112) + bytes(64))
    struct.pack_into("<Q", body, 16, type_info)
    struct.pack_into("<Q", body, 16 + 32, following)
    body[16 + 80 : 16 + 88] = b"\0++CCUNG"
    return bytes(body)


@crafted
def bases_that_are_their_own(folder: Path) -> Input:
    """A type_info with 16 bases, all of which are itself."""
    info = DATA + 0x8000
    memory = bytearray(0x10000)
    memory[0x1000:0x10C0] = _exception(DATA + 0x1000, info)
    memory[0x8000:0x8018] = words(0, DATA + 0x9000, 16 << 32)
    for number in range(16):
        memory[0x8018 + 16 * number : 0x8028 + 16 * number] = words(info, 8 << 8)
    memory[0x9000:0x9008] = b"3Foo\0\0\0\0"
    return _aborted(folder, bytes(memory))


@crafted
def bases_of_bases(folder: Path) -> Input:
    """Sixteen levels of classes with sixteen bases each."""
    memory = bytearray(0x20000)
    memory[0x1000:0x10C0] = _exception(DATA + 0x1000, DATA + 0x8000)
    for level in range(17):
        at = 0x8000 + 0x400 * level
        memory[at : at + 24] = words(0, DATA + 0x9000 + 0x8000, 16 << 32)
        for number in range(16):
            place = at + 24 + 16 * number
            memory[place : place + 16] = words(DATA + at + 0x400, (8 * number) << 8)
    memory[0x11000:0x11008] = b"3Foo\0\0\0\0"
    return _aborted(folder, bytes(memory))


@crafted
def exceptions_without_end(folder: Path) -> Input:
    """64 MB of exception classes, most of them not aligned."""
    return _aborted(folder, b"x" + b"\0++CCUNG" * (8 << 20))


@crafted
def exceptions_that_live(folder: Path) -> Input:
    """100,000 living exceptions in a circle of what was caught before."""
    one = _exception(DATA, DATA + 0x100, DATA + 16)
    return _aborted(folder, one * 100_000)


@crafted
def thread_local_storage_of_thousands(folder: Path) -> Input:
    """5,000 threads with 1,000 TLS blocks each."""
    memory = bytearray(0x40000)
    memory[0x1000:0x10C0] = _exception(DATA + 0x1000, DATA + 0x8000)
    memory[0x8000:0x8018] = words(0, DATA + 0x9000, 0)
    memory[0x9000:0x9008] = b"3Foo\0\0\0\0"
    struct.pack_into("<Q", memory, 0x100 + 8, DATA + 0x10010)
    struct.pack_into("<Q", memory, 0x10000, 1024)
    for number in range(1, 1025):
        struct.pack_into("<QQ", memory, 0x10010 + 16 * number, DATA + 0x20000 + 64 * number, 0)
    return _aborted(folder, bytes(memory), threads=5000)


@crafted
def last_words_without_end(folder: Path) -> Input:
    """A sanitizer's words over and over, never with an end, and its functions on the stack."""
    return _aborted(folder, (b"x" * 395 + b": runtime error: ") * 20_000, b"__ubsan_handle_x")


@crafted
def reports_of_a_sanitizer(folder: Path) -> Input:
    return _aborted(folder, b"==1==ERROR: AddressSanitizer: " * 500_000, b"__asan_report")


@crafted
def panics_of_rust(folder: Path) -> Input:
    return _aborted(folder, b"thread '" * 300_000 + b" panicked at " * 300_000, b"rust_panic")


@crafted
def assertion_of_libstdcxx(folder: Path) -> Input:
    """The stack is full of words that look like lines, and pointers to long text."""
    return _aborted(folder, words(DATA + 0x800, 77) * 0x80 + b"/a" * 400_000, b"std::__glibcxx_assert_fail")


# Compressed


@crafted
def empty_frames_of_zstd(folder: Path) -> Input:
    frame = zstandard.ZstdCompressor().compress(b"")
    (folder / "core.zst").write_bytes(frame * 400_000)
    return Input(folder / "core.zst", refused=True)


@crafted
def empty_members_of_gzip(folder: Path) -> Input:
    (folder / "core.gz").write_bytes(gzip.compress(b"", 1) * 100_000)
    return Input(folder / "core.gz", refused=True)


@crafted
def zeros_without_end(folder: Path) -> Input:
    """8 GB of zeros in some hundred kB."""
    path = folder / "core.zst"
    builder = CoreBuilder().thread(1, rip=CODE, rsp=STACK).memory(STACK, bytes(64))
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    with path.open("wb") as sink:
        sink.write(compressor.compress(builder.bytes()))
        for _ in range(8 << 10):
            sink.write(compressor.compress(bytes(1 << 20)))
        sink.write(compressor.flush())
    return Input(path)


@crafted
def window_of_gigabytes(folder: Path) -> Input:
    """A zstd frame that asks for a window of 2 GB."""
    path = folder / "core.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00" + b"\x55" * 1000)
    return Input(path, refused=True)


@crafted
def dictionary_of_gigabytes(folder: Path) -> Input:
    """An xz stream with a dictionary of almost 4 GB."""
    import lzma

    filters = [
        {
            "id": lzma.FILTER_LZMA2,
            "dict_size": 1536 << 20,
            "mode": lzma.MODE_FAST,
            "mf": lzma.MF_HC3,
            "depth": 1,
            "nice_len": 4,
        }
    ]
    data = bytearray(
        lzma.compress(CoreBuilder().thread(1).bytes(), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 4096}])
    )
    del filters
    # LZMA2's property byte of the block header: 40 is 2^32 - 1 bytes.
    at = data.index(b"\x21\x01", 12) + 2
    data[at] = 39
    import zlib

    size = (data[12] + 1) * 4
    struct.pack_into("<I", data, 12 + size - 4, zlib.crc32(bytes(data[12 : 12 + size - 4])))
    path = folder / "core.xz"
    path.write_bytes(bytes(data))
    return Input(path)


@crafted
def sparse_terabyte(folder: Path) -> Input:
    """A file of 1 TB of hole behind a core, of which writable memory claims all."""
    path = folder / "core"
    builder = CoreBuilder().thread(1, signal=6, rip=CODE, rsp=STACK).siginfo(6, -6, 1).process(1, b"x", b"x")
    data = bytearray(builder.memory(STACK, bytes(64)).bytes())
    at = 64 + 56
    offset = 1 << 20
    struct.pack_into("<IIQQQQQQ", data, at, 1, 6, offset, STACK, 0, (1 << 40) - offset, (1 << 40) - offset, 4096)
    path.write_bytes(bytes(data))
    try:
        os.truncate(path, 1 << 40)
    except OSError:
        os.truncate(path, 1 << 36)
    return Input(path)


# Logs


HEAD = (
    "#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n"
    "#  SIGSEGV (0xb) at pc=0x00007f0000001000, pid=1, tid=2\n#\n"
    "# JRE version: OpenJDK Runtime Environment (17.0.1+12) (build 17.0.1+12)\n"
    "# Java VM: OpenJDK 64-Bit Server VM (17.0.1+12, mixed mode, tiered, g1 gc, linux-amd64)\n"
    "# Problematic frame:\n# C  [libx.so+0x1000]  f+0x10\n#\n\n---------------  T H R E A D  ---------------\n\n"
)


def _log(folder: Path, text: str) -> Input:
    path = folder / "hs_err_pid1.log"
    path.write_text(text)
    return Input(path)


@crafted
def log_of_62_megabytes(folder: Path) -> Input:
    row = "7f0000000000-7f0000001000 r-xp 00000000 08:01 123                        /usr/lib/libx.so\n"
    return _log(folder, HEAD + "Dynamic libraries:\n" + row * 700_000)


@crafted
def log_of_threads(folder: Path) -> Input:
    row = '  0x00007f0000001000 JavaThread "%d" daemon [_thread_blocked, id=%d, stack(0x0,0x1)]\n'
    return _log(folder, HEAD + "Java Threads: ( => current thread )\n" + "".join(row % (n, n) for n in range(200_000)))


@crafted
def log_of_one_line(folder: Path) -> Input:
    return _log(folder, HEAD + "# C  [" + "lib" * 3_000_000 + "\n")


@crafted
def log_of_blanks(folder: Path) -> Input:
    """Where a pattern has several ways to take blanks."""
    return _log(
        folder, HEAD + "".join(f"{' ' * 3000}{word}{' ' * 3000}x\n" for word in ("=>0x", "[", "(", "J ", "j ")) * 200
    )


@crafted
def log_of_half_patterns(folder: Path) -> Input:
    starts = (
        "Current thread (0x", "J 1 c2 ", "j  ", "V  [", "C  [", "Event: 1.0 ", " PSYoungGen total ", "0x1-0x2 ",
        "siginfo: si_signo: ", "RAX=0x", "JavaThread \"", "Heap address: ", "Stack: [0x", "Command Line: ", "vm_info: ",
    )  # fmt: skip
    return _log(
        folder,
        HEAD
        + "".join(
            start + piece * 4000 + "\n"
            for start in starts
            for piece in ("a", "( ", "[0x", ", ", "K, ", "0x1 ", ": ", "\"'", "- ")
        ),
    )


@crafted
def log_of_prefixes(folder: Path) -> Input:
    """Each line with a prefix of its own."""
    lines = HEAD.split("\n") * 3000
    return _log(folder, "\n".join(f"{'ab '[n % 3] * (n % 50)}[{n}] {n % 7}|{line}" for n, line in enumerate(lines)))


@crafted
def log_of_escapes(folder: Path) -> Input:
    return _log(folder, '{"log": "' + HEAD.replace("\n", "\\n") + "\\\\" * 500_000 + '"}\n' + "&lt;&amp;" * 300_000)


@crafted
def log_of_numbers(folder: Path) -> Input:
    return _log(folder, HEAD + f"Memory: 4k page, physical {'9' * 5000}k({'9' * 4000}k free), swap {'9' * 300}k\n" * 50
                + f"Total number of mappings: {'7' * 5000}\nelapsed time: {'1' * 400}.{'5' * 400} seconds\n")  # fmt: skip


# Stored reports


def _report(**parts: Any) -> dict[str, Any]:
    return {
        "schema_version": "1.0", "tool": {"name": "postmortem", "version": "1"},
        "core": {"path": "core", "size": 1, "format": "elf-core"}, **parts,
    }  # fmt: skip


def _stored(folder: Path, text: str | dict[str, Any], refused: bool | None = False) -> Input:
    path = folder / "report.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return Input(path, "stored", refused=refused)


def _frame(n: int, **parts: Any) -> dict[str, Any]:
    return {"pc": hex(0x1000 + n), "sp": hex(0x2000 + n), **parts}


@crafted
def stored_deep(folder: Path) -> Input:
    return _stored(folder, '{"a":' * 200_000 + "1" + "}" * 200_000, refused=True)


@crafted
def stored_deep_in_an_unknown_field(folder: Path) -> Input:
    text = json.dumps(_report())[:-1] + ', "zzz": ' + "[" * 100_000 + "]" * 100_000 + "}"
    return _stored(folder, text, refused=None)  # how deep a reader goes differs with Python's version


@crafted
def stored_numbers(folder: Path) -> Input:
    text = json.dumps(_report(memory={"mappings": 1})).replace('"mappings": 1', '"mappings": ' + "9" * 100_000)
    return _stored(folder, text, refused=True)


@crafted
def stored_addresses(folder: Path) -> Input:
    frames = [{"pc": "0x" + "f" * 20_000, "sp": "-0x" + "1" * 20_000} for _ in range(200)]
    return _stored(folder, _report(threads=[{"tid": 1, "frames": frames}]))


@crafted
def stored_frames(folder: Path) -> Input:
    frames = [_frame(n, function=f"f{n % 41}") for n in range(150_000)]
    return _stored(folder, _report(threads=[{"tid": 1, "crashed": True, "frames": frames}]))


@crafted
def stored_cycles(folder: Path) -> Input:
    frames = [_frame(n, function="f") for n in range(2000)]
    cycles = [{"start": n % 1900, "period": 1 + n % 50, "count": 1 << 30} for n in range(20_000)]
    return _stored(folder, _report(threads=[{"tid": 1, "crashed": True, "frames": frames, "cycles": cycles}]))


@crafted
def stored_threads(folder: Path) -> Input:
    threads = [{"tid": n, "frames": [_frame(n, function=f"f{n}")]} for n in range(15_000)]
    return _stored(folder, _report(threads=threads))


@crafted
def stored_locks_in_a_circle(folder: Path) -> Input:
    threads = [
        {
            "tid": n,
            "wait": {
                "syscall": "futex",
                "kind": "mutex",
                "address": hex(64 * n),
                "owner": (n + 1) % 10_000,
                "owner_in_core": True,
            },
        }
        for n in range(10_000)
    ]
    return _stored(folder, _report(threads=threads))


@crafted
def stored_mappings(folder: Path) -> Input:
    rows = [
        {"start": hex(0x1000 * n), "end": hex(0x1000 * n + 0x1000), "permissions": "rw-", "kind": f"k{n}"}
        for n in range(60_000)
    ]
    return _stored(folder, _report(mappings=rows))


@crafted
def stored_findings(folder: Path) -> Input:
    one = {"rule": "x", "title": "t", "severity": "high", "confidence": "likely", "claim": "cause", "explanation": "e" * 1000,
           "evidence": [{"where": "threads[0].frames[0].function", "value": "v", "text": "t"}] * 50}  # fmt: skip
    return _stored(folder, _report(findings=[one] * 5000))


@crafted
def stored_text_for_the_masks(folder: Path) -> Input:
    """What patterns of secrets must go through: names, colons and quotes without an end."""
    text = (
        "password" * 20_000
        + "token: " * 20_000
        + '"a": "' * 20_000
        + "https://a" * 20_000
        + "-----BEGIN PRIVATE KEY-----" * 5000
    )
    text += (
        "a=" * 50_000
        + "--key " * 20_000
        + "eyJ" * 50_000
        + "Authorization: " * 20_000
        + "@" * 50_000
        + ("x" * 99 + ":") * 2000
    )
    process = {"arguments": [text, text], "environment": {"A": text}}
    return _stored(folder, _report(process=process, native={"abort_message": text, "runtime_message": text}))


@crafted
def stored_secrets_without_end(folder: Path) -> Input:
    """100,000 values that are to be masked wherever they are."""
    environment = {f"PASSWORD_{n}": f"secret{n:08}value" for n in range(100_000)}
    text = " ".join(f"secret{n:08}valu" for n in range(20_000))
    return _stored(folder, _report(process={"environment": environment}, native={"abort_message": text}))


@crafted
def stored_histogram(folder: Path) -> Input:
    rows = [{"class": f"a.B{n}", "instances": n, "bytes": n} for n in range(150_000)]
    return _stored(folder, _report(jvm={"histogram": rows}))


@crafted
def stored_jvm_lists(folder: Path) -> Input:
    jvm = {
        "arguments": ["-Dx=" + "y" * 5000] * 2000, "properties": {f"p{n}": "v" * 100 for n in range(30_000)},
        "flags": [{"name": f"F{n}", "value": "1", "origin": "command line"} for n in range(30_000)],
    }  # fmt: skip
    return _stored(folder, _report(jvm=jvm))


# Files that are none


@crafted
def device_as_core(folder: Path) -> Input:
    (folder / "core").symlink_to("/dev/zero")
    return Input(folder / "core", refused=True)


@crafted
def pipe_as_core(folder: Path) -> Input:
    os.mkfifo(folder / "core")
    return Input(folder / "core", refused=True)


@crafted
def device_as_executable(folder: Path) -> Input:
    path = put(
        folder,
        CoreBuilder()
        .thread(1, rip=CODE, rsp=STACK)
        .files((CODE, CODE + 0x1000, 0, "/bin/x"))
        .note(NT_AUXV, auxv((3, CODE + 64))),
    )
    return Input(path, options={"executable": Path("/dev/zero")})


def _perf_map(folder: Path, write: Callable[[Path], None]) -> Input:
    (folder / "tmp").mkdir()
    builder = CoreBuilder().thread(1, rip=CODE + 16, rsp=STACK).process(77, b"x", b"x")
    write(folder / "tmp" / "perf-77.map")
    path = put(folder, builder.memory(CODE, bytes(4096), flags=5).memory(STACK, bytes(64)))
    return Input(path, options={"sysroot": folder})


@crafted
def perf_map_of_gigabytes(folder: Path) -> Input:
    def write(path: Path) -> None:
        with path.open("wb") as sink:
            for n in range(60_000):
                sink.write(b"".join(b"%x 10 function_%d\n" % (CODE + n * 16 + k, k) for k in range(0, 16, 16)))
            sink.truncate(3 << 30)

    return _perf_map(folder, write)


@crafted
def perf_map_of_lines(folder: Path) -> Input:
    def write(path: Path) -> None:
        path.write_bytes(b"".join(b"%x 1 f\n" % n for n in range(1, 4_000_000)))

    return _perf_map(folder, write)


def _module(folder: Path, content: bytes) -> Input:
    """A core of an executable whose file is `content`."""
    image = Image(0x10000)
    note = struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(range(20))
    address = image.at(0x900, note)
    image.headers.append((4, 4, 0x900, address, address, len(note), len(note), 4))
    path = put(folder, with_image(image).memory(STACK, words(*[image.base + 0x1010] * 50)))
    (folder / "exe").write_bytes(content)
    return Input(path, options={"executable": folder / "exe", "cache_dir": folder / "cache"})


def _file_with_sections(sections: list[tuple[int, bytes, int, int, int]], claimed: int | None = None) -> bytes:
    """An executable with the build-id of _module, and sections (type, content, flags, link, claimed size or -1)."""
    image = Image(0x10000)
    note = struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(range(20))
    address = image.at(0x900, note)
    image.headers.append((4, 4, 0x900, address, address, len(note), len(note), 4))
    body = bytearray(image.bytes())
    rows = bytearray(64)
    for kind, content, flags, link, size in sections:
        rows += struct.pack(
            "<IIQQQQIIQQ",
            0,
            kind,
            flags,
            image.base + 0x1000,
            len(body),
            len(content) if size < 0 else size,
            link,
            0,
            8,
            24,
        )
        body += content + bytes(-len(content) % 8)
    struct.pack_into("<Q", body, 40, len(body))
    struct.pack_into("<HHH", body, 58, 64, min(claimed or len(sections) + 1, 0xFFFF), 0)
    return bytes(body + rows)


@crafted
def module_with_symbols_without_end(folder: Path) -> Input:
    """1,000,000 symbols whose names overlap in a table without NUL."""
    row = b"".join(struct.pack("<IBBHQQ", 1 + n, 0x12, 0, 1, 0x401000, 1 << 30) for n in range(1000))
    return _module(folder, _file_with_sections([(2, row * 1000, 2, 2, -1), (3, b"\0" + b"n" * 100_000, 0, 0, -1)]))


@crafted
def module_with_nested_symbols(folder: Path) -> Input:
    """200,000 symbols, each within the one before."""
    rows = b"".join(struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0x401000 + n // 64, (1 << 24) - n) for n in range(200_000))
    return _module(folder, _file_with_sections([(2, rows, 2, 2, -1), (3, b"\0name\0", 0, 0, -1)]))


@crafted
def module_with_65_thousand_sections(folder: Path) -> Input:
    return _module(folder, _file_with_sections([(7, b"\0" * 16, 0, 0, 1 << 16)] * 65_000))


@crafted
def module_with_mini_debug_info_of_zeros(folder: Path) -> Input:
    import lzma

    content = bytearray(
        _file_with_sections(
            [(1, lzma.compress(bytes(200 << 20), preset=0), 0, 0, -1), (3, b"\0.gnu_debugdata\0", 0, 0, -1)]
        )
    )
    (shoff,) = struct.unpack_from("<Q", content, 40)
    struct.pack_into("<I", content, shoff + 64, 1)
    struct.pack_into("<H", content, 62, 2)
    return _module(folder, bytes(content))


@crafted
def compressed_lz4_of_zeros(folder: Path) -> Input:
    path = folder / "core.lz4"
    path.write_bytes(lz4.frame.compress(CoreBuilder().thread(1, rip=CODE, rsp=STACK).bytes() + bytes(1 << 30)))
    return Input(path)
