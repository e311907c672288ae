"""Call frame information: `.eh_frame` with its `.eh_frame_hdr` index, and `.debug_frame`.

Sources: DWARF 5 section 6.4, LSB Core "Exception Frames" (augmentations, pointer encodings, the
header's binary search table). All reads go through a function of (address, size) → bytes or None, so
the same code serves a file's bytes and a dead process's memory. Values little-endian, 64-bit targets.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from parsers.dwarf.leb128 import sleb, uleb
from parsers.errors import ParseError
from parsers.limits import LIMITS

Read = Callable[[int, int], bytes | None]

# How a register of the caller is found; the second member of a row's entry is its argument.
OFFSET, VAL_OFFSET, REGISTER, EXPRESSION, VAL_EXPRESSION, UNDEFINED, SAME = range(7)

RowRule = tuple[int, int | bytes]


class Rule(NamedTuple):
    """How to step from one pc to its caller.

    The CFA is cfa_register + cfa_offset, or the DWARF expression cfa_expression. saved: (register,
    offset from the CFA) of the plain OFFSET rules; others: (register, kind, argument) of the rest.
    return_register is the column of the return address. signal: the frame is a signal trampoline ('S').
    bottom: the return address is undefined, so this is the outermost frame.
    """

    cfa_register: int
    cfa_offset: int
    cfa_expression: bytes | None
    saved: tuple[tuple[int, int], ...]
    others: tuple[tuple[int, int, int | bytes], ...]
    return_register: int
    signal: bool
    bottom: bool


class Cie(NamedTuple):
    """Common information entry."""

    code_alignment: int
    data_alignment: int
    return_register: int
    pointer_encoding: int
    augmented: bool
    signal: bool
    instructions: bytes


class Fde(NamedTuple):
    """Frame description entry for [start, end), addresses as the reader sees them."""

    cie: Cie
    start: int
    end: int
    instructions: bytes
    encoding_base: int


_FIXED = {
    0x00: ("<Q", 8),
    0x02: ("<H", 2),
    0x03: ("<I", 4),
    0x04: ("<Q", 8),
    0x0A: ("<h", 2),
    0x0B: ("<i", 4),
    0x0C: ("<q", 8),
}


def _encoded(data: bytes, position: int, encoding: int, here: int, data_base: int) -> tuple[int, int]:
    """A pointer by its DW_EH_PE encoding. `here`: address of data[0]; data_base: start of .eh_frame_hdr."""
    if encoding == 0xFF:
        return 0, position
    form = encoding & 0x0F
    start = position
    if form == 0x01:
        value, position = uleb(data, position)
    elif form == 0x09:
        value, position = sleb(data, position)
    elif form in _FIXED:
        layout, size = _FIXED[form]
        (value,) = struct.unpack_from(layout, data, position)
        position += size
    else:
        raise ParseError("pointer encoding", position, f"{encoding:#x} is unknown")
    if value:
        base = encoding & 0x70
        if base == 0x10:
            value += here + start
        elif base == 0x30:
            value += data_base
    return value & 0xFFFFFFFFFFFFFFFF, position


class FrameTable:
    """CFI of one module. Faults in it raise ParseError; unreadable pages give None."""

    def __init__(
        self,
        read: Read,
        *,
        header_address: int | None = None,
        header_size: int = 0,
        section_address: int | None = None,
        section_size: int = 0,
        debug_frame: bool = False,
        bias: int = 0,
    ) -> None:
        """Either the `.eh_frame_hdr` at header_address, or a whole section to be indexed by a linear pass.

        debug_frame: the section is `.debug_frame`, whose addresses are link-time ones; bias is added to
        them.
        """
        self._read = read
        self._header = header_address
        self._bias = bias
        self._debug_frame = debug_frame
        self._cies: dict[int, Cie] = {}
        self._starts: memoryview | list[int] | None = None
        self._entries: memoryview | list[int] = []
        self._loaded = False
        self._header_size = header_size
        self._section = section_address
        self._section_size = section_size
        self.work = 0
        """Bytes of CFA programs executed so far."""

    def _load(self) -> None:
        self._loaded = True
        if self._header is not None:
            self._load_header(self._header)
        elif self._section is not None:
            self._load_section(self._section, self._section_size)

    def _load_header(self, address: int) -> None:
        head = self._read(address, 12)
        if head is None or head[0] != 1:
            return
        _, position = _encoded(head + bytes(12), 4, head[1], address, address)
        if head[2] == 0xFF or head[3] != 0x3B or position > 12:
            return
        data = self._read(address, position + 8)
        if data is None:
            return
        count, position = _encoded(data, position, head[2], address, address)
        count = min(count, max(0, self._header_size - position) // 8, LIMITS.symbols)
        table = self._read(address + position, 8 * count) if count else None
        if table is None:
            return
        values = memoryview(table).cast("i")
        self._starts = values[0::2]
        self._entries = values[1::2]

    def _load_section(self, address: int, size: int) -> None:
        rows: list[tuple[int, int]] = []
        position = address
        end = address + size
        while position + 8 <= end and len(rows) < LIMITS.frame_descriptions:
            head = self._read(position, 12)
            if head is None:
                break
            length = int.from_bytes(head[:4], "little")
            wide = length == 0xFFFFFFFF
            if wide:
                long_head = self._read(position, 20)
                if long_head is None:
                    break
                length = int.from_bytes(long_head[4:12], "little")
                identity = int.from_bytes(long_head[12:20], "little")
            else:
                identity = int.from_bytes(head[4:8], "little")
            if length == 0 and not self._debug_frame:
                break
            cie_mark = (0xFFFFFFFFFFFFFFFF if wide else 0xFFFFFFFF) if self._debug_frame else 0
            if identity != cie_mark:
                try:
                    fde = self._fde(position)
                except (ParseError, IndexError, ValueError, struct.error):
                    fde = None
                if fde is not None:
                    rows.append((fde.start, position))
            position += length + (12 if wide else 4)
        rows.sort()
        self._starts = [start for start, _ in rows]
        self._entries = [entry for _, entry in rows]

    def find(self, pc: int) -> Fde | None:
        """The entry that covers pc, or None."""
        if not self._loaded:
            self._load()
        starts = self._starts
        if starts is None or not len(starts):
            return None
        base = self._header or 0
        index = bisect_right(starts, pc - base) - 1
        if index < 0:
            return None
        entry = self._entries[index]
        fde = self._fde(entry + base)
        if fde is None or not fde.start <= pc < fde.end:
            return None
        return fde

    def _record(self, address: int) -> tuple[bytes, int, int] | None:
        """(body after the length, address of the body, width of offsets) of the record at `address`."""
        head = self._read(address, 4)
        if head is None:
            return None
        length = int.from_bytes(head, "little")
        width = 4
        start = address + 4
        if length == 0xFFFFFFFF:
            wide = self._read(address + 4, 8)
            if wide is None:
                return None
            length = int.from_bytes(wide, "little")
            start, width = address + 12, 8
        if length < width or length > LIMITS.cfi_record:
            return None
        body = self._read(start, length)
        return None if body is None else (body, start, width)

    def _fde(self, address: int) -> Fde | None:
        record = self._record(address)
        if record is None:
            return None
        body, start, width = record
        pointer = int.from_bytes(body[:width], "little")
        if self._debug_frame:
            cie_address = (self._section or 0) + pointer
        else:
            if pointer == 0:
                return None
            cie_address = start - pointer
        cie = self._cie(cie_address)
        if cie is None:
            return None
        base = self._header or 0
        begin, position = _encoded(body, width, cie.pointer_encoding, start, base)
        size, position = _encoded(body, position, cie.pointer_encoding & 0x0F, start, base)
        if cie.augmented:
            augmentation, position = uleb(body, position)
            position += augmentation
        if self._debug_frame:
            begin += self._bias
        return Fde(cie, begin, begin + size, body[position:], start + position)

    def _cie(self, address: int) -> Cie | None:
        known = self._cies.get(address)
        if known is not None:
            return known
        record = self._record(address)
        if record is None:
            return None
        body, start, width = record
        mark = int.from_bytes(body[:width], "little")
        if mark != (((1 << 8 * width) - 1) if self._debug_frame else 0):
            return None
        version = body[width]
        end = body.index(0, width + 1)
        augmentation = body[width + 1 : end].decode("latin-1")
        position = end + 1
        if version >= 4 and self._debug_frame:
            position += 2
        code, position = uleb(body, position)
        data, position = sleb(body, position)
        if version == 1:
            return_register = body[position]
            position += 1
        else:
            return_register, position = uleb(body, position)
        encoding = 0
        signal = augmented = False
        if augmentation.startswith("z"):
            augmented = True
            size, position = uleb(body, position)
            after = position + size
            for letter in augmentation[1:]:
                if letter == "R":
                    encoding = body[position]
                    position += 1
                elif letter == "P":
                    _, position = _encoded(body, position + 1, body[position], start, self._header or 0)
                elif letter == "L":
                    position += 1
                elif letter == "S":
                    signal = True
                else:
                    break
            position = after
        elif augmentation:
            return None
        cie = Cie(code, data, return_register, encoding, augmented, signal, body[position:])
        if len(self._cies) < LIMITS.symbols:
            self._cies[address] = cie
        return cie

    def rule(self, pc: int) -> Rule | None:
        """The rule in force at pc. Raises ParseError when the entry is damaged."""
        try:
            fde = self.find(pc)
            if fde is None:
                return None
            self.work += len(fde.instructions) + len(fde.cie.instructions)
            return execute(fde, pc)
        except (IndexError, ValueError, struct.error) as damage:
            raise ParseError("call frame information", pc & 0xFFFFFFFFFFFF, str(damage)) from damage


def execute(fde: Fde, pc: int) -> Rule:
    """Run the CIE's and the FDE's instructions up to pc."""
    cie = fde.cie
    state = _State(cie)
    state.run(cie.instructions, fde.start, None, None)
    initial = dict(state.rules)
    state.run(fde.instructions, fde.start, pc, initial)
    saved = []
    others = []
    bottom = False
    for register, (kind, argument) in state.rules.items():
        if kind == OFFSET:
            saved.append((register, int(argument)))
        elif kind == UNDEFINED and register == cie.return_register:
            bottom = True
        elif kind != SAME:
            others.append((register, kind, argument))
    return Rule(
        state.cfa_register, state.cfa_offset, state.cfa_expression, tuple(saved), tuple(others),
        cie.return_register, cie.signal, bottom,
    )  # fmt: skip


class _State:
    """The row being built (DWARF 5 section 6.4.3)."""

    def __init__(self, cie: Cie) -> None:
        self._cie = cie
        self.cfa_register = 7
        self.cfa_offset = 0
        self.cfa_expression: bytes | None = None
        self.rules: dict[int, RowRule] = {}
        self._stack: list[tuple[int, int, bytes | None, dict[int, RowRule]]] = []

    def _restore(self, register: int, initial: dict[int, RowRule] | None) -> None:
        if initial is not None and register in initial:
            self.rules[register] = initial[register]
        else:
            self.rules.pop(register, None)

    def run(self, program: bytes, location: int, pc: int | None, initial: dict[int, RowRule] | None) -> None:
        """Execute until the location passes pc (never, when pc is None).

        Long: one branch for each instruction, in the innermost loop of unwinding.
        """
        cie = self._cie
        data_alignment = cie.data_alignment
        rules = self.rules
        position, size = 0, len(program)
        steps = 0
        while position < size:
            steps += 1
            if steps > LIMITS.cfa_instructions:
                raise ParseError("CFA program", position, f"has more than {LIMITS.cfa_instructions} instructions")
            opcode = program[position]
            position += 1
            high, low = opcode & 0xC0, opcode & 0x3F
            if high == 0x40:
                location += low * cie.code_alignment
                if pc is not None and location > pc:
                    return
            elif high == 0x80:
                value, position = uleb(program, position)
                rules[low] = (OFFSET, value * data_alignment)
            elif high == 0xC0:
                self._restore(low, initial)
            elif low == 0x00:
                pass  # DW_CFA_nop
            elif low in (0x02, 0x03, 0x04):
                width = 1 << (low - 2)
                delta = int.from_bytes(program[position : position + width], "little")
                position += width
                location += delta * cie.code_alignment
                if pc is not None and location > pc:
                    return
            elif low == 0x01:
                raise ParseError("CFA program", position, "DW_CFA_set_loc is not used by 64-bit Linux compilers")
            elif low == 0x0C:
                self.cfa_register, position = uleb(program, position)
                self.cfa_offset, position = uleb(program, position)
                self.cfa_expression = None
            elif low == 0x0D:
                self.cfa_register, position = uleb(program, position)
                self.cfa_expression = None
            elif low == 0x0E:
                self.cfa_offset, position = uleb(program, position)
            elif low == 0x0F:
                length, position = uleb(program, position)
                self.cfa_expression = program[position : position + length]
                position += length
            elif low == 0x0A:
                if len(self._stack) < LIMITS.cfi_remembered_states:
                    self._stack.append((self.cfa_register, self.cfa_offset, self.cfa_expression, dict(rules)))
            elif low == 0x0B:
                if self._stack:
                    self.cfa_register, self.cfa_offset, self.cfa_expression, stored = self._stack.pop()
                    rules.clear()
                    rules.update(stored)
            elif low in (0x05, 0x14, 0x11, 0x15, 0x2F, 0x12, 0x13):
                position = self._offsets(program, position, low)
            elif low == 0x06:
                register, position = uleb(program, position)
                self._restore(register, initial)
            elif low == 0x07:
                register, position = uleb(program, position)
                rules[register] = (UNDEFINED, 0)
            elif low == 0x08:
                register, position = uleb(program, position)
                rules[register] = (SAME, 0)
            elif low == 0x09:
                register, position = uleb(program, position)
                other, position = uleb(program, position)
                rules[register] = (REGISTER, other)
            elif low in (0x10, 0x16):
                register, position = uleb(program, position)
                length, position = uleb(program, position)
                kind = EXPRESSION if low == 0x10 else VAL_EXPRESSION
                rules[register] = (kind, program[position : position + length])
                position += length
            elif low == 0x2E:
                _, position = uleb(program, position)  # DW_CFA_GNU_args_size
            elif low == 0x2D:
                pass  # AArch64 RA_SIGN_STATE / GNU window save: no effect on where things are
            else:
                raise ParseError("CFA program", position - 1, f"opcode {opcode:#x} is unknown")

    def _offsets(self, program: bytes, position: int, low: int) -> int:
        alignment = self._cie.data_alignment
        if low == 0x13:  # DW_CFA_def_cfa_offset_sf
            value, position = sleb(program, position)
            self.cfa_offset = value * alignment
            return position
        register, position = uleb(program, position)
        if low == 0x12:  # DW_CFA_def_cfa_sf
            value, position = sleb(program, position)
            self.cfa_register, self.cfa_offset, self.cfa_expression = register, value * alignment, None
            return position
        value, position = sleb(program, position) if low in (0x11, 0x15) else uleb(program, position)
        if low == 0x2F:  # DW_CFA_GNU_negative_offset_extended
            value = -value
        self.rules[register] = (VAL_OFFSET if low in (0x14, 0x15) else OFFSET, value * alignment)
        return position


_MASK = 0xFFFFFFFFFFFFFFFF


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def evaluate(
    expression: bytes, registers: list[int | None], word: Callable[[int], int | None], initial: int | None
) -> int | None:
    """A DWARF expression of CFI (DWARF 5 section 2.5) over registers and memory; None if a value is missing.

    `initial` is pushed first (the CFA, for register rules). Raises ParseError for a damaged one. Long: one branch for
    each operation, in the innermost loop of unwinding.
    """
    stack: list[int] = [] if initial is None else [initial]
    position, size, steps = 0, len(expression), 0
    try:
        while position < size:
            steps += 1
            if steps > LIMITS.expression_operations:
                raise ParseError("DWARF expression", position, "does not end")
            opcode = expression[position]
            position += 1
            if 0x70 <= opcode <= 0x8F:  # DW_OP_breg0…31
                offset, position = sleb(expression, position)
                value = registers[opcode - 0x70] if opcode - 0x70 < len(registers) else None
                if value is None:
                    return None
                stack.append((value + offset) & _MASK)
            elif 0x30 <= opcode <= 0x4F:  # DW_OP_lit0…31
                stack.append(opcode - 0x30)
            elif opcode == 0x06:  # DW_OP_deref
                loaded = word(stack.pop())
                if loaded is None:
                    return None
                stack.append(loaded)
            elif opcode in _CONSTANTS:
                layout, width = _CONSTANTS[opcode]
                stack.append(struct.unpack_from(layout, expression, position)[0] & _MASK)
                position += width
            elif opcode == 0x10:
                value_u, position = uleb(expression, position)
                stack.append(value_u & _MASK)
            elif opcode == 0x11:
                value_s, position = sleb(expression, position)
                stack.append(value_s & _MASK)
            elif opcode == 0x12:
                stack.append(stack[-1])
            elif opcode == 0x13:
                stack.pop()
            elif opcode == 0x14:
                stack.append(stack[-2])
            elif opcode == 0x16:
                stack[-1], stack[-2] = stack[-2], stack[-1]
            elif opcode == 0x23:
                addend, position = uleb(expression, position)
                stack[-1] = (stack[-1] + addend) & _MASK
            elif opcode == 0x1F:
                stack[-1] = -stack[-1] & _MASK
            elif opcode in _BINARY:
                right = stack.pop()
                left = stack.pop()
                stack.append(_BINARY[opcode](left, right) & _MASK)
            elif opcode == 0x96:
                pass  # DW_OP_nop
            else:
                raise ParseError("DWARF expression", position - 1, f"operation {opcode:#x} is unknown")
        return stack[-1]
    except (IndexError, struct.error) as damage:
        raise ParseError("DWARF expression", position, str(damage)) from damage


_CONSTANTS = {
    0x08: ("<B", 1), 0x09: ("<b", 1), 0x0A: ("<H", 2), 0x0B: ("<h", 2),
    0x0C: ("<I", 4), 0x0D: ("<i", 4), 0x0E: ("<Q", 8), 0x0F: ("<q", 8), 0x03: ("<Q", 8),
}  # fmt: skip
_BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: lambda left, right: left & right,
    0x1C: lambda left, right: left - right,
    0x1E: lambda left, right: left * right,
    0x21: lambda left, right: left | right,
    0x22: lambda left, right: left + right,
    0x24: lambda left, right: left << right if right < 64 else 0,
    0x25: lambda left, right: left >> right if right < 64 else 0,
    0x26: lambda left, right: _signed(left) >> min(right, 63),
    0x27: lambda left, right: left ^ right,
    0x29: lambda left, right: int(left == right),
    0x2A: lambda left, right: int(_signed(left) >= _signed(right)),
    0x2B: lambda left, right: int(_signed(left) > _signed(right)),
    0x2C: lambda left, right: int(_signed(left) <= _signed(right)),
    0x2D: lambda left, right: int(_signed(left) < _signed(right)),
    0x2E: lambda left, right: int(left != right),
}
