"""Instructions by hand-made bytes: what they touch, need, divide and where they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from postmortem.machines.x86_64 import instruction
from postmortem.program.memory import AddressSpace, Piece

if TYPE_CHECKING:
    from postmortem.machines.machine import Decoded

PC, DATA = 0x401000, 0x601000
_ONES = (1 << 64) - 1


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
    operand, *others = decoded.operands
    assert len(others) == (code == "ff13")  # the return address that it pushes
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
        (0xFFFFFFFFFFFFFFFF, True),
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
        ("0f1000", None),  # movups xmm0, [rax]
        ("c5fc1000", None),  # vmovups
        ("660fef00", 16),  # pxor
        ("f20f7c00", 16),  # haddps
        ("f20ff000", None),  # lddqu
        ("66480f6e00", None),  # movq
        ("660f3a630000", None),  # pcmpistri
    ],
)
def test_the_alignment_that_is_demanded(code: str, alignment: int | None) -> None:
    """Intel SDM volume 1, 14.9; the instructions' own pages in volume 2."""
    decoded = _decode(code, rax=0x1001, rbx=0x1001)
    assert decoded is not None
    (operand,) = decoded.operands
    assert operand.alignment == alignment


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
        ("ffd3", {}, None),
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
        (
            "48f7fb",
            b"",
            {"quotient_bits": 64, "divisor": _ONES, "dividend": 0x1_8877_6655, "dividend_high": 16},
        ),
        ("f7fb", b"", {"quotient_bits": 32, "divisor": 0xFFFFFFFF, "dividend": 0x8877_6655, "dividend_high": 16}),
        ("66f7f3", b"", {"quotient_bits": 16, "divisor": 0xFFFF, "dividend": 0x6655, "dividend_high": 16}),
        ("f6f3", b"", {"quotient_bits": 8, "divisor": 0xFF, "dividend": 0x55, "dividend_high": 0x66}),
        ("f73e", b"\5\0\0\0\1", {"quotient_bits": 32, "divisor": 5, "dividend": 0x8877_6655, "dividend_high": 16}),
        ("f73e", b"", {"quotient_bits": 32, "dividend": 0x8877_6655, "dividend_high": 16}),
        ("480fafc3", b"", {}),  # imul
    ],
)
def test_what_a_division_divides(code: str, data: bytes, values: dict[str, int]) -> None:
    decoded = _decode(code, data, rbx=_ONES, rax=0x1_8877_6655, rdx=16, rsi=DATA)
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
