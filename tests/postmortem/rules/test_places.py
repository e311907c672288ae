"""Which place a title names, and which part of a bad address it blames: near misses beside each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from postmortem.model import Address, Mapping, Module, Value
from postmortem.model.report import NativeFacts
from postmortem.model.thread import StackRange
from postmortem.rules.engine import run
from tests.postmortem.rules.reports import (
    CODE,
    HEAP,
    MAPPINGS,
    PID,
    STACK,
    crashed,
    findings,
    frame,
    operand,
    thread,
    verdict,
    waiting,
)

JIT = Mapping(start=Address(0x7FFFF7000000), end=Address(0x7FFFF7001000), permissions="rwxp")
FAR = 0x7F0000000000


def title(report_rule: str, **rest: object) -> str:
    found = findings(crashed(11, 1, **rest), report_rule)  # type: ignore[arg-type]
    assert len(found) == 1
    return found[0].title


@pytest.mark.parametrize(("sp", "rule"), [(0x7E0000000F10, "stack-overflow"), (0x7E0000800000, "unmapped-address")])
def test_a_guard_without_a_mapping_of_its_own(sp: int, rule: str) -> None:
    """glibc 2.42 on Linux 6.13: nothing is mapped at an address of the stack's own mapping."""
    stack = Mapping(start=Address(0x7E0000000000), end=Address(0x7E0001000000), offset=0, permissions="rw-")
    range_ = StackRange(start=stack.start, end=stack.end)
    walking = thread("walk", registers={"rsp": Address(sp)}, stack=range_)
    report = crashed(11, 1, address=0x7E0000000F18, access="write", mappings=(stack,), threads=(walking,))
    found = run(report, strict=True)
    assert found.verdict is not None and found.verdict.rule == rule
    assert "No mapping holds" not in found.verdict.summary
    assert ("made a guard" in found.verdict.summary) == (rule == "unmapped-address")


@pytest.mark.parametrize("starter", ["__libc_start_call_main", "start_thread"])
def test_the_start_of_main_or_of_a_thread_made_no_call_of_null(starter: str) -> None:
    nowhere = frame(None, module=None, pc=Address(0), trust="context")
    null: dict[str, Any] = {"address": 0, "pc": Address(0), "access": "execute", "call_site": "0x401248: call rax"}
    started = findings(crashed(11, 1, threads=(thread(nowhere, starter),), **null), "null-function-call")[0]
    assert started.confidence == "likely" and "call rax" not in started.explanation
    assert "tail call" in started.explanation
    # Any other function of libc does call what it was given.
    called = findings(crashed(11, 1, threads=(thread(nowhere, "qsort", "main"),), **null), "null-function-call")[0]
    assert called.confidence == "certain" and "call rax" in called.explanation


def test_a_pointer_that_went_through_an_int_is_told_from_other_far_addresses() -> None:
    high = Mapping(start=Address(0x7F00E9BF4000), end=Address(0x7F00E9BF6000), permissions="rw-p")

    def told(value: int, *mappings: Mapping) -> str:
        inner = operand(value + 0x18, base="rax", base_value=value, displacement=0x18)
        report = crashed(11, 1, address=value + 0x18, operands=(inner,), mappings=(*MAPPINGS, *mappings))
        found = findings(report, "unmapped-address")[0]
        return f"{found.title} {found.explanation}"

    lost = "rax held a pointer that had lost its upper 32 bits"
    assert lost in told(0xFFFFFFFFE9BF4010, high)
    assert "0x7f00e9bf4010" in told(0xFFFFFFFFE9BF4010, high)
    assert lost not in told(0xFFFFFFFFE9BF4010) and lost not in told(0xFFFFFFFFE9BF8010, high)
    # Zeros in the upper half may be a small number: the title does not say so.
    zeros = told(0xE9BF4010, high)
    assert lost not in zeros and "0x7f00e9bf4010" in zeros
    large = Mapping(start=Address(0x7F0000000000), end=Address(0x7F00E0000000), permissions="rw-p")
    assert "lower half" not in told(0xE9BF4010, high, large)


def test_generated_code_is_the_place_and_not_its_caller() -> None:
    pc = Address(JIT.start + 4)
    inner = frame(None, module=None, pc=pc, trust="context")
    generated = {"address": 0, "pc": pc, "operands": (operand(0, base="rdi", base_value=0),)}
    stack = (thread(inner, "run_program"),)
    known = title("null-dereference", **generated, threads=stack, mappings=(*MAPPINGS, JIT))
    assert known.endswith(f"in generated code at {pc:#x}, called by run_program()")
    # Without a mapping that can be executed there it is no code, and the caller is all that is known.
    assert title("null-dereference", **generated, threads=stack).endswith("in run_program()")


