"""Stacks of a Go process: from a thread's own stack to its goroutine's, and which signal Go's handler was about.

C code, the scheduler and newstack() run on the thread's stack (g0); where the goroutine stopped is in its g.sched
(src/runtime/runtime2.go: g {stack {lo, hi}, stackguard0, stackguard1, _panic, _defer, m, sched {sp, pc, g, …}}, m {g0,
…, curg}). The thread's current g is at fs:-8 (cmd/link, runtime.tlsg). curg is found in m by its own words: its m is
this one and its sched.g itself.

With GOTRACEBACK=crash the handler of the first signal relays SIGQUIT to every other thread, and the last one raises
SIGABRT (signal_unix.go, sighandler): the thread of the core's signal is any of them. A fault in C code is turned into a
call of runtime.sigpanic; its signal, code and address stay in g.sig, g.sigcode0, g.sigcode1 and g.sigpc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.elf import notes
from postmortem.machines.machine import machine_of
from postmortem.machines.x86_64.registers import PC, REGISTER_COUNT, RSP
from postmortem.unwind.frame import CaughtFault, ReportedFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.machines.machine import Registers
    from postmortem.program.memory import AddressSpace
    from postmortem.program.modules import LoadedModule
    from postmortem.program.program import Program
    from postmortem.symbols.symbolication import Symbolication
    from postmortem.unwind.frame import Switch
    from postmortem.unwind.threads import ThreadWalk

_G = 8
"""Bytes below the thread pointer that have the current g (x86-64)."""
_G_M, _G_SCHED_SP, _G_SCHED_PC, _G_SCHED_G = 48, 56, 64, 72
_M_WORDS, _G_WORDS = 64, 64
_SWITCHING = ("runtime.asmcgocall.abi0", "runtime.asmcgocall", "runtime.systemstack.abi0", "runtime.systemstack",
              "runtime.mcall", "runtime.mcall.abi0", "runtime.morestack.abi0", "runtime.morestack")  # fmt: skip
_SIGPANIC = ("runtime.sigpanic", "runtime.sigpanic.abi0", "runtime.sigpanic0", "runtime.sigpanic0.abi0")
_THROW = "runtime.throw"
"""What sigpanic calls for a fault that is no panic: an address above the first page, a page that cannot be had."""
_RAISING = ("runtime.raise", "runtime.tgkill", "runtime.raiseproc", "runtime.dieFromSignal")
_SIGQUIT, _SIGSEGV = 3, 11
_NOTE = b"Go"
"""Whose note .note.go.buildid is (cmd/link/internal/ld/elf.go, ELF_NOTE_GO_NAME)."""
_OWN = ("runtime.buildVersion", "runtime.rt0_go.abi0", "runtime.rt0_go")
"""Of every Go program: a variable, and a function that its own table still names when the symbols are stripped."""
_CRASH_SIGNALS = frozenset((4, 5, 6, 7, 8, 11, 31))


class GoStacks:
    """What the threads of one Go process were switched from, and why it ends."""

    def __init__(
        self,
        space: AddressSpace,
        name: Callable[[int], str | None],
        ranges: Sequence[tuple[int, int]],
        injected: Sequence[tuple[int, int]],
        thread_pointer: str,
    ) -> None:
        """name: of the function at an address. ranges: of the functions that switch stacks. injected: of sigpanic.

        thread_pointer: the machine's name of the register.
        """
        self._thread_pointer = thread_pointer
        self.owner: LoadedModule | None = None
        """The module that has the run-time."""
        self._space, self._name, self._ranges, self.injected = space, name, ranges, injected

    def switch(self, thread_pointer: int) -> Switch:
        """For a thread: registers of the goroutine that a frame with that pc has left; None where it has left none."""

        def switched(pc: int) -> Registers | None:
            if not any(start <= pc < end for start, end in self._ranges):
                return None
            goroutine = self._goroutine(thread_pointer)
            fields = None if goroutine is None else self._space.words(goroutine + _G_SCHED_SP, 2)
            if fields is None or not fields[0] or not fields[1]:
                return None
            caller: Registers = [None] * REGISTER_COUNT
            caller[RSP], caller[PC] = fields
            return caller

        return switched

    def _goroutine(self, thread_pointer: int) -> int | None:
        """The goroutine of a thread that runs on its own stack, or on that of its signal handlers."""
        current = self._space.word(thread_pointer - _G) if thread_pointer else None
        machine = self._space.word(current + _G_M) if current else None
        words = self._space.words(machine, _M_WORDS) if machine else None
        for word in (words or ())[1:]:
            if word & 7 or word < 0x10000 or (words and word == words[0]):  # m.g0 is named elsewhere in m, too
                continue
            if self._space.word(word + _G_M) == machine and self._space.word(word + _G_SCHED_G) == word:
                return word
        return None

    def reported(self, walks: Sequence[ThreadWalk]) -> ReportedFault | None:
        """The signal with which it began: of the thread whose handler was not called for a relayed or raised one."""
        if not walks:
            return None
        handled, raised = False, 0
        for walked in walks:
            for frame in reversed(walked.walk.signal_frames):
                raw = self._space.read(frame.info, 48)
                info = notes.signal_info(raw) if raw is not None else None
                pc = frame.registers[PC]
                name = (self._name(pc) if pc is not None else None) or ""
                if info is None or info.number not in (*_CRASH_SIGNALS, _SIGQUIT):
                    continue
                handled = handled or info.number == _SIGQUIT
                if info.number != _SIGQUIT and not name.startswith(_RAISING):
                    return ReportedFault(walked.status.tid, frame.context)
                raised = frame.context if walked is walks[0] else raised
                break
        # Without a relayed signal the run-time itself gave up, on the thread that raised the signal.
        return None if handled else ReportedFault(walks[0].status.tid, raised)

    def caught(self, walked: ThreadWalk) -> CaughtFault | None:
        """The fault outside of Go's code, or in it where that is no panic; None without one on the thread's stack."""
        for position, frame in enumerate(walked.walk.frames[:64]):
            if self._name(frame.pc if frame.interrupted else frame.pc - 1) not in _SIGPANIC:
                continue
            following = walked.walk.frames[position + 1] if position + 1 < len(walked.walk.frames) else None
            name = None if following is None else self._name(following.pc)
            thrown = any(self._name(earlier.pc - 1) == _THROW for earlier in walked.walk.frames[:position])
            if following is None or (_is_go(name) and not thrown):
                return None  # Of Go's own code it made a panic.
            base = walked.status.registers.get(self._thread_pointer, 0)
            info = self._signal(base, following.pc)
            if info is not None:
                return CaughtFault(position, info)
            info = self._signal(base, 0)
            return None if info is None or info.number != _SIGSEGV else CaughtFault(position, info, null_call=True)
        return None

    def _signal(self, thread_pointer: int, pc: int) -> notes.SignalInfo | None:
        """g.sig … g.sigpc, of the g whose sigpc is where the fault was."""
        current = self._space.word(thread_pointer - _G) if thread_pointer else None
        for goroutine in (current, self._goroutine(thread_pointer)):
            words = self._space.words(goroutine, _G_WORDS) if goroutine else None
            for index in range(8, len(words or ())):
                assert words is not None
                if words[index] != pc:
                    continue
                number, code, address = words[index - 6] & 0xFFFFFFFF, words[index - 2], words[index - 1]
                if number in _CRASH_SIGNALS and 0 < code <= 128 and (pc or address == 0):
                    return notes.SignalInfo(number, 0, code, address, None, None, None, None)
        return None


def _is_go(name: str | None) -> bool:
    """Go's functions have their package in their name; C's, cgo's wrappers and unnamed code have none."""
    return name is not None and "." in name and not name.startswith("_cgo_")


def stacks(program: Program, symbols: Symbolication) -> GoStacks | None:
    """None for a process without Go's run-time."""
    owner: LoadedModule | None = None
    for module in program.modules.modules:
        # A library that the linker of Go made has its build-id; of the program's own symbols all are needed anyway.
        named = module.image is not None and _NOTE in module.image.note_names
        if not named and module is not program.modules.modules[0]:
            continue
        if any(symbols.address_of(module, name) is not None for name in _OWN):
            owner = module
            break
    if owner is None:
        return None

    def ranges(names: Sequence[str]) -> list[tuple[int, int]]:
        starts = (symbols.address_of(owner, name) for name in names)
        bounds = [symbols.bounds_at(start) for start in starts if start is not None]
        return [(found[0], found[0] + found[1]) for found in bounds if found is not None and found[1]]

    machine = machine_of(program.core.machine)
    found = GoStacks(program.memory, symbols.function_at, ranges(_SWITCHING), ranges(_SIGPANIC), machine.thread_pointer)
    found.owner = owner
    return found
