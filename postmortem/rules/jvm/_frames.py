"""Frames of a process with a JVM: whose code each is, which method, which library."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name, present
from postmortem.model.queries.names import plain
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.systems import system

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from postmortem.model import Frame, Report

_LIBJVM = Lazy(r"(?:libjvm\.(?:so|dylib)|jvm\.dll)")
_LIBJSIG = Lazy(r"libjsig\.(?:so|dylib)")
_JDK_NAMES = Lazy(
    r"(?:lib)?(?:java|zip|nio|extnet|net|jimage|jli|verify|management(?:_\w+)?|instrument|jdwp|awt(?:_\w+)?|jawt"
    r"|fontmanager|javajpeg|lcms|mlib_image|j2pkcs11|j2gss|j2pcsc|j2ucrypt|jaas\w*|saproc|prefs|rmi|attach"
    r"|dt_socket|dt_shmem|jsound\w*|sctp|syslookup|jsvml|jsig|sunec|npt|unpack|hprof|java_crw_demo|splashscreen"
    r"|freetype|w2k_lsa_auth|sunmscapi|le|simdsort|jabswitch|jpackage)\.(?:so|dylib|dll)"
)
"""Libraries that a JDK brings, for frames of logs that have no directory."""
_FRAMEWORK = Lazy(r"/System/Library/|\.framework/")
_FRAMEWORK_NAME = Lazy(r"[A-Z][A-Za-z0-9]{2,40}")
"""macOS names the library of a framework as the framework, without a suffix: AppKit, CoreFoundation, QuartzCore."""
_JDK_PACKAGES = ("java.", "javax.", "jdk.", "sun.", "com.sun.")
_RAW_MEMORY = Lazy(
    r"(?:sun\.misc\.Unsafe|jdk\.internal\.misc\.(?:Unsafe|ScopedMemoryAccess)|java\.nio\.Direct\w+"
    r"|java\.nio\.Bits|jdk\.internal\.foreign\.\w+|java\.lang\.invoke\.VarHandle(?:Segment|ByteArray)\w*)(?:\$\w+)?"
    r"\.[\w$<>]+"
)
_RAW_WRAPPER = Lazy(
    r"(?:org\.lwjgl\.system\.MemoryUtil\.mem(?:Get|Put|Set|Copy)\w*|io\.netty\.util\.internal\.PlatformDependent0?\."
    r"(?:get|put|copy|set)\w+|org\.apache\.spark\.unsafe\.Platform\.\w+|io\.questdb\.std\.Unsafe\.\w+"
    r"|com\.google\.protobuf\.UnsafeUtil(?:\$\w+)?\.\w+|org\.agrona\.(?:concurrent\.UnsafeBuffer|UnsafeApi)\.\w+"
    r"|net\.openhft\.chronicle\.core\.UnsafeMemory(?:\$\w+)?\.\w+|com\.hazelcast\.internal\.memory\.impl\.\w+\.\w+"
    r"|org\.apache\.(?:ignite\.internal\.util\.GridUnsafe|cassandra\.utils\.memory\.MemoryUtil)\.\w+"
    r"|org\.apache\.(?:arrow\.memory\.ArrowBuf|flink\.core\.memory\.(?:Hybrid)?MemorySegment)\.(?:get|put|set)\w+"
    r"|com\.kenai\.jffi\.MemoryIO(?:\$\w+)?\.\w+)"
)
"""Methods of well-known libraries that hand an address on to Unsafe."""
_VM_ABORT = Lazy(
    r"(?:os::abort|os::die|VMError::\w+|report_(?:and_die|vm_error|fatal|unimplemented|should_not_\w+|vm_out_of_memory)"
    r"\w*|vm_exit_out_of_memory|crash_handler|JVM_handle_linux_signal|javaSignalHandler|signalHandler)"
)
_JNI_INLINE = Lazy(r"_?(?:JNIEnv|JavaVM|jvmtiEnv)_?::\w+")
"""The C++ wrappers of jni.h and jvmti.h, compiled into every library that uses them."""
_DOWNCALL = Lazy(r"nep_invoker\w*")
"""The stub of java.lang.foreign's downcalls (downcallLinker of the CPU's folder)."""
NATIVE_WRAPPER = "native wrapper"
"""In the note of a compiled frame that is the stub around a native method."""


_RUNTIME = r"(?:InterpreterRuntime|SharedRuntime|Runtime1|OptoRuntime)::"
_REFUSED = (
    (Lazy(_RUNTIME + r"throw_(?:ClassCastException|class_cast_exception)"), "checkcast"),
    (Lazy(_RUNTIME + r"throw_(?:ArrayStoreException|array_store_exception)"), "aastore"),
    (Lazy(_RUNTIME + r"throw_IncompatibleClassChangeError(?:Verbose)?"), "invokeinterface"),
    (Lazy(_RUNTIME + r"throw_AbstractMethodError\w*"), "an invoke"),
)
"""What the VM's code calls when an object's class does not fit (share/interpreter/interpreterRuntime.cpp)."""
_NAMES_CLASS = Lazy(
    r"(?:\w*Symbol|\w*Klass|oopDesc|LinkResolver|JavaThread|Method)::|\w*Runtime\d?::(?:throw_|generate_class_cast_message)"
)


class Site(NamedTuple):
    """The crashing thread down to its innermost Java frame.

    native: (index, frame) of what lies above that frame (stubs of the VM too), signal frames left out.
    java: index and frame of the innermost Java activation's innermost method, None on a thread without Java.
    """

    native: tuple[tuple[int, Frame], ...]
    java: tuple[int, Frame] | None


def is_vm(frame: Frame) -> bool:
    """C++ code of the VM."""
    return frame.module is not None and _LIBJVM.fullmatch(file_name(frame.module)) is not None


def is_vm_library(path: str | None) -> bool:
    """libjvm or libjsig, which chains on the VM's behalf."""
    name = file_name(path or "")
    return _LIBJVM.fullmatch(name) is not None or _LIBJSIG.fullmatch(name) is not None


