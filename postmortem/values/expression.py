"""DWARF location expressions (DWARF 5 sections 2.5 and 2.6, and the GNU forerunners of their DWARF 4 days).

The result says where a value lies or what it is, in pieces. What can't be had raises Unavailable with its reason.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.values.description import CallParameter

OPTIMIZED_OUT = "optimized out"
_MASK = 0xFFFFFFFFFFFFFFFF
_CONSTANTS = {
    0x08: ("<B", 1), 0x09: ("<b", 1), 0x0A: ("<H", 2), 0x0B: ("<h", 2),
    0x0C: ("<I", 4), 0x0D: ("<i", 4), 0x0E: ("<Q", 8), 0x0F: ("<q", 8),
}  # fmt: skip
_ADDRESSES = (0xA1, 0xA2, 0xFB, 0xFC)
"""DW_OP_addrx, DW_OP_constx and their GNU forerunners."""
_ATE_FLOAT, _ATE_SIGNED, _ATE_SIGNED_CHAR = 4, 5, 6


class Unavailable(Exception):
    """A value that can't be had; the argument says why."""

    @property
    def reason(self) -> str:
        """Why, in words."""
        return str(self.args[0])


class Piece(NamedTuple):
    """A part of a value. memory: at address `value`; register: in register `value`; value: the bytes of it;
    none: not there. bits: its size, None for all of the rest; offset: where in the place it begins, in bits."""

    kind: Literal["memory", "register", "value", "none"]
    value: int | bytes
    bits: int | None = None
    offset: int = 0


class Hole(NamedTuple):
    """A part of a value that is not there, in bits, and why."""

    start: int
    end: int
    reason: str


class Number(NamedTuple):
    """An entry of the stack. base: (encoding, bytes) of a typed one, None for the generic type."""

    value: int
    base: tuple[int, int] | None = None


@dataclass(slots=True)
class Frame:
    """What an expression is evaluated against.

    registers: by DWARF number, None where not known in this frame. bias: from link-time addresses to memory. addresses:
    link-time ones, by the number that expressions name one with. tls: the address of an offset in the module's TLS
    block. entry: the value that a register or a parameter's DIE had when the function was called, by its caller. names:
    of the registers.
    """

    registers: list[int | None]
    read: Callable[[int, int], bytes | None]
    cfa: int | None = None
    bias: int = 0
    frame_base: bytes | None = None
    bases: dict[int, tuple[int, int]] = field(default_factory=dict)
    addresses: dict[int, int] = field(default_factory=dict)
    tls: Callable[[int], int | None] | None = None
    entry: Callable[[int | None, int | None, bool], int] | None = None
    names: Sequence[str] = ()
    depth: int = 0

    def named(self, number: int) -> str:
        """The name of a register, as far as the machine has one for its number."""
        return self.names[number] if number < len(self.names) else f"#{number}"

    def register(self, number: int) -> int:
        """A register's value. Raises Unavailable."""
        value = self.registers[number] if number < len(self.registers) else None
        if value is None:
            raise Unavailable(f"register {self.named(number)} is not known in this frame")
        return value

    def memory(self, address: int, size: int) -> bytes:
        """Memory of the process. Raises Unavailable."""
        data = self.read(address & _MASK, size)
        if data is None:
            raise Unavailable(f"page not in the core ({address & _MASK:#x})")
        return data

    def base(self) -> int:
        """DW_AT_frame_base as an address. Raises Unavailable."""
        if self.frame_base is None:
            raise Unavailable("the function has no frame base")
        if self.depth > 4:
            raise Unavailable("the frame base refers to itself")
        self.depth += 1
        try:
            (piece, *rest) = evaluate(self.frame_base, self)
        finally:
            self.depth -= 1
        if rest or not isinstance(piece.value, int):
            raise Unavailable("the frame base is no address")
        # A frame base that is a register means what the register holds (DWARF 5 section 3.3.5).
        return self.register(piece.value) if piece.kind == "register" else piece.value


def uleb(data: bytes, position: int) -> tuple[int, int]:
    """(unsigned LEB128, position after it). Raises IndexError at the end of the data."""
    result = shift = 0
    while shift < 70:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
    raise Unavailable("damaged expression: a number does not end")


