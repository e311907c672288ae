"""Reports of JVM crashes: those that fire each rule, near misses, and those that lack the fact it needs."""

from __future__ import annotations

from typing import Any

import msgspec

from postmortem.model import (
    Address,
    Core,
    Crash,
    Cycle,
    Frame,
    Host,
    JavaThread,
    Mapping,
    Module,
    Operand,
    Report,
    Signal,
    Thread,
)
from postmortem.model.jvm import (
    CodeCache,
    CodeSegment,
    Compilation,
    Event,
    EventLog,
    Flag,
    Heap,
    HeapSpace,
    Jvm,
    SignalHandler,
    VmError,
)
from postmortem.model.thread import StackRange
from tests.postmortem.rules.cases import NULL_READ, Cases
from tests.postmortem.rules.reports import PID, crashed, frame, operand, report, signal

VERSION = "17.0.99+1"
"""Newer than any that is known, since an outdated JVM is a finding of its own."""
HOME = "/usr/lib/jvm/java-17-openjdk-amd64"
LIBJVM = f"{HOME}/lib/server/libjvm.so"
LIBZIP = f"{HOME}/lib/libzip.so"
LIBJLI = f"{HOME}/lib/libjli.so"
LIBRARY = "/opt/app/libcodec.so"
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
BAD = 0xDEAD000
LOW, HIGH = 0x7E0000001000, 0x7E0000101000
ZONE = Mapping(start=Address(LOW), end=Address(LOW + 0x4000), permissions="---", kind="java thread stack")
ROOM = Mapping(start=Address(LOW + 0x4000), end=Address(HIGH), permissions="rw-", kind="java thread stack", dumped=1)
LEDGER = Mapping(
    start=Address(0x7D0000000000), end=Address(0x7D0000100000), permissions="rw-s", path="/data/ledger.dat", offset=0
)
ARCHIVE = msgspec.structs.replace(LEDGER, path="/app/plugin.jar", permissions="r--s")


def vm(function: str | None) -> Frame:
    """A function of libjvm."""
    return frame(function, module=LIBJVM, module_offset=Address(0x1234))


def native(function: str | None, module: str = LIBRARY) -> Frame:
    """A function of a native library."""
    return frame(function, module=module, module_offset=Address(0x126D))


def libc(function: str) -> Frame:
    return frame(function, module=LIBC)


def interpreted(function: str, bci: int | None = 7, **rest: Any) -> Frame:
    return frame(function, kind="java-interpreted", module=None, trust="hotspot", bci=bci, **rest)


def compiled(function: str, level: int = 4, **rest: Any) -> Frame:
    values: dict[str, Any] = {"note": "compile id 29", "bci": 4}
    return frame(function, kind="java-compiled", module=None, trust="hotspot", compile_level=level, **(values | rest))


def stub(name: str) -> Frame:
    return frame(name, kind="stub", module=None, trust="hotspot")


MAIN = (interpreted("shop.Main.main", 20, file="Main.java", line=12), stub("call_stub"), vm("JavaCalls::call_helper"))
NATIVE_METHOD = (interpreted("shop.Codec.decode0", None), interpreted("shop.Codec.decode"), *MAIN)
WRAPPER = compiled("shop.Codec.decode0", 0, note="compile id 9, native wrapper", bci=None)


def on(*frames: Frame, kind: str | None = "JavaThread", name: str | None = "main", **rest: Any) -> Thread:
    """The crashing thread; without kind and name the VM does not know it."""
    java = JavaThread(name=name, kind=kind) if kind or name else None
    return Thread(tid=PID, crashed=True, frames=frames, java=java, **rest)


JAVA_THREAD = Thread(tid=7, java=JavaThread(name="main", kind="JavaThread"))
"""Another thread, which the VM knows."""


def java_crash(
    *frames: Frame, kind: str | None = "JavaThread", name: str | None = "main", jvm: Jvm | None = None, **rest: Any
) -> Report:
    """A SIGSEGV with SEGV_MAPERR at BAD on a thread of a JVM, unless the keywords (those of crashed) differ."""
    values: dict[str, Any] = {
        "address": BAD,
        "threads": (on(*frames, kind=kind, name=name, **rest.pop("thread", {})),),
        "jvm": jvm or state(),
        "modules": (module(LIBJVM),),
    }
    return crashed(**(values | rest))


