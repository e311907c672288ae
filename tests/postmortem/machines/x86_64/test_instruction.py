"""Instructions: operands evaluated by hand-made bytes; lengths, names and targets against objdump on libc."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from postmortem.machines.x86_64 import instruction, steps
from postmortem.program.memory import AddressSpace, Piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.machines.machine import Decoded

PC, DATA = 0x401000, 0x601000


def _decode(code: str, data: bytes = b"", **registers: int) -> Decoded | None:
    text = bytes.fromhex(code)
    pieces = [Piece(PC, PC + len(text), text, 0)] if text else []
    if data:
        pieces.append(Piece(DATA, DATA + len(data), data, 0))
    return instruction.decode(AddressSpace(pieces), PC, {"rip": PC, **registers}, lambda address: True)


@pytest.mark.parametrize(
    ("code", "registers", "address", "size", "access"),
    [
        ("488b4308", {"rbx": 0x1000}, 0x1008, 8, "read"),  # mov rax, [rbx + 8]
        ("8b43f8", {"rbx": 4}, 0xFFFFFFFFFFFFFFFC, 4, "read"),  # wraps
        ("66890411", {"rcx": 0x1000, "rdx": 0x20}, 0x1020, 2, "write"),  # mov [rcx + rdx], ax
        ("804c8b1001", {"rbx": 0x1000, "rcx": 3}, 0x101C, 1, "read-write"),  # or byte [rbx + rcx * 4 + 16], 1
        ("488b0510000000", {}, PC + 7 + 0x10, 8, "read"),  # mov rax, [rip + 16]
        ("64488b042528000000", {"fs_base": 0x7000}, 0x7028, 8, "read"),  # mov rax, fs:[0x28]
        ("65488b0410", {"gs_base": 0x100, "rax": 1, "rdx": 2}, 0x103, 8, "read"),
        ("488b04cd00100000", {"rcx": 2}, 0x1010, 8, "read"),  # mov rax, [rcx * 8 + 0x1000]
        ("8b00", {"rax": 0x123456789ABC}, 0x123456789ABC, 4, "read"),
        ("67488b00", {"rax": 0xFFFFFFFF00000010}, 0x10, 8, "read"),  # mov rax, [eax]
        ("ff13", {"rbx": 0x1000, "rsp": 0x7008}, 0x1000, 8, "read"),  # call [rbx]
        ("0f2903", {"rbx": 0x1000}, 0x1000, 16, "write"),  # movaps [rbx], xmm0
        ("50", {"rsp": 0x7008}, 0x7000, 8, "write"),  # push rax
        ("58", {"rsp": 0x7008}, 0x7008, 8, "read"),  # pop rax
        ("c3", {"rsp": 0x7008}, 0x7008, 8, "read"),
        ("e800000000", {"rsp": 0x7008}, 0x7000, 8, "write"),
        ("c9", {"rbp": 0x7100, "rsp": 0x7008}, 0x7100, 8, "read"),  # leave
    ],
)
def test_a_memory_operand_is_evaluated(
    code: str, registers: dict[str, int], address: int, size: int, access: str
) -> None:
    decoded = _decode(code, b"", **registers)
    assert decoded is not None
    assert decoded.code == bytes.fromhex(code)
    operand = decoded.operands[0]
    assert (operand.address, operand.size, operand.access) == (address, size, access)


@pytest.mark.parametrize(
    ("code", "registers"),
    [
        ("488d4308", {"rbx": 0x1000}),  # lea
        ("0f1f4000", {"rax": 0x1000}),  # nop
        ("488b4308", {}),  # the base is not known
        ("4801d8", {"rax": 1, "rbx": 2}),  # no memory
        ("c4e2e99004c8", {"rax": 0x1000}),  # vpgatherdq: one address for each element
        ("50", {}),  # push where rsp is not known
    ],
)
def test_what_touches_no_memory_that_can_be_told(code: str, registers: dict[str, int]) -> None:
    decoded = _decode(code, b"", **registers)
    assert decoded is not None
    assert (decoded.operands, decoded.access) == ((), None)


def test_the_parts_of_an_operand() -> None:
    decoded = _decode("488b44cb10", rbx=0x1000, rcx=3)  # mov rax, [rbx + rcx * 8 + 16]
    assert decoded is not None
    (operand,) = decoded.operands
    assert (operand.base, operand.base_value, operand.index, operand.index_value) == ("rbx", 0x1000, "rcx", 3)
    assert (operand.scale, operand.displacement) == (8, 16)
    assert operand.text == "qword ptr [rbx + rcx*8 + 0x10]"
    assert decoded.mnemonic == "mov"


@pytest.mark.parametrize(
    ("name", "value"),
    [("rax", 0x1122334455667788), ("eax", 0x55667788), ("ax", 0x7788), ("al", 0x88), ("ah", 0x77)],
)
def test_parts_of_a_register(name: str, value: int) -> None:
    assert instruction.register({"rax": 0x1122334455667788}, name) == value
    assert instruction.whole(name) == "rax"


def test_parts_of_a_numbered_register() -> None:
    values = {"r10": 0x1122334455667788}
    assert [instruction.register(values, name) for name in ("r10d", "r10w", "r10b", "r11d", "xmm0")] == [
        0x55667788, 0x7788, 0x88, None, None,
    ]  # fmt: skip
    assert [instruction.whole(name) for name in ("sil", "bpl", "r9b", "xmm0", None)] == ["rsi", "rbp", "r9", None, None]


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        (0, True),
        (0x7FFFFFFFFFFF, True),
        (0x800000000000, False),
        (0xFFFF7FFFFFFFFFFF, False),
        (0xFFFF800000000000, True),
    ],
)
def test_which_addresses_are_canonical(address: int, canonical: bool) -> None:
    decoded = _decode("488b03", rbx=address)
    assert decoded is not None
    assert decoded.operands[0].canonical is canonical is instruction.canonical(address)


@pytest.mark.parametrize(
    ("code", "alignment"),
    [
        ("0f2903", 16),  # movaps [rbx], xmm0
        ("c5fc2903", 32),  # vmovaps [rbx], ymm0
        ("660f7f03", 16),  # movdqa
        ("0f1103", None),  # movups
        ("0f5803", 16),  # addps xmm0, [rbx]
        ("f30f5803", None),  # addss
        ("c5f85803", None),  # vaddps
        ("480fc70b", 16),  # cmpxchg16b
        ("0fae03", 16),  # fxsave
        ("0fae23", 64),  # xsave
        ("488b03", None),
    ],
)
def test_the_alignment_that_is_demanded(code: str, alignment: int | None) -> None:
    decoded = _decode(code, rbx=0x1001)
    assert decoded is not None
    assert decoded.operands[0].alignment == alignment


def test_the_operand_that_can_t_be_reached_says_what_the_instruction_did() -> None:
    text = bytes.fromhex("48a5")  # movsq [rdi], [rsi]
    space = AddressSpace([Piece(PC, PC + 2, text, 0)])
    accesses = []
    for bad in (0x1000, 0x2000):
        decoded = instruction.decode(space, PC, {"rsi": 0x1000, "rdi": 0x2000}, bad.__ne__)
        assert decoded is not None
        accesses.append(decoded.access)
    assert accesses == ["read", "write"]


@pytest.mark.parametrize(
    ("code", "registers", "target"),
    [
        ("e8fbffffff", {}, PC),
        ("e900010000", {}, PC + 0x105),
        ("ebfe", {}, PC),
        ("ffd0", {"rax": 0xDEAD}, 0xDEAD),
        ("ffe1", {"rcx": 0xBEEF}, 0xBEEF),
        ("ff13", {"rbx": DATA}, 0x1122),
        ("ff6308", {"rbx": DATA}, 0x3344),
        ("ff13", {"rbx": 0x9000}, None),
        ("c3", {"rsp": DATA}, 0x1122),
        ("c21000", {"rsp": DATA + 8}, 0x3344),
        ("c3", {}, None),
        ("7410", {}, None),  # a condition: whether it goes there is not told
    ],
)
def test_where_control_goes(code: str, registers: dict[str, int], target: int | None) -> None:
    decoded = _decode(code, (0x1122).to_bytes(8, "little") + (0x3344).to_bytes(8, "little"), **registers)
    assert decoded is not None
    assert decoded.target == target


@pytest.mark.parametrize(
    ("code", "data", "values"),
    [
        ("48f7fb", b"", {"quotient_bits": 64, "divisor": 0xFFFFFFFFFFFFFFFF, "dividend": 7, "dividend_high": 1}),
        ("f7fb", b"", {"quotient_bits": 32, "divisor": 0xFFFFFFFF, "dividend": 7, "dividend_high": 1}),
        ("66f7f3", b"", {"quotient_bits": 16, "divisor": 0xFFFF, "dividend": 7, "dividend_high": 1}),
        ("f6f3", b"", {"quotient_bits": 8, "divisor": 0xFF, "dividend": 7, "dividend_high": 0}),
        ("f73e", b"\5\0\0\0\1", {"quotient_bits": 32, "divisor": 5, "dividend": 7, "dividend_high": 1}),
        ("f73e", b"", {"quotient_bits": 32, "dividend": 7, "dividend_high": 1}),
        ("480fafc3", b"", {}),  # imul
    ],
)
def test_what_a_division_divides(code: str, data: bytes, values: dict[str, int]) -> None:
    decoded = _decode(code, data, rbx=(1 << 64) - 1, rax=7, rdx=1, rsi=DATA)
    assert decoded is not None
    assert decoded.values == values


@pytest.mark.parametrize(
    ("code", "privileged"), [("f4", True), ("fa", True), ("0f30", True), ("ec", True), ("90", False), ("0f05", False)]
)
def test_what_only_the_kernel_may_do(code: str, privileged: bool) -> None:
    decoded = _decode(code)
    assert decoded is not None
    assert decoded.privileged is privileged


@pytest.mark.parametrize("code", ["", "06", "0f0b"[:2], "488b"])
def test_bytes_that_make_no_instruction(code: str) -> None:
    assert _decode(code) is None


class Line(NamedTuple):
    """A row of objdump."""

    address: int
    code: bytes
    mnemonic: str
    operands: str


_PREFIXES = frozenset("rep repz repnz repe repne lock bnd notrack data16 cs ds es ss fs gs xacquire xrelease".split())  # noqa: SIM905
_JUMPS = re.compile(r"^(j\w+|loop\w*)$")


def _kind(mnemonic: str) -> str:
    if mnemonic.startswith("call"):
        return "call"
    if mnemonic.startswith("ret"):
        return "return"
    if mnemonic == "jmp":
        return "jump"
    return "condition" if _JUMPS.match(mnemonic) else "other"


@pytest.fixture(scope="module")
def libc() -> tuple[AddressSpace, list[list[Line]]]:
    """libc as it lies in memory at 0, and some hundred of its functions as objdump shows them."""
    path = next(Path("/lib/x86_64-linux-gnu").glob("libc.so.6"))
    environment = {**os.environ, "LC_ALL": "C"}
    text = subprocess.run(
        ["objdump", "-d", "-M", "intel", "--insn-width=16", str(path)], capture_output=True, text=True, check=True,
        env=environment,
    ).stdout  # fmt: skip
    blocks = [block.splitlines()[1:] for block in text.split("\n\n") if ">:\n" in block and block.count("\n") > 8]
    functions = [list(_lines(block)) for block in blocks[:: max(1, len(blocks) // 400)]]
    data = path.read_bytes()
    pieces = []
    for row in subprocess.run(
        ["readelf", "-lW", str(path)], capture_output=True, text=True, check=True, env=environment
    ).stdout.splitlines():
        if row.split()[:1] == ["LOAD"]:
            offset, start, _, size = (int(part, 16) for part in row.split()[1:5])
            pieces.append(Piece(start, start + size, data, offset))
    return AddressSpace(pieces), functions


def _lines(rows: list[str]) -> Iterator[Line]:
    for row in rows:
        at, code, *rest = row.split("\t")
        parts = rest[0].split("#")[0].split()
        while len(parts) > 1 and (parts[0] in _PREFIXES or parts[0].startswith("rex")):
            parts.pop(0)
        yield Line(int(at.strip(" :"), 16), bytes.fromhex(code), parts[0], " ".join(parts[1:]))


@pytest.mark.needs("objdump", "readelf")
def test_lengths_kinds_and_targets_are_objdump_s(libc: tuple[AddressSpace, list[list[Line]]]) -> None:
    space, functions = libc
    counts: dict[str, int] = {}
    decoder = instruction.engine(False)
    for function in functions:
        start, end = function[0].address, function[-1].address + len(function[-1].code)
        lengths = [(at, size) for at, size, _, _ in decoder.disasm_lite(space.read_some(start, end - start), start)]
        assert lengths == [(line.address, len(line.code)) for line in function], hex(start)
    branches = [line for function in functions for line in function if _kind(line.mnemonic) != "other"]
    for line in [*branches[::8], *(function[len(function) // 2] for function in functions)]:
        decoded = instruction.decode(space, line.address, {"rip": line.address, "rsp": 0x7000}, lambda address: True)
        assert decoded is not None, line
        assert decoded.code == line.code, line
        kind = _kind(line.mnemonic)
        assert _kind(decoded.mnemonic) == kind, line
        counts[kind] = counts.get(kind, 0) + 1
        direct = re.match(r"^([0-9a-f]+) <", line.operands + " <")
        if kind in ("call", "jump") and direct:
            assert decoded.target == int(direct[1], 16), line
            counts["direct"] = counts.get("direct", 0) + 1
    assert len(functions) >= 300
    assert min(counts.get(kind, 0) for kind in ("call", "jump", "return", "condition", "direct")) > 100


@pytest.mark.needs("objdump", "readelf")
def test_every_call_of_libc_is_found_before_its_return_address(libc: tuple[AddressSpace, list[list[Line]]]) -> None:
    space, functions = libc
    calls = [line for function in functions for line in function if line.mnemonic == "call"][::2]
    same = 0
    for line in calls:
        returns_to = line.address + len(line.code)
        assert steps.follows_call(space, returns_to) is True, line
        text = instruction.call_before(space, returns_to)
        assert text is not None and ": call" in text, line
        same += int(text.split(":")[0], 16) == line.address
    assert len(calls) > 500
    assert same >= 0.99 * len(calls)  # a call's last bytes can read as a shorter one


@pytest.mark.needs("objdump", "readelf")
def test_rows_around_an_instruction_are_objdump_s(libc: tuple[AddressSpace, list[list[Line]]]) -> None:
    space, functions = libc
    for function in functions[::4]:
        addresses = [line.address for line in function]
        middle = min(len(addresses) // 2, len(addresses) - 6)
        rows = [int(at) for at, _ in instruction.listing(space, addresses[middle], addresses[0])]
        assert rows == addresses[max(0, middle - 8) : middle + 6], hex(addresses[middle])
        guessed = [int(at) for at, _ in instruction.listing(space, addresses[middle], None)]
        assert guessed[guessed.index(addresses[middle]) :] == addresses[middle : middle + 6]
        assert len(guessed) > 6
