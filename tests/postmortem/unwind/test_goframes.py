"""Go's own table beside the call frame information and the lines that the same program has as DWARF."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from parsers.dwarf.cfi import FrameTable
from parsers.elf.gopclntab import Table
from parsers.elf.symbols import Sections
from postmortem import Options, analyze
from postmortem.unwind.goframes import GoFrames
from tests.postmortem import corpus

if TYPE_CHECKING:
    from parsers.elf.gopclntab import Function

_SAMPLE = 150


def _sections() -> tuple[Sections, str]:
    exe = corpus.directory() / "go-index" / "exe"
    if not exe.exists():
        pytest.skip("no Go here")
    return Sections(exe.read_bytes()), str(exe)


def _sample(sections: Sections) -> list[int]:
    """Addresses in the midst of functions."""
    choice = random.Random(7)
    found: list[Function] = list(sections.go_functions())  # type: ignore[arg-type]
    chosen = choice.sample([entry for entry in found if entry.size > 16], _SAMPLE)
    return [entry[0] + choice.randrange(entry.size // 2, entry.size - 1) for entry in chosen]


def test_the_frames_are_those_of_call_frame_information() -> None:
    sections, _ = _sections()
    from parsers.elf.sections import section_bytes

    header = next(item for item in (sections.find(b".zdebug_frame"), sections.find(b".debug_frame")) if item)
    data = section_bytes(sections._data, header)

    def read(address: int, length: int) -> bytes | None:
        found = bytes(data[address : address + length])
        return found if address >= 0 and len(found) == length else None

    cfi = FrameTable(read, section_address=0, section_size=len(data), debug_frame=True)
    table = sections.go_places()
    assert table is not None
    ours = GoFrames(table, 0)
    compared = 0
    for address in _sample(sections):
        expected, found = cfi.rule(address), ours.rule(address)
        if expected is not None and found is not None:
            assert (found.cfa_register, found.cfa_offset) == (expected.cfa_register, expected.cfa_offset), hex(address)
            compared += 1
    assert compared > _SAMPLE // 2


@pytest.mark.needs("addr2line")
def test_the_lines_are_those_of_dwarf() -> None:
    sections, exe = _sections()
    table = sections.go_places()
    assert table is not None
    places = [(address, place) for address in _sample(sections) if (place := table.at(address)) and place.line]
    asked = [hex(address) for address, _ in places]
    told = subprocess.run(["addr2line", "-e", exe, *asked], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    lines = [line for line in told if ":" in line]
    same = sum(
        line.split(" ")[0].endswith(f"{(place.file or '').rpartition('/')[2]}:{place.line}")
        for line, (_, place) in zip(lines, places, strict=True)
    )
    assert len(places) > _SAMPLE // 3
    assert same >= len(places) - 2  # what is inlined of its own function counts as a line of it


def test_a_damaged_table_never_raises() -> None:
    sections, _ = _sections()
    section = sections.find(b".gopclntab")
    assert section is not None
    raw = bytearray(sections._data[section.offset : section.offset + section.size])
    addresses = _sample(sections)[:20]
    text = sections.find(b".text")
    assert text is not None
    choice = random.Random(3)
    for _ in range(60):
        damaged = bytearray(raw)
        for _ in range(200):
            damaged[choice.randrange(len(damaged))] = choice.randrange(256)
        at = choice.randrange(8, 72)
        damaged[at] ^= 1 << choice.randrange(8)
        try:
            table = Table(bytes(damaged), text.addr)
        except ValueError:
            continue
        for address in addresses:
            table.at(address)
    for end in (0, 7, 8, 71, 72, 4096, len(raw) // 2):
        with pytest.raises(ValueError, match="Go"):
            Table(bytes(raw[:end]), text.addr)


def test_a_stripped_program_has_the_stack_of_one_that_is_not() -> None:
    stacks = []
    for name in ("go-nil", "go-nil-stripped"):
        core = corpus.directory() / name / "core"
        if not core.exists():
            pytest.skip("no Go here")
        frames = analyze(core, Options(cache_dir=None)).threads[0].frames
        stacks.append([(f.function, f.line, f.trust) for f in frames if (f.function or "").startswith("main.")])
    assert stacks[0] == stacks[1]
    assert [function for function, _, _ in stacks[1]] == ["main.(*order).item", "main.fulfil", "main.main"]
    assert all(line and trust == "cfi" for _, line, trust in stacks[1])


def test_goroutines_that_wait() -> None:
    core = corpus.directory() / "go-deadlock" / "core"
    if not core.exists():
        pytest.skip("no Go here")
    report = analyze(core, Options(cache_dir=None))
    (runtime,) = report.runtimes
    found = [(group.count, group.ids, group.state, group.reason, group.function) for group in runtime.goroutines]
    assert found == [(1, (1,), "waiting", "semacquire", "main.main")]
