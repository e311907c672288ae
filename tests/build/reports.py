"""Believable reports: native, JVM, a deep recursion, one that knows nothing, a hostile one."""

from __future__ import annotations

from typing import Any

from postmortem.model import (
    Address,
    Compilation,
    Core,
    Crash,
    Cycle,
    Deadlock,
    DeadlockMember,
    Event,
    EventLog,
    Evidence,
    Finding,
    Flag,
    Frame,
    HeapSpace,
    HistogramEntry,
    JavaThread,
    Jvm,
    Mapping,
    Memory,
    Module,
    ModuleCandidate,
    NativeFacts,
    Operand,
    Problem,
    Process,
    RegisterNote,
    Report,
    Signal,
    Signature,
    Thread,
    Tool,
    Verdict,
    Wait,
)
from postmortem.model.jvm import ClassLoader, CodeCache, CodeSegment, Heap, Metaspace, Safepoint, VmError
from postmortem.model.report import Arena, CxxException
from postmortem.model.thread import StackRange

TOOL = Tool(name="postmortem", version="0.1.0")
EXE = "/usr/bin/ledgerd"
LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
LIBJVM = "/usr/lib/jvm/java-17-openjdk-amd64/lib/server/libjvm.so"
GIB = 1 << 30


def frame(
    pc: int,
    function: str | None,
    module: str | None = EXE,
    file: str | None = None,
    line: int | None = None,
    **more: Any,
) -> Frame:
    return Frame(
        pc=Address(pc),
        sp=Address(0x7FFE_1000_0000 + (pc & 0xFFFF)),
        function=function,
        module=module,
        module_offset=Address(pc & 0xFFFFFF) if module else None,
        file=file,
        line=line,
        **more,
    )


def minimal() -> Report:
    """All that can be unknown is unknown."""
    return Report(tool=TOOL, core=Core(path="core", size=0, format="elf-core"))


