"""The walk along a stack: which rule is taken, what it restores, and the name of each end."""

from __future__ import annotations

import pytest

from parsers.limits import Limits
from postmortem.budget import Budget
from postmortem.machines.x86_64.registers import PC, RBP, RSP
from postmortem.machines.x86_64.signalframe import TRAMPOLINE
from postmortem.unwind.frame import ForeignStep, RawFrame, VirtualFrame
from tests.postmortem.unwind.process import (
    ALTERNATE,
    BOTTOM,
    CALL,
    PLAIN,
    RBP_FRAME,
    STACK,
    Process,
    call,
    registers,
    room,
    words,
)

F, G, MAIN = 0x401000, 0x402000, 0x403000
RBX = 3


def three_functions() -> Process:
    """f, called by g, called by main, which is the outermost frame."""
    return (
        Process()
        .code(G + 0x20, CALL)
        .code(MAIN + 0x30, CALL)
        .function(F, 0x100, PLAIN)
        .function(G, 0x100, bytes([0x0E, 24, 0x83, 2]))  # rbx at CFA - 16
        .function(MAIN, 0x100, BOTTOM)
    )


def test_frames_by_cfi_up_to_the_marked_bottom() -> None:
    process = three_functions().stack(words(G + 0x25, 0, 0xBBBB, MAIN + 0x35, 0))
    walk = process.walker().walk(registers(rip=F + 8, rsp=STACK, rbx=1, rbp=2, rax=3))
    assert [(frame.pc, frame.sp, frame.trust, frame.interrupted) for frame in walk.frames] == [
        (F + 8, STACK, "context", True),
        (G + 0x25, STACK + 8, "cfi", False),
        (MAIN + 0x35, STACK + 32, "cfi", False),
    ]
    assert (walk.ended, walk.detail) == ("bottom", "the CFI marks the outermost frame")
    assert [frame.kind for frame in walk.frames] == ["native"] * 3
    assert [frame.cfa for frame in walk.frames] == [STACK + 8, STACK + 32, None]
    saved = [frame.registers[RBX] if frame.registers else None for frame in walk.frames]
    assert saved == [1, 1, 0xBBBB]  # g had saved it, so it is main's
    assert walk.frames[2].fp == 2


def test_a_return_address_behind_the_last_instruction_is_its_callers() -> None:
    """g ends with a call of a function that does not return: its return address is the first of the next function."""
    process = (
        Process()
        .code(G + 0xFB, CALL)
        .function(F, 0x100, PLAIN)
        .function(G, 0x100, room(64))
        .function(G + 0x100, 0x100, PLAIN)
        .stack(words(G + 0x100, *[0] * 7, MAIN + 5) + bytes(64))
    )
    walk = process.code(MAIN, CALL).walker(mode="cfi").walk(registers(rip=F, rsp=STACK))
    assert [frame.pc for frame in walk.frames] == [F, G + 0x100, MAIN + 5]
    assert walk.frames[2].sp == STACK + 8 + 64


def test_the_first_frame_is_looked_up_at_its_own_pc() -> None:
    process = Process().function(F, 0x100, room(64)).function(F + 0x100, 0x100, PLAIN).code(MAIN, CALL)
    walk = process.stack(words(MAIN + 5, 0)).walker(mode="cfi").walk(registers(rip=F + 0x100, rsp=STACK))
    assert [frame.pc for frame in walk.frames] == [F + 0x100, MAIN + 5]


@pytest.mark.parametrize(
    ("stack", "ended", "detail"),
    [
        (words(0, 1) + bytes(512), "bottom", "the return address is 0"),
        (bytes(512), "unreadable", f"the stack at {STACK:#x} is all zeros"),
        (bytes(64), "bottom", "the return address is 0"),  # less than a blank that can be told
        (b"", "unreadable", f"the stack of the frame at {STACK:#x} can't be read"),
        (words(STACK, 1), "no-rule", f"CFI gives a caller at {STACK:#x} with sp {STACK + 8:#x}"),
    ],
)
def test_why_a_walk_by_cfi_ended(stack: bytes, ended: str, detail: str) -> None:
    process = Process().function(F, 0x100, PLAIN)
    walk = (process.stack(stack) if stack else process).walker().walk(registers(rip=F, rsp=STACK))
    assert (walk.ended, walk.detail, len(walk.frames)) == (ended, detail, 1)


