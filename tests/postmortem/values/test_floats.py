"""Floating-point numbers in words. What gdb 13 prints of the same bytes on x86-64."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmortem.values.description import Type
from postmortem.values.floats import _decimal, shown
from postmortem.values.text import Printer


def extended(fraction: int, exponent: int, sign: int = 0) -> bytes:
    return struct.pack("<QH", fraction, exponent | sign << 15) + b"\xaa" * 6  # the padding holds anything


@pytest.mark.parametrize(
    ("fraction", "exponent", "sign", "expected"),
    [
        (0xCCCCCCCCCCCCCCCD, 16379, 0, "0.100000000000000000001"),
        (0xAAAAAAAAAAAAAAAB, 16381, 0, "0.333333333333333333342"),
        (0xC90FDAA22168C235, 16384, 0, "3.14159265358979323851"),
        (0x8AC7230489E80000, 16446, 0, "10000000000000000000"),
        (0xAD78EBC5AC620000, 16450, 1, "-200000000000000000000"),
        (0xD8D726B7177A8000, 16452, 0, "1e+21"),
        (0x8000000000000000, 16383, 0, "1"),
        (0, 0, 1, "-0"),
        (1, 0, 0, "3.64519953188247460253e-4951"),
        (0xFFFFFFFFFFFFFFFF, 0x7FFE, 0, "1.18973149535723176502e+4932"),
        (0x8000000000000000, 0x7FFF, 1, "-inf"),
        (0xC000000000000000, 0x7FFF, 0, "nan(0xc000000000000000)"),
        (0x4000000000000000, 16383, 0, "<invalid float value>"),  # unnormal
        (5, 0x7FFF, 0, "<invalid float value>"),  # pseudo-NaN
    ],
)
def test_extended_precision(fraction: int, exponent: int, sign: int, expected: str) -> None:
    assert shown(extended(fraction, exponent, sign), "long double") == expected


@pytest.mark.parametrize("name", ["_Float128", "__float128"])
def test_a_128_bit_type_is_told_by_its_name(name: str) -> None:
    tenth = (0x3FFB << 112 | 0x999999999999A << 60).to_bytes(16, "little")
    assert shown(tenth, name) == "0.100000000000000005551115123125782702"


def test_complex_numbers_of_every_width() -> None:
    printer = Printer(
        [Type("base", "complex long double", 32, 3), Type("base", "complex float", 8, 3)], lambda *_: None
    )
    two = extended(0x8000000000000000, 16384)
    assert printer.show(0, extended(0xCCCCCCCCCCCCCCCD, 16379) + two).text == "0.100000000000000000001 + 2i"
    assert printer.show(1, struct.pack("<ff", 0.1, -2)).text == "0.100000001 + -2i"


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=0, exclude_min=True), st.integers(1, 25))
def test_exact_decimals_are_those_of_printf(number: float, digits: int) -> None:
    above, below = number.as_integer_ratio()
    assert _decimal(above, 1 - below.bit_length(), digits) == f"{number:.{digits}g}"


@given(st.binary(min_size=10, max_size=16))
def test_any_bytes_are_a_number_in_words(data: bytes) -> None:
    assert 0 < len(shown(data, "long double")) < 40
