"""hs_err logs: exact facts of small texts per version and system, damaged input, coverage of real logs."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.errors import ParseError
from parsers.hs_err import HsErrLog, frames, looks_like, parse
from parsers.hs_err.heap import region, space
from parsers.hs_err.maps import mapping
from parsers.hs_err.memory import location, words
from parsers.hs_err.model import Frame, Mapping, Range, Setting
from parsers.hs_err.reader import size
from parsers.hs_err.thread import compile_task, registers, signal_info, thread_line
from tests.parsers.hs_err.texts import JDK8_WINDOWS, JDK17_LINUX, JDK21_MACOS, OUT_OF_MEMORY

ALL = {"17": JDK17_LINUX, "8": JDK8_WINDOWS, "21": JDK21_MACOS, "oom": OUT_OF_MEMORY}


@pytest.fixture(scope="module")
def linux() -> HsErrLog:
    return parse(JDK17_LINUX.encode())


@pytest.fixture(scope="module")
def windows() -> HsErrLog:
    return parse(JDK8_WINDOWS.replace("\n", "\r\n").encode())


@pytest.fixture(scope="module")
def macos() -> HsErrLog:
    return parse(JDK21_MACOS.encode())


@pytest.mark.parametrize("name", ALL)
def test_every_line_is_understood(name: str) -> None:
    log = parse(ALL[name].encode())
    assert log.unknown == ()
    assert log.coverage.understood == log.coverage.total == sum(bool(x.strip()) for x in ALL[name].split("\n"))
    assert log.coverage.ratio == 1


def test_header_of_a_signal(linux: HsErrLog) -> None:
    h = linux.header
    assert (h.kind, h.signal_name, h.error_id, h.pc, h.pid, h.tid) == (
        "signal",
        "SIGSEGV",
        11,
        0x7F0000A12344,
        321,
        322,
    )
    assert h.runtime is not None
    assert h.vm is not None
    assert (h.runtime.name, h.runtime.vendor_version) == ("OpenJDK Runtime Environment", "Temurin-17.0.9+9")
    assert (h.runtime.version, h.runtime.build) == ("17.0.9+9", "17.0.9+9")
    assert (h.vm.version, h.vm.mode, h.vm.collector) == ("17.0.9+9", "mixed mode", "g1")
    assert (h.vm.compressed_oops, h.vm.platform) == (True, "linux-amd64")
    assert h.problematic_frame is not None
    assert h.problematic_frame.module == "libdemo.so"
    assert h.core is not None
    assert (h.core.written, h.core.location) == (True, "/srv/app/core.321")
    assert h.bug_url == "https://example.org/bugs"
    assert h.outside_vm


def test_header_of_jdk_8_on_windows(windows: HsErrLog) -> None:
    h = windows.header
    assert (h.kind, h.signal_name, h.error_id, h.tid) == (
        "signal",
        "EXCEPTION_ACCESS_VIOLATION",
        0xC0000005,
        0x2F48,
    )
    assert h.vm is not None
    assert (h.vm.name, h.vm.version) == ("Java HotSpot(TM) 64-Bit Server VM", "25.202-b08")
    assert (h.vm.mode, h.vm.platform, h.vm.compressed_oops) == ("mixed mode", "windows-amd64", True)
    assert h.runtime is not None
    assert (h.runtime.name, h.runtime.version) == ("Java(TM) SE Runtime Environment", "8.0_202-b08")
    assert h.core is not None
    assert h.core.written is False


def test_header_of_an_internal_error(macos: HsErrLog) -> None:
    h = macos.header
    assert (h.kind, h.source_file, h.source_line, h.pid) == ("internal-error", "codeCache.cpp", 654, 900)
    assert h.message == "assert(heap != nullptr) failed: no heap for blob"
    assert h.detail == "no heap for blob"
    assert h.vm is not None
    assert (h.vm.collector, h.vm.platform, h.vm.vendor_version) == ("z", "bsd-aarch64", "Zulu21.30+15-CA")


def test_header_of_a_failed_allocation() -> None:
    log = parse(OUT_OF_MEMORY.encode())
    h = log.header
    assert h.insufficient_memory
    assert h.allocation is not None
    assert (h.allocation.function, h.allocation.size) == ("mmap", 65536)
    assert h.allocation.detail == "committing reserved memory"
    assert (h.kind, h.source_file, h.source_line, h.tid) == ("out-of-memory", "os_linux.cpp", 2798, 0xABC)
    assert h.solutions == ("Reduce memory load on the system",)
    assert h.vm is not None
    assert h.vm.compressed_oops is False
    assert (log.native_memory.reserved, log.native_memory.committed) == (1000 << 10, 400 << 10)
    assert log.native_memory.tags[0].name == "Java Heap"
    assert not log.ended


def test_summary(linux: HsErrLog, windows: HsErrLog) -> None:
    s = linux.summary
    assert s.command_line == "-Xmx64m -Dkey=some value demo.Main --port 1"
    assert (s.cpu, s.cores, s.memory, s.os) == ("Example CPU @ 2.00GHz", 4, "15G", "Example Linux 1.0")
    assert (s.time, s.elapsed) == ("Mon Jan  5 10:11:12 2026 UTC", 12.5)
    assert (windows.summary.timezone, windows.summary.elapsed) == ("W. Europe Standard Time", 3.0)
    assert linux.complete
    assert not windows.complete
    assert windows.ended


def test_crashed_thread(linux: HsErrLog) -> None:
    t = linux.thread.thread
    assert t is not None
    assert (t.kind, t.name, t.daemon, t.state, t.id) == (
        "JavaThread",
        'pool "1" [x]',
        True,
        "_thread_in_native",
        322,
    )
    assert t.stack == Range(start=0x7F0020000000, end=0x7F0020100000)
    assert linux.thread.stack is not None
    assert (linux.thread.stack.sp, linux.thread.stack.free) == (0x7F00200FE000, 1016 << 10)
    assert linux.thread.siginfo is not None
    assert (linux.thread.siginfo.number, linux.thread.siginfo.code_name) == (11, "SEGV_MAPERR")
    assert linux.thread.siginfo.address == 0
    found = {r.name: r.value for r in linux.thread.registers}
    assert found["RIP"] == 0x7F0000A12344
    assert found["TRAPNO"] == 14
    assert next(r for r in linux.thread.registers if r.name == "XMM[0]").words == (1, 2)
    assert linux.thread.stack_top[0].values == (0x7F0000000001, 0)
    assert linux.thread.instructions[0].values == (0x0F, 0xB6, None, 0)
    assert (linux.thread.stack_top_address, linux.thread.instructions_pc) == (0x7F00200FE000, 0x7F0000A12344)


def test_frames(linux: HsErrLog) -> None:
    native = linux.thread.native_frames
    assert linux.thread.native_frames_cut
    assert [f.kind for f in native] == ["C", "C", "j", "J", "J", "v", "V"]
    assert (native[0].function, native[0].offset, native[0].module_offset) == ("demo_sum", 0x14, 0x2344)
    assert (native[0].source_file, native[0].source_line) == ("demo.c", 41)
    assert native[1].address == 0x7F00DEADBEEF
    assert (native[2].method, native[2].signature, native[2].bci) == ("demo.Main.sum", "([II)J", 0)
    compiled = native[3]
    assert (compiled.compile_id, compiled.level, compiled.method) == (302, "c2", "demo.Main.twice")
    assert (compiled.signature, compiled.java_module, compiled.bytecode_size) == ("(I)J", "demo.base@1.2", 38)
    assert (compiled.address, compiled.code_start, compiled.offset) == (0x7F0030000ACE, 0x7F0030000A00, 0xCE)
    assert native[4].osr
    assert (native[5].function, native[5].address) == ("~StubRoutines::call_stub", 0x7F0030000100)
    assert native[6].function == "JavaCalls::call_helper(JavaValue*, methodHandle const&)"
    assert linux.thread.java_frames[0].java_module == "java.base@17.0.9"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("V  [jvm.dll+0x5e3cca]", {"module": "jvm.dll", "module_offset": 0x5E3CCA}),
        ("v  ~BufferBlob::StubRoutines (2)", {"function": "~BufferBlob::StubRoutines (2)"}),
        (
            "J 9  a.B.c(J[BZ)J (0 bytes) @ 0x0000000000000210 [0x0000000000000200+0x10]",
            {
                "compile_id": 9,
                "method": "a.B.c",
                "signature": "(J[BZ)J",
                "bytecode_size": 0,
                "address": 0x210,
                "code_start": 0x200,
                "offset": 0x10,
            },
        ),
        ("j  a.B$$Lambda.x()V+-4", {"method": "a.B$$Lambda.x", "signature": "()V", "bci": -4}),
    ],
)
def test_frame_forms(text: str, want: dict[str, object]) -> None:
    frame = frames.parse(text)
    assert frame is not None
    assert frame == Frame(kind=text[0], text=text, **want)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "V", "Vv x", "C  ", "J  nothing here", "j  a.b", "Q  [lib+0x1]"])
def test_what_is_no_frame(text: str) -> None:
    assert frames.parse(text) is None


def test_locations(linux: HsErrLog) -> None:
    at = {x.where: x for x in linux.thread.register_locations}
    assert [at[r].kind for r in ("RAX", "RBX", "RCX", "RDX", "RSI")] == [
        "null",
        "thread",
        "symbol",
        "stack",
        "object",
    ]
    assert (at["RCX"].symbol, at["RCX"].offset) == ("memcpy", 0x10)
    assert (at["RCX"].module, at["RCX"].module_base) == ("/lib/libc.so.6", 0x7F00A0000000)
    assert at["RDX"].thread == 0x7F0010001000
    assert len(at["RSI"].details) == 2
    assert linux.thread.slot_locations[0].kind == "unknown"
    nameless = location("R9", "0x00007f252daa1e20: <offset 0x10a6e20> in /x y/libjvm.so at 0x00007f252c9fb000")
    assert (nameless.symbol, nameless.offset, nameless.module) == (None, 0x10A6E20, "/x y/libjvm.so")


def test_process(linux: HsErrLog) -> None:
    p = linux.process
    assert (p.thread_list_length, p.thread_list) == (2, (0x7F0010001000, 0x7F0010002000))
    assert [(t.name, t.current) for t in p.java_threads] == [('pool "1" [x]', True), ("main", False)]
    assert [(t.kind, t.name, t.id) for t in p.other_threads] == [("VMThread", "VM Thread", 330)]
    task = p.compile_tasks[0]
    assert (task.thread, task.compiler, task.time, task.id) == ("C2 CompilerThread0", "C2", 734, 88)
    assert (task.flags, task.level, task.method, task.bci) == ("!", 4, "demo.Main::loop", 5)
    assert p.vm_state == "at safepoint (normal execution)"
    assert (p.mutexes[0].name, p.mutexes[0].owner) == ("Threads_lock", 0x7F0010003000)
    assert (p.exception_counts[0].name, p.exception_counts[0].count) == ("StackOverflowErrors", 3)
    assert (linux.pointers.heap_address, linux.pointers.heap_size) == (0xFC000000, 64 << 20)
    assert (linux.pointers.narrow_klass_base, linux.pointers.narrow_klass_shift) == (0x800000000, 0)


@pytest.mark.parametrize(
    "text",
    [
        '  0x00007f0000000001 (exited) JavaThread "a b" [_thread_new, id=7, stack(0x0000000000000010,0x20)]',
        '  0x00007f0000000001 (exited) JavaThread "a b"      [_thread_new, id=7, stack(0x10,0x20) (16B)] _x=0x1',
        '  0x00007f0000000001 (exited) VMThread "a b" [stack: 0x0000000000000010,0x0000000000000020] [id=7]',
        '  0x00007f0000000001 (exited) WorkerThread "a b"    [id=7, stack(0x10,0x20) (1024K)]',
    ],
)
def test_thread_forms(text: str) -> None:
    thread = thread_line(text)
    assert thread is not None
    assert (thread.address, thread.exited, thread.name, thread.id) == (0x7F0000000001, True, "a b", 7)
    assert thread.stack == Range(start=0x10, end=0x20)


def test_heap_and_code(linux: HsErrLog) -> None:
    h = linux.heap
    assert (h.collector, h.region_size, h.polling_page) == ("g1", 1 << 20, 0x7F0001000000)
    assert h.precious_log[1] == Setting(name="Heap Region Size", value="1M")
    assert (h.spaces[0].name, h.spaces[0].capacity, h.spaces[0].used) == (
        "garbage-first heap",
        64 << 20,
        948 << 10,
    )
    assert (h.regions[0].index, h.regions[0].percent, h.regions[0].type) == (0, 62, "O")
    rows = {(r.part, r.name): dict(r.sizes) for r in linux.metaspace.rows}
    assert rows["Virtual space", "Non-class space"] == {"reserved": 64 << 20, "committed": 320 << 10}
    assert rows["Usage", "Non-class"] == {"used": 218368}
    c = linux.code_cache
    assert (c.heaps[0].name, c.heaps[0].size, c.heaps[0].bounds[0]) == (
        "non-nmethods",
        5692 << 10,
        0x7F0030000000,
    )
    assert (c.nmethods, c.compilation, c.stopped_count, c.full_count) == (73, "enabled", 1, 3)


def test_heap_forms() -> None:
    eden = space("   eden space 196608K,  73% used [0x6c0000000, 0x6c8c37e98, 0x6cc000000)")
    assert eden is not None
    assert (eden.name, eden.capacity, eden.percent) == ("eden", 196608 << 10, 73)
    total = space(" garbage-first heap total reserved 1914880K, committed 122880K, used 1156K [0x8b200000, 0xc0000000)")
    assert total is not None
    assert (total.capacity, total.reserved, total.used) == (122880 << 10, 1914880 << 10, 1156 << 10)
    z = region(" Small   0x0000000000000000 0x0000000000040000 0x0000000000200000 Y/7     Allocating")
    assert z is not None
    assert (z.type, z.top, z.rest) == ("Small", 0x40000, "Y/7     Allocating")
    shenandoah = region("|    3|R  |BTE    67a200000,    67a300000,    67a400000|TAMS    67a200000|U  1024K")
    assert shenandoah is not None
    assert (shenandoah.index, shenandoah.type, shenandoah.top) == (3, "R", 0x67A300000)
    old = region("AC   0  HS   TS     0 PTAMS 0x1 NTAMS 0x2 space 1024K,  53% used [0xf8200000, 0xf8300000)")
    assert old is not None
    assert (old.type, old.percent, old.bottom) == ("HS", 53, 0xF8200000)


def test_events(linux: HsErrLog) -> None:
    compilations, gc, deopt = linux.events
    assert (compilations.name, compilations.count, len(compilations.events)) == ("Compilation events", 2, 2)
    assert (compilations.events[0].time, compilations.events[0].thread) == (0.059, 0x7F0010004000)
    assert gc.events[0].text == "GC heap before"
    assert len(gc.events[0].details) == 3
    assert (deopt.count, deopt.events) == (0, ())


def test_libraries(linux: HsErrLog, windows: HsErrLog, macos: HsErrLog) -> None:
    assert linux.libraries.mappings[1] == Mapping(
        start=0x7F0000A10000,
        end=0x7F0000A14000,
        permissions="r-xp",
        offset=0x1000,
        device="fe:00",
        inode=4711,
        path="/srv/app/lib demo/libdemo.so",
    )
    assert linux.libraries.total == 2
    assert windows.libraries.mappings[1] == Mapping(
        start=0x7FFC10000000, end=0x7FFC10010000, path="C:\\app dir\\demo.dll"
    )
    assert macos.libraries.mappings[0].end is None
    assert mapping("0x1000 not a path") is None


def test_vm(linux: HsErrLog) -> None:
    a = linux.vm.arguments
    assert (a.jvm_args, a.java_command) == ("-Xmx64m -Dkey=some value", "demo.Main --port 1")
    assert (a.class_path, a.launcher) == ("/srv/app/demo.jar", "SUN_STANDARD")
    assert [(f.name, f.value, f.origin) for f in linux.vm.flags] == [
        ("MaxHeapSize", "67108864", "command line"),
        ("UseG1GC", "true", "ergonomic"),
    ]
    assert linux.vm.environment == (("PATH", "/usr/bin"), ("LANG", "C.UTF-8"))
    segv, sigint = linux.vm.signal_handlers
    assert (segv.handler, segv.flags, segv.blocked) == (
        "crash_handler in libjvm.so",
        "SA_RESTART|SA_SIGINFO",
        False,
    )
    assert (sigint.handler, sigint.blocked) == ("SIG_IGN", True)


def test_variables_that_look_like_headings(windows: HsErrLog) -> None:
    assert windows.vm.environment == (("USERNAME", "someone"), ("OS", "Windows_NT"))
    assert windows.system.os == "Windows 10.0 , 64 bit Build 17763 (10.0.17763.1)"


def test_system(linux: HsErrLog, windows: HsErrLog) -> None:
    s = linux.system
    assert (s.os, s.uname, s.libc) == (
        "Example Linux 1.0",
        "Linux 6.1.0 #1 SMP x86_64",
        "glibc 2.36 NPTL 2.36",
    )
    assert s.rlimits == (("STACK", "8192k/infinity"), ("CORE", "0k/infinity"))
    assert s.load_average == (0.3, 0.13, 0.04)
    assert s.meminfo == (("MemTotal", 16000000 << 10), ("HugePages_Total", 0))
    assert (s.cpu_total, s.virtualization) == (4, "KVM virtualization detected")
    assert Setting(name="memory_limit_in_bytes", value="1048576 k") in s.container
    assert (s.page_size, s.physical_memory, s.swap) == (4096, 16000000 << 10, 0)
    assert windows.system.swap_free == 8000000 << 10


def test_thread_of_macos(macos: HsErrLog) -> None:
    t = macos.thread
    assert {r.name: r.value for r in t.registers}["cpsr"] == 0x60001000
    assert t.siginfo is not None
    assert (t.siginfo.sender_pid, t.siginfo.sender_uid, t.siginfo.address) == (77, 501, None)
    assert t.compile_task is not None
    assert (t.compile_task.id, t.compile_task.flags, t.compile_task.level) == (41032, "%b", 4)
    assert (t.compile_task.method, t.compile_task.bci) == ("demo.Main::spin", 7)
    assert macos.heap.collector == "z"
    error = macos.report_errors[0]
    assert (error.step, error.id) == ("printing ring buffers", 10)


def test_siginfo_forms() -> None:
    old = signal_info("ExceptionCode=0xc0000005, reading address 0x0000000000000018")
    raw = signal_info("ExceptionCode=0xc0000005, ExceptionInformation=0x00000008 0x00000000")
    assert (raw.access, raw.address) == ("execution", 0)
    new = signal_info("EXCEPTION_ACCESS_VIOLATION (0xc0000005), data execution prevention violation at address 0x10")
    assert (old.exception, old.access, old.address) == (0xC0000005, "reading", 0x18)
    assert (new.name, new.exception, new.access, new.address) == (
        "EXCEPTION_ACCESS_VIOLATION",
        0xC0000005,
        "execution",
        0x10,
    )


def test_sizes() -> None:
    assert [size(t) for t in ("240K", "12.5 MB", "65536", "7 bytes", "x")] == [
        245760,
        13107200,
        65536,
        7,
        None,
    ]


def test_a_time_that_fills_its_column() -> None:
    task = compile_task("C2 CompilerThread032631344 58896       4       a.b.C::d (34 bytes)")
    assert task is not None
    assert (task.thread, task.time, task.id, task.level) == ("C2 CompilerThread0", 32631344, 58896, 4)


@pytest.mark.parametrize(
    ("flags", "method"),
    [("  ", "sun.nio.cs.UTF_8$Encoder::encode"), ("! ", "net.shop.Cart::total"), ("s!", "bank.Account::move")],
)
def test_a_method_that_begins_like_a_flag(flags: str, method: str) -> None:
    task = compile_task(f"C2:    595   73   {flags}        {method} (359 bytes)")
    assert task is not None
    assert (task.method, task.flags) == (method, flags.strip() or None)


def test_rows_that_are_damaged() -> None:
    assert registers("RAX=0x1, garbage") == ()
    assert words("0x10:  zz") is None
    assert thread_line("0xzz JavaThread") is None
    assert compile_task("C2:  not a task") is None


def test_unknown_lines_are_kept_with_their_place() -> None:
    text = JDK17_LINUX.replace("Registers:\n", "Registers:\nflurb wozzle zonk\n")
    log = parse(text.encode())
    assert [line.text for line in log.unknown] == ["flurb wozzle zonk"]
    assert log.unknown[0].number == text[: text.index("flurb")].count("\n") + 1
    assert log.coverage.total - log.coverage.understood == 1


@pytest.mark.parametrize("data", [b"", b"hello\n" * 50, b"\x7fELF" + bytes(5000), b"PATH=/bin\nHOME=/\n"])
def test_what_is_no_log(data: bytes) -> None:
    assert not looks_like(data)
    with pytest.raises(ParseError) as caught:
        parse(data)
    assert "hs_err" in caught.value.hint


def test_an_extract_without_a_header_is_read() -> None:
    log = parse(b"VM Operations (1 events):\nEvent: 7163.860 Executing VM operation: Cleanup\n")
    assert log.events[0].events[0].time == 7163.86


def _parse(data: bytes) -> HsErrLog | None:
    try:
        log = parse(data)
    except ParseError:
        return None
    assert log.coverage.understood + len(log.unknown) == log.coverage.total
    return log


@given(st.binary(max_size=2000))
def test_any_bytes(data: bytes) -> None:
    _parse(data)


@given(st.lists(st.one_of(st.sampled_from(JDK17_LINUX.split("\n")), st.text(max_size=60)), max_size=60))
def test_any_lines(parts: list[str]) -> None:
    _parse("\n".join(parts).encode("utf-8", "replace"))


@given(st.sampled_from(sorted(ALL)), st.integers(0, 20_000))
@settings(deadline=None)
def test_any_cut(name: str, cut: int) -> None:
    data = ALL[name].encode()[:cut]
    log = _parse(data)
    assert (log is not None) or not looks_like(data)


@given(
    st.sampled_from(sorted(ALL)),
    st.lists(st.tuples(st.integers(0, 20_000), st.binary(max_size=8)), max_size=40),
)
@settings(deadline=None)
def test_any_damage(name: str, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(ALL[name].encode())
    for at, new in changes:
        data[at % len(data) : at % len(data) + len(new)] = new
    _parse(bytes(data))


@pytest.mark.parametrize("filler", ["a", " ", "(", "0", "0x1 ", " in ", "_", "@", "a 1K ", "RAX=0x1 ", "ab1("])
@pytest.mark.parametrize(
    "heading", ["Registers:", "Native frames:", "Heap:", "Register to memory mapping:", "OS:", "#"]
)
def test_time_is_linear_in_the_length_of_a_line(heading: str, filler: str) -> None:
    head = f"---------------  T H R E A D  ---------------\n{heading}\n"
    body = "\n".join(prefix + filler * (100_000 // len(filler)) for prefix in ("", "V  ", "RAX=0x12: "))
    before = time.perf_counter()
    _parse((head + body).encode())
    assert time.perf_counter() - before < 2
