"""A debug file inside the sysroot is used, one that a symbolic link leads out of it to is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from postmortem.symbols.sources.source import Places
from postmortem.symbols.symbolizer import open_symbols
from tests.parsers.elf.elf_file import elf_file
from tests.postmortem.symbols.test_symbolizer import BUILD_ID, FULL

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("outside", [False, True])
def test_a_link_that_leaves_the_sysroot_is_not_followed(tmp_path: Path, outside: bool) -> None:
    root = tmp_path / "root"
    store = root / "usr/lib/debug/.build-id" / BUILD_ID[:2]
    store.mkdir(parents=True)
    place = (tmp_path if outside else root) / "elsewhere.debug"
    place.write_bytes(elf_file(FULL, build_id=BUILD_ID))
    link = store / f"{BUILD_ID[2:]}.debug"
    link.symlink_to(place if outside else "/elsewhere.debug")
    module = root / "bin"
    module.write_bytes(elf_file(build_id=BUILD_ID))
    looked: dict[str, str] = {}
    places = Places([root / "usr/lib/debug"], root, looked=lambda path, outcome: looked.update({str(path): outcome}))
    found = open_symbols(module, BUILD_ID, places, tmp_path / "cache")
    assert (found is None) == outside
    assert looked == {str(link): "not there" if outside else "matched by build-id"}
