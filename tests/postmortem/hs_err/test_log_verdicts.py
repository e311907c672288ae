"""What is concluded from logs: for each kind one that has it, and near misses that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from parsers import hs_err
from postmortem.hs_err.report import from_log
from postmortem.rules.engine import run
from tests.build.logs import LIBJVM, STACK, Log

if TYPE_CHECKING:
    from postmortem.model import Report


class Row(NamedTuple):
    """A log and what must be concluded: rule, claim, confidence, words that the title has, words that nothing has."""

    log: Log
    rule: str
    claim: str
    confidence: str
    said: str
    unsaid: str = ""


def analyzed(log: Log) -> Report:
    data = log.text().encode()
    return run(from_log(hs_err.parse(data), "hs_err_pid4240.log", len(data), "0"), strict=True)


JAVA = 'JavaThread "main" [_thread_in_Java, id=4242, stack(0x00007f1a40000000,0x00007f1a40100000)]'
VM_THREAD = 'VMThread "VM Thread" [stack: 0x00007f1a40000000,0x00007f1a40100000] [id=4242]'
COMPILER = (
    'JavaThread "C2 CompilerThread0" daemon [_thread_in_native, id=4242, stack(0x00007f1a40000000,0x00007f1a40100000)]'
)
GC = 'GCTaskThread "GC Thread#0" [stack: 0x00007f1a40000000,0x00007f1a40100000] [id=4242]'
MAIN = ("j  shop.Main.main([Ljava/lang/String;)V+12", "v  ~StubRoutines::call_stub")
NO_INFO = replace(Log(), siginfo="")

REFUSED = Log(
    error="Out of Memory Error (os_linux.cpp:2973)",
    head=(
        "There is insufficient memory for the Java Runtime Environment to continue.",
        "Native memory allocation (mmap) failed to map 2147483648 bytes for committing reserved memory.",
    ),
    siginfo="",
    frames=("V  [libjvm.so+0xa1234]  os::pd_commit_memory(char*, unsigned long, bool)+0x34",),
)
SMALL = replace(
    REFUSED,
    error="Out of Memory Error (allocation.cpp:44)",
    head=(REFUSED.head[0], "Native memory allocation (malloc) failed to allocate 32784 bytes for Chunk::new"),
)
WINDOWS = replace(
    SMALL,
    platform="windows-amd64",
    os="Windows 11 , 64 bit Build 22621 (10.0.22621.2506)",
    uname="",
    libc=None,
    frames=("V  [jvm.dll+0x67b8ca]", "V  [jvm.dll+0x7da62d]", "V  [jvm.dll+0x7dbe83]"),
    libraries=("0x00007ffb12340000 - 0x00007ffb13340000 \tC:\\java\\bin\\server\\jvm.dll",),
    memory="4k page, system-wide physical 16231M (4123M free)",
    system=("TotalPageFile size 24231M (AvailPageFile size 3M)",),
)
THREAD = replace(
    REFUSED,
    error="Out of Memory Error (workgroup.cpp:96)",
    head=(REFUSED.head[0], "Cannot create worker GC thread. Out of system resources."),
    frames=(),
)
TIGHT = ("MemTotal:       16384000 kB", "MemAvailable:     900000 kB")
STRICT = (
    "MemTotal:       16384000 kB",
    "MemAvailable:   12000000 kB",
    "CommitLimit:    14745600 kB",
    "Committed_AS:   14000000 kB",
)
NO_SWAP = "4k page, physical 16384000k(9000000k free), swap 0k(0k free)"
RUNAWAY = replace(
    SMALL,
    head=(REFUSED.head[0], "Native memory allocation (malloc) failed to allocate 536870928 bytes for Chunk::new"),
    thread=COMPILER,
    task="C2:  12345 6789       4       shop.Parser::parse (812 bytes)",
    frames=(
        "V  [libjvm.so+0xa1234]  Arena::grow(unsigned long)+0x34",
        "V  [libjvm.so+0xb1234]  Node_Array::grow(unsigned int)+0x34",
    ),
)
DUMP = replace(
    Log(),
    thread=VM_THREAD,
    operation="PrintThreads",
    frames=(
        "C  [libc.so.6+0x91234]  pthread_getcpuclockid+0x4",
        "V  [libjvm.so+0xe63315]  Thread::print_on(outputStream*, bool) const+0x55",
        "V  [libjvm.so+0xe6354b]  JavaThread::print_on(outputStream*, bool) const+0x3b",
        "V  [libjvm.so+0xe68304]  Threads::print_on(outputStream*, bool, bool, bool, bool)+0x4f4",
        "V  [libjvm.so+0xed37eb]  VM_Operation::evaluate()+0xeb",
    ),
)
DUMP_OF_GC = replace(
    DUMP,
    version="21.0.3+9",
    frames=(
        *DUMP.frames[:2],
        "V  [libjvm.so+0xe6354b]  NamedThread::print_on(outputStream*) const+0x3b",
        "V  [libjvm.so+0x7a79a7]  G1ConcurrentRefine::print_threads_on(outputStream*) const+0x37",
        *DUMP.frames[3:],
    ),
)
MARKING = replace(
    Log(),
    thread=GC,
    frames=(
        "V  [libjvm.so+0x6a1234]  G1CMTask::make_reference_grey(oopDesc*)+0x34",
        "V  [libjvm.so+0x6b1234]  G1CMTask::do_marking_step(double, bool, bool)+0x134",
        "V  [libjvm.so+0xe91234]  WorkerThread::run()+0x84",
    ),
)
PROFILED = replace(
    Log(),
    thread=JAVA,
    frames=(
        "V  [libjvm.so+0x6c4438]  frame::entry_frame_is_first() const+0x8",
        "V  [libjvm.so+0x6c368d]  forte_fill_call_trace_given_top(JavaThread*, ASGCT_CallTrace*, int, frame)+0x7bd",
        "V  [libjvm.so+0x6c3e8e]  AsyncGetCallTrace+0x21e",
        "C  [libspotter.so+0x1f99a]  Spotter::sample(void*)+0xda",
        "C  [libc.so.6+0x42520]",
        "V  [libjvm.so+0xf3d36b]  ZBarrier::load_barrier(oopDesc**)+0x3b",
    ),
)
COMPILED = "J 812 c2 shop.Hash.mix([II)I (115 bytes) @ 0x00007f1a30001040 [0x00007f1a30001000+0x0000000000000040]"
SIGILL = replace(
    Log(),
    signal="SIGILL (0x4)",
    siginfo="si_signo: 4 (SIGILL), si_code: 2 (ILL_ILLOPN), si_addr: 0x00007f1a30001040",
    pc=0x7F1A30001040,
    thread=JAVA,
    frames=(COMPILED, MAIN[0]),
)
SVE = replace(
    SIGILL,
    platform="linux-aarch64",
    version="21.0.6+7",
    pc=0xFFFF70D3FC5C,
    siginfo="si_signo: 4 (SIGILL), si_code: 1 (ILL_ILLOPC), si_addr: 0x0000ffff70d3fc5c",
    frames=("j  java.lang.System.registerNatives()V+0 java.base@21.0.6",),
)
PROBE = replace(
    Log(),
    thread=JAVA,
    pc=0x7F1A30001016,
    sp=STACK[0] - 0x2209008,
    siginfo=f"si_signo: 11 (SIGSEGV), si_code: 2 (SEGV_ACCERR), si_addr: 0x{STACK[0] - 0x2209008 - 0x14000:016x}",
    frames=("J 145 c2 shop.Rule.eval(I)I (61 bytes) @ 0x00007f1a30001016 [0x00007f1a30001000+0x0000000000000016]",),
    sections="OutOfMemory and StackOverflow Exception counts:\nStackOverflowErrors=54\n",
)
WRAPPER = replace(
    NO_INFO,
    version="1.8.0",
    thread=JAVA,
    pc=0x7F1A30001040,
    frames=(
        "J 812  shop.Codec.decode([B)Ljava/lang/String; (0 bytes) @ 0x00007f1a30001040 [0x00007f1a30001000+0x40]",
        MAIN[0],
    ),
)
RAISED = replace(
    Log(),
    platform="bsd-aarch64",
    os="Darwin, macOS 14.5",
    uname="Darwin 23.5.0",
    libc=None,
    siginfo="si_signo: 11 (SIGSEGV), si_code: 2 (SEGV_ACCERR), si_addr: 0x0000000000000000",
    frames=(
        "C  [libsystem_kernel.dylib+0x9388]  __pthread_kill+0x8",
        "C  [libsystem_c.dylib+0x40cc4]  raise+0x20",
        *MAIN,
    ),
)
FRAMEWORK = replace(
    RAISED,
    siginfo="si_signo: 11 (SIGSEGV), si_code: 2 (SEGV_ACCERR), si_addr: 0x0000000000000010",
    frames=("C  [AppKit+0x1234]  -[NSView addSubview:]+0x34", "C  [libwidgets.dylib+0x2234]  attach+0x34", *MAIN),
)
UNRELOCATED = replace(
    NO_INFO,
    pc=0x207D6,
    libc=None,
    libraries=(f"{LIBJVM:x}-{LIBJVM + 0x1200000:x} r-xp 00000000 08:01 11 /opt/java/lib/server/libjvm.so",
               "7f1a60000000-7f1a60080000 r-xp 00000000 08:01 12 /lib/ld-musl-x86_64.so.1"),
    frames=("C  [libfast.so+0x29193]  fast_init+0x7b3", *MAIN),
)  # fmt: skip
CXX = replace(
    WINDOWS,
    head=(),
    error="Internal Error (0xe06d7363)",
    frames=("C  [KERNELBASE.dll+0x34f99]", "C  [VCRUNTIME140.dll+0x6ba0]", "C  [mathlib.dll+0x2341]", *MAIN),
)
UNRELOCATED_GLIBC = replace(
    Log(),
    pc=0x20A6,
    siginfo="si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x00000000000020a6",
    libraries=(
        f"{LIBJVM:x}-{LIBJVM + 0x1200000:x} r-xp 00000000 08:01 11 /usr/lib/jvm/java/lib/server/libjvm.so",
        "7f1a60000000-7f1a60200000 r-xp 00000000 08:01 12 /lib/x86_64-linux-gnu/libc.so.6",
        "7f1a60400000-7f1a60440000 r-xp 00000000 08:01 13 /lib64/ld-linux-x86-64.so.2",
        "7f1a70000000-7f1a70009000 r-xp 00000000 08:01 14 /opt/shop/libpatchwork.so",
    ),
    frames=("C  [libpatchwork.so+0x3637]", *MAIN),
)
UNRELOCATED_AT_EXIT = replace(
    UNRELOCATED_GLIBC,
    thread=VM_THREAD,
    operation="Exit",
    frames=(
        "C  [ld-linux-x86-64.so.2+0x10f2]  _dl_call_fini+0x42",
        "C  [libc.so.6+0x47a76]",
        "V  [libjvm.so+0x912390]  vm_exit(int)+0x0",
    ),
)
UNRELOCATED_LOADED = replace(
    UNRELOCATED,
    libraries=(*UNRELOCATED.libraries, "7f1a70000000-7f1a70089000 r-xp 00000000 08:01 14 /tmp/libpatchwork.so"),
    frames=(
        "C  0x00000000000207d6",
        "C  [ld-musl-x86_64.so.1+0x637dc]",
        "C  [ld-musl-x86_64.so.1+0x65c64]  dlopen+0x738",
        "V  [libjvm.so+0xacbefc]  os::Linux::dlopen_helper(char const*, char*, int)+0x28",
        *MAIN,
    ),
)
METADATA = replace(
    Log(),
    thread=VM_THREAD,
    operation="ShenandoahFullGC",
    frames=(
        "V  [libjvm.so+0x8d63aa]  MetadataOnStackMark::~MetadataOnStackMark()+0xba",
        "V  [libjvm.so+0xa5a785]  ShenandoahHeap::unload_classes_and_cleanup_tables(bool)+0x3d5",
        "V  [libjvm.so+0xa32ce6]  ShenandoahConcurrentMark::finish_mark_from_roots(bool)+0x2b6",
    ),
)
NULL_PC = replace(NO_INFO, pc=0, frames=("C  0x0000000000000000",))
LIBC = replace(
    Log(),
    siginfo="si_signo: 11 (SIGSEGV), si_code: 128 (SI_KERNEL), si_addr: 0x0000000000000000",
    thread='JavaThread "native-cleaner" [_thread_in_native, id=4242, stack(0x00007f1a40000000,0x00007f1a40100000)]',
    frames=("C  [libc.so.6+0x99f10]",),
)
LOST_PAGE = replace(
    LIBC,
    signal="SIGBUS (0x7)",
    siginfo="si_signo: 7 (SIGBUS), si_code: 2 (BUS_ADRERR), si_addr: 0x00007f1a20000000",
)
ZIP = replace(
    Log(),
    version="1.8.0",
    frames=(
        "C  [libc.so.6+0x14d667]  __memcpy_ssse3+0xb57",
        "C  [libzip.so+0x6034]  ZIP_GetEntry2+0xf4",
        "C  [libzip.so+0x3c1d]  Java_java_util_zip_ZipFile_getEntry+0xfd",
        "j  java.util.zip.ZipFile.getEntry(J[BZ)J+0",
    ),
)
JVMCI = replace(
    Log(),
    error="Internal Error (jvmciRuntime.cpp:1609)",
    siginfo="",
    thread=COMPILER.replace("C2", "JVMCI-native"),
    frames=("V  [libjvm.so+0x972714]  JVMCIRuntime::fatal_exception(JVMCIEnv*, char const*)+0x74",),
    sections="OutOfMemory and StackOverflow Exception counts:\nOutOfMemoryError java_heap_errors=3\n",
)
EXCERPT = Log()


TABLE = {
    # Refused memory: what was short.
    "windows-commit": Row(WINDOWS, "jvm-native-oom", "cause", "certain", "Windows' commit limit", "ulimit"),
    "windows-commit-8": Row(
        replace(
            WINDOWS,
            version="1.8.0",
            system=(),
            memory="4k page, physical 16620544k(4222000k free), swap 24812544k(3172k free)",
        ),
        "jvm-native-oom",
        "cause",
        "certain",
        "Windows' commit limit",
        "no swap",
    ),
    "windows-commit-left": Row(
        replace(WINDOWS, system=("TotalPageFile size 24231M (AvailPageFile size 9123M)",)),
        "jvm-native-oom",
        "observation",
        "certain",
        "which limit was met is not known",
        "overcommit",
    ),
    "machine-full": Row(
        replace(REFUSED, meminfo=TIGHT, memory=NO_SWAP),
        "jvm-native-oom",
        "cause",
        "certain",
        "the machine had",
        "ulimit -v 0",
    ),
    "strict-overcommit": Row(
        replace(REFUSED, meminfo=STRICT, memory=NO_SWAP), "jvm-native-oom", "cause", "likely", "strict overcommit"
    ),
    "nothing-short": Row(SMALL, "jvm-native-oom", "observation", "certain", "which limit was met is not known"),
    "narrow": Row(
        replace(SMALL, platform="linux-x86", version="1.8.0"), "jvm-native-oom", "observation", "certain", "not known"
    ),
    "compiler-runaway": Row(
        RUNAWAY,
        "jvm-native-oom",
        "cause",
        "likely",
        "the JIT compiler's own request while it compiled shop.Parser::parse",
    ),
    "guard-pages": Row(
        replace(
            SMALL,
            head=(
                REFUSED.head[0],
                "Native memory allocation (mprotect) failed to protect 16384 bytes for memory to guard stack pages",
            ),
        ),
        "jvm-native-oom",
        "cause",
        "likely",
        "no mappings left",
    ),
    # Refused threads: no word of memory.
    "thread-refused": Row(THREAD, "thread-exhaustion", "observation", "certain", "refused the JVM a thread", "-Xmx"),
    "threads-of-the-container": Row(
        replace(
            THREAD,
            system=(
                "container (cgroup) information:",
                "container_type: cgroupv2",
                "maximum number of tasks: 512",
                "current number of tasks: 512",
                "",
            ),
        ),
        "thread-exhaustion",
        "cause",
        "certain",
        "the container may have no more threads",
    ),
    # Thread dumps; the collector's name on the stack is no damage.
    "dump": Row(DUMP, "jvm-vm-code-crash", "cause", "likely", "during a thread dump", "heap is damaged"),
    "dump-of-gc-thread": Row(
        DUMP_OF_GC, "jvm-vm-code-crash", "cause", "likely", "during a thread dump", "heap is damaged"
    ),
    "marking": Row(
        MARKING, "jvm-crash-in-gc", "observation", "certain", "during marking of live objects", "is damaged"
    ),
    "profiler": Row(
        PROFILED, "jvm-vm-code-crash", "observation", "likely", "called by the sampling profiler libspotter.so"
    ),
    # Instructions that the CPU does not run.
    "sigill": Row(SIGILL, "jvm-illegal-instruction", "cause", "likely", "does not run", "canonical"),
    "sve": Row(SVE, "jvm-illegal-instruction", "cause", "likely", "the interpreter", "canonical"),
    # The stack pointer, the wrapper, signals that were raised.
    "left-stack": Row(PROBE, "jvm-stack-overflow", "cause", "likely", "Stack overflow"),
    "wrapper": Row(
        WRAPPER, "jvm-crash-in-compiled-code", "observation", "certain", "wrapper around native method", "canonical"
    ),
    "raised": Row(RAISED, "raised-signal", "observation", "certain", "raised by the process itself", "LD_PRELOAD"),
    "musl-with-glibc": Row(
        replace(
            UNRELOCATED,
            pc=LIBJVM + 0x1234,
            libraries=(*UNRELOCATED.libraries, "7f1a60100000-7f1a60180000 r-xp 00000000 08:01 13 /lib/libgcompat.so.0"),
        ),
        "jvm-crash-in-native-library",
        "observation",
        "certain",
        "libfast.so",
        "never relocated",
    ),
    "collector-of-the-stack": Row(
        replace(
            MARKING,
            version="1.8.0",
            thread=VM_THREAD,
            frames=(
                "V  [libjvm.so+0x6a1234]  GenMarkSweep::mark_sweep_phase1(int, bool)+0x34",
                "V  [libjvm.so+0x6b1234]  VM_GenCollectFull::doit()+0x134",
            ),
        ),
        "jvm-crash-in-gc",
        "observation",
        "certain",
        "the Serial garbage collector",
    ),
    # Windows' exceptions by their codes.
    "cxx-exception": Row(CXX, "jvm-windows-exception", "cause", "certain", "Uncaught C++ exception"),
    "native-heap": Row(
        replace(CXX, error="Internal Error (0xc0000374)"),
        "jvm-windows-exception",
        "cause",
        "certain",
        "native heap corrupted",
    ),
    "access-violation": Row(
        replace(CXX, error=None, signal="EXCEPTION_ACCESS_VIOLATION (0xc0000005)"),
        "jvm-crash-in-native-library",
        "observation",
        "certain",
        "mathlib.dll",
        "LD_PRELOAD",
    ),
    "null-pc-windows": Row(
        replace(
            CXX,
            error=None,
            signal="EXCEPTION_ACCESS_VIOLATION (0xc0000005)",
            pc=0,
            frames=("C  0x0000000000000000",),
        ),
        "null-function-call",
        "cause",
        "likely",
        "null function pointer",
    ),
    # Generated code that Windows' walk has no name for; the head names it.
    "head-names-compiled-code": Row(
        replace(
            CXX,
            error=None,
            signal="EXCEPTION_ACCESS_VIOLATION (0xc0000005)",
            siginfo="EXCEPTION_ACCESS_VIOLATION (0xc0000005), reading address 0x0000000000000418",
            pc=0x7F1A30001016,
            problematic="J 145 c2 org.lwjgl.system.MemoryUtil.memGetAddress(J)J (31 bytes)"
            " @ 0x00007f1a30001016 [0x00007f1a30001000+0x0000000000000016]",
            frames=("C  0x00007f1a30001016",),
        ),
        "jvm-unsafe-access",
        "cause",
        "likely",
        "Bad address 0x418 given to org.lwjgl.system.MemoryUtil.memGetAddress()",
        "nothing is mapped",
    ),
    "null-pc-of-a-native-method": Row(
        replace(
            CXX,
            error=None,
            signal="EXCEPTION_ACCESS_VIOLATION (0xc0000005)",
            siginfo="ExceptionCode=0xc0000005, ExceptionInformation=0x0000000000000008 0x0000000000000000",
            pc=0,
            problematic="C  0x0000000000000000",
            frames=(),
            java=("j  shop.Canvas.flush(JI)V+0", "j  shop.Canvas.run()V+21"),
        ),
        "null-function-call",
        "cause",
        "likely",
        "Call of a null function pointer by shop.Canvas.flush()",
        "overwritten before",
    ),
    "nearest-export": Row(
        replace(
            CXX,
            error=None,
            signal="EXCEPTION_ACCESS_VIOLATION (0xc0000005)",
            siginfo="EXCEPTION_ACCESS_VIOLATION (0xc0000005), reading address 0x0000000000000080",
            frames=("C  [icd64.dll+0x1291e7]  DrvSetPalette+0xabb7", *MAIN),
        ),
        "jvm-crash-in-native-library",
        "observation",
        "certain",
        "icd64.dll+0x1291e7",
        "DrvSetPalette()",
    ),
    "metadata": Row(
        METADATA,
        "jvm-crash-in-gc",
        "observation",
        "certain",
        "during cleaning of the metadata of classes",
        "marking of live objects",
    ),
    # Addresses of a file that were not relocated.
    "unrelocated-glibc": Row(
        UNRELOCATED_GLIBC, "jvm-crash-in-native-library", "cause", "likely", "that is not relocated", "musl"
    ),
    "unrelocated-at-exit": Row(
        UNRELOCATED_AT_EXIT, "jvm-crash-in-native-library", "cause", "likely", "as its destructor", "musl"
    ),
    "unrelocated-as-it-is-loaded": Row(
        UNRELOCATED_LOADED,
        "jvm-crash-in-native-library",
        "cause",
        "likely",
        "libpatchwork.so: the loader jumped to 0x207d6 as its constructor",
    ),
    "beyond-the-library": Row(
        replace(
            UNRELOCATED_GLIBC,
            pc=0x20A6000,
            siginfo="si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x00000000020a6000",
        ),
        "jvm-crash-in-native-library",
        "observation",
        "certain",
        "Call of 0x20a6000, where there is no code, in",
        "relocated",
    ),
    # Libraries.
    "framework": Row(
        FRAMEWORK, "jvm-crash-in-native-library", "observation", "certain", "the macOS framework AppKit", "addr2line"
    ),
    "unrelocated": Row(UNRELOCATED, "jvm-crash-in-native-library", "cause", "likely", "never relocated"),
    "wild-jump": Row(
        replace(UNRELOCATED, libraries=(), libc="glibc 2.36 NPTL 2.36"),
        "jvm-crash-in-native-library",
        "observation",
        "certain",
        "libfast.so",
        "never relocated",
    ),
    "null-pc": Row(NULL_PC, "null-function-call", "cause", "likely", "null function pointer", "outdated"),
    "libc": Row(LIBC, "fatal-signal", "observation", "certain", 'on thread "native-cleaner"', "at 0x0"),
    "lost-page": Row(LOST_PAGE, "jvm-truncated-mapped-file", "cause", "likely", "could not be had"),
    "zip-8": Row(ZIP, "jvm-truncated-mapped-file", "cause", "likely", "replaced while it was open"),
    "zip-17": Row(
        replace(ZIP, version="17.0.9+9"),
        "jvm-crash-in-native-library",
        "observation",
        "likely",
        "libzip.so",
        "replaced",
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_a_log_proves(name: str) -> None:
    row = TABLE[name]
    report = analyzed(row.log)
    verdict = report.verdict
    assert verdict is not None
    assert (verdict.rule, verdict.claim, verdict.confidence) == (row.rule, row.claim, row.confidence), verdict.title
    assert row.said in verdict.title
    finding = next(finding for finding in report.findings if finding.rule == row.rule)
    text = " ".join((finding.title, finding.explanation, *finding.remedies))
    assert not row.unsaid or row.unsaid not in text


@pytest.mark.parametrize("name", TABLE)
def test_a_likely_cause_names_its_rivals(name: str) -> None:
    for finding in analyzed(TABLE[name].log).findings:
        assert finding.rivals or (finding.claim, finding.confidence) != ("cause", "likely"), finding.title


def test_the_deflater_reads_no_archive() -> None:
    frames = ("C  [libzip.so+0x45be]  fill_window+0x17e", "j  java.util.zip.Deflater.deflateBytes(J[BIII)I+0")
    verdict = analyzed(replace(ZIP, frames=frames)).verdict
    assert verdict is not None and verdict.rule == "jvm-crash-in-native-library"
    assert "two threads used one Deflater" in verdict.summary and "cut short" not in verdict.summary


def test_a_library_that_the_loader_refused_is_no_damage() -> None:
    said = "fatal error: Unable to load JVMCI shared library from /opt/x.so: cannot restore segment prot after reloc"
    text = JVMCI.text().replace("# JRE version", f"#  {said}\n#\n# JRE version").replace("java_heap_errors=3", "")
    data = text.encode()
    verdict = run(from_log(hs_err.parse(data), "hs_err.log", len(data), "0"), strict=True).verdict
    assert verdict is not None and verdict.rule == "jvm-internal-error"
    assert "SELinux" in verdict.summary and "damaged" not in verdict.summary


def test_the_memory_is_the_machines_where_a_container_has_less() -> None:
    """The Memory line has the container's limit, /proc/meminfo the machine."""
    meminfo = ("MemTotal:       65474708 kB", "MemAvailable:     489504 kB", "SwapTotal:             0 kB")
    log = replace(REFUSED, meminfo=meminfo, memory="4k page, physical 8400000k(489504k free), swap 0k(0k free)")
    verdict = analyzed(log).verdict
    assert verdict is not None and "Of the machine's 62.44 GiB memory 478 MiB were left" in verdict.summary