@pytest.mark.parametrize(
    ("base", "index", "scale", "blamed"),
    [
        (HEAP, 0x10000000000, 4, "the index rax = 0x10000000000 leads out of the memory at rdx"),
        (HEAP, (1 << 64) - (1 << 40), 1, "the index rax = -0x10000000000 leads out of the memory at rdx"),
        (0x10000000000, HEAP, 1, "the index rdx = 0x10000000000 leads out of the memory at rax"),
        (FAR, 8, 4, ""),  # the pointer is bad
        (CODE, 0x10000000000, 4, ""),  # a pointer to code is no array
    ],
)
def test_an_index_is_blamed_where_the_pointer_is_good(base: int, index: int, scale: int, blamed: str) -> None:
    address = (base + index * scale) % (1 << 64)
    bad = operand(address, base="rdx", base_value=base, index="rax", index_value=index, scale=scale)
    told = title("unmapped-address", address=address, operands=(bad,))
    assert told.endswith(blamed) if blamed else "leads out of" not in told


def test_a_lost_frame_pointer_is_told_from_a_pointer_in_the_same_register() -> None:
    stack = StackRange(start=Address(STACK), end=Address(STACK + 0x21000))
    bad = operand(FAR - 8, base="rbp", base_value=FAR, displacement=-8)
    lost = (thread("handle", stack=stack, ended="no-rule"),)
    assert title("unmapped-address", address=FAR - 8, operands=(bad,), threads=lost).endswith(
        ": the frame pointer rbp is not in the stack"
    )
    walked = (thread("handle", "main", stack=stack, ended="bottom"),)
    assert "frame pointer" not in title("unmapped-address", address=FAR - 8, operands=(bad,), threads=walked)
    member = operand(FAR + 8, base="rbp", base_value=FAR, displacement=8)
    assert "frame pointer" not in title("unmapped-address", address=FAR + 8, operands=(member,), threads=lost)


def test_a_stack_pointer_without_a_stack() -> None:
    push = operand(FAR - 8, base="rsp", base_value=FAR, displacement=-8)
    assert title("unmapped-address", address=FAR - 8, operands=(push,)).endswith(
        "the stack pointer itself is in no mapping"
    )
    past = operand(STACK - 8 - (1 << 20), base="rsp", base_value=STACK + 8, displacement=-16 - (1 << 20))
    assert "itself" not in title("unmapped-address", address=past.address, operands=(past,))


def test_a_caller_behind_a_scanned_word_is_not_called_the_caller() -> None:
    pc = Address(JIT.start + 4)
    inner = frame(None, module=None, pc=pc, trust="context")
    generated = {"address": 0, "pc": pc, "operands": (operand(0, base="rdi", base_value=0),)}
    stack = (thread(inner, frame("eval", trust="scan"), "main"),)
    told = title("null-dereference", **generated, threads=stack, mappings=(*MAPPINGS, JIT))
    assert told.endswith(f"in generated code at {pc:#x}, below main()")


def test_a_function_in_the_place_of_libc_s_is_named_with_its_caller() -> None:
    null = {"address": 0, "operands": (operand(0, base="rdi", base_value=0),)}
    stands_in = frame("memcpy", module="/opt/libfast.so", file="/src/fast.c", line=2)
    assert title("null-dereference", **null, threads=(thread(stands_in, "copy_header"),)).endswith(
        "in memcpy(), fast.c:2, called by copy_header()"
    )
    own = frame("copy_header", module="/opt/libfast.so")
    assert title("null-dereference", **null, threads=(thread(own, "main"),)).endswith("in copy_header()")


def test_a_jump_to_null_in_a_handler_is_not_what_it_interrupted() -> None:
    nowhere = frame(None, module=None, pc=Address(0), trust="context")
    handled = (thread(nowhere, frame(None, kind="signal"), "main"),)
    called = crashed(11, 1, address=0, pc=Address(0), access="execute", threads=handled)
    told = findings(called, "null-function-call")[0].title
    assert told == "Call of a null function pointer in a signal handler, which interrupted main()"
    assert all(" 0x0" not in found.title for found in findings(called, "crash-in-signal-handler"))
    plain = crashed(11, 1, address=0, pc=Address(0), access="execute", threads=(thread(nowhere, "main"),))
    assert findings(plain, "null-function-call")[0].title == "Call of a null function pointer by main()"


