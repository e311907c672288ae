"""Whose place a fault is in: native methods without a frame, refused instructions, freed code, archives."""

from __future__ import annotations

from typing import Any

import pytest

from postmortem.model import Address, Mapping
from tests.postmortem.rules.jvm_cases import LIBJVM, MAIN, NATIVE_METHOD, interpreted, java_crash, native, stub, vm
from tests.postmortem.rules.reports import findings, verdict
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
    assert "null argument" not in text
    null = java_crash(vm("jni_SetObjectField"), *LEFT, address=0)
    assert "null argument" in words(null)
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
