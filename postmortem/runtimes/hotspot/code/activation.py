"""Which Java methods an activation stands for, and at which bytecode.

Interpreter frame slots: HotSpot cpu/x86/frame_x86.hpp, in words from the frame pointer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.runtimes.hotspot.layout.version import major
from postmortem.unwind.frame import VirtualFrame

if TYPE_CHECKING:
    from postmortem.runtimes.hotspot.code.codecache import Blob
    from postmortem.runtimes.hotspot.code.method import Method, Methods
    from postmortem.runtimes.hotspot.code.nmethod import Nmethod, Nmethods, Scope, ScopeValue
    from postmortem.runtimes.hotspot.layout.reading import Reading

_METHOD_SLOT = -3
_MOST_INLINED = 2
_INNERMOST = 4
"""Methods of a recorded position that are looked at for what their classes use."""
INLINES = "inlines"
"""In the note of an interrupted compiled frame, before what accesses raw memory in it."""
RAW_CLASS = re.compile(
    r"(?:sun\.misc\.Unsafe|jdk\.internal\.misc\.(?:Unsafe|ScopedMemoryAccess)|java\.nio\.Direct\w+"
    r"|jdk\.internal\.foreign\.\w+|java\.lang\.invoke\.VarHandleSegment\w*)"
)
RAW_MEMORY = re.compile(rf"{RAW_CLASS.pattern}\.(?:get|put|set|copy|compare)\w*")


class Compiled(NamedTuple):
    """An activation of compiled code: the inlined chain, innermost first; entry: where its prologue begins."""

    virtual: tuple[VirtualFrame, ...]
    level: int | None
    note: str | None
    entry: int
    patched: bool = False
    """Its return address was replaced, so that it is deoptimized; another call at this address need not be."""


class Activations:
    """Decodes activations of one VM; compiled ones once per address."""

    def __init__(self, vm: Reading, methods: Methods, nmethods: Nmethods) -> None:
        self.methods = methods
        self._word = vm.memory.word
        self._nmethods = nmethods
        # Since JDK 9 the mirror of the class has a slot of its own.
        self._bcp_slot = -7 if major(vm) == 8 else -8
        self.deciding = (_METHOD_SLOT, self._bcp_slot)
        self._known: dict[tuple[int, bool], Compiled] = {}

    def compiled(self, blob: Blob, pc: int, sp: int, interrupted: bool) -> Compiled:
        """The activation of an nmethod or native wrapper at pc; sp: its unextended stack pointer."""
        nmethod = self._nmethods.at(blob)
        if nmethod is None:
            return Compiled((), None, "the nmethod can't be read", blob.code_begin)
        patched = False
        if not interrupted and pc in nmethod.deopt_entries:
            original = self._word(sp + nmethod.orig_pc_offset)
            if original is not None and blob.code_begin <= original < blob.code_end:
                pc, patched = original, True
        known = self._known.get((pc, interrupted))
        if known is None:
            known = self._known[pc, interrupted] = self._decode(blob, nmethod, pc, interrupted)
        if patched:
            remark = "deoptimized when control returns here"
            return known._replace(note=f"{known.note}, {remark}" if known.note else remark, patched=True)
        return known

    def locals(self, blob: Blob, pc: int, sp: int) -> list[tuple[Scope, list[ScopeValue]]]:
        """The scopes at a return address in compiled code, or at a fault that has a record, with their locals."""
        nmethod = self._nmethods.at(blob)
        if nmethod is None:
            return []
        if pc in nmethod.deopt_entries:
            pc = self._word(sp + nmethod.orig_pc_offset) or pc
        return self._nmethods.locals(nmethod, pc - blob.code_begin)

    def _decode(self, blob: Blob, nmethod: Nmethod, pc: int, interrupted: bool) -> Compiled:
        remarks = []
        if nmethod.compile_id is not None:
            remarks.append(f"compile id {nmethod.compile_id}")
        if blob.kind == "native":
            remarks.append("native wrapper")
        if nmethod.entry_bci >= 0:
            remarks.append(f"OSR at bci {nmethod.entry_bci}")
        if nmethod.state:
            remarks.append("not entrant")
        offset = pc - blob.code_begin
        if interrupted and blob.kind == "nmethod":
            remarks += self._raw_memory(nmethod, offset)
        scopes = self._nmethods.scopes(nmethod, offset, exact=True)
        if not scopes and interrupted and blob.kind != "native":
            scopes = self._nmethods.scopes(nmethod, offset, exact=False)
            if scopes:
                remarks.append("bci of the next recorded position")
        virtual: list[VirtualFrame] = []
        for scope in scopes:
            method = self.methods.at(scope.method)
            if method is None:
                virtual = []
                break
            virtual.append(self.virtual(method, scope.bci if scope.bci >= 0 else None))
        if not virtual:
            root = self.methods.at(nmethod.method)
            if root is None:
                remarks.append("its Method can't be read")
            else:
                virtual = [self.virtual(root, None)]
        return Compiled(tuple(virtual), nmethod.level or None, ", ".join(remarks) or None, nmethod.verified_entry)

    def _raw_memory(self, nmethod: Nmethod, offset: int) -> list[str]:
        """What accesses memory off the heap in this code, and who called it. C2 keeps no record at the access itself,
        but at other places of the accessor; else the classes that the code compares with tell it, or those that the
        classes of its methods refer to."""
        found: dict[str, int] = {}
        for at, scopes in self._nmethods.recorded(nmethod):
            names = [method.name if (method := self.methods.at(scope.method)) is not None else "" for scope in scopes]
            outermost = max((n for n, name in enumerate(names) if RAW_MEMORY.fullmatch(name)), default=None)
            if outermost is None or outermost + 1 >= len(scopes):
                continue
            caller = self.methods.at(scopes[outermost + 1].method)
            if caller is None:
                continue
            place = self.virtual(caller, scopes[outermost + 1].bci)
            text = f"{INLINES} {names[outermost]} called by {caller.name}:{place.line}"
            found[text] = min(abs(at - offset), found.get(text, at))
        if not found:
            classes = (self.methods.class_name(word) for word in self._nmethods.metadata(nmethod))
            found = {f"{INLINES} {name}": 0 for name in classes if name and RAW_CLASS.fullmatch(name)}
        if not found:
            return self._users_of_raw_memory(nmethod)
        return sorted(found, key=lambda text: found[text])[:_MOST_INLINED]

    def _users_of_raw_memory(self, nmethod: Nmethod) -> list[str]:
        """The innermost recorded method of this code whose class refers to such a class: its calls leave no record."""
        deepest = sorted((scopes for _, scopes in self._nmethods.recorded(nmethod)), key=len, reverse=True)
        for address in dict.fromkeys(scope.method for scopes in deepest for scope in scopes[:_INNERMOST]):
            method = self.methods.at(address)
            used = None if method is None else self.methods.class_mentioned(method, RAW_CLASS)
            if method is not None and used is not None:
                return [f"part of it is {method.name}, whose class uses {used}"]
        return []

    def method(self, fp: int) -> Method | None:
        """The method of the interpreter frame at fp."""
        return self.methods.at(self._word(fp + 8 * _METHOD_SLOT))

    def interpreted(self, method: Method, fp: int, live: int | None) -> VirtualFrame:
        """The activation of an interpreter frame. live: r13, which holds the bytecode pointer in interpreter
        code; the frame's slot has it where that was called away from."""
        for bcp in (live, self._word(fp + 8 * self._bcp_slot)):
            if bcp is not None and method.code <= bcp < method.code + method.size:
                return self.virtual(method, bcp - method.code)
        return self.virtual(method, None)

    def virtual(self, method: Method, bci: int | None) -> VirtualFrame:
        """A frame of a method at a bytecode index; native ones have none."""
        if method.native:
            bci = None
        line = None if bci is None else self.methods.line(method, bci)
        return VirtualFrame(method.name, method.file, line, bci, method.implementation)
