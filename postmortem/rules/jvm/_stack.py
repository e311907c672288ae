"""The guard zones that the VM keeps at the end of a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.queries import crash as views
from postmortem.model.queries.registers import STACK_POINTERS
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views

if TYPE_CHECKING:
    from postmortem.model import Mapping, Report, Thread

ZONE_PAGES = ("StackYellowPages", "StackRedPages", "StackReservedPages")
DEFAULT_ZONE_PAGES = 4
PAGE = 4096
FARTHEST_TOUCH = 1 << 17
"""Bytes between the stack pointer and what it touches: the VM probes StackShadowPages (20) below it."""


def in_stack_guard(report: Report) -> bool:
    """The fault is in the guard zones that the VM keeps at the low end of a stack, or just below the stack."""
    found = views.crashing_thread(report)
    if found is None:
        return False
    if left_stack(report) is not None:
        return True
    thread = found[1]
    sp = stack_pointer(thread)
    address = touched(report)
    if sp is None or address is None or abs(sp - address) > FARTHEST_TOUCH:
        return False
    mapping = views.mapping_at(report, address)
    if mapping is not None and not _closed(mapping[1]):
        return False
    stack = thread.stack
    if stack is not None and stack.start - FARTHEST_TOUCH <= address < stack.start + zone_size(report):
        return True
    if mapping is None:
        return False
    return any(m.start == mapping[1].end and "w" in m.permissions and m.path is None for m in report.mappings)


def left_stack(report: Report) -> int | None:
    """Bytes by which the stack pointer lies below its stack, where generated code probed the stack below it.

    At its entry a compiled method touches a page StackShadowPages (20 by default) below sp: a fault exactly there
    with an sp that is not in the thread's stack says that the stack was left.
    """
    found = views.crashing_thread(report)
    address = views.fault_address(report)
    frame = jvm_frames.top(report)
    if found is None or address is None or frame is None or not jvm_frames.is_generated(frame):
        return None
    sp, stack = stack_pointer(found[1]), found[1].stack
    if sp is None or stack is None or stack.start <= sp < stack.end:
        return None
    probe = sp - address
    if probe <= 0 or probe > FARTHEST_TOUCH or probe % PAGE or sp > stack.start:
        return None
    return stack.start - sp


def touched(report: Report) -> int | None:
    """The fault's address, or the stack pointer, or what is pushed below it, where that is memory without access.

    There the kernel can't put the handler's frame on the stack; it ends the process with SI_KERNEL and tells no
    address.
    """
    address = views.fault_address(report)
    if address is not None or views.code(report) != views.SI_KERNEL:
        return address
    pushed = views.refused_by_stack(report)
    return stack_pointer_if_closed(report) if pushed is None else pushed[0]


def stack_pointer_if_closed(report: Report) -> int | None:
    """The crashing thread's stack pointer if it lies in a mapping without access."""
    found = views.crashing_thread(report)
    sp = stack_pointer(found[1]) if found is not None else None
    mapping = views.mapping_at(report, sp) if sp is not None else None
    return sp if mapping is not None and _closed(mapping[1]) else None


def _closed(mapping: Mapping) -> bool:
    return not set(mapping.permissions) & set("rwx")


def stack_size(report: Report) -> int | None:
    """Bytes of the crashing thread's stack, the VM's guard zones included."""
    found = views.crashing_thread(report)
    sp = stack_pointer(found[1]) if found is not None else None
    if sp is None or found is None:
        return None
    mapping = views.mapping_at(report, sp)
    if mapping is None:
        stack = found[1].stack
        return stack.end - stack.start if stack is not None else None
    index, own = mapping
    if own.kind is None:
        return own.end - own.start
    low = high = index
    while (above := _next_to(report, high, 1)) is not None and not _closed(above):
        high += 1  # The next closed one is the guard of the stack above.
    while (below := _next_to(report, low, -1)) is not None and (_closed(below) or not _closed(report.mappings[low])):
        low -= 1
    return report.mappings[high].end - report.mappings[low].start


def _next_to(report: Report, index: int, step: int) -> Mapping | None:
    """The next mapping up (1) or down (-1), if it adjoins and is of the same kind."""
    if not 0 <= index + step < len(report.mappings):
        return None
    own, other = report.mappings[index], report.mappings[index + step]
    adjoins = other.start == own.end if step > 0 else other.end == own.start
    return other if adjoins and other.path is None and other.kind == own.kind else None


def stack_pointer(thread: Thread) -> int | None:
    for name in STACK_POINTERS:
        if name in thread.registers:
            return thread.registers[name]
    return thread.frames[0].sp if thread.frames else None


def zone_size(report: Report) -> int:
    """Bytes of the VM's guard zones: yellow, red and reserved."""
    pages = [jvm_views.number_flag(report, name) for name in ZONE_PAGES]
    known = [count for count in pages if count is not None and count < 1 << 10]
    return (sum(known) if known else DEFAULT_ZONE_PAGES) * PAGE