def test_a_caller_lies_higher_on_the_stack() -> None:
    """CFA = rsp + 0: a rule that does not move would be a loop."""
    process = Process().function(F, 0x100, bytes([0x0E, 0])).code(G, CALL).stack(words(G + 5, G + 5))
    walk = process.walker().walk(registers(rip=F, rsp=STACK + 8))
    assert (walk.ended, len(walk.frames)) == ("no-rule", 1)
    assert walk.detail is not None and f"with sp {STACK + 8:#x}" in walk.detail


@pytest.mark.parametrize("missing", ["rip", "rsp"])
def test_without_pc_or_sp_there_is_no_frame(missing: str) -> None:
    values = {"rip": F, "rsp": STACK}
    del values[missing]
    walk = Process().walker().walk(registers(**values))
    assert (walk.frames, walk.ended) == ([], "no-registers")


@pytest.mark.parametrize(("most", "own"), [(3, None), (50, 3)])
def test_a_recursion_without_end_stops_at_the_limit(most: int, own: int | None) -> None:
    process = Process().function(F, 0x100, PLAIN).code(F, CALL).stack(words(*[F + 5] * 64))
    walk = process.walker(max_frames=most).walk(registers(rip=F + 5, rsp=STACK), own)
    assert (len(walk.frames), walk.ended, walk.detail) == (3, "limit", "stopped after 3 frames")


def test_a_call_through_a_bad_pointer_takes_the_return_address_at_rsp() -> None:
    process = three_functions().stack(words(G + 0x25, 0, 7, MAIN + 0x35))
    walk = process.walker().walk(registers(rip=0, rsp=STACK, rbx=1))
    assert [(frame.pc, frame.kind, frame.trust) for frame in walk.frames] == [
        (0, "unknown", "context"), (G + 0x25, "native", "frame-pointer"), (MAIN + 0x35, "native", "cfi"),
    ]  # fmt: skip


@pytest.mark.parametrize("word", [G + 0x26, STACK, 0])
def test_a_word_at_rsp_that_follows_no_call_is_no_return_address(word: int) -> None:
    process = three_functions().stack(words(word, 0, 0))
    walk = process.walker(mode="cfi").walk(registers(rip=0x10, rsp=STACK))
    assert (len(walk.frames), walk.ended) == (1, "no-rule")


def chain() -> Process:
    """Two callers by rbp, of functions without CFI; the scan would find a decoy first."""
    return (
        Process()
        .code(G, CALL)
        .code(MAIN, CALL)
        .code(MAIN + 0x100, CALL)
        .stack(words(MAIN + 0x105, 0, STACK + 40, G + 5, 0, 0, MAIN + 5, 0))
    )


@pytest.mark.parametrize("mode", ["auto", "fp"])
def test_frames_by_frame_pointers(mode: str) -> None:
    walk = chain().walker(mode=mode).walk(registers(rip=F, rsp=STACK, rbp=STACK + 16))
    assert [(frame.pc, frame.sp, frame.trust) for frame in walk.frames][:3] == [
        (F, STACK, "context"), (G + 5, STACK + 32, "frame-pointer"), (MAIN + 5, STACK + 56, "frame-pointer"),
    ]  # fmt: skip
    assert walk.ended == "no-rule"
    assert [frame.fp for frame in walk.frames] == [STACK + 16, STACK + 40, 0]


def test_with_cfi_alone_no_frame_pointer_is_followed() -> None:
    walk = chain().walker(mode="cfi").walk(registers(rip=F, rsp=STACK, rbp=STACK + 16))
    assert (len(walk.frames), walk.ended) == (1, "no-rule")


