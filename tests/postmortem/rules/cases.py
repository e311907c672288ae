"""For every rule: reports that fire it, near misses, and reports that lack the fact it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from postmortem.model import Address, Core, Cycle, JavaThread, Mapping, Memory, Module, Report, Thread
from postmortem.model.jvm import Jvm, VirtualThread
from postmortem.model.process import (
    CodeReference,
    LayoutMismatch,
    ModuleCandidate,
    PointerHolder,
    PointerSource,
    Process,
    TableCall,
    TypeLayout,
)
from postmortem.model.report import Arena, CxxException, NativeFacts
from postmortem.model.thread import StackRange, Wait
from tests.postmortem.rules.reports import (
    HEAP,
    MAPPINGS,
    PID,
    STACK,
    aborted,
    crashed,
    frame,
    joining,
    operand,
    report,
    signal,
    thread,
    waiting,
    wanting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cases(NamedTuple):
    """fires: the rule must find something; misses: it must not; lacks: a needed fact is absent."""

    fires: tuple[Report, ...]
    misses: tuple[Report, ...]
    lacks: tuple[Report, ...]


def _exception(type_: str = "shop::PaymentError", what: str | None = "card refused", **rest: Any) -> NativeFacts:
    values: dict[str, Any] = {"tid": PID, "handler_count": 1}
    item = CxxException(type=type_, what=what, address=Address(HEAP + 0x300), **(values | rest))
    return NativeFacts(exceptions=(item,))


def _module(path: str, **rest: Any) -> Module:
    values: dict[str, Any] = {"start": Address(1 << 20), "end": Address(2 << 20), "bias": Address(1 << 20)}
    return Module(path=path, **(values | rest))


def _said(text: str, **rest: Any) -> NativeFacts:
    return NativeFacts(abort_message=text, **rest)


TERMINATE = (
    "__gnu_cxx::__verbose_terminate_handler",
    "__cxxabiv1::__terminate",
    "std::terminate",
    "__cxa_throw",
)
FREE = ("malloc_printerr", "_int_free", "free", "close_order(int)", "main")
DATA = Mapping(
    start=Address(0x7F0000000000),
    end=Address(0x7F0000010000),
    permissions="r--s",
    path="/data/index.dat",
    offset=0,
)
NO_ACCESS = Mapping(start=Address(0x7E0000000000), end=Address(0x7E0000001000), permissions="---p")
GUARD = Mapping(start=Address(0x7E0000000000), end=Address(0x7E0000001000), permissions="---p", kind="guard")
THREAD_STACK = Mapping(
    start=Address(0x7E0000001000), end=Address(0x7E0000041000), permissions="rw-p", kind="stack", dumped=1
)
RANGE = StackRange(start=Address(0x7E0000001000), end=Address(0x7E0000041000), guard=Address(0x7E0000000000))


def _pushed(below: Mapping) -> Report:
    """A push at the very end of a stack, without room for a signal frame: the kernel tells no address."""
    inner = operand(0x7E0000000FF8, base="rsp", base_value=0x7E0000001000, displacement=-8, access="write")
    threads = (_deep(0x7E0000001000, cycles=(Cycle(start=0, period=2, count=4),)),)
    return crashed(11, 128, operands=(inner,), mappings=(*MAPPINGS, below, THREAD_STACK), threads=threads)


def _allocates(inner: str, interrupted: str) -> Thread:
    """A thread that waits in `inner` for a lock without owner, in a handler that interrupted `interrupted`."""
    libc = "/lib/libc.so.6"
    frames = (
        frame("__lll_lock_wait_private", module=libc),
        frame(inner, module=libc),
        frame("on_alarm"),
        frame("__restore_rt", kind="signal", module=libc),
        frame(interrupted, module=libc),
        frame("store"),
    )
    return thread(*frames, wait=Wait(syscall="futex", kind="futex", address=Address(0x7000)))


def _deep(sp: int, **rest: Any) -> Any:
    frames = tuple(frame(name) for name in ("parse", "parse_list") * 4)
    return thread(*frames, registers={"rsp": Address(sp)}, stack=RANGE, **rest)


_LOCK = "java.util.concurrent.locks.ReentrantLock$NonfairSync@0xc0001000"


def _wants_lock(state: str, owner_ended: bool | None) -> Thread:
    """A Java thread that waits for a lock of java.util.concurrent."""
    return thread(
        "park",
        java=JavaThread(name="w", state=state, blocked_on=_LOCK, blocked_by="auditor", owner_ended=owner_ended),
    )


def _virtual(state: str) -> VirtualThread:
    return VirtualThread(name="v", state=state, blocked_on=_LOCK, blocked_by="auditor", owner_ended=True)


def _many_mappings(count: int) -> tuple[Mapping, ...]:
    return tuple(
        Mapping(start=Address(n << 13), end=Address((n << 13) + 4096), permissions="rw-p", dumped=4096)
        for n in range(1 << 10, (1 << 10) + count)
    )


def _without_code(original: Report) -> Report:
    """The same report from a source that gives no si_code."""
    assert original.crash.signal is not None
    bare = msgspec.structs.replace(original.crash.signal, code=None, code_name=None, sender_pid=None)
    return msgspec.structs.replace(original, crash=msgspec.structs.replace(original.crash, signal=bare))


NULL_READ = crashed(address=0x40, operands=(operand(0x40, base="rax", base_value=0, displacement=0x40),), access="read")
FREED = 0x5A5A5A5A5A5A5A5A

GONE = 0x7F1234567000
_LIBC = _module("/lib/libc.so.6", build_id="cc", file_build_id="cc", status="matched", file="/lib/libc.so.6")


def _in_python(address: int, *functions: str, **rest: Any) -> Report:
    library = "/usr/lib/libpython3.11.so.1.0"
    inner = tuple(frame(name, module=library) for name in functions or ("PyList_New",))
    return crashed(address=address, threads=(thread(*inner, frame("nogil"), "main"),), **rest)


def _source(symbol: str) -> PointerSource:
    return PointerSource(register="rax", symbol=symbol, offset=0, module="/usr/lib/libpython3.11.so.1.0")


def _gone(*references: CodeReference, **rest: Any) -> Report:
    return crashed(address=GONE, pc=Address(GONE), access="execute", code_references=references, **rest)


def _reference(place: Literal["stack", "thread descriptor"], value: int) -> CodeReference:
    return CodeReference(place=place, at=Address(STACK), value=Address(value))


def _layouts() -> LayoutMismatch:
    def side(function: str, module: str, *members: str) -> TypeLayout:
        return TypeLayout(function=function, module=module, variable="config", size=32, members=members)

    here = side("apply", "/opt/libconfig.so.1", "member timeout at 8", "member name at 16")
    return LayoutMismatch(
        type="config", address=Address(HEAP), here=here, there=side("start", "/opt/zed", "member name at 8")
    )


def _table(offset: int, name: str = "vtable for Sink") -> TableCall:
    return TableCall(table=name, module="/opt/libsink.so", slot=Address(HEAP), offset=offset, size=40)


def _returned(pc: int, words: tuple[int, ...] = (0, 0)) -> Report:
    return crashed(
        address=pc, pc=Address(pc), access="execute", returned=True, return_neighbours=tuple(map(Address, words))
    )


CASES: dict[str, Cases] = {
    "null-dereference": Cases(
        (NULL_READ, crashed(address=0), crashed(address=0x18, access="write")),
        (
            crashed(address=0x20000),
            crashed(11, -6, address=0, sender=PID),
            crashed(11, 128, address=0x8000000000000000),
        ),
        (crashed(), report(), _without_code(NULL_READ)),
    ),
    "null-function-call": Cases(
        (crashed(address=0, pc=Address(0), access="execute", call_site="call qword ptr [rax+0x18]"),),
        (NULL_READ, crashed(address=0x13370000, pc=Address(0x13370000))),
        (crashed(pc=None), report()),
    ),
    "python-without-gil": Cases(
        (
            _in_python(0x10, pointer_source=_source("_PyRuntime")),
            _in_python(0x10, "_PyInterpreterState_GET", "PyList_New"),
            aborted(
                "fatal_error",
                "_Py_FatalErrorFunc",
                "PyList_New",
                "nogil",
                native=NativeFacts(runtime="Python", runtime_message="PyList_New: the GIL is released"),
            ),
        ),
        (
            _in_python(0x10, pointer_source=_source("small_table")),
            _in_python(0x7F1234560000, pointer_source=_source("_PyRuntime")),
            aborted(native=NativeFacts(runtime="Python", runtime_message="PyList_New: out of memory")),
        ),
        (crashed(), report()),
    ),
    "unloaded-code": Cases(
        (
            _gone(_reference("thread descriptor", GONE + 0x18)),
            _gone(_reference("stack", GONE + 0x18), _reference("stack", GONE + 0x50)),
            _gone(threads=(thread(frame(None, module=None), frame("__restore_rt", kind="signal"), frame("main")),)),
        ),
        (
            _gone(),  # a call through an overwritten pointer
            _gone(_reference("stack", GONE)),
            crashed(address=GONE, access="read", code_references=(_reference("stack", GONE + 0x18),)),
        ),
        (crashed(pc=None), report()),
    ),
    "class-definition-mismatch": Cases(
        (
            crashed(
                address=0xE7, pc=Address(0xE7), access="execute", table_call=_table(48), call_site="call [rax+0x20]"
            ),
            crashed(11, 128, mnemonic="call", instruction="call qword ptr [rax + 0x20]", table_call=_table(40)),
            crashed(address=0x3, layouts=_layouts()),
        ),
        (
            crashed(address=0, pc=Address(0), access="execute", table_call=_table(32)),
            crashed(address=0xE7, pc=Address(0xE7), access="execute", table_call=_table(48, "handlers")),
            crashed(11, -6, sender=PID, layouts=_layouts()),
        ),
        (crashed(address=0xE7, pc=Address(0xE7)), report()),
    ),
    "return-address-overwritten": Cases(
        (
            _returned(0x4242424242),
            _returned(GONE, (GONE, GONE)),
            _returned(GONE),
        ),
        (
            crashed(address=GONE, pc=Address(GONE), access="execute", call_site="0x401000: call rax"),
            crashed(address=GONE, access="read"),
        ),
        (crashed(pc=None), report()),
    ),
    "non-canonical-address": Cases(
        (
            crashed(11, 128, operands=(operand(0x72656C70656B5F, canonical=False, base="rax"),)),
            crashed(11, 128, operands=(operand(0x40934A0000000000, canonical=False, access="execute"),)),
        ),
        (
            crashed(address=0xFFFF888000000000),
            crashed(11, 128, operands=(operand(HEAP + 1, alignment=16, mapped=True),)),
        ),
        (crashed(11, 128), report()),
    ),
    "unmapped-address": Cases(
        (
            crashed(address=HEAP + 0x21008),
            crashed(address=0x13370000, pc=Address(0x13370000)),
            crashed(address=0x20000),
        ),
        (
            NULL_READ,
            crashed(11, 2, address=0x400010, access="write"),
            crashed(11, 0, sender=7, address=HEAP + 0x90000),
        ),
        (crashed(), report()),
    ),
    "protected-page": Cases(
        (crashed(11, 2, address=NO_ACCESS.start + 8, mappings=(*MAPPINGS, NO_ACCESS), access="read"),),
        (crashed(11, 2, address=0x400010, access="write"),),
        (crashed(11, 2), crashed(11, 2, address=NO_ACCESS.start, mappings=())),
    ),
    "write-to-read-only": Cases(
        (crashed(11, 2, address=0x400010, access="write"), crashed(11, 2, address=0x401000, access="write")),
        (crashed(address=HEAP + 0x21008, access="write"), crashed(11, 2, address=HEAP, pc=Address(HEAP))),
        (crashed(11, 2), crashed(11, 2, address=0x400010, mappings=())),
    ),
    "execute-non-executable": Cases(
        (crashed(11, 2, address=HEAP + 64, pc=Address(HEAP + 64), access="execute"),),
        (crashed(address=0, pc=Address(0)), crashed(11, 2, address=0x400010, access="write")),
        (crashed(11, 2, pc=None), crashed(11, 2, pc=Address(HEAP), address=HEAP, mappings=())),
    ),
    "use-after-free": Cases(
        (
            crashed(
                11,
                128,
                operands=(operand(0xDEADBEEFDEADBEF7, canonical=False, base_value=0xDEADBEEFDEADBEEF),),
            ),
            crashed(
                11,
                128,
                operands=(operand(FREED, canonical=False, base_value=FREED),),
                process=Process(pid=PID, environment={"MALLOC_PERTURB_": "90"}),
            ),
            crashed(
                address=(HEAP >> 12) + 8,
                operands=(operand((HEAP >> 12) + 8, base="rdx", base_value=HEAP >> 12),),
            ),
            crashed(address=(HEAP + 0x2C0) ^ (HEAP >> 12)),
            msgspec.structs.replace(
                NULL_READ,
                crash=msgspec.structs.replace(
                    NULL_READ.crash,
                    holders=(PointerHolder(address=Address(HEAP + 0x20), place="freed", allocator="CPython"),),
                ),
            ),
        ),
        (NULL_READ, crashed(address=0x45555555B2A0), crashed(11, -6, sender=PID, address=FREED)),
        (crashed(), report()),
    ),
    "stack-overflow": Cases(
        (
            crashed(
                11,
                2,
                address=0x7E0000000F00,
                mappings=(*MAPPINGS, GUARD, THREAD_STACK),
                threads=(
                    thread(
                        "walk",
                        registers={"rsp": Address(0x7E0000000F08)},
                        stack=StackRange(start=GUARD.start, end=GUARD.end),
                    ),
                ),
            ),
            crashed(
                11,
                2,
                address=0x7E0000000FF8,
                mappings=(*MAPPINGS, GUARD, THREAD_STACK),
                access="write",
                threads=(_deep(0x7E0000001000, cycles=(Cycle(start=0, period=2, count=4),)),),
            ),
            _pushed(GUARD),
            crashed(
                address=STACK - 8,
                threads=(
                    thread(
                        "f",
                        registers={"rsp": Address(STACK)},
                        stack=StackRange(start=Address(STACK), end=Address(STACK + 0x21000)),
                    ),
                ),
            ),
            crashed(
                address=STACK - 0x1000000,
                threads=(thread("f", registers={"rsp": Address(STACK - 0x1000000)}),),
            ),
        ),
        (
            _pushed(msgspec.structs.replace(GUARD, permissions="rw-p")),
            NULL_READ,
            crashed(
                11,
                2,
                address=0x7E0000000FF8,
                mappings=(*MAPPINGS, GUARD, THREAD_STACK),
                threads=(_deep(0x7E0000030000),),
            ),
        ),
        (crashed(address=STACK - 8, threads=()), crashed(threads=(_deep(0x7E0000001000),)), report()),
    ),
    "stack-smashing": Cases(
        (
            aborted("__libc_message", "__fortify_fail", "__stack_chk_fail", "parse", "main"),
            aborted("parse", native=_said("*** stack smashing detected ***: terminated\n")),
        ),
        (aborted("parse", native=_said("*** buffer overflow detected ***: terminated\n")),),
        (aborted("parse"), report()),
    ),
    "buffer-overflow-detected": Cases(
        (
            aborted(
                "__fortify_fail",
                "__chk_fail",
                "__strcpy_chk",
                "parse",
                native=_said("*** buffer overflow detected ***"),
            ),
        ),
        (aborted("__stack_chk_fail", "parse", native=_said("*** stack smashing detected ***")),),
        (aborted("parse"), report()),
    ),
    "heap-corruption": Cases(
        (
            aborted(*FREE, native=_said("double free or corruption (!prev)\n")),
            aborted(*FREE, native=_said("free(): invalid pointer\n")),
            aborted("malloc", native=_said("malloc.c:2617: sysmalloc: Assertion `(old_top == x)' failed.\n")),
            crashed(address=0x124C, threads=(thread("_int_free", "free", "main"),)),
            crashed(11, 128, mnemonic="hlt", threads=(thread("get_meta", "__libc_free", "main"),)),
            aborted(
                "RAW_LOG(int, char const*, ...)",
                "tc_free",
                "drop",
                native=NativeFacts(runtime="tcmalloc", runtime_message="memory allocation bug: object at 0x5648020"),
            ),
        ),
        (
            aborted("report", native=_said("shop: cart.c:3: total: Assertion `malloc_ok' failed.")),
            aborted("tc_free", native=NativeFacts(runtime="tcmalloc", runtime_message="statistics of the heap")),
            NULL_READ,
        ),
        (aborted(*FREE), aborted("RAW_LOG", "tc_free", native=NativeFacts(runtime="tcmalloc")), report()),
    ),
    "assertion-failure": Cases(
        (
            aborted(
                "__assert_fail",
                "Cart::total",
                native=_said("shop: cart.cpp:42: int Cart::total(): Assertion `sum >= 0' failed.\n"),
            ),
            aborted("x", native=NativeFacts(assertion="sum >= 0")),
            aborted("__assert_fail_base", "__assert_fail", "Cart::total"),
            aborted("std::__glibcxx_assert_fail(char const*, int, char const*, char const*)", "Cart::total"),
            aborted(
                "std::__glibcxx_assert_fail(char const*, int, char const*, char const*)",
                "std::vector<int>::operator[](unsigned long)",
                "Cart::total",
                native=NativeFacts(
                    runtime="libstdc++",
                    runtime_message="stl_vector.h:1123: int std::vector<_Tp>::operator[](size_type) [with _Tp = int]:"
                    " Assertion '__n < this->size()' failed.",
                ),
            ),
            aborted(
                "g_assertion_message_cmpnum",
                "load",
                native=NativeFacts(
                    runtime="GLib", runtime_message="ERROR:a.c:2:load: assertion failed (n > 5): (3 > 5)"
                ),
            ),
            aborted(
                "__assert_fail",
                "pthread_mutex_lock",
                "enter",
                native=_said(
                    "shop: pthread_mutex_lock.c:94: ___pthread_mutex_lock: Assertion `mutex->__data.__owner == 0'"
                    " failed."
                ),
            ),
        ),
        (
            aborted("malloc", native=_said("malloc.c:2617: sysmalloc: Assertion `x' failed.\n")),
            aborted("report"),
        ),
        (crashed(native=NativeFacts(assertion="sum >= 0")), report()),
    ),
    "uncaught-cxx-exception": Cases(
        (
            aborted(*TERMINATE, "Cart::pay(int)", "main", native=_exception()),
            aborted(*TERMINATE, native=_exception("int", None)),
            aborted(*TERMINATE, "f", native=_exception("Deep", None, base_text="no route", tid=None)),
            aborted("std::terminate()", "Cart::pay(int)", "main", native=_exception()),
        ),
        (
            aborted("main", native=_exception(handler_count=0)),
            aborted(*TERMINATE, "f", native=_exception("std::bad_alloc", "std::bad_alloc")),
            aborted(*TERMINATE, "f", native=_exception(tid=PID + 1)),
            aborted(*TERMINATE, "f", native=msgspec.structs.replace(_exception(tid=None), exceptions_attributed=True)),
            aborted("std::terminate()", "std::thread::~thread()", "main", native=_exception()),
        ),
        (aborted(*TERMINATE, "main"), report(native=_exception())),
    ),
    "terminate-without-exception": Cases(
        (
            aborted("std::terminate()", "std::thread::~thread()", "main"),
            aborted("std::terminate()", "main"),
            aborted("std::terminate()", "std::thread::~thread()", "Feed::~Feed()", "main", native=_exception()),
            aborted("std::terminate()", "__cxa_rethrow", "f", "main"),
            aborted("std::terminate()", "__cxa_rethrow", "f", native=_exception(tid=None, handler_count=0)),
        ),
        (
            aborted(*TERMINATE, "main", native=_exception()),
            aborted("std::terminate()", "__cxa_rethrow", "f", native=_exception()),
            aborted("std::terminate", "__cxa_pure_virtual", "f"),
        ),
        (aborted("main"), report()),
    ),
    "pure-virtual-call": Cases(
        (aborted("std::terminate", "__cxa_pure_virtual", "Shape::area()", "main"),),
        (aborted("Shape::area()", "main"),),
        (report(), crashed(threads=())),
    ),
    "out-of-memory": Cases(
        (
            aborted("std::alloc::rust_oom::{closure#0}", "alloc::alloc::handle_alloc_error", "shop::load"),
            aborted(*TERMINATE, "load", native=_exception("std::bad_alloc", "std::bad_alloc")),
            aborted(
                "load",
                native=NativeFacts(runtime="rust", runtime_message="memory allocation of 8 bytes failed"),
            ),
        ),
        (NULL_READ, crashed(address=0, native=_exception("std::bad_alloc", None, handler_count=0))),
        (aborted(*TERMINATE, "load"), report()),
    ),
    "rust-panic": Cases(
        (
            aborted(
                "__rust_start_panic",
                "rust_panic",
                "std::panicking::rust_panic_with_hook",
                "core::panicking::panic_fmt",
                "shop::total",
            ),
            aborted(
                "shop::total",
                native=NativeFacts(runtime="rust", runtime_message="panicked at src/main.rs:3: x"),
            ),
        ),
        (aborted("std::process::abort", "shop::main", "std::panicking::try", "std::rt::lang_start"),),
        (aborted("main"), report(native=NativeFacts(runtime="rust", runtime_message="panicked at"))),
    ),
    "go-fatal": Cases(
        (
            crashed(
                6,
                -6,
                sender=PID,
                threads=(thread("runtime.raise", "runtime.fatalpanic", "runtime.gopanic", "main.total"),),
            ),
        ),
        (
            aborted("main"),
            crashed(
                7,
                2,
                address=DATA.start,
                mappings=(*MAPPINGS, DATA),
                native=NativeFacts(runtime="Go", runtime_message="fatal error: fault"),
            ),
        ),
        (aborted("main", native=NativeFacts(runtime="go")), report()),
    ),
    "integer-overflow": Cases(
        (aborted("__addvsi3", "sum", "main"), aborted("__mulvdi3", "main")),
        (aborted("report", "__addvsi3_caller", "main"), aborted("f", "__addvsi3", "main")),
        (crashed(8, 1), crashed(threads=(thread("__addvsi3", "sum"),)), report()),
    ),
    "integer-division": Cases(
        (
            crashed(8, 1, mnemonic="idiv", operand_values={"divisor": 0, "dividend": 7}),
            crashed(8, 1, mnemonic="idiv", operand_values={"divisor": 0xFFFFFFFF, "quotient_bits": 32}),
            crashed(8, 1),
        ),
        (crashed(8, 3), crashed(8, -6, sender=PID)),
        (crashed(8, None), report()),
    ),
    "floating-point-exception": Cases((crashed(8, 3),), (crashed(8, 1),), (crashed(8, None), report())),
    "illegal-instruction": Cases(
        (
            crashed(4, 2, mnemonic="ud2", instruction="ud2"),
            crashed(4, 2, mnemonic="vfmaddps", instruction="vfmaddps xmm0, xmm1, xmm2, xmm3"),
            crashed(4, 2, instruction_bytes="0f0b"),
            crashed(4, 2, instruction_bytes="06"),
            crashed(4, 2),
        ),
        (crashed(5, 128), crashed(4, -6, sender=PID)),
        (crashed(4, None), report()),
    ),
    "privileged-instruction": Cases(
        (crashed(11, 128, mnemonic="hlt"),),
        (
            crashed(11, 128, mnemonic="movaps"),
            crashed(11, 128, mnemonic="hlt", threads=(thread("nontrivial_free", "__libc_free", "main"),)),
        ),
        (crashed(11, 128), report()),
    ),
    "breakpoint-trap": Cases(
        (crashed(5, 128), crashed(5, 128, threads=(thread("g_log_structured_array", "g_logv", "g_log", "load"),))),
        (crashed(5, -6, sender=PID),),
        (crashed(5, None), report()),
    ),
    "truncated-mapping": Cases(
        (
            crashed(7, 2, address=DATA.start + 0x9000, mappings=(*MAPPINGS, DATA), access="read"),
            crashed(7, 2, address=0x400010),
        ),
        (crashed(7, 1, address=DATA.start, mappings=(DATA,)), crashed(7, -6, sender=PID)),
        (crashed(7, 2), crashed(7, 2, address=DATA.start, mappings=())),
    ),
    "hardware-memory-error": Cases(
        (crashed(7, 4, address=HEAP),), (crashed(7, 2, address=HEAP),), (crashed(7, None), report())
    ),
    "misaligned-access": Cases(
        (
            crashed(11, 128, operands=(operand(HEAP + 8, alignment=16, mapped=True, base="rsp"),)),
            crashed(7, 1),
        ),
        (
            crashed(11, 128, operands=(operand(0x1234567800000008, alignment=16, canonical=False),)),
            crashed(11, 1, address=0x7000000, operands=(operand(0x7000000, alignment=16),)),
        ),
        (crashed(11, 128), report()),
    ),
    "seccomp-violation": Cases(
        (crashed(signal=signal(31, 1, syscall=110, syscall_name="getppid")), crashed(31, 1)),
        (crashed(31, -6, sender=PID),),
        (crashed(31, None), report()),
    ),
    "killed-by-signal": Cases(
        (crashed(11, 0, sender=7), crashed(3, -1, sender=0), crashed(6, -6, sender=1)),
        (crashed(11, -6, sender=PID), NULL_READ),
        (crashed(11, 0), crashed(11, 0, sender=7, process=Process()), report()),
    ),
    "raised-signal": Cases(
        (crashed(11, -6, sender=PID), crashed(25, 0, sender=PID, threads=(thread("kill", "main"),))),
        (aborted("main"), crashed(11, 0, sender=7), crashed(25, 0, sender=PID)),
        (crashed(11, -6), report()),
    ),
    "deliberate-abort": Cases(
        (
            aborted("give_up", "main"),
            crashed(6, -6, sender=PID, threads=(thread("raise", "give_up", "main"),)),
            aborted("log_fatal", "open_table", "main"),
        ),
        (crashed(6, 0, sender=7), aborted(*FREE, native=_said("free(): invalid pointer\n"))),
        (crashed(6, None), report()),
    ),
    "snapshot": Cases(
        (report(threads=(thread("main"),)), crashed(0, 0)),
        (NULL_READ, crashed(5, 128)),
        (report(), report(core=Core(path="hs_err", size=1, format="hs_err"), threads=(thread("main"),))),
    ),
    "fatal-signal": Cases(
        (
            crashed(11, 128, threads=(thread(frame(None, module="/lib/x86_64-linux-gnu/libc.so.6")),)),
            crashed(11, None, threads=()),
            # A remark is no verdict of a process that a signal ended.
            crashed(10, 128, threads=(thread("total", "main"),), modules=(_module("/opt/shop", status="deleted"),)),
        ),
        # Explained, and alive.
        (NULL_READ, crashed(11, 0, sender=7), report(threads=(thread("main"),))),
        (report(),),
    ),
    "resource-limit-signal": Cases(
        (
            crashed(24, 128),
            crashed(25, 0, sender=PID),
            crashed(25, 0, sender=PID, threads=(thread("write", "put", wait=Wait(syscall="write", kind="syscall")),)),
        ),
        (
            crashed(24, -6, sender=PID),
            crashed(24, 0, sender=7),
            crashed(25, 0, sender=PID, threads=(thread("kill", "main"),)),
            crashed(25, 0, sender=PID, threads=(thread(frame(None), wait=Wait(syscall="kill", kind="syscall")),)),
        ),
        (crashed(24, None), report()),
    ),
    "sanitizer-report": Cases(
        (
            aborted(
                "__sanitizer::Abort()",
                "__asan::ScopedInErrorReport::~ScopedInErrorReport()",
                "__asan_report_load8",
                "total",
            ),
            aborted(
                "f",
                native=NativeFacts(runtime="ubsan", runtime_message="x.c:3:4: runtime error: signed integer overflow"),
            ),
        ),
        (crashed(4, 2, mnemonic="ud2"), crashed(address=0x40, modules=(_module("/usr/lib/libasan.so.8"),))),
        (aborted("main", native=NativeFacts(runtime="asan")), report()),
    ),
    "crash-in-signal-handler": Cases(
        (
            crashed(
                address=0x64,
                unwrapped=True,
                handler_signal=signal(11, 1, fault_address=0x98),
                threads=(thread("process", "main", handler_frames=(frame("report"),)),),
            ),
            crashed(address=0x98, threads=(thread("report", frame("x", kind="signal"), "process"),)),
        ),
        (
            crashed(address=0x60, unwrapped=True, handler_signal=signal(6, -6)),
            crashed(6, -6, sender=PID, threads=(thread("abort", "watchdog", frame(None, kind="signal"), "poll"),)),
        ),
        (crashed(address=0x64, unwrapped=True), report()),
    ),
    "mutex-deadlock": Cases(
        (
            report(threads=(waiting(1, 0x1000, 2), waiting(2, 0x2000, 1))),
            report(threads=(waiting(1, 0x1000, 1),)),
            report(
                threads=(
                    waiting(9, 0x1000, 1),
                    waiting(1, 0x1000, 2),
                    waiting(2, 0x2000, 3),
                    waiting(3, 0x3000, 1),
                )
            ),
            report(threads=(joining(1, 2), joining(2, 1))),
            report(threads=(waiting(1, 0x1000, 2), joining(2, 1))),
            report(threads=(wanting(1, 1), joining(2, 1))),
            report(threads=(wanting(1, 2), wanting(2, 2), thread("accept", tid=3))),
            report(threads=(_allocates("malloc", "_int_free"),)),
        ),
        (
            report(threads=(waiting(1, 0x1000, 2), thread("sleep", tid=2))),
            report(threads=(waiting(1, 0x1000, 99, in_core=False),)),
            # A reader that runs may let go of the lock; nobody is known to hold it; one waits for it to be written.
            report(threads=(wanting(1, 1), thread("scan", tid=2))),
            report(threads=(wanting(1, None), joining(2, 1))),
            report(threads=(joining(1, 2), joining(2, 3), thread("render", tid=3))),
            report(threads=(_allocates("malloc", "memset"),)),
            report(threads=(_allocates("fopen", "_int_free"),)),
        ),
        (report(threads=(thread("pthread_mutex_lock"),)), report()),
    ),
    "lock-convoy": Cases(
        (report(threads=(thread("query_backend", tid=1), *(waiting(n, 0x1000, 1) for n in range(2, 22)))),),
        (
            report(threads=(thread("sleep", tid=1), waiting(2, 0x1000, 1))),
            report(threads=tuple(waiting(n, 0x1000, 99, in_core=False) for n in range(2, 22))),
            report(
                threads=(
                    thread("write", frame("x", kind="signal"), "query_backend", tid=1),
                    *(waiting(n, 0x1000, 1) for n in range(2, 22)),
                )
            ),
        ),
        (report(threads=tuple(thread("pthread_mutex_lock", tid=n) for n in range(20))), report()),
    ),
    "orphaned-lock": Cases(
        (
            report(threads=(waiting(1, 0x1000, 99, in_core=False),)),
            report(threads=(waiting(1, 0x1000, 99, in_core=False, shared=True),)),
            report(jvm=Jvm(), threads=(_wants_lock("WAITING", True),)),
            report(jvm=Jvm(virtual_threads=(_virtual("PARKED"),)), threads=(thread("sleep"),)),
        ),
        (
            report(threads=(waiting(1, 0x1000, 2), thread("sleep", tid=2))),
            report(threads=(joining(1, 99),)),
            report(jvm=Jvm(), threads=(_wants_lock("WAITING", None),)),
            report(jvm=Jvm(), threads=(_wants_lock("TIMED_WAITING", True),)),
            report(jvm=Jvm(virtual_threads=(_virtual("TIMED_PARKED"),)), threads=(thread("sleep"),)),
        ),
        (report(),),
    ),
    "thread-exhaustion": Cases(
        (
            aborted(
                *TERMINATE,
                "std::thread::_M_start_thread",
                "main",
                native=_exception("std::system_error", "Resource temporarily unavailable"),
            ),
            report(threads=tuple(thread("pool_wait", tid=n) for n in range(5000))),
        ),
        (
            report(threads=tuple(thread("pool_wait", tid=n) for n in range(300))),
            aborted(*TERMINATE, "open_log", native=_exception("std::system_error", "Permission denied")),
        ),
        (aborted(*TERMINATE, native=_exception("std::system_error", None)), report()),
    ),
    "mapping-exhaustion": Cases(
        (report(mappings=_many_mappings(65520)), report(memory=Memory(mappings=65531))),
        (report(mappings=_many_mappings(1000)),),
        (report(),),
    ),
    "malloc-arena-growth": Cases(
        (
            report(
                native=NativeFacts(
                    arenas=tuple(Arena(start=Address(n << 26), size=1 << 20) for n in range(30)),
                    anonymous=40 << 20,
                )
            ),
        ),
        (report(native=NativeFacts(arenas=(Arena(start=Address(1 << 26), size=1 << 20),), anonymous=1 << 20)),),
        (report(),),
    ),
    "replaced-binary": Cases(
        (
            report(modules=(_module("/opt/shop", build_id="aa", file_build_id="bb", status="mismatched"), _LIBC)),
            report(modules=(_module("/opt/shop (deleted)", status="deleted"),)),
        ),
        (
            report(modules=(_module("/opt/shop", build_id="aa", file_build_id="bb", status="mismatched"),)),
            report(
                modules=(
                    _module("/opt/shop", build_id="aa", file_build_id="bb", status="mismatched"),
                    _module("/lib/libc.so.6", build_id="cc", file_build_id="dd", status="mismatched"),
                )
            ),
            report(
                modules=(
                    _module(
                        "/opt/shop",
                        build_id="aa",
                        file_build_id="bb",
                        status="mismatched",
                        candidates=(ModuleCandidate(path="/tmp/shop", outcome="another build-id"),),
                    ),
                    _LIBC,
                )
            ),
            report(
                modules=(
                    _module("/opt/shop", build_id="aa", file_build_id="aa", status="matched"),
                    _module("[vdso]"),
                )
            ),
            report(
                modules=(_module("/tmp/hsperfdata_shop/7 (deleted)", status="deleted"),),
                mappings=(
                    Mapping(
                        start=Address(1 << 20),
                        end=Address(2 << 20),
                        permissions="rw-s",
                        path="/tmp/hsperfdata_shop/7 (deleted)",
                    ),
                ),
            ),
        ),
        (report(modules=(_module("/opt/shop"),)), report()),
    ),
    "mixed-libraries": Cases(
        (report(modules=(_module("/a/libz.so.1", build_id="aa"), _module("/b/libz.so.1", build_id="bb"))),),
        (report(modules=(_module("/a/libz.so.1", build_id="aa"), _module("/b/libz.so.1", build_id="aa"))),),
        (report(modules=(_module("/a/shop"), _module("/b/shop"))), report()),
    ),
    "truncated-core": Cases(
        (report(core=Core(path="core", size=10, format="elf-core", truncated=True, lost=1 << 20)),),
        (report(core=Core(path="core", size=10, format="elf-core")),),
        (report(),),
    ),
    "incomplete-core": Cases(
        (
            report(
                mappings=(
                    Mapping(
                        start=Address(STACK),
                        end=Address(STACK + 0x21000),
                        permissions="rw-p",
                        path="[stack]",
                        kind="stack",
                    ),
                )
            ),
            report(mappings=(Mapping(start=Address(1 << 30), end=Address(2 << 30), permissions="rw-p"),)),
        ),
        (
            report(mappings=MAPPINGS),
            report(
                core=Core(path="core", size=10, format="elf-core", truncated=True),
                mappings=(Mapping(start=Address(1 << 30), end=Address(2 << 30), permissions="rw-p"),),
            ),
        ),
        (report(),),
    ),
    "missing-symbols": Cases(
        (crashed(address=0x40, threads=(thread(frame(None)),), modules=(_module("/opt/shop", build_id="aa"),)),),
        (NULL_READ, crashed(threads=(thread(frame(None, module=None)),))),
        (report(), crashed(threads=())),
    ),
}


def each(kind: str) -> Iterator[tuple[str, int, Report]]:
    """(rule, number, report) of all reports of one kind."""
    for rule, cases in CASES.items():
        for number, item in enumerate(getattr(cases, kind)):
            yield rule, number, item
