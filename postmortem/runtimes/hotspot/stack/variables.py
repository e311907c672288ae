"""Parameters and locals of Java frames: interpreted ones by slot, compiled ones by the debug info of their scopes.

Slots lie from the locals pointer downwards, one word each; a long or double lies in the second of its two. Names and
types come from the class' LocalVariableTable (javac -g), else parameters from the method's signature, others by number.
Source: HotSpot cpu/x86/frame_x86.hpp, share/oops/constMethod.cpp (the tables from the end of a ConstMethod backwards).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.model import Value
from postmortem.runtimes.hotspot.code.nmethod import (
    CONSTANT_DOUBLE,
    CONSTANT_INT,
    CONSTANT_LONG,
    CONSTANT_OOP,
    LOCATION,
)
from postmortem.runtimes.hotspot.code.stubs import UNUSED_CODE
from postmortem.runtimes.hotspot.heap.damage import header
from postmortem.runtimes.hotspot.layout.version import major

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.runtimes.hotspot.code.activation import Activations
    from postmortem.runtimes.hotspot.code.codecache import CodeCache
    from postmortem.runtimes.hotspot.code.method import Method
    from postmortem.runtimes.hotspot.code.nmethod import ScopeValue
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.unwind.frame import RawFrame

_CHECKED_EXCEPTIONS, _LOCALS, _EXCEPTIONS, _SIGNATURE, _PARAMETERS = 2, 4, 8, 0x10, 0x20
_ANNOTATIONS = (0x80, 0x100, 0x200, 0x400)
_STATIC = 8
OPTIMIZED_OUT = "optimized out"
_ENTRY = struct.Struct("<6H")
_RELATIVE = 1 << 16
"""Since JDK 21 the locals pointer is a number of words from the frame pointer."""
_NAMES = {"I": "int", "J": "long", "S": "short", "B": "byte", "C": "char", "Z": "boolean", "F": "float", "D": "double"}


class _Variable(NamedTuple):
    name: str
    descriptor: str
    slot: int


Found = tuple[tuple[Value, ...], tuple[Value, ...]]
"""Arguments and locals."""

_ON_STACK, _IN_REGISTER = 0, 1
_INVALID, _NORMAL, _OOP, _INT_IN_LONG, _LONG, _FLOAT_IN_DOUBLE, _DOUBLE = range(7)
_VMREG = (0, 2, 1, 3, 7, 6, 4, 5)
"""DWARF numbers of the registers by HotSpot's: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi; a VMReg is twice the number."""


