"""The list of exit handlers, as glibc keeps it."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from parsers.elf import core as core_parser
from parsers.elf.notes import AT_RANDOM
from postmortem.fault.exitlist import is_destroyed
from postmortem.machines.x86_64.machine import MACHINE
from postmortem.program.memory import AddressSpace, Piece
from postmortem.program.program import Program
from tests.build.core import CoreBuilder
from tests.postmortem.rules.reports import thread

if TYPE_CHECKING:
    from parsers.elf.core import Core
    from postmortem.model import Thread

LIST, CODE, GUARD, OBJECT = 0x601000, 0x401000, 0x1122334455667788, 0x602040


def guarded(pointer: int) -> int:
    mixed = pointer ^ GUARD
    return (mixed << 17 | mixed >> 47) & (1 << 64) - 1


class _Program(Program):
    """One without files, whose code is at CODE."""

    def __init__(self, core: SimpleNamespace, memory: AddressSpace) -> None:
        self.core, self.memory = cast("Core", core), memory

    def is_code(self, address: int) -> bool:
        return CODE <= address < CODE + 0x1000


LEAVING = (thread("__run_exit_handlers", "exit", "main"),)


def destroyed(*entries: tuple[int, int, int], threads: tuple[Thread, ...] = LEAVING) -> bool | None:
    """entries: flavor, word of the function, object."""
    content = struct.pack("<4Q", 7, GUARD, 0, len(entries))
    content += b"".join(struct.pack("<4Q", *entry, LIST) for entry in entries)
    data = CoreBuilder().thread(1).memory(LIST, content.ljust(0x1000, b"\0"), 6).bytes()
    core = core_parser.parse(data)
    space = AddressSpace(Piece(item.start, item.end, data, item.offset) for item in core.segments)
    program = _Program(SimpleNamespace(segments=core.segments, auxv={AT_RANDOM: LIST}), space)
    return is_destroyed(program, MACHINE, threads, [], OBJECT)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (((4, guarded(CODE), OBJECT),), False),
        (((0, guarded(CODE), OBJECT),), True),
        (((4, guarded(CODE), OBJECT + 8), (0, guarded(CODE), OBJECT)), True),
        (((0, guarded(CODE), OBJECT), (4, guarded(CODE + 16), OBJECT)), False),  # one of two is to come
        (((0, 0x21, OBJECT),), None),  # no pointer to code: a block of malloc
        (((9, guarded(CODE), OBJECT),), None),
        (((4, guarded(CODE), OBJECT + 8),), None),
    ],
)
def test_whether_exit_has_come_to_a_destructor(
    entries: tuple[tuple[int, int, int], ...], expected: bool | None
) -> None:
    assert destroyed(*entries) is expected


def test_it_is_not_looked_for_while_main_runs() -> None:
    assert destroyed((0, guarded(CODE), OBJECT), threads=(thread("sample", "main"),)) is None
