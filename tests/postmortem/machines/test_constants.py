"""Constants that the code loads before a call."""

from __future__ import annotations

import pytest

from postmortem.machines.x86_64.constants import constants_at_call, loaded_from, loaded_once
from postmortem.program.memory import AddressSpace, Piece

START = 0x401000
CALL = "e800000000"
LEA_RDI = "488d3d10000000"  # lea rdi, [rip + 16]
MOV_ESI = "be2a000000"  # mov esi, 42


def _constants(code: str, start: int | None = START, tail: str = "") -> dict[str, int]:
    raw = bytes.fromhex(code)
    text = raw + bytes.fromhex(tail).ljust(32, b"\x90")
    space = AddressSpace([Piece(START, START + len(text), text, 0)])
    return constants_at_call(space, START + len(raw), start)


def test_addresses_and_numbers() -> None:
    found = _constants(LEA_RDI + MOV_ESI + "31d2" + CALL)
    assert found == {"rdi": START + 7 + 16, "rsi": 42, "rdx": 0}


def test_without_the_start_of_the_function() -> None:
    assert _constants(LEA_RDI + MOV_ESI + CALL, start=None)["rsi"] == 42


@pytest.mark.parametrize(
    "between",
    [
        "89c6",  # mov esi, eax
        CALL,  # a call may change it
        "8b7710",  # mov esi, [rdi + 16]
        "4601f6"[2:],  # add esi, esi
    ],
)
def test_what_is_overwritten_is_forgotten(between: str) -> None:
    assert "rsi" not in _constants(MOV_ESI + between + CALL)


def test_what_survives_a_call_is_kept() -> None:
    assert _constants("bb07000000" + CALL + MOV_ESI + CALL) == {"rbx": 7, "rsi": 42}


def test_a_register_is_followed_through_a_move() -> None:
    assert _constants("bb07000000" + CALL + "4889df" + CALL)["rdi"] == 7


def test_another_way_to_the_call_makes_it_unknown() -> None:
    # je to the call itself: rsi holds what the other way left in it.
    assert "rsi" not in _constants("85c0" + "7405" + MOV_ESI + CALL)


def test_the_call_must_end_there() -> None:
    assert _constants(MOV_ESI + "90") == {}


DATA = 0x500000


def _source(code: str, register: str = "rax") -> int | None:
    raw = bytes.fromhex(code)
    words = b"".join(value.to_bytes(8, "little") for value in (DATA + 16, 0, 0, 0))
    space = AddressSpace([Piece(START, START + len(raw), raw, 0), Piece(DATA, DATA + len(words), words, 0)])
    return loaded_from(space, START + len(raw), START, register)


def _load(at: int) -> str:
    """mov rax, [rip + …] as the first instruction, of the word at `at`."""
    return "488b05" + (at - START - 7).to_bytes(4, "little").hex()


def test_a_pointer_is_followed_to_its_variable() -> None:
    assert _source(_load(DATA + 8)) == DATA + 8
    assert _source(_load(DATA) + "488b4008") == DATA + 24  # by the global offset table: mov rax, [rax + 8]


@pytest.mark.parametrize("behind", ["4889c8", CALL, "31c0"])
def test_what_was_overwritten_has_no_variable(behind: str) -> None:
    assert _source(_load(DATA + 8) + behind) is None


def _once(before: str, behind: str, register: str = "rbx") -> int | None:
    """loaded_once of code with `mov rbx, [rip + …]` in it, of the word at DATA."""
    first = bytes.fromhex(before)
    load = bytes.fromhex("488b1d") + (DATA - START - len(first) - 7).to_bytes(4, "little")
    raw = first + load + bytes.fromhex(behind)
    space = AddressSpace([Piece(START, START + len(raw), raw, 0), Piece(DATA, DATA + 8, bytes(8), 0)])
    return loaded_once(space, START + len(raw), START, register)


def test_a_register_that_is_written_once_has_its_variable_on_every_way() -> None:
    labels = "85c0" + "7402" + "31c0" + CALL  # test eax, eax; je over xor; a call keeps rbx
    assert _once("53", labels) == DATA  # push rbx first
    assert _once("53", labels + "5b" + "c3" + "31c0") == DATA  # pop rbx; ret: an early way out


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("85c0" + "7409", "31c0" + "31c0"),  # je over the load
        ("85c0" + "7509" + "31db", "31c0" + "31c0"),  # and another value there
        ("", "31db"),  # written again
        ("", "4889c3"),
        ("31db", ""),
    ],
)
def test_a_register_with_two_values_has_no_variable(before: str, behind: str) -> None:
    assert _once(before, behind) is None


def test_what_calls_change_is_not_followed_past_labels() -> None:
    assert _once("", "31c9", "rax") is None
