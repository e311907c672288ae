"""Compiled methods: whose code it is, and which inlined methods an address stands for.

Source: HotSpot share/code/nmethod.hpp, pcDesc.hpp, scopeDesc.cpp. A PcDesc maps a code offset to a record in
the scope data, UNSIGNED5 integers {sender, method index, bci + 1, locals, expressions, monitors}; records link
outwards through `sender` (an offset; 0 ends). Where the parts lie has moved thrice: in the blob by offsets
(JDK 8), behind absolute pointers (9 to 21), in a block of immutable data (since 23).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.runtimes.hotspot.code.method import read_unsigned5, unsigned5_exclusion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.runtimes.hotspot.code.codecache import Blob
    from postmortem.runtimes.hotspot.layout.reading import Reading

_PC_DESC = struct.Struct("<iiii")
_MAX_SCOPES_DATA = LIMITS.nmethod_scopes_data
_MAX_PCS = LIMITS.nmethod_pcs
_MAX_LISTED = LIMITS.nmethod_listed
_MAX_DEPTH = LIMITS.nmethod_depth
_SCOPE_BYTES = 64


class Nmethod(NamedTuple):
    """method: Method*. level: 1 to 3 C1, 4 C2. entry_bci: of an OSR method, else -1. state: 0 in use.

    pcs: [start, end) of the PcDescs; scopes: start of the scope data; metadata: start of the array of Method*
    and Klass*. deopt_entries: addresses that stand for a patched return address; orig_pc_offset: where, from
    the unextended stack pointer, the true one then is.
    """

    method: int
    level: int | None
    compile_id: int | None
    entry_bci: int
    state: int | None
    verified_entry: int
    pcs: tuple[int, int]
    scopes: int
    scopes_end: int
    metadata: int
    metadata_end: int
    deopt_entries: tuple[int, ...]
    orig_pc_offset: int


class Scope(NamedTuple):
    """One method of an inlining chain: Method* and bytecode index (-1: its entry or synchronization)."""

    method: int
    bci: int


LOCATION, CONSTANT_INT, CONSTANT_OOP, CONSTANT_LONG, CONSTANT_DOUBLE, MARKER = 0, 1, 2, 3, 4, 8
"""Kinds of ScopeValue (share/code/debugInfo.cpp)."""


class ScopeValue(NamedTuple):
    """Where a local is: kind, and a Location, a constant's bits, or the index of an object (0: null)."""

    kind: int
    operand: int


def _reversed(value: int) -> int:
    """The bits of a 32-bit number in reverse, as CompressedStream writes the halves of doubles."""
    return int(f"{value:032b}"[::-1], 2)