def test_generated_code_that_calls_null_is_the_caller() -> None:
    nowhere = frame(None, module=None, pc=Address(0), trust="context")
    generated = frame(None, module=None, pc=Address(JIT.start + 6), trust="frame-pointer")
    stack = (thread(nowhere, generated, "interpret"),)
    null = {"address": 0, "pc": Address(0), "access": "execute", "threads": stack}
    told = title("null-function-call", **null, mappings=(*MAPPINGS, JIT))
    assert told == f"Call of a null function pointer by generated code at {JIT.start + 6:#x}, called by interpret()"
    assert title("null-function-call", **null).endswith("by interpret()"), "no code is there"


def test_a_hung_process_that_is_ended_shows_what_its_threads_wait_for() -> None:
    readers = tuple(waiting(tid, 0x5000, 0, kind="rwlock") for tid in (201, 202))
    idle = msgspec.structs.replace(thread("main"), crashed=True)
    ended = crashed(6, 0, sender=7, threads=(idle, *readers))
    told = findings(ended, "killed-by-signal")[0].explanation
    assert told.endswith(" 2 of 3 threads wait for the rwlock at 0x5000 (in worker_201(), worker_202()).")
    running = findings(crashed(6, 0, sender=7, threads=(idle,)), "killed-by-signal")[0].explanation
    assert "wait for the" not in running


def test_a_fault_in_python_names_the_extension_that_called_it() -> None:
    null = {"address": 8, "operands": (operand(8, base="rdi", base_value=0, displacement=8),)}
    python = "/usr/bin/python3.11"
    inner = frame("PyObject_GetAttrString", module=python)
    unnamed, evaluates = frame(None, module=python), frame("_PyEval_EvalFrameDefault", module=python)
    extension = frame("describe", module="/opt/desc.so")
    told = title("null-dereference", **null, threads=(thread(inner, unnamed, extension, evaluates),))
    assert told.endswith("in PyObject_GetAttrString(), called by describe()")
    left = frame("get", module="/opt/desc.so", tail_call="label")
    told = title("null-dereference", **null, threads=(thread(inner, left, evaluates),))
    assert told.endswith("in PyObject_GetAttrString(), called by label()")
    # Below the evaluation of Python code an extension has not made this call.
    told = title("null-dereference", **null, threads=(thread(inner, evaluates, extension),))
    assert told.endswith("in PyObject_GetAttrString()")


def test_a_caller_of_go_s_run_time_behind_a_scanned_word() -> None:
    panics = ("raise", "runtime.gopanic", "runtime.goPanicIndex")
    known = crashed(6, -6, sender=100, threads=(thread(*panics, "main.pick", "main.main"),))
    assert findings(known, "go-fatal")[0].title == "Go run-time error in main.pick()"
    guessed = crashed(6, -6, sender=100, threads=(thread(*panics, frame("main.pick", trust="scan"), "main.main"),))
    assert findings(guessed, "go-fatal")[0].title == "Go run-time error below main.main()"


def test_a_return_to_a_fill_pattern_is_no_use_of_freed_memory() -> None:
    jemalloc = 0x5A5A5A5A5A5A5A5A
    popped = operand(jemalloc, base="rsp", canonical=False)
    assert verdict(crashed(11, 128, operands=(popped,), mnemonic="ret")) == "non-canonical-address"
    read = operand(jemalloc + 8, base="rax", base_value=jemalloc, displacement=8, canonical=False)
    # Its owner is not seen in the process: a lead, no more.
    assert verdict(crashed(11, 128, operands=(read,))) == "non-canonical-address"
    loaded = (
        Module(path="/usr/lib/libjemalloc.so.2", start=Address(1 << 20), end=Address(2 << 20), bias=Address(1 << 20)),
    )
    assert verdict(crashed(11, 128, operands=(read,), modules=loaded)) == "use-after-free"


CHECKS = (
    "cmp qword ptr [rax + 0x10], rcx",
    "je 0x401020",
    "hlt",
    "movzx ecx, byte ptr [rax + 0x20]",
    "jge 0x401030",
    "hlt",
)


