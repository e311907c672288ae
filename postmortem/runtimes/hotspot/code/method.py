"""Methods: names, bytecodes and line numbers.

Source: HotSpot share/oops/method.hpp, constMethod.hpp, constantPool.hpp. A Method points at its ConstMethod,
behind which its bytecodes follow; the compressed line number table follows these. Name and signature are
indices into the constant pool of the class.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.runtimes.hotspot.layout.version import major

if TYPE_CHECKING:
    import re

    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading

_NATIVE = 0x100
_UTF8 = 1
"""Tag of a constant that is a Symbol (JVMS 4.4.7)."""
_HAS_LINES = 1
_MAX_LINE_BYTES = LIMITS.method_line_bytes


class Method(NamedTuple):
    """A method. name: pkg.Class.method; bytecodes are [code, code + size); file: of the source, without a path."""

    address: int
    name: str
    signature: str
    code: int
    size: int
    native: bool
    file: str | None
    lines: int | None
    """Address of the compressed line number table."""
    implementation: int | None = None
    """Address of a native method's code, which the VM keeps behind the Method; null or a stub of its own until then."""


class Methods:
    """Decodes methods of one VM; each once."""

    def __init__(self, oops: Oops) -> None:
        self._oops = oops
        self._vm = oops.vm
        vm = self._vm
        self._const = vm.offset("Method._constMethod")
        self._const_size = vm.size("ConstMethod")
        self._size = vm.size("Method")
        self._pool_size = vm.size("ConstantPool")
        self._exclusion = unsigned5_exclusion(vm)
        self._methods: dict[int, Method | None] = {}
        self._lines: dict[int, tuple[list[int], list[int]]] = {}

    def at(self, address: int | None) -> Method | None:
        """The method at an address; None when what lies there is not one."""
        if not address:
            return None
        if address not in self._methods:
            self._methods[address] = self._read(address)
        return self._methods[address]

    def name(self, address: int | None) -> str | None:
        """pkg.Class.method of the Method at an address."""
        method = self.at(address)
        return None if method is None else method.name

    def class_name(self, address: int | None) -> str | None:
        """The class whose Klass lies at an address; None for anything else."""
        return self._oops.external_name(address) if address and not self.at(address) else None

    def line(self, method: Method, bci: int) -> int | None:
        """The source line of a bytecode index; None where the class has no line numbers."""
        if method.lines is None or bci < 0:
            return None
        table = self._lines.get(method.address)
        if table is None:
            data = self._vm.memory.read_some(method.lines, _MAX_LINE_BYTES if method.size > 4096 else 16384)
            table = self._lines[method.address] = line_table(data, self._exclusion)
        index = bisect_right(table[0], bci) - 1
        return table[1][index] if index >= 0 else None

    def _read(self, address: int) -> Method | None:
        vm = self._vm
        if self._const is None or self._const_size is None or self._pool_size is None or address & 7:
            return None
        const = vm.word(address + self._const)
        pool = vm.field(const, "ConstMethod._constants")
        holder = vm.field(pool, "ConstantPool._pool_holder")
        size = vm.u16(vm.at(const, "ConstMethod._code_size"))
        class_name = self._oops.external_name(holder)
        name = self.pool_text(pool, vm.u16(vm.at(const, "ConstMethod._name_index")))
        signature = self.pool_text(pool, vm.u16(vm.at(const, "ConstMethod._signature_index")))
        if not const or class_name is None or not name or signature is None or size is None:
            return None
        flags = vm.u16(vm.at(const, "ConstMethod._flags", "ConstMethod._flags._flags")) or 0
        has_lines = vm.constant("ConstMethod::_has_linenumber_table", "ConstMethodFlags::_misc_has_linenumber_table")
        code = const + self._const_size
        access = vm.u16(vm.at(address, "Method._access_flags")) or 0
        return Method(
            address,
            f"{class_name}.{name}",
            signature,
            code,
            size,
            bool(access & _NATIVE),
            self._source_file(pool, holder),
            code + size if flags & (has_lines or _HAS_LINES) else None,
            vm.word(address + self._size) if access & _NATIVE and self._size else None,
        )

    def _source_file(self, pool: int | None, holder: int | None) -> str | None:
        """The index lies in the constant pool since JDK 15, in the class before."""
        index = self._vm.u16(self._vm.at(pool, "ConstantPool._source_file_name_index"))
        if index is None:
            index = self._vm.u16(self._vm.at(holder, "InstanceKlass._source_file_name_index"))
        return self.pool_text(pool, index) if index else None

    def class_mentioned(self, method: Method, names: re.Pattern[str]) -> str | None:
        """The first class of such a name in the constant pool of a method's class: one that the class refers to."""
        vm = self._vm
        const = vm.field(method.address, "Method._constMethod")
        pool = vm.field(const, "ConstMethod._constants")
        length = vm.i32(vm.at(pool, "ConstantPool._length")) or 0
        tags = vm.at(vm.field(pool, "ConstantPool._tags"), "Array<u1>._data")
        kinds = vm.memory.read_some(tags, min(max(length, 0), LIMITS.pool_entries)) if tags else b""
        for index, kind in enumerate(kinds):
            text = self.pool_text(pool, index) if kind == _UTF8 else None
            if text is not None and names.fullmatch(text.replace("/", ".")):
                return text.replace("/", ".")
        return None

    def pool_text(self, pool: int | None, index: int | None) -> str | None:
        """The text of a Symbol in a constant pool."""
        if not pool or not index or self._pool_size is None:
            return None
        entry = self._vm.word(pool + self._pool_size + 8 * index)
        return self._oops.symbol(entry & ~1) if entry else None


def unsigned5_exclusion(vm: Reading) -> int:
    """The lowest value of a byte of the VM's UNSIGNED5 streams: 1 since JDK 20, 0 before."""
    return 1 if (major(vm) or 0) >= 20 else 0


def line_table(data: bytes, exclusion: int) -> tuple[list[int], list[int]]:
    """Bytecode indices, ascending, and the line of each, from a compressed table.

    A byte 0 ends it, 0xff announces two signed UNSIGNED5 (index delta, line delta), any other byte holds the
    index delta in its upper five bits and the line delta in the lower three (share/code/compressedStream.hpp,
    share/oops/method.hpp CompressedLineNumberReadStream).
    """
    pairs = []
    position = bci = line = 0
    while position < len(data) and data[position]:
        byte = data[position]
        position += 1
        if byte == 0xFF:
            values = []
            for _ in range(2):
                value, position = read_unsigned5(data, position, exclusion)
                values.append(value >> 1 ^ -(value & 1))
            bci += values[0]
            line += values[1]
        else:
            bci += byte >> 3
            line += byte & 7
        pairs.append((bci, line))
    pairs.sort(key=lambda pair: pair[0])
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def read_unsigned5(data: bytes, position: int, exclusion: int) -> tuple[int, int]:
    """One integer of an UNSIGNED5 stream and the position behind it; (0, end) beyond the end."""
    total = 0
    for index in range(5):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        total += (byte - exclusion) << (6 * index)
        if byte < 192:
            break
    return total & 0xFFFFFFFF, position