def java_abort(*frames: Frame, **rest: Any) -> Report:
    """abort() on a thread of a JVM."""
    values: dict[str, Any] = {"number": 6, "code": -6, "sender": PID, "address": None}
    return java_crash(libc("raise"), libc("abort"), *frames, **(values | rest))


def from_log(*frames: Frame, error: VmError | None = None, **rest: Any) -> Report:
    """The report of a log of an error without a signal."""
    return report(
        core=Core(path="hs_err_pid7.log", size=1, format="hs_err"),
        threads=(on(*frames),),
        jvm=Jvm(version="21.0.1+12", error=error),
        **rest,
    )


def module(path: str) -> Module:
    return Module(path=path, start=Address(1 << 20), end=Address(2 << 20), bias=Address(1 << 20))


def state(**rest: Any) -> Jvm:
    return Jvm(version=VERSION, **rest)


def operation(name: str, **rest: Any) -> Jvm:
    return state(vm_operation=name, heap=Heap(collector="G1"), **rest)


GUARANTEE = VmError(
    id=0xE0000000, message="guarantee(x != nullptr) failed", detail="must be", file="/src/hotspot/loop.cpp", line=42
)
OUT_OF_MEMORY = VmError(
    id=0xE0000000, message="fatal error: OutOfMemory encountered: Java heap space", file="debug.cpp"
)
MALLOC_FAILED = VmError(id=0xE0000001, message="AllocateHeap", size=2064)
TIMEOUT = (
    Flag(name="AbortVMOnSafepointTimeout", value="true", origin="command line"),
    Flag(name="SafepointTimeoutDelay", value="1000"),
)
RAW = operand(BAD, text="dword ptr [r8]", base="r8", base_value=BAD, size=4, access="write")
FIELD = operand(0x10014, text="dword ptr [r8 + 0x14]", base="r8", base_value=0x10000, displacement=0x14, size=4)
MARK = operand(BAD, text="qword ptr [rax]", base="rax", base_value=BAD, size=8)
HEAP_SPACES = Heap(collector="G1", spaces=(HeapSpace(name="heap", start=Address(1 << 32), end=Address(2 << 32)),))
DEEP = tuple(native("recurse") for _ in range(6))
HOT = (
    compiled("sun.misc.Unsafe.putInt", inlined=True),
    compiled("shop.Table.put", inlined=True),
    compiled("shop.Table.fill"),
)
GC_FRAMES = (vm("G1FullGCMarker::complete_marking()"), vm("WorkerThread::run()"), libc("start_thread"))
FOREIGN = {"handler_frames": (libc("raise"), libc("abort"), native("on_fault"))}
CHAINED = {"handler_frames": (vm("VMError::report_and_die"), vm("JVM_handle_linux_signal"), native("on_fault"))}
HANDLERS = (
    SignalHandler(signal="SIGSEGV", handler="on_fault+0x0", library="libcodec.so"),
    SignalHandler(signal="SIGBUS", handler="javaSignalHandler", library="libjvm.so"),
)
OWN_HANDLERS = (
    SignalHandler(signal="SIGSEGV", handler="javaSignalHandler", library="libjvm.so", expected=True),
    SignalHandler(signal="SIGPIPE", handler="SIG_IGN"),
    SignalHandler(signal="SIGUSR2", handler="other", library="libcodec.so"),
)
INTERNAL_ERROR_EVENT = EventLog(
    name="Internal exceptions",
    events=(
        Event(text="Exception <a 'java/lang/InternalError': a fault occurred in an unsafe memory access operation>"),
    ),
)


def overflow(
    *frames: Frame, sp: int = LOW + 0x3E70, mappings: tuple[Mapping, ...] = (ZONE, ROOM), **rest: Any
) -> Report:
    """sp in the guard zone: the kernel could not deliver the signal, and gives no address."""
    thread: dict[str, Any] = {
        "registers": {"rsp": Address(sp)},
        "stack": StackRange(start=Address(LOW), end=Address(LOW + 0x4000)),
        "cycles": (Cycle(start=0, period=1, count=6),),
    }
    values: dict[str, Any] = {"code": 128, "address": None, "mappings": mappings, "thread": thread}
    return java_crash(*frames, **(values | rest))