def sleb(data: bytes, position: int) -> tuple[int, int]:
    """(signed LEB128, position after it)."""
    value, after = uleb(data, position)
    bits = 7 * (after - position)
    return (value - (1 << bits) if value >> (bits - 1) & 1 else value), after


def _signed(value: int, size: int = 8) -> int:
    bits = 8 * size
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def evaluate(expression: bytes, frame: Frame) -> list[Piece]:
    """Where the value lies. Raises Unavailable."""
    try:
        return _Machine(expression, frame).run()
    except (IndexError, struct.error, OverflowError) as damage:
        raise Unavailable(f"damaged expression: {damage}") from damage


def value_of(expression: bytes, frame: Frame) -> int:
    """The number that an expression leaves on the stack (call values and targets). Raises Unavailable."""
    try:
        machine = _Machine(expression, frame)
        pieces = machine.run()
    except (IndexError, struct.error, OverflowError) as damage:
        raise Unavailable(f"damaged expression: {damage}") from damage
    if len(pieces) != 1:
        raise Unavailable(OPTIMIZED_OUT)
    piece = pieces[0]
    if piece.kind == "memory" and isinstance(piece.value, int):
        return piece.value
    if piece.kind == "register" and isinstance(piece.value, int):
        return frame.register(piece.value)
    if piece.kind == "value" and isinstance(piece.value, bytes):
        return int.from_bytes(piece.value[:8], "little")
    raise Unavailable(OPTIMIZED_OUT)


