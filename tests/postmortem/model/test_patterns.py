"""Lists of expressions answer as one expression of all their lines would."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmortem.model.queries.patterns import Patterns, beginning, entries, listed

_LISTS = [
    (package, path.name)
    for package in ("postmortem.model.queries", "postmortem.signature")
    for path in resources.files(package).joinpath("lists").iterdir()
    if path.name.endswith(".txt") and path.name not in ("java_names.txt", "poison.txt")
]


@pytest.mark.parametrize(("package", "name"), _LISTS)
def test_a_list_answers_as_all_its_lines_together(package: str, name: str) -> None:
    lines = entries(package, name)
    assert lines
    whole = re.compile("|".join(f"(?:{line.strip()})" for line in lines))
    patterns = listed(package, name)

    @given(st.data())
    def compare(data: st.DataObject) -> None:
        line = data.draw(st.sampled_from(lines)).strip()
        text = data.draw(st.from_regex(line, fullmatch=True))
        assert patterns.fullmatch(text)
        for other in (text[1:], text[:-1], "_" + text, text + "x", text.swapcase()):
            assert patterns.fullmatch(other) is (whole.fullmatch(other) is not None), other
            assert patterns.match(other) is (whole.match(other) is not None), other

    compare()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (r"std::__throw_\w+", "std::__throw_"), (r"abort", "abort"), (r"(__)?kill", ""), (r"_?exit", ""),
        (r"ab*", "a"), (r"ab+", "ab"), (r"a\.b\..*", "a.b."), (r"a\.?b", "a"), ("a{2}", ""), ("abc|def", ""),
        ("a(b|c)", "a"), (r"x(a)|(b)", ""), (r"\w+", ""), (r"a[(|]b", "a"), ("", ""),
    ],
)  # fmt: skip
def test_how_an_expression_begins(line: str, expected: str) -> None:
    assert beginning(line) == expected


def test_nothing_fits_no_expressions() -> None:
    assert not Patterns([]).fullmatch("")
    assert not Patterns(["a"]).fullmatch("b")