class JavaVariables:
    """Values of the variables of one VM's frames."""

    def __init__(self, oops: Oops, activations: Activations, cache: CodeCache) -> None:
        self._oops = oops
        self._cache = cache
        self._narrow = oops.vm.constant("Location::narrowoop") or (8 if (major(oops.vm) or 0) < 16 else 9)
        self._vm = oops.vm
        self._activations = activations
        self._methods = activations.methods
        self._locals_slot = -6 if major(self._vm) == 8 else -7

    def of(self, raw: RawFrame) -> tuple[Found, ...] | None:
        """Those of each method of an activation, innermost first; None where it has none that are known."""
        if raw.kind == "java-interpreted" and raw.fp is not None and len(raw.virtual) == 1:
            found = self._interpreted(raw, raw.fp)
            return None if found is None else (found,)
        return self._compiled(raw) if raw.kind == "java-compiled" else None

    def _interpreted(self, raw: RawFrame, fp: int) -> Found | None:
        method = self._activations.method(fp)
        pointer = self._vm.word(fp + 8 * self._locals_slot)
        if method is None or method.native or pointer is None:
            return None
        base = fp + 8 * pointer if pointer < _RELATIVE else pointer
        # The locals of a frame lie above it, in its caller's expression stack, or right below where it was called.
        if not fp < base < fp + 8 * _RELATIVE:
            return None

        def read(slot: int, reference: bool) -> int | str:
            address = base - 8 * slot
            word = self._vm.word(address)
            return f"page not in the core ({address:#x})" if word is None else word

        return self._found(method, raw.virtual[0].bci, read, None)

    def _compiled(self, raw: RawFrame) -> tuple[Found, ...] | None:
        """By the debug info of the call that the frame made, or of its fault where that has a record."""
        blob = self._cache.blob_at(raw.pc if raw.interrupted else raw.pc - 1)
        if blob is None or blob.kind != "nmethod":
            return None
        scopes = self._activations.locals(blob, raw.pc, raw.sp)
        if len(scopes) != len(raw.virtual):
            return None
        made: list[Found] = []
        for scope, values in scopes:
            method = self._methods.at(scope.method)
            if method is None or method.native:
                made.append(((), ()))
                continue

            def read(slot: int, reference: bool, values: list[ScopeValue] = values) -> int | str:
                if slot >= len(values):
                    return OPTIMIZED_OUT
                return self._scope_value(values[slot], raw, reference)

            made.append(self._found(method, scope.bci, read, len(values)))
        return tuple(made)

    def _scope_value(self, value: ScopeValue, raw: RawFrame, reference: bool) -> int | str:
        """A word, or why there is none."""
        if value.kind in (CONSTANT_INT, CONSTANT_LONG, CONSTANT_DOUBLE):
            return value.operand
        if value.kind == CONSTANT_OOP:
            return 0 if not value.operand else "a constant of the compiled code"
        if value.kind != LOCATION:
            return OPTIMIZED_OUT
        kind, where, offset = value.operand & 0xF, value.operand >> 4 & 1, value.operand >> 5
        if kind == _INVALID:
            return OPTIMIZED_OUT
        if kind not in (_NORMAL, _OOP, _INT_IN_LONG, _LONG, _DOUBLE, self._narrow) or (kind == _DOUBLE and where):
            return "in a place that is not decoded here"
        if where == _IN_REGISTER:
            number = offset >> 1
            known = None if raw.registers is None or not raw.interrupted or offset & 1 or number > 15 else raw.registers
            word = None if known is None else known[_VMREG[number] if number < 8 else number]
            if word is None:
                return "in a register that is not known in this frame"
        else:
            address = raw.sp + 4 * offset
            narrow = kind in (_NORMAL, self._narrow)
            found = self._vm.u32(address) if narrow else self._vm.word(address)
            if found is None:
                return f"page not in the core ({address:#x})"
            word = found
        return self._oops.decode(word & 0xFFFFFFFF) if kind == self._narrow and reference else word

    def _found(
        self, method: Method, bci: int | None, read: Callable[[int, bool], int | str], slots: int | None
    ) -> Found:
        """read: a slot's word, or why there is none; slots: how many there are, where the method does not say."""
        parameters, size = self._parameters(method)
        table = self._table(method, bci)
        if table is None:
            named = {variable.slot: variable for variable in parameters}
            more = self._vm.u16(self._vm.at(self._const(method), "ConstMethod._max_locals")) or 0
            more = min(more, size + LIMITS.variables) if slots is None else 0
            rest = [_Variable(f"slot {slot}", "", slot) for slot in range(size, more)]
        else:
            known = {variable.slot: variable for variable in table}
            named = {variable.slot: known.get(variable.slot, variable) for variable in parameters}
            rest = [variable for variable in table if variable.slot >= size]
        return (
            tuple(self._value(variable, read) for variable in named.values()),
            tuple(self._value(variable, read) for variable in rest),
        )

    def _const(self, method: Method) -> int | None:
        return self._vm.field(method.address, "Method._constMethod")

    def _parameters(self, method: Method) -> tuple[list[_Variable], int]:
        """The parameters by the signature, `this` first, and how many slots they take."""
        access = self._vm.u16(self._vm.at(method.address, "Method._access_flags")) or 0
        made: list[_Variable] = []
        slot = 0
        if not access & _STATIC:
            class_name = method.name.rpartition(".")[0]
            made.append(_Variable("this", f"L{class_name.replace('.', '/')};", 0))
            slot = 1
        for number, descriptor in enumerate(descriptors(method.signature), 1):
            made.append(_Variable(f"argument {number}", descriptor, slot))
            slot += 2 if descriptor in ("J", "D") else 1
        return made, slot

    def _table(self, method: Method, bci: int | None) -> list[_Variable] | None:
        """The variables that are in scope at a bytecode index; None where the class has no table of them."""
        vm = self._vm
        const = self._const(method)
        flags = vm.u16(vm.at(const, "ConstMethod._flags", "ConstMethod._flags._flags")) or 0
        words = vm.u32(vm.at(const, "ConstMethod._constMethod_size"))
        if const is None or not flags & _LOCALS or words is None or words > LIMITS.const_method_words:
            return None
        at = const + 8 * words - 8 * sum(1 for flag in _ANNOTATIONS if flags & flag) - 2
        at -= 2 if flags & _SIGNATURE else 0
        for flag, width in ((_PARAMETERS, 4), (_CHECKED_EXCEPTIONS, 2), (_EXCEPTIONS, 8)):
            if flags & flag:
                count = vm.u16(at)
                if count is None:
                    return None
                at -= count * width + 2
        count = vm.u16(at)
        start = None if count is None else at - count * _ENTRY.size
        data = None if start is None or count is None else vm.read(start, count * _ENTRY.size)
        if data is None or start is None or start < method.code + method.size:
            return None
        pool = vm.field(const, "ConstMethod._constants")
        found: list[_Variable] = []
        for begin, length, name, descriptor, _, slot in _ENTRY.iter_unpack(data):
            if bci is None or not begin <= bci < begin + length or len(found) >= LIMITS.variables:
                continue
            texts = (
                self._activations.methods.pool_text(pool, name),
                self._activations.methods.pool_text(pool, descriptor),
            )
            if texts[0] and texts[1]:
                found.append(_Variable(texts[0], texts[1], slot))
        return sorted(found, key=lambda variable: variable.slot)

    def _value(self, variable: _Variable, read: Callable[[int, bool], int | str]) -> Value:
        descriptor = variable.descriptor
        name = type_name(descriptor)
        word = read(variable.slot + (descriptor in ("J", "D")), descriptor[:1] in ("L", "["))
        if isinstance(word, str):
            text = f"<{word}>" if word == OPTIMIZED_OUT else f"<unavailable: {word}>"
            return Value(name=variable.name, type=name, text=text, unavailable=word)
        if descriptor[:1] in ("L", "["):
            return self._reference(variable.name, name, word)
        if not descriptor:
            # What a slot without a name holds, or held before, is not known: a number or an object.
            return Value(name=variable.name, type=None, value=hex(word), text=hex(word))
        text = primitive(descriptor, word)
        leads = self._generated(word) if descriptor == "J" else None
        return Value(name=variable.name, type=name, value=text.partition(" ")[0], text=text, points_to=leads)

    def _generated(self, word: int) -> str | None:
        """What lies in the code cache where a long leads, which may be the address of an upcall stub."""
        if not self._cache.covers(word):
            return None
        blob = self._cache.blob_at(word)
        return UNUSED_CODE if blob is None else blob.name or None

    def _reference(self, name: str, declared: str | None, word: int) -> Value:
        if not word:
            return Value(name=name, type=declared, value="null", text="null")
        oops = self._oops
        klass = oops.klass(word)
        shown = oops.external_name(klass)
        if shown is None:
            why, there = "no object lies there", header(oops, word)
            return Value(name=name, type=declared, value=hex(word), text=hex(word), points_to=there, unavailable=why)
        if shown == "java.lang.String":
            content = oops.text(word, 4 * LIMITS.value_characters)
            if content is not None:
                cut = content[: LIMITS.value_characters]
                text = f'"{cut}"' + ("..." if len(content) > len(cut) else "")
                return Value(name=name, type=declared, value=content[: LIMITS.value_text], text=text)
        if shown.startswith("["):
            length = oops.length(word)
            text = f"{(type_name(shown.replace('.', '/')) or shown)[:-2]}[{'?' if length is None else length}]"
            return Value(name=name, type=declared, value=hex(word), text=f"{text} @{word:#x}")
        return Value(name=name, type=declared, value=hex(word), text=f"{shown} @{word:#x}")