@pytest.mark.parametrize(
    ("module", "code", "expected"),
    [
        ("/lib/libc.musl-x86_64.so.1", CHECKS, "heap-corruption"),
        ("/opt/shop", CHECKS, "heap-corruption"),  # linked statically
        ("/opt/shop", CHECKS[:4], "null-dereference"),  # one hlt may be a program's own
        ("/lib/libc.musl-x86_64.so.1", (CHECKS[0], "mov eax, 1", "ret"), "null-dereference"),
        (
            "/lib/libc.musl-x86_64.so.1",
            (CHECKS[0], "mov rdx, rcx", "mov rsi, rcx", *CHECKS[1:]),
            "null-dereference",
        ),  # further on
    ],
)
def test_a_read_that_musl_checks_is_its_allocator_s(module: str, code: tuple[str, ...], expected: str) -> None:
    listing = tuple((Address(CODE + 0x10 + 4 * index), text) for index, text in enumerate(code))
    header = operand(0x10, base="rax", base_value=0, displacement=0x10)
    stack = (thread(frame(None, module=module, module_offset=Address(0x27E15), trust="context"), "close_conn"),)
    met = crashed(11, 1, address=0x10, operands=(header,), threads=stack, disassembly=listing)
    assert verdict(met) == expected


def test_glibc_s_mark_of_a_freed_block_is_known_by_its_value() -> None:
    mark = 0x1930EEB3933F56C1
    called = crashed(11, 128, operands=(operand(mark, canonical=False, access="execute"),))
    native = NativeFacts(freed_mark=Address(mark))
    assert verdict(msgspec.structs.replace(called, native=native)) == "use-after-free"
    other = NativeFacts(freed_mark=Address(mark ^ 8))
    assert verdict(msgspec.structs.replace(called, native=other)) == "non-canonical-address"
    assert verdict(called) == "non-canonical-address"


ARENAS = tuple(
    Mapping(start=Address(start), end=Address(end), permissions=permissions, kind=kind)
    for start, end, permissions, kind in (
        (0x7F0000000000, 0x7F0000021000, "rw-p", "malloc arena"),
        (0x7F0000021000, 0x7F0004000000, "---p", "reserved"),
        (0x7F0004000000, 0x7F0004021000, "rw-p", "malloc arena"),
        (0x7F0004021000, 0x7F0008000000, "---p", "reserved"),
        (0x7F000BFFF000, 0x7F000C000000, "---p", "guard"),
        (0x7F000C000000, 0x7F000C800000, "rw-p", "anonymous"),
    )
)


@pytest.mark.parametrize("sp", [0x7F0002000000, 0x7F0006000000, 0x7F000A000000])
def test_a_frame_larger_than_the_stack_may_end_in_an_arena(sp: int) -> None:
    caller = frame("worker", sp=Address(0x7F000C7FF000), trust="cfi")
    stack = (thread(frame("load", sp=Address(sp), trust="context"), caller, registers={"rsp": Address(sp)}),)
    deep = crashed(11, 2, address=sp, access="write", threads=stack, mappings=ARENAS)
    found = findings(deep, "stack-overflow")
    assert len(found) == 1
    assert found[0].title == "Stack overflow in load()"
    # A coroutine's stack in the arena itself: its callers lie there, too.
    coroutine = frame("worker", sp=Address(0x7F0000020000), trust="cfi")
    switched = (thread(frame("load", sp=Address(sp), trust="context"), coroutine, registers={"rsp": Address(sp)}),)
    assert not findings(crashed(11, 1, address=HEAP, threads=switched, mappings=ARENAS), "stack-overflow")


@pytest.mark.parametrize(
    ("own", "start", "confidence"),
    [(True, STACK, "certain"), (False, HEAP, "likely")],
)
def test_a_return_to_text_is_certain_on_the_thread_s_own_stack_only(own: bool, start: int, confidence: str) -> None:
    stack = StackRange(start=Address(start), end=Address(start + 0x21000))
    text = Address(0x4242424242)
    ended = crashed(
        11, 1, address=text, pc=text, returned=True, return_neighbours=(text,), threads=(thread(stack=stack),)
    )
    found = findings(ended, "return-address-overwritten")[0]
    assert found.confidence == confidence
    assert any("switch" in rival for rival in found.rivals) is not own


