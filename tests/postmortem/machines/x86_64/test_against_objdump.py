"""Every instruction of a sample of functions as objdump has it: length, memory operand, target; calls and listings."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from parsers.elf import header as elf
from postmortem.machines.x86_64 import instruction, steps
from postmortem.program.memory import AddressSpace, Piece

if TYPE_CHECKING:
    from postmortem.machines.machine import Decoded

_LIBRARIES = ("libc.so.6", "libstdc++.so.6")
_FOLDERS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64")
_SAMPLES, _SAMPLE_BYTES = 8, 3000
_MASK = 0xFFFFFFFFFFFFFFFF
_WHOLE = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split()  # noqa: SIM905
_REGISTERS = {name: 0x1000_0000_0000 + 0x0123_4567_89AB * number for number, name in enumerate(_WHOLE, 1)}
_REGISTERS |= {"fs_base": 0x7F00_0000_0740, "gs_base": 0x7F00_0000_0080}
_LOW = {"eax": "rax", "ebx": "rbx", "ecx": "rcx", "edx": "rdx", "esi": "rsi", "edi": "rdi", "ebp": "rbp", "esp": "rsp"}
_LOW |= {f"r{number}d": f"r{number}" for number in range(8, 16)}

_OPERAND = re.compile(r"(%[fg]s:)?(-?0x[0-9a-f]+)?\(([^)]*)\)")
_ABSOLUTE = re.compile(r"(?<![$\w])(%[fg]s:)(-?0x[0-9a-f]+)(?![(\w])")
_FLOW = re.compile(r"(?:(?:bnd|notrack|rex\S*|data16|cs|ds|repz?) )*(call|jmp|ret|loop|j[a-z]{1,4}(?= ))")
_DIRECT = re.compile(r"^(?:bnd |notrack |rex\S* |data16 )*(call|jmp)q? +([0-9a-f]+)( |$)")


class _Line(NamedTuple):
    address: int
    size: int
    text: str
    comment: str


class _Sample(NamedTuple):
    space: AddressSpace
    lines: list[_Line]


def _library(name: str) -> Path:
    for folder in _FOLDERS:
        path = Path(folder) / name
        if path.exists():
            return path.resolve()
    pytest.skip(f"no {name} in {', '.join(_FOLDERS)}")


def _objdump(path: Path, *options: str) -> str:
    run = subprocess.run(["objdump", *options, str(path)], capture_output=True, text=True, check=True)
    return run.stdout


def _space(path: Path) -> AddressSpace:
    content = path.read_bytes()
    headers, _ = elf.read_program_headers(content, elf.read_header(content))
    return AddressSpace(
        Piece(entry.vaddr, entry.vaddr + entry.filesz, content, entry.offset)
        for entry in headers
        if entry.type == elf.PT_LOAD
    )


def _lines(text: str) -> list[_Line]:
    found = []
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) < 3 or not parts[0].rstrip().endswith(":"):
            continue
        code, _, comment = parts[2].partition("#")
        found.append(_Line(int(parts[0].strip()[:-1], 16), len(parts[1].split()), code.strip(), comment.strip()))
    return found


@pytest.fixture(scope="module", params=_LIBRARIES)
def sample(request: pytest.FixtureRequest) -> _Sample:
    """Some functions of a library, evenly spread, each disassembled from its first byte."""
    path = _library(request.param)
    rows = [line.split() for line in _objdump(path, "-T").splitlines() if " .text" in line and " DF " in line]
    starts = sorted({int(row[0], 16) for row in rows})
    lines: list[_Line] = []
    for start in starts[:: max(1, len(starts) // _SAMPLES)][:_SAMPLES]:
        text = _objdump(path, "-d", "-w", f"--start-address={start:#x}", f"--stop-address={start + _SAMPLE_BYTES:#x}")
        lines += _lines(text)[:-20]  # the last one is cut: objdump shows its bytes
    return _Sample(_space(path), lines)


def _value(name: str) -> int | None:
    if name in _REGISTERS:
        return _REGISTERS[name]
    return _REGISTERS[_LOW[name]] & 0xFFFFFFFF if name in _LOW else None


def _expected(line: _Line) -> int | None:
    """The address of objdump's memory operand with the registers above; None for a vector's or none."""
    match = _OPERAND.search(line.text)
    if match is None:
        absolute = _ABSOLUTE.search(line.text)
        return None if absolute is None else (_REGISTERS[absolute[1][1:3] + "_base"] + int(absolute[2], 16)) & _MASK
    segment, displacement, inside = match.groups()
    total = int(displacement or "0", 16)
    base, index, scale = [*inside.replace("%", "").split(","), "", ""][:3]
    if base == "rip":
        total += line.address + line.size
        assert not line.comment or total == int(line.comment.split()[0], 16)
    elif base:
        value = _value(base)
        if value is None:
            return None
        total += value
    if index and index not in ("riz", "eiz"):
        value = _value(index)
        if value is None:
            return None
        total += value * int(scale or "1")
    return (total + (_REGISTERS[segment[1:3] + "_base"] if segment else 0)) & _MASK


def _decoded(sample: _Sample, line: _Line) -> Decoded | None:
    return instruction.decode(sample.space, line.address, _REGISTERS, lambda address: True)


@pytest.mark.needs("objdump")
def test_length_operand_and_target_are_objdumps(sample: _Sample) -> None:
    assert len(sample.lines) > 3000
    operands = targets = 0
    for line in sample.lines:
        decoded = _decoded(sample, line)
        assert decoded is not None, line
        assert len(decoded.code) == line.size, (line, decoded.text)
        direct = _DIRECT.match(line.text)
        flows = [_FLOW.match(text) for text in (line.text, decoded.text)]
        assert len({flow and flow[1] for flow in flows}) == 1, (line, decoded.text)
        if direct:
            assert decoded.target == int(direct[2], 16), line
            targets += 1
        mnemonic = line.text.split()[0]
        expected = _expected(line)
        shown = [operand for operand in decoded.operands if operand.text not in ("[rsp - 8]", "[rsp]", "[rbp]")]
        if expected is not None and mnemonic not in ("lea", "nop", "nopw", "nopl", "cs", "data16", "xchg"):
            if mnemonic.startswith(("prefetch", "endbr")):
                continue
            addresses = {operand.address for operand in decoded.operands}
            assert expected in addresses, (line, decoded.text, hex(expected), [hex(value) for value in addresses])
            operands += 1
        elif mnemonic in ("lea", "nop", "nopw", "nopl"):
            assert not shown, line
    assert operands > 500
    assert targets > 200


@pytest.mark.needs("objdump")
def test_what_reads_and_what_writes_memory(sample: _Sample) -> None:
    """Of moves the side of the memory operand says it; comparisons and calls read."""
    moves = 0
    for line in sample.lines:
        mnemonic, _, rest = line.text.partition(" ")
        if "(" not in rest or not re.fullmatch(r"mov(q|l|w|b|abs)?|movups|movaps|cmp[lbwq]?|test[lbwq]?", mnemonic):
            continue
        decoded = _decoded(sample, line)
        assert decoded is not None
        to_memory = rest.strip().endswith(")") and mnemonic.startswith("mov")
        assert decoded.access == ("write" if to_memory else "read"), (line, decoded)
        moves += 1
    assert moves > 250


# GNU as' and clang's encodings of a store to [rax] or [rdi] and of loads from [rax]; capstone 5 has many the wrong way.
_STORES = {
    "movups": "0f1108", "movupd": "660f1108", "movaps": "0f2908", "movdqu": "f30f7f08", "movdqa": "660f7f08",
    "movntps": "0f2b08", "movntdq": "660fe708", "movnti": "0fc308", "movss": "f30f1108", "movsd": "f20f1108",
    "movhps": "0f1708", "movlps": "0f1308", "movq": "660fd608", "movd": "660f7e08", "pextrq": "66480f3a160801",
    "pextrw": "660f3a150801", "extractps": "660f3a170801", "vmovups": "c5fc1108", "vmovdqu": "c5fe7f08",
    "vmovss": "c5fa1108", "vmovq": "c5f9d608", "vmovdqu64": "62f1fe487f08", "vextracti128": "c4e37d390801",
    "vmaskmovps": "c4e26d2e08", "stmxcsr": "0fae18", "vstmxcsr": "c5f8ae18", "fst": "d910", "fstp": "d918",
    "fstp 80": "db38", "fistp": "db18", "fisttp": "db08", "fnstcw": "d938", "fnstenv": "d930", "fnsave": "dd30",
    "fnstsw": "dd38", "fxsave": "0fae00", "xsave": "0fae20", "sete": "0f9400", "mov": "488908", "mov $": "c60001",
    "movbe": "480f38f108", "stosb": "aa",
}  # fmt: skip
_CHANGES = {
    "add": "830001", "or": "830801", "rol": "c10003", "ror": "c10803", "rcl": "c11003", "shl": "d120",
    "shld": "480fa40802",
    "inc": "ff00", "neg": "f718", "not": "f710", "bts": "0fba2802", "xadd": "480fc108", "xchg": "488708",
    "cmpxchg": "480fb108", "lock cmpxchg": "f0480fb108", "cmpxchg16b": "480fc708", "cmpxchg8b": "0fc708",
}  # fmt: skip
_LOADS = {
    "movups": "0f1008", "movaps": "0f2808", "movdqu": "f30f6f08", "movsd": "f20f1008", "movhps": "0f1608",
    "vmovdqu64": "62f1fe486f08", "lddqu": "f20ff008", "addps": "0f5808", "cvtsi2sd": "f20f2a08", "pinsrw": "660fc40801",
    "ldmxcsr": "0fae10", "fld": "d900", "fild": "db00", "fadd": "d800", "fcomp": "d818", "fldcw": "d928",
    "fldenv": "d920", "frstor": "dd20", "fxrstor": "0fae08", "xrstor": "0fae28", "cmp": "833801", "cmp r": "483908",
    "test": "f70001000000", "test r": "488508", "bt": "0fba2002", "div": "f730", "idiv": "48f738", "mul": "f720",
    "imul": "480faf08", "mov": "488b08", "movzx": "0fb608", "cmove": "0f4408", "push": "ff30",
    "call": "ff10", "jmp": "ff20",
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "access"),
    [(code, "write") for code in _STORES.values()]
    + [(code, "read-write") for code in _CHANGES.values()]
    + [(code, "read") for code in _LOADS.values()],
    ids=[
        f"{name} {kind}"
        for kind, codes in (("store", _STORES), ("change", _CHANGES), ("load", _LOADS))
        for name in codes
    ],
)
def test_how_an_operand_is_touched(code: str, access: str) -> None:
    decoded = _one(code, rax=0x8000, rdi=0x8000, rsi=0x8100, rcx=1)
    (operand,) = [operand for operand in decoded.operands if operand.address == 0x8000]
    assert operand.access == access, decoded.text


@pytest.mark.parametrize(("code", "write"), [("a4", 0x8000), ("48a5", 0x8000), ("a6", None)])
def test_both_operands_of_a_string_instruction(code: str, write: int | None) -> None:
    decoded = _one(code, rdi=0x8000, rsi=0x8100, rcx=1)
    touched = {int(operand.address): operand for operand in decoded.operands}
    assert set(touched) == {0x8000, 0x8100}
    assert all(operand.access == ("write" if address == write else "read") for address, operand in touched.items())
    assert ("[rdi]" in touched[0x8000].text, "[rsi]" in touched[0x8100].text) == (True, True)


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ("480fb111", {"rax"}), ("0f05", {"rax", "rcx", "r11"}), ("d7", {"rax"}), ("66480f7ec1", {"rcx"}),
        ("88d1", {"rcx"}), ("f7e1", {"rax", "rdx"}), ("48ad", {"rax", "rsi"}), ("59", {"rcx", "rsp"}),
        ("48c1c103", {"rcx"}),
    ],
)  # fmt: skip
def test_which_registers_change(code: str, written: set[str]) -> None:
    """Intel SDM volume 2; flags aside."""
    (decoded,) = instruction.engine(True).disasm(bytes.fromhex(code), 0x1000)
    assert instruction.registers_written(decoded) - {"rflags"} == written


@pytest.mark.needs("objdump")
def test_a_return_address_is_known_by_the_call_before_it(sample: _Sample) -> None:
    calls = 0
    followed = sum(line.address + line.size == after.address for line, after in itertools.pairwise(sample.lines))
    others = wrong = same = 0
    for line in sample.lines:
        end = line.address + line.size
        if re.match(r"(\w+ )*call", line.text):
            assert steps.follows_call(sample.space, end) is True, line
            shown = instruction.call_before(sample.space, end)
            assert shown is not None
            assert ": call" in shown
            at = int(shown.split(":")[0], 16)
            assert at >= line.address
            same += at == line.address
            calls += 1
        else:
            others += 1
            wrong += steps.follows_call(sample.space, end) is True
    assert calls > 150
    assert same >= 0.99 * calls  # a call's last bytes can read as a shorter one
    assert followed > 3000
    assert wrong < others // 50, "the check lets nearly everything pass"


@pytest.mark.parametrize(
    "code",
    [
        "e800000000", "ffd0", "41ffd4", "ff10", "ff5008", "ff9000010000", "ff1500100000", "ff14c500104000",
        "42ff14e500104000", "ff14c8", "ff54c808", "ff94c800010000", "ff1424", "41ff542408", "ff142500104000",
        "3effd0", "4166ffd0",
    ],
)  # fmt: skip
def test_every_form_of_a_call(code: str) -> None:
    data = b"\x90" * 16 + bytes.fromhex(code)
    space = AddressSpace([Piece(0x1000, 0x1000 + len(data), data, 0)])
    assert steps.follows_call(space, 0x1000 + len(data)) is True


@pytest.mark.parametrize("code", ["e900000000", "ffe0", "ff20", "ff35001000", "9090", "ffc0", "ff08", "c3"])
def test_jumps_pushes_and_others_are_no_calls(code: str) -> None:
    data = b"\x90" * 16 + bytes.fromhex(code)
    space = AddressSpace([Piece(0x1000, 0x1000 + len(data), data, 0)])
    assert steps.follows_call(space, 0x1000 + len(data)) is False
    assert instruction.call_before(space, 0x1000 + len(data)) is None


def _one(code: str, stack: bytes = b"", **registers: int) -> Decoded:
    data = bytes.fromhex(code)
    pieces = [Piece(0x1000, 0x1000 + len(data), data, 0), Piece(0x8000, 0x8000 + len(stack), stack, 0)]
    decoded = instruction.decode(AddressSpace(pieces), 0x1000, registers, lambda address: 0x8000 <= address < 0x9000)
    assert decoded is not None
    return decoded


@pytest.mark.needs("objdump")
def test_a_listing_shows_objdumps_instructions(sample: _Sample) -> None:
    """From a known boundary: the eight before and the five after, every one where objdump has one; else those after."""
    boundaries = {line.address: position for position, line in enumerate(sample.lines)}
    for position in range(20, len(sample.lines) - 20, 97):
        around = sample.lines[position - 8 : position + 6]
        if any(line.address + line.size != after.address for line, after in itertools.pairwise(around)):
            continue  # the end of one function of the sample
        rows = instruction.listing(sample.space, sample.lines[position].address, around[0].address)
        assert [int(address) for address, _ in rows] == [line.address for line in around]
        assert all(int(address) in boundaries for address, _ in rows)
        guessed = [int(address) for address, _ in instruction.listing(sample.space, around[8].address, None)]
        assert guessed[guessed.index(around[8].address) :] == [line.address for line in around[8:]]
        assert len(guessed) > 6
