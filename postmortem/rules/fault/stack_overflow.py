"""Stack overflow.

What it finds: a fault in the guard of the crashing thread's stack, just below its stack, or with the stack
pointer outside any mapping just below one.
Why it matters: the faulting instruction is innocent; a recursion or a huge local array is the cause. Whether a
recursion would ever have ended is not known: turns with the same arguments are told, but what they point at may change.
Evidence it needs: the fault address, the stack pointer, and the thread's stack range or the mappings. A
cycle of frames makes it a recursion; a frame that begins in the stack and ends below it has leapt over the
guard.
False alarms: coroutine stacks lie in the heap and have no guard known here; a wild pointer that happens to
hit a guard page is told apart by the stack pointer, which must be near.
Rivals excluded: a wild pointer into a guard page: the stack pointer is near, or the frames repeat; a fault far from
the stack.
What to do: bound the recursion or move the large object to the heap; a larger stack only moves the limit.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Cycle, Finding, Frame, Mapping, Report, Thread
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.registers import STACK_POINTERS, THREAD_POINTERS
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

NEAR = 1 << 16
"""Bytes between stack pointer and fault address that one frame may span."""
LARGEST_JUMP = 1 << 30
"""Bytes below the stack to which one alloca or local array may throw the stack pointer."""
LARGEST_FRAME = 1 << 33
"""The same where the frames above lie in the stack still: a length of 32 bits may be as wrong as it can."""
LARGEST_GUARD = 1 << 20


RIVALS = ("A wild pointer that happened to hit the page below the stack.",)
"""What stays open where the finding is not certain."""
_MOVED = ("A stack pointer that was overwritten, or moved to a stack of the program's own.",)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    pushed = views.refused_by_stack(report)
    address = views.fault_address(report) if pushed is None else pushed[0]
    found = views.crashing_thread(report)
    if not views.signal_is(report, views.SIGSEGV, views.SIGBUS) or not views.raised_by_cpu(report):
        return
    if found is None:
        return
    position, thread = found
    sp = _stack_pointer(thread)
    how = None if address is None else _how(report, thread, address, sp)
    if how is None or address is None:
        over = over_guard(report, thread)
        if over is not None:
            yield _one_frame(report, position, over)
        return
    kind, size = how
    cycle = _cycle(thread)
    names = _names(thread, cycle) if cycle else ""
    where = views.inside(report)
    least = "at least " if thread.ended == "limit" else ""
    same = _repeated_arguments(thread, cycle) if cycle else None
    title = f"Stack overflow by recursion: {names}, {least}{cycle.count} times" if cycle else f"Stack overflow{where}"
    limit = f" of {views.size_text(size)}" if size and not _is_shared(report, thread) else ""
    used_up = f"the stack{limit} is used up."
    if kind in (_FAR, _OWN) and sp is not None and size and thread.tid == report.process.pid:
        # The first thread's stack is mapped as far as it has grown, which is not how far it may.
        used_up = "further than the stack may grow."
    text = f"The {views.access_word(report)} at {address:#x} {kind}: {used_up}"
    if cycle:
        deep = cycle.period * cycle.count
        text += f" The frames repeat with period {cycle.period}, {least}{cycle.count} times ({deep} frames): {names}."
        text += (
            f" The {same} turns whose arguments are known have the same ones: unless what these point at or a global"
            " variable changes from turn to turn, it would never end."
            if same
            else " Whether it would have ended, at a depth that its input asks for, the stack does not tell."
        )
    elif kind in (_FAR, _OWN):
        text += (
            " No recursion is seen: a large local array, a variable-length array or alloca took more than the"
            " stack holds."
        )
    else:
        text += " No repeated cycle of frames was found on this stack."
    yield Finding(
        rule=RULE.id,
        title=title,
        severity="critical",
        confidence="certain" if cycle or kind not in (_BELOW, _OWN) else "likely",
        claim="cause",
        rivals=_MOVED if kind == _OWN else RIVALS,
        explanation=text,
        evidence=proof(
            report,
            (views.fault_address_path(report) if pushed is None else pushed[1], "the address that was touched"),
            (f"threads[{position}].registers.rsp", "the stack pointer"),
            (f"threads[{position}].registers.sp", "the stack pointer"),
            (f"threads[{position}].stack.start", "lowest address of the stack"),
            (f"threads[{position}].stack.guard", "the guard below it"),
            (f"threads[{position}].cycles[0].period", "frames in the cycle"),
            (f"threads[{position}].cycles[0].count", "repetitions"),
            (views.blamed_path(report), "the innermost function"),
        ),
        remedies=(
            (
                f"Find why {names} does not end: a missing base case, a cycle in the data, or input nested"
                " too deeply; bound the depth or make it a loop."
                if cycle
                else f"Look at the large local variables, arrays and alloca{where}; put them on the heap."
            ),
            (
                "If the depth is legitimate, enlarge the stack: ulimit -s for the main thread,"
                " pthread_attr_setstacksize for others (musl gives threads 128 KiB)."
            ),
            "Build with -fstack-usage or -Wframe-larger-than=16384 to see which frames are large.",
        ),
    )


_GUARD = "hit the guard of this thread's stack"
_BELOW = "hit the address just below this thread's stack"
_FAR = "hit memory below the stack, where the stack pointer already was"
_OWN = "hit memory far below this thread's stack, where the stack pointer already was"
"""Of a thread whose callers are not known."""


def _stack_pointer(thread: Thread) -> int | None:
    for name in STACK_POINTERS:
        if name in thread.registers:
            return thread.registers[name]
    return thread.frames[0].sp if thread.frames else None


def _how(report: Report, thread: Thread, address: int, sp: int | None) -> tuple[str, int | None] | None:
    """Which of the three forms this is, and the stack's size in bytes; None if it is none of them."""
    if sp is None:
        return None
    near = abs(sp - address) <= NEAR
    stack = thread.stack
    if near and views.in_guard_region(report, address):
        at_its_end = stack is not None and 0 <= address - stack.start < LARGEST_GUARD
        return _GUARD, stack.end - stack.start if stack is not None and at_its_end else None
    if stack is not None and stack.start <= sp < stack.end and _is_stack(report, stack.start):
        size = stack.end - stack.start
        if stack.guard is not None and stack.guard <= address < stack.start and stack.start - address <= LARGEST_GUARD:
            return (_GUARD, size) if near else None
        if stack.start - NEAR <= address < stack.start and near and views.mapping_at(report, address) is None:
            return _BELOW, size
        return None
    mapped = views.mapping_at(report, sp)
    if mapped is not None and not mapped[1].permissions.startswith("---"):
        return None
    above = next(
        (m for m in sorted(report.mappings, key=_start) if m.start > sp and m.permissions.startswith("rw")),
        None,
    )
    if above is None or not near:
        return None
    callers = _stack_of_callers(report, thread)
    if callers is not None and not callers.start - LARGEST_GUARD <= sp < callers.end:
        # One frame threw the stack pointer past whatever lies below the stack: guards, arenas, other mappings.
        return (_FAR, callers.end - callers.start) if 0 < callers.start - sp <= LARGEST_FRAME else None
    if mapped is not None and above.start == mapped[1].end:
        return _GUARD, above.end - above.start
    if "stack" in (above.kind or above.path or "") and above.start - sp <= NEAR:
        return _BELOW, above.end - above.start
    if callers is not None and 0 < callers.start - sp <= LARGEST_JUMP:
        return _FAR, callers.end - callers.start
    # Where the code is at hand, the callers are lost for another reason: a switch to a stack that was freed.
    own = None if callers is not None or report.crash.instruction else views.own_stack(report, thread)
    if own is not None and 0 < own.start - sp <= LARGEST_FRAME:
        return _OWN, own.end - own.start
    return None