def test_by_frame_pointers_alone_no_rule_is_asked() -> None:
    """CFI would give main's frame; rbp gives g's."""
    process = chain().function(F, 0x100, PLAIN)
    start = registers(rip=F, rsp=STACK, rbp=STACK + 16)
    assert [frame.pc for frame in process.walker(mode="fp").walk(start).frames][1] == G + 5
    assert [frame.pc for frame in process.walker(mode="auto").walk(start).frames][1] == MAIN + 0x105


def test_by_frame_pointers_alone_nothing_is_guessed() -> None:
    walk = chain().walker(mode="fp").walk(registers(rip=F, rsp=STACK, rbp=1))
    assert (len(walk.frames), walk.ended) == (1, "no-rule")


def test_where_a_rule_fails_the_frame_pointer_is_tried_but_no_scan() -> None:
    """CFA = rsp + 8 leads to no code."""
    process = Process().function(F, 0x100, PLAIN).code(G, CALL).stack(words(0xDEAD, 0, 0, G + 5, G + 5, 0))
    by_rbp = process.walker().walk(registers(rip=F, rsp=STACK, rbp=STACK + 16))
    assert [(frame.pc, frame.trust) for frame in by_rbp.frames][1] == (G + 5, "frame-pointer")
    without = process.walker().walk(registers(rip=F, rsp=STACK, rbp=0))
    assert (len(without.frames), without.ended) == (1, "no-rule")


def test_a_scan_takes_the_nearest_word_behind_a_call() -> None:
    process = Process().code(G, CALL).code(MAIN, CALL)
    process.stack(words(1, G + 0x44, STACK, 0x1000, G + 5, MAIN + 5, 0))
    walk = process.walker().walk(registers(rip=F, rsp=STACK, rbp=1))
    assert [(frame.pc, frame.sp, frame.trust) for frame in walk.frames] == [
        (F, STACK, "context"), (G + 5, STACK + 40, "scan"), (MAIN + 5, STACK + 48, "scan"),
    ]  # fmt: skip


@pytest.mark.parametrize(("gap", "found"), [(39, 3), (40, 2)])
def test_behind_a_guess_a_scan_looks_less_far(gap: int, found: int) -> None:
    """The first scan sees 160 words, one behind a scan 40."""
    process = Process().code(G, CALL).code(MAIN, CALL).stack(words(*[0] * 100, G + 5, *[0] * gap, MAIN + 5))
    walk = process.walker().walk(registers(rip=F, rsp=STACK))
    assert len(walk.frames) == found


@pytest.mark.parametrize(("gap", "found"), [(159, 2), (160, 1)])
def test_a_scan_has_an_end(gap: int, found: int) -> None:
    process = Process().code(G, CALL).stack(words(*[0] * gap, G + 5))
    assert len(process.walker().walk(registers(rip=F, rsp=STACK)).frames) == found


def test_a_frame_of_another_function_that_rbp_gives_is_left_for_a_scan_below_it() -> None:
    """The call that the frame at rbp returns to went to a function behind f; one between can have called f."""
    process = Process().code(G, call(G, F + 0x800)).code(MAIN, CALL)
    process.stack(words(0, MAIN + 5, 0, 0, 0, STACK + 80, G + 5, 0, 0, 0, 0))
    walk = process.walker().walk(registers(rip=F, rsp=STACK, rbp=STACK + 40))
    assert [(frame.pc, frame.trust) for frame in walk.frames][:3] == [
        (F, "context"), (MAIN + 5, "scan"), (G + 5, "frame-pointer"),
    ]  # fmt: skip


@pytest.mark.parametrize(("target", "trust"), [(F, "frame-pointer"), (F + 0x20, "scan"), (MAIN, "scan")])
def test_a_function_that_has_not_built_its_frame_is_left_by_the_call_that_reached_it(target: int, trust: str) -> None:
    """rbp is the caller's still and leads past it; a call of something else proves nothing."""
    process = Process().code(G, call(G, target)).code(MAIN, CALL)
    process.stack(words(G + 5, 0, 0, 0) if trust == "frame-pointer" else words(G + 5))
    walk = process.walker().walk(registers(rip=F + 0x10, rsp=STACK, rbp=1))
    assert [(frame.pc, frame.sp, frame.trust) for frame in walk.frames][1] == (G + 5, STACK + 8, trust)