class _Machine:
    """One evaluation."""

    def __init__(self, expression: bytes, frame: Frame) -> None:
        self._code = expression
        self._frame = frame
        self._at = 0
        self._stack: list[Number] = []
        self._pieces: list[Piece] = []
        self._place: Piece | None = None
        """A register or implicit value that the next DW_OP_piece or the end takes."""

    def _uleb(self) -> int:
        value, self._at = uleb(self._code, self._at)
        return value

    def _sleb(self) -> int:
        value, self._at = sleb(self._code, self._at)
        return value

    def _fixed(self, size: int) -> int:
        data = self._code[self._at : self._at + size]
        if len(data) < size:
            raise IndexError("it ends within an operand")
        self._at += size
        return int.from_bytes(data, "little")

    def _block(self, size: int) -> bytes:
        data = self._code[self._at : self._at + size]
        if len(data) < size:
            raise IndexError("it ends within a block")
        self._at += size
        return data

    def _push(self, value: int, base: tuple[int, int] | None = None) -> None:
        if len(self._stack) >= LIMITS.expression_operations:
            raise Unavailable("damaged expression: its stack does not end")
        self._stack.append(Number(value & _MASK, base))

    def run(self) -> list[Piece]:
        """Execute to the end."""
        steps = 0
        code = self._code
        while self._at < len(code):
            steps += 1
            if steps > LIMITS.expression_operations:
                raise Unavailable("damaged expression: it does not end")
            opcode = code[self._at]
            self._at += 1
            self._step(opcode)
        if self._pieces:
            return self._pieces
        if self._place is not None:
            return [self._place]
        if not self._stack:
            return [Piece("none", 0)]
        return [Piece("memory", self._stack[-1].value)]

    def _step(self, opcode: int) -> None:
        frame, stack = self._frame, self._stack
        if 0x70 <= opcode <= 0x8F:  # DW_OP_breg
            offset = self._sleb()
            self._push(frame.register(opcode - 0x70) + offset)
        elif opcode == 0x91:  # DW_OP_fbreg
            offset = self._sleb()
            self._push(frame.base() + offset)
        elif 0x50 <= opcode <= 0x6F:  # DW_OP_reg
            self._place = Piece("register", opcode - 0x50)
        elif 0x30 <= opcode <= 0x4F:
            self._push(opcode - 0x30)
        elif opcode == 0x03:  # DW_OP_addr
            self._push(self._fixed(8) + frame.bias)
        elif opcode in _ADDRESSES:
            address = frame.addresses.get(self._uleb())
            if address is None:
                raise Unavailable("the address that the expression names is not in .debug_addr")
            self._push(address + (frame.bias if opcode in (0xA1, 0xFB) else 0))
        elif opcode in _CONSTANTS:
            layout, size = _CONSTANTS[opcode]
            self._push(struct.unpack_from(layout, self._code, self._at)[0])
            self._at += size
        elif opcode == 0x9F:  # DW_OP_stack_value
            top = stack.pop()
            size = 8 if top.base is None else top.base[1]
            self._place = Piece("value", (top.value & _MASK).to_bytes(8, "little")[:size])
        elif opcode == 0x9C:  # DW_OP_call_frame_cfa
            if frame.cfa is None:
                raise Unavailable("the canonical frame address is not known")
            self._push(frame.cfa)
        elif opcode in (0x93, 0x9D):  # DW_OP_piece, DW_OP_bit_piece
            self._piece(opcode)
        elif opcode in (0xA3, 0xF3):  # DW_OP_entry_value and its GNU forerunner
            self._entry_value(self._block(self._uleb()))
        elif opcode == 0x9E:  # DW_OP_implicit_value
            self._place = Piece("value", self._block(self._uleb()))
        elif opcode in (0xA0, 0xF2):  # DW_OP_implicit_pointer
            raise Unavailable("optimized out: the pointer does not exist, only what it would point at")
        elif opcode in (0x9B, 0xE0):  # DW_OP_form_tls_address, DW_OP_GNU_push_tls_address
            address = None if frame.tls is None else frame.tls(stack.pop().value)
            if address is None:
                raise Unavailable("the thread's TLS block is not known")
            self._push(address)
        elif opcode == 0x92:  # DW_OP_bregx
            number = self._uleb()
            self._push(frame.register(number) + self._sleb())
        elif opcode == 0x90:  # DW_OP_regx
            self._place = Piece("register", self._uleb())
        elif opcode == 0xFA:  # DW_OP_GNU_parameter_ref
            self._push(self._entry(None, self._fixed(4), False))
        elif opcode in _TYPED:
            self._typed(opcode)
        else:
            self._arithmetic(opcode)

    def _piece(self, opcode: int) -> None:
        size = self._uleb()
        bits, offset = (size * 8, 0) if opcode == 0x93 else (size, self._uleb())
        if len(self._pieces) >= LIMITS.expression_operations or bits > 8 << 20:
            raise Unavailable("damaged expression: too many pieces")
        if self._place is not None:
            piece = self._place._replace(bits=bits, offset=offset)
        elif self._stack:
            piece = Piece("memory", self._stack.pop().value, bits, offset)
        else:
            piece = Piece("none", 0, bits)
        self._pieces.append(piece)
        self._place = None

    def _entry(self, register: int | None, parameter: int | None, dereferenced: bool) -> int:
        if self._frame.entry is None:
            raise Unavailable(OPTIMIZED_OUT)
        return self._frame.entry(register, parameter, dereferenced)

    def _entry_value(self, inner: bytes) -> None:
        if not inner:
            raise Unavailable("damaged expression: an empty entry value")
        if 0x50 <= inner[0] <= 0x6F and len(inner) == 1:
            self._push(self._entry(inner[0] - 0x50, None, False))
        elif inner[0] == 0xA5 or inner[0] == 0xF5:  # DW_OP_regval_type
            number, _ = uleb(inner, 1)
            self._push(self._entry(number, None, False))
        elif 0x70 <= inner[0] <= 0x8F and len(inner) >= 3 and inner[-1] == 0x06:
            offset, after = sleb(inner, 1)
            if offset or after != len(inner) - 1:
                raise Unavailable(OPTIMIZED_OUT)
            self._push(self._entry(inner[0] - 0x70, None, True))
        else:
            raise Unavailable(OPTIMIZED_OUT)

    def _base_type(self, offset: int) -> tuple[int, int] | None:
        if offset == 0:
            return None
        base = self._frame.bases.get(offset)
        if base is None or not 0 < base[1] <= 8 or base[0] == _ATE_FLOAT:
            raise Unavailable("the expression computes with a type that is not supported here")
        return base

    def _typed(self, opcode: int) -> None:
        if opcode in (0xA4, 0xF4):  # DW_OP_const_type
            base = self._base_type(self._uleb())
            size = self._fixed(1)
            self._push(_extended(int.from_bytes(self._block(size), "little"), base), base)
        elif opcode in (0xA5, 0xF5):  # DW_OP_regval_type
            number = self._uleb()
            base = self._base_type(self._uleb())
            self._push(_extended(self._frame.register(number), base), base)
        elif opcode in (0xA6, 0xF6):  # DW_OP_deref_type
            size = self._fixed(1)
            base = self._base_type(self._uleb())
            data = self._frame.memory(self._stack.pop().value, min(size, 8))
            self._push(_extended(int.from_bytes(data, "little"), base), base)
        else:  # DW_OP_convert, DW_OP_reinterpret
            base = self._base_type(self._uleb())
            self._push(_extended(self._stack.pop().value, base), base)

    def _arithmetic(self, opcode: int) -> None:
        stack = self._stack
        if opcode == 0x06:
            self._push(int.from_bytes(self._frame.memory(stack.pop().value, 8), "little"))
        elif opcode == 0x94:
            size = min(self._fixed(1), 8)
            self._push(int.from_bytes(self._frame.memory(stack.pop().value, size), "little"))
        elif opcode == 0x10:
            self._push(self._uleb())
        elif opcode == 0x11:
            self._push(self._sleb())
        elif opcode == 0x12:
            stack.append(stack[-1])
        elif opcode == 0x13:
            stack.pop()
        elif opcode == 0x14:
            stack.append(stack[-2])
        elif opcode == 0x15:
            stack.append(stack[-1 - self._fixed(1)])
        elif opcode == 0x16:
            stack[-1], stack[-2] = stack[-2], stack[-1]
        elif opcode == 0x17:
            stack[-3:] = [stack[-1], stack[-3], stack[-2]]
        elif opcode == 0x23:
            top = stack.pop()
            self._push(_extended(top.value + self._uleb(), top.base), top.base)
        elif opcode == 0x1F:
            top = stack.pop()
            self._push(_extended(-top.value, top.base), top.base)
        elif opcode == 0x20:
            top = stack.pop()
            self._push(_extended(~top.value, top.base), top.base)
        elif opcode == 0x19:
            top = stack.pop()
            self._push(abs(_signed(top.value)), top.base)
        elif opcode in _BINARY:
            right, left = stack.pop(), stack.pop()
            self._push(_extended(_binary(opcode, left, right), left.base), left.base)
        elif opcode in _COMPARISONS:
            right, left = stack.pop(), stack.pop()
            # Typed unsigned operands compare as what they are, the generic type as signed.
            unsigned = left.base is not None and left.base[0] not in (_ATE_SIGNED, _ATE_SIGNED_CHAR)
            one, other = (left.value, right.value) if unsigned else (_signed(left.value), _signed(right.value))
            self._push(int(_COMPARISONS[opcode](one, other)))
        elif opcode in (0x28, 0x2F):  # DW_OP_bra, DW_OP_skip
            distance = _signed(self._fixed(2), 2)
            if opcode == 0x2F or stack.pop().value:
                self._at += distance
                if self._at < 0:
                    raise IndexError("it jumps before its start")
        elif opcode == 0x96:
            pass
        elif opcode == 0xF0:
            raise Unavailable("the variable is not initialized yet")
        else:
            raise Unavailable(f"operation {opcode:#x} of the expression is not supported")


