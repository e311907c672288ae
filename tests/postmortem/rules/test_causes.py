"""What a finding says of how it came to the crash: the other explanation beside each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from postmortem.model import Address, Finding, Mapping, Module, Report
from postmortem.model.process import FreedPointer, Process, TableCall
from postmortem.model.queries import tables
from postmortem.model.report import CxxException, NativeFacts, RustPanic
from postmortem.model.thread import Value
from postmortem.rules.engine import run
from tests.postmortem.rules.reports import (
    CODE,
    HEAP,
    PID,
    STACK,
    aborted,
    crashed,
    findings,
    frame,
    operand,
    thread,
    verdict,
)


def _thrown(*kinds: CxxException) -> tuple[Finding, ...]:
    stack = ("abort", "std::terminate()", "__cxa_throw", "Tx::rollback()", "Tx::~Tx()", "import_rows()", "main")
    return findings(aborted(*stack, native=NativeFacts(exceptions=kinds)), "uncaught-cxx-exception")


def _cxx(type_: str, **rest: Any) -> CxxException:
    return CxxException(type=type_, what="why", address=Address(HEAP + 16 * len(type_)), **rest)


def test_what_was_unwound_when_another_exception_was_thrown() -> None:
    first = _cxx("First", unwound=True, resumed=True)
    second = _cxx("Second", tid=PID, depth=0, handler_count=1, uncaught=1)
    told = _thrown(first, second)[0]
    assert told.title.endswith("rollback(), thrown while First: why was unwound")
    assert "No handler" not in told.explanation and "Tx::~Tx() is on the stack" in told.explanation
    # One that is only kept is not it; two that may be it, or none: it is not named.
    assert "while First: why" in _thrown(first, _cxx("Kept", unwound=True), second)[0].title
    for others in ((first, _cxx("Third", unwound=True, resumed=True)), (_cxx("Kept", unwound=True),)):
        assert "thrown while another exception was unwound" in _thrown(*others, second)[0].title
    # The thread was unwinding no other: the one in memory is only kept.
    kept = _thrown(first, msgspec.structs.replace(second, uncaught=0))[0]
    assert "First" not in kept.title and "No handler was found up to the bottom" in kept.explanation
    # Not known how many: neither is claimed.
    open_ = _thrown(first, msgspec.structs.replace(second, uncaught=None))[0]
    assert "First" not in open_.title and "or a destructor that ran for another exception" in open_.explanation


def _panicked(boundary: str, *taken_at: int) -> Finding:
    panics = tuple(RustPanic(address=Address(HEAP), taken_at=Address(at), text=f"text {at:#x}") for at in taken_at)
    frames = (
        frame("core::panicking::panic_nounwind", sp=Address(0x1000)),
        frame(f"core::panicking::{boundary}", sp=Address(0x1100)),
        frame("shop::apply", sp=Address(0x1200)),
        frame("shop::main", sp=Address(0x1300)),
    )
    native = NativeFacts(runtime="Rust", runtime_message="panicked at x.rs:1:1: in cleanup", panics=panics)
    return findings(crashed(6, -6, sender=PID, threads=(thread(*frames),), native=native), "rust-panic")[0]


def test_the_frame_that_takes_a_panic_tells_which_came_first() -> None:
    both = _panicked("panic_in_cleanup", 0x1300, 0x1200)
    assert (
        both.title
        == "Rust panic: text 0x1300; while it was unwound in shop::apply(), a destructor panicked: text 0x1200"
    )
    assert "abort on that" not in both.explanation
    first = _panicked("panic_in_cleanup", 0x1300)
    assert first.title == "Rust panic: text 0x1300; while it was unwound in shop::apply(), a destructor panicked"
    assert "in cleanup" not in first.title
    into_c = _panicked("panic_cannot_unwind", 0x1300, 0x1200)
    assert into_c.title == "Rust panic: text 0x1200, stopped in shop::apply(), which cannot unwind"
    assert _panicked("panic_cannot_unwind", 0x1300).title == "Rust panic, stopped in shop::apply(), which cannot unwind"
    # In older versions it is on its way to a frame further out.
    passing = _panicked("panic_no_unwind", 0x1300)
    assert passing.title == "Rust panic: text 0x1300, stopped in shop::apply(), which cannot unwind"
    assert "text" not in _panicked("panic_no_unwind", 0x1400, 0x1300).title


def _through(value: int, modules: tuple[str, ...] = (), **environment: str) -> str:
    bad = operand(value, base="rax", base_value=value, canonical=False)
    process = Process(pid=PID, environment=environment)
    loaded = tuple(
        Module(path=path, start=Address(1 << 20), end=Address(2 << 20), bias=Address(1 << 20)) for path in modules
    )
    ended = crashed(11, 128, operands=(bad,), process=process, modules=loaded)
    return " ".join(f"{found.rule} {found.confidence} {found.explanation}" for found in run(ended).findings)


def test_a_fill_is_the_allocator_s_whose_it_is() -> None:
    unknown = _through(0x5A5A5A5A5A5A5A5A)
    assert "use-after-free possible" in unknown and "which no module of this process is known to do" in unknown
    assert "use-after-free likely" in _through(0x5A5A5A5A5A5A5A5A, ("/usr/lib/libjemalloc.so.2",))
    # 0xa5 in freed memory is 0x5a in what is given out.
    fresh = _through(0x5A5A5A5A5A5A5A5A, MALLOC_PERTURB_="165")
    assert "use-after-free" not in fresh and "the pointer was never set" in fresh
    freed = _through(0xA5A5A5A5A5A5A5A5, GLIBC_TUNABLES="glibc.malloc.check=3:glibc.malloc.perturb=0xa5")
    assert "use-after-free likely" in freed and "GLIBC_TUNABLES makes glibc fill" in freed


def test_a_fill_is_no_string() -> None:
    filled = _through(0x4444444444444444)
    assert "Each byte of 0x4444444444444444 is 0x44 ('D' as text)" in filled and "string" not in filled
    text = _through(0x63656863202C6863)
    assert "are text, 'ch, chec'" in text and "string was written" not in text


@pytest.mark.parametrize(
    ("function", "linked", "rule"),
    [
        ("__libc_malloc_impl", "musl", "heap-corruption"),
        ("enframe", "musl", "heap-corruption"),
        ("__stack_chk_fail", "musl", "stack-smashing"),
        ("exit", "musl", "privileged-instruction"),
        ("enframe", None, "privileged-instruction"),
    ],
)
def test_a_stop_of_musl_is_what_its_function_says(function: str, linked: str | None, rule: str) -> None:
    stack = thread(frame(function, linked_library=linked), "insert", "main")
    ended = crashed(11, 128, mnemonic="hlt", instruction="hlt", threads=(stack,))
    assert verdict(ended) == rule


def test_the_c_library_s_functions_are_not_the_program_s_where_it_is_linked_in() -> None:
    null = operand(0, base="rdi", base_value=0)
    for linked, title in (
        ("glibc", "Null pointer read at address 0 in strcmp(), called by order()"),
        (None, "Null pointer read at address 0 in msort_with_tmp()"),
    ):
        stack = thread(
            frame("__strcmp_evex", linked_library=linked),
            frame("msort_with_tmp.part.0", linked_library=linked),
            frame("__qsort_r", linked_library=linked),
            "order",
        )
        ended = crashed(11, 1, address=0, operands=(null,), access="read", threads=(stack,))
        assert findings(ended, "null-dereference")[0].title == title


def test_a_heap_s_damage_may_be_a_wild_write() -> None:
    native = NativeFacts(abort_message="malloc(): corrupted top size")
    told = findings(aborted("malloc_printerr", "_int_malloc", "malloc", "pad", native=native), "heap-corruption")[0]
    assert "or something wrote there through a bad pointer" in told.explanation


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("670fb94014", "a shift by too much or of a negative value"),
        ("670fb900", "overflow of an addition"),
        ("670fb9400c", "overflow of a multiplication"),
        ("670fb9407f", None),
        ("0fb9", None),
        ("0f0b", None),
    ],
)
def test_clang_s_trap_has_the_number_of_its_check(code: str, words: str | None) -> None:
    trap = crashed(4, 2, mnemonic="ud1", instruction="ud1", instruction_bytes=code)
    (told,) = findings(trap, "illegal-instruction")
    assert told.title.startswith("Compiler trap reached" if words is None else f"Failed check of -fsanitize, {words},")
    assert told.claim == ("observation" if words is None else "cause")


def test_the_handler_of_ubsan_tells_the_check_without_its_text() -> None:
    stack = ("__sanitizer::Abort()", "__ubsan_handle_shift_out_of_bounds_abort", "width", "main")
    (told,) = findings(aborted(*stack), "sanitizer-report")
    assert told.title == "UndefinedBehaviorSanitizer: shift by too much or of a negative value in width()"
    (other,) = findings(aborted("__sanitizer::Abort()", "__ubsan::Diag::~Diag()", "width"), "sanitizer-report")
    assert other.title == "UndefinedBehaviorSanitizer ended the process in width()"


def test_a_static_object_that_is_gone() -> None:
    null = operand(0x18, base="rax", base_value=0, displacement=0x18)
    for outer, said in (("__run_exit_handlers", True), ("main", False)):
        stack = thread("registry_remove", "Service::~Service()", outer, "exit")
        (told,) = findings(crashed(11, 1, address=0x18, operands=(null,), threads=(stack,)), "null-dereference")
        assert ("exit() runs the destructors of static objects, and Service::~Service()" in told.explanation) is said


def test_a_variable_of_an_inlined_library_function_is_told_with_that() -> None:
    null = operand(0x18, base="rax", base_value=0, displacement=0x18, pointer="this", target="this->count")
    value = Value(name="this", value="0x0", text="0x0")
    header = frame("std::map::size", file="/usr/include/c++/12/map", inlined=True, arguments=(value,), pc=Address(CODE))
    stack = thread(header, frame("registry_remove", file="/src/reg.cc", line=7, pc=Address(CODE)), "main")
    ended = crashed(11, 1, address=0x18, pc=Address(CODE), operands=(null,), threads=(stack,))
    assert findings(ended, "null-dereference")[0].title.endswith(
        "registry_remove(), reg.cc:7: this of std::map::size() is null"
    )


def test_an_impossible_size_is_no_lack_of_memory() -> None:
    for size, title in ((1 << 63, "Impossible size of an allocation"), (1 << 30, "Out of memory")):
        native = NativeFacts(runtime="Rust", runtime_message=f"memory allocation of {size} bytes failed")
        (told,) = findings(aborted("std::alloc::rust_oom", "shop::load", native=native), "out-of-memory")
        assert told.title.startswith(title) and told.claim == "cause"
    native = NativeFacts(exceptions=(_cxx("std::bad_alloc", tid=PID, depth=0, handler_count=1),))
    (unknown,) = findings(aborted("std::terminate", "__cxa_throw", "load", native=native), "out-of-memory")
    assert unknown.claim == "observation" and len(unknown.rivals) == 2


def test_advice_on_a_number_in_a_pointer_s_place_is_not_on_null() -> None:
    number = operand(0x1E, base="rsi", base_value=0x1E)
    (told,) = findings(crashed(11, 1, address=0x1E, operands=(number,)), "null-dereference")
    assert told.title.startswith("Read through 0x1e, a small number or null plus an offset")
    assert "variadic" in told.remedies[0] and not any("JVM" in rival for rival in told.rivals)
    free = NativeFacts(abort_message="free(): invalid pointer")
    (freed,) = findings(aborted("malloc_printerr", "_int_free", "free", "close", native=free), "heap-corruption")
    assert not any("Unsafe" in advice for advice in freed.remedies)


def _freed(said: str = "free(): invalid pointer", **rest: Any) -> Finding:
    values: dict[str, Any] = {"call": "free", "address": Address(HEAP + 0x10)}
    ended = aborted("malloc_printerr", "_int_free", "free", "close", native=NativeFacts(abort_message=said))
    crash = msgspec.structs.replace(ended.crash, freed=FreedPointer(**(values | rest)))
    return findings(msgspec.structs.replace(ended, crash=crash), "heap-corruption")[0]


def test_the_pointer_that_was_freed_tells_what_is_wrong_with_it() -> None:
    stack = _freed(on_stack=True, frame="count(char const*)", address=Address(STACK))
    assert (stack.claim, stack.title) == (
        "cause",
        "Free of an address on the stack in close(): free(): invalid pointer",
    )
    assert "in the frame of count()" in stack.explanation
    odd = _freed("realloc(): invalid pointer", call="realloc", address=Address(HEAP + 0x13))
    assert odd.title.startswith("realloc() of a pointer that malloc did not give out") and odd.claim == "cause"
    assert "3 bytes past" in odd.explanation
    listed = _freed("double free or corruption (!prev)", listed=True)
    assert listed.title.startswith("Double free in close()") and listed.claim == "cause"
    # Nothing is wrong with the pointer itself: both readings stay open.
    good = _freed(size=Address(0x41))
    assert good.title.startswith("Bad pointer or heap corruption") and good.claim == "observation"
    # The text of a check that a pointer can't cause is not explained by it.
    other = _freed("corrupted size vs. prev_size", on_stack=True)
    assert "corrupted size" in other.title and "stack" not in other.title


def test_a_call_beyond_a_table_of_functions() -> None:
    def ended(offset: int, table: str = "table", address: int = 0) -> Report:
        call = TableCall(table=table, module="/opt/vm", slot=Address(HEAP), offset=offset, size=64)
        return crashed(
            11, 1, address=address, pc=Address(address), access="execute", call_site="0x1: call rdx", table_call=call,
            threads=(thread(frame(None, module=None), "step", "main"),),
        )  # fmt: skip

    (told,) = findings(ended(616), "null-function-call")
    assert told.title == "Call of a null function pointer by step(): entry 77 of table, which has 8"
    assert "the last entry is 7" in told.remedies[0] and not any("dlsym" in advice for advice in told.remedies)
    assert findings(ended(-8), "null-function-call")[0].title.endswith("entry -1 of table, which has 8")
    (inside,) = findings(ended(56), "null-function-call")
    assert inside.title == "Call of a null function pointer by step()"
    assert tables.beyond(ended(616, "vtable for Sink")) is None  # another rule's
    (far,) = findings(ended(616, address=0x13370000), "unmapped-address")
    assert far.claim == "cause" and far.title.endswith("entry 77 of table, which has 8")


def test_what_lies_in_a_file_is_no_block() -> None:
    data = Mapping(start=Address(1 << 20), end=Address(2 << 20), permissions="rw-p", path="/opt/shop", offset=0)
    module = Module(path="/opt/shop", start=Address(1 << 20), end=Address(2 << 20), bias=Address(1 << 20))
    ended = aborted(
        "malloc_printerr", "_int_free", "free", "close", native=NativeFacts(abort_message="free(): invalid size")
    )
    freed = FreedPointer(call="free", address=Address((1 << 20) + 64))
    ended = msgspec.structs.replace(
        ended, crash=msgspec.structs.replace(ended.crash, freed=freed), mappings=(data,), modules=(module,)
    )
    assert findings(ended, "heap-corruption")[0].title.startswith("Free of static memory in close()")
    mapped = msgspec.structs.replace(ended, modules=())
    assert findings(mapped, "heap-corruption")[0].title.startswith("Free of the mapping of a file in close()")