def native() -> Report:
    """A null field read in a C++ server with 12 threads, one of them holding a lock."""
    signal = Signal(
        number=11,
        name="SIGSEGV",
        code=1,
        code_name="SEGV_MAPERR",
        fault_address=Address(0x18),
        meaning="address not mapped",
    )
    frames = (
        frame(
            0x55D0_4A10_31D6,
            "ledger::Account::balance() const",
            EXE,
            "/src/ledger/account.cpp",
            88,
            trust="context",
        ),
        frame(
            0x55D0_4A10_2F40,
            "ledger::total(std::vector<ledger::Account*, std::allocator<ledger::Account*> > const&)",
            EXE,
            "/src/ledger/total.cpp",
            41,
            inlined=True,
        ),
        frame(0x55D0_4A10_2F40, "ledger::Report::print(std::ostream&)", EXE, "/src/ledger/report.cpp", 130),
        frame(0x55D0_4A10_2A11, "ledger::Server::handle(ledger::Request&&)", EXE, "/src/ledger/server.cpp", 212),
        frame(0x7F3A_1000_0210, None, "/opt/vendor/libqueue.so.2", trust="frame-pointer"),
        frame(0x55D0_4A10_2200, "main", EXE, "/src/ledger/main.cpp", 31),
        frame(0x7F3A_2000_71CA, "__libc_start_call_main", LIBC, "../sysdeps/nptl/libc_start_call_main.h", 58),
        frame(0x7F3A_2000_7285, "__libc_start_main_impl", LIBC, "../csu/libc-start.c", 360),
        frame(0x55D0_4A10_1111, "_start", EXE),
    )
    finding = Finding(
        rule="null-dereference",
        title="Null pointer: field at offset 0x18 read in ledger::Account::balance() const",
        severity="high",
        confidence="certain",
        explanation="The instruction read memory through rdi, which is 0, at displacement 0x18. Page 0 is "
        "never mapped, so the kernel raised SIGSEGV.",
        evidence=(
            Evidence(where="crash.signal.code", value="SEGV_MAPERR", text="nothing is mapped at the address"),
            Evidence(
                where="crash.operands[0].base_value",
                value="0x0",
                text="the base register of the operand is null",
            ),
            Evidence(where="threads[0].frames[1].function", value="ledger::total", text="the caller passed it on"),
        ),
        remedies=("Check what ledger::total() takes from the vector before calling balance() on it.",),
        references=("https://man7.org/linux/man-pages/man7/signal.7.html",),
        specificity=70,
    )
    waiting = Wait(syscall="futex", kind="mutex", address=Address(0x55D0_4B00_1040), owner=4711, owner_in_core=True)
    workers = tuple(
        Thread(
            tid=4712 + at,
            name=f"worker-{at}",
            frames=(
                frame(0x7F3A_2008_E0C1, "__futex_abstimed_wait_common64", LIBC, "./nptl/futex-internal.c", 57),
                frame(0x7F3A_2009_5001, "___pthread_mutex_lock", LIBC, "./nptl/pthread_mutex_lock.c", 93),
                frame(0x55D0_4A10_4000, "ledger::Worker::run()", EXE, "/src/ledger/worker.cpp", 57),
                frame(0x7F3A_2009_7AC3, "start_thread", LIBC, "./nptl/pthread_create.c", 442),
                frame(0x7F3A_2012_9850, "clone3", LIBC),
            ),
            wait=waiting,
        )
        for at in range(8)
    )
    others = (
        Thread(
            tid=4730,
            name="timer",
            frames=(
                frame(0x7F3A_2010_1234, "clock_nanosleep", LIBC),
                frame(0x55D0_4A10_5000, "ledger::Timer::loop()", EXE, "/src/ledger/timer.cpp", 20),
            ),
            wait=Wait(syscall="clock_nanosleep", kind="syscall"),
            ended="no-rule",
            ended_detail="pc 0x55d04a105000",
        ),
        Thread(
            tid=4731,
            name="metrics",
            frames=(frame(0x7F3A_2011_0001, "epoll_wait", LIBC),),
            wait=Wait(syscall="epoll_wait", kind="syscall"),
        ),
        Thread(tid=4732, name="lost", ended="no-registers"),
    )
    main = Thread(
        tid=4711,
        name="ledgerd",
        crashed=True,
        frames=frames,
        registers={
            name: Address(value)
            for name, value in (
                ("rip", 0x55D0_4A10_31D6),
                ("rsp", 0x7FFE_1000_31D6),
                ("rax", 0),
                ("rbx", 0x55D0_4B00_1040),
                ("rdi", 0),
                ("rsi", 0x7FFE_1000_4000),
                ("r8", 0x2A),
            )
        },
        stack=StackRange(start=Address(0x7FFE_0F80_0000), end=Address(0x7FFE_1000_0000 + 0x10000)),
    )
    modules = (
        Module(
            path=EXE,
            build_id="8f3a0c55d1e24b5f9c1e33aa0b3f6c7788990011",
            start=Address(0x55D0_4A10_0000),
            end=Address(0x55D0_4A12_0000),
            bias=Address(0x55D0_4A10_0000),
            status="matched",
            file=EXE,
            symbols="symtab",
        ),
        Module(
            path=LIBC,
            soname="libc.so.6",
            build_id="490fef8403240c91833978d494d39e537409b92e",
            start=Address(0x7F3A_2000_0000),
            end=Address(0x7F3A_2020_0000),
            bias=Address(0x7F3A_2000_0000),
            status="matched",
            file="/sysroot" + LIBC,
            symbols="debuglink",
        ),
        Module(
            path="/opt/vendor/libqueue.so.2",
            build_id="00aa11bb22cc33dd44ee55ff66778899aabbccdd",
            start=Address(0x7F3A_1000_0000),
            end=Address(0x7F3A_1004_0000),
            bias=Address(0x7F3A_1000_0000),
            status="mismatched",
            file_build_id="ffee",
            candidates=(ModuleCandidate(path="/opt/vendor/libqueue.so.2", outcome="build-id ffee differs"),),
        ),
        Module(
            path="/tmp/plugin.so (deleted)",
            start=Address(0x7F3A_0F00_0000),
            end=Address(0x7F3A_0F01_0000),
            bias=Address(0x7F3A_0F00_0000),
            status="deleted",
        ),
    )
    mappings = tuple(
        Mapping(
            start=Address(start),
            end=Address(start + length),
            permissions=permissions,
            offset=0,
            path=path,
            kind=kind,
            dumped=length if "w" in permissions else 4096,
        )
        for start, length, permissions, path, kind in (
            (0x55D0_4A10_0000, 0x20000, "r-xp", EXE, "code"),
            (0x55D0_4A12_0000, 0x4000, "rw-p", EXE, "data"),
            (0x55D0_4B00_0000, 0x420_0000, "rw-p", "[heap]", "heap"),
            (0x7F3A_0800_0000, 0x400_0000, "rw-p", None, "arena"),
            (0x7F3A_1000_0000, 0x40000, "r-xp", "/opt/vendor/libqueue.so.2", "code"),
            (0x7F3A_2000_0000, 0x20_0000, "r-xp", LIBC, "code"),
            (0x7F3A_3000_0000, 0x1000, "---p", None, "guard"),
            (0x7F3A_3000_1000, 0x80_0000, "rw-p", None, "stack"),
            (0x7FFE_0F80_0000, 0x81_0000, "rw-p", "[stack]", "stack"),
        )
    )
    by_kind: dict[str, int] = {}
    for mapping in mappings:
        by_kind[str(mapping.kind)] = by_kind.get(str(mapping.kind), 0) + mapping.end - mapping.start
    return Report(
        tool=TOOL,
        core=Core(path="/var/crash/core.ledgerd.4711", size=212_000_000, format="elf-core.zst", machine="x86-64"),
        process=Process(
            pid=4711,
            ppid=1,
            uid=998,
            command="ledgerd",
            executable=EXE,
            arguments=(EXE, "--config", "/etc/ledger.toml", "--password", "hunter22", "--keyboard", "us"),
            environment={"PATH": "/usr/bin", "DB_PASSWORD": "s3cr3t-value", "PWD": "/srv", "KEYBOARD": "us"},
        ),
        crash=Crash(
            signal=signal,
            tid=4711,
            pc=Address(0x55D0_4A10_31D6),
            instruction="mov rax, qword ptr [rdi + 0x18]",
            instruction_bytes="488b4718",
            mnemonic="mov",
            access="read",
            fault_address=Address(0x18),
            fault_address_text="page zero",
            fault_address_source="si_addr",
            trap_number=14,
            error_code=4,
            operands=(
                Operand(
                    text="qword ptr [rdi + 0x18]",
                    address=Address(0x18),
                    size=8,
                    access="read",
                    base="rdi",
                    base_value=Address(0),
                    displacement=0x18,
                ),
            ),
            disassembly=tuple(
                (Address(0x55D0_4A10_31C8 + at), text)
                for at, text in (
                    (0, "endbr64"),
                    (4, "push rbp"),
                    (5, "mov rbp, rsp"),
                    (8, "sub rsp, 0x10"),
                    (12, "nop"),
                    (14, "mov rax, qword ptr [rdi + 0x18]"),
                    (18, "leave"),
                    (19, "ret"),
                )
            ),
            registers=(
                RegisterNote(
                    register="rip",
                    value=Address(0x55D0_4A10_31D6),
                    text="ledger::Account::balance() const+0xe",
                ),
                RegisterNote(register="rdi", value=Address(0), text="null"),
                RegisterNote(
                    register="rbx",
                    value=Address(0x55D0_4B00_1040),
                    text="heap, 0x1040 into [heap]; a locked pthread_mutex_t",
                ),
            ),
        ),
        verdict=Verdict(
            rule=finding.rule,
            title=finding.title,
            severity="high",
            confidence="certain",
            summary="ledger::total() passed a null Account to balance(), reading the field at offset 0x18.",
            next_steps=(
                "Look at why the vector given to ledger::total() (total.cpp:41) holds a null pointer.",
                "Run the same request under AddressSanitizer if the origin isn't plain from the source.",
            ),
        ),
        findings=(
            finding,
            Finding(
                rule="lock-convoy",
                title="8 threads wait for one mutex held by the crashing thread",
                severity="info",
                confidence="likely",
                explanation="The crashing thread held the lock when it died; this is a consequence.",
                evidence=(Evidence(where="threads[3].wait.owner", value="4711"),),
            ),
            Finding(
                rule="module-mismatch",
                title="libqueue.so.2 is not the file that ran",
                severity="low",
                confidence="certain",
                explanation="Frames in it are unwound by frame pointers.",
                evidence=(Evidence(where="modules[2].status", value="mismatched"),),
            ),
        ),
        threads=(main, *workers, *others),
        modules=modules,
        mappings=mappings,
        memory=Memory(by_kind=by_kind, mappings=len(mappings), dumped=140_000_000),
        native=NativeFacts(
            errno=11,
            arenas=(Arena(start=Address(0x7F3A_0800_0000), size=0x400_0000),),
            exceptions=(
                CxxException(
                    type="std::out_of_range",
                    what="vector::_M_range_check",
                    address=Address(0x55D0_4B00_2000),
                    tid=4711,
                ),
            ),
        ),
        problems=(
            Problem(
                stage="modules",
                where="/opt/vendor/libqueue.so.2",
                what="No file with build-id 00aa11bb… was found; its functions have no names.",
                hint="Give the vendor's file with --debug-dir, or run on the machine that crashed.",
            ),
        ),
        signature=Signature(
            id="3f9a2c01",
            frames=("ledger::Account::balance", "ledger::total"),
            text="ledger::Account::balance < ledger::total",
        ),
        timings={"memory": 0.012, "modules": 0.21, "unwind": 0.043, "rules": 0.004},
    )


