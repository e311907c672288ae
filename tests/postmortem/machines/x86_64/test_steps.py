"""Steps that need no call frame information: bytes and stacks made by hand."""

from __future__ import annotations

import pytest

from postmortem.machines.x86_64 import steps
from postmortem.machines.x86_64.registers import DWARF_NAMES, PC, RBP, RSP
from postmortem.program.memory import AddressSpace, Piece

CODE, STACK = 0x401000, 0x7FFC0000


def _space(code: bytes = b"", stack: tuple[int, ...] = ()) -> AddressSpace:
    words = b"".join(value.to_bytes(8, "little") for value in stack)
    pieces = [Piece(CODE, CODE + len(code), code, 0), Piece(STACK, STACK + len(words), words, 0)]
    return AddressSpace([piece for piece in pieces if piece.end > piece.start])


def _registers(**values: int) -> list[int | None]:
    return [values.get(name) for name in DWARF_NAMES]


def test_a_frame_pointer_leads_to_the_pair_of_saved_rbp_and_return_address() -> None:
    space = _space(stack=(1, 2, 0xBBBB, CODE + 5))
    caller = steps.step_frame_pointer(space, _registers(rip=CODE, rsp=STACK, rbp=STACK + 16, rbx=9))
    assert caller == _registers(rip=CODE + 5, rbp=0xBBBB, rsp=STACK + 32)


@pytest.mark.parametrize(
    ("fp", "sp", "found"),
    [
        (STACK, STACK, True),
        (STACK, STACK + 8, False),  # below the stack pointer
        (STACK + 4, STACK, False),  # not aligned
        (STACK, STACK - (1 << 24), True),
        (STACK, STACK - (1 << 24) - 8, False),  # farther than a frame is large
        (STACK + 24, STACK, False),  # the second word is missing
        (None, STACK, False),
        (STACK, None, False),
    ],
)
def test_what_can_be_a_frame_pointer(fp: int | None, sp: int | None, found: bool) -> None:
    registers = _registers(rip=CODE)
    registers[RBP], registers[RSP] = fp, sp
    assert (steps.step_frame_pointer(_space(stack=(1, 2, 3, 4)), registers) is not None) is found


def test_a_call_to_nowhere_changed_rsp_and_pc_alone() -> None:
    registers = _registers(rip=0, rsp=STACK, rbx=7, rax=8)
    caller = steps.step_return_at_sp(_space(stack=(CODE + 5,)), registers)
    assert caller == _registers(rip=CODE + 5, rsp=STACK + 8, rbx=7, rax=8)
    assert registers[PC] == 0
    assert steps.step_return_at_sp(_space(), registers) is None
    assert steps.step_return_at_sp(_space(stack=(1,)), _registers(rip=0)) is None


@pytest.mark.parametrize(
    ("called", "pc", "found"),
    [
        (0x1000, 0x1000, True),
        (0x1000, 0x10FFF, True),
        (0x1000, 0x11000, False),  # no function is so long
        (0x1000, 0xFFF, False),  # in front of what was called
        (-0x800, -0x7F0, True),
    ],
)
def test_a_function_without_frame_was_called_just_below_pc(called: int, pc: int, found: bool) -> None:
    code = b"\xe8" + (called - 5).to_bytes(4, "little", signed=True)
    caller = steps.step_frameless(_space(code, (CODE + 5,)), _registers(rip=CODE + pc, rsp=STACK))
    assert (None if caller is None else (caller[PC], caller[RSP])) == ((CODE + 5, STACK + 8) if found else None)


@pytest.mark.parametrize("code", ["ffd0909090", "e900000000", ""])
def test_only_a_direct_call_proves_a_function_without_frame(code: str) -> None:
    space = _space(bytes.fromhex(code), (CODE + 5,))
    assert steps.step_frameless(space, _registers(rip=CODE + 5, rsp=STACK)) is None


@pytest.mark.parametrize(
    "call",
    [
        "e811223344",  # call rel32
        "ffd0",  # call rax
        "41ffd3",  # call r11
        "41ffd4",  # call r12
        "ff10",  # call [rax]
        "ff5508",  # call [rbp + 8]
        "ff542408",  # call [rsp + 8]
        "41ff542408",  # call [r12 + 8]
        "ff1511223344",  # call [rip + disp32]
        "ff9011223344",  # call [rax + disp32]
        "ff942411223344",  # call [rsp + disp32]
        "ff14c511223344",  # call [rax * 8 + disp32]
        "42ff14cd11223344",  # call [r9 * 8 + disp32]: a prefix before one of 7 bytes
    ],
)
def test_every_form_of_a_call_is_known_for_one(call: str) -> None:
    code = bytes.fromhex(call)
    space = _space(code.rjust(16, b"\x90"))
    assert steps.follows_call(space, CODE + 16) is True


@pytest.mark.parametrize("code", ["90909090909090", "ffe0", "ff20", "fff0", "ffd000", "e8", "c3", "ff50", "0fffd190"])
def test_what_is_no_call(code: str) -> None:
    space = _space(bytes.fromhex(code).rjust(16, b"\x90"))
    assert steps.follows_call(space, CODE + 16) is False


def test_without_bytes_nobody_knows() -> None:
    assert steps.follows_call(_space(b"\x90" * 16), CODE + 5) is None
    assert steps.follows_call(_space(), CODE) is None


def _is_code(value: int) -> bool:
    return CODE <= value < CODE + 0x100 or value >> 16 == 0x5555


def test_a_scan_takes_the_nearest_word_that_returns_to_behind_a_call() -> None:
    code = b"\x90" * 8 + b"\xff\xd0" + b"\x90" * 8
    space = _space(code, (1, CODE + 8, STACK, CODE + 10, CODE + 10))
    caller = steps.scan(space, _registers(rsp=STACK, rbp=STACK + 64, rbx=1), _is_code, 10)
    assert caller == _registers(rip=CODE + 10, rsp=STACK + 32, rbp=STACK + 64)


def test_a_stack_pointer_that_is_not_aligned_is_none() -> None:
    stack = (0x55551234 << 32, 0)
    assert steps.scan(_space(stack=stack), _registers(rsp=STACK + 4), _is_code, 1) is None


def test_code_that_is_not_at_hand_is_believed() -> None:
    caller = steps.scan(_space(stack=(1, 0x55551234)), _registers(rsp=STACK), _is_code, 10)
    assert caller == _registers(rip=0x55551234, rsp=STACK + 16)


@pytest.mark.parametrize(
    ("sp", "fp", "words", "found"),
    [
        (STACK, None, 4, (STACK + 32, None)),
        (STACK, None, 3, None),
        (STACK + 4, None, 4, None),  # no stack pointer
        (None, None, 4, None),
        (STACK, STACK + 32, 4, (STACK + 32, STACK + 32)),
        (STACK, STACK + 24, 4, (STACK + 32, None)),  # rbp lies below the caller's frame: it is not the caller's
    ],
)
def test_how_far_a_scan_goes_and_when_rbp_is_kept(
    sp: int | None, fp: int | None, words: int, found: tuple[int, int | None] | None
) -> None:
    registers = _registers()
    registers[RSP], registers[RBP] = sp, fp
    caller = steps.scan(_space(stack=(0, 0, 0, 0x55551234)), registers, _is_code, words)
    assert (None if caller is None else (caller[RSP], caller[RBP])) == found
