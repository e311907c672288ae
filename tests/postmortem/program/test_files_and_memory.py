"""Modules, their files and the memory made of both; whose bytes count where, and what is never opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from postmortem.program.modules import LoadedModule, ModuleMap
from postmortem.targets.files import SearchPath
from tests.postmortem.program.process import BASE, BUILD_ID, OTHER, PATH, SIZE, builder, image, place, program, rows

if TYPE_CHECKING:
    from pathlib import Path

    from postmortem.program.program import Program

CODE = BASE + 0x1000


def _of(folder: Path, in_core: bytes, in_file: bytes | None, path: str = PATH, **search: object) -> Program:
    if in_file is not None:
        place(folder / "root", in_file, path.removesuffix(" (deleted)"))
    (folder / "root").mkdir(exist_ok=True)
    return program(builder(in_core, path), folder, SearchPath(sysroot=folder / "root", **search))  # type: ignore[arg-type]


def test_the_files_pages_lie_below_the_cores(tmp_path: Path) -> None:
    with _of(tmp_path, image(), image()) as made:
        (module,) = made.modules.modules
        assert (module.status, module.build_id, module.file_build_id) == ("matched", BUILD_ID, BUILD_ID)
        assert (module.start, module.end, module.bias) == (BASE, BASE + SIZE, BASE)
        assert made.memory.read(CODE, 16) == b"\x11" * 16, "code comes from the file"
        assert made.memory.read(BASE + 0x2000, 16) == b"\xdd" * 16, "data is the core's, which the process had written"
        assert made.memory.read(CODE + 0xFF8, 16) == b"\x11" * 8 + b"\xdd" * 8, "a read across both"
        assert made.memory.read(BASE + SIZE - 8, 16) is None
        assert made.memory.read_some(BASE + SIZE - 8, 16) == b"\xdd" * 8


def test_nothing_is_looked_for_where_the_search_is_closed(tmp_path: Path) -> None:
    with _of(tmp_path, image(), image(), closed=True) as made:
        (module,) = made.modules.modules
        assert (module.status, module.candidates) == ("missing", [])
        assert module.build_id == BUILD_ID, "the core says it by itself"


def test_a_pipe_in_the_place_of_the_file_does_not_hold_the_run(tmp_path: Path) -> None:
    (tmp_path / "root/opt/shop/lib").mkdir(parents=True)
    os.mkfifo(tmp_path / "root" / PATH.lstrip("/"))
    with _of(tmp_path, image(), None) as made:
        (module,) = made.modules.modules
        assert module.status == "missing"
        assert "not a regular file" in module.candidates[0].outcome


def test_a_debug_directory_is_asked_by_build_id(tmp_path: Path) -> None:
    stored = tmp_path / "debug/.build-id" / BUILD_ID[:2] / BUILD_ID[2:]
    stored.parent.mkdir(parents=True)
    stored.write_bytes(image())
    with _of(tmp_path, image(), image(OTHER), debug_dirs=(tmp_path / "debug",)) as made:
        (module,) = made.modules.modules
        assert [candidate.outcome.split()[0] for candidate in module.candidates] == ["build-id", "matched"]
        assert module.file == stored


def test_two_loads_of_one_file_are_two_modules(tmp_path: Path) -> None:
    place(tmp_path / "root", image())
    second = BASE + 0x10_0000
    built = builder(image()).memory(second, image()[:0x1000], flags=4)
    built.notes.clear()
    built.thread(1).files(*rows(), *rows(base=second))
    with program(built, tmp_path, SearchPath(sysroot=tmp_path / "root")) as made:
        assert [(module.start, module.bias) for module in made.modules.modules] == [(BASE, BASE), (second, second)]
        assert made.memory.read(second + 0x1000, 4) == b"\x11" * 4
    # Of the second load only the headers are left.
    built.notes.clear()
    built.thread(1).files(*rows()[:1], *rows(base=second)[:1])
    with program(built, tmp_path, SearchPath(sysroot=tmp_path / "root")) as made:
        assert [module.start for module in made.modules.modules] == [BASE, second]


def test_the_module_at_an_address_and_by_name() -> None:
    def module(path: str, start: int, soname: str | None = None) -> LoadedModule:
        return LoadedModule(path=path, start=start, end=start + 0x1000, bias=start, image=None, soname=soname)

    first, second = module("/lib/libb.so.1", 0x5000), module("/lib/a-1.2.so (deleted)", 0x1000, "liba.so.1")
    modules = ModuleMap([first, second])
    assert modules.modules == [second, first]
    found = {address: modules.at(address) for address in (0xFFF, 0x1000, 0x1FFF, 0x2000, 0x5000, 0x6000)}
    assert found == {0xFFF: None, 0x1000: second, 0x1FFF: second, 0x2000: None, 0x5000: first, 0x6000: None}
    assert (modules.named("liba.so"), modules.named("a-1.2"), modules.named("libb"), modules.named("libc")) == (
        second, second, first, None,
    )  # fmt: skip


def test_a_core_without_the_list_of_files_has_those_of_the_linker(tmp_path: Path) -> None:
    """AT_PHDR leads to the executable named by --exe."""
    executable = place(tmp_path, image(), "/shop")
    built = builder(image())
    built.notes.clear()
    built.thread(1).note(6, (3).to_bytes(8, "little") + (BASE + 64).to_bytes(8, "little") + bytes(16))
    with program(built, tmp_path, SearchPath(executable=executable)) as made:
        assert [(module.path, module.start, module.status) for module in made.modules.modules] == [
            (str(executable), BASE, "matched")
        ]
