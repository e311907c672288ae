"""One HotSpot VM in a core: found by its libjvm, its tables read, ready to unwind and to be asked for its state."""

from __future__ import annotations

import contextlib
import itertools
import struct
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from parsers.errors import ParseError
from parsers.limits import LIMITS
from postmortem.machines.machine import machine_of
from postmortem.model import Address, JavaThread
from postmortem.model.jvm import DamagedObject, Jvm, Safepoint, VirtualThread
from postmortem.model.queries.crash import SIGSTOP
from postmortem.model.report import RuntimeState
from postmortem.model.thread import StackRange
from postmortem.runtimes.hotspot import LIBRARY
from postmortem.runtimes.hotspot.code.activation import Activations
from postmortem.runtimes.hotspot.code.codecache import CodeCache
from postmortem.runtimes.hotspot.code.method import Methods
from postmortem.runtimes.hotspot.code.nmethod import Nmethods
from postmortem.runtimes.hotspot.code.stubs import StubNames
from postmortem.runtimes.hotspot.heap import damage
from postmortem.runtimes.hotspot.layout import archive
from postmortem.runtimes.hotspot.layout.oops import Oops
from postmortem.runtimes.hotspot.layout.reading import Reading, problem
from postmortem.runtimes.hotspot.layout.relocation import Relocations
from postmortem.runtimes.hotspot.layout.vmstructs import read_tables
from postmortem.runtimes.hotspot.stack.continuation import Continuations
from postmortem.runtimes.hotspot.stack.variables import JavaVariables
from postmortem.runtimes.hotspot.threads.compiling import compilations
from postmortem.runtimes.hotspot.threads.finalizers import FINALIZER, finalizer_queue
from postmortem.runtimes.hotspot.threads.monitors import Wait, deadlocks, waits
from postmortem.runtimes.hotspot.threads.pools import pools
from postmortem.runtimes.hotspot.threads.threads import VmThread, read_threads
from postmortem.runtimes.hotspot.threads.virtualthreads import VirtualThreads
from postmortem.runtimes.hotspot.vm import jnitable
from postmortem.runtimes.hotspot.vm.flags import flags
from postmortem.runtimes.hotspot.vm.operation import STATES, SYNCHRONIZING
from postmortem.runtimes.hotspot.vm.state import jvm_state
from postmortem.runtimes.hotspot.vm.vmerror import (
    failed_allocation,
    reported_fault,
    vm_error,
    vm_error_on_stack,
)
from postmortem.runtimes.hotspot.x86_64 import critical, loops, pollingpage
from postmortem.runtimes.hotspot.x86_64.continuationentry import ContinuationEntries
from postmortem.runtimes.hotspot.x86_64.frames import HotSpotUnwinder, Stack
from postmortem.runtimes.runtime import Runtime, State, Variables
from postmortem.unwind.callframes import CallFrames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Problem
    from postmortem.model.jvm import Heap
    from postmortem.program.modules import LoadedModule
    from postmortem.program.program import Program
    from postmortem.runtimes.hotspot.code.codecache import Blob
    from postmortem.runtimes.hotspot.layout.vmstructs import VmStructs
    from postmortem.runtimes.runtime import Asked
    from postmortem.symbols.symbolication import Symbolication
    from postmortem.unwind.frame import ForeignUnwinder, RawFrame, ReportedFault

_NOT_OWNED = ("join", "task", "read-lock")
"""Kinds of waits whose object nobody owns."""
_VTABLE = "vtable for "
_VTABLE_HEADER = 16


def attach(program: Program, symbolication: Symbolication) -> tuple[HotSpot | None, list[Problem]]:
    """The VM of the process, or None with the reason when there's a libjvm whose tables can't be read.

    A libjvm.so file of another build is never used: then its pages in the core must do.
    """
    libjvm = program.modules.named(LIBRARY)
    if libjvm is None:
        return None, []
    names = LibjvmSymbols(libjvm, symbolication)
    tables = read_tables(program.memory, names.address)
    if tables is None:
        lost = "the VM's own tables can't be read, so there are no Java frames and no VM state: "
        if libjvm.status == "matched":
            return None, [problem(libjvm.path, f"{lost}the core lacks the pages of libjvm's data")]
        wanted = libjvm.build_id or "(not in the core)"
        return None, [
            problem(
                libjvm.path,
                f"{lost}its file is {libjvm.status} and the core lacks the pages; wanted is build-id {wanted}",
                "give the libjvm.so that crashed with --sysroot or --debug-dir",
            )
        ]
    vm = HotSpot(program, tables, names)
    symbolication.tell(libjvm, vm.jni_function)
    return vm, []