def is_system(path: str) -> bool:
    """libc and its like, which only pass on what their caller caused."""
    return culprit.skipped_module(path) or culprit.of_other_system(path)


def is_framework(report: Report, path: str) -> bool:
    """A framework of macOS: part of the system, but with faults of its own."""
    if _FRAMEWORK.search(path):
        return True
    return system(report).name == "macos" and _FRAMEWORK_NAME.fullmatch(file_name(path)) is not None


def is_java(frame: Frame) -> bool:
    return frame.kind.startswith("java")


def telling(frames: Sequence[Frame]) -> int | None:
    """The innermost Java frame that is not the JDK's, else the innermost of all; None without any."""
    java = [index for index, frame in enumerate(frames) if is_java(frame)]
    own = (index for index in java if not (frames[index].function or "").startswith(_JDK_PACKAGES))
    return next(own, java[0] if java else None)


def is_wrapper(frame: Frame) -> bool:
    """The compiled stub around a native method, not code of a Java method."""
    return frame.kind == "java-compiled" and NATIVE_WRAPPER in (frame.note or "")


def is_native_method(report: Report, frame: Frame) -> bool:
    """A method without bytecodes. A log gives an interpreted one bci 0."""
    if frame.kind != "java-interpreted":
        return is_wrapper(frame)
    from_log = frame.pc is None or views.is_log(report)
    return frame.line is None and (frame.bci is None or (frame.bci == 0 and from_log))


def is_generated(frame: Frame) -> bool:
    """Code that the VM generated."""
    return is_java(frame) or frame.kind == "stub"


def is_jdk_library(report: Report, path: str) -> bool:
    """The library came with the JDK: it lies in the home of libjvm, or is named as the JDK's are."""
    home = _java_home(report)
    text = path.replace("\\", "/")
    if home is not None and "/" in text:
        return text.startswith(home + "/")
    return _JDK_NAMES.fullmatch(file_name(path)) is not None


def application_libraries(report: Report) -> tuple[str, ...]:
    """Names of the native libraries in the process that are neither the JDK's nor the system's.

    What lies where the C library does was installed with the system.
    """
    home = next((m.path.rpartition("/")[0] for m in report.modules if _LIBC.fullmatch(file_name(m.path))), None)
    found = [
        file_name(module.path)
        for module in report.modules
        if ".so" in file_name(module.path)
        and not module.path.startswith("[")
        and not is_system(module.path)
        and not is_jdk_library(report, module.path)
        and module.path.rpartition("/")[0] != home
    ]
    return tuple(dict.fromkeys(found))[:_LIBRARIES_NAMED]