PUSHED = operand(LOW + 0x3FF8, base="rsp", base_value=LOW + 0x4000, displacement=-8, access="write")
PUSHED_WITHIN = operand(LOW + 0x4000, base="rsp", base_value=LOW + 0x4008, displacement=-8, access="write")
JNI_CRASH = java_crash(native("parse_header"), native("Java_shop_Codec_decode0"), *NATIVE_METHOD)
KILLED = msgspec.structs.replace(
    JNI_CRASH, crash=msgspec.structs.replace(JNI_CRASH.crash, signal=signal(11, 0, sender_pid=7))
)
NO_JVM = crashed(address=BAD, threads=(Thread(tid=PID, crashed=True, frames=(native("parse_header"),)),))

ILLEGAL: dict[str, Any] = {"number": 4, "code": 2, "address": None}
DIVISION: dict[str, Any] = {"number": 8, "code": 1, "address": None}
APPLE: dict[str, Any] = {
    "core": Core(path="hs_err_pid7.log", size=1, format="hs_err"),
    "host": Host(platform="bsd-aarch64"),
    "jvm": state(
        code_cache=CodeCache(
            segments=(
                CodeSegment(name="nmethods", start=Address(0x110000000), end=Address(0x111000000), capacity=1 << 24),
            )
        )
    ),
}
THREAD = 0x7F0012345670
ENTRY = interpreted(
    "shop.Codec.decode0", None, note="codelet method entry point (kind = native)", native_library=LIBRARY
)
INLINING = compiled(
    "shop.Table.sum", note="compile id 29, inlines java.nio.DirectByteBuffer.getLong called by shop.Table.sum:44"
)
COMPRESSED = (Flag(name="UseCompressedOops", value="true"),)


def spoiled(register: str, value: int, *operands: Operand | None, **rest: Any) -> Report:
    """A fault behind a native method's call that left a register changed."""
    registers = {"rsp": Address(LOW + 0x8000), "rbp": Address(LOW + 0x8040), "r15": Address(THREAD)}
    java = JavaThread(name="main", kind="JavaThread", address=Address(THREAD))
    frames = (WRAPPER, *MAIN)
    crashing = Thread(tid=PID, crashed=True, frames=frames, java=java, registers=registers | {register: Address(value)})
    found = tuple(item for item in operands if item is not None)
    address = found[0].address if found else value
    return java_crash(threads=(crashing,), operands=found, address=address, **rest)


def one_frame(*frames: Frame) -> Report:
    """A fault in native code whose caller lies in the thread's stack."""
    stack = StackRange(start=Address(LOW), end=Address(HIGH))
    callers = (msgspec.structs.replace(item, sp=Address(LOW + 0x10000)) for item in NATIVE_METHOD)
    java = JavaThread(name="main", kind="JavaThread", stack=stack)
    crashing = Thread(tid=PID, crashed=True, frames=(*frames, *callers), java=java)
    return java_crash(threads=(crashing,), code=128, address=None, mappings=())