def java_stack(seed: int, depth: int) -> tuple[Frame, ...]:
    """A mixed stack: native, interpreted, compiled and inlined frames over Thread.run."""
    frames = [
        frame(0x7F00_2000_0000, "__futex_abstimed_wait_common64", LIBC, kind="native"),
        frame(0x7F00_3012_0000, "Unsafe_Park", LIBJVM, "unsafe.cpp", 1020),
    ]
    for at in range(depth - 5):
        kind = ("java-compiled", "java-compiled", "java-interpreted")[(at + seed) % 3]
        frames.append(
            frame(
                0x7F00_4000_0000 + seed * 4096 + at * 64,
                f"com.example.shop.service{seed % 17}.OrderProcessor{seed}.handleStep{at}",
                None,
                f"OrderProcessor{seed}.java",
                100 + at,
                kind=kind,
                trust="hotspot",
                inlined=kind == "java-compiled" and at % 4 == 1,
                bci=at * 3,
                compile_level=4 if kind == "java-compiled" else None,
            )
        )
    frames += [
        frame(
            0x7F00_4000_F000,
            "java.lang.Thread.run",
            None,
            "Thread.java",
            840,
            kind="java-interpreted",
            trust="hotspot",
        ),
        frame(0x7F00_4000_0400, "StubRoutines::call_stub", None, kind="stub", trust="hotspot"),
        frame(0x7F00_3080_0000, "JavaThread::thread_main_inner()", LIBJVM, "thread.cpp", 1297),
    ]
    return tuple(frames)


