from __future__ import annotations

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

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = 0x10000


def eh_frame(program: bytes, start: int = 0x5000, size: int = 0x100, augmentation: bytes = b"zR\0") -> bytes:
    """One CIE (rsp+8, return address at CFA-8) and one FDE, pc-relative 32-bit pointers."""
    initial = bytes([0x0C, 7, 8, 0x90, 1])
    body = struct.pack("<IB", 0, 1) + augmentation + bytes([1, 0x78, 16, 1, 0x1B]) + initial
    body = body.ljust((len(body) + 3) // 4 * 4, b"\0")
    cie = struct.pack("<I", len(body)) + body
    at = BASE + len(cie)
    fde = struct.pack("<IiI", len(cie) + 4, start - (at + 8), size) + b"\0" + program
    fde = fde.ljust((len(fde) + 3) // 4 * 4, b"\0")
    return cie + struct.pack("<I", len(fde)) + fde + bytes(4)


def reader(data: bytes, base: int = BASE) -> Callable[[int, int], bytes | None]:
    def read(address: int, size: int) -> bytes | None:
        piece = data[address - base : address - base + size] if address >= base else b""
        return piece if len(piece) == size else None

    return read


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


@pytest.mark.needs("readelf")
def test_every_row_of_libc_is_the_one_readelf_shows() -> None:
    """readelf's own interpretation of .eh_frame is the oracle: CFA of every row start."""
    libc = next(Path("/lib/x86_64-linux-gnu").glob("libc.so.6"))
    data = libc.read_bytes()
    header = elf.read_header(data)
    sections = elf.read_section_headers(data, header)
    strings = sections[header.shstrndx]
    names = {}
    for section in sections:
        start = strings.offset + section.name
        names[data[start : data.index(b"\0", start)]] = section
    frame_header = names[b".eh_frame_hdr"]
    headers, _ = elf.read_program_headers(data, header)

    def read(address: int, size: int) -> bytes | None:
        for entry in headers:
            if entry.type == elf.PT_LOAD and entry.vaddr <= address and address + size <= entry.vaddr + entry.filesz:
                return data[entry.offset + address - entry.vaddr :][:size]
        return None

    frames = cfi.FrameTable(read, header_address=frame_header.addr, header_size=frame_header.size)
    text = subprocess.run(
        ["readelf", "--debug-dump=frames-interp", str(libc)], capture_output=True, text=True, check=False
    ).stdout
    order = [*"rax rdx rcx rbx rsi rdi rbp rsp".split(), *(f"r{number}" for number in range(8, 16))]  # noqa: SIM905
    registers = {name: number for number, name in enumerate(order)}
    checked = 0
    inside = False
    for line in text.splitlines():
        parts = line.split()
        if " FDE " in line:
            inside = True
        elif " CIE" in line:
            inside = False
        elif inside and len(parts) > 2 and len(parts[0]) == 16 and "+" in parts[1]:
            register, offset = parts[1].split("+")
            rule = frames.rule(int(parts[0], 16))
            assert rule is not None, line
            assert (rule.cfa_register, rule.cfa_offset) == (registers[register], int(offset)), line
            checked += 1
    assert checked > 10_000