def test_a_function_without_cfi_is_left_by_its_own_instructions() -> None:
    """push rbx; sub rsp, 16; call: rbp is of no use, the first word that looks like a return address a decoy."""
    process = Process().code(F, bytes.fromhex("534883ec10") + CALL).code(G, CALL).code(MAIN, CALL)
    process.stack(words(MAIN + 5, 0, 0xBBBB, G + 5, 0))
    walker = process.function(G, 0x100, BOTTOM).walker()
    walker.function = lambda pc: (F, 0x40) if F <= pc < F + 0x40 else None
    caller = registers(rip=F + 10, rsp=STACK, rbp=1, rbx=7)
    walk = walker.walk(caller)
    assert [(frame.pc, frame.trust) for frame in walk.frames] == [(F + 10, "context"), (G + 5, "frame-pointer")]
    assert walk.frames[1].registers is not None
    assert walk.frames[1].registers[RBX] == 0xBBBB


LIBRARY, LIBC = G, MAIN
"""Modules without call frame information: functions of one keep a frame pointer, those of the other do not."""


def _in_libc(modules: bool, here: bytes = CALL) -> list[tuple[int, str]]:
    """Stopped in libc below a function of a library that another one of it called; rbp is the inner one's."""
    process = Process().code(LIBRARY, here).code(LIBRARY + 0x40, CALL).code(MAIN, CALL)
    process.stack(words(0, MAIN + 5, 0, LIBRARY + 0x45, 0, 0, STACK + 72, LIBRARY + 5, 0, 0, 0))
    walker = process.walker()
    if modules:
        walker.module = lambda pc: LIBRARY if LIBRARY <= pc < LIBRARY + 0x100 else LIBC
    walk = walker.walk(registers(rip=MAIN + 0x80, rsp=STACK, rbp=STACK + 48))
    return [(frame.pc, frame.trust) for frame in walk.frames]


def test_the_function_whose_frame_pointer_libc_left_is_looked_for() -> None:
    direct = call(LIBRARY, LIBRARY + 0x30)
    assert _in_libc(True, direct)[1:3] == [(LIBRARY + 0x45, "scan"), (LIBRARY + 5, "frame-pointer")]


def test_what_was_called_through_a_pointer_left_no_such_frame() -> None:
    assert _in_libc(True)[1] == (LIBRARY + 5, "frame-pointer")
    assert _in_libc(False, call(LIBRARY, LIBRARY + 0x30))[1] == (LIBRARY + 5, "frame-pointer")


def _generated(*below: int) -> list[int]:
    """Stopped in code of no module; F has called it through a pointer, and MAIN has called F."""
    generated = 0x7F0000000000
    process = Process().code(F, CALL).code(MAIN, call(MAIN, F)).code(generated, bytes(16))
    process.stack(words(*below, STACK + 8 * len(below) + 24, MAIN + 5, 0, 0, 0, 0))
    walker = process.walker()
    walker.function = lambda pc: (F, 0x40) if F <= pc < F + 0x40 else None
    walker.module = lambda pc: None if pc >= generated else F
    walk = walker.walk(registers(rip=generated + 4, rsp=STACK, rbp=STACK + 8 * len(below)))
    return [frame.pc for frame in walk.frames[1:3]]


def test_generated_code_without_a_frame_returns_to_the_word_at_the_stack_pointer() -> None:
    assert _generated(F + 5, 0) == [F + 5, MAIN + 5]
    assert _generated(7, 8, F + 5, 0) == [F + 5, MAIN + 5]
    assert _generated(0x1234, 0)[0] == MAIN + 5


def signal_frame(context: int, pc: int, sp: int, **others: int) -> tuple[int, bytes]:
    """(where it lies, ucontext_t and siginfo_t), by the kernel's layout."""
    order = (
        *(f"r{number}" for number in range(8, 16)), "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp", "rip",
        "eflags", "cs", "err", "trapno", "oldmask", "cr2",
    )  # fmt: skip
    values = {"rip": pc, "rsp": sp, "cs": 0x33} | others
    return context, (bytes(40) + words(*(values.get(name, 0) for name in order))).ljust(304 + 128, b"\0")