class LibjvmSymbols:
    """Symbols of the libjvm that was loaded, as far as it or the core has them."""

    def __init__(self, libjvm: LoadedModule, symbolication: Symbolication) -> None:
        self._libjvm = libjvm
        self._symbolication = symbolication

    def address(self, name: str) -> int | None:
        """The address in memory of a symbol by its linkage name."""
        return self._symbolication.address_of(self._libjvm, name)

    def covers(self, address: int) -> bool:
        """Whether an address lies in the library."""
        return self._libjvm.start <= address < self._libjvm.end

    def with_prefix(self, prefix: str) -> Iterator[tuple[str, int]]:
        """(linkage name, address in memory) of all symbols that begin so."""
        symbols = self._symbolication.file(self._libjvm)
        if symbols is not None:
            for name, address, _ in symbols.addresses_of(prefix):
                yield name, address + self._libjvm.bias

    def class_of_vtable(self, pointer: int) -> str | None:
        """The C++ class whose vtable pointer this is."""
        found = self._symbolication.symbol_at(pointer)
        if found is None or found[1] != _VTABLE_HEADER or not found[0].startswith(_VTABLE):
            return None
        return found[0].removeprefix(_VTABLE)


class HotSpot(Runtime):
    """A HotSpot VM whose tables could be read."""

    name = "hotspot"

    def __init__(self, program: Program, tables: VmStructs, names: LibjvmSymbols) -> None:
        core, is_code = program.core, program.is_code
        machine = machine_of(core.machine)
        self._names = names
        self._frames = CallFrames(program)
        self._is_refused = program.is_refused
        self._has_faulted = core.signal is not None and (core.signal.code or 0) > 0 and core.signal.number != SIGSTOP
        self._vm = Reading(program.memory, tables)
        self.problems: list[Problem] = archive.add_pages(program, self._vm)
        self._flags, problems = flags(self._vm)
        self.problems += problems
        self._oops = Oops(self._vm, {flag.name: flag.value for flag in self._flags})
        values = {flag.name: flag.value for flag in self._flags}
        if values.get("UseZGC") == "true":
            kind = "X" if values.get("ZGenerational") == "false" else "Z"
            self._oops.relocations = Relocations(self._vm, names.address, kind)
        self._methods = Methods(self._oops)
        self._threads, problems = read_threads(
            self._vm,
            self._oops,
            names.address,
            names.class_of_vtable,
            {
                status.tid: (status.registers.get(machine.sp_name, 0), status.registers.get(machine.thread_pointer, 0))
                for status in core.threads
            },
        )
        self.problems += problems
        self._crashed_sp = core.threads[0].registers.get(machine.sp_name, 0) if core.threads else 0
        self._register_names = machine.names
        self._crashed_tid = core.threads[0].tid if core.threads else None
        self._pcs = {status.tid: status.registers.get(machine.pc_name, 0) for status in core.threads}
        self._cache = cache = CodeCache(self._vm)
        activations = Activations(self._vm, self._methods, Nmethods(self._vm))
        self._variables = JavaVariables(self._oops, activations, cache)
        self._continuations = Continuations(self._vm, self._oops, cache, activations, names.address)
        mounted = {thread.virtual for thread in self._threads.threads if thread.virtual}
        self._virtual_threads = VirtualThreads(self._vm, self._oops, self._continuations, mounted)
        entries = ContinuationEntries(self._vm, cache, activations, names.address, is_code)
        self._unwinder = HotSpotUnwinder(
            self._vm,
            cache,
            activations,
            StubNames(self._vm, names.with_prefix),
            [
                Stack(thread.low, thread.high, thread.anchor, thread.address)
                for thread in self._threads.threads
                if thread.high
            ],
            is_code,
            lambda stack: self._continuations.frozen(self._threads.by_address[stack.thread].virtual),
            lambda stack, sp: entries.above(stack.thread, sp, stack.high),
        )

    @property
    def generated(self) -> ForeignUnwinder:
        """Unwinder of interpreted and compiled frames and stubs."""
        return self._unwinder

    @property
    def reported(self) -> ReportedFault | None:
        """What the VM was reporting when the process ended; None: not known."""
        return reported_fault(self._vm, self._names.address)

    @cached_property
    def _jni_functions(self) -> dict[int, str]:
        checked = {flag.name: flag.value for flag in self._flags}.get("CheckJNICalls") == "true"
        threads = (thread.address for thread in self._threads.threads if thread.is_java)
        return jnitable.functions(self._vm.memory, threads, self._names.covers, checked)

    def jni_function(self, address: int) -> str | None:
        """The function of JNI that holds an address in a libjvm without symbols."""
        for table in self._frames.at(address) if self._jni_functions else ():
            with contextlib.suppress(ParseError, IndexError, struct.error):
                entry = table.find(address)
                if entry is not None:
                    return self._jni_functions.get(entry.start)
        return None

    @cached_property
    def _waits(self) -> dict[int, Wait]:
        return waits(self._vm, self._oops, self._threads, self._virtual_threads)

    def _wait_of(self, address: int) -> tuple[str, str | None, bool] | None:
        """What a thread waits for, the name of its holder, and whether that has ended."""
        wait = self._waits.get(address)
        if wait is None:
            return None
        return wait.text, None if wait.kind in _NOT_OWNED else wait.holder_name, wait.owner_ended

    def thread(self, tid: int) -> JavaThread | None:
        """What the VM knows of a thread of the core."""
        thread = self._threads.by_tid.get(tid)
        if thread is None:
            return None
        wait = self._waits.get(thread.address)
        return JavaThread(
            name=thread.name,
            daemon=thread.daemon,
            state=thread.state,
            thread_state=thread.thread_state,
            kind=thread.kind,
            address=Address(thread.address),
            java_tid=thread.java_tid,
            virtual_name=thread.virtual_name,
            virtual_tid=thread.virtual_tid,
            blocked_on=None if wait is None else wait.text,
            blocked_by=None if wait is None or wait.kind in _NOT_OWNED else wait.holder_name,
            owner_ended=True if wait is not None and wait.owner_ended else None,
            wait_kind=None if wait is None or wait.held_by is None else wait.kind,
            waits_for_tid=None if wait is None or wait.held_by is None else wait.held_by.tid,
            pending_exception=thread.pending_exception or self._put_aside(thread),
            stack=StackRange(start=Address(thread.low), end=Address(thread.high)) if thread.high else None,
            critical=self._critical(thread),
            loop_polls=self._loop_polls(thread),
        )

    def _put_aside(self, thread: VmThread) -> str | None:
        """Of the thread that crashed: the exception that was pending as it entered the VM."""
        if thread.tid != self._crashed_tid or thread.thread_state != "_thread_in_vm":
            return None
        return self._threads.preserved(thread.address, self._crashed_sp)

    @cached_property
    def _critical_at(self) -> int | None:
        """Where a JavaThread has the number of its critical sections."""
        places = {name.removeprefix("jni_"): address for address, name in self._jni_functions.items()}
        enter, leave = (
            self._names.address(f"jni_{name}") or places.get(name) for name in (critical.ENTER, critical.LEAVE)
        )
        return None if enter is None or leave is None else critical.offset(self._vm.memory, enter, leave)

    def _critical(self, thread: VmThread) -> int | None:
        """Of a thread in native code, in a process that no fault ended: else it is of no use."""
        if self._has_faulted or thread.thread_state != "_thread_in_native" or self._critical_at is None:
            return None
        count = self._vm.u32(thread.address + self._critical_at)
        return count if count is not None and count < LIMITS.critical_sections else None

    @cached_property
    def _synchronizing(self) -> bool:
        state = self._vm.u32(self._names.address("_ZN20SafepointSynchronize6_stateE"))
        if state is not None:
            return state == SYNCHRONIZING
        # Where the symbols are stripped: once it is reached, no thread runs compiled code any more.
        running = (thread for thread in self._threads.threads if thread.thread_state == "_thread_in_Java")
        if not any(self._compiled(self._cache.blob_at(self._pcs.get(thread.tid or 0, 0))) for thread in running):
            return False
        # The method that runs may have no poll; all poll the same page.
        methods = (code for blob in self._cache.blobs() if (code := self._compiled(blob)) is not None)
        page = pollingpage.page(itertools.islice(methods, LIMITS.polls_searched))
        return page is not None and self._is_refused(page)

    def _compiled(self, blob: Blob | None) -> tuple[bytes, int] | None:
        """Code and start of a compiled method."""
        if blob is None or blob.kind != "nmethod":
            return None
        size = min(blob.code_end - blob.code_begin, loops.LONGEST)
        return self._vm.memory.read_some(blob.code_begin, size), blob.code_begin

    def _loop_polls(self, thread: VmThread) -> bool | None:
        """Of a thread in compiled code, while a safepoint is begun."""
        if thread.thread_state != "_thread_in_Java" or not self._synchronizing:
            return None
        pc = self._pcs.get(thread.tid or 0, 0)
        compiled = self._compiled(self._cache.blob_at(pc))
        if compiled is None:
            return None
        mined = {flag.name: flag.value for flag in self._flags}.get("LoopStripMiningIter", "0") != "0"
        return loops.polled(*compiled, pc, mined)

    def variables(self, raw: RawFrame) -> Variables | None:
        """Parameters and locals of interpreted and compiled frames."""
        return self._variables.of(raw)

    def _damaged(self, asked: Asked, heap: Heap | None) -> tuple[DamagedObject, ...]:
        """Of the objects in the registers of the fault those whose header was overwritten."""
        walk = asked.walks[0].walk if asked.walks else None
        if walk is None or heap is None or not (walk.signal_frames or self._has_faulted):
            return ()
        taken = [item.registers for item in walk.signal_frames]
        taken += [walk.frames[0].registers] if walk.frames and walk.frames[0].registers is not None else []
        ranges = [(space.start, space.end) for space in heap.spaces if space.start and space.end]
        names = self._register_names
        for registers in taken:
            values = {names[number]: value for number, value in enumerate(registers or ()) if value is not None}
            found = damage.in_registers(self._oops, values, ranges)
            if found:
                return found
        return ()

    def state(self, asked: Asked) -> State:
        """The VM's state and what it uses address ranges for; what degraded is added to `problems`."""
        fields: dict[str, Any]
        fields, problems, uses = jvm_state(
            self._vm,
            self._oops,
            self._flags,
            self._names.address,
            self._names.class_of_vtable,
            asked.options.histogram,
            {thread.address: thread.name for thread in self._threads.threads if thread.name},
            asked.options.watch.progress,
        )
        self.problems += problems
        fields["error"] = vm_error(self._vm, self._names.address)
        if fields["error"] is None and fields["tier"] == "tables" and self._crashed_sp:
            fields["error"] = vm_error_on_stack(self._vm, self._crashed_sp)
        if fields["safepoint"] is None and self._synchronizing:
            fields["safepoint"] = Safepoint(state=STATES[SYNCHRONIZING])
        error = fields["error"]
        if error is not None and "OutOfMemory" in f"{error.message} {error.detail}" and self._crashed_sp:
            wanted = failed_allocation(self._vm, self._oops, self._names.class_of_vtable, self._crashed_sp)
            if wanted is not None:
                fields["error"] = msgspec.structs.replace(error, object_class=wanted[0], object_size=wanted[1])
        fields["damaged"] = self._damaged(asked, fields["heap"])
        fields["compilations"] = compilations(self._vm, self._threads, self._methods.name)
        fields["deadlocks"] = deadlocks(self._threads, self._waits, self._virtual_threads.waiting)
        fields["absent_threads"] = sum(t.is_java and t.tid is None for t in self._threads.threads)
        fields["thread_pools"] = pools(self._vm, self._oops, self._threads, self._waits)
        fields["virtual_threads"] = tuple(
            VirtualThread(
                name=group.name,
                java_tid=group.tid,
                state=group.state,
                frames=tuple(frame for raw in group.frames for frame in asked.name(raw)),
                count=group.number,
                blocked_on=group.blocked_on,
                blocked_by=group.blocked_by,
                owner_ended=group.owner_ended or None,
            )
            for group in self._virtual_threads.unmounted(self._wait_of)
        )
        fields["virtual_thread_states"] = self._virtual_threads.states()
        blocked = next((t for t in self._threads.threads if t.name == FINALIZER and t.state == "BLOCKED"), None)
        fields["finalizer_queue"] = None if blocked is None else finalizer_queue(self._vm, self._oops)
        self.problems += self._virtual_threads.problems
        jvm = Jvm(**fields)
        at = None if jvm.vm_operation is None else f"VM operation {jvm.vm_operation}"
        return State(RuntimeState(name="HotSpot", version=jvm.version, state=at), jvm=jvm, uses=uses)
