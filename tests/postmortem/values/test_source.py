"""Source lines around a frame: by a map, as named, never outside what the user allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Address, Frame
from postmortem.values.source import Sources

if TYPE_CHECKING:
    from pathlib import Path


def frame(file: str, line: int) -> Frame:
    return Frame(pc=Address(1), sp=Address(2), function="f", file=file, line=line)


def lines(sources: Sources, file: str, line: int) -> list[tuple[int, str]]:
    (made,) = sources.with_lines([frame(file, line)])
    return [(row.line, row.text) for row in made.source]


def test_lines_by_a_map(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "cart.c").write_text("".join(f"line {number}\n" for number in range(1, 12)))
    sources = Sources([("/build/shop", tmp_path)], as_named=False)
    assert lines(sources, "/build/shop/lib/cart.c", 5) == [(number, f"line {number}") for number in range(2, 9)]
    assert lines(sources, "/build/shop/lib/cart.c", 1)[0] == (1, "line 1")
    assert lines(sources, "/build/shopping/lib/cart.c", 5) == []
    assert lines(sources, "/build/shop/lib/cart.c", 400) == []


def test_a_path_does_not_lead_out_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "secret.c").write_text("secret\n" * 9)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.c").symlink_to(tmp_path / "secret.c")
    sources = Sources([("/build", inside)], as_named=False)
    assert lines(sources, "/build/../secret.c", 2) == []
    assert lines(sources, "/build/link.c", 2) == []


def test_files_that_are_no_source_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "id_rsa").write_text("key\n" * 9)
    assert lines(Sources([("/build", tmp_path)], as_named=True), "/build/id_rsa", 2) == []
    assert lines(Sources([], as_named=True), str(tmp_path / "id_rsa"), 2) == []


def test_paths_as_they_stand_only_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "cart.c").write_text("one\ntwo\n")
    assert lines(Sources([], as_named=True), str(tmp_path / "cart.c"), 2)[0] == (1, "one")
    assert lines(Sources([], as_named=False), str(tmp_path / "cart.c"), 2) == []