RESTORER = 0x408000


def handled(context: int = STACK + 16, interrupted_sp: int = STACK + 0x800, **others: int) -> Process:
    """A handler, f, that returns to the restorer; the signal interrupted g at the first byte of a call."""
    at, frame = signal_frame(context, G + 0x20, interrupted_sp, rbx=0xB, **others)
    process = three_functions().code(RESTORER, TRAMPOLINE)
    return process.stack(words(0, RESTORER).ljust(16, b"\0") + frame if at == STACK + 16 else b"", STACK)


def test_a_signal_frame_restores_every_register_of_the_interrupted_function() -> None:
    process = handled().stack(words(0, 0xBB, MAIN + 0x35, 0), STACK + 0x800)
    walk = process.walker().walk(registers(rip=F, rsp=STACK + 8, rbx=1))
    assert [(frame.pc, frame.kind, frame.trust, frame.interrupted) for frame in walk.frames] == [
        (F, "native", "context", True),
        (RESTORER, "signal", "cfi", True),
        (G + 0x20, "native", "context", True),
        (MAIN + 0x35, "native", "cfi", False),
    ]
    (found,) = walk.signal_frames
    assert (found.position, found.context, found.info) == (1, STACK + 16, STACK + 16 + 304)
    assert found.registers[RBX] == 0xB
    assert walk.frames[3].registers is not None
    assert walk.frames[3].registers[RBX] == 0xBB


def test_a_handler_on_an_alternate_stack_above_the_interrupted_one() -> None:
    process = handled(interrupted_sp=ALTERNATE).stack(words(0, 0xBB, MAIN + 0x35, 0), ALTERNATE)
    walk = process.walker().walk(registers(rip=F, rsp=STACK + 8))
    assert [frame.pc for frame in walk.frames] == [F, RESTORER, G + 0x20, MAIN + 0x35]
    assert walk.frames[2].sp == ALTERNATE < STACK


def test_the_same_signal_frame_is_not_taken_twice() -> None:
    """The context restores a frame whose caller is the restorer with the same sp again."""
    process = handled(interrupted_sp=STACK + 8, rbp=0)
    process.functions[1] = process.functions[1]._replace(program=PLAIN)
    walk = process.walker().walk(registers(rip=F, rsp=STACK + 8))
    assert [frame.kind for frame in walk.frames].count("signal") == 1
    assert len(walk.frames) < 8


def test_what_is_no_user_context_is_no_signal_frame() -> None:
    walk = handled(cs=0x10).walker(mode="cfi").walk(registers(rip=F, rsp=STACK + 8))
    assert [frame.kind for frame in walk.frames] == ["native", "native"]
    assert walk.signal_frames == []


def test_damaged_cfi_is_told_and_the_walk_goes_on_without() -> None:
    process = Process().function(F, 0x100, bytes([0x3F])).code(G, CALL)
    walker = process.stack(words(0, 0, 0, G + 5, 0)).walker()
    walk = walker.walk(registers(rip=F + 4, rsp=STACK, rbp=STACK + 16))
    assert [(frame.pc, frame.trust) for frame in walk.frames][1] == (G + 5, "frame-pointer")
    (problem,) = walker.problems()
    assert (problem.stage, problem.where) == ("unwind", hex(F + 4))
    assert "0x3f" in problem.what


