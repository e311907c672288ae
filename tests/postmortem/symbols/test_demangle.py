"""Names as people read them; a hostile one can't ask for gigabytes."""

from __future__ import annotations

import pytest

from postmortem.symbols.demangle import demangle

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("main", "main"),
        ("main.cold", "main.cold"),
        ("_init", "_init"),
        ("_Z3fooi", "foo(int)"),
        ("_Z3fooi.cold", "foo(int) [clone .cold]"),
        ("_Z3fooi.part.0.cold", "foo(int) [clone .part.0.cold]"),
        ("_ZTV3Foo", "vtable for Foo"),
        ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
        ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
        ("_Z", "_Z"),
        ("_ZN", "_ZN"),
    ],
)
def test_names(name: str, plain: str) -> None:
    assert demangle(name) == plain


def doubling(depth: int) -> str:
    """f(A<int, int>, A<A<int, int>, A<int, int>>, …): each parameter repeats the one before it twice."""
    return "_Z1f1AIiiE" + "".join(f"S_I{2 * f'S{DIGITS[level]}_'}E" for level in range(depth))


def test_growth_is_bounded() -> None:
    assert demangle(doubling(2)).startswith("f(A<int, int>, A<A<int, int>, A<int, int>>")
    for depth in (10, 14, 20, 30):
        assert demangle(doubling(depth)) == doubling(depth)


@pytest.mark.parametrize("name", ["_Z1f" + "P" * 4000 + "v", "_ZN" * 1300, "_R" + "I" * 4000, "_Z1fI" + "1AI" * 1000])
def test_depth_is_bounded(name: str) -> None:
    assert demangle(name)


def test_a_name_that_llvm_does_not_know() -> None:
    name = (
        "_ZSt4swapIN4shop4ItemEENSt9enable_ifIXsrSt6__and_IJSt6__not_ISt15__is_tuple_likeIT_EE"
        "St21is_move_constructibleIS6_ESt18is_move_assignableIS6_EEE5valueEvE4typeERS6_SG_"
    )
    assert demangle(name).endswith(" std::swap<shop::Item>(shop::Item&, shop::Item&)")
