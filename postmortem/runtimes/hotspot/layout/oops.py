"""Objects of the Java heap: compressed pointers, headers of every shape, fields by name, strings.

Header shapes (x86-64 and AArch64 alike): mark word at 0; then a 64-bit Klass*, a 32-bit compressed one,
or, with compact headers, the class in the mark word's upper bits. Field offsets are read from the
class itself: InstanceKlass::_fields (JDK 8 to 20, six u2 a field) or _fieldinfo_stream (21 and newer,
UNSIGNED5). All integers little-endian.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.runtimes.hotspot.layout.reading import Reading
    from postmortem.runtimes.hotspot.layout.relocation import Relocations

_MAX_FIELDS = LIMITS.object_fields
_MAX_SUPERS = LIMITS.object_supers
_MAX_STRING = LIMITS.object_string
_MAX_SYMBOL = LIMITS.object_symbol
_INTERNAL_FIELD = 0x400
_MONITOR = 2
_FORWARDED = 3
_Z_REMAPPED = 12
_Z_SHIFTS = {1: 13, 2: 14, 4: 15, 8: 16}
_ANONYMOUS = re.compile(r"\$\$Lambda\$\d+$|^java/lang/invoke/LambdaForm\$(?:B?MH|DMH)$")


class JavaField(NamedTuple):
    """A field that a class declares: where it lies in the object (or, if static, in the mirror)."""

    name: str
    signature: str
    offset: int
    static: bool


class Oops:
    """Decoding of one VM's objects. `compact`: class in the mark word; `narrow`: compressed references.

    With generational Z references in the heap and in handles carry colours, and lie as many bits higher as the colour
    says that tells which relocations they know of (zAddress.inline.hpp, load_shift_lookup); `load_shift` is that of the
    present one. relocations: where objects are now that Z has moved.
    """

    def __init__(self, vm: Reading, flags: dict[str, str]) -> None:
        self.vm = vm
        oop_homes = ("CompressedOops", "CompressedOops._narrow_oop", "Universe._narrow_oop")
        klass_homes = ("CompressedKlassPointers", "CompressedKlassPointers._narrow_klass", "Universe._narrow_klass")
        self.base, self.shift = _encoding(vm, oop_homes)
        self.klass_base, self.klass_shift = _encoding(vm, klass_homes)
        self.narrow = flags.get("UseCompressedOops") == "true"
        self.compact = flags.get("UseCompactObjectHeaders") == "true"
        # The flag is gone from JDK 27, where class pointers are always compressed.
        self.narrow_klass = flags.get("UseCompressedClassPointers", "true") == "true"
        self.mark_klass_shift = (vm.constant("markWord::klass_shift") or 0) & 63
        self.monitor_table = flags.get("UseObjectMonitorTable") == "true"
        alignment = flags.get("ObjectAlignmentInBytes", "8")
        self.alignment = int(alignment) if alignment in ("16", "32", "64", "128", "256") else 8
        self.reference_size = 4 if self.narrow else 8
        self.load_shift = 0
        self.relocations: Relocations | None = None
        if flags.get("UseZGC") == "true":
            instance = vm.static_word("ZGlobalsForVMStructs._instance_p")
            self.load_shift = (vm.word(vm.field(instance, "ZGlobalsForVMStructs._ZPointerLoadShift")) or 0) & 63
            if flags.get("ZGenerational") == "false":
                self.load_shift = 0
        self.length_offset = 8 if self.compact else 12 if self.narrow_klass else 16
        self._layout_helper = vm.offset("Klass._layout_helper")
        self._name = vm.offset("Klass._name")
        self._super = vm.offset("Klass._super")
        self._names: dict[int, str | None] = {}
        self._fields: dict[int, tuple[JavaField, ...]] = {}
        self._found: dict[tuple[int, str], JavaField | None] = {}

    def decode(self, raw: int) -> int:
        """The address that a reference stored in the heap stands for; 0 for null."""
        if self.narrow:
            return self.base + (raw << self.shift) if raw else 0
        return self.whole(raw)

    def whole(self, raw: int) -> int:
        """The address that a reference of full width stands for, in the heap or in a handle; 0 for null."""
        if self.load_shift:
            shift = _Z_SHIFTS.get(raw >> _Z_REMAPPED & 0xF, self.load_shift)
            address = raw >> shift
            # One of the present colour has been looked at since the relocation began.
            if shift == self.load_shift:
                return address
        else:
            address = raw
        return address if self.relocations is None else self.relocations.current(address)

    def load(self, address: int | None) -> int | None:
        """The object that the reference at `address` in the heap refers to; 0 for null."""
        raw = self.vm.u32(address) if self.narrow else self.vm.word(address)
        return None if raw is None else self.decode(raw)

    def handle(self, address: int | None) -> int | None:
        """The object behind an OopHandle (pointer to a reference of full width) at `address`; 0 for null."""
        target = self.vm.word(address)
        if not target:
            return target
        raw = self.vm.word(target)
        return None if raw is None else self.whole(raw)

    def klass(self, oop: int | None) -> int | None:
        """The Klass* of an object."""
        if not oop:
            return None
        if self.compact:
            mark = self.vm.word(oop)
            if mark is None:
                return None
            if mark & 3 == _FORWARDED:
                # A copying collection leaves the copy's address here; a compacting one keeps the class' bits.
                copy = self.vm.word(mark & ~7)
                if copy and copy & 3 != _FORWARDED and copy >> self.mark_klass_shift:
                    mark = copy
                elif not mark >> self.mark_klass_shift:
                    return None
            if mark & 3 == _MONITOR and not self.monitor_table:
                # The header was displaced into the first word of the ObjectMonitor.
                mark = self.vm.word(mark ^ _MONITOR)
                if mark is None:
                    return None
            return self.klass_base + ((mark >> self.mark_klass_shift) << self.klass_shift)
        if self.narrow_klass:
            narrow = self.vm.u32(oop + 8)
            return self.klass_base + (narrow << self.klass_shift) if narrow else None
        return self.vm.word(oop + 8) or None

    def klass_name(self, klass: int | None) -> str | None:
        """The class name as the VM writes it: java/lang/String, [I, [Ljava/lang/Object;."""
        if not klass or self._name is None:
            return None
        if klass not in self._names:
            self._names[klass] = self.symbol(self.vm.word(klass + self._name))
        return self._names[klass]

    def external_name(self, klass: int | None) -> str | None:
        """The class name as the VM prints it: dots, and a hidden class' own suffix behind a slash.

        Since JDK 15 that suffix is part of the Symbol, with a plus sign. Before, an anonymous class had the
        address of its Klass (11), or the identity hash of its mirror (8, where nothing exported marks such a
        class but its name).
        """
        name = self.klass_name(klass)
        if name is None or klass is None:
            return None
        dotted = name.replace("/", ".").replace("+0x", "/0x")
        anonymous = self.vm.constant("InstanceKlass::_misc_is_anonymous", "InstanceKlass::_misc_is_unsafe_anonymous")
        if anonymous is not None:
            flags = self.vm.u16(self.vm.at(klass, "InstanceKlass._misc_flags"))
            return f"{dotted}/{klass:#018x}" if flags and flags & anonymous and name[0] != "[" else dotted
        if self.vm.offset("InstanceKlass._class_loader_data") is not None and _ANONYMOUS.search(name):
            mark = self.vm.word(self.mirror(klass))
            identity = 0 if mark is None or mark & 7 != 1 else mark >> 8 & 0x7FFFFFFF
            return f"{dotted}/{identity}" if identity else dotted
        return dotted

    def class_of(self, oop: int | None) -> str | None:
        """The name of an object's class with dots; arrays as in the VM ("[I")."""
        name = self.klass_name(self.klass(oop))
        return None if name is None else name.replace("/", ".")

    def layout_helper(self, klass: int) -> int | None:
        """Klass::_layout_helper: >0 instance size with flags, <0 array shape (tag, header, element type, log2)."""
        return None if self._layout_helper is None else self.vm.i32(klass + self._layout_helper)

    def symbol(self, address: int | None) -> str | None:
        """The text of a Symbol."""
        body = self.vm.at(address, "Symbol._body")
        length_at = self.vm.at(address, "Symbol._length")
        length = self.vm.u16(length_at)
        if length_at is None and address:
            # JDK 12 to 15: the length is the upper half of _length_and_refcount.
            both = self.vm.u32(self.vm.at(address, "Symbol._length_and_refcount"))
            length = None if both is None else both >> 16
        if body is None or length is None or length > _MAX_SYMBOL:
            return None
        if length == 0:
            return ""
        data = self.vm.read(body, length)
        return None if data is None else data.decode("utf-8", "replace")

    def superclass(self, klass: int) -> int | None:
        """Klass::_super; None at the root."""
        return None if self._super is None else self.vm.word(klass + self._super) or None

    def well_known(self, name: str) -> int | None:
        """The Klass* of String, Class, System, Thread, …: the VM's table of classes it knows itself."""
        return (
            self.vm.static_word(
                f"vmClasses._klasses[static_cast<int>(vmClassID::{name}_klass_knum)]",
                f"SystemDictionary._well_known_klasses[SystemDictionary::{name}_klass_knum]",
            )
            or None
        )

    def mirror(self, klass: int) -> int | None:
        """The java.lang.Class object of a class; its static fields lie in it."""
        place = self.vm.at(klass, "Klass._java_mirror")
        if self.vm.type_string("Klass._java_mirror") == "OopHandle":
            return self.handle(place)
        raw = self.vm.word(place)
        return None if raw is None else self.whole(raw)

    def declared(self, klass: int) -> tuple[JavaField, ...]:
        """The fields that a class itself declares, the VM's injected ones left out."""
        found = self._fields.get(klass)
        if found is None:
            if self.vm.offset("InstanceKlass._fieldinfo_stream") is not None:
                found = tuple(self._declared_in_stream(klass))
            else:
                found = tuple(self._declared_in_array(klass))
            self._fields[klass] = found
        return found

    def find_field(self, klass: int | None, name: str) -> JavaField | None:
        """The field of a class or of its nearest superclass that has one of that name."""
        if not klass:
            return None
        if (klass, name) in self._found:
            return self._found[klass, name]
        current: int | None = klass
        found = None
        for _ in range(_MAX_SUPERS):
            if not current:
                break
            found = next((field for field in self.declared(current) if field.name == name), None)
            if found is not None:
                break
            current = self.superclass(current)
        self._found[klass, name] = found
        return found

    def place(self, oop: int | None, name: str) -> int | None:
        """The address of an instance field in an object."""
        field = self.find_field(self.klass(oop), name)
        return None if field is None or not oop or field.static else oop + field.offset

    def oop_field(self, oop: int | None, name: str) -> int | None:
        """The object that a field refers to; 0 for null, None when there's no such field."""
        return self.load(self.place(oop, name))

    def static_oop(self, klass: int, name: str) -> int | None:
        """The object that a static field of a class refers to."""
        field = self.find_field(klass, name)
        mirror = self.mirror(klass)
        if field is None or not field.static or not mirror:
            return None
        return self.load(mirror + field.offset)

    def length(self, array: int | None) -> int | None:
        """An array's length."""
        return self.vm.u32(array + self.length_offset) if array else None

    def array_base(self, array: int) -> int | None:
        """Where an array's elements begin, from the header size in its class' layout helper."""
        klass = self.klass(array)
        helper = self.layout_helper(klass) if klass else None
        return None if helper is None or helper >= 0 else array + ((helper >> 16) & 0xFF)

    def elements(self, array: int, limit: int) -> Iterator[int]:
        """The non-null references of an object array, `limit` elements at most."""
        base, length = self.array_base(array), self.length(array)
        if base is None or length is None:
            return
        data = self.vm.memory.read_some(base, min(length, limit) * self.reference_size)
        layout = "<I" if self.narrow else "<Q"
        usable = len(data) - len(data) % self.reference_size
        for (raw,) in struct.iter_unpack(layout, data[:usable]):
            if raw:
                yield self.decode(raw)

    def text(self, string: int | None, limit: int = _MAX_STRING) -> str | None:
        """The text of a java.lang.String, `limit` bytes of it at most; None for anything else."""
        if not string:
            return None
        klass = self.klass(string)
        if self.klass_name(klass) != "java/lang/String":
            return None
        value = self.oop_field(string, "value")
        if value is None:
            return None
        if value == 0:
            return ""
        base, length = self.array_base(value), self.length(value)
        if base is None or length is None:
            return None
        kind = self.klass_name(self.klass(value))
        if kind == "[C":
            return self._characters(base, min(2 * length, limit), "utf-16-le")
        if kind != "[B":
            return None
        coder = self.vm.byte(self.place(string, "coder"))
        return self._characters(base, min(length, limit), "utf-16-le" if coder == 1 else "latin-1")

    def _characters(self, base: int, size: int, encoding: str) -> str | None:
        if size == 0:
            return ""
        data = self.vm.read(base, size) if self.vm.memory.budget.take("text", size) else None
        return None if data is None else data.decode(encoding, "replace")

    def _pool(self, klass: int) -> int | None:
        """Slot 0 of the class' constant pool."""
        pool = self.vm.field(klass, "InstanceKlass._constants")
        size = self.vm.size("ConstantPool")
        return pool + size if pool and size else None

    def _pool_text(self, pool: int, index: int) -> str | None:
        entry = self.vm.word(pool + 8 * index)
        return None if entry is None else self.symbol(entry & ~1)

    def _declared_in_array(self, klass: int) -> Iterator[JavaField]:
        """JDK 8 to 20: u2 {access, name, signature, initial value, low, high}; offset = (high:low) >> 2."""
        array = self.vm.field(klass, "InstanceKlass._fields")
        count = self.vm.u16(self.vm.at(klass, "InstanceKlass._java_fields_count"))
        data_at = self.vm.offset("Array<u2>._data")
        pool = self._pool(klass)
        if not array or not count or data_at is None or pool is None or count > _MAX_FIELDS:
            return
        tag_bits = self.vm.constant("FIELDINFO_TAG_SIZE") or 2
        data = self.vm.read(array + data_at, 12 * count)
        for access, name, signature, _, low, high in struct.iter_unpack("<6H", data or b""):
            if access & _INTERNAL_FIELD:
                continue
            text, kind = self._pool_text(pool, name), self._pool_text(pool, signature)
            if text is not None and kind is not None:
                yield JavaField(text, kind, ((high << 16) | low) >> tag_bits, bool(access & 8))

    def _declared_in_stream(self, klass: int) -> Iterator[JavaField]:
        pool = self._pool(klass)
        if pool is None:
            return
        for injected, name, signature, offset, access in self._in_stream(klass):
            text, kind = (None, None) if injected else (self._pool_text(pool, name), self._pool_text(pool, signature))
            if text is not None and kind is not None:
                yield JavaField(text, kind, offset, bool(access & 8))

    def injected(self, klass: int, symbols: int | None) -> dict[str, int]:
        """Offsets, by name, of the fields that the VM has added to a class; JDK 21 and newer.

        symbols: the address of Symbol::_vm_symbols, in which the name of such a field is an index.
        """
        found = {}
        for injected, number, _, offset, _ in self._in_stream(klass) if symbols else ():
            name = self.symbol(self.vm.word((symbols or 0) + 8 * number)) if injected else None
            if name is not None:
                found[name] = offset
        return found

    def _in_stream(self, klass: int) -> Iterator[tuple[bool, int, int, int, int]]:
        """(injected, name, signature, offset, access) of all fields: JDK 21 and newer.

        UNSIGNED5 {java count, injected count, {name, signature, offset, access, flags, …}…}, the VM's own last.
        """
        array = self.vm.field(klass, "InstanceKlass._fieldinfo_stream")
        data_at = self.vm.offset("Array<u1>._data")
        length = self.vm.u32(array)
        if not array or data_at is None or not length or length > 16 * _MAX_FIELDS:
            return
        numbers = unsigned5(self.vm.read(array + data_at, length) or b"")
        extras = [
            1 << bit
            for name, default in (("_ff_initialized", 0), ("_ff_generic", 2), ("_ff_contended", 4))
            for bit in (self.vm.constant(f"FieldInfo::FieldFlags::{name}"),)
            for bit in (default if bit is None else bit,)
        ]
        try:
            declared = next(numbers)
            count = declared + next(numbers)
            for index in range(min(count, _MAX_FIELDS)):
                name, signature, offset = next(numbers), next(numbers), next(numbers)
                access, field_flags = next(numbers), next(numbers)
                for extra in extras:
                    if field_flags & extra:
                        next(numbers)
                yield index >= declared, name, signature, offset, access
        except StopIteration:
            return


def _encoding(vm: Reading, homes: tuple[str, ...]) -> tuple[int, int]:
    """Base and shift of a compressed pointer, in the first home that the tables have."""
    base = vm.static_word(*(f"{home}._base" for home in homes))
    shift = vm.u32(vm.static(*(f"{home}._shift" for home in homes)))
    return base or 0, (shift or 0) & 63


def unsigned5(data: bytes, excluded: int = 1) -> Iterator[int]:
    """The integers of an UNSIGNED5 stream; bytes below `excluded` end it (1 since JDK 20, 0 before).

    A byte of 192 or more says that another follows, six bits apart; five bytes at most.
    """
    position, end = 0, len(data)
    while position < end:
        if data[position] < excluded:
            return
        total = 0
        for index in range(5):
            if position >= end:
                return
            byte = data[position]
            position += 1
            total += (byte - excluded) << (6 * index)
            if byte < 192:
                break
        yield total & 0xFFFFFFFF