_LIBRARIES_NAMED = 4
_LIBC = Lazy(r"libc\.so\.6|libc-2\.\d+\.so|(?:libc\.musl-|ld-musl-).*")


def _java_home(report: Report) -> str | None:
    for module in report.modules:
        path = present(module.path).replace("\\", "/")
        if _LIBJVM.fullmatch(file_name(path)) and "/" in path:
            for marker in ("/lib/", "/bin/"):
                if marker in path:
                    return path[: path.rindex(marker)].removesuffix("/jre")
    return None


_WITHOUT_JVM = 256
"""Frames that are looked at in a process without a JVM: none of a hundred thousand is Java."""


def site(report: Report) -> Site:
    """Where the crashing thread was."""
    native: list[tuple[int, Frame]] = []
    frames = views.crashing_frames(report)
    if len(frames) > _WITHOUT_JVM and not (views.java_process(report) or views.is_log(report)):
        frames = frames[:_WITHOUT_JVM]
    for index, frame in enumerate(frames):
        if is_java(frame):
            return Site(tuple(native), (index, frame))
        if frame.kind != "signal":
            native.append((index, frame))
    return Site(tuple(native), None)


def top(report: Report) -> Frame | None:
    """The frame that faulted."""
    return next((frame for frame in views.crashing_frames(report) if frame.kind != "signal"), None)


def is_downcall(frame: Frame) -> bool:
    """The stub through which java.lang.foreign calls native code."""
    return frame.kind == "stub" and _DOWNCALL.fullmatch(frame.function or "") is not None


def native_method(report: Report) -> tuple[int, Frame] | None:
    """The innermost Java frame, if it is a native method's."""
    java = site(report).java
    return java if java is not None and is_native_method(report, java[1]) else None


def through_jni(report: Report) -> tuple[int, Frame, Frame] | None:
    """A JNI function that a native method's code reached by a tail call, so that the code has no frame of its own.

    Index of the JNI function's frame, the frame, and the native method's frame below it. Where libjvm has no names, a
    touched address below 64 KiB tells: a null argument.
    """
    method, inner = native_method(report), vm_frames(report)
    library = method[1].native_library if method is not None else None
    if method is None or library is None or not inner or is_jdk_library(report, library):
        return None
    index, frame = inner[-1]
    address = views.fault_address(report)
    named = plain(frame.function or "").startswith(("jni_", "checked_jni_"))
    null = all(item.function is None for _, item in inner) and address is not None and address < views.NEAR_NULL
    return (index, frame, method[1]) if index == method[0] - 1 and (named or null) else None


def library_frame(report: Report) -> tuple[int, Frame, int] | None:
    """The innermost frame in a library that is neither libc's kind nor the VM, above any Java frame.

    Index, frame, and how many frames of the VM lie above it. The VM's own ending of the process does not count. A
    scanned word may be stale, but for one next to a native method, whose code it must be, and, where a function of a
    system's library faulted, the one at sp. jni.h's inline functions stand for their caller.
    """
    inline: tuple[int, Frame, int] | None = None
    in_vm = 0
    where = site(report)
    caller = where.java[0] if where.java is not None and where.java[1].kind == "java-interpreted" else None
    at_sp = views.at_sp(report) is not None
    for index, frame in where.native:
        if frame.kind in ("stub", "unknown") or frame.module is None:
            continue
        if frame.trust == "scan" and index + 1 != caller and not (at_sp and index == 1):
            continue
        if is_vm(frame):
            if inline is not None:
                break
            in_vm += 0 if ends_process(frame) else 1
        elif not is_system(frame.module) and not frame.module.startswith("["):
            if inline is None and frame.function is not None and _JNI_INLINE.fullmatch(plain(frame.function)):
                inline = (index, frame, in_vm)
                continue
            return index, frame, in_vm if inline is None else inline[2]
    return inline


def jni_wrapper(report: Report) -> tuple[int, str] | None:
    """Index and function of jni.h's inline function above the library's frame: (1, "CallVoidMethod")."""
    for index, frame in site(report).native:
        if frame.function is not None and frame.trust != "scan" and _JNI_INLINE.fullmatch(plain(frame.function)):
            return index, plain(frame.function).rpartition("::")[2]
        if frame.module is None or not (is_vm(frame) or is_system(frame.module)):
            return None
    return None


