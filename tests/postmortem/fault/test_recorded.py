"""The signal of cores without siginfo: pr_cursig, and what the instruction at pc proves."""

from __future__ import annotations

import pytest

from parsers.elf import core as core_parser
from parsers.elf.notes import SignalInfo
from postmortem.fault.recorded import recorded
from postmortem.machines.machine import machine_of
from postmortem.program.memory import AddressSpace, Piece
from tests.build.core import CoreBuilder

TEXT, DATA, PID = 0x401000, 0x601000, 70


def _recorded(builder: CoreBuilder) -> tuple[int, SignalInfo | None]:
    content = builder.bytes()
    core = core_parser.parse(content)
    space = AddressSpace(Piece(s.start, s.start + s.dumped, content, s.offset) for s in core.segments if s.dumped)
    found = recorded(core, space, machine_of("x86_64"))
    return found.threads[0].tid, found.signal


def _core(code: str, signal: int, **registers: int) -> CoreBuilder:
    builder = CoreBuilder().process(PID, b"a.out", b"a.out").thread(PID, signal, **{"rip": TEXT + 16, **registers})
    return builder.memory(TEXT, bytes(16) + bytes.fromhex(code) + bytes(32), 5).memory(DATA, bytes(4096), 4)


@pytest.mark.parametrize(
    ("builder", "code", "address"),
    [
        (_core("8b00", 11, rax=0), 1, 0),  # mov eax, [rax]
        (_core("8900", 11, rax=DATA), 2, DATA),  # mov [rax], eax into read-only memory
        (_core("8b00", 11, rax=0x6B6B6B6B6B6B6B6B), 128, 0),  # non-canonical
        (_core("90", 11, rip=0x1234), 1, 0x1234),  # a jump to nowhere
        (_core("90", 11, rip=DATA + 8), 2, DATA + 8),  # a jump into data
        (_core("8b00", 11, rax=DATA), None, None),  # nothing there faults: somebody sent it
        (_core("90", 11), None, None),
        (_core("f7f9", 8, rcx=0), 1, TEXT + 16),  # idiv ecx
        (_core("f7f9", 8, rcx=3), None, None),
        (_core("0f0b", 4), 2, TEXT + 16),  # ud2
        (_core("90", 4), None, None),
    ],
)
def test_code_and_address_come_from_the_instruction(
    builder: CoreBuilder, code: int | None, address: int | None
) -> None:
    tid, signal = _recorded(builder)
    assert tid == PID
    assert signal is not None
    assert (signal.code, signal.address) == (code, address)


def test_a_raise_is_the_process_s_own() -> None:
    call = _core("0f0590", 6, rip=TEXT + 18, orig_rax=234, rdi=PID, rsi=PID, rdx=6)
    assert _recorded(call)[1] == SignalInfo(6, 0, -6, None, PID, None, None, None)
    other = _core("0f0590", 6, rip=TEXT + 18, orig_rax=234, rdi=PID + 1, rsi=PID + 1, rdx=6)
    assert _recorded(other)[1] == SignalInfo(6, 0, None, None, None, None, None, None)


def test_a_fault_beats_the_stop_of_another_thread() -> None:
    stopped = CoreBuilder().thread(1, 19).siginfo(19, 0, 0).thread(2, 11).siginfo(11, 1, 0x10).thread(3, 19)
    tid, signal = _recorded(stopped)
    assert tid == 2
    assert signal is not None
    assert (signal.number, signal.code, signal.address) == (11, 1, 0x10)


def test_the_thread_that_the_kernel_put_first_stays_first() -> None:
    tid, signal = _recorded(CoreBuilder().thread(5, 11).siginfo(11, 1, 0x20).thread(6, 11).thread(7, 6))
    assert tid == 5
    assert signal is not None
    assert signal.address == 0x20


def test_no_signal_at_all_stays_unknown() -> None:
    assert _recorded(CoreBuilder().thread(1, 0).thread(2, 0)) == (1, None)