class Nmethods:
    """Decodes the compiled methods of one VM; each once."""

    def __init__(self, vm: Reading) -> None:
        self._vm = vm
        self._exclusion = unsigned5_exclusion(vm)
        self._known: dict[int, Nmethod | None] = {}

    def at(self, blob: Blob) -> Nmethod | None:
        """The nmethod in a blob of that kind; None when it can't be read."""
        if blob.address not in self._known:
            self._known[blob.address] = self._read(blob)
        return self._known[blob.address]

    def _read(self, blob: Blob) -> Nmethod | None:
        vm, base = self._vm, blob.address
        method = vm.field(base, "nmethod._method", "CompiledMethod._method")
        if not method:
            return None
        parts = self._immutable_parts(base) or self._absolute_parts(base) or self._relative_parts(base)
        if parts is None:
            return None
        entry = vm.field(base, "nmethod._verified_entry_point")
        if entry is None:
            entry = blob.code_begin + (vm.u16(vm.at(base, "nmethod._verified_entry_offset")) or 0)
        bci = vm.i32(vm.at(base, "nmethod._entry_bci"))
        return Nmethod(
            method,
            vm.byte(vm.at(base, "nmethod._comp_level")),
            vm.i32(vm.at(base, "nmethod._compile_id")),
            -1 if bci is None else bci,
            vm.byte(vm.at(base, "nmethod._state")),
            entry if blob.code_begin <= entry < blob.code_end else blob.code_begin,
            *parts,
            self._deopt_entries(base),
            vm.i32(vm.at(base, "nmethod._orig_pc_offset")) or 0,
        )

    def _immutable_parts(self, base: int) -> tuple[tuple[int, int], int, int, int, int] | None:
        vm = self._vm
        block = vm.field(base, "nmethod._immutable_data")
        size = vm.u32(vm.at(base, "nmethod._immutable_data_size"))
        pcs, scopes = (vm.u32(vm.at(base, f"nmethod._scopes_{part}_offset")) for part in ("pcs", "data"))
        mutable = vm.field(base, "CodeBlob._mutable_data")
        mutable_size = vm.u32(vm.at(base, "CodeBlob._mutable_data_size"))
        relocations = vm.u32(vm.at(base, "CodeBlob._relocation_size"))
        if not block or size is None or pcs is None or scopes is None:
            return None
        if not mutable or mutable_size is None or relocations is None or not relocations <= mutable_size:
            mutable = mutable_size = relocations = 0
        if not pcs <= scopes <= size <= _MAX_SCOPES_DATA:
            return None
        metadata = (mutable + relocations, mutable + mutable_size)
        return (block + pcs, block + scopes), block + scopes, block + size, *metadata

    def _absolute_parts(self, base: int) -> tuple[tuple[int, int], int, int, int, int] | None:
        vm = self._vm
        scopes = vm.field(base, "CompiledMethod._scopes_data_begin")
        offsets = [
            vm.u32(vm.at(base, f"nmethod.{name}"))
            for name in ("_scopes_pcs_offset", "_dependencies_offset", "_metadata_offset")
        ]
        pcs, end, metadata = offsets
        if not scopes or pcs is None or end is None or metadata is None:
            return None
        return self._checked(base + pcs, base + end, scopes, base + metadata)

    def _relative_parts(self, base: int) -> tuple[tuple[int, int], int, int, int, int] | None:
        vm = self._vm
        offsets = [
            vm.u32(vm.at(base, f"nmethod.{name}"))
            for name in ("_scopes_pcs_offset", "_dependencies_offset", "_scopes_data_offset", "_metadata_offset")
        ]
        pcs, end, scopes, metadata = offsets
        if pcs is None or end is None or scopes is None or metadata is None:
            return None
        return self._checked(base + pcs, base + end, base + scopes, base + metadata)

    @staticmethod
    def _checked(
        pcs: int, pcs_end: int, scopes: int, metadata: int
    ) -> tuple[tuple[int, int], int, int, int, int] | None:
        """Up to JDK 22 the order in the blob is metadata, scope data, PcDescs."""
        if not metadata <= scopes <= pcs <= pcs_end <= metadata + _MAX_SCOPES_DATA:
            return None
        return (pcs, pcs_end), scopes, pcs, metadata, scopes

    def _deopt_entries(self, base: int) -> tuple[int, ...]:
        vm = self._vm
        found = []
        for name in ("_deopt_handler_begin", "_deopt_mh_handler_begin"):
            found.append(vm.field(base, f"CompiledMethod.{name}"))
        for name in (
            "_deoptimize_offset",
            "_deoptimize_mh_offset",
            "_deopt_handler_offset",
            "_deopt_mh_handler_offset",
            "_deopt_handler_entry_offset",
        ):
            offset = vm.i32(vm.at(base, f"nmethod.{name}"))
            found.append(base + offset if offset is not None and offset > 0 else None)
        return tuple(entry for entry in found if entry)

    def scopes(self, nmethod: Nmethod, offset: int, exact: bool) -> tuple[Scope, ...]:
        """The methods that a code offset stands for, innermost inlined first; () when nothing is recorded.

        A return address has a PcDesc of its own (`exact`). An address in between is described best by the
        next one, which is where the VM would look had it stopped there.
        """
        found = self._pc_desc(nmethod, offset, exact)
        return () if found is None else self._chain(nmethod, found)

    def locals(self, nmethod: Nmethod, offset: int) -> list[tuple[Scope, list[ScopeValue]]]:
        """The scopes at a code offset that has a PcDesc of its own, innermost first, each with its locals by slot.

        A list ends before the first object that was never allocated, whose record has no fixed size.
        """
        found = self._pc_desc(nmethod, offset, exact=True)
        made = []
        position = found or 0
        for _ in range(_MAX_DEPTH):
            start = nmethod.scopes + position
            if position <= 0 or start >= nmethod.scopes_end:
                break
            data = self._vm.memory.read_some(start, min(_SCOPE_BYTES, nmethod.scopes_end - start))
            fields = []
            at = 0
            for _ in range(4):
                value, at = read_unsigned5(data, at, self._exclusion)
                fields.append(value)
            sender, index, bci, values = fields
            place = nmethod.metadata + 8 * (index - 1)
            method = self._vm.word(place) if index and place < nmethod.metadata_end else None
            if not method:
                break
            made.append((Scope(method, bci - 1), self._values(nmethod, values)))
            if not 0 < sender < position:
                break
            position = sender
        return made

    def _values(self, nmethod: Nmethod, position: int) -> list[ScopeValue]:
        start = nmethod.scopes + position
        if position <= 0 or start >= nmethod.scopes_end:
            return []
        data = self._vm.memory.read_some(start, min(1 << 14, nmethod.scopes_end - start))
        count, at = read_unsigned5(data, 0, self._exclusion)
        made = []
        for _ in range(min(count, LIMITS.variables)):
            code, at = read_unsigned5(data, at, self._exclusion)
            operand = 0
            if code in (LOCATION, CONSTANT_OOP):
                operand, at = read_unsigned5(data, at, self._exclusion)
            elif code == CONSTANT_INT:
                raw, at = read_unsigned5(data, at, self._exclusion)
                operand = (raw >> 1 ^ -(raw & 1)) & 0xFFFFFFFF
            elif code == CONSTANT_LONG:
                low, at = read_unsigned5(data, at, self._exclusion)
                high, at = read_unsigned5(data, at, self._exclusion)
                halves = [(half >> 1 ^ -(half & 1)) & 0xFFFFFFFF for half in (low, high)]
                operand = halves[1] << 32 | halves[0]
            elif code == CONSTANT_DOUBLE:
                high, at = read_unsigned5(data, at, self._exclusion)
                low, at = read_unsigned5(data, at, self._exclusion)
                operand = _reversed(high) << 32 | _reversed(low)
            elif code != MARKER:
                break
            made.append(ScopeValue(code, operand))
        return made

    def metadata(self, nmethod: Nmethod) -> Iterator[int]:
        """The Method* and Klass* that the code refers to."""
        end = min(nmethod.metadata_end, nmethod.metadata + 8 * _MAX_LISTED)
        return iter(self._vm.memory.words(nmethod.metadata, max(end - nmethod.metadata, 0) // 8) or ())

    def recorded(self, nmethod: Nmethod) -> Iterator[tuple[int, tuple[Scope, ...]]]:
        """(code offset, as `scopes`) of every position that is on record, some thousands at most."""
        start, end = nmethod.pcs
        count = min((end - start) // _PC_DESC.size, _MAX_LISTED)
        data = self._vm.memory.read_some(start, max(count, 0) * _PC_DESC.size)
        chains: dict[int, tuple[Scope, ...]] = {}
        for pc, scope, _, _ in _PC_DESC.iter_unpack(data[: len(data) - len(data) % _PC_DESC.size]):
            if scope > 0 and scope not in chains:
                chains[scope] = self._chain(nmethod, scope)
            if scope > 0 and pc >= 0:
                yield pc, chains[scope]

    def _chain(self, nmethod: Nmethod, found: int) -> tuple[Scope, ...]:
        chain = []
        position = found
        for _ in range(_MAX_DEPTH):
            start = nmethod.scopes + position
            if position <= 0 or start >= nmethod.scopes_end:
                break
            data = self._vm.memory.read_some(start, min(_SCOPE_BYTES, nmethod.scopes_end - start))
            sender, at = read_unsigned5(data, 0, self._exclusion)
            index, at = read_unsigned5(data, at, self._exclusion)
            bci, at = read_unsigned5(data, at, self._exclusion)
            place = nmethod.metadata + 8 * (index - 1)
            method = self._vm.word(place) if index and place < nmethod.metadata_end else None
            if not method:
                break
            chain.append(Scope(method, bci - 1))
            # Senders are written before their callees, so a link leads down.
            if not 0 < sender < position:
                break
            position = sender
        return tuple(chain)

    def _pc_desc(self, nmethod: Nmethod, offset: int, exact: bool) -> int | None:
        """The scope offset of the PcDesc at a code offset (or, if not exact, of the first at or behind it)."""
        start, end = nmethod.pcs
        count = (end - start) // _PC_DESC.size
        if not 0 < count <= _MAX_PCS:
            return None
        low, high = 0, count - 1
        while low < high:
            middle = (low + high) // 2
            pc = self._vm.i32(start + middle * _PC_DESC.size)
            if pc is None:
                return None
            if pc < offset:
                low = middle + 1
            else:
                high = middle
        entry = self._vm.read(start + low * _PC_DESC.size, _PC_DESC.size)
        if entry is None:
            return None
        pc, scope, _, _ = _PC_DESC.unpack(entry)
        if pc < offset or (exact and pc != offset):
            return None
        return int(scope)
