"""Whose place a fault is in: native methods without a frame, refused instructions, freed code, archives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from postmortem.model import Address, Frame, JavaThread, Mapping, Report, Value
from postmortem.model.jvm import Flag, Heap, VmError
from postmortem.model.report import NativeFacts
from tests.postmortem.rules.jvm_cases import (
    BAD,
    LIBJVM,
    MAIN,
    NATIVE_METHOD,
    compiled,
    interpreted,
    java_abort,
    java_crash,
    libc,
    native,
    state,
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


GC_RULE = "jvm-crash-in-gc"
HEAP = Mapping(start=Address(0xFC000000), end=Address(0xFD200000), permissions="rw-", kind="java heap")


def marking(registers: dict[str, int], made: str) -> Report:
    """A collector at an entry of its bitmap that it had made the address of by `made`."""
    entry = 0x4007FA338228488
    bad = operand(entry, base="rsi", base_value=entry, canonical=False, text="[rsi]")
    lines = ((Address(0x7F0000001000), "shr rsi, 6"), (Address(0x7F0000001004), made))
    held = {name: Address(value) for name, value in ({"rsi": entry} | registers).items()}
    thread = {"registers": held}
    crash: dict[str, Any] = {"code": 128, "address": None, "operands": (bad,), "mnemonic": "mov", "disassembly": lines}
    return java_crash(
        vm("G1ParScanThreadState::do_copy"), pc=Address(0x7F0000001008), mappings=(HEAP,), thread=thread,
        kind="GangWorker", name="GC Thread#0", **crash,
    )  # fmt: skip


def test_the_reference_behind_the_address_of_a_mark_bit_is_named() -> None:
    index = ((0x12345 - HEAP.start) % (1 << 64)) >> 3
    computed = "lea rsi, [rax + rsi*8]"
    found = findings(marking({"rcx": index, "r8": 0x12345}, computed), GC_RULE)[0]
    assert "(0x12345)" in found.title and "r8 = 0x12345" in found.explanation
    assert any(item.where == "threads[0].registers.r8" for item in found.evidence)
    # The address of an entry is no reference, whose ever it is; what was loaded may be one.
    unknown = findings(marking({"rcx": index + 1, "r8": 0x12345}, computed), GC_RULE)[0]
    assert "followed" not in unknown.title
    loaded = findings(marking({"rcx": 1, "r8": 0x12345}, "mov rsi, qword ptr [rax]"), GC_RULE)[0]
    assert "(0x4007fa338228488)" in loaded.title


def test_memory_of_malloc_is_reached_by_raw_access_of_compiled_code() -> None:
    arena = Mapping(start=Address(0x7F89F4000000), end=Address(0x7F89F40CA000), permissions="rw-", kind="malloc arena")
    jvm = state(flags=(Flag(name="UseCompressedOops", value="true"),), heap=Heap(spaces=()))

    def at(address: int, base: str = "r10", mapping: Mapping = arena) -> Report:
        inner = operand(address, base=base, base_value=address - 0x38, displacement=0x38, text="[r10 + 0x38]")
        return java_crash(
            compiled("shop.Ring.sum"), *MAIN, address=address, operands=(inner,), mappings=(mapping,), jvm=jvm
        )

    for address in (arena.end, arena.start + 0xB9000):
        report = at(address)
        assert verdict(report) == "jvm-unsafe-access"
        assert findings(report, "jvm-unsafe-access")[0].confidence == "likely"
    others = msgspec.structs.replace(arena, kind="metaspace")
    for report in (at(arena.end + 0x100000), at(arena.end, base="r15"), at(arena.end, mapping=others)):
        assert verdict(report) == "jvm-crash-in-compiled-code"


def test_an_address_in_a_gap_between_libraries_may_have_been_a_library_s() -> None:
    host = Mapping(start=Address(0x7F466809E000), end=Address(0x7F46680A3000), permissions="r-x", path=LIBRARY)
    below = Mapping(start=Address(0x7F4668000000), end=Address(0x7F4668090000), permissions="rw-", kind="anonymous")
    pc = 0x7F466809A0F9
    nowhere = frame(None, module=None, pc=Address(pc))

    def jump(to: int, *mappings: Mapping, **rest: Any) -> str:
        return words(java_crash(nowhere, native("timer_loop"), address=to, pc=Address(to), mappings=mappings, **rest))

    told = jump(pc, below, host)
    assert (
        ", where there is no code, in native library" in told
        and "unloaded since (dlclose)" in told
        and "RTLD_NODELETE" in told
    )
    for other in (jump(pc, below), jump(0x53454D414E444142, below, host), jump(pc, below, host, code=2)):
        assert "dlclose" not in other


def test_a_size_beyond_any_address_space_is_no_lack_of_memory() -> None:
    def told(size: int) -> str:
        error = VmError(id=0xE0000001, message="Native memory allocation (malloc) failed", detail="Unsafe", size=size)
        report = java_abort(vm("report_vm_out_of_memory"), *MAIN, jvm=state(error=error))
        assert verdict(report) == "jvm-native-oom"
        return words(report, "jvm-native-oom")

    absurd = told((1 << 64) - 16)
    assert "an impossible size, 18446744073709551600 bytes" in absurd and "-16 as a signed number" in absurd
    assert "limit" not in absurd.replace("no limit was met", "")
    assert "impossible" not in told(1 << 40)


def test_text_in_the_place_of_a_raw_address_is_told() -> None:
    bad = int.from_bytes(b"session", "little")
    accessor = (vm("Unsafe_GetLong"), interpreted("sun.misc.Unsafe.getLong", None), *MAIN)
    assert "are text, 'session'" in words(java_crash(*accessor, address=bad), "jvm-unsafe-access")
    assert "are text" not in words(java_crash(*accessor, address=0x7F00DEAD0018), "jvm-unsafe-access")


def test_words_of_an_error_count_only_where_the_vm_may_end_itself_for_one() -> None:
    said = NativeFacts(runtime="HotSpot", runtime_message="OutOfMemory encountered: Java heap space")
    for flags in ((), (Flag(name="CrashOnOutOfMemoryError", value="true"),)):
        report = java_abort(vm(None), *MAIN, native=said, jvm=state(flags=flags))
        assert verdict(report) == "jvm-java-heap-exhausted"
    off = (Flag(name="CrashOnOutOfMemoryError", value="false"),)
    assert verdict(java_abort(vm(None), *MAIN, native=said, jvm=state(flags=off))) != "jvm-java-heap-exhausted"
