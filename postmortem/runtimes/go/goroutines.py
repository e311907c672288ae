"""The goroutines of a Go process: what each waits for, and where.

runtime.allgs is a slice of pointers to g (src/runtime/proc.go). Of a g that does not run, sched has sp and pc
(runtime2.go; stacks.py); behind it atomicstatus (u32), another u32, goid (u64), schedlink, waitsince, waitreason (u8).
What lies between differs between versions: goid is where all of them have different small numbers, the first of which
is 1, and a status before each. waitreason is an index into runtime.waitReasonStrings. Their stacks are walked by Go's
own table (postmortem/unwind/goframes.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.model.queries import culprit
from postmortem.model.report import Goroutines
from postmortem.unwind.goframes import go_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsers.elf.gopclntab import Place
    from postmortem.program.memory import AddressSpace
    from postmortem.program.modules import LoadedModule
    from postmortem.program.program import Program
    from postmortem.symbols.symbolication import Symbolication

_SCHED_SP = 7
"""Which word of a g; sched.pc follows."""
_ID_FROM, _ID_TO = 15, 32
"""Words of a g in which goid is looked for: behind sched, which has six or seven."""
_WORDS = 36
_STATES = {1: "runnable", 2: "running", 3: "in a system call", 4: "waiting", 8: "copying its stack", 9: "preempted"}
_ALL_STATES = frozenset((*_STATES, 0, 5, 6, 7))
_SCAN = 0x1000
_FRAMES = 64


def goroutines(program: Program, symbols: Symbolication, owner: LoadedModule) -> tuple[Goroutines, ...]:
    """Those in the program's own code, of one place and wait together: the largest groups first."""
    frames = go_frames(owner, program.core.machine)
    listed = symbols.address_of(owner, "runtime.allgs")
    header = None if listed is None else program.memory.words(listed, 2)
    if frames is None or header is None or not header[0]:
        return ()
    pointers = program.memory.words(header[0], min(header[1], LIMITS.goroutines)) or ()
    read = [(pointer, words) for pointer in pointers if (words := program.memory.words(pointer, _WORDS)) is not None]
    at = _id_at([words for _, words in read])
    if at is None:
        return ()
    reasons = symbols.address_of(owner, "runtime.waitReasonStrings")
    groups: dict[tuple[str, str | None, str, str | None, int | None], list[int]] = {}
    for _, words in read:
        state = _STATES.get(words[at - 1] & 0xFFFF & ~_SCAN)
        place = None if state is None else _place(program.memory, frames.place, words[_SCHED_SP], words[_SCHED_SP + 1])
        if state is None or place is None:
            continue
        reason = _reason(program.memory, reasons, words[at + 3] & 0xFF) if state == "waiting" else None
        key = (state, reason, place.name.decode("utf-8", "replace"), place.file, place.line)
        groups.setdefault(key, []).append(words[at])
    found = [
        Goroutines(
            count=len(ids),
            ids=tuple(sorted(ids)[:_SHOWN]),
            state=state,
            reason=reason,
            function=name,
            file=file,
            line=line,
        )
        for (state, reason, name, file, line), ids in groups.items()
    ]
    return tuple(sorted(found, key=lambda item: (-item.count, item.ids))[: LIMITS.goroutine_groups])


_SHOWN = 8
"""Numbers of goroutines that are kept of a group."""


def _id_at(found: Sequence[Sequence[int]]) -> int | None:
    """Which word of a g is its number."""
    for at in range(_ID_FROM, _ID_TO):
        numbers = [words[at] for words in found if words[at - 1] & 0xFFFF & ~_SCAN != 6 or words[at]]
        distinct = len(set(numbers)) == len(numbers) and 1 in numbers
        small = all(0 < number < 1 << 40 for number in numbers)
        if distinct and small and all(words[at - 1] & 0xFFFF & ~_SCAN in _ALL_STATES for words in found):
            return at
    return None


def _place(space: AddressSpace, place_at: Callable[[int], Place | None], sp: int, pc: int) -> Place | None:
    """The innermost function of the program's own on a goroutine's stack; None where all are the run-time's."""
    for _ in range(_FRAMES):
        found = place_at(pc - 1)
        if found is None or found.frame is None:
            return None
        if found.name and not culprit.skipped_function(found.name.decode("utf-8", "replace")):
            return found
        sp += found.frame
        following = space.word(sp)
        if not following:
            return None
        pc, sp = following, sp + 8
    return None


def _reason(space: AddressSpace, strings: int | None, index: int) -> str | None:
    pair = None if strings is None else space.words(strings + 16 * index, 2)
    raw = space.read(pair[0], pair[1]) if pair is not None and 0 < pair[1] < 64 else None
    text = None if raw is None else raw.decode("ascii", "replace")
    return text if text and text.isprintable() else None
