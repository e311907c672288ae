"""Whether the destructor of a static object was registered with libc, and whether exit() has come to it.

__cxa_atexit(destructor, object, module) of glibc makes an entry {long flavor; destructor, guarded; object; module} in a
list; exit() sets flavor to ef_free, 0, before it calls the destructor, and leaves the rest (stdlib/exit.h, exit.c).
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.model.queries.lifetime import is_period
from postmortem.program.memory import aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from postmortem.machines.machine import Machine
    from postmortem.model import Thread
    from postmortem.program.program import Program

_FREE, _WITH_ARGUMENT = 0, 4
_WORD = 8


def is_destroyed(
    program: Program, machine: Machine, threads: Sequence[Thread], stack_pointers: Sequence[int], address: int
) -> bool | None:
    """Of the static object at an address; None: no destructor of it is registered, or no thread makes or destroys such
    objects."""
    if not is_period(threads):
        return None
    flavors = set(_flavors(program, machine, stack_pointers, address))
    return None if not flavors else _WITH_ARGUMENT not in flavors


def _flavors(program: Program, machine: Machine, stack_pointers: Sequence[int], address: int) -> Iterator[int]:
    space, guard = program.memory, program.pointer_guard
    sought = struct.pack("<Q", address)
    left = LIMITS.exit_list_search
    pointers = sorted(stack_pointers)
    for segment in program.core.segments:
        stacks = bisect_left(pointers, segment.end) - bisect_left(pointers, segment.start)
        if segment.permissions != "rw-" or not segment.dumped or stacks or left <= 0:
            continue
        data = space.read_some(segment.start, min(segment.dumped, left, LIMITS.exit_list_head))
        left -= len(data)
        for at in aligned(data, sought, 2 * _WORD):
            flavor, function = struct.unpack_from("<2Q", data, at - 2 * _WORD)
            if flavor in (_FREE, _WITH_ARGUMENT) and program.is_code(machine.unguarded(function, guard)):
                yield flavor