def owner(report: Report, frame: Frame) -> str:
    """Who is at that frame of a library: a function that only wraps a call of JNI stands for the native method."""
    method = native_method(report)
    if method is not None and frame.function is not None and _JNI_INLINE.fullmatch(plain(frame.function)):
        return f"{method[1].function}()" if method[1].function else culprit.label(frame)
    return culprit.label(frame)


def vm_frames(report: Report) -> tuple[tuple[int, Frame], ...]:
    """The VM's frames above the innermost library or Java frame; what ends the process is left out."""
    found = library_frame(report)
    limit = found[0] if found else None
    return tuple(
        (index, frame)
        for index, frame in site(report).native
        if is_vm(frame) and not ends_process(frame) and (limit is None or index < limit)
    )


def ends_process(frame: Frame) -> bool:
    """A function with which the VM reports an error and ends the process."""
    return is_vm(frame) and frame.function is not None and _VM_ABORT.fullmatch(plain(frame.function)) is not None


def named_vm_frame(report: Report, test: Lazy) -> tuple[int, Frame] | None:
    """The innermost of the VM's frames above library and Java whose plain name matches from its start."""
    for index, frame in vm_frames(report):
        if frame.function is not None and test.match(plain(frame.function)):
            return index, frame
    return None


def java_frames(report: Report) -> Iterator[tuple[int, Frame]]:
    return ((index, frame) for index, frame in enumerate(views.crashing_frames(report)) if is_java(frame))


def java_caller(report: Report, after: int = -1) -> tuple[int, Frame] | None:
    """The innermost Java frame below frame `after` that is not the JDK's; else the innermost of all."""
    frames = [item for item in java_frames(report) if item[0] > after]
    for index, frame in frames:
        if frame.function is not None and not frame.function.startswith(_JDK_PACKAGES):
            return index, frame
    return frames[0] if frames else None


def raw_memory(frame: Frame) -> bool:
    """A method that reads or writes an address it is given: Unsafe, direct buffers, memory segments; libraries' own
    that hand it on."""
    name = frame.function
    return name is not None and (_RAW_MEMORY.fullmatch(name) is not None or _RAW_WRAPPER.fullmatch(name) is not None)


def of_jdk(frame: Frame) -> bool:
    """A Java method of the JDK's own packages."""
    return (frame.function or "").startswith(_JDK_PACKAGES)


def refused_class(report: Report) -> tuple[int, str] | None:
    """(index of the VM's entry, bytecode) where the VM faulted as it named the class of an object for an exception.

    It only reads the object's header, its class and the class' name there: one of those was damaged.
    """
    where = site(report)
    if where.java is None or not where.native or not is_vm(where.native[0][1]):
        return None
    inner = [item for item in where.native if item[1].kind != "stub"]
    index, frame = inner[-1]
    name = plain(frame.function or "")
    if not is_vm(frame) or not all(_NAMES_CLASS.match(plain(item.function or "")) for _, item in inner):
        return None
    bytecode = next((code for test, code in _REFUSED if test.fullmatch(name)), None)
    return (index, bytecode) if bytecode is not None else None


def activation(report: Report, start: int) -> tuple[tuple[int, Frame], ...]:
    """The inlined methods from frame `start` to the compiled method that holds them, innermost first."""
    chain = []
    for index, frame in enumerate(views.crashing_frames(report)[start:], start):
        if not is_java(frame):
            break
        chain.append((index, frame))
        if not frame.inlined:
            break
    return tuple(chain)


def java_place(frame: Frame) -> str:
    """ "crash.Hot.inner(), Hot.java:61, bci 4": as much as is known."""
    text = culprit.label(frame)
    return f"{text}, bci {frame.bci}" if frame.bci is not None else text


def compile_command(function: str) -> str:
    """A method as -XX:CompileCommand wants it: "crash.Hot::inner"."""
    owner, _, name = function.rpartition(".")
    return f"{owner}::{name}" if owner else function


def level_name(level: int | None) -> str:
    """What compiled at a level (compilerDefinitions.hpp)."""
    names = {1: "C1", 2: "C1, limited profile", 3: "C1, full profile", 4: "C2"}
    return names.get(level or 0, "JIT")