def test_a_remark_is_no_verdict_of_a_dead_process() -> None:
    """An old JDK, which is a finding, beside an end that nothing explains."""
    report = analyzed(replace(LIBC, version="1.8.0"))
    assert any(finding.rule == "jvm-outdated" for finding in report.findings)
    assert report.verdict is not None and report.verdict.rule == "fatal-signal"


def test_an_excerpt_says_what_it_lacks() -> None:
    text = EXCERPT.text()
    data = text[text.index("---------------  S Y S T E M") :].encode()
    report = run(from_log(hs_err.parse(data), "part.txt", len(data), "0"), strict=True)
    assert report.verdict is not None and report.verdict.title.startswith("Excerpt of a fatal error log")


def test_a_stripped_stack_is_no_cycle() -> None:
    """Frames without a name are equal only at an equal pc."""
    frames = tuple(f"V  [jvm.dll+0x{0x5E3CCA + 0x111 * number:x}]" for number in range(24))
    report = analyzed(replace(WINDOWS, frames=frames, libraries=()))
    assert not report.threads[0].cycles


def test_an_error_behind_a_failed_check() -> None:
    """The compiler that is written in Java ended the JVM for want of heap; without the count it is a failed check."""
    text = JVMCI.text().replace(
        "# JRE version",
        "#  fatal error: Fatal exception in JVMCI: Exception during JVMCI compiler initialization\n#\n# JRE version",
    )
    data = text.encode()
    verdict = run(from_log(hs_err.parse(data), "hs_err.log", len(data), "0"), strict=True).verdict
    assert verdict is not None and (verdict.rule, verdict.confidence) == ("jvm-java-heap-exhausted", "likely")
    data = text.replace("java_heap_errors=3", "class_metaspace_errors=3").encode()
    verdict = run(from_log(hs_err.parse(data), "hs_err.log", len(data), "0"), strict=True).verdict
    assert verdict is not None and verdict.rule == "jvm-internal-error"


