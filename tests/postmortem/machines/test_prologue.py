"""Frames of functions without call frame information, by their own instructions."""

from __future__ import annotations

import pytest

from postmortem.machines.x86_64 import prologue
from postmortem.machines.x86_64.registers import DWARF_NAMES, PC, RBP, RSP
from postmortem.program.memory import AddressSpace, Piece

START, STACK, CALLER = 0x401000, 0x7FFC0000, 0x402000
CALL = "e800000000"
RETURN = CALLER + 5


def _space(code: str, stack: list[int]) -> AddressSpace:
    text = bytes.fromhex(code).ljust(256, b"\x90")
    words = b"".join(value.to_bytes(8, "little") for value in stack).ljust(512, b"\0")
    called = bytes.fromhex(CALL).ljust(64, b"\x90")
    return AddressSpace(
        [
            Piece(START, START + len(text), text, 0),
            Piece(CALLER, CALLER + len(called), called, 0),
            Piece(STACK, STACK + len(words), words, 0),
        ]
    )


def _caller(code: str, at: int, stack: list[int], interrupted: bool, **registers: int) -> dict[str, int | None] | None:
    space = _space(code, stack)
    pc = START + at
    state = prologue.state_at(space, START, len(bytes.fromhex(code)), pc, interrupted)
    if state is None:
        return None
    values: list[int | None] = [None] * 17
    values[RSP], values[PC] = STACK, pc
    for name, value in registers.items():
        values[DWARF_NAMES.index(name)] = value
    found = prologue.step(space, values, state)
    return None if found is None else dict(zip(DWARF_NAMES, found, strict=True))


@pytest.mark.parametrize(
    ("code", "at", "interrupted", "depth"),
    [
        ("5553" + "4883ec18" + CALL + "4883c418" + "5b5dc3", 11, False, 40),  # push rbp, rbx; sub rsp, 24; call
        ("5553" + "4883ec18" + CALL + "4883c418" + "5b5dc3", 0, True, 0),  # before the first push
        ("5553" + "4883ec18" + CALL + "4883c418" + "5b5dc3", 15, True, 16),  # after add rsp
        ("5553" + "4883ec18" + CALL + "4883c418" + "5b5dc3", 17, True, 0),  # at ret
        ("53" + "85ff" + "7402" + "5bc3" + CALL, 12, False, 8),  # behind an early return: je over pop; ret
        ("488d6424f0" + CALL, 10, False, 16),  # lea rsp, [rsp - 16]
    ],
)
def test_the_distance_to_the_return_address(code: str, at: int, interrupted: bool, depth: int) -> None:
    stack = [0x1111 * (index + 1) for index in range(depth // 8)] + [RETURN]
    found = _caller(code, at, stack, interrupted)
    assert found is not None
    assert (found["rip"], found["rsp"]) == (RETURN, STACK + depth + 8)


def test_saved_registers_are_read_back() -> None:
    found = _caller("5553" + "4883ec08" + CALL, 11, [0, 0xBB, 0xBBBB, RETURN], False, r12=7, rbx=1, rbp=2)
    assert found is not None
    assert (found["rbx"], found["rbp"], found["r12"], found["rax"]) == (0xBB, 0xBBBB, 7, None)


def test_a_frame_of_variable_size_goes_by_rbp() -> None:
    code = "55" + "4889e5" + "4829c4" + CALL  # push rbp; mov rbp, rsp; sub rsp, rax; call
    found = _caller(code, 12, [0] * 8 + [0xBBBB, RETURN], False, rbp=STACK + 64)
    assert found is not None
    assert (found["rip"], found["rbp"], found["rsp"]) == (RETURN, 0xBBBB, STACK + 80)


@pytest.mark.parametrize(
    ("code", "at"),
    [
        ("4829c4" + CALL, 8),  # sub rsp, rax without a frame pointer
        ("ffe0" + "90" * 8 + CALL, 15),  # only a jump table leads there
        ("ff", 1),
    ],
)
def test_what_is_not_constant_is_not_told(code: str, at: int) -> None:
    assert _caller(code, at, [RETURN] * 8, False) is None


def test_a_return_address_follows_a_call() -> None:
    assert _caller("53" + CALL, 6, [0, CALLER + 9], False) is None


def test_a_call_to_a_function_further_on_is_another_s() -> None:
    called = bytes.fromhex("e8") + (0x100).to_bytes(4, "little")
    space = AddressSpace([Piece(CALLER, CALLER + 5, called, 0)])
    assert prologue.calls_another(space, CALLER + 5, CALLER + 0x50)
    assert not prologue.calls_another(space, CALLER + 5, CALLER + 0x150)


def test_rbp_is_not_asked_for_the_depth() -> None:
    found = _caller("5553" + CALL, 7, [0, 0, RETURN], False, rbp=0xDEAD)
    assert found is not None
    assert found["rsp"] == STACK + 24
    assert DWARF_NAMES.index("rbp") == RBP


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("554889e5", True),  # push rbp; mov rbp, rsp: a function
        ("ff2500000000", False),  # jmp *slot: an entry of a procedure linkage table
        ("f30f1efaf2ff25", False),  # endbr64; bnd jmp
        (None, None),  # not at hand
    ],
)
def test_whether_a_call_stays_in_its_module(target: str | None, found: bool | None) -> None:
    pieces = [Piece(CALLER, CALLER + 5, b"\xe8" + (0x100).to_bytes(4, "little"), 0)]
    if target is not None:
        code = bytes.fromhex(target).ljust(8, b"\x90")
        pieces.append(Piece(CALLER + 0x105, CALLER + 0x10D, code, 0))
    assert prologue.calls_here(AddressSpace(pieces), CALLER + 5) is found


def test_an_indirect_call_may_go_anywhere() -> None:
    space = AddressSpace([Piece(CALLER - 8, CALLER + 2, b"\x90" * 8 + bytes.fromhex("ffd0"), 0)])
    assert prologue.calls_here(space, CALLER + 2) is False
    assert prologue.calls_here(space, CALLER + 0x100) is None
