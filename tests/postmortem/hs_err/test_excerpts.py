"""Logs as people paste them: for each kind an excerpt that shows it, and near misses that do not.

The excerpts are written for this test: programs, libraries, addresses and hosts are made up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from parsers import hs_err
from postmortem.hs_err.report import from_log
from postmortem.rules.engine import run

if TYPE_CHECKING:
    from postmortem.model import Finding, Report

LINUX_17 = "Java VM: OpenJDK 64-Bit Server VM (17.0.9+9, mixed mode, tiered, compressed oops, g1 gc, linux-amd64)"
LINUX_8 = "Java VM: OpenJDK 64-Bit Server VM (25.392-b08 mixed mode linux-amd64 compressed oops)"
WINDOWS_8 = LINUX_8.replace("linux", "windows")
MACOS_8 = LINUX_8.replace("linux", "bsd")
LIBC = "C  [libc.so.6+0x91234]"


def head(frame: str, signal: str = "SIGSEGV (0xb)", pc: int = 0x7F1A50001234, vm: str = LINUX_17) -> str:
    """The `#` lines of a log, as far as people copy them."""
    return (
        "# A fatal error has been detected by the Java Runtime Environment:\n#\n"
        f"#  {signal} at pc=0x{pc:016x}, pid=4240, tid=4242\n#\n"
        f"# JRE version: OpenJDK Runtime Environment (build {'1.8.0_392-b08' if '25.' in vm else '17.0.9+9'})\n"
        f"# {vm}\n# Problematic frame:\n# {frame}\n#\n"
    )


def failed(place: str, words: str, frame: str, vm: str = LINUX_17) -> str:
    """The same of a check that failed."""
    return head(frame, vm=vm).replace(
        "SIGSEGV (0xb) at pc=0x00007f1a50001234, pid=4240, tid=4242",
        f"Internal Error ({place}), pid=4240, tid=4242\n#  {words}",
    )


def thread(name: str, state: str = "_thread_in_native", kind: str = "JavaThread") -> str:
    stack = "stack(0x00007f1a40000000,0x00007f1a40100000)"
    return (
        "\n---------------  T H R E A D  ---------------\n\n"
        f'Current thread (0x00007f1a48024000):  {kind} "{name}" [{state}, id=4242, {stack}]\n\n'
    )


def stack(*frames: str, java: tuple[str, ...] = ()) -> str:
    text = "Stack: [0x00007f1a40000000,0x00007f1a40100000],  sp=0x00007f1a400fe000,  free space=1016k\n"
    text += "Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)\n"
    return text + "\n".join((*frames, "", "Java frames: (J=compiled Java code, j=interpreted)", *java, ""))


def analyzed(text: str) -> Report:
    data = text.encode()
    return run(from_log(hs_err.parse(data), "hs_err_pid4240.log", len(data), "0"), strict=True)


def verdict(text: str) -> Finding:
    """The first finding."""
    return analyzed(text).findings[0]


def words(found: Finding) -> str:
    return " ".join((found.title, found.explanation, *found.remedies, *found.rivals))


SIGINFO_NULL = "siginfo: si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x0000000000000000\n"
OPTIMIZER = "V  [libjvm.so+0xce71c9]  PhaseIdealLoop::split_up(Node*)+0x159"
REFUSED = "# Native memory allocation (malloc) failed to allocate 32784 bytes for Chunk::new\n"
COPY = "v  ~StubRoutines::jlong_disjoint_arraycopy"
DIVIDE = "j  shop.Price.share(II)I+3"
SUMMARY = "\n---------------  S U M M A R Y ------------\n\n"
APPLE = f"{SUMMARY}Host: MacBookAir10,1 x86_64 2400 MHz, 8 cores, 16G, Darwin 20.3.0\n"
ALPINE = LINUX_17.replace("(17.0.9+9,", "(17.0.9+9-alpine-r1,")

TABLE = {
    # The line of the refused allocation alone.
    "refused": (REFUSED, "jvm-native-oom", "certain", "32.02 KiB memory for Chunk::new", "defect of the JVM"),
    "refused-after-a-word": (
        "Error: There is insufficient memory for the Java Runtime Environment to continue.\n"
        " Native memory allocation (mmap) failed to map 2555904 bytes for committing reserved memory.\n"
        f"{LINUX_8}\n{thread('Unknown thread', '_thread_in_vm')}",
        "jvm-native-oom",
        "certain",
        "which limit was met is not known",
        "defect of the JVM",
    ),
    "refused-not-on-linux": (
        "# There is insufficient memory for the Java Runtime Environment to continue.\n"
        "# Native memory allocation (mmap) failed to map 268435456 bytes for G1 virtual space\n",
        "jvm-native-oom",
        "certain",
        "page file",
        "max_map_count",
    ),
    # A compiler's function on a thread that the excerpt does not name.
    "c2": (head(OPTIMIZER), "jvm-crash-in-compiler", "likely", "The C2 compiler crashed", "VerifyBeforeGC"),
    "c1": (
        stack(
            "V  [libjvm.so+0x3c520b]  ValueStack::drop(int)+0x8b",
            "V  [libjvm.so+0x34394e]  GraphBuilder::call(int)+0x3be",
        ),
        "jvm-crash-in-compiler",
        "likely",
        "The C1 compiler crashed",
        "raised A fault",
    ),
    "compiler-check": (
        failed("loopnode.hpp:12", "guarantee(n != nullptr) failed: nothing", OPTIMIZER),
        "jvm-crash-in-compiler",
        "likely",
        "guarantee(n != nullptr) failed: nothing",
        "",
    ),
    "astray-on-a-compiler-thread": (
        thread("CompilerThread0") + stack("C  [java+0x1588]  main+0xd0", "V  [libjvm.so+0xdccb5]"),
        "jvm-crash-in-compiler",
        "certain",
        "control went astray",
        "runs main()",
    ),
    "no-compiler": (
        head("V  [libjvm.so+0xce71c9]  VirtualSpaceNode::expand(unsigned long)+0x59"),
        "jvm-vm-code-crash",
        "likely",
        "in the JVM itself",
        "compiler crashed",
    ),
    # JNI functions without their caller.
    "jni-null": (
        head("V  [libjvm.so+0x6ce1c2]  jni_SetLongArrayRegion+0xc2") + thread("reader", "_thread_in_vm") + SIGINFO_NULL,
        "jvm-bad-jni-reference",
        "likely",
        "jni_SetLongArrayRegion with a NULL argument",
        "not attached",
    ),
    "jni-stub": (
        head("v  ~BufferBlob::jni_fast_GetIntField", vm=LINUX_8) + thread("events") + SIGINFO_NULL,
        "jvm-bad-jni-reference",
        "likely",
        "jni_fast_GetIntField with a NULL argument",
        "",
    ),
    "jni-unattached": (
        head("V  [libjvm.so+0x6ce1c2]  jni_NewStringUTF+0xc2") + "\nCurrent thread is native thread\n",
        "jvm-bad-jni-reference",
        "likely",
        "on a thread that is not attached",
        "",
    ),
    "jni-no-word-of-the-thread": (
        head("V  [libjvm.so+0x6ce1c2]  jni_NewStringUTF+0xc2"),
        "jvm-bad-jni-reference",
        "likely",
        "which code is not in the log",
        "not attached",
    ),
    "jni-invocation": (
        head("V  [libjvm.so+0x6ce1c2]  jni_DetachCurrentThread+0xc2"),
        "jvm-vm-code-crash",
        "likely",
        "",
        "jni_DetachCurrentThread with",
    ),
    # Jumps to no code.
    "low": (
        head("C  0x0000000000003f40", pc=0x3F40, vm=ALPINE),
        "fatal-signal",
        "certain",
        "a jump to 0x3f40, where there is no code",
        "Read code at",
    ),
    "not-low": (
        head("C  0x00007f1a20003f40", pc=0x7F1A20003F40),
        "fatal-signal",
        "certain",
        "in no module",
        "a jump to",
    ),
    "cut-before-the-frame": (
        "\n".join(head("").splitlines()[:-2]),
        "fatal-signal",
        "certain",
        "what lies there is not in the log",
        "in no module",
    ),
    "executed": (
        head("C  0xffffffff93e15120", "EXCEPTION_ACCESS_VIOLATION (0xc0000005)", 0xFFFFFFFF93E15120, WINDOWS_8)
        + thread("main", "_thread_in_Java")
        + "siginfo: ExceptionCode=0xc0000005, ExceptionInformation=0x0000000000000008 0xffffffff93e15120\n",
        "fatal-signal",
        "certain",
        "a jump to 0xffffffff93e15120, where there is no code",
        "Read code at",
    ),
    "unrelocated-stack": (
        thread("main") + stack("C  0x000000000000d7c6", "C  [libledger-1.0.392.so+0x4ee50]  page_write+0x370"),
        "jvm-crash-in-native-library",
        "likely",
        "libledger-1.0.392.so called a symbol that was never relocated",
        "raised A fault",
    ),
    "in-a-low-library": (
        head(
            "C  [libchart.so+0xef71]  draw+0x8",
            pc=0x164DF71,
            vm="Java VM: OpenJDK Client VM (24.80-b11 mixed mode linux-x86)",
        ),
        "jvm-crash-in-native-library",
        "certain",
        "libchart.so: draw()",
        "relocated",
    ),
    "null-call": (
        head("C  [libsampler.so+0x24c74]  Sampler::id(JNIEnv_*)+0x5c", pc=0),
        "jvm-crash-in-native-library",
        "likely",
        "Call of a null pointer in native library libsampler.so",
        "",
    ),
    # Arithmetic.
    "rosetta": (
        head(DIVIDE, "SIGFPE (0x8)", 0x11AB4E7E8, LINUX_17.replace("linux-amd64", "bsd-amd64")) + APPLE,
        "jvm-arithmetic-fault",
        "likely",
        "which Rosetta reports",
        "overwritten",
    ),
    "division": (
        head(DIVIDE, "SIGFPE (0x8)", 0x11AB4E7E8),
        "jvm-arithmetic-fault",
        "certain",
        "became no ArithmeticException",
        "overwritten",
    ),
    "unmasked": (
        head("J 12 c2 shop.Price.mean([D)D (31 bytes) @ 0x00007f1a30001040 [0x00007f1a30001000+0x40]", "SIGFPE (0x8)")
        + "siginfo: si_signo: 8 (SIGFPE), si_code: 7 (FPE_FLTINV), si_addr: 0x00007f1a30001040\n",
        "jvm-arithmetic-fault",
        "likely",
        "floating-point exceptions are unmasked (invalid operation)",
        "",
    ),
    "division-on-macos": (
        head(DIVIDE, "SIGFPE (0x8)", 0x11AB4E7E8, LINUX_17.replace("linux-amd64", "bsd-amd64"))
        + "siginfo: si_signo: 8 (SIGFPE), si_code: 7 (FPE_INTDIV), si_addr: 0x000000011ab4e7e8\n",
        "jvm-arithmetic-fault",
        "certain",
        "became no ArithmeticException",
        "unmasked",
    ),
    "division-of-a-library": (
        head("C  [libchart.so+0x24c74]  scale+0x5c", "SIGFPE (0x8)"),
        "jvm-crash-in-native-library",
        "certain",
        "libchart.so: scale()",
        "ArithmeticException",
    ),
    "division-on-arm": (
        head("C  [libpthread.so.0+0x10ab8]  raise+0x24", "SIGFPE (0x8)", 0xB6F85AB8, LINUX_8.replace("amd64", "arm")),
        "raised-signal",
        "likely",
        "native code divided an integer by zero",
        "",
    ),
    "raised-elsewhere": (
        head("C  [libpthread.so.0+0x10ab8]  raise+0x24", "SIGFPE (0x8)"),
        "raised-signal",
        "certain",
        "",
        "divided",
    ),
    "loader": (
        head("C  [ld-linux-x86-64.so.2+0x880f]  do_lookup_x+0xcf", "SIGFPE (0x8)")
        + "siginfo: si_signo: 8 (SIGFPE), si_code: 1 (FPE_INTDIV), si_addr: 0x00002b6a7699680f\n",
        "integer-division",
        "likely",
        "a library lacks the hash table it reads",
        "Check the divisor",
    ),
    # Pages of mapped files.
    "copied": (
        head(COPY, "SIGBUS (0x7)", vm=LINUX_8),
        "jvm-truncated-mapped-file",
        "likely",
        "a page of a mapped file",
        "",
    ),
    "copied-on-macos": (
        head(COPY, "SIGBUS (0xa)", vm=MACOS_8),
        "jvm-truncated-mapped-file",
        "likely",
        "A page without access: macOS raises SIGBUS for that",
        "auditctl",
    ),
    "copied-misaligned": (
        head(COPY, "SIGBUS (0x7)", vm=LINUX_8.replace("amd64", "aarch64")),
        "jvm-vm-code-crash",
        "likely",
        "",
        "mapped file",
    ),
    "copied-from-nowhere": (head(COPY, vm=LINUX_8), "jvm-vm-code-crash", "likely", "", "mapped file"),
    # Libraries of the system.
    "memcpy": (
        head("C  [libc.so.6+0x8995f]  memcpy+0x2ef")
        + thread("worker")
        + "siginfo: si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x00007f163412d000\n",
        "unmapped-address",
        "certain",
        "",
        "far from memory in use",
    ),
    "below-a-native-method": (
        head("C  [ntdll.dll+0x34f4d]", "EXCEPTION_ACCESS_VIOLATION (0xc0000005)", vm=WINDOWS_8)
        + "Java frames: (J=compiled Java code, j=interpreted, Vv=VM code)\n"
        "J 12576  shop.Store.reset(J)I (0 bytes) @ 0x00000000026549fb [0x00000000026549c0+0x3b]\n"
        "J 23330 C2 shop.Query.close()V (75 bytes) @ 0x0000000006b343b4 [0x0000000006b34100+0x2b4]\n",
        "jvm-crash-in-native-library",
        "likely",
        "below the native method shop.Store.reset()",
        "no other library lies between",
    ),
    "directly-below": (
        head(LIBC) + thread("main") + stack(LIBC, "j  shop.Store.reset(J)I+0", "j  shop.Query.close()V+7"),
        "jvm-crash-in-native-library",
        "likely",
        "no other library lies between",
        "are not in the log",
    ),
    "abort-faults": (
        head("C  [libc.so.6+0x3a4d7]  abort+0x297") + stack("C  [libc.so.6+0x3a4d7]  abort+0x297", java=(DIVIDE,)),
        "fatal-signal",
        "certain",
        "It is abort() that was called",
        "sent SIGSEGV to itself",
    ),
    "abort-aborts": (
        head("C  [libc.so.6+0x3a4d7]  abort+0x297", "SIGABRT (0x6)"),
        "fatal-signal",
        "certain",
        "",
        "runs into",
    ),
    "ntdll": (
        head("C  [ntdll.dll+0x2e3c6]", "EXCEPTION_ACCESS_VIOLATION (0xc0000005)", vm=WINDOWS_8) + thread("Thread-11"),
        "fatal-signal",
        "certain",
        "a heap of malloc's that was damaged before",
        "",
    ),
    "overflow-in-ntdll": (
        head("C  [ntdll.dll+0x2df0f]", "EXCEPTION_STACK_OVERFLOW (0xc00000fd)", vm=WINDOWS_8)
        + stack("C  [ntdll.dll+0x2df0f]", java=("j  shop.Native.stop(IZ)Z+0", "j  shop.Main.run()V+9")),
        "jvm-windows-exception",
        "certain",
        "below the native method shop.Native.stop()",
        "",
    ),
    # Libraries.
    "start-of-a-section": (
        head("C  [libsampler.so+0x63b0]  _init+0x20d0"),
        "jvm-crash-in-native-library",
        "certain",
        "libsampler.so+0x63b0",
        "_init()",
    ),
    "illegal-in-a-library": (
        head("C  [libchart.so+0x96ac]", "SIGILL (0x4)", vm=LINUX_8.replace("amd64", "arm")),
        "jvm-crash-in-native-library",
        "certain",
        "built for a newer CPU",
        "-Xcheck:jni",
    ),
    "bridge": (
        head("C  [jna8203005507708307511.tmp+0x90bb]  newJavaString+0x14c"),
        "jvm-crash-in-native-library",
        "certain",
        "Compare the Java declaration",
        "fsanitize",
    ),
    "no-bridge": (
        head("C  [libjnaming.so+0x90bb]  newJavaString+0x14c"),
        "jvm-crash-in-native-library",
        "certain",
        "",
        "Java declaration",
    ),
    # Cut lines.
    "first-frame-stays": (
        head(
            "j  java.lang.System.registerNatives()V+0 java.base@17.0.9",
            "SIGILL (0x4)",
            vm=LINUX_17.replace("amd64", "aarch64"),
        )
        + stack(
            "j  java.lang.System.registerNatives()V+0 java.base@17.0.9",
            "j  java.lang.System.<clinit>()V+0 java.base@17.0.9",
            "v  ~StubRoutines::call_stub",
            "V  [libjvm.so+0x7fb090]  JavaCalls::call_helper(JavaValue",
        ),
        "jvm-illegal-instruction",
        "likely",
        "the interpreter (java.lang.System.registerNatives())",
        "",
    ),
    "check-by-its-stack": (
        stack(
            "V  [libjvm.so+0x97d081]  VMError::report_and_die()+0x3d3",
            "V  [libjvm.so+0x31b9fe]  report_vm_error(char const*, int, char const*, char const*)+0x63",
            "V  [libjvm.so+0x9551b3]  JNIHandles::guard(oop)+0x63",
            "V  [libjvm.so+0x4e9e37]  jni_CallStaticVoidMethodA+0x280",
            "C  [libbridge.so+0x6867e",
        ),
        "jvm-internal-error",
        "certain",
        "libbridge.so+0x6867e of libbridge.so had called the JVM there",
        "Read VMError",
    ),
    "collector-cut": (
        head("V  [libjvm.so+0x73c235]  G1ParScanThreadState::trim(unsigned int)+0x1b95")
        + "\n---------------  T H R E A D  ---------------\n\nCurrent thread (0x00007f598400b6f0):  GCT\n",
        "jvm-crash-in-gc",
        "certain",
        "in the G1 garbage collector",
        "",
    ),
    # Others.
    "threads-refused": (
        '[94.2s][warning][os,thread] Failed to start the native thread for java.lang.Thread "pool-7-thread-1"\n'
        '[94.2s][warning][os,thread] Failed to start thread "Unknown thread" - pthread_create failed (EAGAIN) for'
        " attributes: stacksize: 1024k, guardsize: 0k, detached.\n",
        "thread-exhaustion",
        "certain",
        "refused the JVM a thread (EAGAIN)",
        "the JVM ended because",
    ),
    "attach": (
        failed(
            "jvmciEnv.cpp:12",
            "fatal error: Error attaching current thread (x) to JVMCI shared library JNI interface",
            "",
        ),
        "jvm-internal-error",
        "certain",
        "libgraal",
        "memory was damaged before",
    ),
    "foreign-exception": (
        failed(
            "os_windows_x86.cpp:149",
            "guarantee(result == EXCEPTION_CONTINUE_EXECUTION) failed: Unexpected result from topLevelExceptionFilter",
            "",
            WINDOWS_8,
        ),
        "jvm-internal-error",
        "certain",
        "mostly a C++ exception of native code",
        "",
    ),
    "stack-pointer-astray": (
        head("J 911 C1 shop.Entry.copy(I)V (146 bytes) @ 0x00007f3cf932db68 [0x00007f3cf932db20+0x48]", vm=LINUX_8)
        + thread("main", "_thread_in_Java")
        + "Registers:\nRAX=0x00000000872d0a90, RSP=0x00000000872d0840\n",
        "jvm-crash-in-compiled-code",
        "certain",
        "is nowhere near the thread's stack",
        "",
    ),
    "stack-pointer": (
        head("J 911 C1 shop.Entry.copy(I)V (146 bytes) @ 0x00007f3cf932db68 [0x00007f3cf932db20+0x48]", vm=LINUX_8)
        + thread("main", "_thread_in_Java")
        + "Registers:\nRAX=0x00000000872d0a90, RSP=0x00007f1a400f0840\n",
        "jvm-crash-in-compiled-code",
        "certain",
        "",
        "nowhere near",
    ),
    # Addresses that are no pointers of x86-64, or are so elsewhere; ends of a stack.
    "high-of-a-machine-not-told": (
        thread("pool-2", "_thread_in_vm").replace("0x00007f1a40", "0x0000fffe40")
        + "siginfo: si_signo: 11 (SIGSEGV), si_code: 2 (SEGV_ACCERR), si_addr: 0x0000fffe40100000\n",
        "fatal-signal",
        "certain",
        "just above the thread's stack",
        "x86-64",
    ),
    "high-of-x86-64": (
        head(LIBC) + "siginfo: si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x0800f1a440100000\n",
        "non-canonical-address",
        "certain",
        "no address on x86-64",
        "above the thread's stack",
    ),
    "stack-used-up": (
        thread("pool-2", "_thread_in_vm")
        + "siginfo: si_signo: 11 (SIGSEGV), si_code: 2 (SEGV_ACCERR), si_addr: 0x00007f1a40000ff8\n",
        "fatal-signal",
        "certain",
        "the stack was used up",
        "above the thread's stack",
    ),
    "low-and-cut-before-the-frame": (
        "\n".join(head("", pc=0x213B0).splitlines()[:-2]),
        "fatal-signal",
        "certain",
        "a jump to 0x213b0, where there is no code",
        "what lies there is not in the log",
    ),
    # The collector's walk through an object, and another's.
    "collector-walks": (
        head(
            "V  [libjvm.so+0xd91aa3]  void OopOopIterateDispatch<ShenandoahMarkUpdateRefsClosure>::Table::"
            "oop_oop_iterate<InstanceKlass, unsigned int>(ShenandoahMarkUpdateRefsClosure*, oopDesc*, Klass*)+0x93"
        ),
        "jvm-crash-in-gc",
        "certain",
        "during marking of live objects",
        "a barrier",
    ),
    "another-walks": (
        head(
            "V  [libjvm.so+0xd91aa3]  void OopOopIterateDispatch<SymbolicFieldsClosure>::Table::"
            "oop_oop_iterate<InstanceKlass, unsigned int>(SymbolicFieldsClosure*, oopDesc*, Klass*)+0x93"
        ),
        "jvm-vm-code-crash",
        "likely",
        "in the JVM itself",
        "garbage collector",
    ),
    # SIGBUS in a copy of libc's.
    "libc-copies": (
        head("C  [libc.so.6+0x18b733]  __memmove_avx_unaligned_erms+0x1d3", "SIGBUS (0x7)")
        + stack(java=("j  depot.Table$Native.open(Ljava/lang/String;)J+0", "j  depot.Table.<init>()V+7")),
        "jvm-truncated-mapped-file",
        "likely",
        "a file that was cut short, or a full file system",
        "MappedByteBuffer",
    ),
    "libc-copies-by-a-bad-pointer": (
        head("C  [libc.so.6+0x18b733]  __memmove_avx_unaligned_erms+0x1d3")
        + stack(java=("j  depot.Table$Native.open(Ljava/lang/String;)J+0", "j  depot.Table.<init>()V+7")),
        "jvm-crash-in-native-library",
        "likely",
        "below the native method",
        "mapped file",
    ),
    "libc-copies-on-aarch64": (
        head("C  [libc.so.6+0x8b733]  memcpy+0x1d3", "SIGBUS (0x7)", vm=LINUX_17.replace("amd64", "aarch64")),
        "fatal-signal",
        "certain",
        "",
        "mapped file",
    ),
    "macos-copies": (
        head("C  [libsystem_platform.dylib+0x1733]  _platform_memmove+0x33", "SIGBUS (0xa)", vm=MACOS_8),
        "fatal-signal",
        "certain",
        "",
        "mapped file",
    ),
    "first-of-a-page": (
        head("C  [libc.so.6+0x18b733]  memcpy+0x1d3")
        + "siginfo: si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x00007f1a30415000\n",
        "unmapped-address",
        "certain",
        "ran beyond the end of its memory",
        "overwritten, never set",
    ),
    "midst-of-a-page": (
        head("C  [libc.so.6+0x18b733]  memcpy+0x1d3")
        + "siginfo: si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x00007f1a30415638\n",
        "unmapped-address",
        "certain",
        "",
        "ran beyond the end of its memory",
    ),
    # The directory of an archive, read by natives up to JDK 8.
    "archive-without-names": (
        stack(
            "C  [libzip.so+0x5e41]",
            "C  [libzip.so+0x49b7]  Java_java_util_zip_ZipFile_getEntry+0x57",
            "J 97  java.util.zip.ZipFile.getEntry(J[BZ)J (0 bytes) @ 0x00007f1a2138474e [0x00007f1a21384680+0xce]",
        ),
        "jvm-truncated-mapped-file",
        "likely",
        "an archive that was replaced",
        "InternalError",
    ),
    "inflater-without-names": (
        stack(
            "C  [libzip.so+0x5e41]",
            "C  [libzip.so+0x39b7]  Java_java_util_zip_Inflater_inflateBytes+0x57",
            "J 97  java.util.zip.Inflater.inflateBytes(J[BII)I (0 bytes) @ 0x00007f1a2138474e [0x00007f1a21384680+0xc]",
        ),
        "jvm-crash-in-native-library",
        "certain",
        "libzip.so",
        "an archive that was replaced",
    ),
    # A read that may fault.
    "probe": (
        head("v  ~StubRoutines::SafeFetchN", "SIGBUS (0xa)", vm=LINUX_17.replace("linux-amd64", "bsd-aarch64")),
        "jvm-vm-code-crash",
        "likely",
        "may not execute it",
        "VerifyBeforeGC",
    ),
    "probe-on-linux": (
        head("v  ~StubRoutines::SafeFetch32"),
        "jvm-vm-code-crash",
        "likely",
        "a bad address alone does not end the JVM here",
        "Apple",
    ),
    "no-probe": (
        head("v  ~StubRoutines::forward exception"),
        "jvm-vm-code-crash",
        "likely",
        "VerifyBeforeGC",
        "on purpose",
    ),
    # Whose the library is.
    "allocator": (
        head("C  [libjemalloc.so.2+0x138f4]  je_arena_dalloc+0x47"),
        "fatal-signal",
        "certain",
        "freed twice",
        "system's library",
    ),
    "no-allocator": (head(LIBC), "fatal-signal", "certain", "system's library", "freed twice"),
    "graphics-driver": (
        head("C  [ig9icd64.dll+0x8a3bf0]", "EXCEPTION_ACCESS_VIOLATION (0xc0000005)", vm=WINDOWS_8),
        "jvm-crash-in-native-library",
        "certain",
        "Update the driver of the graphics card",
        "fsanitize",
    ),
    "no-graphics-driver": (
        head("C  [icdraw64.dll+0x8a3bf0]", "EXCEPTION_ACCESS_VIOLATION (0xc0000005)", vm=WINDOWS_8),
        "jvm-crash-in-native-library",
        "certain",
        "fsanitize",
        "graphics card",
    ),
    "type-for-a-name": (
        head("C  [libprobe.so+0x4289d]  long long+0xd"),
        "jvm-crash-in-native-library",
        "certain",
        "libprobe.so+0x4289d",
        "long()",
    ),
    "name-that-begins-with-a-type": (
        head("C  [libprobe.so+0x4289d]  long_read+0xd"),
        "jvm-crash-in-native-library",
        "certain",
        "long_read()",
        "",
    ),
    "call-that-got-no-memory": (
        "# There is insufficient memory for the Java Runtime Environment to continue.\n# pthread_getattr_np\n",
        "jvm-native-oom",
        "certain",
        "memory that pthread_getattr_np() needs",
        "for pthread_getattr_np",
    ),
    # Memory that may be executed, and memory.
    "forbidden-to-execute": (
        "OpenJDK 64-Bit Server VM warning: INFO: os::commit_memory(0x00007f2a11000000, 2555904, 1) failed;"
        " error='Operation not permitted' (errno=1)\n"
        "# There is insufficient memory for the Java Runtime Environment to continue.\n"
        "# Native memory allocation (mmap) failed to map 2555904 bytes for committing reserved memory.\n",
        "jvm-native-oom",
        "likely",
        "executable memory is forbidden",
        "Xmx",
    ),
    "no-memory-to-execute": (
        "OpenJDK 64-Bit Server VM warning: INFO: os::commit_memory(0x00007f2a11000000, 2555904, 1) failed;"
        " error='Cannot allocate memory' (errno=12)\n"
        "# There is insufficient memory for the Java Runtime Environment to continue.\n"
        "# Native memory allocation (mmap) failed to map 2555904 bytes for committing reserved memory.\n",
        "jvm-native-oom",
        "certain",
        "which limit was met is not known",
        "forbidden",
    ),
    # Zero's handler tells a signal as an error of its own.
    "zero": (
        failed(
            "os_linux_zero.cpp:248", "fatal error: caught unhandled signal 11", "", LINUX_8.replace("64-Bit", "Zero")
        )
        + thread("poller", "_thread_in_vm"),
        "fatal-signal",
        "certain",
        "SIGSEGV",
        "No instruction faulted",
    ),
    "not-zero": (
        failed("os_linux_zero.cpp:180", "fatal error: caught nothing", ""),
        "jvm-internal-error",
        "certain",
        "No instruction faulted",
        "SIGSEGV",
    ),
    "refused-in-libstdc++": (
        head("C  [libstdc++.so.6+0x5ae18]", "SIGILL (0x4)", vm=LINUX_8.replace("amd64", "arm")),
        "fatal-signal",
        "certain",
        "built for another CPU",
        "bad pointer or string",
    ),
    "generated-by-a-library": (
        thread("painter")
        + stack(
            "C  0x00003c1ba8d05b64",
            "C  0x00003c1ba8d06fab",
            "C  [libscript.so+0x1a5435e]",
            "C  [libscript.so+0x1a4702f]",
        ),
        "jvm-crash-in-native-library",
        "certain",
        "in code without a library, called by native library libscript.so",
        "libscript.so raised a fault",
    ),
    "macos-null-string": (
        head("C  [libsystem_platform.dylib+0x1722]  _platform_strlen+0x12", vm=MACOS_8)
        + thread("worker")
        + SIGINFO_NULL,
        "null-dereference",
        "likely",
        "Find who calls _platform_strlen() with a null pointer",
        "fsanitize",
    ),
    "loading": (
        head("C  [libstdc++.so.6+0xd3e3b]")
        + thread("main")
        + stack("C  [libstdc++.so.6+0xd3e3b]", java=("j  jdk.internal.loader.NativeLibraries.load(Ljdk/internal/",)),
        "jvm-crash-in-native-library",
        "likely",
        "as Java loaded a library",
        "function descriptor",
    ),
    "not-loading": (
        head("C  [libstdc++.so.6+0xd3e3b]")
        + thread("main")
        + stack("C  [libstdc++.so.6+0xd3e3b]", java=("j  depot.Table$Native.open(Ljava/lang/String;)J+0",)),
        "jvm-crash-in-native-library",
        "likely",
        "below the native method depot.Table$Native.open()",
        "loaded a library",
    ),
    "graphics-driver-of-direct3d": (
        head("C  [nvd3dum.dll+0xc0db05]", "EXCEPTION_ACCESS_VIOLATION (0xc0000005)", vm=WINDOWS_8),
        "jvm-crash-in-native-library",
        "certain",
        "Update the driver of the graphics card",
        "fsanitize",
    ),
    "agent-by-name": (
        head("C  [libtallyagent.so+0x157e07]  Options::read(char const*)+0x97"),
        "jvm-crash-in-native-library",
        "certain",
        "Run without libtallyagent.so",
        "ask who maintains",
    ),
    "no-agent-by-name": (
        head("C  [libtally.so+0x157e07]  Options::read(char const*)+0x97"),
        "jvm-crash-in-native-library",
        "certain",
        "ask who maintains",
        "Run without libtally.so",
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_is_concluded_from_an_excerpt(name: str) -> None:
    text, rule, confidence, said, unsaid = TABLE[name]
    found = verdict(text)
    assert (found.rule, found.confidence) == (rule, confidence), found.title
    assert said in words(found)
    assert not unsaid or unsaid not in " ".join(words(item) for item in analyzed(text).findings)


def test_a_heap_that_is_full_has_no_core_to_count() -> None:
    text = failed("debug.cpp:338", "fatal error: OutOfMemory encountered: Java heap space", "")
    assert "--histogram" not in words(verdict(text))


@pytest.mark.parametrize(
    ("line", "said"),
    [("", "its tid is in the section T H R E A D"), ("\nCurrent thread is native thread\n", "the VM does not know")],
)
def test_the_number_of_the_thread_is_a_pthread_t(line: str, said: str) -> None:
    text = head(LIBC, vm=LINUX_8).replace("tid=4242", "tid=139743082555136") + line
    assert any(said in problem.what for problem in analyzed(text).problems)


@pytest.mark.parametrize(
    ("code", "address"), [("0xe06d7363", None), ("0xc0000005", 0x299D820)], ids=["thrown", "access"]
)
def test_parameters_of_an_exception_are_an_address_where_they_are_of_an_access(code: str, address: int | None) -> None:
    name = "EXCEPTION_UNCAUGHT_CXX_EXCEPTION" if address is None else "EXCEPTION_ACCESS_VIOLATION"
    first = "0000000019930520" if address is None else "0000000000000000"
    report = analyzed(
        head("C  [KERNELBASE.dll+0x1a16d]", f"{name} ({code})", vm=WINDOWS_8)
        + thread("main")
        + f"siginfo: ExceptionCode={code}, ExceptionInformation=0x{first} 0x000000000299d820\n"
    )
    assert report.crash.fault_address == address