def test_the_descriptor_of_a_thread_tells_its_own_stack() -> None:
    stack = StackRange(start=Address(HEAP), end=Address(HEAP + 0x21000))
    text = Address(0x4242424242)
    for fs_base, confidence in ((HEAP + 0x20000, "certain"), (FAR, "likely")):
        other = msgspec.structs.replace(
            thread(stack=stack, registers={"fs_base": Address(fs_base)}), tid=PID + 1, crashed=True
        )
        ended = crashed(11, 1, address=text, pc=text, returned=True, return_neighbours=(text,), threads=(other,))
        assert findings(ended, "return-address-overwritten")[0].confidence == confidence


def test_minus_one_is_no_null_pointer() -> None:
    failed = operand(7, base="rax", base_value=(1 << 64) - 1, displacement=8)
    report = crashed(11, 1, address=7, operands=(failed,))
    assert verdict(report) == "unmapped-address"
    assert "MAP_FAILED" in findings(report, "unmapped-address")[0].explanation
    null = operand(8, base="rax", base_value=0, displacement=8)
    assert verdict(crashed(11, 1, address=8, operands=(null,))) == "null-dereference"


def test_a_number_in_a_pointer_s_place() -> None:
    number = operand(0x7361, base="rsi", base_value=0x7361)
    assert title("null-dereference", address=0x7361, operands=(number,)).startswith(
        "Read through 0x7361, a small number"
    )
    member = operand(0x5DC, base="rsi", base_value=0x5DC)
    assert title("null-dereference", address=0x5DC, operands=(member,)).startswith(
        "Read through 0x5dc, a small number or null plus an offset"
    )
    printing = (
        thread(frame("strlen", module="/lib/libc.so.6"), frame("__vfprintf_internal", module="/lib/libc.so.6")),
    )
    told = findings(crashed(11, 1, address=0x5DC, operands=(member,), threads=printing), "null-dereference")[0]
    assert told.title.startswith("Read through 0x5dc")
    assert "%s" in told.explanation


@pytest.mark.parametrize(
    ("mnemonic", "modules", "told"),
    [
        ("vpcmpeqb", ("/lib/libc.so.6", "/lib/libc.so.6"), True),
        ("pcmpeqb", ("/lib/libc.so.6", "/lib/libc.so.6"), True),
        # printf reads its own structures, the stream's among them, by moves.
        ("mov", ("/lib/libc.so.6", "/lib/libc.so.6"), False),
        ("movdqu", ("/lib/libc.so.6", "/lib/libc.so.6"), False),
        # A function that a program registered for a conversion of its own.
        ("vpcmpeqb", ("/opt/shop", "/lib/libc.so.6"), False),
        # Called by printf itself, and not by what works on a conversion.
        ("vpcmpeqb", ("/lib/libc.so.6",), False),
    ],
)
def test_a_string_that_printf_searches_in_a_libc_without_symbols(
    mnemonic: str, modules: tuple[str, ...], told: bool
) -> None:
    member = operand(0x5DC, base="rdi", base_value=0x5DC)
    stack = thread(
        *(frame(None, module=module) for module in modules), frame("printf", module="/lib/libc.so.6"), "print", "main"
    )
    report = crashed(11, 1, address=0x5DC, operands=(member,), threads=(stack,), mnemonic=mnemonic)
    found = findings(report, "null-dereference")[0]
    assert ("%s" in found.explanation) == told


def test_a_function_that_python_called_through_ctypes() -> None:
    python, libc = "/usr/bin/python3.11", "/lib/x86_64-linux-gnu/libc.so.6"
    through = (
        frame(None, module="/usr/lib/libffi.so.8.1.2", module_offset=Address(0x6F7A)),
        frame("ffi_call", module="/usr/lib/libffi.so.8.1.2"),
        frame(None, module="/usr/lib/_ctypes.cpython-311-x86_64-linux-gnu.so", module_offset=Address(0xA42B)),
        frame("_PyObject_MakeTpCall", module=python),
        frame("_PyEval_EvalFrameDefault", module=python),
    )
    null: dict[str, Any] = {"address": 0, "operands": (operand(0, base="rdi", base_value=0),)}
    directly = crashed(11, 1, threads=(thread(frame("__strlen_evex", module=libc), *through),), **null)
    (finding,) = findings(directly, "null-dereference")
    assert finding.title == "Null pointer read at address 0 in strlen(), called from Python through ctypes"
    assert "calls strlen() through ctypes" in finding.remedies[0]
    assert finding.evidence[-1].value == "__strlen_evex"
    own = (frame("__strlen_evex", module=libc), frame("describe", module="/opt/libdesc.so"), *through)
    (finding,) = findings(crashed(11, 1, threads=(thread(*own),), **null), "null-dereference")
    assert finding.title.endswith("in strlen(), called by describe(), called from Python through ctypes")
    # An extension calls libc itself; ctypes lies further out, behind the interpreter that a callback entered.
    extension = (frame("__strlen_evex", module=libc), frame("describe", module="/usr/lib/desc.cpython-311.so"))
    callback = (*extension, frame("_PyEval_EvalFrameDefault", module=python), *through)
    (finding,) = findings(crashed(11, 1, threads=(thread(*callback),), **null), "null-dereference")
    assert finding.title.endswith("in strlen(), called by describe()")