JVM_CASES: dict[str, Cases] = {
    "jvm-illegal-instruction": Cases(
        (
            java_crash(compiled("shop.Hash.mix"), *MAIN, instruction_bytes="62f17c48", **ILLEGAL),
            java_crash(interpreted("java.lang.System.registerNatives", 0), *MAIN, **ILLEGAL),
            java_crash(stub("jbyte_arraycopy"), compiled("shop.Copy.run"), instruction_bytes="0f0b", **ILLEGAL),
        ),
        (
            # Sent by the JVM to end itself, a fault of memory, a library's code.
            java_crash(compiled("shop.Hash.mix"), *MAIN, number=4, code=-6, sender=PID, address=None),
            java_crash(compiled("shop.Hash.mix"), *MAIN),
            java_crash(native("decode"), *NATIVE_METHOD, **ILLEGAL),
        ),
        (java_crash(**ILLEGAL), crashed(4, 2), report()),
    ),
    "jvm-arithmetic-fault": Cases(
        (
            java_crash(compiled("shop.Price.share"), *MAIN, **DIVISION),
            java_crash(interpreted("shop.Price.share", 3), *MAIN, **DIVISION),
            java_crash(compiled("shop.Price.mean"), *MAIN, **(DIVISION | {"code": 7})),
        ),
        (
            # Sent by the process itself, a fault of memory, a library's code.
            java_crash(compiled("shop.Price.share"), *MAIN, number=8, code=-6, sender=PID, address=None),
            java_crash(compiled("shop.Price.share"), *MAIN),
            java_crash(native("scale"), *NATIVE_METHOD, **DIVISION),
        ),
        (java_crash(**DIVISION), crashed(8, 1), report()),
    ),
    "jvm-windows-exception": Cases(
        (
            from_log(native("multiply", "mathlib.dll"), *MAIN, error=VmError(id=0xE06D7363)),
            from_log(error=VmError(id=0xC0000374)),
            from_log(
                native("multiply", "mathlib.dll"),
                crash=Crash(signal=Signal(number=0xC00000FD, name="EXCEPTION_STACK_OVERFLOW")),
            ),
        ),
        (
            # A fault of memory, and a failed check of the JVM.
            from_log(
                native("multiply", "mathlib.dll"),
                crash=Crash(signal=Signal(number=0xC0000005, name="EXCEPTION_ACCESS_VIOLATION")),
            ),
            from_log(vm("report_fatal"), error=GUARANTEE),
        ),
        (from_log(error=VmError()), from_log(), report()),
    ),
    "jvm-write-protected-code": Cases(
        (java_crash(vm("nmethod::make_not_entrant"), *MAIN, number=7, address=0x110000400, **APPLE),),
        (
            java_crash(vm("nmethod::make_not_entrant"), *MAIN, number=7, address=0x110000401, **APPLE),
            java_crash(vm("nmethod::make_not_entrant"), *MAIN, number=7, address=0x210000400, **APPLE),
            java_crash(
                vm("nmethod::make_not_entrant"), *MAIN, number=7, address=0x110000400, **{**APPLE, "host": Host()}
            ),
        ),
        (java_crash(number=7, address=None), report()),
    ),
    "jvm-crash-in-native-library": Cases(
        (
            JNI_CRASH,
            java_crash(libc("__memmove_avx_unaligned_erms"), native("copy_rows"), WRAPPER, *MAIN),
            java_crash(native(None), *NATIVE_METHOD),
            java_crash(frame(None, kind="unknown", module=None), native("call"), *NATIVE_METHOD, pc=Address(BAD)),
            java_crash(native("worker"), libc("start_thread"), kind=None, name=None),
            java_crash(vm("JNIHandles::resolve"), vm("jni_GetObjectClass"), native("parse"), *NATIVE_METHOD),
            java_crash(vm(None), native("parse"), *NATIVE_METHOD),
            java_abort(native("give_up"), *NATIVE_METHOD),
            java_abort(vm("os::abort"), vm("jni_FatalError"), native("parse"), *NATIVE_METHOD),
            java_crash(native("inflate_block", LIBZIP), *NATIVE_METHOD),
            java_crash(native("sample"), *NATIVE_METHOD, jvm=state(arguments=("-agentpath:/opt/app/libcodec.so=x",))),
        ),
        (
            KILLED,
            NO_JVM,
            java_crash(vm("Unsafe_PutInt"), *MAIN),
            java_crash(vm("JVM_FindLoadedClass"), native("f", f"{HOME}/lib/libjava.so"), *NATIVE_METHOD),
            java_crash(vm("Threads::create_vm"), vm("JNI_CreateJavaVM"), native("main", "/opt/app/launcher")),
            java_crash(compiled("shop.Table.fill"), *MAIN),
        ),
        (java_crash(), java_crash(frame(None, module=None)), report(jvm=Jvm())),
    ),
    "jvm-bad-jni-reference": Cases(
        (
            java_crash(
                vm("JNIHandles::resolve"), vm("jni_GetObjectClass"), native("parse"), *NATIVE_METHOD, address=0xBAD0
            ),
            java_crash(libc("strlen"), vm("jni_NewStringUTF"), native("parse"), *NATIVE_METHOD),
            java_crash(vm("jni_CallIntMethod"), native("parse"), *NATIVE_METHOD),
            java_crash(threads=(on(vm("jni_FindClass"), native("worker"), kind=None, name=None), JAVA_THREAD)),
            java_crash(vm(None), native("parse"), *NATIVE_METHOD),
        ),
        (
            JNI_CRASH,
            KILLED,
            java_crash(vm("SystemDictionary::load"), vm("jni_FindClass"), native("parse"), *NATIVE_METHOD),
            java_crash(vm("G1Allocator::allocate"), vm("Other::work"), native("parse"), *NATIVE_METHOD),
            java_crash(vm("JVM_GetClassName"), native("f", f"{HOME}/lib/libjava.so"), *NATIVE_METHOD),
        ),
        (java_crash(vm(None), native("parse")), java_crash(), report()),
    ),
    "jvm-jni-fatal-error": Cases(
        (
            java_abort(vm("os::abort"), vm("jni_FatalError"), native("parse"), *NATIVE_METHOD),
            java_abort(
                vm("os::abort"),
                vm("ReportJNIFatalError(JavaThread*, char const*)"),
                vm("checked_jni_GetArrayLength"),
                native("parse"),
                *NATIVE_METHOD,
            ),
        ),
        (java_abort(native("give_up"), *NATIVE_METHOD), JNI_CRASH),
        (java_abort(vm(None), native("parse"), *NATIVE_METHOD), report()),
    ),
    "jvm-unsafe-access": Cases(
        (
            java_crash(vm("Unsafe_PutInt"), interpreted("sun.misc.Unsafe.putInt", None), interpreted("a.B.c"), *MAIN),
            java_crash(stub("jlong_disjoint_arraycopy"), vm("Unsafe_CopyMemory0"), *MAIN),
            java_crash(
                vm(None), interpreted("jdk.internal.misc.Unsafe.copyMemory0", None), interpreted("a.B.c"), *MAIN
            ),
            java_crash(*HOT, *MAIN),
            java_crash(compiled("shop.Table.fill"), *MAIN, operands=(RAW,), access="write"),
            java_crash(compiled("shop.Table.fill"), *MAIN, address=0x18, operands=(operand(0x18, base="rcx", size=4),)),
            java_crash(compiled("shop.Table.fill"), *MAIN, operands=(MARK,)),
            java_crash(INLINING, *MAIN, address=0x7F0012345678, operands=(FIELD,), jvm=state(flags=COMPRESSED)),
        ),
        (
            java_crash(compiled("shop.Table.fill"), *MAIN, address=0x10014, operands=(FIELD,)),
            java_crash(vm("Unsafe_PutInt"), *MAIN, number=7, code=2, address=LEDGER.start, mappings=(LEDGER,)),
            java_crash(vm("Unsafe_PutInt"), *MAIN, code=0, sender=7),
            java_crash(vm("Deoptimization::fetch"), interpreted("a.B.c"), *MAIN),
            java_crash(INLINING, *MAIN, address=0x10014, operands=(FIELD,), jvm=state(flags=COMPRESSED)),
            java_crash(native("parse"), interpreted("sun.misc.Unsafe.putInt", None), *MAIN),
        ),
        (java_crash(compiled("shop.Table.fill"), *MAIN), java_crash(vm(None), *MAIN), java_crash(), report()),
    ),
    "jvm-bad-native-return": Cases(
        (
            spoiled("r15", 0x5A5A5A5A, operand(0x5A5A5A5A + 0x52C, base="r15", size=4, access="write")),
            spoiled("rbp", 0x5A5A5A5A, operand(0x5A5A5A72, base="rbp")),
            spoiled("rbp", 0x5A5A5A5A, None, mnemonic="leave"),
            java_crash(ENTRY, *MAIN, address=0x7038, operands=(operand(0x7038, base="rax", base_value=0x7038),)),
        ),
        (
            spoiled("r15", THREAD, operand(THREAD + 0x52C, base="r15", size=4, access="write")),
            java_crash(native("decode"), ENTRY, *MAIN, operands=(operand(BAD, base="rax", base_value=BAD),)),
            java_crash(interpreted("a.B.c"), *MAIN, operands=(operand(BAD, base="rax", base_value=BAD),)),
            java_crash(ENTRY, *MAIN, operands=(operand(BAD, base="rbx", base_value=BAD),)),
        ),
        (java_crash(ENTRY, *MAIN), java_crash(WRAPPER, *MAIN), java_crash(), report()),
    ),
    "jvm-crash-in-compiled-code": Cases(
        (
            java_crash(compiled("shop.Table.fill"), *MAIN, address=0x10014, operands=(FIELD,)),
            java_crash(
                compiled("shop.Row.get", inlined=True),
                compiled("shop.Table.sum", 3),
                *MAIN,
                jvm=state(heap=HEAP_SPACES),
            ),
            java_crash(stub("oop_disjoint_arraycopy"), compiled("shop.Table.grow", 1), *MAIN),
            java_crash(compiled("shop.Table.fill", 0), *MAIN, code=128, address=None),
            java_crash(compiled("shop.Table.fill"), *MAIN, address=0x18),
            java_crash(*HOT, *MAIN),
        ),
        (
            java_crash(compiled("shop.Table.fill"), *MAIN, number=4, code=-6, sender=PID),
            java_crash(compiled("shop.Table.fill"), *MAIN, code=0, sender=7),
            java_crash(native("parse"), WRAPPER, *MAIN),
            java_crash(interpreted("a.B.c"), *MAIN),
        ),
        (java_crash(compiled("shop.Table.fill"), *MAIN, code=None, number=6), java_crash(), report()),
    ),
    "jvm-crash-in-interpreter": Cases(
        (
            java_crash(interpreted("a.B.sum", 14, note="codelet getfield  203 getfield"), *MAIN, address=0x1000C),
            java_crash(interpreted("a.B.sum", None), *MAIN),
        ),
        (
            JNI_CRASH,
            java_crash(compiled("a.B.sum"), *MAIN),
            java_crash(interpreted("a.B.sum"), *MAIN, number=3, code=0, sender=7),
        ),
        (java_crash(), report(), java_crash(stub("Interpreter"))),
    ),
    "jvm-crash-in-compiler": Cases(
        (
            java_crash(
                vm("Compile::Optimize()"),
                vm("CompileBroker::compiler_thread_loop"),
                name="C2 CompilerThread0",
                jvm=state(
                    compilations=(
                        Compilation(tid=1, method="a.B.other"),
                        Compilation(
                            tid=PID, thread="C2 CompilerThread0", method="shop.Table.fill", level=4, osr_bci=-1
                        ),
                    )
                ),
            ),
            java_crash(vm("LinearScan::allocate"), vm("CompileBroker::compiler_thread_loop"), kind=None, name=None),
            java_crash(vm(None), kind="CompilerThread", name=None),
            java_crash(vm(None), kind=None, name=None, jvm=state(compilations=(Compilation(tid=PID, method="a.B.c"),))),
            java_abort(vm("Node::dump"), name="C1 CompilerThread1", jvm=state(error=GUARANTEE)),
        ),
        (
            java_crash(vm("Compile::Optimize()"), *MAIN),
            java_crash(vm("Compile::Optimize()"), name="C2 CompilerThread0", code=0, sender=7),
            java_abort(vm("Arena::grow"), name="C2 CompilerThread0", jvm=state(error=MALLOC_FAILED)),
        ),
        (java_crash(vm(None), kind=None, name=None), java_crash(), report()),
    ),
    "jvm-crash-in-gc": Cases(
        (
            java_crash(
                *GC_FRAMES, kind="WorkerThread", name="GC Thread#0", jvm=operation("G1CollectFull"), address=0x10000
            ),
            java_crash(vm(None), kind="VMThread", name=None, jvm=operation("GenCollectFull")),
            java_crash(vm("MarkSweep::follow_array_chunk"), kind="VMThread", name="VM Thread"),
            java_crash(vm("ZMark::mark_and_follow"), kind=None, name=None, jvm=state(heap=Heap(collector="Z"))),
            java_crash(vm(None), kind=None, name=None, jvm=state(heap=Heap(collector="Serial", gc_active=True))),
            java_crash(vm("ShenandoahMark::mark_loop"), kind="GC worker", name=None),
            java_abort(
                vm("report_vm_error"), vm("G1HeapVerifier::verify"), kind="VMThread", jvm=operation("G1CollectFull")
            ),
            java_abort(vm("X::y"), kind="VMThread", name="VM Thread", jvm=operation("G1PauseFull", error=GUARANTEE)),
        ),
        (
            java_crash(vm(None), kind="VMThread", name="VM Thread", jvm=operation("RedefineClasses")),
            java_crash(vm("Unsafe_PutInt"), *MAIN, jvm=operation("G1CollectFull")),
            java_crash(*GC_FRAMES, kind="WorkerThread", name="GC Thread#0", code=0, sender=7),
            java_abort(*GC_FRAMES, kind="VMThread", jvm=operation("G1CollectFull", error=OUT_OF_MEMORY)),
        ),
        (java_crash(vm(None), kind=None, name=None), java_crash(), report()),
    ),
    "jvm-internal-error": Cases(
        (
            java_abort(vm("report_vm_error"), vm("Loop::find"), *MAIN, jvm=state(error=GUARANTEE)),
            java_abort(vm("os::abort"), vm("VMError::report_and_die"), vm("report_fatal"), vm("Klass::f"), *MAIN),
            from_log(vm("Loop::find"), error=VmError(message="ShouldNotReachHere()", file="loop.cpp", line=7)),
            java_crash(compiled("a.B.spin"), *MAIN, number=4, code=-6, sender=PID, jvm=state(flags=TIMEOUT)),
        ),
        (
            java_abort(vm("report_fatal"), *MAIN, jvm=state(error=OUT_OF_MEMORY)),
            java_abort(vm("report_fatal"), vm("report_java_out_of_memory"), *MAIN),
            java_abort(vm("report_vm_out_of_memory"), *MAIN, jvm=state(error=MALLOC_FAILED)),
            from_log(error=VmError(message="Native memory allocation (malloc) failed to allocate 2064 bytes")),
            java_crash(vm("Unsafe_PutInt"), *MAIN, jvm=state(error=VmError(id=11, message="SIGSEGV"))),
            java_crash(compiled("a.B.spin"), *MAIN, number=4, code=2, jvm=state(flags=TIMEOUT)),
        ),
        (java_abort(vm(None), *MAIN), from_log(error=VmError()), report(), report(jvm=Jvm())),
    ),
    "jvm-stack-overflow": Cases(
        (
            overflow(*DEEP, *NATIVE_METHOD),
            overflow(*DEEP, *NATIVE_METHOD, sp=LOW + 0x4000, operands=(PUSHED,)),
            overflow(
                *(vm("Foo::walk") for _ in range(6)),
                *MAIN,
                code=2,
                address=LOW + 0x3FF8,
                sp=LOW + 0x4000,
                jvm=state(flags=(Flag(name="StackYellowPages", value="2"), Flag(name="StackRedPages", value="1"))),
            ),
            overflow(
                vm("Compile::walk"),
                name="C2 CompilerThread0",
                thread={
                    "registers": {"rsp": Address(LOW + 64)},
                    "stack": StackRange(start=Address(LOW), end=Address(HIGH)),
                },
                code=1,
                address=LOW - 8,
                mappings=(),
            ),
            one_frame(msgspec.structs.replace(native("decode"), sp=Address(LOW - (1 << 24)))),
        ),
        (
            one_frame(msgspec.structs.replace(native("decode"), sp=Address(LOW + 0x9000))),
            one_frame(
                frame(None, kind="signal"), msgspec.structs.replace(native("decode"), sp=Address(LOW - (1 << 24)))
            ),
            overflow(*DEEP, *NATIVE_METHOD, sp=LOW + 0x80000),
            overflow(*DEEP, *NATIVE_METHOD, sp=LOW + 0x4008, operands=(PUSHED_WITHIN,)),
            overflow(*DEEP, *NATIVE_METHOD, code=0, sender=7),
            JNI_CRASH,
        ),
        (overflow(*DEEP, *NATIVE_METHOD, mappings=()), overflow(*DEEP, thread={}), report()),
    ),
    "jvm-truncated-mapped-file": Cases(
        (
            java_crash(
                native("checksum"), *NATIVE_METHOD, number=7, code=2, address=LEDGER.start + 0x1000, mappings=(LEDGER,)
            ),
            java_crash(vm(None), *MAIN, number=7, code=2, address=LEDGER.start + 0x1000, mappings=(LEDGER,)),
            java_crash(
                native("readCEN", LIBZIP),
                interpreted("java.util.zip.ZipFile.getEntry", None),
                *MAIN,
                number=7,
                code=2,
                address=ARCHIVE.start,
                mappings=(ARCHIVE,),
                jvm=Jvm(version="25.504-b01"),
            ),
            java_crash(native("readCEN", "libzip.so"), *MAIN, number=7, code=2, mappings=()),
            java_crash(
                stub("copy"), interpreted("java.nio.DirectByteBuffer.get"), *MAIN, number=7, code=2, mappings=()
            ),
            *(
                java_crash(
                    vm("f"),
                    number=7,
                    code=2,
                    address=LEDGER.start,
                    mappings=(msgspec.structs.replace(LEDGER, path=path),),
                )
                for path in ("/tmp/hsperfdata_app/7", f"{HOME}/lib/server/classes.jsa", "/memfd:java_heap (deleted)")
            ),
            report(jvm=state(events=(INTERNAL_ERROR_EVENT,))),
        ),
        (
            java_crash(native("checksum"), *NATIVE_METHOD, number=7, code=1, address=LEDGER.start, mappings=(LEDGER,)),
            java_crash(vm("f"), *MAIN, address=LEDGER.start, mappings=(LEDGER,)),
            crashed(7, 2, address=LEDGER.start, mappings=(LEDGER,)),
            report(jvm=state(events=(EventLog(name="Events", events=(Event(text="loaded class"),)),))),
        ),
        (
            java_crash(vm("f"), *MAIN, number=7, code=2, mappings=()),
            java_crash(vm("f"), *MAIN, number=7, code=None, address=None),
            report(),
        ),
    ),
    "jvm-signal-chain": Cases(
        (
            java_crash(
                compiled("a.B.scaled"),
                *MAIN,
                address=0xC,
                unwrapped=True,
                handler_signal=signal(6, -6),
                thread=FOREIGN,
            ),
            java_crash(vm("SafeFetch32"), *MAIN, unwrapped=True, thread=FOREIGN),
            java_crash(vm("f"), *MAIN, jvm=state(signal_handlers=HANDLERS)),
            java_crash(stub("VM_Version stub"), address=0),
        ),
        (
            java_crash(compiled("a.B.scaled"), *MAIN, address=0xC, unwrapped=True, thread=CHAINED),
            java_crash(native("parse"), *NATIVE_METHOD, unwrapped=True, thread=FOREIGN),
            java_crash(vm("f"), *MAIN, jvm=state(signal_handlers=OWN_HANDLERS)),
            java_crash(stub("VM_Version stub"), address=0, unwrapped=True),
            crashed(address=8, unwrapped=True, handler_signal=signal(6, -6)),
        ),
        (java_crash(compiled("a.B.scaled"), *MAIN, unwrapped=True), report(jvm=Jvm()), report()),
    ),
    "jvm-vm-code-crash": Cases(
        (
            java_crash(vm("ClassFileParser::parse"), vm("SystemDictionary::load"), *MAIN),
            java_crash(vm("AsyncGetCallTrace"), native("sample"), *MAIN),
            java_crash(vm(None), kind="VMThread", name="VM Thread", jvm=operation("RedefineClasses")),
            java_crash(stub("itable stub"), interpreted("a.B.c"), *MAIN),
            java_crash(libc("memcpy"), vm("Symbol::as_C_string"), *MAIN),
        ),
        (
            JNI_CRASH,
            java_crash(vm("Unsafe_PutInt"), *MAIN),
            java_crash(*GC_FRAMES, kind="WorkerThread", name="GC Thread#0"),
            java_crash(vm("Compile::Optimize"), name="C2 CompilerThread0"),
            java_crash(vm("f"), *MAIN, number=7, code=2, address=LEDGER.start, mappings=(LEDGER,)),
            java_crash(vm("JNIHandles::resolve"), vm("jni_GetObjectClass"), native("parse"), *NATIVE_METHOD),
            java_crash(vm("f"), *MAIN, code=0, sender=7),
        ),
        (java_crash(), java_crash(frame(None, module=None)), NULL_READ, report()),
    ),
}
