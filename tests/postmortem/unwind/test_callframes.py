"""Where the call frame information of a module is found."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from parsers.elf import module as image_parser
from postmortem.program.memory import AddressSpace, Piece
from postmortem.program.modules import LoadedModule, ModuleMap
from postmortem.targets.files import open_regular
from postmortem.unwind.callframes import CallFrames

if TYPE_CHECKING:
    from postmortem.program.program import Program

BIAS = 0x7F0000000000
SOURCE = "void use(int *); int f(int n) { int room[40]; room[0] = n; use(room); return room[3]; }\n" + "".join(
    f"int g{number}(int n) {{ int room[{number + 1}]; use(room); return room[0] + n; }}\n" for number in range(40)
)
"""Enough functions that compressing their call frame information makes it shorter."""
NO_EH_FRAME = ("-fno-asynchronous-unwind-tables", "-fno-unwind-tables")

pytestmark = pytest.mark.needs("gcc", "nm")


def _callframes(folder: Path, *options: str, with_file: bool = True) -> tuple[CallFrames, range]:
    """Of a library that is mapped at BIAS; where f lies in memory."""
    source, out = folder / "f.c", folder / "f.so"
    source.write_text(SOURCE)
    subprocess.run(
        ["gcc", "-g", "-O1", "-shared", "-fPIC", "-nostdlib", *options, "-o", str(out), str(source)], check=True
    )
    listed = subprocess.run(["nm", "-S", str(out)], capture_output=True, text=True, check=True).stdout
    (row,) = (line.split() for line in listed.splitlines() if line.endswith(" f"))
    data = out.read_bytes()
    pieces = [
        Piece(BIAS + load.vaddr, BIAS + load.vaddr + load.filesz, data, load.offset)
        for load in _image(data).loads
    ]  # fmt: skip
    space = AddressSpace(pieces)
    image = image_parser.read_image(space.read, BIAS)
    assert image is not None
    content = open_regular(out, Path("/"))
    assert not isinstance(content, str)
    module = LoadedModule(
        path=str(out), start=BIAS, end=image.end, bias=BIAS, image=image, content=content if with_file else None
    )
    program = SimpleNamespace(modules=ModuleMap([module]), memory=space, core=SimpleNamespace(machine="x86_64"))
    start = BIAS + int(row[0], 16)
    return CallFrames(cast("Program", program)), range(start, start + int(row[1], 16))


def _image(data: bytes) -> image_parser.Image:
    image = image_parser.read_image(lambda at, size: data[at : at + size], 0)
    assert image is not None
    return image


@pytest.mark.parametrize(
    ("options", "with_file"),
    [
        ((), True),
        ((), False),  # the index of .eh_frame lies in memory
        (("-Wl,--no-eh-frame-hdr",), True),  # .eh_frame is read through
        ((*NO_EH_FRAME, "-gz=none"), True),
        ((*NO_EH_FRAME, "-gz=zlib"), True),
    ],
    ids=["eh_frame_hdr", "without file", "eh_frame", "debug_frame", "compressed debug_frame"],
)
def test_a_rule_is_found(options: tuple[str, ...], with_file: bool, tmp_path: Path) -> None:
    frames, function = _callframes(tmp_path, *options, with_file=with_file)
    tables = frames.at(function.start)
    assert tables
    rules = [next(filter(None, (table.rule(pc) for table in tables)), None) for pc in function]
    assert all(rule is not None and rule.cfa_register == 7 for rule in rules)
    offsets = [rule.cfa_offset for rule in rules if rule is not None]
    assert offsets[0] == offsets[-1] == 8
    assert max(offsets) > 160


def test_without_index_and_file_there_is_none(tmp_path: Path) -> None:
    frames, function = _callframes(tmp_path, "-Wl,--no-eh-frame-hdr", with_file=False)
    assert frames.at(function.start) == []


def test_the_index_makes_a_pass_over_eh_frame_needless(tmp_path: Path) -> None:
    """Its own table and .debug_frame's where there is one; here .eh_frame alone."""
    frames, function = _callframes(tmp_path)
    assert len(frames.at(function.start)) == 1


def test_tables_are_made_once_and_of_the_module_alone(tmp_path: Path) -> None:
    frames, function = _callframes(tmp_path)
    assert frames.at(function.start) is frames.at(function.stop - 1)
    assert frames.at(BIAS - 1) == frames.at(BIAS + 0x100000) == []


def test_a_file_whose_header_is_damaged_costs_its_sections_alone(tmp_path: Path) -> None:
    frames, function = _callframes(tmp_path)
    (module,) = frames._modules.modules
    damaged = tmp_path / "damaged"
    data = bytearray(Path(module.path).read_bytes())
    data[:4] = b"JUNK"
    damaged.write_bytes(data)
    content = open_regular(damaged, Path("/"))
    assert not isinstance(content, str)
    module.content = content
    (table,) = frames.at(function.start)
    assert table.rule(function.start) is not None
