"""Equal crashes have equal signatures, others have not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from postmortem.model import Address, Cycle, Frame, Jvm, Module, Thread
from postmortem.model.jvm import Deadlock, DeadlockMember, VmError
from postmortem.model.process import Process
from postmortem.model.report import CxxException, NativeFacts, Printed
from postmortem.model.thread import Value, Wait
from postmortem.rules.engine import run
from postmortem.signature.causes import message
from postmortem.signature.signature import VERSION, signature
from tests.postmortem.rules.reports import (
    CODE,
    PID,
    aborted,
    crashed,
    frame,
    operand,
    report,
    thread,
    waiting,
)
from tests.postmortem.rules.reports import signal as make_signal

NULL: dict[str, Any] = {"address": 0x40}


def java(function: str, **rest: object) -> Frame:
    """A Java frame."""
    return frame(function, **({"kind": "java-interpreted", "module": None, "trust": "hotspot"} | rest))


def of(**rest: Any) -> str:
    return signature(run(crashed(**{**NULL, **rest}), strict=True)).text


def test_arguments_addresses_and_machinery_do_not_count() -> None:
    one = of(threads=(thread("total<int>(int)", "checkout", "main"),))
    moved = frame("total<long>(long)", pc=Address(0x777))
    other = of(threads=(thread(moved, "checkout", "main", "__libc_start_main"),))
    assert one == other == "null+0x40 | total | checkout"
    assert one != of(threads=(thread("sum", "checkout", "main"),))
    assert one != of(threads=(thread("total", "refund", "main"),))
    assert one != of(threads=(thread("total", "checkout", "main"),), address=0x48)


def test_main_counts_only_where_there_is_nothing_else() -> None:
    assert of(threads=(thread("total", "main"),)) == of(threads=(thread("total"),)) == "null+0x40 | total"
    alone = frame("main", file="/src/shop.c", line=3)
    assert of(threads=(thread(alone, "__libc_start_main", "_start"),)) == "null+0x40 | main (shop.c)"


def test_library_code_between_own_frames_does_not_count() -> None:
    inlined = frame("for_each", file="/usr/include/c++/12/bits/stl_algo.h", inlined=True)
    stack = thread("std::__invoke_impl<void>", inlined, "total", "std::function<void ()>::operator()", "checkout")
    assert of(threads=(stack,)) == "null+0x40 | total | checkout"


def test_lambdas_have_no_numbers() -> None:
    one = thread("main::{lambda()#1}::operator()() const", "checkout")
    assert of(threads=(one,)) == of(threads=(thread("operator()", "checkout"),)) == "null+0x40 | {lambda} | checkout"


def test_a_tail_call_leaves_its_function_in_the_signature() -> None:
    tail = thread("raise", "abort", "free", frame("main", tail_call="release(char*)"))
    whole = thread("raise", "abort", "free", "release(char*)", "main")
    assert of(threads=(tail,)) == of(threads=(whole,)) == "null+0x40 | release"


def test_scanned_frames_are_never_used() -> None:
    scanned = thread("total", frame("stale", trust="scan"))
    assert of(threads=(scanned,)) == "null+0x40 | total"
    nothing = signature(crashed(threads=(thread(frame("stale", trust="scan")),), **NULL))
    assert nothing.frames == () and nothing.incomplete == "no frame of the program's own is known"


def test_depth_and_phase_of_a_recursion_do_not_count() -> None:
    def overflow(*names: str, times: int) -> str:
        stack = thread(*[*names] * times, "main", cycles=(Cycle(start=0, period=2, count=times),))
        return signature(run(crashed(address=0x7FFFFFFDDFF8, threads=(stack,)))).text

    assert of(threads=(thread(*["a", "b"] * 9, "c", "main"),)) == "null+0x40 | a | b"
    assert overflow("parse", "parse_list", times=20).rpartition(" | ")[2] == "parse_list"
    assert overflow("parse", "parse_list", times=20) == overflow("parse", "parse_list", times=30)


def test_a_deep_recursion_that_did_not_overflow_keeps_the_function_that_crashed() -> None:
    stack = thread("store", *["even", "odd"] * 9, "main", cycles=(Cycle(start=1, period=2, count=9),))
    assert of(threads=(stack,)) == "null+0x40 | store | even"


def test_frames_without_symbols_are_module_and_offset_and_it_is_said() -> None:
    item = crashed(threads=(thread(frame(None, module="/opt/libcart.so", module_offset=Address(0x1F30))),), **NULL)
    found = signature(item)
    assert found.frames == ("libcart.so+0x1f30",)
    assert found.incomplete is not None and "libcart.so has no symbols here" in found.incomplete


def test_exact_is_of_builds_and_needs_no_symbols() -> None:
    def exact(build_id: str | None, name: str | None, offset: int = 0x1010) -> str | None:
        module = Module(
            path="/opt/shop", start=Address(0x400000), end=Address(0x410000), bias=Address(0x400000), build_id=build_id
        )
        stack = thread(frame("inlined", inlined=True), frame(name, module_offset=Address(offset)))
        return signature(crashed(threads=(stack,), modules=(module,), **NULL)).exact

    assert exact("aa", "total") == exact("aa", None) is not None
    assert len({exact("aa", None), exact("bb", None), exact("aa", None, 0x1020)}) == 3
    assert exact(None, "total") is None


def test_java_frames_are_equal_for_all_ways_to_run_them() -> None:
    libjvm = "/usr/lib/jvm/lib/server/libjvm.so"
    interpreted = thread(
        frame("Unsafe_PutInt", module=libjvm), java("jdk.internal.misc.Unsafe.putInt"), java("shop.Orders.store"),
        java("shop.Orders.process"), frame("JavaCalls::call_helper", module=libjvm),
    )  # fmt: skip
    compiled = thread(
        java("shop.Orders.store", kind="java-compiled", inlined=True), java("shop.Orders.process", kind="java-compiled")
    )
    unread = crashed(threads=(interpreted,), address=0x1000_0000)
    assert signature(unread).frames == signature(crashed(threads=(compiled,), **NULL)).frames
    assert signature(unread).frames == ("shop.Orders.store", "shop.Orders.process")


@pytest.mark.parametrize(
    ("made_up", "kept"),
    [
        ("shop.Main$$Lambda$14/0x00000008010031f0.run", "shop.Main$$Lambda.run"),
        ("shop.Main$$Lambda/0x00007f1c3c001000.run", "shop.Main$$Lambda.run"),
        ("shop.Main$$Lambda+0x00007f1c3c001000.run", "shop.Main$$Lambda.run"),
        ("shop.Main.lambda$main$7", "shop.Main.lambda$main"),
        ("com.sun.proxy.$Proxy42.get", "com.sun.proxy.$Proxy.get"),
        ("shop.Cart$$EnhancerBySpringCGLIB$$1f2e3d.total", "shop.Cart$$EnhancerBy.total"),
    ],
)
def test_made_up_java_names(made_up: str, kept: str) -> None:
    from postmortem.signature.frames import java_name

    assert java_name(made_up) == kept


def test_native_callers_in_a_jni_library_do_not_count_since_logs_lose_them() -> None:
    core = thread("parent_length", "parse_document", "Java_shop_parse0", java("shop.Library.parse0"))
    log = thread("parent_length", java("shop.Library.parse0"))
    assert of(threads=(core,)) == of(threads=(log,)) == "null+0x40 | parent_length | shop.Library.parse0"


def test_offsets_within_the_vm_do_not_count() -> None:
    one, other = (crashed(threads=(thread(java("shop.Orders.store")),), address=offset) for offset in (8, 0xC))
    assert signature(one) == signature(other)
    assert signature(one).text == "null | shop.Orders.store"


def test_deadlock_does_not_depend_on_thread_order() -> None:
    one = run(report(threads=(waiting(1, 0x1000, 2), waiting(2, 0x2000, 1))))
    other = run(report(threads=(waiting(2, 0x9000, 1), waiting(1, 0x8000, 2))))
    assert signature(one) == signature(other)
    assert signature(one).text == "deadlock | worker_1 | worker_2"


def test_deadlocks_through_a_helper_are_told_by_its_callers() -> None:
    def stuck(tid: int, address: int, owner: int, caller: str) -> Thread:
        made = waiting(tid, address, owner)
        return msgspec.structs.replace(made, frames=thread("lock_of", caller, "main", tid=tid).frames)

    two = run(report(threads=(stuck(1, 0x1000, 2, "rename"), stuck(2, 0x2000, 1, "remove"))))
    assert signature(two).text == "deadlock | lock_of < remove | lock_of < rename"
    alone = run(report(threads=(stuck(1, 0x1000, 1, "rename"),)))
    assert signature(alone).text == "self-deadlock | lock_of < rename"


def test_what_only_sent_the_signal_tells_nothing() -> None:
    cut = crashed(6, -6, threads=(thread("__pthread_kill_implementation"),))
    assert "__pthread_kill" not in signature(cut).text


def test_a_deadlock_beside_a_fault_is_not_its_cause() -> None:
    threads = (thread("total"), waiting(1, 0x1000, 2), waiting(2, 0x2000, 1))
    found = run(crashed(threads=threads, **NULL))
    assert "mutex-deadlock" in {finding.rule for finding in found.findings}
    assert signature(found).text == "null+0x40 | total"


def test_java_deadlocks_are_told_by_their_cycle_and_not_by_the_launcher() -> None:
    def deadlocked(*members: tuple[int, str, str, str]) -> str:
        cycle = tuple(DeadlockMember(name=f"t{tid}", tid=tid, waiting_for=lock) for tid, _, _, lock in members)
        stacks = tuple(
            thread("futex_wait", java("java.lang.Object.wait"), java(site), java(caller), tid=tid)
            for tid, site, caller, _ in members
        )
        launcher = thread("futex_wait", "ContinueInNewThread", "JavaMain")
        jvm = Jvm(version="17", deadlocks=(Deadlock(threads=cycle),))
        return signature(run(crashed(6, 0, sender=9, threads=(launcher, *stacks), jvm=jvm))).text

    locks = deadlocked((7, "shop.A.lock", "x.Y.z", "java.lang.Object@0x1"), (8, "shop.B.lock", "x.Y.z", "a.B@0x2"))
    swapped = deadlocked((8, "shop.B.lock", "x.Y.z", "java.lang.Object@0x9"), (7, "shop.A.lock", "x.Y.z", "a.B@0x3"))
    assert locks == swapped == "deadlock | shop.A.lock | shop.B.lock"
    classes = deadlocked(
        (7, "shop.A.<clinit>", "x.Y.z", "initialization of shop.B"),
        (8, "shop.B.<clinit>", "x.Y.z", "initialization of shop.A"),
    )
    assert classes == (
        "deadlock | shop.A.<clinit> < initialization of shop.B | shop.B.<clinit> < initialization of shop.A"
    )


def test_an_exhausted_jvm_is_told_by_what_is_used_up_and_who_allocated() -> None:
    libjvm = "/usr/lib/jvm/lib/server/libjvm.so"
    stack = thread(
        frame("VMError::report_and_die", module=libjvm), frame("report_java_out_of_memory", module=libjvm),
        java("java.util.Arrays.copyOf"), java("shop.Cache.put"), java("shop.Main.run"),
    )  # fmt: skip

    def exhausted(words: str) -> str:
        jvm = Jvm(version="17", error=VmError(id=0xE0000000, message=f"OutOfMemory encountered: {words}"))
        return signature(run(crashed(6, -6, sender=100, threads=(stack,), jvm=jvm))).text

    assert exhausted("Java heap space") == "oom: java heap | shop.Cache.put | shop.Main.run"
    assert exhausted("Metaspace") == "oom: metaspace | shop.Cache.put | shop.Main.run"
    assert exhausted("Compressed class space") == "oom: class space | shop.Cache.put | shop.Main.run"


def test_a_killed_process_is_told_by_its_own_threads() -> None:
    def killed(*threads: object) -> str:
        return signature(run(crashed(6, 0, sender=1, threads=threads))).text

    launcher = thread("pthread_join", "main")
    work, poll = thread("futex_wait", "handle", "worker", tid=5), thread("epoll_wait", "serve", tid=6)
    again = thread("futex_wait", "handle", "worker", tid=7)
    assert killed(launcher, work, poll) == killed(launcher, poll, work, again) == "killed: SIGABRT | handle | serve"
    assert killed(thread("pause", frame("main", file="a.c"))) == "killed: SIGABRT | main (a.c)"


def test_threads_that_idle_do_not_count() -> None:
    def waits(
        function: str, tid: int, kind: str = "condvar", syscall: str = "futex", owner: int | None = None
    ) -> Thread:
        wait = Wait(syscall=syscall, kind=kind, owner=owner)
        return thread("futex_wait", function, "main" if tid == PID else "worker", tid=tid, wait=wait)

    def runs(function: str, tid: int) -> Thread:
        return thread(function, "main", tid=tid, registers={"rip": Address(1)})

    def killed(*threads: Thread) -> str:
        return signature(run(crashed(6, 0, sender=1, threads=threads))).text

    idle = [waits("next_job", tid) for tid in range(5, 9)]
    poll = waits("serve", 10, "syscall", "epoll_wait")
    assert killed(runs("compact", PID), *idle) == killed(runs("compact", PID), poll) == "killed: SIGABRT | compact"
    assert killed(waits("wait_ready", PID), *idle) == killed(waits("wait_ready", PID)) == "killed: SIGABRT | wait_ready"
    flush, locked = waits("flush", 11, "syscall", "fsync"), waits("lookup", 12, "mutex")
    assert killed(waits("serve", PID), flush, locked, *idle) == "killed: SIGABRT | flush | lookup"
    joined = killed(waits("stop", PID, "join", owner=13), waits("drain", 13), *idle)
    assert joined == "killed: SIGABRT | drain"
    assert killed(waits("stop", PID, "join", owner=99), *idle[:1]) == "killed: SIGABRT | next_job | stop"


@pytest.mark.parametrize(
    "said",
    [
        "free(): double free detected in tcache 2",
        "double free or corruption (!prev)",
        "free(): invalid pointer",
        "munmap_chunk(): invalid pointer",
        "free(): invalid next size (fast)",
        "corrupted size vs. prev_size",
        "malloc(): corrupted top size",
        "malloc(): unaligned tcache chunk detected",
        "malloc_consolidate(): unaligned fastbin chunk detected",
        "corrupted double-linked list",
        "realloc(): invalid old size",
    ],
)
def test_which_check_of_the_allocator_met_the_damage_is_no_part_of_the_cause(said: str) -> None:
    heap = aborted("free", "total", native=NativeFacts(abort_message=f"{said}\n"))
    assert signature(run(heap)).text == "heap | total"


def test_an_index_behind_a_null_pointer_is_no_part_of_the_cause() -> None:
    def null(address: int, **rest: Any) -> str:
        return signature(crashed(address=address, operands=(operand(address, **rest),))).cause

    assert null(0x4C, base_value=0x48, displacement=4) == null(0x70, base_value=0x6C, displacement=4) == "null+index"
    assert null(0x28, base_value=0, index_value=9, scale=4, displacement=4) == "null+index"
    assert null(0x40, base_value=0, displacement=0x40) == "null+0x40"
    assert null(0x48, base_value=0, displacement=0x48) == "null+0x48", "another member"


def test_a_null_pointer_is_told_by_who_made_it_and_not_by_who_passed_it_on() -> None:
    def got(function: str, *values: str) -> Frame:
        arguments = tuple(Value(name="s", type="const char *", value=text, text=text) for text in values)
        return frame(function, arguments=arguments)

    helper = got("hash", "0x0"), got("slot", "0x0")
    one = thread(*helper, got("find", "0x0"), got("notify", "0x5000", "0x0"), got("run", "0x5000"), "main")
    other = thread(*helper, got("conf_get", "0x0"), got("load_theme", "0x5010"), got("run", "0x5000"), "main")
    assert of(threads=(one,)) == "null+0x40 | hash | run"
    assert of(threads=(other,)) == "null+0x40 | hash | load_theme"
    assert of(threads=(thread(got("hash", "0x5000"), *helper[1:], "find", "main"),)) == "null+0x40 | hash | slot"
    assert of(threads=(thread(helper[0], got("slot"), "find", "main"),)) == "null+0x40 | hash | slot"
    assert of(threads=(thread(*helper),)) == "null+0x40 | hash | slot", "all of them had it"
    far = crashed(address=0x1234_5678_9000, threads=(one,))
    assert signature(far).frames == ("hash", "slot")


def test_aborts_of_one_function_are_told_by_what_it_said() -> None:
    def said(text: str | None, line: int = 5) -> str:
        printed = Printed(file="cart.c", line=line, text=text) if text else None
        stack = thread("raise", "abort", frame("ship", file="/src/cart.c", line=line), "main")
        native = NativeFacts(printed=printed)
        return signature(run(crashed(6, -6, sender=100, threads=(stack,), native=native))).text

    assert said("check failed: n > 0 (pid 77)") == said("check failed: n > 0 (pid 78)", line=9)
    assert said("check failed: n > 0") == "abort: check failed: n > N | ship"
    assert said("check failed: n > 0") != said("check failed: way >= 0")
    assert said(None) == "abort at cart.c:5 | ship" != said(None, line=9)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("store 3 is corrupt", "store 17 is corrupt", "store N is corrupt"),
        ("no user 'ann' in \"a\"", "no user 'bob' in \"b\"", 'no user "…" in "…"'),
        ("can't read /var/lib/x/1.db", "can't read /tmp/y", "can't read PATH"),
        ("at 0x7f12", "at 0x55aa", "at N"),
    ],
)
def test_values_in_a_message(one: str, other: str, told: str) -> None:
    assert message(one) == message(other) == told


def test_two_throws_of_one_function_are_told_by_their_words() -> None:
    def thrown(what: str | None) -> str:
        exception = CxxException(type="shop::Error", what=what, address=Address(0x5000), tid=PID, handler_count=1)
        stack = thread("raise", "abort", "std::terminate()", "__cxa_throw", "decode", "main")
        native = NativeFacts(exceptions=(exception,))
        return signature(run(crashed(6, -6, sender=100, threads=(stack,), native=native))).cause

    assert thrown("negative length -3") == thrown("negative length -8") == "throw: shop::Error: negative length -N"
    assert thrown("checksum mismatch") == "throw: shop::Error: checksum mismatch"
    assert thrown(None) == "throw: shop::Error"


def test_a_rust_panic_is_told_by_its_words_and_not_by_its_line_or_the_value() -> None:
    def panicked(text: str) -> str:
        native = NativeFacts(runtime="Rust", runtime_message=text)
        return signature(run(aborted("std::panicking::panic", "votes::count", native=native))).cause

    whole = panicked("panicked at src/votes.rs:2:66: called `Result::unwrap()` on an `Err` value: ParseIntError")
    cut = panicked("panicked at src/votes.rs:7:1: called `Result::unwrap()` on a")
    assert whole == cut == "panic: called `Result::unwrap()`"
    assert panicked("panicked at src/votes.rs:7:1: no such seat") == "panic: no such seat"


def test_a_goroutine_and_the_main_one_run_the_same_function() -> None:
    main, other = thread("main.serve", "main.main", "runtime.main"), thread("main.serve", "main.main.func1")
    assert of(threads=(main,)) == of(threads=(other,)) == "null+0x40 | main.serve"
    started, called = thread("jobs.run", "jobs.Start.gowrap2", "runtime.goexit"), thread("jobs.run", "jobs.Start")
    assert of(threads=(started,)) == of(threads=(called,)) == "null+0x40 | jobs.run | jobs.Start"
    alone = thread("main.main.func1", "runtime.goexit")
    assert of(threads=(alone,)) == "null+0x40 | main.main.func1"


def test_a_comparator_whose_last_call_was_a_jump_is_not_told() -> None:
    libc = "/lib/libc.so.6"
    strcmp = frame("strcmp", module=libc)
    qsort = [frame("msort_with_tmp", module=libc), frame("qsort_r", module=libc)]
    kept = thread(strcmp, "by_name", *qsort, "sort_names", "main")
    jumped = thread(strcmp, *qsort, "sort_names", "main")
    assert of(threads=(kept,)) == of(threads=(jumped,)) == "null+0x40 | sort_names"
    own = thread("by_name", *qsort, "sort_names", "main")
    assert of(threads=(own,)) == "null+0x40 | by_name | sort_names", "it crashed itself"
    deeper = thread(strcmp, "key_of", "by_name", *qsort, "sort_names", "main")
    assert of(threads=(deeper,)) == "null+0x40 | key_of | by_name"


def test_a_jvm_that_could_not_be_read_is_said() -> None:
    module = Module(path="/jvm/libjvm.so", start=Address(CODE), end=Address(CODE + 1), bias=Address(CODE))
    found = signature(crashed(modules=(module,), **NULL))
    assert found.incomplete == "the JVM in the process could not be read, so Java frames are missing"


def test_causes() -> None:
    assertion = aborted("total", native=NativeFacts(abort_message="shop: a.c:3: f: Assertion `n == 12' failed."))
    assert signature(run(assertion)).text == "assert: n == N | total"
    heap = aborted("free", "total", native=NativeFacts(abort_message="free(): double free detected in tcache 2\n"))
    assert signature(run(heap)).text == "heap | total"
    far = crashed(address=0x123456789000)
    assert signature(far).text == "bad address | total"
    jump = crashed(address=0x1234, pc=Address(0x1234))
    assert signature(jump).text == "call: bad address | total"
    assert signature(crashed(7, 2, address=0x123456789000)).text == "lost page | total"
    assert signature(crashed(8, 1, signal=make_signal(8, 1))).cause == "SIGFPE code 1"


def test_id_text_and_a_report_with_nothing() -> None:
    found = signature(crashed(**NULL))
    assert (len(found.id), found.version, found.cause) == (40, VERSION, "null+0x40")
    nothing = signature(report(process=Process(command="shop")))
    assert (nothing.text, nothing.frames) == ("no signal | in shop", ("in shop",))
    long = crashed(threads=(thread("a" * 150, "b" * 150),), **NULL)
    assert len(signature(long).text) == 255
