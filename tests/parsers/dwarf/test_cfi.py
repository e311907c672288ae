from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.dwarf import cfi
from parsers.elf import header as elf
from parsers.errors import ParseError
from tests.build import callframes
from tests.build.callframes import BASE, Function, reader

if TYPE_CHECKING:
    from collections.abc import Callable


def eh_frame(program: bytes) -> bytes:
    return callframes.eh_frame(Function(0x5000, 0x100, program))


def table(data: bytes) -> cfi.FrameTable:
    return cfi.FrameTable(reader(data), section_address=BASE, section_size=len(data))


def test_prologue_of_a_frame_pointer_function() -> None:
    # push %rbp at +1, mov %rsp,%rbp at +4, leave at +0x50
    program = bytes([0x41, 0x0E, 16, 0x86, 2, 0x43, 0x0D, 6, 0x02, 0x4C, 0x0C, 7, 8])
    frames = table(eh_frame(program))
    entry, pushed, body, left = (frames.rule(0x5000 + offset) for offset in (0, 1, 0x30, 0x50))
    assert entry is not None and pushed is not None and body is not None and left is not None
    assert (entry.cfa_register, entry.cfa_offset, entry.saved) == (7, 8, ((16, -8),))
    assert (pushed.cfa_register, pushed.cfa_offset) == (7, 16)
    assert set(pushed.saved) == {(16, -8), (6, -16)}
    assert (body.cfa_register, body.cfa_offset) == (6, 16)
    assert (left.cfa_register, left.cfa_offset) == (7, 8)


def test_outside_of_every_entry_there_is_no_rule() -> None:
    frames = table(eh_frame(b""))
    assert frames.rule(0x4FFF) is None
    assert frames.rule(0x5100) is None


def test_remember_and_restore_state() -> None:
    program = bytes([0x41, 0x0E, 16, 0x0A, 0x41, 0x0E, 8, 0x41, 0x0B])
    frames = table(eh_frame(program))
    offsets = [rule.cfa_offset for rule in (frames.rule(0x5001), frames.rule(0x5002), frames.rule(0x5003)) if rule]
    assert offsets == [16, 8, 16]


def test_a_restored_state_has_no_register_that_was_saved_later() -> None:
    frames = table(eh_frame(bytes([0x0A, 0x86, 2, 0x41, 0x0B])))
    saved = [rule.saved for rule in (frames.rule(0x5000), frames.rule(0x5001)) if rule]
    assert saved == [((16, -8), (6, -16)), ((16, -8),)]


def test_undefined_return_address_is_the_bottom() -> None:
    rule = table(eh_frame(bytes([0x07, 16]))).rule(0x5000)
    assert rule is not None
    assert rule.bottom


def test_an_unknown_opcode_is_named() -> None:
    with pytest.raises(ParseError, match="0x3f"):
        table(eh_frame(bytes([0x3F]))).rule(0x5000)


def test_expressions() -> None:
    registers: list[int | None] = [None] * 17
    registers[7] = 0x1000
    memory = {0x1010: 0xABC}
    # breg7+16, deref, plus_uconst 4
    assert cfi.evaluate(bytes([0x77, 16, 0x06, 0x23, 4]), registers, memory.get, None) == 0xAC0
    # the PLT's: breg7+8, breg16, lit15, and, lit11, ge, lit3, shl, plus
    registers[16] = 0x401016 | 0xB
    plt = bytes([0x77, 8, 0x80, 0, 0x3F, 0x1A, 0x3B, 0x2A, 0x33, 0x24, 0x22])
    assert cfi.evaluate(plt, registers, memory.get, None) == 0x1010
    assert cfi.evaluate(bytes([0x70, 0]), registers, memory.get, None) is None


@given(st.binary(max_size=64))
def test_any_program_ends(program: bytes) -> None:
    try:
        table(eh_frame(program)).rule(0x5080)
    except ParseError as error:
        assert str(error)


