"""Whose place a fault is in: native methods without a frame, refused instructions, freed code, archives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from postmortem.model import Address, Frame, JavaThread, Mapping, Value
from tests.postmortem.rules.jvm_cases import (
    BAD,
    LIBJVM,
    MAIN,
    NATIVE_METHOD,
    compiled,
    interpreted,
    java_crash,
    libc,
    native,
    stub,
    vm,
)
from tests.postmortem.rules.reports import findings, frame, operand, verdict
from tests.postmortem.rules.test_jvm_entry import LIBRARY_RULE, words

VM_RULE = "jvm-vm-code-crash"
LIBRARY = "/opt/app/libcodec.so"
LEFT = (interpreted("shop.Codec.decode0", None, native_library=LIBRARY), interpreted("shop.Codec.decode"), *MAIN)
JDK = (
    interpreted("java.util.zip.Inflater.inflate0", None, native_library=LIBJVM.replace("server/libjvm", "libzip")),
    *MAIN,
)


def test_a_native_method_that_jumped_to_a_jni_function_is_named() -> None:
    report = java_crash(vm("UTF8::unicode_length"), vm("jni_NewStringUTF"), *LEFT)
    assert verdict(report) == LIBRARY_RULE and not findings(report, VM_RULE)
    text = words(report)
    assert "SIGSEGV in jni_NewStringUTF(), called by native method shop.Codec.decode0() of libcodec.so" in text
    assert "NULL argument" not in text
    null = java_crash(vm("jni_SetObjectField"), *LEFT, address=0)
    assert "NULL argument" in words(null)
    assert "a function of the JVM, called by native method" in words(java_crash(vm(None), *LEFT, address=0))


@pytest.mark.parametrize(
    "frames",
    [
        (vm("ThreadSafepointState::handle_polling_page_exception"), *LEFT),
        (vm("jni_NewStringUTF"), *JDK),
        (vm("jni_NewStringUTF"), vm("Foo::bar"), *LEFT),
        (vm(None), *LEFT),
        (vm("jni_NewStringUTF"), *NATIVE_METHOD),
    ],
    ids=["no-jni-function", "of-the-jdk", "not-next-to-it", "no-names-no-null", "library-not-known"],
)
def test_a_native_method_that_called_no_jni_function_is_not(frames: tuple[Any, ...]) -> None:
    assert verdict(java_crash(*frames)) == VM_RULE


@pytest.mark.parametrize(
    ("crash", "expected", "never"),
    [
        (
            {"number": 5, "code": 128, "mnemonic": "ret", "instruction": "ret"},
            "SIGTRAP by a breakpoint in native library libcodec.so: decode()",
            "overwritten",
        ),
        (
            {"number": 8, "code": 1, "mnemonic": "idiv", "operand_values": {"divisor": 0}},
            "SIGFPE by a division by zero in native library",
            "null pointer",
        ),
        ({"number": 8, "code": 2, "mnemonic": "idiv", "operand_values": {"divisor": 3}}, "SIGFPE in", "by zero"),
        ({"number": 4, "code": 2, "mnemonic": "ud2"}, "SIGILL by ud2 in native library", "-march"),
        ({"number": 4, "code": 2, "mnemonic": "vfmaddpd"}, "SIGILL by vfmaddpd in native library", "unreachable"),
        ({"number": 4, "code": 2, "mnemonic": None}, "SIGILL in native library", "-march"),
        ({"mnemonic": "ret", "instruction": "ret"}, "Return address overwritten in", "breakpoint"),
    ],
)
def test_an_instruction_that_the_processor_refused(crash: dict[str, Any], expected: str, never: str) -> None:
    fault = {} if "number" not in crash else {"address": None}
    text = words(java_crash(native("decode"), *NATIVE_METHOD, **(crash | fault)))
    assert expected in text and never not in text


def test_freed_code_is_no_place_of_the_jvm() -> None:
    report = java_crash(stub("code cache, unused part"), stub("nep_invoker_blob"), *MAIN)
    assert verdict(report) == VM_RULE
    text = words(report, VM_RULE)
    assert "SIGSEGV after a call of code that was freed from the code cache by shop.Main.main()" in text
    assert "unused part" not in text and "arena" in text


def test_a_stub_that_freed_code_had_called_is_no_place_of_the_jvm_either() -> None:
    freed = words(java_crash(stub("upcall_stub_load_target"), stub("code cache, unused part"), *MAIN), VM_RULE)
    assert "after a call of code that was freed from the code cache" in freed and "arena" in freed
    whole = words(java_crash(stub("upcall_stub_load_target"), stub("upcall_stub_apply"), *MAIN), VM_RULE)
    assert "freed" not in whole


def test_a_start_from_a_class_data_archive_is_told() -> None:
    starting = (vm("Symbol::increment_refcount"), vm("ModuleEntryTable::load_archived_entries"), vm("JNI_CreateJavaVM"))
    start, end = Address(0x7000), Address(0x9000)
    archive = Mapping(start=start, end=end, offset=0, permissions="r--", path="/opt/app.jsa", kind="cds archive")
    text = words(java_crash(*starting, mappings=(archive,)), VM_RULE)
    assert "during use of the class data sharing (CDS) archive" in text and "-Xshare:off" in text
    unnamed = words(java_crash(vm(None), vm("JNI_CreateJavaVM"), mappings=(archive,)), VM_RULE)
    assert "a file that was damaged or cut" in unnamed and "-Xshare:off" in unnamed
    for other in (java_crash(vm(None), vm("JNI_CreateJavaVM")), java_crash(vm("Foo::bar"), *MAIN, mappings=(archive,))):
        assert "-Xshare:off" not in words(other, VM_RULE)


SORT = (stub("nep_invoker_blob"), interpreted("java.lang.invoke.LambdaForm$MH.invoke"), *MAIN)
COMPARES = libc("qsort_r")


def handing(points_to: str | None) -> tuple[Frame, ...]:
    """A downcall whose second argument leads there."""
    argument = Value(
        name="argument 2", type="long", value="140154375678944", text="140154375678944", points_to=points_to
    )
    return (SORT[0], interpreted("java.lang.invoke.LambdaForm$MH.invoke", arguments=(argument,)), *MAIN)


@pytest.mark.parametrize("inner", [stub("StubRoutines (final stubs)"), frame(None, module=None, pc=Address(BAD))])
def test_a_callback_whose_stub_was_freed_with_its_arena(inner: Frame) -> None:
    at: dict[str, Any] = {"pc": BAD} if inner.kind != "stub" else {}
    for leads in ("code cache, unused part", "I2C/C2I adapters"):
        report = java_crash(inner, COMPARES, *handing(leads), **at)
        assert verdict(report) == LIBRARY_RULE and findings(report, LIBRARY_RULE)[0].claim == "cause"
        text = words(report)
        assert "upcall stub that was freed, by qsort_r() of libc.so.6, which shop.Main.main()" in text
        assert leads in text and not findings(report, VM_RULE)
    # A stub that is there, or an argument that is not known: a callback, of which no more is known.
    live: tuple[str | None, ...] = ("upcall_stub_(JJ)I", None)
    for known in live:
        report = java_crash(inner, COMPARES, *handing(known), **at)
        found = findings(report, LIBRARY_RULE)[0]
        assert found.claim == "observation" and "freed" not in found.title
        assert "from qsort_r() of libc.so.6" in found.title and "arena" in words(report)
    # Native code that faults itself was called by Java.
    assert "callback" not in findings(java_crash(COMPARES, *handing("code cache, unused part")), LIBRARY_RULE)[0].title


def test_a_null_argument_of_jni_is_told_with_the_pending_exception() -> None:
    call = (vm("jni_CallVoidMethodV"), native("notify_closed"), *NATIVE_METHOD)
    pending = "java.lang.NoSuchMethodError: onClosed"
    report = java_crash(*call, address=8)
    assert "a NULL argument" in words(report) and "jmethodID" in words(report) and "pending" not in words(report)
    thread = msgspec.structs.replace(
        report.threads[0], java=JavaThread(name="main", kind="JavaThread", pending_exception=pending)
    )
    told = words(msgspec.structs.replace(report, threads=(thread,)))
    assert "with java.lang.NoSuchMethodError pending" in told and pending in told and "ExceptionCheck" in told
    assert "NULL" not in words(java_crash(*call, address=0xBAD0)).replace("(NULL, a pending", "")
    assert "NULL argument" not in words(java_crash(native("notify_closed"), *NATIVE_METHOD, address=8))
    lookup = words(java_crash(vm("jni_GetStaticMethodID"), *call[1:], address=0))
    assert "FindClass" in lookup


def test_an_inline_function_of_jni_h_stands_for_the_native_method() -> None:
    wrapper = native("JNIEnv_::CallVoidMethod(_jobject*, _jmethodID*, ...)")
    text = words(java_crash(vm(None), wrapper, *NATIVE_METHOD, address=0))
    assert "SIGSEGV in CallVoidMethod(), called by native library libcodec.so: shop.Codec.decode0()" in text
    assert "JNIEnv_" not in text
    own = words(java_crash(vm(None), wrapper, native("publish"), *NATIVE_METHOD, address=0))
    assert "libcodec.so: publish()" in own


def test_a_handle_that_went_through_an_int_is_told() -> None:
    heap = Mapping(start=Address(0x7FF070000000), end=Address(0x7FF07014F000), permissions="rw-", kind="malloc arena")
    reserved = Mapping(start=Address(0x70000000), end=Address(0x71000000), permissions="---", kind="reserved")
    bad = operand(0x701271D8, base="rdi", base_value=0x701270D0, displacement=0x108)
    crash: dict[str, Any] = {"address": 0x701271D8, "operands": (bad,)}
    frames = (native("average"), *NATIVE_METHOD)
    for mappings, code in (((heap,), 1), ((reserved, heap), 2)):
        text = words(java_crash(*frames, **crash, mappings=mappings, code=code))
        assert "the pointer 0x701270d0 is 0x7ff0701270d0 without its upper 32 bits" in text and "jint" in text
    downcall = words(java_crash(libc("strlen"), *SORT, **crash, mappings=(heap,)))
    assert "0x7ff0701270d0" in downcall and "JAVA_INT" in downcall
    vm_own = msgspec.structs.replace(heap, kind="java heap")
    data = msgspec.structs.replace(reserved, permissions="rw-")
    for mappings in ((vm_own,), (data, heap)):
        assert "upper 32 bits" not in words(java_crash(*frames, **crash, mappings=mappings))


def test_code_without_names_that_the_jvm_called_is_no_code_of_the_jvm() -> None:
    nameless = frame(None, module=None, pc=Address(0x7F00B5026073))
    report = java_crash(nameless, vm("JavaCalls::call_helper"))
    assert not findings(report, VM_RULE) and verdict(report) == "unmapped-address"
    assert findings(java_crash(vm("Symbol::as_C_string"), vm("JavaCalls::call_helper")), VM_RULE)


def test_a_class_that_could_not_be_named_was_damaged() -> None:
    at = interpreted("shop.Cart.total", 184)
    naming = (
        vm("Symbol::as_klass_external_name() const"),
        vm("SharedRuntime::generate_class_cast_message(JavaThread*, Klass*)"),
        vm("InterpreterRuntime::throw_ClassCastException(JavaThread*, oopDesc*)"),
    )
    report = java_crash(*naming, at, *MAIN)
    assert verdict(report) == "jvm-crash-in-interpreter" and not findings(report, VM_RULE)
    found = findings(report, "jvm-crash-in-interpreter")[0]
    assert "executing checkcast" in found.title and "shop.Cart.total()" in found.title
    assert found.confidence == "likely" and "bug database" not in " ".join(found.remedies)
    entry = vm("Runtime1::throw_class_cast_exception(JavaThread*, oopDesc*)")
    of_compiled = words(
        java_crash(*naming[:2], entry, stub("Runtime1 stub"), compiled("shop.Cart.total"), *MAIN), VM_RULE
    )
    assert "checkcast had found" in of_compiled
    # Other work of the VM below the same bytecode, and the same functions below other work.
    for others in ((vm("G1BarrierSet::write_ref"), *naming[1:]), (naming[0], vm("InterpreterRuntime::ldc"))):
        assert verdict(java_crash(*others, at, *MAIN)) == VM_RULE