def _turns(*values: str | None) -> tuple[Any, ...]:
    """A recursion whose turns have these values of one argument; None: it is not known."""
    from postmortem.model import Frame, Value

    def argument(text: str | None) -> Value:
        return Value(
            name="depth", type="int", value=text, text=text or "", unavailable=None if text else "optimized out"
        )

    frames: list[Frame] = [frame("parse", arguments=(argument(text),)) for text in values]
    return (*frames, *(frame("parse") for _ in range(40)))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (("7", "7", "7", "7"), "never end"),
        (("7", "7", "7"), "never end"),
        (("9", "8", "7", "6"), "does not tell"),
        (("7", "7", "7", "8"), "does not tell"),
        (("7", "7"), "does not tell"),
        (("7", None, "7", "7"), "does not tell"),
        ((), "does not tell"),
    ],
)
def test_a_recursion_is_endless_where_its_turns_have_the_same_arguments(
    values: tuple[str | None, ...], told: str
) -> None:
    from postmortem.model import Cycle

    stack = StackRange(start=Address(STACK), end=Address(STACK + 0x21000))
    frames = _turns(*values)
    deep = thread(
        *frames,
        stack=stack,
        registers={"rsp": Address(STACK + 8)},
        cycles=(Cycle(start=0, period=1, count=len(frames)),),
    )
    (finding,) = findings(crashed(11, 1, address=STACK - 8, access="write", threads=(deep,)), "stack-overflow")
    assert "by recursion: parse(), " in finding.title
    assert [words for words in ("never end", "does not tell") if words in finding.explanation] == [told]


def test_a_destructor_on_another_thread_is_named_beside_a_pure_virtual_call() -> None:
    crash = crashed(6, -6, threads=(thread("std::terminate", "__cxa_pure_virtual", "poll", "start_thread"),))

    def beside(*others: str) -> str:
        threads = tuple(thread(name, "stop", tid=7 + n) for n, name in enumerate(others))
        found = findings(msgspec.structs.replace(crash, threads=(*crash.threads, *threads)), "pure-virtual-call")[0]
        return f"{found.explanation} {found.remedies}"

    assert "is in Source::~Source()" in beside("Source::~Source()", "Source::read()") and "join" in beside("A::~A()")
    for others in (("Source::read()",), ("std::thread::~thread()",), ("A::~A()", "B::~B()")):
        assert "a destructor that runs" not in beside(*others)


def test_a_structure_whose_pointers_are_text_is_no_such_object() -> None:
    arena = Mapping(start=Address(0x7FA2B8000000), end=Address(0x7FA2B80E6000), permissions="rw-", kind="malloc arena")

    def told(points_to: str, where: int = 0x7FA2B80D79A0) -> str:
        held = Value(name="im", type="image *", value=hex(where), text=hex(where), points_to=points_to)
        inner = frame("shade_row", arguments=(held,))
        report = crashed(address=0x7FA2C0000000, threads=(thread(inner, "main"),), mappings=(*MAPPINGS, arena))
        found = findings(report, "unmapped-address")[0]
        assert found.evidence
        return found.explanation

    text = "palette = 0x6e69676973202c74, pixels = 0x76202c2a745f6f66 <page not in the core>"
    assert "im leads to a block of malloc whose pointers palette ('t, sigin') and pixels" in told(
        f"{{width = 7, {text}}}"
    )
    for points_to in ("{pixels = 0x76202c2a745f6f66}", f"{{{text}, next = 0x7fa2b80d7000}}", "{width = 7}"):
        assert "leads to a block" not in told(points_to)
    assert "leads to a block" not in told(f"{{{text}}}", 0x1000)