def _is_shared(report: Report, thread: Thread) -> bool:
    """Whether stacks of several threads make up one mapping: guards that have none of their own lie between them."""
    own = views.own_stack(report, thread)
    if own is None:
        return False
    pointers = {t.registers.get(name) for t in report.threads for name in THREAD_POINTERS} - {None}
    return sum(pointer is not None and own.start <= pointer < own.end for pointer in pointers) > 1


def _stack_of_callers(report: Report, thread: Thread) -> Mapping | None:
    """The memory in which the frames above the faulting one lie, where the stack pointer has left it."""
    for frame in thread.frames[1:]:
        found = views.mapping_at(report, frame.sp) if frame.sp is not None else None
        if found is not None and frame.trust in ("cfi", "frame-pointer"):
            mapping = found[1]
            anonymous = mapping.path is None and not (mapping.kind or "").startswith(("heap", "arena", "malloc"))
            return mapping if anonymous and mapping.permissions.startswith("rw") else None
    return None


class _Over(NamedTuple):
    """A frame that begins in a stack and ends below it.

    frame: its index; size: its own, room: the stack's, in bytes.
    """

    frame: int
    size: int
    room: int


def over_guard(report: Report, thread: Thread) -> _Over | None:
    """A frame whose end lies below the mapping in which its caller's is: beyond a guard, or where no stack can be.

    Only where the fault itself does not tell of the stack's end.
    """
    address = views.fault_address(report)
    if address is not None and _how(report, thread, address, _stack_pointer(thread)) is not None:
        return None
    frames = [(n, f) for n, f in enumerate(thread.frames[:_INNERMOST]) if f.sp is not None and not f.inlined]
    for (index, inner), (_, outer) in itertools.pairwise(frames):
        if "signal" in (inner.kind, outer.kind) or outer.trust not in ("cfi", "frame-pointer"):
            return None
        assert inner.sp is not None and outer.sp is not None
        stack = views.mapping_at(report, outer.sp)
        if stack is None or inner.sp >= stack[1].start or not NEAR < outer.sp - inner.sp < LARGEST_JUMP:
            continue
        below = views.mapping_at(report, stack[1].start - 1)
        guarded = below is not None and below[1].permissions.startswith("---") and inner.sp < below[1].start
        if stack[1].path in (None, "[stack]") and (guarded or not _can_be_stack(report, inner.sp)):
            return _Over(index, outer.sp - inner.sp, stack[1].end - stack[1].start)
    return None