@given(st.binary(max_size=64))
def test_any_expression_ends(expression: bytes) -> None:
    registers: list[int | None] = list(range(17))
    try:
        cfi.evaluate(expression, registers, lambda address: address, 8)
    except ParseError as error:
        assert str(error)


@given(st.binary(max_size=300))
def test_any_section_ends(data: bytes) -> None:
    try:
        table(data).rule(0x5000)
    except ParseError as error:
        assert str(error)


def test_registers_saved_moved_and_given_up() -> None:
    program = bytes([0x86, 2, 0x14, 12, 3, 0x09, 13, 3, 0x10, 14, 2, 0x77, 8, 0x16, 15, 1, 0x30, 0x07, 3])
    rule = table(eh_frame(program)).rule(0x5000)
    assert rule is not None
    assert set(rule.saved) == {(16, -8), (6, -16)}
    assert set(rule.others) == {
        (12, cfi.VAL_OFFSET, -24), (13, cfi.REGISTER, 3), (14, cfi.EXPRESSION, b"\x77\x08"),
        (15, cfi.VAL_EXPRESSION, b"\x30"), (3, cfi.UNDEFINED, 0),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("program", "saved"),
    [
        (bytes([0x05, 6, 3]), -24),  # DW_CFA_offset_extended
        (bytes([0x11, 6, 0x7D]), 24),  # DW_CFA_offset_extended_sf: -3 times the alignment
        (bytes([0x2F, 6, 3]), 24),  # DW_CFA_GNU_negative_offset_extended
    ],
)
def test_every_way_to_write_an_offset(program: bytes, saved: int) -> None:
    rule = table(eh_frame(program)).rule(0x5000)
    assert rule is not None
    assert (6, saved) in rule.saved


@pytest.mark.parametrize("restore", [bytes([0xC6]), bytes([0x06, 6]), bytes([0x08, 6])])
def test_a_restored_register_is_again_what_the_cie_says(restore: bytes) -> None:
    frames = table(eh_frame(bytes([0x86, 2, 0x41]) + restore))
    before, after = frames.rule(0x5000), frames.rule(0x5001)
    assert before is not None and after is not None
    assert (6, -16) in before.saved
    assert after.saved == ((16, -8),)


@pytest.mark.parametrize("restore", [bytes([0xD0]), bytes([0x06, 16])])
def test_a_restored_return_address_lies_where_the_cie_says(restore: bytes) -> None:
    frames = table(eh_frame(bytes([0x90, 5, 0x41]) + restore))
    assert [rule.saved for rule in (frames.rule(0x5000), frames.rule(0x5001)) if rule] == [((16, -40),), ((16, -8),)]


@pytest.mark.parametrize(
    ("advance", "at"),
    [(bytes([0x7F]), 0x3F), (bytes([0x02, 0xF0]), 0xF0), (bytes([0x03, 0, 3]), 0x300), (b"\x04\0\0\1\0", 0x10000)],
)
def test_every_width_of_an_advance(advance: bytes, at: int) -> None:
    frames = table(callframes.eh_frame(Function(0x5000, 0x20000, advance + bytes([0x0E, 64]))))
    offsets = [rule.cfa_offset for rule in (frames.rule(0x5000 + at - 1), frames.rule(0x5000 + at)) if rule]
    assert offsets == [8, 64]


def test_a_frame_that_a_signal_made_is_marked() -> None:
    assert [
        rule.signal
        for augmentation in (b"zR\0", b"zRS\0")
        if (rule := table(callframes.eh_frame(Function(0x5000, 16, b""), augmentation=augmentation)).rule(0x5000))
    ] == [False, True]


