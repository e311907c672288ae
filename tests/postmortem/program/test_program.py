"""A program opens the files of its modules, knows what is code, and closes all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from parsers.elf.core import parse
from parsers.filebytes import FileBytes
from postmortem.program.program import Program
from postmortem.targets.files import SearchPath
from tests.build.core import CoreBuilder
from tests.postmortem.program.image import BASE, image


def _descriptors(folder: Path) -> int:
    """How many of this process lead below a folder."""
    count = 0
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            count += entry.readlink().is_relative_to(folder)
        except OSError:
            continue
    return count


def _written(folder: Path, builder: CoreBuilder) -> FileBytes:
    path = folder / "core"
    path.write_bytes(builder.bytes())
    return FileBytes(os.open(path, os.O_RDONLY), path.stat().st_size)


def _program(folder: Path) -> tuple[CoreBuilder, SearchPath]:
    root = folder / "root"
    root.mkdir()
    rows = []
    builder = CoreBuilder()
    for number in range(3):
        data = image(f"{number:040x}")
        (root / f"lib{number}.so").write_bytes(data)
        start = BASE + 0x100000 * number
        rows.append((start, start + 0x3000, 0, f"/lib{number}.so"))
        builder.memory(start, data[:0x1000], flags=4)
    return builder.files(*rows), SearchPath(sysroot=root)


@pytest.mark.parametrize("failing", [False, True])
def test_what_it_opened_is_closed(failing: bool, tmp_path: Path) -> None:
    builder, search = _program(tmp_path)
    with _written(tmp_path, builder) as content:
        before = _descriptors(tmp_path)
        try:
            with Program(parse(content), content, search) as program:
                assert [module.status for module in program.modules.modules] == ["matched"] * 3
                assert _descriptors(tmp_path) == before + 3
                if failing:
                    raise KeyError
        except KeyError:
            assert failing
        assert _descriptors(tmp_path) == before
        assert all(module.content is not None and not module.content[:4] for module in program.modules.modules)
        assert content[:4] == b"\x7fELF"  # the core is another's to close


def test_without_modules_no_file_is_opened(tmp_path: Path) -> None:
    builder, search = _program(tmp_path)
    with _written(tmp_path, builder) as content:
        before = _descriptors(tmp_path)
        with Program(parse(content), content, search, modules=False) as program:
            assert program.modules.modules == []
            assert _descriptors(tmp_path) == before
            assert program.memory.read(BASE, 4) == b"\x7fELF"


def test_what_is_code_is_said_by_the_core_and_else_by_the_module(tmp_path: Path) -> None:
    """Segments of the core decide where there is one; lib1's code has none."""
    builder, search = _program(tmp_path)
    builder.memory(BASE + 0x1000, b"x" * 16, flags=4).memory(0x5000, b"x" * 16, flags=5)
    with _written(tmp_path, builder) as content, Program(parse(content), content, search) as program:
        other = BASE + 0x100000
        asked = {
            0x5000: True, 0x500F: True, 0x5010: False, 0x4FFF: False,
            BASE: False,  # the first page as the core has it: not executable
            BASE + 0x1000: False,  # no longer: what the core says
            BASE + 0x1010: True,  # behind the core's part
            other + 0x1000: True, other + 0x1FFF: True, other + 0x2000: False, other + 0xFFF: False,
            BASE - 1: False, 1 << 63: False, -1: False,
        }  # fmt: skip
        assert {address: program.is_code(address) for address in asked} == asked


def test_what_could_not_be_read_is_what_the_core_says_so_of(tmp_path: Path) -> None:
    builder = CoreBuilder().memory(0x1000, b"", flags=0, size=0x1000).memory(0x2000, bytes(0x1000), flags=4)
    with _written(tmp_path, builder) as content, Program(parse(content), content, SearchPath()) as program:
        asked = (0xFFF, 0x1000, 0x1FFF, 0x2000, 0x3000)
        assert [program.is_refused(address) for address in asked] == [False, True, True, False, False]