def _extended(value: int, base: tuple[int, int] | None) -> int:
    """A value of a base type, sign- or zero-extended to 64 bits."""
    if base is None:
        return value & _MASK
    if base[0] in (_ATE_SIGNED, _ATE_SIGNED_CHAR):
        return _signed(value, base[1]) & _MASK
    return value & ((1 << 8 * base[1]) - 1)


def _binary(opcode: int, left: Number, right: Number) -> int:
    a, b = left.value, right.value
    if opcode in (0x1B, 0x1D) and b == 0:
        raise Unavailable("the expression divides by zero")
    if opcode == 0x1B:
        one, other = (a, b) if left.base is not None and left.base[0] not in (5, 6) else (_signed(a), _signed(b))
        quotient = abs(one) // abs(other)
        return quotient if (one < 0) == (other < 0) else -quotient
    return _BINARY[opcode](a, b)


_TYPED = frozenset((0xA4, 0xA5, 0xA6, 0xA8, 0xA9, 0xF4, 0xF5, 0xF6, 0xF7, 0xF9))
_BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: lambda left, right: left & right,
    0x1B: lambda left, right: left // right,
    0x1C: lambda left, right: left - right,
    0x1D: lambda left, right: left % right,
    0x1E: lambda left, right: left * right,
    0x21: lambda left, right: left | right,
    0x22: lambda left, right: left + right,
    0x24: lambda left, right: left << right if right < 64 else 0,
    0x25: lambda left, right: left >> right if right < 64 else 0,
    0x26: lambda left, right: _signed(left) >> min(right, 63),
    0x27: lambda left, right: left ^ right,
}
_COMPARISONS: dict[int, Callable[[int, int], bool]] = {
    0x29: lambda left, right: left == right,
    0x2A: lambda left, right: left >= right,
    0x2B: lambda left, right: left > right,
    0x2C: lambda left, right: left <= right,
    0x2D: lambda left, right: left < right,
    0x2E: lambda left, right: left != right,
}