def test_the_search_table_leads_to_the_entry() -> None:
    functions = [Function(0x5000 + 0x100 * number, 0x80, bytes([0x0E, 16 + 8 * number])) for number in range(5)]
    section = callframes.eh_frame(*functions)
    at = BASE + 0x1000
    data = section.ljust(0x1000, b"\0") + callframes.eh_frame_hdr(*functions, base=BASE, at=at)
    frames = cfi.FrameTable(reader(data), header_address=at, header_size=len(data) - 0x1000)
    found = [frames.rule(function.start + 0x7F) for function in functions]
    assert [rule.cfa_offset for rule in found if rule] == [16, 24, 32, 40, 48]
    assert frames.rule(0x5080) is None  # between two
    assert frames.rule(0x5480) is None
    assert frames.rule(0x4FFF) is None


@pytest.mark.parametrize("version", [1, 3, 4])
def test_debug_frame_is_moved_by_the_bias(version: int) -> None:
    data = callframes.debug_frame(Function(0x1000, 0x40, bytes([0x0E, 48])), version=version)
    frames = cfi.FrameTable(
        reader(data, 0), section_address=0, section_size=len(data), debug_frame=True, bias=0x7F0000000000
    )
    rule = frames.rule(0x7F0000001020)
    assert rule is not None
    assert (rule.cfa_register, rule.cfa_offset, rule.return_register) == (7, 48, 16)
    assert frames.rule(0x1020) is None


def test_an_entry_that_is_damaged_costs_no_other() -> None:
    """The second CIE's augmentation has no end; before and behind it lie sound entries."""
    sound = callframes.debug_frame(Function(0x1000, 0x40, bytes([0x0E, 48])))
    bad_cie = struct.pack("<IIB", 9, 0xFFFFFFFF, 4) + b"abcd"
    bad_fde = struct.pack("<IIQQ", 20, len(sound), 0x3000, 0x40)
    later = struct.pack("<IIQQ", 20, 0, 0x2000, 0x40)
    data = sound + bad_cie + bad_fde + later
    frames = cfi.FrameTable(reader(data, 0), section_address=0, section_size=len(data), debug_frame=True)
    assert frames.rule(0x1000) is not None
    assert frames.rule(0x2000) is not None
    assert frames.rule(0x3000) is None


@given(st.binary(max_size=48), st.binary(max_size=48), st.integers(0, 0x100))
def test_any_pair_of_programs_gives_a_rule_or_the_declared_error(initial: bytes, program: bytes, at: int) -> None:
    """Programs of CIE and FDE, run as the table would; what the rule holds is of the shapes that it declares."""
    cie = cfi.Cie(1, -8, 16, 0x1B, True, False, initial)
    data = callframes.eh_frame(Function(0x5000, 0x101, program))
    frames = table(data)
    frames._cies[BASE] = cie
    try:
        rule = frames.rule(0x5000 + at)
    except ParseError:
        return
    assert rule is not None
    assert all(isinstance(register, int) and isinstance(offset, int) for register, offset in rule.saved)
    for _, kind, argument in rule.others:
        assert isinstance(argument, bytes) is (kind in (cfi.EXPRESSION, cfi.VAL_EXPRESSION))


_REGISTERS = (*"rax rdx rcx rbx rsi rdi rbp rsp".split(), *(f"r{number}" for number in range(8, 16)), "ra")  # noqa: SIM905


def _column(rule: cfi.Rule, register: int) -> str:
    """A cell of a row as readelf prints it; "u" of what has no rule, too."""
    for number, offset in rule.saved:
        if number == register:
            return f"c{offset:+d}"
    for number, kind, argument in rule.others:
        if number == register:
            if isinstance(argument, bytes):
                return "exp" if kind == cfi.EXPRESSION else "vexp"
            return {cfi.VAL_OFFSET: f"v{argument:+d}", cfi.REGISTER: f"r{argument}", cfi.UNDEFINED: "u"}[kind]
    return "u"


