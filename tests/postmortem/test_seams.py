"""What comes next is a row in a table: made-up machines, runtimes, containers … work by their row alone."""

from __future__ import annotations

import os
import sys
import types
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from click.testing import CliRunner

from parsers.elf.symbols import Sections
from parsers.filebytes import FileBytes
from postmortem.cli.group import COMMANDS, cli, command_line
from postmortem.machines import machine as machines
from postmortem.model import Finding
from postmortem.model.report import RuntimeState
from postmortem.options import Options
from postmortem.program.memory import AddressSpace, Piece
from postmortem.rules import engine
from postmortem.rules.rule import Rule
from postmortem.runtimes import runtime as runtimes
from postmortem.runtimes.runtime import Asked, Runtime, State
from postmortem.stages import Stages
from postmortem.symbols.sources import source as sources
from postmortem.targets import container as containers
from postmortem.targets.target import Target
from postmortem.unwind.walker import Walker
from reports.html import page, panel
from tests.build import reports as built
from tests.parsers.elf.elf_file import elf_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from postmortem.machines.machine import Registers
    from postmortem.model import Report
    from postmortem.targets.watch import Watch


def test_tables_match_their_folders() -> None:
    home = Path(machines.__file__).parent
    assert {path.parent.name for path in home.glob("*/machine.py")} == set(machines.MACHINES)
    home = Path(runtimes.__file__).parent
    assert {path.parent.name for path in home.glob("*/attach.py")} == set(runtimes.RUNTIMES)
    assert set(cli.commands) == {command.name for command in COMMANDS}
    assert _files(containers.__file__, "containers") == set(containers.CONTAINERS)
    assert _files(sources.__file__) - {"source"} == set(sources.SOURCES)
    assert _files(panel.__file__, "panels") == set(panel.PANELS)


def _files(beside: str, folder: str = ".") -> set[str]:
    return {path.stem for path in (Path(beside).parent / folder).glob("*.py")} - {"__init__"}


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
    thread_registers = ("tp",)
    trampoline = b"\xff" * 8

    def is_signal_frame(self, space: AddressSpace, sp: int) -> bool:
        return False

    def registers(self, status: dict[str, int]) -> Registers:
        return [None, status["sp"], status["fp"], status["pc"]]

    def frameless_step(self, space: AddressSpace, registers: Registers) -> Registers | None:
        return None

    def step_by_code(self, space: AddressSpace, bounds: tuple[int, int], pc: int, interrupted: bool) -> None:
        return None

    def calls_another(self, space: AddressSpace, returns_to: int, pc: int) -> bool:
        return False

    def calls_here(self, space: AddressSpace, returns_to: int) -> None:
        return None

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


def test_a_made_up_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @contextmanager
    def opened(file: IO[bytes], path: Path, watch: Watch) -> Iterator[Target]:
        with FileBytes(os.dup(file.fileno()), 4) as content:
            yield Target(path=path, size=4, content=content, compression="toy")

    module = types.ModuleType("toys.toy")
    vars(module).update(recognises=lambda head, path: head.startswith(b"TOY"), opened=opened)
    monkeypatch.setitem(sys.modules, "toys", types.ModuleType("toys"))
    monkeypatch.setitem(sys.modules, "toys.toy", module)
    (tmp_path / "a").write_bytes(b"TOY!")
    with containers.opened(tmp_path / "a", None, ("toy",), "toys") as target:
        assert (target.compression, bytes(target.content[:])) == ("toy", b"TOY!")


def test_a_made_up_symbol_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sections = Sections(elf_file(build_id="ab" * 20))
    module = types.ModuleType("toys.shelf")

    def find(wanted: sources.Wanted, places: sources.Places) -> sources.DebugFile | None:
        places.record(tmp_path / "shelf", "not there")
        return sources.DebugFile(tmp_path / "book", sections, "shelf mark") if wanted.build_id == "ab" * 20 else None

    vars(module).update(find=find)
    monkeypatch.setitem(sys.modules, "toys", types.ModuleType("toys"))
    monkeypatch.setitem(sys.modules, "toys.shelf", module)
    looked: list[tuple[str, str]] = []
    places = sources.Places(looked=lambda path, outcome: looked.append((path.name, outcome)))
    wanted = sources.Wanted(tmp_path / "module", "ab" * 20, None)
    found = sources.find_debug_file(wanted, places, ("shelf",), "toys")
    assert found is not None and found.how == "shelf mark"
    assert looked == [("shelf", "not there"), ("book", "matched by shelf mark")]
    assert sources.find_debug_file(wanted._replace(build_id="cd"), places, ("shelf",), "toys") is None


def test_a_made_up_rule() -> None:
    def check(report: Report) -> Iterator[Finding]:
        yield Finding(rule="toy", title="a toy", severity="low", confidence="likely", claim="cause", explanation="")

    toy = Rule(id="toy", group="process", specificity=50, check=check, documentation="")
    judged = engine.run(built.minimal(), [toy], strict=True)
    assert judged.verdict is not None and judged.verdict.rule == "toy"


def test_a_made_up_panel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "toypanels"
    home.mkdir()
    (home / "__init__.py").write_text("")
    (home / "toy.py").write_text(
        "from reports.html.panel import Panel, Shown\n"
        "PANEL = Panel('toy', 'A toy', lambda page: Shown({'words': '<b>' + page.report.tool.name}, '1'))\n"
    )
    (home / "toy.html").write_text("<p class=toy>{{ words }}</p>")
    (home / "toy.css").write_text(".toy{color:red}")
    monkeypatch.syspath_prepend(tmp_path)
    text = page.render(built.minimal(), ("toy",), "toypanels")
    assert '<section id="toy"' in text and "A toy <span>1</span>" in text
    assert "<p class=toy>&lt;b&gt;postmortem</p>" in text and ".toy{color:red}" in text
    assert 'id="threads"' not in text


def test_a_made_up_command() -> None:
    @click.command()
    def toy() -> None:
        """A toy."""
        click.echo("it works")

    assert CliRunner().invoke(command_line((toy,)), ["toy"]).output == "it works\n"