def jvm(threads: int = 40, depth: int = 14, different: int = 12, mappings: int = 900, flags: int = 700) -> Report:
    """A JVM 17 that crashed in native code called from Java."""
    fault = Signal(
        number=11,
        name="SIGSEGV",
        code=1,
        code_name="SEGV_MAPERR",
        fault_address=Address(0xDEAD_0000),
        meaning="address not mapped",
    )
    crashing = Thread(
        tid=900,
        name="http-nio-8080-e",
        crashed=True,
        frames=(
            frame(
                0x7F00_1000_0120,
                "Java_com_example_Codec_decode",
                "/opt/shop/libcodec.so",
                "codec.c",
                77,
                trust="context",
            ),
            *java_stack(0, 18)[2:],
        ),
        handler_frames=(
            frame(0x7F00_2003_0000, "pthread_kill", LIBC),
            frame(0x7F00_2003_1000, "abort", LIBC),
            frame(0x7F00_3090_0000, "os::abort(bool, void*, void const*)", LIBJVM),
            frame(0x7F00_3091_0000, "VMError::report_and_die(int, char const*)", LIBJVM),
            frame(0x7F00_3092_0000, "JVM_handle_linux_signal", LIBJVM),
        ),
        registers={"rip": Address(0x7F00_1000_0120), "rax": Address(0xDEAD_0000)},
        java=JavaThread(
            name="http-nio-8080-exec-7",
            daemon=True,
            state="RUNNABLE",
            thread_state="_thread_in_native",
            kind="JavaThread",
        ),
    )
    others = tuple(
        Thread(
            tid=901 + at,
            name=f"pool-{at}",
            frames=java_stack(1 + at % different, depth),
            wait=Wait(syscall="futex", kind="futex"),
            java=JavaThread(
                name=f"pool-1-thread-{at}",
                state=("WAITING", "BLOCKED", "TIMED_WAITING")[at % different % 3],
                thread_state="_thread_blocked",
                kind="JavaThread",
                blocked_on=f"java.lang.Object@0x{0x7_0000_0000 + at:x}",
            ),
        )
        for at in range(threads - 1)
    )
    finding = Finding(
        rule="jni-wild-pointer",
        title="Wild pointer in native code called from Java: Java_com_example_Codec_decode",
        severity="critical",
        confidence="likely",
        explanation="libcodec.so, called by com.example.shop.service0.OrderProcessor0.handleStep0, "
        "read 0xdead0000, where nothing is mapped.",
        evidence=(
            Evidence(where="crash.fault_address", value="0xdead0000", text="not mapped, and far from any mapping"),
            Evidence(
                where="threads[0].frames[0].function",
                value="Java_com_example_Codec_decode",
                text="a JNI function",
            ),
            Evidence(
                where="threads[0].java.thread_state",
                value="_thread_in_native",
                text="the VM was out of Java code",
            ),
            Evidence(where="threads[23].frames[3].pc", value="0x7f0040000040"),
            Evidence(where="jvm.flags[5].value", value="true"),
        ),
        remedies=("Run with -Xcheck:jni.",),
    )
    start = 0x7F00_0000_0000
    maps = [
        Mapping(
            start=Address(0x7_0000_0000),
            end=Address(0x7_0000_0000 + 2 * GIB),
            permissions="rw-p",
            kind="java heap",
            dumped=GIB,
        ),
        Mapping(
            start=Address(0x7_8000_0000),
            end=Address(0x7_8000_0000 + GIB),
            permissions="rw-p",
            kind="class space",
            dumped=1 << 23,
        ),
    ]
    for at in range(mappings):
        kind = ("thread stack", "code", "malloc arena", "metaspace", "guard", "file")[at % 6]
        length = (1 << 20, 1 << 18, 1 << 26, 1 << 22, 1 << 14, 1 << 16)[at % 6]
        maps.append(
            Mapping(
                start=Address(start),
                end=Address(start + length),
                permissions="r-xp" if kind == "code" else "rw-p",
                kind=kind,
                path=f"/opt/shop/lib/lib{at}.so" if kind in ("code", "file") else None,
                dumped=length // 4,
            )
        )
        start += length
    by_kind: dict[str, int] = {}
    for mapping in maps:
        by_kind[str(mapping.kind)] = by_kind.get(str(mapping.kind), 0) + mapping.end - mapping.start
    state = Jvm(
        version="17.0.13+11-Debian-2deb12u1",
        name="OpenJDK 64-Bit Server VM",
        vendor="Debian",
        tier="tables+symtab",
        java_command="com.example.Shop --port 8080",
        arguments=(
            "-Xmx4g",
            "-XX:+UseG1GC",
            "-XX:+UseStringDeduplication",
            "-Ddb.password=Sup3rSecret",
            "-Dfile.encoding=UTF-8",
        ),
        flags=tuple(
            Flag(
                name=f"FlagNumber{at}",
                value="true",
                origin=("default", "ergonomic", "command line")[0 if at > 12 else at % 3],
            )
            for at in range(flags)
        ),
        properties={
            "java.home": "/usr/lib/jvm/java-17",
            "javax.net.ssl.keyStorePassword": "keystore-pass",
            "user.dir": "/srv/shop",
        },
        heap=Heap(
            collector="G1",
            capacity=2 * GIB,
            used=GIB + 300_000_000,
            maximum=4 * GIB,
            collections=812,
            gc_active=False,
            spaces=(
                HeapSpace(name="Eden", capacity=GIB // 2, used=GIB // 3, regions=170),
                HeapSpace(name="Survivor", capacity=1 << 26, used=1 << 25, regions=16),
                HeapSpace(
                    name="Old",
                    capacity=GIB,
                    used=GIB - 5_000_000,
                    start=Address(0x7_0000_0000),
                    end=Address(0x7_4000_0000),
                    regions=512,
                ),
            ),
        ),
        code_cache=CodeCache(
            reserved=240 << 20,
            used=61 << 20,
            nmethods=11_240,
            segments=(
                CodeSegment(
                    name="non-nmethods",
                    start=Address(0x7F00_4000_0000),
                    end=Address(0x7F00_4058_0000),
                    capacity=0x58_0000,
                    used=0x18_0000,
                ),
                CodeSegment(
                    name="profiled nmethods",
                    start=Address(0x7F00_4058_0000),
                    end=Address(0x7F00_47A0_0000),
                    capacity=0x748_0000,
                    used=0x210_0000,
                ),
                CodeSegment(
                    name="non-profiled nmethods",
                    start=Address(0x7F00_47A0_0000),
                    end=Address(0x7F00_4F00_0000),
                    capacity=0x760_0000,
                    used=0x190_0000,
                ),
            ),
        ),
        metaspace=Metaspace(
            used=91 << 20,
            committed=96 << 20,
            class_used=11 << 20,
            class_committed=12 << 20,
            class_maximum=GIB,
            loaders=41,
            classes=17_204,
        ),
        safepoint=Safepoint(state="not synchronized"),
        vm_operation=None,
        error=VmError(id=11, message="SIGSEGV (0xb) at pc=0x00007f0010000120"),
        compilations=(
            Compilation(
                thread="C2 CompilerThread0",
                tid=910,
                method="com.example.Shop.checkout",
                level=4,
                compile_id=8812,
            ),
        ),
        deadlocks=(
            Deadlock(
                threads=(
                    DeadlockMember(
                        name="pool-1-thread-3",
                        tid=904,
                        waiting_for="java.lang.Object@0x700000010",
                        held_by="pool-1-thread-5",
                    ),
                    DeadlockMember(
                        name="pool-1-thread-5",
                        tid=906,
                        waiting_for="java.lang.Object@0x700000020",
                        held_by="pool-1-thread-3",
                    ),
                )
            ),
        ),
        class_loaders=(ClassLoader(name="bootstrap", classes=4800), ClassLoader(name="app", classes=12_000)),
        events=(
            EventLog(
                name="Internal exceptions",
                events=tuple(
                    Event(
                        time=at * 1.5,
                        thread="0x00007f0000abc000",
                        text=f"Exception <a 'java/lang/NoSuchMethodError'{{0x70{at:06x}}}>",
                    )
                    for at in range(20)
                ),
            ),
            EventLog(name="GC heap history", events=(Event(text="{Heap before GC invocations=811"),)),
        ),
        counters={"sun.gc.cause": "No GC"},
        histogram=(
            HistogramEntry(class_="byte[]", instances=812_331, bytes=91_000_000),
            HistogramEntry(class_="java.lang.String", instances=700_012, bytes=16_800_288),
        ),
    )
    return Report(
        tool=TOOL,
        core=Core(
            path="/var/crash/core.java.900",
            size=3_100_000_000,
            format="elf-core",
            machine="x86-64",
            truncated=True,
            lost=12_000_000,
        ),
        process=Process(
            pid=899,
            ppid=1,
            uid=1000,
            command="java",
            executable="/usr/lib/jvm/java-17-openjdk-amd64/bin/java",
            arguments=("java", "-jar", "shop.jar"),
            environment={"JAVA_TOOL_OPTIONS": "-Dapi.token=abcdef123456", "HOME": "/srv"},
        ),
        crash=Crash(
            signal=fault,
            tid=900,
            pc=Address(0x7F00_1000_0120),
            instruction="movzx eax, byte ptr [rax]",
            access="read",
            unwrapped=True,
            handler_signal=Signal(
                number=6, name="SIGABRT", code=-6, code_name="SI_TKILL", sender_pid=899, sender_uid=1000
            ),
            fault_address=Address(0xDEAD_0000),
            fault_address_text="not mapped",
            fault_address_source="si_addr of the original signal",
        ),
        verdict=Verdict(
            rule=finding.rule,
            title=finding.title,
            severity="critical",
            confidence="likely",
            summary=finding.explanation,
            next_steps=("Look at codec.c:77 with the buffer it was given.", "Run again with -Xcheck:jni."),
        ),
        findings=(finding,),
        threads=(crashing, *others),
        mappings=tuple(maps),
        memory=Memory(by_kind=by_kind, mappings=len(maps), dumped=2 * GIB),
        modules=tuple(
            Module(
                path=path,
                build_id=f"{at:040x}",
                start=Address(start + at * 4096),
                end=Address(start + at * 4096 + 4096),
                bias=Address(start),
                status="missing" if "codec" in path else "matched",
            )
            for at, path in enumerate(("/opt/shop/libcodec.so", LIBJVM, LIBC))
        ),
        jvm=state,
        timings={"hotspot": 0.41, "unwind": 0.2},
        problems=(
            Problem(
                stage="memory",
                where="core",
                what="The core ends 12 MB before its last segment does.",
                hint="Raise the core size limit and crash again.",
            ),
        ),
    )


def big_jvm() -> Report:
    """200 threads of 30 frames, no two stacks alike."""
    return jvm(threads=200, depth=30, different=199, mappings=2500, flags=1300)


def recursion(depth: int = 29_000) -> Report:
    """A stack overflow: two functions calling each other, found as a cycle."""
    top = (frame(0x40_1100, "parse_value", EXE, "parse.c", 20, trust="context"),)
    turn = (
        frame(0x40_1200, "parse_object", EXE, "parse.c", 60),
        frame(0x40_1300, "parse_member", EXE, "parse.c", 90),
    )
    count = depth // 2
    bottom = (frame(0x40_1400, "parse", EXE, "parse.c", 130), frame(0x40_1500, "main", EXE, "main.c", 9))
    thread = Thread(
        tid=77,
        name="parser",
        crashed=True,
        frames=top + turn * count + bottom,
        cycles=(Cycle(start=1, period=2, count=count),),
    )
    finding = Finding(
        rule="stack-overflow",
        title="Stack overflow by recursion: parse_object, parse_member",
        severity="high",
        confidence="certain",
        explanation="The stack pointer lies in the guard page.",
        evidence=(
            Evidence(where="threads[0].cycles[0].count", value=str(count)),
            Evidence(where="threads[0].frames[500].function", value="parse_member"),
        ),
    )
    return Report(
        tool=TOOL,
        core=Core(path="core.77", size=9_000_000, format="elf-core", machine="aarch64"),
        threads=(thread,),
        findings=(finding,),
        crash=Crash(signal=Signal(number=11, name="SIGSEGV"), tid=77),
        verdict=Verdict(
            rule=finding.rule,
            title=finding.title,
            summary=finding.explanation,
            severity="high",
            confidence="certain",
        ),
    )


EVIL = (
    "</script><script>alert(1)</script>\"'><img src=https://evil.example/x onerror=alert(2)> ``` `a` | "
    "[x](javascript:1) \x1b[31m\x00\u202egnp.exe\u2066 \udc80 {{ 7*7 }} [bold]x[/bold]"
)


def hostile() -> Report:
    """Every text of a full report replaced by one that attacks each format; dict keys too."""
    import msgspec

    def spoil(value: Any, path: str = "") -> Any:
        if isinstance(value, str):
            name = path.rpartition(".")[2]
            fixed = ("status", "kind", "trust", "ended", "severity", "confidence", "claim", "access", "where")
            return value if name in fixed and not path.endswith("java.kind") else EVIL
        if isinstance(value, tuple):
            return tuple(spoil(item, path) for item in value)
        if isinstance(value, dict):
            return {f"{EVIL}{key}": spoil(item, path) for key, item in value.items()}
        if isinstance(value, msgspec.Struct):
            fields = {name: spoil(getattr(value, name), f"{path}.{name}") for name in value.__struct_fields__}
            return msgspec.structs.replace(value, **fields)
        return value

    made = spoil(jvm())
    assert isinstance(made, Report)
    bad = Evidence(where='x"><script>alert(3)</script>[0].y', value=EVIL, text=EVIL)
    extra = Finding(
        rule=EVIL,
        title=EVIL,
        severity="info",
        confidence="possible",
        explanation=EVIL,
        evidence=(bad,),
        references=("javascript:alert(1)", 'https://x.example/"><script>', "https://ok.example/a", EVIL),
    )
    full = spoil(native())
    return msgspec.structs.replace(
        made, findings=(*made.findings, extra), native=full.native, problems=(*made.problems, *full.problems)
    )
