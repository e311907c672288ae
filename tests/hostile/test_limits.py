"""The budget of a run: what it cuts is counted, named in the report, and the same every time."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import postmortem
from parsers.elf import core as core_parser
from parsers.elf import module as module_parser
from parsers.elf import notes
from parsers.limits import LIMITS, Limits
from postmortem.budget import Budget
from postmortem.model import from_json, to_json
from postmortem.program.memory import AddressSpace, Piece
from postmortem.targets.files import open_regular
from reports import FORMATS
from tests.build.core import CoreBuilder
from tests.hostile import crafted

if TYPE_CHECKING:
    from postmortem.model import Report

STACK = 0x7FFC00000000


def report_of(builder: CoreBuilder, folder: Path) -> Report:
    path = folder / "core"
    path.write_bytes(builder.bytes())
    report = postmortem.analyze(path, postmortem.Options(sysroot=folder, strict=True))
    for render in FORMATS.values():
        assert render(report)
    return report


def reached(report: Report) -> set[str]:
    names = {limit.name for limit in report.limits.reached}
    assert names == {problem.where for problem in report.problems if problem.stage == "limits"}
    return names


def test_a_budget_gives_all_or_nothing_and_remembers() -> None:
    budget = Budget(Limits(text=10))
    assert budget.take("text", 6)
    assert not budget.take("text", 5)
    assert not budget.take("text", 1)
    (found,) = budget.reached
    assert (found.name, found.limit, found.left_out) == ("text", 10, 6)
    (problem,) = budget.problems()
    assert "10 bytes of text" in problem.what


def test_an_ordinary_core_reaches_no_limit(tmp_path: Path) -> None:
    report = report_of(CoreBuilder().thread(1, rip=0x401000, rsp=STACK).memory(STACK, bytes(4096)), tmp_path)
    assert reached(report) == set()
    assert from_json(to_json(report)).limits == report.limits


def test_arguments_of_megabytes(tmp_path: Path) -> None:
    """400 pointers to one string of 64 kB: the string is read while the bytes of all arguments last."""
    text = STACK + 0x10000
    area = STACK + 0x8000
    vector = struct.pack("<QQ", 33, 0x7000) + struct.pack("<QQ", 25, text + 8)
    pointers = struct.pack("<Q", 400) + struct.pack("<Q", text) * 400 + bytes(8) + bytes(8)
    stack = bytes(0x8000 - len(pointers)) + pointers + vector
    stack = stack.ljust(text - STACK, b"\0") + b"A" * 65_535 + b"\0"
    assert len(stack) > area - STACK
    builder = CoreBuilder().thread(1, rsp=STACK).note(notes.NT_AUXV, vector + bytes(16)).memory(STACK, stack)
    report = report_of(builder, tmp_path)
    assert "arguments" in reached(report)
    assert 0 < sum(len(text) for text in report.process.arguments) <= LIMITS.arguments


def test_threads_and_notes_beyond_the_limits() -> None:
    builder = CoreBuilder()
    for tid in range(1, 40):
        builder.thread(tid)
    core = core_parser.parse(builder.bytes(), Limits(threads=10))
    assert [len(core.threads), core.left_out] == [10, {"threads": 29}]
    core = core_parser.parse(builder.bytes(), Limits(notes=5))
    assert len(core.threads) == 5
    assert core.left_out == {"notes": 1}
    core = core_parser.parse(builder.bytes(), Limits(note_bytes=1000))
    assert "note_bytes" in core.left_out
    assert core_parser.parse(builder.bytes()).left_out == {}


def test_rows_of_the_file_table_beyond_the_limits() -> None:
    rows = [(0x1000 * n, 0x1000 * (n + 1), 0, f"/lib/{n:04}") for n in range(1, 100)]
    builder = CoreBuilder().thread(1).files(*rows)
    core = core_parser.parse(builder.bytes(), Limits(mapped_files=30))
    assert (len(core.files), core.left_out) == (30, {"mapped_files": 69})
    core = core_parser.parse(builder.bytes(), Limits(path_bytes=90))
    assert (len(core.files), list(core.left_out)) == (10, ["path_bytes"])
    assert core_parser.parse(builder.bytes()).files[-1] == rows[-1]


def test_a_path_without_end_is_cut() -> None:
    builder = CoreBuilder().thread(1).files((0x1000, 0x2000, 0, "/" + "x" * 100_000))
    (row,) = core_parser.parse(builder.bytes()).files
    assert len(row.path) == LIMITS.string


@pytest.mark.parametrize("page_size", [1 << 63, (1 << 64) - 1])
def test_an_offset_of_more_than_64_bits_is_no_row(page_size: int) -> None:
    body = struct.pack("<QQQQQ", 1, page_size, 0x1000, 0x2000, 1 << 40) + b"/x\0"
    core = core_parser.parse(CoreBuilder().thread(1).note(notes.NT_FILE, body).bytes())
    assert core.files == ()


def test_text_taken_from_memory_has_an_end() -> None:
    space = AddressSpace([Piece(0x1000, 0x1100, b"A" * 99 + bytes(157), 0)], Budget(Limits(text=250)))
    assert space.cstring(0x1000) == b"A" * 99
    assert space.cstring(0x1000) == b"A" * 99
    assert space.cstring(0x1000) is None
    assert [limit.name for limit in space.budget.reached] == ["text"]


def test_a_path_of_thousands_of_parts_is_not_looked_for(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    assert not isinstance(open_regular(Path("/x"), tmp_path), str)
    assert "parts" in str(open_regular(Path("/" + "a/../" * 500 + "x"), tmp_path))
    (tmp_path / "loop").symlink_to("/loop/" + "y/" * 900)
    assert open_regular(Path("/loop"), tmp_path) == "leads outside the allowed root"


def test_reads_of_memory_have_an_end() -> None:
    """Blocks that are at hand do not count."""
    pieces = [Piece(at, at + 0x1000, b"A" * 0x1000, 0) for at in (0x1000, 0x3000)]
    space = AddressSpace(pieces, Budget(Limits(reads=4)))
    assert [space.read(at, 8) is not None for at in (0x1000, 0x1010, 0x3000, 0x1000, 0x3000)] == [True] * 5
    assert space.read(0x1000, 8) is None
    assert [limit.name for limit in space.budget.reached] == ["reads"]


def test_dynamic_symbols_of_all_modules_together_have_an_end() -> None:
    """Read from the core where a module has no file; what is left out is counted, not silent."""
    image = crafted.Image()
    strings = image.at(0x3000, b"\0one\0two\0three\0")
    entries = [(1, 0x10), (5, 0x20), (9, 0x30)]
    table = b"".join(struct.pack("<IBBHQQ", name, 0x12, 0, 1, value, 4) for name, value in entries)
    symbols = image.at(0x2000, table)
    hashes = image.at(0x1000, struct.pack("<II", 1, len(entries)))
    image.dynamic += [(4, hashes), (5, strings), (6, symbols), (10, 15)]
    data = image.bytes()
    space = AddressSpace([Piece(image.base, image.base + len(data), data, 0)])
    found = module_parser.read_image(space.read, image.base)
    assert found is not None
    whole, left_out = module_parser.dynamic_symbols(space.read, found)
    assert [entry.name for entry in whole] == ["one", "two", "three"]
    assert left_out == {}
    some, left_out = module_parser.dynamic_symbols(space.read, found, most=2)
    assert ([entry.name for entry in some], left_out) == (["one", "two"], {"dynamic_symbols": 1})
    some, left_out = module_parser.dynamic_symbols(space.read, found, room=7)
    assert ([entry.name for entry in some], left_out) == (["one", "two"], {"dynamic_names": 1})


def test_one_read_of_memory_has_an_end() -> None:
    """A wild number for a size: a segment may be a hole of terabytes, which costs the attacker nothing."""
    space = AddressSpace([Piece(0x1000, 0x3000, b"A" * 0x2000, 0)], Budget(Limits(read_bytes=0x1000)))
    assert space.read(0x1000, 0x1001) is None
    assert space.read_some(0x1000, 1 << 50) == b""
    assert len(space.read_some(0x1000, 0x1000)) == 0x1000
    assert [limit.name for limit in space.budget.reached] == ["read_bytes"]