def test_what_a_live_jvm_says_of_itself_is_no_crash() -> None:
    """VMError::print_vm_info of vmError.cpp: no error and no section on a thread."""
    text = Log().text()
    version = "\n".join(line for line in text.splitlines() if line.startswith(("# JRE version", "# Java VM")))
    process = text[text.index("---------------  P R O C E S S") :]
    command = "---------------  S U M M A R Y ------------\n\nCommand Line: -Xmx1g shop.Main\n\n"

    def told(data: str) -> tuple[str, str]:
        found = run(from_log(hs_err.parse(data.encode()), "vm_info.txt", len(data), "0"), strict=True).verdict
        assert found is not None
        return found.confidence, found.title

    assert told(f"#\n{version}\n\n{command}{process}")[1].startswith("No crash is in this text")
    assert told(f"#\n{version}\n\n{command}{process}")[0] == "likely"
    assert "No crash" not in told(text)[1]
    registers = "Registers:\nRAX=0x0000000000000000, RIP=0x00007f0010001000\n\n"
    assert "No crash" not in told(f"#\n{version}\n\n{command}{registers}{process}")[1]
    assert "No crash" not in told(f"#\n{version}\n\n")[1]


@pytest.mark.parametrize(("address", "said"), [(0x19F7A510000, None), (0x7FFA00001000, "jvm.dll")])
def test_where_an_address_lies_is_not_taken_from_pc_on_windows(address: int, said: str | None) -> None:
    """Its logs list libraries only: an address that is in none of them may be mapped all the same."""
    log = replace(
        WINDOWS,
        head=(),
        error=None,
        signal="EXCEPTION_ACCESS_VIOLATION (0xc0000005)",
        siginfo=f"EXCEPTION_ACCESS_VIOLATION (0xc0000005), writing address 0x{address:016x}",
        pc=0x7FFA00000010,
        registers={"RIP": 0x7FFA00000010, "RSP": 0x7F1A40008000},
        libraries=("0x00007ffa00000000 - 0x00007ffa00d00000 \tC:\\jdk\\bin\\server\\jvm.dll",),
        frames=("V  [jvm.dll+0x10]", *MAIN),
    )
    crash = analyzed(log).crash
    assert (crash.fault_address, crash.access, crash.fault_address_source) == (address, "write", "the log")
    assert crash.fault_address_text is None if said is None else said in (crash.fault_address_text or "")