def descriptors(signature: str) -> list[str]:
    """The parameters' descriptors of a method's (JVMS 4.3.3); what is damaged ends the list."""
    found: list[str] = []
    position = 1
    while position < len(signature) and signature[position] != ")" and len(found) < 256:
        begin = position
        while signature[position : position + 1] == "[":
            position += 1
        if signature[position : position + 1] == "L":
            position = signature.find(";", position)
            if position < 0:
                break
        position += 1
        found.append(signature[begin:position])
    return found


def type_name(descriptor: str) -> str | None:
    """int, java.lang.String, long[][]; None without a descriptor."""
    if not descriptor:
        return None
    plain = descriptor.lstrip("[")
    depth = len(descriptor) - len(plain)
    name = _NAMES.get(plain) or plain.removeprefix("L").removesuffix(";").replace("/", ".")
    return name + "[]" * depth


def primitive(descriptor: str, word: int) -> str:
    """A primitive value as Java writes it; of a char the number, too."""
    low = word & 0xFFFFFFFF
    if descriptor == "J":
        return str(word - (1 << 64) if word >> 63 else word)
    if descriptor == "D":
        return repr(struct.unpack("<d", word.to_bytes(8, "little"))[0])
    if descriptor == "F":
        return f"{struct.unpack('<f', low.to_bytes(4, 'little'))[0]:.9g}"
    if descriptor == "Z":
        return "true" if low & 1 else "false"
    if descriptor == "C":
        return f"{low & 0xFFFF} '{chr(low & 0xFFFF)}'"
    return str(low - (1 << 32) if low >> 31 else low)
