"""What a debug file names as its supplement is opened inside its own folder and the debug directories only."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from parsers.elf.header import SectionHeader
from postmortem.symbols.elffile import ElfFile, open_elf
from postmortem.symbols.supplement import find_supplement
from tests.parsers.elf.elf_file import elf_file
from tests.postmortem.symbols.test_symbolizer import BUILD_ID, FULL

if TYPE_CHECKING:
    from pathlib import Path

    from parsers.elf.symbols import Sections


class _Linked:
    """The sections of a debug file of which only the link is asked for."""

    def __init__(self, size: int) -> None:
        self._link = SectionHeader(0, 1, 0, 0, 0, size, 0, 0, 1, 0)

    def find(self, name: bytes) -> SectionHeader | None:
        return self._link if name == b".gnu_debugaltlink" else None


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("part.dwz", True),
        ("../../.dwz/part.dwz", True),
        ("/usr/lib/debug/.dwz/part.dwz", True),
        ("{root}/usr/lib/debug/.dwz/part.dwz", True),
        ("../../../../../../outside.dwz", False),
        ("{outside}", False),
        ("/outside.dwz", False),
        ("link.dwz", False),
    ],
)
def test_inside_its_folder_and_the_debug_directories(
    name: str, used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    debug = root / "usr/lib/debug"
    folder = debug / ".build-id/ab"
    outside = tmp_path / "outside.dwz"
    (debug / ".dwz").mkdir(parents=True)
    folder.mkdir(parents=True)
    content = elf_file(FULL, build_id=BUILD_ID)
    for place in (folder / "part.dwz", debug / ".dwz/part.dwz", outside, root / "outside.dwz"):
        place.write_bytes(content)
    (folder / "link.dwz").symlink_to(outside)
    looked: list[Path] = []

    def opened(path: Path, sysroot: Path | None = None) -> ElfFile | str:
        looked.append(path)
        return open_elf(path, sysroot)

    monkeypatch.setattr("postmortem.symbols.supplement.open_elf", opened)
    link = name.format(root=root, outside=outside).encode() + b"\0" + bytes.fromhex(BUILD_ID)
    found = find_supplement(folder / "cd.debug", link, cast("Sections", _Linked(len(link))), [debug], root)
    assert (found is not None) == used
    assert all(path.is_relative_to(debug) for path in looked)