def _can_be_stack(report: Report, address: int) -> bool:
    """Memory that can be written and is no file's."""
    found = views.mapping_at(report, address)
    return found is not None and "w" in found[1].permissions and found[1].path in (None, "[stack]")


def _one_frame(report: Report, position: int, over: _Over) -> Finding:
    label = culprit.label(report.threads[position].frames[over.frame])
    size, room = views.size_text(over.size), views.size_text(over.room)
    return Finding(
        rule=RULE.id,
        title=f"Stack overflow: {label} takes {size} on a stack of {room}",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=_MOVED,
        explanation=(
            f"The frame of {label} is {size}: its caller's lies in a stack of {room}, and its own end below that, in"
            " memory that is no stack of this thread. A large local array, a variable-length array or alloca leapt over"
            " the end of the stack."
        ),
        evidence=proof(
            report,
            (f"threads[{position}].frames[{over.frame}].sp", "where the frame ends"),
            (f"threads[{position}].frames[{over.frame + 1}].sp", "and where its caller's does"),
            (f"threads[{position}].frames[{over.frame}].function", "the function"),
            (views.fault_address_path(report), "the address that was touched"),
        ),
        remedies=(
            f"Put the large variables of {label} on the heap, and bound what alloca or the array is given.",
            "If the size is right, give the thread a larger stack: pthread_attr_setstacksize, ulimit -s for the first"
            " thread (musl gives threads 128 KiB).",
            "Compile with -fstack-clash-protection: it touches every page, so that the guard is met.",
        ),
    )


_INNERMOST = 8


def _start(mapping: Mapping) -> int:
    return mapping.start


def _is_stack(report: Report, start: int) -> bool:
    """False for a stack pointer in the heap (a coroutine): nothing tells where its stack ends."""
    found = views.mapping_at(report, start)
    if found is None:
        return True
    mapping = found[1]
    if mapping.permissions.startswith("---"):
        # The stack pointer is already in the guard, which is then what the thread's range names.
        return False
    return mapping.path in (None, "[stack]") and not (mapping.kind or "").startswith(("heap", "arena"))


def _repeated_arguments(thread: Thread, cycle: Cycle) -> int | None:
    """How many turns of a recursion have arguments that are all known and all the same; None where they differ, or
    fewer than three turns are known."""
    turns = []
    for start in range(cycle.start, cycle.start + cycle.period * min(cycle.count, _TURNS), cycle.period):
        values = [value for frame in thread.frames[start : start + cycle.period] for value in frame.arguments]
        if not values or any(value.unavailable is not None for value in values):
            break
        turns.append(tuple((value.name, value.text, value.points_to) for value in values))
    inner = turns[1:]  # the innermost call may have been under way
    return len(turns) if len(inner) >= _FEWEST_TURNS and len(set(inner)) == 1 and turns[0] in inner else None


_TURNS, _FEWEST_TURNS = 8, 2


def _cycle(thread: Thread) -> Cycle | None:
    return max(thread.cycles, key=lambda cycle: cycle.period * cycle.count, default=None)


def _names(thread: Thread, cycle: Cycle) -> str:
    frames: tuple[Frame, ...] = thread.frames[cycle.start : cycle.start + cycle.period]
    names = [plain(f.function) + "()" if f.function else culprit.label(f) for f in frames[:4]]
    return " → ".join(names or ["unnamed frames"]) + (" → …" if len(frames) > 4 else "")


RULE = Rule(id="stack-overflow", group="fault", specificity=80, check=check, documentation=__doc__ or "")
