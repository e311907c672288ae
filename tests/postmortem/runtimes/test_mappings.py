"""Mappings that the kernel joined are named by the uses found in them."""

from __future__ import annotations

from parsers.elf import core as core_parser
from postmortem.program.memory import AddressSpace, Piece
from postmortem.program.modules import ModuleMap
from postmortem.runtimes.mappings import mappings, memory
from tests.build.core import CoreBuilder

START, PAGE = 0x7F0000000000, 4096


def _found(
    builder: CoreBuilder, *known: tuple[int, int, str]
) -> tuple[list[tuple[int, int, str | None, int]], dict[str, int], int]:
    content = builder.bytes()
    core = core_parser.parse(content)
    space = AddressSpace(Piece(s.start, s.start + s.dumped, content, s.offset) for s in core.segments if s.dumped)
    found = mappings(core, ModuleMap(()), space, known)
    summary = memory(found, len(core.segments))
    rows = [((m.start - START) // PAGE, (m.end - START) // PAGE, m.kind, m.dumped // PAGE) for m in found]
    return rows, summary.by_kind, summary.mappings


def test_a_mapping_is_cut_where_its_uses_begin_and_end() -> None:
    builder = CoreBuilder().thread(1).memory(START, bytes(4 * PAGE), size=10 * PAGE)
    heap, cards = (START + PAGE, START + 3 * PAGE, "java heap"), (START + 6 * PAGE, START + 7 * PAGE, "gc card table")
    rows, sizes, count = _found(builder, heap, cards)
    assert rows == [
        (0, 1, "anonymous", 1),
        (1, 3, "java heap", 2),
        (3, 6, "anonymous", 1),
        (6, 7, "gc card table", 0),
        (7, 10, "anonymous", 0),
    ]
    assert (sizes["java heap"], sizes["gc card table"]) == (2 * PAGE, PAGE)
    assert count == 1, "the kernel's mappings are counted, not the parts"


def test_a_use_that_covers_the_mapping_or_lies_elsewhere_cuts_nothing() -> None:
    builder = CoreBuilder().thread(1).memory(START, bytes(2 * PAGE))
    assert _found(builder, (START - PAGE, START + 4 * PAGE, "java heap"))[0] == [(0, 2, "java heap", 2)]
    assert _found(builder, (START + 8 * PAGE, START + 9 * PAGE, "java heap"))[0] == [(0, 2, "anonymous", 2)]


def test_an_arena_behind_a_neighbour_has_its_own_size() -> None:
    heap_max = 64 << 20
    at = -(-START // heap_max) * heap_max
    info = b"".join(value.to_bytes(8, "little") for value in (at + 0x30, 0, 4 * PAGE, 4 * PAGE))
    content = bytes(PAGE) + info.ljust(4 * PAGE, b"\0")
    rows, sizes, _ = _found(CoreBuilder().thread(1).memory(at - PAGE, content))
    assert [kind for _, _, kind, _ in rows] == ["anonymous", "malloc arena"]
    assert sizes["malloc arena"] == 4 * PAGE
