"""Values on the way to a call, by made-up steps."""

from __future__ import annotations

import struct

import pytest

from postmortem.fault.dataflow import DataFlow, Load
from postmortem.machines.machine import Step
from postmortem.machines.x86_64.machine import MACHINE
from postmortem.program.memory import AddressSpace, Piece

STACK, OBJECT, TABLE = 0x7000, 0x5000, 0x4010
"""A pointer at STACK leads to an object, its first word to a table."""


def space() -> AddressSpace:
    def piece(start: int, *words: int) -> Piece:
        data = struct.pack(f"<{len(words)}Q", *words)
        return Piece(start, start + len(data), data, 0)

    return AddressSpace([piece(STACK, OBJECT), piece(OBJECT, TABLE), piece(TABLE, 1, 2, 3, 0xC0DE)])


def load(register: str, base: str, displacement: int = 0, index: str | None = None, scale: int = 1) -> Step:
    return Step(0, frozenset((register,)), "load", base, index, scale, displacement)


def add(register: str, displacement: int) -> Step:
    return Step(0, frozenset((register,)), "add", register, None, 1, displacement)


def copy(register: str, base: str) -> Step:
    return Step(0, frozenset((register,)), "copy", base)


OTHER = Step(0, frozenset(("rdx",)), "other")
UNOPTIMIZED = [load("rax", "rbp", -8), load("rax", "rax"), add("rax", 24), load("rdx", "rax"), load("rax", "rbp", -8)]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (UNOPTIMIZED, Load(TABLE + 24, TABLE)),
        ([*UNOPTIMIZED, copy("rcx", "rdx"), OTHER, copy("rdx", "rcx")], Load(TABLE + 24, TABLE)),
        ([load("rdx", "rdi"), OTHER], None),
        ([load("rax", "rdi"), load("rdx", "rax", 24)], Load(TABLE + 24, TABLE)),
        ([load("rax", "rdi"), load("rdx", "rax", 0, "rcx", 8)], Load(TABLE + 24, TABLE + 24, (TABLE, 24))),
        ([load("rdx", "rip", 0x1234)], Load(0x1234, 0)),
        ([load("rdx", "r9")], None),
        ([add("rdx", 8)], None),
        ([], None),
    ],
    ids=["unoptimized", "copied", "overwritten", "direct", "indexed", "pc-relative", "unknown-base", "no-load", "none"],
)
def test_where_a_register_was_loaded_from(steps: list[Step], expected: Load | None) -> None:
    registers = {"rbp": STACK + 8, "rdi": OBJECT, "rcx": 3, "rdx": 0xC0DE}
    assert DataFlow(space(), steps, registers, MACHINE).load("rdx") == expected


def test_a_value_is_followed_over_sums_and_narrow_loads() -> None:
    # movzx eax, byte [rdi + 8]; lea rdx, [rax * 8]; lea rax, [rip + TABLE]; mov rdx, [rdx + rax]
    byte = Step(0, frozenset(("rax",)), "load", "rdi", None, 1, 8, 1)
    index = Step(0, frozenset(("rdx",)), "sum", None, "rax", 8, 0)
    table = Step(0, frozenset(("rax",)), "add", "rip", None, 1, TABLE)
    flow = DataFlow(space(), [byte, index, table, load("rdx", "rdx", 0, "rax")], {"rdi": TABLE}, MACHINE)
    assert flow.load("rdx") == Load(TABLE + 16, TABLE + 16, (16, TABLE))


def test_a_copy_tells_what_a_register_held_before() -> None:
    steps = [copy("rbx", "rdi"), load("rdi", "rdi")]
    kept = DataFlow(space(), steps, {"rbx": OBJECT}, MACHINE)
    assert kept.value("rdi") == TABLE
    assert DataFlow(space(), [*steps, copy("rbx", "rax")], {"rbx": OBJECT}, MACHINE).value("rdi") is None


def test_steps_that_lead_around_end() -> None:
    around = [copy("rax", "rdx"), copy("rdx", "rax")] * 40
    assert DataFlow(space(), around, {}, MACHINE).load("rdx") is None
