"""Mappings that are glibc malloc's: arenas, and blocks with a mapping of their own."""

from __future__ import annotations

import struct

import pytest

from parsers.elf import core as core_parser
from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes.native.arenas import ARENA, BLOCKS, kind
from tests.build.core import CoreBuilder

READ_WRITE = 6
PAGE = 4096
KIB = 1 << 10
AT = 0x7F0000030000
HEAP = 0x7F0004000000


def block(size: int, flags: int = 2, previous: int = 0) -> bytes:
    return struct.pack("<QQ", previous, size | flags).ljust(size, b"\xaa")


def heap(size: int, arena: int = HEAP + 0x30) -> bytes:
    return struct.pack("<QQQQ", arena, 0, size, size).ljust(size, b"\0")


def named(*mappings: tuple[int, bytes], flags: int = READ_WRITE) -> list[tuple[int, int, str]]:
    builder = CoreBuilder().thread(1)
    for start, data in mappings:
        builder.memory(start, data, flags)
    data = builder.bytes()
    core = core_parser.parse(data)
    space = AddressSpace(Piece(item.start, item.end, data, item.offset) for item in core.segments)
    found = ((item.start, item.end, kind(item, space)) for item in core.segments)
    return [(start, end, name) for start, end, name in found if name is not None]


def test_blocks_one_after_another_and_an_arena() -> None:
    blocks = block(132 * KIB) + block(260 * KIB)
    found = named((AT, blocks), (HEAP, heap(132 * KIB)))
    assert found == [(AT, AT + len(blocks), BLOCKS), (HEAP, HEAP + 132 * KIB, ARENA)]


def test_blocks_of_glibc_2_43() -> None:
    first = struct.pack("<QQ", 0, 132 * KIB - 16 | 2).ljust(132 * KIB, b"\xaa")
    assert named((AT, first + block(140 * KIB))) == [(AT, AT + 272 * KIB, BLOCKS)]


def test_a_block_beside_something_else() -> None:
    mostly = block(260 * KIB) + bytes(132 * KIB)
    assert named((AT, mostly)) == [(AT, AT + len(mostly), BLOCKS)]
    hardly = block(132 * KIB) + bytes(260 * KIB)
    assert named((AT, hardly)) == []


@pytest.mark.parametrize(
    "data",
    [
        block(132 * KIB, flags=1),
        block(132 * KIB, previous=0x40),
        struct.pack("<QQ", 0, (132 * KIB + 8) | 2).ljust(132 * KIB, b"\0"),
        struct.pack("<QQ", 0, (1 << 40) | 2).ljust(132 * KIB, b"\0"),
        struct.pack("<QQ", 0, 2).ljust(132 * KIB, b"\0"),
        block(64 * KIB),
        bytes(132 * KIB),
    ],
)
def test_what_only_looks_like_one(data: bytes) -> None:
    assert named((AT, data)) == []


def test_an_arena_elsewhere_or_read_only() -> None:
    assert named((HEAP + PAGE, heap(132 * KIB))) == []
    assert named((HEAP, heap(132 * KIB)), flags=4) == []
    assert named((HEAP, heap(132 * KIB, arena=0x1234))) == []
