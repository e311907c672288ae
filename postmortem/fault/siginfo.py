"""siginfo_t in words (signal(7), sigaction(2); kernel include/uapi/asm-generic/siginfo.h)."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from postmortem.machines.x86_64.syscalls import NAMES
from postmortem.model import Address, Signal

if TYPE_CHECKING:
    from parsers.elf.notes import SignalInfo

_GENERAL = {
    0: ("SI_USER", "sent by kill()"),
    128: ("SI_KERNEL", "raised by the kernel"),
    -1: ("SI_QUEUE", "sent by sigqueue()"),
    -2: ("SI_TIMER", "sent by a timer"),
    -3: ("SI_MESGQ", "sent by a message queue"),
    -4: ("SI_ASYNCIO", "sent by asynchronous I/O"),
    -5: ("SI_SIGIO", "sent by SIGIO"),
    -6: ("SI_TKILL", "sent by tgkill(): raise() or abort() of its own, when from this process"),
}
_CODES = {
    (4, 1): ("ILL_ILLOPC", "illegal opcode"),
    (4, 2): ("ILL_ILLOPN", "illegal operand"),
    (4, 3): ("ILL_ILLADR", "illegal addressing mode"),
    (4, 4): ("ILL_ILLTRP", "illegal trap"),
    (4, 5): ("ILL_PRVOPC", "privileged opcode"),
    (4, 6): ("ILL_PRVREG", "privileged register"),
    (4, 8): ("ILL_BADSTK", "internal stack error"),
    (5, 1): ("TRAP_BRKPT", "breakpoint"),
    (5, 2): ("TRAP_TRACE", "trace trap"),
    (5, 4): ("TRAP_HWBKPT", "hardware breakpoint"),
    (7, 1): ("BUS_ADRALN", "misaligned address"),
    (7, 2): (
        "BUS_ADRERR",
        "nothing behind the mapped page: the file is shorter than its mapping, its file system full, or I/O failed",
    ),
    (7, 3): ("BUS_OBJERR", "hardware error of the object"),
    (7, 4): ("BUS_MCEERR_AR", "hardware memory error in memory that was used"),
    (7, 5): ("BUS_MCEERR_AO", "hardware memory error in memory of this process"),
    (8, 1): ("FPE_INTDIV", "integer division by zero or with overflow"),
    (8, 2): ("FPE_INTOVF", "integer overflow"),
    (8, 3): ("FPE_FLTDIV", "floating-point division by zero"),
    (8, 4): ("FPE_FLTOVF", "floating-point overflow"),
    (8, 5): ("FPE_FLTUND", "floating-point underflow"),
    (8, 6): ("FPE_FLTRES", "floating-point inexact result"),
    (8, 7): ("FPE_FLTINV", "invalid floating-point operation"),
    (8, 8): ("FPE_FLTSUB", "subscript out of range"),
    (11, 1): ("SEGV_MAPERR", "nothing is mapped at the address"),
    (11, 2): ("SEGV_ACCERR", "the mapping at the address does not permit the access"),
    (11, 3): ("SEGV_BNDERR", "failed bound check"),
    (11, 4): ("SEGV_PKUERR", "memory protection key"),
    (11, 8): ("SEGV_MTEAERR", "asynchronous memory tag mismatch"),
    (11, 9): ("SEGV_MTESERR", "memory tag mismatch"),
    (11, 10): ("SEGV_CPERR", "control protection: shadow stack or branch tracking"),
    (31, 1): ("SYS_SECCOMP", "a seccomp filter refused the system call"),
}


def code_of(number: int, name: str | None) -> int | None:
    """Linux's number of a code by its name: other systems have other numbers (FPE_INTDIV is 7 on macOS)."""
    return next((code for (signal, code), (known, _) in _CODES.items() if signal == number and known == name), None)


def signal_name(number: int) -> str:
    """SIGSEGV for 11; "signal 40" for what has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def describe(info: SignalInfo | None) -> Signal | None:
    """The signal of the report. Where only pr_cursig tells it there is no code."""
    if info is None:
        return None
    if info.code is None:
        return Signal(number=info.number, name=signal_name(info.number))
    name, meaning = _CODES.get((info.number, info.code)) or _GENERAL.get(info.code) or (f"si_code {info.code}", "")
    return Signal(
        number=info.number,
        name=signal_name(info.number),
        code=info.code,
        code_name=name,
        fault_address=None if info.address is None else Address(info.address),
        sender_pid=info.pid,
        sender_uid=info.uid,
        meaning=meaning or None,
        syscall=info.syscall,
        syscall_name=None if info.syscall is None else NAMES.get(info.syscall),
    )