@pytest.mark.parametrize(
    ("program", "number", "expected"),
    [
        (bytes([0x14, 3, 2]), RBX, STACK - 8),  # its value is CFA - 16
        (bytes([0x09, 3, 12]), RBX, 0xC),  # it is in r12
        (bytes([0x07, 3]), RBX, None),  # undefined
        (bytes([0x10, 3, 2, 0x77, 24]), RBX, 0x3333),  # saved at rsp + 24
        (bytes([0x16, 3, 2, 0x23, 4]), RBX, STACK + 12),  # CFA + 4
        (bytes([0x83, 126]), RBX, None),  # saved where nothing is
        (bytes([0x0F, 2, 0x7C, 8]), RSP, STACK + 0x28),  # the CFA itself: r12 + 8
    ],
)
def test_every_kind_of_register_rule(program: bytes, number: int, expected: int | None) -> None:
    at = STACK + 0x20 if program[0] == 0x0F else STACK
    stack = words(G + 5, 0, 0, 0x3333, G + 5, 0, 0)
    process = Process().function(F, 0x100, program).code(G, CALL).stack(stack)
    walk = process.walker(mode="cfi").walk(registers(rip=F, rsp=STACK, rbx=1, r12=0xC if at == STACK else at))
    caller = walk.frames[1].registers
    assert walk.frames[1].pc == G + 5
    assert caller is not None
    assert caller[number] == expected


def test_a_cfa_of_a_register_that_is_not_known_gives_no_caller() -> None:
    process = Process().function(F, 0x100, RBP_FRAME).code(G, CALL).stack(words(G + 5, G + 5))
    walk = process.walker(mode="cfi").walk(registers(rip=F, rsp=STACK))
    assert (len(walk.frames), walk.ended) == (1, "no-rule")


@pytest.mark.parametrize(("allowed", "frames", "ended"), [(6, 3, "no-rule"), (5, 2, "limit"), (2, 1, "limit")])
def test_expressions_of_all_frames_have_a_bound(allowed: int, frames: int, ended: str) -> None:
    """Each of f's frames evaluates three bytes."""
    process = Process(budget=Budget(Limits(expression_bytes=allowed)))
    process.function(F, 0x100, bytes([0x0F, 3, 0x77, 8, 0x96])).code(F, CALL).code(G, CALL)
    walk = process.stack(words(F + 5, G + 5, 0)).walker(mode="cfi").walk(registers(rip=F, rsp=STACK))
    assert (len(walk.frames), walk.ended) == (frames, ended)


def test_programs_of_all_frames_have_a_bound() -> None:
    """Where it is spent, what was not looked up before has no rule."""
    budget = Budget(Limits(cfa_bytes=0))
    process = three_functions()
    process.budget = budget
    walk = process.stack(words(G + 0x25, 0, 0, MAIN + 0x35)).walker(mode="cfi").walk(registers(rip=F, rsp=STACK))
    assert (len(walk.frames), walk.ended) == (1, "no-rule")


def test_a_function_that_a_handler_put_in_place_of_an_instruction_was_not_called() -> None:
    """Its caller is looked up at its own pc, and keeps no register but the frame pointer, which it saved."""
    process = three_functions().function(G + 0x100, 0x40, bytes([0x0E, 16]))
    process.stack(words(STACK + 0x40, G + 0x20, 0, 0xBB, MAIN + 0x35))
    walker = process.walker()
    walker.injected = [(G + 0x100, G + 0x140)]
    walk = walker.walk(registers(rip=G + 0x110, rsp=STACK, rbp=STACK, rbx=5))
    caller = walk.frames[1]
    assert (caller.pc, caller.interrupted, caller.fp) == (G + 0x20, True, STACK + 0x40)
    assert caller.registers is not None
    assert [number for number, value in enumerate(caller.registers) if value is not None] == [RBP, RSP, PC]


def test_registers_that_a_function_left_on_the_stack_are_taken_once() -> None:
    process = three_functions().stack(words(G + 0x25, 0, 0, MAIN + 0x35)).stack(words(F + 8), ALTERNATE)
    left = registers(rip=F + 8, rsp=STACK)
    walk = process.walker().walk(
        registers(rip=F, rsp=ALTERNATE), None, lambda pc: left if F <= pc < F + 0x100 or G <= pc < G + 0x100 else None
    )
    # f's caller is f: not interrupted, so it is the one that left them; g is not asked any more.
    assert [(frame.pc, frame.sp, frame.trust) for frame in walk.frames] == [
        (F, ALTERNATE, "context"),
        (F + 8, ALTERNATE + 8, "cfi"),
        (F + 8, STACK, "frame-pointer"),
        (G + 0x25, STACK + 8, "cfi"),
        (MAIN + 0x35, STACK + 32, "cfi"),
    ]


