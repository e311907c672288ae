from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from parsers.perfmap import parse


def test_names_by_address() -> None:
    found = parse([b"7f0010 20 LazyCompile:~main /app/a b.js:1\n0x7f0040 8 Builtin\n7f0010 10 Newer\n"])
    assert found.at(0x7F0015) == ("Newer", 5)
    assert found.at(0x7F0047) == ("Builtin", 7)
    assert found.at(0x7F0048) is None
    assert found.at(0x7F0020) is None
    assert found.at(0x10) is None
    assert (len(found), found.skipped) == (2, 0)


def test_names_keep_their_blanks() -> None:
    found = parse([b"10 10 a name with blanks\r\n"])
    assert found.at(0x10) == ("a name with blanks", 0)


def test_lines_that_are_none_are_counted() -> None:
    found = parse([b"zz 10 a\n10\n10 0 empty\n-5 3 negative\n20 10\n30 10 good\n"])
    assert (len(found), found.skipped) == (1, 5)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_map(data: bytes) -> None:
    found = parse([data[:7], data[7:]])
    assert found.at(0) is None or len(found) > 0
