"""Debug info that is split off is named; nothing is made up in its place."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from parsers.elf.symbols import Sections
from postmortem.symbols.cache import Cache
from postmortem.symbols.symbolizer import DwarfFile
from postmortem.values.deadline import Deadline
from postmortem.values.store import Store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
SOURCE = "int half(int number) { return number / 2; } int main(void) { return half(4); }"


def place(folder: Path, *flags: str) -> tuple[str | None, list[str]]:
    """Why there is nothing, and the names of the parameters, at the start of half()."""
    (folder / "half.c").write_text(SOURCE)
    subprocess.run(["gcc", "-g", "-O0", "half.c", "-o", "half", *flags], cwd=folder, check=True)
    names = subprocess.run(["nm", "half"], cwd=folder, check=True, capture_output=True, text=True).stdout
    address = next(int(line.split()[0], 16) for line in names.splitlines() if line.endswith(" half"))
    content = (folder / "half").read_bytes()
    assert Sections(content).has_dwarf
    store = Store(
        DwarfFile(folder / "half", content, None), Cache(folder / "cache"), Deadline(60), lambda dwarf, sections: None
    )
    found = store.place(address, None)
    return found.missing, [variable.name for scope in found.scopes for variable in scope.parameters]


@pytest.mark.parametrize("version", ["-gdwarf-4", "-gdwarf-5"])
def test_split_debug_info_is_said_to_be(tmp_path: Path, version: str) -> None:
    missing, names = place(tmp_path, version, "-gsplit-dwarf")
    assert missing is not None
    assert ".dwo, which is not read" in missing
    assert names == []


@pytest.mark.parametrize("version", ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5"])
@pytest.mark.parametrize("packed", ["-gz=none", "-gz=zlib"])
def test_every_version_is_read(tmp_path: Path, version: str, packed: str) -> None:
    assert place(tmp_path, version, packed) == (None, ["number"])
