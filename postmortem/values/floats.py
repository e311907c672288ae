"""Floating-point numbers in words, as gdb writes them: exactly, also where they exceed a double."""

from __future__ import annotations

import struct
from typing import NamedTuple


class _Format(NamedTuple):
    """digits: of the decimal fraction that tells all numbers of the format apart, as printf's %.<digits>g."""

    exponent: int
    fraction: int
    digits: int


_X87 = _Format(15, 63, 21)
_IEEE = {2: _Format(5, 10, 5), 4: _Format(8, 23, 9), 8: _Format(11, 52, 17), 16: _Format(15, 112, 36)}
_NATIVE = {2: "<e", 4: "<f", 8: "<d"}
_QUAD = ("float128", "Float128", "(kind=16)", "f128")


def shown(data: bytes, name: str) -> str:
    """The number of a DW_ATE_float type of that name.

    16 bytes are the x87's 80 bits with padding unless the name is one of the 128-bit type: DWARF does not tell (gdb's
    i386_floatformat_for_type goes by the name, too).
    """
    if len(data) in (10, 12, 16) and not (len(data) == 16 and any(part in name for part in _QUAD)):
        return _extended(data)
    layout = _IEEE.get(len(data))
    if layout is None:
        return "0x" + data[::-1].hex()
    bits = int.from_bytes(data, "little")
    fraction = bits & ((1 << layout.fraction) - 1)
    exponent = bits >> layout.fraction & ((1 << layout.exponent) - 1)
    sign = "-" if bits >> (8 * len(data) - 1) else ""
    if exponent == (1 << layout.exponent) - 1:
        return f"{sign}nan({fraction:#x})" if fraction else f"{sign}inf"
    native = _NATIVE.get(len(data))
    if native is not None:
        (number,) = struct.unpack(native, data)
        return f"{number:.{layout.digits}g}"
    if exponent:
        fraction |= 1 << layout.fraction
    return sign + _decimal(fraction, _power(max(exponent, 1), layout), layout.digits)


def _power(exponent: int, layout: _Format) -> int:
    return exponent - ((1 << (layout.exponent - 1)) - 1) - layout.fraction


def _extended(data: bytes) -> str:
    """x87 extended precision: 64 bits of fraction with its leading one, then the exponent."""
    fraction, head = struct.unpack_from("<QH", data)
    exponent, sign = head & 0x7FFF, "-" if head >> 15 else ""
    if exponent and not fraction >> 63:
        return "<invalid float value>"  # unnormal numbers, and pseudo-infinity: the processor takes none of them
    if exponent == 0x7FFF:
        return f"{sign}nan({fraction:#x})" if fraction & (1 << 63) - 1 else f"{sign}inf"
    return sign + _decimal(fraction, _power(max(exponent, 1), _X87), _X87.digits)


def _decimal(fraction: int, power: int, digits: int) -> str:
    """fraction * 2 ** power as printf's %.<digits>g writes it: rounded to the nearest, of two to the even one.

    The exponents of the formats bound the integers to some 16,500 bits.
    """
    if not fraction:
        return "0"
    # The decimal exponent is estimated, within 1, by the binary one.
    exponent = (fraction.bit_length() + power - 1) * 30103 // 100000
    for tried in (exponent - 1, exponent, exponent + 1):
        number = _rounded(fraction, power, digits - 1 - tried)
        if number < 10**digits:
            exponent = tried
            break
    text = str(number)
    if -4 <= exponent < digits:
        if exponent < 0:
            return ("0." + "0" * (-exponent - 1) + text).rstrip("0")
        return f"{text[: exponent + 1]}.{text[exponent + 1 :]}".rstrip("0").rstrip(".")
    mantissa = f"{text[0]}.{text[1:]}".rstrip("0").rstrip(".")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _rounded(fraction: int, power: int, scale: int) -> int:
    """fraction * 2 ** power * 10 ** scale as an integer."""
    above = fraction << max(power, 0)
    below = 1 << max(-power, 0)
    if scale >= 0:
        above *= 10**scale
    else:
        below *= 10**-scale
    quotient, rest = divmod(above, below)
    return quotient + (2 * rest > below or (2 * rest == below and quotient & 1))
