"""What a unit names as its .dwo file is looked for where the builder had it, beside the program, and nowhere above."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from postmortem.symbols.splitfiles import split_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "folder", "expected"),
    [
        ("a.dwo", "/build", ["root/build/a.dwo", "root/bin/a.dwo", "debug/a.dwo"]),
        ("obj/a.dwo", "", ["root/bin/obj/a.dwo", "root/bin/a.dwo", "debug/obj/a.dwo", "debug/a.dwo"]),
        ("../../../etc/a.dwo", "", ["root/bin/a.dwo", "debug/a.dwo"]),
        ("/etc/a.dwo", "", ["root/etc/a.dwo", "root/bin/a.dwo", "debug/a.dwo"]),
        ("/etc/shadow", "", []),
        ("shadow", "/etc", []),
        ("", "/etc", []),
    ],
)
def test_places(name: str, folder: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def opened(path: Path, sysroot: Path | None) -> str:
        looked.append(str(path.relative_to(tmp_path)))
        return "not there"

    monkeypatch.setattr("postmortem.symbols.splitfiles.open_elf", opened)
    program = tmp_path / "root/bin/program"
    list(split_files([program], name, folder, [tmp_path / "debug"], tmp_path / "root"))
    assert [path for path in looked if not path.endswith(".dwp")] == expected
