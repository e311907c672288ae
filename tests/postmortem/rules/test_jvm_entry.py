"""How a crash in a native library came about: what entered the library, what ended the process, whose code it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from postmortem.model import Address, Core, Frame, JavaThread, Report, Thread
from postmortem.model.jvm import Flag, Jvm, Safepoint
from postmortem.model.process import Process
from postmortem.rules.engine import run
from postmortem.rules.jvm import _frames as jvm_frames
from tests.postmortem.rules.cases import CASES
from tests.postmortem.rules.jvm_cases import (
    JAVA_THREAD,
    LIBC,
    MAIN,
    NATIVE_METHOD,
    WRAPPER,
    compiled,
    interpreted,
    java_abort,
    java_crash,
    libc,
    native,
    on,
    state,
    stub,
    vm,
)
from tests.postmortem.rules.reports import PID, findings, frame, verdict

LIBRARY_RULE = "jvm-crash-in-native-library"
PROGRAM = "/opt/app/embed"
RUNNING = (interpreted("shop.Main.run", file="Main.java", line=30), *MAIN)
LINKED = (
    interpreted("java.lang.invoke.LambdaForm$MH/0x000000009004c400.invoke"),
    interpreted("jdk.internal.foreign.abi.DowncallStub/0x000000009004d400.invoke"),
    interpreted("shop.Native.length", file="Native.java", line=8),
    *MAIN,
)
NAMELESS_LIBC = frame(None, module=LIBC, module_offset=Address(0x16A499))
CHECKING = state(flags=(Flag(name="CheckJNICalls", value="true"),))
LOG = Core(path="hs_err_pid7.log", size=1, format="hs_err")


def words(report: Report, rule: str = LIBRARY_RULE) -> str:
    (finding,) = findings(report, rule)
    return " ".join((finding.title, finding.explanation, *finding.remedies))


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        (NATIVE_METHOD, "through the native method shop.Codec.decode0(), called by shop.Codec.decode()."),
        ((WRAPPER, *MAIN), "through the native method shop.Codec.decode0(), called by shop.Main.main(), Main.java:12."),
        (RUNNING, "The Java code below it on the stack is shop.Main.run(), Main.java:30."),
        ((compiled("shop.Main.run"), *MAIN), "The Java code below it on the stack is shop.Main.run()."),
        ((vm("Foo::bar"), *RUNNING), "The JVM called it while it ran shop.Main.run(), Main.java:30."),
        (
            (vm("JvmtiExport::post_exception_throw(JavaThread*)"), vm("Foo::bar"), *RUNNING),
            "the agent's callback for the event Exception, while it ran shop.Main.run(), Main.java:30.",
        ),
        (
            (
                vm("JvmtiClassFileLoadHookPoster::post_to_env(JvmtiEnv*, bool)"),
                vm("JvmtiExport::post_class_file_load_hook(Symbol*)"),
                vm("JVM_DefineClassWithSource"),
                native("Java_define", "libjava.so"),
                interpreted("java.lang.ClassLoader.defineClass1", None),
            ),
            "the event ClassFileLoadHook, while it ran java.lang.ClassLoader.defineClass1().",
        ),
        ((stub("nep_invoker_blob"), *LINKED), "through java.lang.foreign: shop.Native.length(), Native.java:8 made"),
    ],
)
def test_what_entered_the_library(below: tuple[Frame, ...], expected: str) -> None:
    text = words(java_crash(native("parse"), *below))
    assert expected in text
    assert ("native method" in text) is ("native method" in expected)


def test_a_log_gives_a_native_method_bci_0() -> None:
    native_method = (interpreted("shop.Codec.decode0", 0), *RUNNING)
    assert "native method" in words(java_crash(native("parse"), *native_method, core=LOG))
    assert "native method" not in words(java_crash(native("parse"), *native_method))


def test_the_checks_of_jni_can_tell_nothing_of_a_downcall() -> None:
    text = words(java_crash(native("parse"), stub("nep_invoker_blob"), *LINKED))
    assert "-Xcheck:jni" not in text and "what shop.Native.length(), Native.java:8 passes to it" in text


def test_a_downcall_whose_library_is_not_on_the_stack_is_no_crash_of_the_jvm() -> None:
    report = java_crash(NAMELESS_LIBC, stub("nep_invoker_blob"), *LINKED, address=0x10)
    assert not findings(report, "jvm-vm-code-crash")
    (finding,) = findings(report, "null-dereference")
    assert finding.title.endswith(" in libc.so.6+0x16a499")


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ((libc("start_thread"),), "on a thread of its own"),
        (
            (native("Agent_OnLoad"), vm(None), vm("JNI_CreateJavaVM"), native(None, "libjli.so")),
            "The JVM called its Agent_OnLoad() as it started, before any Java code had run.",
        ),
        ((native("Agent_OnAttach"), vm(None)), "The JVM called its Agent_OnAttach()."),
        ((native("main", PROGRAM), libc("__libc_start_main")), "The thread runs main() of embed, and has no Java"),
        ((vm("JvmtiAgentThread::call_start_function()"),), "started through the JVM (JVMTI's RunAgentThread)"),
        ((vm("JvmtiExport::post_garbage_collection_start()"),), "callback for the event GarbageCollectionStart."),
    ],
)
def test_a_thread_without_java(below: tuple[Frame, ...], expected: str) -> None:
    text = words(java_crash(native("parse"), *below, kind=None, name=None))
    assert expected in text
    assert ("of its own" in text) is ("of its own" in expected)


def test_a_log_does_not_tell_that_a_thread_is_the_library_s_own() -> None:
    assert "of its own" not in words(java_crash(native("parse"), kind=None, name=None, core=LOG))


def test_a_fault_in_libc_without_names_is_said_to_be_there() -> None:
    report = java_crash(NAMELESS_LIBC, native("parse"), *NATIVE_METHOD, address=0x10)
    assert "was raised in libc.so.6+0x16a499, which parse() of libcodec.so had called" in words(report)
    (finding,) = findings(report, "null-dereference")
    assert finding.title.endswith(" in libc.so.6+0x16a499, called by parse()")


def test_every_plain_fault_in_libc_names_it_and_its_caller() -> None:
    thread = on(NAMELESS_LIBC, native("parse"))
    for rule in ("unmapped-address", "protected-page", "write-to-read-only"):
        report = msgspec.structs.replace(CASES[rule].fires[0], threads=(thread,))
        (finding,) = findings(report, rule)
        assert finding.title.endswith(" in libc.so.6+0x16a499, called by parse()")


def test_the_address_of_an_arithmetic_fault_is_no_jump() -> None:
    pc = 0x401010
    text = words(java_crash(native("divide"), *NATIVE_METHOD, number=8, address=pc, pc=Address(pc)))
    assert "nowhere" not in text and hex(pc) not in text


def test_what_the_checks_of_jni_stopped_is_the_verdict() -> None:
    checked = (vm("os::abort"), vm("jniCheck::validate_call(JavaThread*)"), vm("checked_jni_CallVoidMethodV"))
    wrapper = native("JNIEnv_::CallVoidMethod(_jobject*, _jmethodID*, ...)")
    report = java_abort(*checked, wrapper, native("Java_shop_Codec_decode0"), *NATIVE_METHOD)
    assert verdict(report) == "jvm-jni-fatal-error" and not findings(report, LIBRARY_RULE)
    text = words(report, "jvm-jni-fatal-error")
    assert "-Xcheck:jni stopped libcodec.so, Java_shop_Codec_decode0(): wrong use of CallVoidMethodV" in text
    assert "Java code got there from shop.Codec.decode()" in text
    fatal = java_abort(vm("os::abort"), vm("jni_FatalError"), native("parse"), *NATIVE_METHOD)
    assert verdict(fatal) == LIBRARY_RULE


@pytest.mark.parametrize("jvm", [CHECKING, state(arguments=("-Xcheck:jni",))])
def test_checks_that_are_on_are_not_advised(jvm: Jvm) -> None:
    called = (vm("JNIHandles::resolve"), vm("jni_GetObjectClass"), native("parse"), *NATIVE_METHOD)
    for frames in (called, (vm("Foo::bar"), *MAIN)):
        found = run(java_crash(*frames, jvm=jvm), strict=True).findings
        assert found and not any("with -Xcheck:jni" in remedy for finding in found for remedy in finding.remedies)


def test_inline_functions_of_jni_h_stand_for_their_caller() -> None:
    wrapper = native("JNIEnv_::CallIntMethod(_jobject*, _jmethodID*, ...)")
    report = java_crash(vm("jni_CallIntMethodV"), wrapper, native("Java_shop_Codec_decode0"), *NATIVE_METHOD)
    for rule in (LIBRARY_RULE, "jvm-bad-jni-reference"):
        assert "Java_shop_Codec_decode0()" in words(report, rule) and "JNIEnv_" not in words(report, rule)
    alone = java_crash(vm("jni_CallIntMethodV"), wrapper, vm("call_stub"), native("other"), *NATIVE_METHOD)
    found = jvm_frames.library_frame(alone)
    assert found is not None and found[1] == wrapper


@pytest.mark.parametrize(
    ("sent", "number", "call"),
    [
        (("raise", "abort"), 6, "abort()"),
        (("__pthread_kill_implementation", "raise"), 6, "raise(SIGABRT)"),
        (("raise",), 11, "raise(SIGSEGV)"),
        (("__pthread_kill_implementation", "pthread_kill"), 11, "pthread_kill(SIGSEGV)"),
        (("syscall",), 6, "abort()"),
    ],
)
def test_what_sent_the_signal_is_named(sent: tuple[str, ...], number: int, call: str) -> None:
    frames = (*(libc(name) for name in sent), native("give_up"), *NATIVE_METHOD)
    report = java_crash(*frames, number=number, code=-6, sender=PID, address=None)
    text = words(report)
    assert f"{call} called by native library libcodec.so" in text
    assert f"ended the process with {call}." in text
    assert "the condition before the call" in text and "-Xcheck" not in text and "sanitize" not in text


def test_a_signal_sent_by_a_call_without_a_name() -> None:
    report = java_crash(
        libc("syscall"), native("give_up"), *NATIVE_METHOD, number=11, code=-6, sender=PID, address=None
    )
    assert "SIGSEGV raised by native library libcodec.so" in words(report)


@pytest.mark.parametrize(
    "process", [{"process": Process(pid=PID, executable=PROGRAM)}, {"process": Process(pid=PID), "core": LOG}]
)
def test_the_program_is_no_library(process: dict[str, Any]) -> None:
    text = words(java_crash(native("order_name", PROGRAM), native("main", PROGRAM), **process))
    assert "in the program embed: order_name()" in text and "embed is the program that the JVM runs in" in text
    assert "LD_PRELOAD" not in text and "Update embed" not in text
    library = words(java_crash(native("order_name"), native("main", PROGRAM), **process))
    assert "in native library libcodec.so" in library


def test_destructors_under_exit() -> None:
    leaving = java_crash(
        native("Cache::~Cache()"), libc("exit"), native("stop"), libc("start_thread"), kind=None, name=None
    )
    assert "It ran under exit(), which stop() had called" in words(leaving) and "System.exit()" in words(leaving)
    near = java_crash(native("on_exit"), native("exit_code"), *NATIVE_METHOD)
    assert "exit()," not in words(near)


def test_a_jnienv_of_another_thread() -> None:
    frames = (vm("SymbolTable::lookup"), vm("jni_FindClass"), native("worker"), libc("start_thread"))
    report = java_crash(threads=(on(*frames, kind=None, name=None), JAVA_THREAD))
    (finding,) = findings(report, "jvm-bad-jni-reference")
    assert finding.confidence == "certain" and verdict(report) == "jvm-bad-jni-reference"
    assert finding.title == "jni_FindClass called on a thread that is not attached to the JVM, in worker()"
    log = java_crash(*frames[:2], kind=None, name=None, core=LOG, jvm=state(notes=("Current thread is native thread",)))
    assert verdict(log) == "jvm-bad-jni-reference" and not findings(log, "jvm-vm-code-crash")


@pytest.mark.parametrize(
    ("function", "kind", "others"),
    [
        ("jni_FindClass", "JavaThread", (JAVA_THREAD,)),
        ("jni_AttachCurrentThread", None, (JAVA_THREAD,)),
        ("jni_GetEnv", None, (JAVA_THREAD,)),
        ("jni_FindClass", None, ()),
    ],
)
def test_a_jnienv_that_is_the_thread_s_own_or_not_known(
    function: str, kind: str | None, others: tuple[Thread, ...]
) -> None:
    frames = (vm("SymbolTable::lookup"), vm(function), native("worker"), libc("start_thread"))
    report = java_crash(threads=(on(*frames, kind=kind, name=None), *others))
    assert not any("not attached" in finding.title for finding in run(report, strict=True).findings)


REFERENCES = Thread(tid=8, java=JavaThread(name="Reference Handler", kind="JavaThread", state="RUNNABLE", daemon=True))
COLLECTING = Thread(tid=9, java=JavaThread(name="GC Thread#0", kind="WorkerThread"))
STOPPED = Safepoint(state="synchronized")


def _called_late(*others: Thread, point: Safepoint | None = STOPPED, **rest: Any) -> str:
    frames = (vm("Method::size_of_parameters"), vm("jni_CallStaticVoidMethod"), native("render"))
    found = java_crash(threads=(on(*frames, kind=None, name=None), *others), jvm=state(safepoint=point), **rest)
    return findings(found, "jvm-bad-jni-reference")[0].title


def test_a_call_after_the_vm_was_destroyed() -> None:
    late = "jni_CallStaticVoidMethod called after the JVM was destroyed, in render()"
    assert _called_late(REFERENCES, COLLECTING) == _called_late(REFERENCES, point=None) == late


@pytest.mark.parametrize(
    ("others", "rest"),
    [
        ((REFERENCES, Thread(tid=10, java=JavaThread(name="VM Thread", kind="VMThread"))), {}),
        ((REFERENCES, Thread(tid=10, name="worker")), {}),  # it might be the VM thread
        ((REFERENCES, Thread(tid=10, java=JavaThread(name="main", state="WAITING", daemon=False))), {}),
        ((REFERENCES,), {"point": Safepoint(state="not synchronized")}),
        ((JAVA_THREAD, COLLECTING), {}),  # the VM is only being made
        ((REFERENCES,), {"core": Core(path="core", size=1, format="elf-core", truncated=True)}),
    ],
)
def test_a_vm_that_is_still_there(others: tuple[Thread, ...], rest: dict[str, Any]) -> None:
    assert "on a thread that is not attached to the JVM" in _called_late(*others, **rest)


def test_an_agent_is_named_by_its_own_function_not_by_the_wrapper_of_jvmti() -> None:
    wrapper = native("_jvmtiEnv::GetMethodName(_jmethodID*, char**, char**, char**)")
    report = java_crash(vm("JvmtiEnv::GetMethodName"), vm("jvmti_GetMethodName"), wrapper, native("count"), *MAIN)
    (finding,) = findings(report, LIBRARY_RULE)
    assert "count()" in finding.title and "jvmtiEnv" not in finding.title
