"""Values in words, in the form that gdb prints them: 5, 0x0, 97 'a', {a = 1, b = {...}}, std::vector of length 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.values import floats
from postmortem.values.description import Type
from postmortem.values.expression import OPTIMIZED_OUT, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.values.description import Member
    from postmortem.values.expression import Hole

Read = "Callable[[int, int], bytes | None]"
_VOID = Type("void", "void")
_UNKNOWN = Type("unknown", "?")
_C = frozenset((0x01, 0x02, 0x0C, 0x1D, 0x2C))
_GO, _RUST = 0x16, 0x1C
_CHARS = (0x06, 0x08, 0x10)
"""DW_ATE_signed_char, DW_ATE_unsigned_char, DW_ATE_UTF."""
_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\033", 92: "\\\\"}
_REPEATS = 10
"""Equal characters in a row that are still written one by one (gdb's "print repeats")."""
_MASK = 0xFFFFFFFFFFFFFFFF


class Shown(NamedTuple):
    """A value in words. value: of a scalar or a string, as a program would take it; points_to: what a pointer's
    target holds."""

    text: str
    value: str | None = None
    points_to: str | None = None


class Printer:
    """Prints values of one place's types. Raises Unavailable where memory is not there."""

    def __init__(
        self,
        types: Sequence[Type],
        read: Callable[[int, int], bytes | None],
        language: int = 0,
        symbol: Callable[[int], str | None] | None = None,
        count: Callable[[bytes], int] | None = None,
    ) -> None:
        """symbol: names a function's address. count: evaluates an array's length."""
        self._types = types
        self._read = read
        self._language = language
        self._symbol = symbol
        self._count = count
        self._budget = LIMITS.value_parts
        self.is_go = language == _GO

    # ------------------------------------------------------------------------------------- types

    def at(self, index: int) -> Type:
        """The type of an index; void for none."""
        if 0 <= index < len(self._types):
            return self._types[index]
        return _VOID if index == -1 else _UNKNOWN

    def plain(self, index: int) -> tuple[Type, int]:
        """The type without typedefs and qualifiers, and its index."""
        for _ in range(LIMITS.die_scopes):
            found = self.at(index)
            if found.kind not in ("typedef", "qualifier"):
                return found, index
            index = found.target
        return _UNKNOWN, index

    def name(self, index: int) -> str:
        """The type as the language writes it."""
        return self._declared(index, "", 0).strip()[: LIMITS.type_name]

    def _declared(self, index: int, inner: str, depth: int) -> str:
        found = self.at(index)
        if depth > LIMITS.die_scopes or len(inner) > LIMITS.type_name:
            return f"... {inner}"
        if found.kind == "pointer" or found.kind == "reference":
            if self._language == _RUST and found.name:
                return f"{found.name}{inner}"
            mark = "*" if found.kind == "pointer" else found.name or "&"
            target = self.at(found.target)
            text = f"({mark}{inner})" if target.kind in ("array", "function") else f"{mark}{inner}"
            return self._declared(found.target, text, depth + 1)
        if found.kind == "array":
            marks = "".join(f"[{count if isinstance(count, int) else ''}]" for count in found.counts or (None,))
            if self._language == _RUST:
                return f"[{self._declared(found.target, '', depth + 1).strip()}; {marks.strip('[]')}]{inner}"
            return self._declared(found.target, f"{inner} {marks}" if not inner else f"{inner}{marks}", depth + 1)
        if found.kind == "function":
            arguments = ", ".join(self._declared(target, "", depth + 1).strip() for _, target in found.parameters)
            return self._declared(found.target, f"{inner}({arguments or 'void'})", depth + 1)
        if found.kind == "qualifier":
            if self.at(found.target).kind == "array":
                return self._declared(found.target, inner, depth + 1)
            if self.at(found.target).kind == "pointer":
                return self._declared(found.target, f" {found.name}{inner}", depth + 1)
            return f"{found.name} {self._declared(found.target, inner, depth + 1)}"
        if found.kind == "member-pointer":
            return self._declared(found.target, f"::*{inner}", depth + 1)
        name = found.name or "{...}"
        if self._language in _C and found.kind in ("struct", "union", "enum"):
            name = f"{found.kind} {name}"
        if found.kind == "void":
            name = found.name or "void"
        return f"{name} {inner}" if inner and not inner.startswith(" ") else f"{name}{inner}"

    def size(self, index: int, depth: int = 0) -> int | None:
        """Bytes of a value of the type; None where it is not known."""
        found, _ = self.plain(index)
        if found.size is not None or found.kind != "array" or depth > 8:
            return found.size
        total = self.size(found.target, depth + 1)
        for count in self.counts(found):
            if total is None or count is None:
                return None
            total *= count
        return total

    def counts(self, array: Type) -> list[int | None]:
        """Elements of each dimension of an array."""
        made: list[int | None] = []
        for count in array.counts or (None,):
            if isinstance(count, bytes):
                try:
                    # The expression gives the highest index.
                    made.append(None if self._count is None else self._count(count) + 1)
                except Unavailable:
                    made.append(None)
            else:
                made.append(count)
        return made

    def is_unbounded(self, found: Type) -> bool:
        """Whether it is an array without an upper bound: a flexible array member, or one of no elements."""
        return found.kind == "array" and (not found.counts or found.counts[0] is None)

    # ------------------------------------------------------------------------------------- values

    def memory(self, address: int, size: int) -> bytes:
        """Memory of the process. Raises Unavailable."""
        data = self._read(address, size)
        if data is None:
            raise Unavailable(f"page not in the core ({address:#x})")
        return data

    def show(self, index: int, data: bytes, address: int | None = None) -> Shown:
        """A variable's value; address: of the variable, where it lies in memory. Raises Unavailable."""
        found, _ = self.plain(index)
        text = self.text(index, data, 0, address)
        value: str | None = None
        points_to: str | None = None
        if found.kind in ("base", "enum"):
            value = self._number(found, data)
        elif found.kind == "pointer":
            address = int.from_bytes(data[:8], "little")
            value = hex(address)
            points_to = self._pointee(found, address)
        elif found.kind == "reference":
            address = int.from_bytes(data[:8], "little")
            value = hex(address)
            try:
                inner = self._referred(found.target, address)
                text, points_to = f"@{address:#x}: {inner}", inner
            except Unavailable as reason:
                text = f"@{address:#x}: <{reason.reason}>"
        elif found.kind == "struct":
            value = self._string_of(found, data)
        return Shown(cut(text), value, points_to)

    def parts(self, index: int, data: bytes, holes: Sequence[Hole]) -> Shown:
        """A structure of which parts are not there: the members that are, and why the others are not.

        Raises Unavailable for what means nothing in parts.
        """
        found, _ = self.plain(index)
        from postmortem.values import printers

        reason = f"{OPTIMIZED_OUT} in part"
        if found.kind != "struct" or found.variants or not found.whole or printers.is_known(self, found):
            raise Unavailable(reason)
        shown = []
        for member in found.members[: LIMITS.value_fields]:
            text = self._held(member, data, holes, reason)
            name = f"<{self.at(member.type).name}>" if member.base else member.name
            shown.append(f"{name}{': ' if self._language == _RUST else ' = '}{text}" if name else text)
        return Shown(cut("{" + ", ".join(shown) + ("..." if len(found.members) > len(shown) else "") + "}"))

    def _held(self, member: Member, data: bytes, holes: Sequence[Hole], reason: str) -> str:
        """One member of a structure with holes."""
        if member.bits is not None:
            width, start = member.bits
        elif member.offset is None:
            return self.member(member, data, 0)
        else:
            start, width = 8 * member.offset, 8 * (self.size(member.type) or 0)
        missing = [hole for hole in holes if hole.start < start + width and start < hole.end]
        if not missing:
            return self.member(member, data, 0)
        lost = sum(min(hole.end, start + width) - max(hole.start, start) for hole in missing)
        return f"<{missing[0].reason if lost >= width else reason}>"

    def large(self, index: int, address: int) -> str:
        """A variable too large to be read whole: the first elements of an array."""
        found, _ = self.plain(index)
        size = self.size(found.target) if found.kind == "array" else None
        counts = self.counts(found)
        if not size or size > LIMITS.value_bytes or len(counts) != 1 or counts[0] is None:
            return "{...}"
        target, _ = self.plain(found.target)
        if target.kind == "base" and target.encoding in _CHARS and target.size == 1 and found.name != "vector":
            try:
                return array_string(self.memory(address, LIMITS.value_bytes), True)
            except Unavailable:
                return quoted(self.memory(address, LIMITS.value_characters), True)
        data = self.memory(address, min(counts[0], LIMITS.value_elements) * size)
        return self.elements(found.target, data, counts[0], 0)

    def _number(self, found: Type, data: bytes) -> str:
        if found.kind == "enum":
            return self._enumerator(found, data)
        if found.encoding in _CHARS:
            return str(int.from_bytes(data[: found.size or 1], "little", signed=found.encoding == 6))
        return self._base(found, data)

    def _referred(self, index: int, address: int) -> str:
        size = self.size(index)
        if not size or size > LIMITS.value_bytes:
            raise Unavailable("its size is not known")
        return self.text(index, self.memory(address, size), 0, address)

    def _pointee(self, pointer: Type, address: int) -> str | None:
        if not address:
            return None
        target, _ = self.plain(pointer.target)
        if target.kind == "function" or target.kind == "void":
            return self._function(address)
        if target.kind == "base" and target.encoding in _CHARS:
            return None  # the string stands beside the address
        if target.kind in ("struct", "union") and not target.whole:
            return None
        try:
            return cut(self._referred(pointer.target, address))
        except Unavailable as reason:
            return f"<{reason.reason}>" if reason.reason.startswith("page") else None

    def _function(self, address: int) -> str | None:
        name = self._symbol(address) if self._symbol is not None and address else None
        return f"<{name}>" if name else None

    def text(self, index: int, data: bytes, depth: int, address: int | None = None) -> str:
        """A value of `data`; depth: of structures around it; address: where it lies, if known."""
        self._budget -= 1
        if self._budget < 0 or depth > LIMITS.die_depth:
            return "..."
        found, _ = self.plain(index)
        if found.size is not None and len(data) < found.size:
            raise Unavailable("optimized out in part")
        if found.kind == "base":
            return self._base(found, data)
        if found.kind == "pointer":
            return self._pointer(found, data)
        if found.kind == "reference":
            return f"@{int.from_bytes(data[:8], 'little'):#x}"
        if found.kind == "enum":
            return self._enumerator(found, data)
        if found.kind in ("struct", "union"):
            return self._structure(found, data, depth, address)
        if found.kind == "array":
            return self._array(found, data, depth, address)
        if found.kind == "member-pointer":
            return self._member_pointer(found, data)
        return "<of a type without size>" if not data else "0x" + data[:16][::-1].hex()

    def _base(self, found: Type, data: bytes) -> str:
        size = found.size or 0
        if not size and self._language == _RUST:
            return found.name or "()"
        data = data[:size]
        number = int.from_bytes(data, "little")
        if found.encoding == 2:
            return {0: "false", 1: "true"}.get(number, str(number))
        if found.encoding == 4:
            return floats.shown(data, found.name)
        if found.encoding == 3 and size in (8, 16, 20, 24, 32):
            half = size // 2
            return f"{floats.shown(data[:half], found.name)} + {floats.shown(data[half:], found.name)}i"
        if found.encoding in _CHARS:
            if found.encoding == 6:
                number = int.from_bytes(data, "little", signed=True)
            return f"{number} {character(number & 0xFF if size == 1 else number, size)}"
        if found.encoding in (5, 0x0D):
            return str(int.from_bytes(data, "little", signed=True))
        return str(number)

    def _pointer(self, found: Type, data: bytes) -> str:
        address = int.from_bytes(data[:8], "little")
        target, _ = self.plain(found.target)
        if target.kind == "base" and target.encoding in _CHARS and target.size == 1 and self._language != _RUST:
            string = self._cstring(address) if address else None
            return f"{address:#x}" + (f" {string}" if string else "")
        if target.kind == "function" and (name := self._function(address)):
            return f"{address:#x} {name}"
        return hex(address)

    def _member_pointer(self, found: Type, data: bytes) -> str:
        """Itanium C++ ABI, 2.3: of a member, its offset, -1 for null; of a function, its address or 1 more than the
        offset of its slot in the vtable, 0 for null."""
        first = int.from_bytes(data[:8], "little", signed=True)
        if self.plain(found.target)[0].kind != "function":
            return "NULL" if first == -1 else str(first)
        if not first:
            return "NULL"
        if first & 1:
            return f"&virtual table offset {first - 1}"
        address = first & _MASK
        name = self._function(address)
        return f"{address:#x} {name}" if name else hex(address)

    def _cstring(self, address: int) -> str | None:
        data = b""
        for size in (LIMITS.value_characters + 1, 16, 1):
            # A string may end right before a page that is not there.
            while len(data) <= LIMITS.value_characters and b"\0" not in data:
                part = self._read(address + len(data), size)
                if part is None:
                    break
                data += part
        end = data.find(b"\0")
        if end < 0 and not data:
            return "<page not in the core>"
        return quoted(data[:end] if end >= 0 else data, end < 0 or end > LIMITS.value_characters)

    def _enumerator(self, found: Type, data: bytes) -> str:
        size = found.size or 4
        number = int.from_bytes(data[:size], "little", signed=found.signed)
        for known, name in found.enumerators:
            if known == number:
                return name
        # Flags: every enumerator one bit, as gdb takes them.
        single = [(bit, name) for bit, name in found.enumerators if bit > 0 and bit & (bit - 1) == 0]
        if number > 0 and single and len(single) >= len([1 for known, _ in found.enumerators if known]):
            parts = [name for bit, name in single if bit & number]
            rest = number & ~sum(bit for bit, _ in single)
            if parts:
                return "(" + " | ".join([*parts, *([f"unknown: {rest:#x}"] if rest else [])]) + ")"
            return f"(unknown: {number:#x})"
        return str(number)

    # ------------------------------------------------------------------------------------- aggregates

    def _structure(self, found: Type, data: bytes, depth: int, address: int | None = None) -> str:
        from postmortem.values import printers

        special = printers.known(self, found, data, depth)
        if special is not None:
            return special
        if found.variants:
            return self._variant(found, data, depth)
        if not found.whole:
            return "<incomplete type>"
        if depth:
            return "{...}"
        return self.fields(found.members, data, depth, address)

    def fields(self, members: Sequence[Member], data: bytes, depth: int, address: int | None = None) -> str:
        """{a = 1, b = 2}."""
        if members and self._language == _RUST and all(member.name[:2] == "__" for member in members):
            return "(" + ", ".join(self.member(member, data, depth) for member in members) + ")"
        join = ": " if self._language == _RUST else " = "
        parts = []
        for member in members[: LIMITS.value_fields]:
            shown = self.member(member, data, depth, address)
            if member.base:
                parts.append(f"<{self.at(member.type).name}>{join}{shown}")
            else:
                parts.append(f"{member.name}{join}{shown}" if member.name else shown)
        if len(members) > LIMITS.value_fields:
            parts.append("...")
        return "{" + ", ".join(parts) + "}"

    def member(self, member: Member, data: bytes, depth: int, address: int | None = None) -> str:
        """One field of a structure whose bytes are `data`."""
        place = None if address is None or member.offset is None else address + member.offset
        try:
            return self.text(member.type, self.part(member, data), depth + 1, place)
        except Unavailable as reason:
            return f"<{reason.reason}>"

    def part(self, member: Member, data: bytes) -> bytes:
        """The bytes of a field. Raises Unavailable."""
        if member.bits is not None:
            width, start = member.bits
            number = int.from_bytes(data, "little") >> start & ((1 << width) - 1)
            found, _ = self.plain(member.type)
            width_bytes = found.size or 8
            if (found.encoding in (5, 6, 0x0D) or (found.kind == "enum" and found.signed)) and number >> (width - 1):
                number -= 1 << width
            return (number & ((1 << 8 * width_bytes) - 1)).to_bytes(width_bytes, "little")
        size = self.size(member.type)
        if member.offset is None:
            raise Unavailable("its place is known at run time only")
        if size is None:
            return b""
        part = data[member.offset : member.offset + size]
        if len(part) < size:
            raise Unavailable("optimized out in part")
        return part

    def variant(self, found: Type, data: bytes) -> Member | None:
        """The chosen variant's member of a tagged union."""
        chosen = None
        number, mask = None, 0
        if found.discriminant is not None:
            part = self.part(found.discriminant, data)
            number = int.from_bytes(part, "little")
            mask = (1 << 8 * len(part)) - 1
        for variant in found.variants:
            if not variant.ranges:
                chosen = chosen or variant
            elif number is not None and any(low & mask <= number <= high & mask for low, high in variant.ranges):
                chosen = variant
                break
        return chosen.members[0] if chosen is not None and chosen.members else None

    def _variant(self, found: Type, data: bytes, depth: int) -> str:
        member = self.variant(found, data)
        if member is None:
            return "{...}"
        held, _ = self.plain(member.type)
        # The states of a coroutine are numbered; their types have the names.
        name = held.name.rpartition("::")[2] if member.name.isdigit() and held.name else member.name
        if not held.members:
            return name
        if depth > 2:
            return f"{name}(...)"
        # What a variant holds stands where the whole does: Some({price: 5}).
        inner = self.fields(held.members, self.part(member, data), depth - 1)
        return f"{name}{inner}"

    def _array(self, found: Type, data: bytes, depth: int, address: int | None = None) -> str:
        counts = self.counts(found)
        element = self.size(found.target)
        target, _ = self.plain(found.target)
        characters = target.kind == "base" and target.encoding in _CHARS and target.size == 1
        if address is not None and self.is_unbounded(found):
            # A flexible array member, or one declared elsewhere: what it holds is not described, where it begins is.
            string = self._cstring(address) if characters and self._language != _RUST else None
            return f"{address:#x}" + (f" {string}" if string else "")
        if not element or any(count is None for count in counts):
            return "{...}"
        if len(counts) > 1:
            if depth:
                return "{...}"
            inner = Type("array", found.name, None, target=found.target, counts=tuple(counts[1:]))
            step = len(data) // max(1, counts[0] or 1)
            return self._elements(
                [
                    self._array(inner, data[step * at : step * (at + 1)], depth + 1)
                    for at in range(min(counts[0] or 0, 5))
                ],
                counts[0] or 0,
            )
        length = counts[0] or 0
        if characters and found.name != "vector":
            return array_string(data[:length])
        return self.elements(found.target, data, length, depth)

    def elements(self, index: int, data: bytes, count: int, depth: int) -> str:
        """{1, 2, 3...} of `count` elements, of which `data` holds the first ones."""
        element = self.size(index) or 1
        target, _ = self.plain(index)
        if depth and target.kind in ("struct", "union", "array"):
            return "{...}"
        shown = min(count, LIMITS.value_elements, len(data) // element)
        return self._elements(
            [self.text(index, data[at * element : (at + 1) * element], depth + 1) for at in range(shown)], count
        )

    @staticmethod
    def _elements(parts: list[str], count: int) -> str:
        return "{" + ", ".join(parts) + ("..." if count > len(parts) else "") + "}"

    def _string_of(self, found: Type, data: bytes) -> str | None:
        from postmortem.values import printers

        try:
            return printers.string(self, found, data)
        except Unavailable:
            return None


def cut(text: str) -> str:
    """At most as many characters as a value may have, with a mark where it goes on."""
    return text if len(text) <= LIMITS.value_text else f"{text[: LIMITS.value_text]}..."


def character(number: int, size: int = 1, quote: str = "'") -> str:
    """'a', with the escapes of C."""
    if number in _ESCAPES:
        inner = _ESCAPES[number]
    elif chr(number) == quote if 0 <= number < 0x80 else False:
        inner = f"\\{quote}"
    elif 0x20 <= number < 0x7F or (size > 1 and 0xA0 <= number < 0x110000 and chr(number).isprintable()):
        inner = chr(number)
    else:
        inner = f"\\{number & 0xFF:03o}" if size == 1 or number < 0x100 else f"\\{number:x}"
    return f"{quote}{inner}{quote}"


def quoted(data: bytes, more: bool = False) -> str:
    """Bytes as a string of C, cut at 80; more: it goes on behind them."""
    text = data[: LIMITS.value_characters].decode("utf-8", "surrogateescape")
    return f'"{_letters(text)}"' + ("..." if more or len(data) > LIMITS.value_characters else "")


def _letters(text: str, quote: str = '"') -> str:
    parts = []
    for letter in text:
        code = ord(letter)
        if 0xDC80 <= code <= 0xDCFF:
            parts.append(f"\\{code - 0xDC00:03o}")
        elif code >= 0xA0 and letter.isprintable():
            parts.append(letter)
        else:
            parts.append(character(code, 1 if code < 0x100 else 4, quote)[1:-1])
    return "".join(parts)


def array_string(data: bytes, more: bool = False) -> str:
    """An array of characters, as gdb shows one: all of it but for one NUL at its end, and what is there more than 10
    times in a row once. more: it goes on behind `data`."""
    if data.endswith(b"\0") and not more:
        data = data[:-1]
    text = data.decode("utf-8", "surrogateescape")
    parts: list[str] = []
    pending: list[str] = []
    at = 0
    # As in gdb, a run that has begun within the first 80 characters is shown whole.
    while at < len(text) and at < LIMITS.value_characters:
        letter = text[at]
        end = at + 1
        while end < len(text) and text[end] == letter:
            end += 1
        if end - at > _REPEATS:
            if pending:
                parts.append(f'"{_letters("".join(pending))}"')
                pending = []
            parts.append(f"'{_letters(letter, chr(39))}' <repeats {end - at} times>")
        else:
            pending.append(text[at:end])
        at = end
    if pending or not parts:
        parts.append(f'"{_letters("".join(pending))}"')
    return ", ".join(parts) + ("..." if more or at < len(text) else "")