def gather(pieces: list[Piece], size: int, frame: Frame) -> bytes:
    """The `size` bytes that pieces make up. Raises Unavailable when one of them is not there."""
    data, holes = gather_parts(pieces, size, frame)
    if holes:
        raise Unavailable(holes[0].reason if len(pieces) == 1 else f"{OPTIMIZED_OUT} in part")
    return data


def gather_parts(pieces: list[Piece], size: int, frame: Frame) -> tuple[bytes, list[Hole]]:
    """The `size` bytes that pieces make up, and the parts of them that are not there, which hold zeros.

    Raises Unavailable when no piece is there.
    """
    if len(pieces) == 1 and pieces[0].bits is None:
        return _whole(pieces[0], size, frame), []
    value = position = 0
    holes: list[Hole] = []
    for piece in pieces:
        bits = piece.bits or 0
        if position >= 8 * size:
            break
        length = (piece.offset + bits + 7) // 8
        try:
            data = int.from_bytes(_whole(piece, length, frame), "little") >> piece.offset & ((1 << bits) - 1)
        except Unavailable as missing:
            holes.append(Hole(position, position + bits, missing.reason))
        else:
            value |= data << position
        position += bits
    if position < 8 * size:
        holes.append(Hole(position, 8 * size, OPTIMIZED_OUT))
    if holes and sum(hole.end - hole.start for hole in holes) >= max(position, 8 * size):
        raise Unavailable(holes[0].reason)
    return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little"), holes


def _whole(piece: Piece, size: int, frame: Frame) -> bytes:
    if piece.kind == "none":
        raise Unavailable(OPTIMIZED_OUT)
    if piece.kind == "value":
        data = piece.value if isinstance(piece.value, bytes) else b""
        if len(data) < size:
            # A number on the stack stands for the low bytes of a wider variable only when it was extended.
            raise Unavailable("optimized out in part")
        return data[:size]
    place = piece.value if isinstance(piece.value, int) else 0
    if piece.kind == "memory":
        return frame.memory(place, size)
    if size > 8:
        raise Unavailable(f"more than register {frame.named(place)} holds")
    return frame.register(place).to_bytes(8, "little")[:size]


def passed(parameters: tuple[CallParameter, ...], register: int | None, parameter: int | None) -> CallParameter | None:
    """What a call passes in a register, or for a parameter's DIE."""
    for entry in parameters:
        if register is not None and entry.location is not None:
            wanted = bytes([0x50 + register]) if register < 32 else None
            if entry.location == wanted or (entry.location[:1] == b"\x90" and uleb(entry.location, 1)[0] == register):
                return entry
        if parameter is not None and entry.parameter == parameter:
            return entry
    return None
