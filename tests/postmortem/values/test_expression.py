"""Location expressions: what lies where, what is not there and why."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmortem.machines.x86_64.machine import MACHINE
from postmortem.values.description import CallParameter, Member, Type
from postmortem.values.expression import Frame, Piece, Unavailable, evaluate, gather, gather_parts, passed, value_of
from postmortem.values.text import Printer

MEMORY = {0x1000 + at: byte for at, byte in enumerate(struct.pack("<QQQ", 0x1008, 7, 0xFFFFFFFFFFFFFFFE))}


def read(address: int, size: int) -> bytes | None:
    data = [MEMORY.get(address + at) for at in range(size)]
    return None if None in data else bytes(byte for byte in data if byte is not None)


def frame(**registers: int) -> Frame:
    values: list[int | None] = [None] * 17
    for name, value in registers.items():
        values[int(name[1:])] = value
    return Frame(registers=values, read=read, cfa=0x1010, bias=0x10000, frame_base=b"\x9c", names=MACHINE.names)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (b"\x03" + struct.pack("<Q", 0x4010), 0x14010),  # DW_OP_addr
        (b"\x91\x78", 0x1008),  # DW_OP_fbreg -8
        (b"\x76\x08", 0x1008),  # DW_OP_breg6 8
        (b"\x76\x00\x06", 0x1008),  # DW_OP_breg6 0, DW_OP_deref
        (b"\x35\x33\x1c", 2),  # 5 - 3
        (b"\x31\x28\x01\x00\x34\x32", 2),  # DW_OP_bra over DW_OP_lit4
        (b"\x38\x33\x1b", 2),  # 8 / 3, towards zero
        (b"\x09\xf8\x33\x1b", 0xFFFFFFFFFFFFFFFE),  # -8 / 3
        (b"\x31\x32\x33\x17", 2),  # DW_OP_rot
    ],
)
def test_addresses(code: bytes, expected: int) -> None:
    assert evaluate(code, frame(r6=0x1000)) == [Piece("memory", expected)]


def test_what_a_stack_value_and_a_register_hold() -> None:
    assert gather(evaluate(b"\x35\x9f", frame()), 4, frame()) == b"\5\0\0\0"
    assert gather(evaluate(b"\x53", frame(r3=0x1122334455667788)), 2, frame(r3=0x1122334455667788)) == b"\x88\x77"


def test_pieces_of_registers_and_memory() -> None:
    where = frame(r3=0xAABBCCDD, r6=0x1000)
    pieces = evaluate(b"\x53\x93\x04\x76\x08\x93\x04", where)
    assert gather(pieces, 8, where) == b"\xdd\xcc\xbb\xaa\7\0\0\0"


def test_a_piece_that_is_not_there_is_optimized_out() -> None:
    pieces = evaluate(b"\x53\x93\x04\x93\x04", frame(r3=1))
    with pytest.raises(Unavailable, match="optimized out"):
        gather(pieces, 8, frame(r3=1))


def test_a_register_that_is_not_known_is_never_guessed() -> None:
    with pytest.raises(Unavailable, match="register rdi is not known"):
        gather(evaluate(b"\x55", frame()), 4, frame())


def test_a_page_that_is_not_in_the_core_is_said_to_be() -> None:
    with pytest.raises(Unavailable, match="page not in the core"):
        gather(evaluate(b"\x03" + bytes(8), frame()), 4, frame())


def test_entry_values_come_from_the_caller() -> None:
    where = frame()
    values: dict[tuple[int | None, int | None, bool], int] = {(5, None, False): 9, (5, None, True): 11}
    where.entry = lambda register, parameter, dereferenced: values[register, parameter, dereferenced]
    assert value_of(b"\xa3\x01\x55\x9f", where) == 9
    assert value_of(b"\xf3\x03\x75\x00\x06\x9f", where) == 11
    with pytest.raises(Unavailable, match="optimized out"):
        value_of(b"\xa3\x01\x55\x9f", frame())


def test_which_parameter_a_call_passes_in_a_register() -> None:
    parameters = (CallParameter(b"\x54", None, b"\x31", None), CallParameter(None, 0x20, b"\x32", None))
    assert passed(parameters, 4, None) is parameters[0]
    assert passed(parameters, None, 0x20) is parameters[1]
    assert passed(parameters, 5, None) is None


def test_typed_operations() -> None:
    where = frame(r3=0xFFFFFFFF)
    where.bases = {0x30: (5, 4), 0x31: (7, 4)}
    assert value_of(b"\xa5\x03\x30\xa8\x00\x9f", where) == 0xFFFFFFFFFFFFFFFF  # int -1 as the generic type
    assert value_of(b"\xa5\x03\x31\xa8\x00\x9f", where) == 0xFFFFFFFF


@given(st.binary(max_size=64))
def test_any_bytes_give_pieces_or_a_reason(code: bytes) -> None:
    where = frame(r3=1, r6=0x1000)
    try:
        gather(evaluate(code, where), 8, where)
    except Unavailable as reason:
        assert reason.reason


@pytest.mark.parametrize("code", [b"\x2f\xfd\xff", b"\x9c" * 2000, b"\x91" + b"\x80" * 20])
def test_hostile_expressions_end(code: bytes) -> None:
    with pytest.raises(Unavailable, match="damaged"):
        evaluate(code, frame())


POINTS = [
    Type("base", "int", 4, 0x05),
    Type("struct", "pt", 8, members=(Member("x", 0, 0), Member("y", 0, 4))),
    Type("struct", "box", 24, members=(Member("a", 1, 0), Member("b", 1, 8), Member("id", 0, 16), Member("f", 0, 20))),
    Type("struct", "std::pair<int, int>", 8, members=(Member("first", 0, 0), Member("second", 0, 4))),
    Type("struct", "bits", 4, members=(Member("low", 0, None, (3, 0)), Member("high", 0, None, (8, 16)))),
]


def in_parts(code: bytes, index: int, **registers: int) -> str:
    where = frame(**registers)
    data, holes = gather_parts(evaluate(code, where), POINTS[index].size or 0, where)
    assert holes
    return Printer(POINTS, read, 0x0C).parts(index, data, holes).text


def test_the_members_that_lie_in_pieces_that_are_there_are_shown() -> None:
    # 8 bytes not there, 4 in a register, 4 not there, 5, and the first word of memory
    code = b"\x93\x08\x53\x93\x04\x93\x04\x35\x9f\x93\x04\x76\x08\x93\x04"
    expected = "{a = <optimized out>, b = <optimized out in part>, id = 5, f = 7}"
    assert in_parts(code, 2, r3=9, r6=0x1000) == expected


def test_a_member_whose_register_is_not_known_says_so() -> None:
    assert in_parts(b"\x55\x93\x04\x53\x93\x04", 1, r3=9) == ("{x = <register rdi is not known in this frame>, y = 9}")


def test_bit_fields_in_parts() -> None:
    assert in_parts(b"\x93\x02\x33\x9f\x93\x02", 4) == "{low = <optimized out>, high = 3}"


@pytest.mark.parametrize("index", [0, 3])
def test_what_means_nothing_in_parts_is_not_shown(index: int) -> None:
    with pytest.raises(Unavailable, match="optimized out in part"):
        in_parts(b"\x93\x02\x33\x9f\x93\x06", index)


def test_of_pieces_of_which_none_is_there_nothing_is() -> None:
    with pytest.raises(Unavailable, match=r"^optimized out$"):
        gather_parts(evaluate(b"\x93\x04\x93\x04", frame()), 8, frame())
