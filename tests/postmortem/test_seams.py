"""A machine or a runtime is a row in a table: made-up ones work by their row alone."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from postmortem.cli.group import COMMANDS, cli
from postmortem.machines import machine as machines
from postmortem.model.report import RuntimeState
from postmortem.options import Options
from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes import runtime as runtimes
from postmortem.runtimes.runtime import Asked, Runtime, State
from postmortem.stages import Stages
from postmortem.unwind.walker import Walker

if TYPE_CHECKING:
    import pytest

    from postmortem.machines.machine import Registers


def test_tables_match_their_folders() -> None:
    home = Path(machines.__file__).parent
    assert {path.parent.name for path in home.glob("*/machine.py")} == set(machines.MACHINES)
    home = Path(runtimes.__file__).parent
    assert {path.parent.name for path in home.glob("*/attach.py")} == set(runtimes.RUNTIMES)
    assert set(cli.commands) == {command.name for command in COMMANDS}


class _Toy(Runtime):
    name = "toy"

    def __init__(self) -> None:
        self.problems: list[Any] = []

    def state(self, asked: Asked) -> State:
        return State(RuntimeState(name="Toy", version="1"), last_words=("Toy", "it is over"))


def test_a_made_up_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("toys.toy.attach")
    module.attach = lambda program, symbols: (_Toy(), [])  # type: ignore[attr-defined]
    for parent in ("toys", "toys.toy"):
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    monkeypatch.setitem(sys.modules, "toys.toy.attach", module)
    stages = Stages(Options())
    found = runtimes.attached(None, None, stages, table=("toy",), home="toys")  # type: ignore[arg-type]
    states = runtimes.states_of(found, Asked(Options(), (), lambda raw: []), stages)
    members = runtimes.together(states)
    assert members["runtimes"] == (RuntimeState(name="Toy", version="1"),)
    assert members["native"].runtime_message == "it is over"
    assert runtimes.thread_of(found, 1) is None
    assert "toy" in stages.timings


class _ToyMachine:
    """Four registers: 0 link, 1 stack pointer, 2 frame pointer, 3 pc. A frame is [caller's fp, return address]."""

    pc, sp, fp, count, top = 3, 1, 2, 4, 1 << 47
    pc_name, sp_name, thread_pointer, system_call = "pc", "sp", "tp", "x8"
    trampoline = b"\xff" * 8

    def registers(self, status: dict[str, int]) -> Registers:
        return [None, status["sp"], status["fp"], status["pc"]]

    def frameless_step(self, space: AddressSpace, registers: Registers) -> Registers | None:
        return None

    def step_by_code(self, space: AddressSpace, bounds: tuple[int, int], pc: int, interrupted: bool) -> None:
        return None

    def calls_another(self, space: AddressSpace, returns_to: int, pc: int) -> bool:
        return False

    def scan(self, space: AddressSpace, registers: Registers, is_code: object, words: int) -> None:
        return None

    def frame_pointer_step(self, space: AddressSpace, registers: Registers) -> Registers | None:
        fp = registers[2]
        pair = None if fp is None else space.words(fp, 2)
        return None if pair is None or fp is None else [None, fp + 16, pair[0], pair[1]]


def test_a_made_up_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("toys.machine")
    module.MACHINE = _ToyMachine()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toys", types.ModuleType("toys"))
    monkeypatch.setitem(sys.modules, "toys.machine", module)
    machine = machines.machine_of("toy", {"toy": "toys.machine"})
    words = [0x7020, 0x401010, 0, 0, 0, 0]
    stack = b"".join(word.to_bytes(8, "little") for word in words)
    space = AddressSpace([Piece(0x7000, 0x7000 + len(stack), stack, 0)])
    walker = Walker(space, lambda pc: [], lambda pc: 0x401000 <= pc < 0x402000, machine)
    walk = walker.walk(walker.registers({"pc": 0x401000, "sp": 0x7000, "fp": 0x7000}))
    assert [frame.pc for frame in walk.frames] == [0x401000, 0x401010]
    assert walk.ended == "no-rule"
