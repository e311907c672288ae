"""Which files are a core's modules: every outcome, by images and cores made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from parsers.elf.core import parse
from parsers.limits import Limits
from postmortem.budget import Budget
from postmortem.program.memory import AddressSpace, Piece
from postmortem.program.modules import LoadedModule, ModuleMap, load_modules
from postmortem.targets.files import SearchPath
from tests.build.core import CoreBuilder
from tests.postmortem.program.image import BASE, image

if TYPE_CHECKING:
    from pathlib import Path

ID, OTHER = "aa" * 20, "bb" * 20
SIZE = 0x3000


def _load(builder: CoreBuilder, search: SearchPath, budget: Budget | None = None) -> tuple[ModuleMap, AddressSpace]:
    data = builder.bytes()
    core = parse(data)
    pieces = [Piece(part.start, part.start + part.dumped, data, part.offset) for part in core.segments if part.dumped]
    space = AddressSpace(pieces, budget)
    return load_modules(core, space, search), space


def _core(content: bytes | None, path: str = "/lib/libx.so") -> CoreBuilder:
    """One mapped file, of which the core holds `content` at its beginning."""
    builder = CoreBuilder().thread(1).files((BASE, BASE + SIZE, 0, path))
    builder.memory(BASE, content, flags=4) if content else builder.memory(0x1000, b"x")
    return builder


def _put(folder: Path, name: str, content: bytes) -> SearchPath:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return SearchPath(sysroot=folder)


def _only(modules: ModuleMap) -> LoadedModule:
    (module,) = modules.modules
    return module


@pytest.mark.parametrize(
    ("in_core", "in_file", "status", "outcome"),
    [
        (ID, ID, "matched", "matched by build-id"),
        (ID, OTHER, "mismatched", f"build-id is {OTHER}, the core wants {ID}"),
        (ID, None, "mismatched", f"build-id is absent, the core wants {ID}"),
        (None, None, "matched", "matched by its first page (no build-id)"),
        (None, ID, "mismatched", "its first page differs"),
    ],
)
def test_a_file_is_taken_only_if_it_is_the_one_that_was_mapped(
    in_core: str | None, in_file: str | None, status: str, outcome: str, tmp_path: Path
) -> None:
    search = _put(tmp_path, "lib/libx.so", image(in_file))
    modules, space = _load(_core(image(in_core)[:0x1000]), search)
    module = _only(modules)
    assert (module.status, module.build_id, module.file_build_id) == (status, in_core, in_file)
    assert [found.outcome for found in module.candidates] == [outcome]
    # Its pages are there only then.
    assert space.read(BASE + 0x1000, 4) == (b"code" if status == "matched" else None)
    assert (module.content is not None) is (status == "matched")
    assert (module.start, module.end, module.bias) == (BASE, BASE + SIZE, BASE)


@pytest.mark.parametrize(("deleted", "status"), [("", "missing"), (" (deleted)", "deleted")])
def test_a_file_that_is_not_here(deleted: str, status: str, tmp_path: Path) -> None:
    modules, _ = _load(_core(image(ID)[:0x1000], f"/lib/libx.so{deleted}"), SearchPath(sysroot=tmp_path))
    module = _only(modules)
    assert (module.status, module.file) == (status, None)
    assert [found.outcome for found in module.candidates] == ["not there"]


def test_a_file_that_took_the_name_of_a_deleted_one(tmp_path: Path) -> None:
    search = _put(tmp_path, "lib/libx.so", image(OTHER))
    modules, _ = _load(_core(image(ID)[:0x1000], "/lib/libx.so (deleted)"), search)
    assert (_only(modules).status, _only(modules).file_build_id) == ("deleted", OTHER)


def test_the_file_that_it_was_deleted_from_may_be_there_again(tmp_path: Path) -> None:
    search = _put(tmp_path, "lib/libx.so", image(ID))
    modules, _ = _load(_core(image(ID)[:0x1000], "/lib/libx.so (deleted)"), search)
    assert _only(modules).status == "matched"


def test_files_that_are_no_images_are_no_modules(tmp_path: Path) -> None:
    builder = CoreBuilder().thread(1)
    builder.files(
        (BASE, BASE + SIZE, 0, "/data/table.bin"),  # its first bytes are in the core
        (BASE + 0x10000, BASE + 0x11000, 0x5000, "/data/other"),  # a part of one, nothing in the core
        (BASE + 0x20000, BASE + 0x21000, 0, "/data/words.txt"),  # neither in the core nor here
        (BASE + 0x30000, BASE + 0x31000, 0, "/data/libdata.so"),  # the file is here: text
    )
    search = _put(tmp_path, "data/libdata.so", b"no image")
    modules, _ = _load(builder.memory(BASE, b"\x89PNG".ljust(64, b"\0"), flags=4), search)
    assert modules.modules == []


def test_without_bytes_in_the_core_a_name_like_a_library_s_is_believed(tmp_path: Path) -> None:
    modules, _ = _load(_core(None), SearchPath(sysroot=tmp_path))
    assert (_only(modules).status, _only(modules).image) == ("missing", None)


def test_links_stay_inside_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    search = _put(root, "real/libx.so.1", image(ID))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "libx.so").write_bytes(image(ID))
    (root / "lib").symlink_to("/real")  # of the process: the root's
    (root / "real" / "libx.so").symlink_to("../../../../real/libx.so.1")
    modules, _ = _load(_core(image(ID)[:0x1000]), search)
    assert _only(modules).file == root / "real" / "libx.so.1"
    (root / "lib").unlink()
    (root / "lib").symlink_to(tmp_path / "outside")
    modules, _ = _load(_core(image(ID)[:0x1000]), search)
    assert (_only(modules).status, _only(modules).file) == ("missing", None)


def test_the_executable_that_was_given_and_the_debug_directories(tmp_path: Path) -> None:
    """AT_PHDR tells which module is the program; another file of its build-id is found by that."""
    given, wrong = tmp_path / "given", tmp_path / "wrong"
    given.write_bytes(image(ID))
    wrong.write_bytes(image(OTHER))
    builder = _core(image(ID)[:0x1000], "/bin/gone")
    auxv = (3).to_bytes(8, "little") + (BASE + 64).to_bytes(8, "little") + bytes(16)
    builder.note(6, auxv)
    for path, status in ((given, "matched"), (wrong, "mismatched")):
        modules, _ = _load(builder, SearchPath(executable=path, sysroot=tmp_path / "none"))
        assert (_only(modules).status, _only(modules).candidates[0].path) == (status, str(path))
    tree = tmp_path / "debug" / ".build-id" / ID[:2]
    tree.mkdir(parents=True)
    (tree / ID[2:]).write_bytes(image(ID))
    modules, _ = _load(builder, SearchPath(sysroot=tmp_path / "none", debug_dirs=(tmp_path / "debug",)))
    assert (_only(modules).status, _only(modules).file) == ("matched", tree / ID[2:])


def test_an_executable_that_was_given_is_no_library_s_file(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_bytes(image(ID))
    modules, _ = _load(_core(image(ID)[:0x1000]), SearchPath(executable=given, sysroot=tmp_path / "none"))
    assert _only(modules).status == "missing"


def test_rows_of_one_load_are_one_module_and_a_second_load_another(tmp_path: Path) -> None:
    data = image(ID)
    again = BASE + 0x100000
    builder = CoreBuilder().thread(1)
    builder.files(
        (BASE, BASE + 0x1000, 0, "/lib/libx.so"), (BASE + 0x1000, BASE + 0x3000, 0x1000, "/lib/libx.so"),
        (again, again + 0x1000, 0, "/lib/libx.so"), (again + 0x1000, again + 0x3000, 0x1000, "/lib/libx.so"),
    )  # fmt: skip
    builder.memory(BASE, data[:0x1000], flags=4).memory(again, data[:0x1000], flags=4)
    modules, space = _load(builder, _put(tmp_path, "lib/libx.so", data))
    assert [(module.start, module.end) for module in modules.modules] == [(BASE, BASE + SIZE), (again, again + SIZE)]
    assert modules.at(BASE + 0x2FFF) is modules.modules[0]
    assert modules.at(BASE + 0x3000) is None
    assert modules.at(again) is modules.modules[1]
    assert modules.at(BASE - 1) is None
    assert modules.named("libx") is modules.modules[0]
    assert modules.named("ibx") is None
    assert space.read(again + 0x2000, 12) == b"originaldata"


@pytest.mark.parametrize(("limits", "reached"), [({"modules": 1}, "modules"), ({"file_lookups": 1}, "file_lookups")])
def test_modules_and_look_ups_have_a_bound(limits: dict[str, int], reached: str, tmp_path: Path) -> None:
    search = _put(tmp_path, "a.so", image(ID))
    _put(tmp_path, "b.so", image(ID))
    builder = CoreBuilder().thread(1)
    builder.files((BASE, BASE + SIZE, 0, "/a.so"), (BASE + 0x10000, BASE + 0x10000 + SIZE, 0, "/b.so"))
    builder.memory(BASE, image(ID)[:0x1000], flags=4).memory(BASE + 0x10000, image(ID)[:0x1000], flags=4)
    budget = Budget(Limits(**limits))
    modules, _ = _load(builder, search, budget)
    assert [module.status for module in modules.modules] == ["matched", "missing"][: len(modules.modules)]
    assert len(modules.modules) == (1 if reached == "modules" else 2)
    assert [found.name for found in budget.reached] == [reached]


def test_the_vdso_is_read_from_the_core(tmp_path: Path) -> None:
    at = 0x7FFC00000000
    builder = CoreBuilder().thread(1).note(6, (33).to_bytes(8, "little") + at.to_bytes(8, "little") + bytes(16))
    modules, _ = _load(builder.memory(at, image(ID), flags=5), SearchPath(closed=True))
    module = _only(modules)
    assert (module.path, module.status, module.build_id, module.start) == ("[vdso]", "matched", ID, at)
