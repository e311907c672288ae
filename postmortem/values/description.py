"""What DWARF says of one pc: the functions there, their variables, the types of these, the call at the pc.

Plain values without a DIE behind them, so that the symbol cache keeps them and a second run reads no DWARF.
Addresses are link-time ones.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal[
    "void", "base", "pointer", "reference", "struct", "union", "array", "enum", "function", "typedef", "qualifier",
    "member-pointer", "unknown",
]  # fmt: skip


class Member(msgspec.Struct, array_like=True, frozen=True):
    """A field or a base class. offset: bytes, None where an expression gives it; bits: (size, offset in bits) of a
    bit field, the offset counted from the start of the structure. type: index into Place.types."""

    name: str
    type: int
    offset: int | None = 0
    bits: tuple[int, int] | None = None
    base: bool = False


class Variant(msgspec.Struct, array_like=True, frozen=True):
    """One variant of a tagged union: chosen when the discriminant lies in one of the ranges, or, without ranges,
    when no other is."""

    ranges: tuple[tuple[int, int], ...]
    members: tuple[Member, ...]


class Type(msgspec.Struct, array_like=True):
    """A type. size: bytes. encoding: DW_ATE_* of a base type. target: what a pointer points at, an array's elements,
    a typedef's type, a function's result; -1 for void.

    name: with its scopes; "const" or "volatile" of a qualifier, "&" or "&&" of a reference. counts: elements of each
    dimension, an expression, or None. parameters: of a template. whole: members and enumerators were read.
    """

    kind: Kind
    name: str = ""
    size: int | None = None
    encoding: int = 0
    target: int = -1
    members: tuple[Member, ...] = ()
    enumerators: tuple[tuple[int, str], ...] = ()
    counts: tuple[int | bytes | None, ...] = ()
    parameters: tuple[tuple[str, int], ...] = ()
    discriminant: Member | None = None
    variants: tuple[Variant, ...] = ()
    whole: bool = True
    signed: bool = False


class Variable(msgspec.Struct, array_like=True, frozen=True):
    """A parameter or a local. location: its expression at the pc; constant: its value; neither: optimized out."""

    name: str
    type: int
    location: bytes | None = None
    constant: int | bytes | None = None


class Scope(msgspec.Struct, array_like=True, frozen=True):
    """A function at the pc. Locals: of the innermost block first."""

    function: str
    inlined: bool
    parameters: tuple[Variable, ...]
    variables: tuple[Variable, ...]


class CallParameter(msgspec.Struct, array_like=True, frozen=True):
    """What a call passes: where (an expression, a register as a rule, or the offset of the parameter's DIE) and
    the expression of the value; `data`: of what a reference or pointer that is passed points at."""

    location: bytes | None
    parameter: int | None
    value: bytes | None
    data: bytes | None


class CallSite(msgspec.Struct, array_like=True, frozen=True):
    """The call whose return address the pc is. origin: offset of the callee's DIE, name its linkage name;
    target: an expression that gives its address."""

    parameters: tuple[CallParameter, ...]
    origin: int | None
    name: str | None
    target: bytes | None


class Place(msgspec.Struct, array_like=True):
    """scopes: innermost inlined function first. low: the function's first address. language: DW_LANG_*.

    bases: base types that expressions name, by their offset in the unit: (encoding, bytes). addresses: those that
    expressions name by their number. identities, names: offsets of the function's DIE and its origins, and its linkage
    names. missing: why there is nothing to tell, in words; passing: for want of a file that may be there another time.
    """

    scopes: tuple[Scope, ...] = ()
    frame_base: bytes | None = None
    low: int = 0
    language: int = 0
    types: list[Type] = []
    call: CallSite | None = None
    bases: dict[int, tuple[int, int]] = {}
    identities: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    addresses: dict[int, int] = {}
    missing: str | None = None
    passing: bool = False