class Runtime:
    """A runtime whose code is [0x409000, 0x40a000): each activation takes `size` bytes, the return address on top."""

    trust = "hotspot"

    def __init__(self, size: int = 16, why: str | None = None, anchor: int | None = None) -> None:
        self.size, self.why, self.anchor = size, why, anchor
        self.inserted: tuple[RawFrame, ...] = ()
        self.returns_to = GENERATED + 0x10
        self.steps = 0

    def covers(self, pc: int) -> bool:
        return GENERATED <= pc < GENERATED + 0x1000

    def step(self, values: list[int | None], interrupted: bool) -> ForeignStep:
        self.steps += 1
        caller = None
        if self.why is None:
            caller = registers(rip=self.returns_to, rsp=(values[RSP] or 0) + self.size)
        names = (VirtualFrame("a.B.c"),)
        return ForeignStep(caller, "java-interpreted", names, why=self.why, inserted=self.inserted)

    def resume(self, sp: int) -> list[int | None] | None:
        return None if self.anchor is None else registers(rip=MAIN + 0x35, rsp=self.anchor)


GENERATED = 0x409000


def test_a_runtime_s_own_code_is_unwound_by_the_runtime() -> None:
    runtime = Runtime()
    runtime.returns_to = MAIN + 0x35
    runtime.inserted = (RawFrame(1, 2, None, "java-compiled", "hotspot", False),)
    process = three_functions().stack(words(GENERATED + 8, 0, 0))
    walk = process.walker(foreign=runtime).walk(registers(rip=F, rsp=STACK))
    assert [(frame.pc, frame.sp, frame.kind, frame.trust) for frame in walk.frames] == [
        (F, STACK, "native", "context"),
        (GENERATED + 8, STACK + 8, "java-interpreted", "cfi"),
        (1, 2, "java-compiled", "hotspot"),
        (MAIN + 0x35, STACK + 24, "native", "hotspot"),
    ]
    assert walk.frames[1].virtual[0].function == "a.B.c"
    assert walk.ended == "bottom"


def test_a_runtime_s_caller_at_0_is_the_bottom() -> None:
    runtime = Runtime()
    runtime.returns_to = 0
    walk = Process().stack(bytes(64)).walker(foreign=runtime).walk(registers(rip=GENERATED, rsp=STACK))
    assert (len(walk.frames), walk.ended, walk.detail) == (1, "bottom", "the return address is 0")


def test_where_the_runtime_can_t_go_on_its_reason_ends_the_walk() -> None:
    walk = Process().walker(foreign=Runtime(why="no method")).walk(registers(rip=GENERATED, rsp=STACK))
    assert (len(walk.frames), walk.ended, walk.detail) == (1, "unreadable", "no method")


@pytest.mark.parametrize(("anchor", "frames"), [(STACK + 64, 2), (STACK, 1), (STACK - 8, 1)])
def test_an_anchor_above_is_where_a_broken_walk_goes_on(anchor: int, frames: int) -> None:
    runtime = Runtime(why="no method", anchor=anchor)
    walk = three_functions().walker(foreign=runtime).walk(registers(rip=GENERATED, rsp=STACK))
    assert len(walk.frames) == frames
    native = three_functions().stack(words(0, 0)).walker(foreign=runtime).walk(registers(rip=0x408888, rsp=STACK))
    assert [(frame.pc, frame.trust) for frame in native.frames][1:] == [(MAIN + 0x35, "hotspot")][: frames - 1]


@pytest.mark.parametrize(("size", "steps"), [(0, 2), (-8, 1)])
def test_a_runtime_s_steps_that_do_not_move_are_no_progress(size: int, steps: int) -> None:
    runtime = Runtime(size)
    walk = Process().walker(foreign=runtime).walk(registers(rip=GENERATED, rsp=STACK))
    assert (walk.ended, runtime.steps) == ("no-progress", steps)