def _against_readelf(path: Path, frames: cfi.FrameTable) -> int:
    """Every row of readelf's own interpretation compared, all columns; how many."""
    text = subprocess.run(
        ["readelf", "--debug-dump=frames-interp", str(path)], capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout  # fmt: skip
    rows: dict[int, tuple[list[str], list[str]]] = {}
    columns: list[str] = []
    inside = False
    for line in text.splitlines():
        parts = line.split()
        if " FDE " in line or " CIE" in line:
            inside = " FDE " in line
        elif parts[:2] == ["LOC", "CFA"]:
            columns = parts[2:]
        elif inside and len(parts) > 2 and len(parts[0]) == 16:
            # A register that holds another is named twice: "r9 (r8)".
            rows[int(parts[0], 16)] = columns, [cell for cell in parts[1:] if not cell.startswith("(")]
    for pc, (names, cells) in rows.items():
        rule = frames.rule(pc)
        assert rule is not None, hex(pc)
        cfa = "exp" if rule.cfa_expression is not None else f"{_REGISTERS[rule.cfa_register]}{rule.cfa_offset:+d}"
        found = [_column(rule, _REGISTERS.index(name)) for name in names]
        assert [cfa, *found] == [cells[0], *("u" if cell == "s" else cell for cell in cells[1:])], hex(pc)
        assert rule.bottom is (cells[-1] == "u"), hex(pc)
    return len(rows)


def _library(name: str) -> Path:
    for directory in ("/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib"):
        if Path(directory, name).exists():
            return Path(directory, name)
    pytest.skip(f"no {name} here")


def _file(path: Path) -> tuple[dict[bytes, elf.SectionHeader], Callable[[int, int], bytes | None], bytes]:
    """Sections by name, a reader of link-time addresses, and the bytes of an ELF file."""
    data = path.read_bytes()
    header = elf.read_header(data)
    sections = elf.read_section_headers(data, header)
    strings = sections[header.shstrndx]
    names = {}
    for section in sections:
        start = strings.offset + section.name
        names[data[start : data.index(b"\0", start)]] = section
    headers, _ = elf.read_program_headers(data, header)
    loads = [entry for entry in headers if entry.type == elf.PT_LOAD]

    def read(address: int, size: int) -> bytes | None:
        for entry in loads:
            if entry.vaddr <= address and address + size <= entry.vaddr + entry.filesz:
                at = entry.offset + address - entry.vaddr
                return data[at : at + size]
        return None

    return names, read, data


@pytest.mark.needs("readelf")
@pytest.mark.parametrize(("name", "at_least"), [("libc.so.6", 10_000), ("libstdc++.so.6", 10_000)])
def test_every_row_of_a_library_is_the_one_readelf_shows(name: str, at_least: int) -> None:
    path = _library(name)
    sections, read, _ = _file(path)
    table_at = sections[b".eh_frame_hdr"]
    rows = _against_readelf(path, cfi.FrameTable(read, header_address=table_at.addr, header_size=table_at.size))
    assert rows > at_least


@pytest.mark.needs("readelf", "gcc")
def test_every_row_of_debug_frame_is_the_one_readelf_shows(tmp_path: Path) -> None:
    source = tmp_path / "f.c"
    source.write_text(
        "int use(char *, ...);\n"
        "int plain(int a) { return a ? use(0, a) : 1; }\n"
        "int variable(int n) { char room[n]; use(room, n); return use(room) + n; }\n"
        "int many(int a, int b, int c, int d, int e) { int s = use(0, a, b, c, d, e);\n"
        "  return s + use(0, a, s) * b + use(0, b, s) * c + use(0, c, s) * d + use(0, d, s) * e; }\n"
    )
    out = tmp_path / "f.so"
    subprocess.run(
        ["gcc", "-g", "-O2", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-shared", "-fPIC", "-nostdlib",
         "-o", str(out), str(source)],
        check=True,
    )  # fmt: skip
    sections, _, data = _file(out)
    section = sections[b".debug_frame"]
    content = data[section.offset : section.offset + section.size]
    frames = cfi.FrameTable(reader(content, 0), section_address=0, section_size=section.size, debug_frame=True)
    rows = _against_readelf(out, frames)
    assert rows > 15
