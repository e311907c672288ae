"""The rules about a JVM, its crashes and its state: what fires them, near misses, absent facts, verdicts, words."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem import rules
from postmortem.model import Address, Frame, Report, from_json, to_json
from postmortem.model.jvm import Compilation, Flag, Heap, HeapSpace, Jvm, SignalHandler, VmError
from postmortem.model.queries.paths import resolve, show
from postmortem.rules.engine import run
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import _threads as jvm_threads
from tests.postmortem.rules.jvm_cases import (
    BAD,
    DEEP,
    GUARANTEE,
    HANDLERS,
    HOME,
    HOT,
    JNI_CRASH,
    JVM_CASES,
    LEDGER,
    LIBRARY,
    LOW,
    MAIN,
    NATIVE_METHOD,
    OUT_OF_MEMORY,
    RAW,
    ROOM,
    TIMEOUT,
    ZONE,
    compiled,
    interpreted,
    java_abort,
    java_crash,
    libc,
    module,
    native,
    overflow,
    state,
    stub,
    vm,
)
from tests.postmortem.rules.jvm_state_cases import JVM_STATE_CASES
from tests.postmortem.rules.reports import findings, operand, signal, verdict

ALL_JVM_CASES = {**JVM_CASES, **JVM_STATE_CASES}
CALLS = ("jvm-bad-jni-reference", "jvm-jni-fatal-error")
"""Beside the crash of the library that made the call."""
SETTINGS = ("jvm-memory-over-limit", "jvm-risky-flags")
"""Beside a crash of any cause."""
REMARKS = ("jvm-outdated",)
"""On the JVM, not on its crash."""


def parameters(kind: str) -> list[object]:
    return [
        pytest.param(rule, item, id=f"{rule}-{number}")
        for rule, cases in ALL_JVM_CASES.items()
        for number, item in enumerate(getattr(cases, kind))
    ]


@pytest.mark.parametrize(("rule", "item"), parameters("fires"))
def test_fires(rule: str, item: Report) -> None:
    assert findings(item, rule)


@pytest.mark.parametrize(("rule", "item"), parameters("misses"))
def test_near_miss_is_silent(rule: str, item: Report) -> None:
    assert not findings(item, rule)


@pytest.mark.parametrize(("rule", "item"), parameters("lacks"))
def test_absent_fact_is_silent(rule: str, item: Report) -> None:
    assert not findings(item, rule)


@pytest.mark.parametrize(("rule", "item"), parameters("fires"))
def test_evidence_resolves_and_words_are_complete(rule: str, item: Report) -> None:
    found = run(item, strict=True)
    assert any(finding.rule == rule for finding in found.findings)
    for finding in found.findings:
        assert finding.evidence, finding.rule
        for evidence in finding.evidence:
            assert evidence.value == show(resolve(item, evidence.where))
        assert not finding.title.endswith(".")
        assert finding.explanation.endswith((".", "!"))
        assert "  " not in finding.explanation
        assert not re.search("None(?! of them)", finding.title + finding.explanation)
        assert finding.remedies
    assert run(from_json(to_json(item)), strict=True).findings == found.findings


def test_every_jvm_rule_has_cases() -> None:
    assert not set(JVM_CASES) & set(JVM_STATE_CASES)
    assert {rule.id for rule in rules.ALL if rule.group == "jvm"} == set(ALL_JVM_CASES)


@pytest.mark.parametrize("rule", [rule for rule in ALL_JVM_CASES if rule not in (*CALLS, *SETTINGS, *REMARKS)])
def test_the_first_report_that_fires_a_rule_has_it_as_verdict(rule: str) -> None:
    assert verdict(ALL_JVM_CASES[rule].fires[0]) == rule


@pytest.mark.parametrize("rule", CALLS)
def test_the_library_that_made_the_call_is_the_verdict(rule: str) -> None:
    assert verdict(JVM_CASES[rule].fires[0]) == "jvm-crash-in-native-library"


@pytest.mark.parametrize("rule", SETTINGS)
def test_a_setting_is_not_the_verdict_of_a_crash(rule: str) -> None:
    for item in JVM_STATE_CASES[rule].fires:
        assert verdict(item) == "jvm-crash-in-native-library"


def only(report: Report, rule: str) -> str:
    """Title, explanation and remedies of the rule's one finding."""
    (finding,) = findings(report, rule)
    return " ".join((finding.title, finding.explanation, *finding.remedies))


def test_native_library_names_library_method_and_caller() -> None:
    text = only(JNI_CRASH, "jvm-crash-in-native-library")
    for part in ("libcodec.so", "parse_header()", "shop.Codec.decode0()", "shop.Codec.decode()", "-Xcheck:jni"):
        assert part in text
    assert "does not belong to the JDK" in text


def test_native_library_names_the_null_pointer() -> None:
    null = operand(8, base="rdi", base_value=0, displacement=8, pointer="row->next", target="row->next->size")
    report = java_crash(native("parse_header"), *NATIVE_METHOD, address=Address(8), operands=(null,))
    found = findings(report, "jvm-crash-in-native-library")[0]
    assert found.title.endswith(": row->next is null")
    assert "row->next->size was wanted" in found.explanation
    # Not null but bad, and null in a function of another library: neither is called null here.
    bad = msgspec.structs.replace(null, base_value=Address(BAD))
    for frames, item in (((native("parse_header"),), bad), ((libc("strlen"), native("parse_header")), null)):
        report = java_crash(*frames, *NATIVE_METHOD, address=Address(8), operands=(item,))
        assert "is null" not in only(report, "jvm-crash-in-native-library")


def test_libc_called_by_a_library_is_the_library_s() -> None:
    text = only(JVM_CASES["jvm-crash-in-native-library"].fires[1], "jvm-crash-in-native-library")
    assert "memmove() of libc.so.6, which copy_rows()" in text


@pytest.mark.parametrize(
    ("path", "own"),
    [
        (f"{HOME}/lib/libzip.so", True),
        (f"{HOME}/bin/java", True),
        ("/opt/app/libzip.so", False),
        ("libzip.so", True),
        ("libnet.dylib", True),
        ("nio.dll", True),
        ("libcodec.so", False),
    ],
)
def test_whose_library(path: str, own: bool) -> None:
    assert jvm_frames.is_jdk_library(JNI_CRASH, path) is own


def test_library_of_jdk_8_lies_below_jre() -> None:
    home = "/usr/lib/jvm/java-8-openjdk-amd64"
    report = msgspec.structs.replace(JNI_CRASH, modules=(module(f"{home}/jre/lib/amd64/server/libjvm.so"),))
    assert jvm_frames.is_jdk_library(report, f"{home}/jre/lib/amd64/libzip.so")
    assert jvm_frames.is_jdk_library(report, f"{home}/bin/java")
    assert not jvm_frames.is_jdk_library(report, LIBRARY)


def test_jdk_library_and_agent_are_called_so() -> None:
    fires = JVM_CASES["jvm-crash-in-native-library"].fires
    assert "the JDK's library libzip.so" in only(fires[9], "jvm-crash-in-native-library")
    assert "-agentpath:libcodec.so" in only(fires[10], "jvm-crash-in-native-library")


def test_unsafe_compiled_inline_is_both() -> None:
    report = java_crash(*HOT, *MAIN)
    assert verdict(report) == "jvm-unsafe-access"
    assert findings(report, "jvm-crash-in-compiled-code")
    assert "shop.Table.put" in only(report, "jvm-unsafe-access")


def test_raw_operand_is_likely_and_mark_word_possible_only() -> None:
    fires = JVM_CASES["jvm-unsafe-access"].fires
    assert findings(fires[4], "jvm-unsafe-access")[0].confidence == "likely"
    assert findings(fires[6], "jvm-unsafe-access")[0].confidence == "possible"
    assert verdict(fires[6]) == "jvm-crash-in-compiled-code"


def test_compiled_code_names_a_probe_for_its_tier() -> None:
    rule = "jvm-crash-in-compiled-code"
    first, inlined, stub, *_ = JVM_CASES[rule].fires
    assert "exclude,shop.Table::fill" in only(first, rule) and "TieredStopAtLevel=1" in only(first, rule)
    assert "-XX:-TieredCompilation" in only(inlined, rule) and "shop.Row.get()" in only(inlined, rule)
    assert "oop_disjoint_arraycopy" in only(stub, rule)


def test_interpreter_names_the_bytecode() -> None:
    text = only(JVM_CASES["jvm-crash-in-interpreter"].fires[0], "jvm-crash-in-interpreter")
    assert "getfield" in text and "bci 14" in text and "reads a field" in text


def test_compiler_names_the_method_and_the_way_round() -> None:
    text = only(JVM_CASES["jvm-crash-in-compiler"].fires[0], "jvm-crash-in-compiler")
    for part in ("The C2 compiler", "shop.Table.fill", "-XX:CompileCommand=exclude,shop.Table::fill", "replay"):
        assert part in text
    assert "a.B.other" not in text


def test_collector_and_phase_are_named() -> None:
    text = only(JVM_CASES["jvm-crash-in-gc"].fires[0], "jvm-crash-in-gc")
    for part in ("G1 garbage collector", "marking", "G1CollectFull", "VerifyBeforeGC", "GC Thread#0"):
        assert part in text


def test_failed_check_in_a_collection_is_both() -> None:
    report = JVM_CASES["jvm-crash-in-gc"].fires[7]
    assert verdict(report) == "jvm-crash-in-gc"
    assert findings(report, "jvm-internal-error")
    assert not findings(report, "deliberate-abort")


def test_internal_error_quotes_the_vm() -> None:
    text = only(JVM_CASES["jvm-internal-error"].fires[0], "jvm-internal-error")
    assert "guarantee(x != nullptr) failed: must be" in text and "loop.cpp:42" in text


def test_stack_overflow_in_a_library_is_both_and_explains_the_missing_log() -> None:
    report = overflow(*DEEP, *NATIVE_METHOD)
    assert verdict(report) == "jvm-stack-overflow"
    assert findings(report, "jvm-crash-in-native-library")
    text = only(report, "jvm-stack-overflow")
    assert "1 MiB" in text and "recurse()" in text and "no hs_err log" in text and "-Xss" in text


def test_truncated_file_clears_the_library() -> None:
    report = JVM_CASES["jvm-truncated-mapped-file"].fires[0]
    assert verdict(report) == "jvm-truncated-mapped-file"
    assert not findings(report, "jvm-crash-in-native-library")
    assert not findings(report, "truncated-mapping")
    assert "ledger.dat" in only(report, "jvm-truncated-mapped-file")


@pytest.mark.parametrize(
    ("number", "words"),
    [(2, "JDK 9 and newer"), (5, "PerfDisableSharedMem"), (6, "another directory"), (7, "huge pages")],
)
def test_truncated_file_knows_what_was_mapped(number: int, words: str) -> None:
    rule = "jvm-truncated-mapped-file"
    assert words in only(JVM_CASES[rule].fires[number], rule)


def test_thrown_internal_error_is_a_lead_only() -> None:
    (finding,) = findings(JVM_CASES["jvm-truncated-mapped-file"].fires[8], "jvm-truncated-mapped-file")
    assert finding.confidence == "possible"


def test_null_check_taken_by_a_foreign_handler_silences_the_fault_itself() -> None:
    report = JVM_CASES["jvm-signal-chain"].fires[0]
    rules = {finding.rule for finding in run(report, strict=True).findings}
    assert rules == {"jvm-signal-chain"}
    assert "libjsig.so" in only(report, "jvm-signal-chain")


def test_foreign_handler_in_the_list_is_a_remark() -> None:
    report = JVM_CASES["jvm-signal-chain"].fires[2]
    assert verdict(report) == "jvm-vm-code-crash"
    assert findings(report, "jvm-signal-chain")[0].specificity == 16


@pytest.mark.parametrize(
    "frames",
    [
        (native("parse"), *NATIVE_METHOD),
        (compiled("a.B.c"), *MAIN),
        (interpreted("a.B.c"), *MAIN),
        (vm("Unsafe_PutInt"), *MAIN),
        (vm("f"), *MAIN),
    ],
)
def test_killed_from_outside_is_no_crash(frames: tuple[Frame, ...]) -> None:
    report = java_crash(*frames, code=0, sender=7, unwrapped=True)
    assert verdict(report) == "killed-by-signal"
    assert not any(f.rule.startswith("jvm-") for f in run(report, strict=True).findings)


def test_out_of_memory_is_no_internal_error_and_no_collector_s_crash() -> None:
    report = JVM_CASES["jvm-internal-error"].misses[0]
    assert not any(f.rule.startswith("jvm-crash") for f in run(report, strict=True).findings)


def test_abort_by_a_library_keeps_one_finding_for_it() -> None:
    report = java_abort(native("give_up"), *NATIVE_METHOD)
    assert verdict(report) == "jvm-crash-in-native-library"
    assert not findings(report, "deliberate-abort")


def test_windows_and_macos_names_of_faults() -> None:
    for name, code in (("EXCEPTION_ACCESS_VIOLATION", None), ("SIGBUS", 1)):
        named = msgspec.structs.replace(signal(10, code), name=name)
        report = java_crash(native("parse", "C:\\app\\codec.dll"), *NATIVE_METHOD, signal=named)
        assert verdict(report) == "jvm-crash-in-native-library"
        assert "codec.dll" in only(report, "jvm-crash-in-native-library")
    in_page = msgspec.structs.replace(signal(0, None), name="EXCEPTION_IN_PAGE_ERROR")
    report = java_crash(native("readCEN", "zip.dll"), *MAIN, signal=in_page, mappings=())
    assert verdict(report) == "jvm-truncated-mapped-file"


@pytest.mark.parametrize(
    ("version", "major"),
    [("25.504-b01", 8), ("1.8.0_402-b06", 8), ("17.0.15+6", 17), ("27", 27), (None, None), ("x", None)],
)
def test_major(version: str | None, major: int | None) -> None:
    assert jvm_views.major(java_crash(jvm=msgspec.structs.replace(state(), version=version))) == major


def test_roles() -> None:
    def role(kind: str | None, name: str | None, *frames: Frame) -> str | None:
        return jvm_threads.role(java_crash(*frames, kind=kind, name=name))

    assert role("GCTaskThread", "GC Thread#0") == "gc"
    assert role(None, "Gang worker#0 (Parallel GC Threads)") == "gc"
    assert role("JavaThread", "GC Monitor") == "java"
    assert role(None, "C1 CompilerThread3") == "compiler"
    assert role("WatcherThread", None) == "other"
    assert role(None, None, vm("VMThread::run()")) == "vm"
    assert role(None, None) is None


def test_crash_thread_that_is_not_in_the_report() -> None:
    report = msgspec.structs.replace(JNI_CRASH, threads=())
    assert not any(f.rule.startswith("jvm-") for f in run(report, strict=True).findings)


FRAMES = st.sampled_from(
    [
        *(vm(name) for name in (None, "jni_FatalError", "Unsafe_PutInt", "G1Mark::f", "report_fatal", "VMThread::run")),
        *(native(name, path) for name, path in ((None, LIBRARY), ("f", ""), ("g", "C:\\x.dll"), ("h", "[heap]"))),
        libc("abort"),
        libc("memcpy"),
        stub("Interpreter"),
        compiled("sun.misc.Unsafe.putInt", inlined=True),
        compiled("a.B.c", 0, note="native wrapper"),
        compiled("x", 9, note=None),
        interpreted("java.nio.Bits.copy", None, note="codelet method entry point (kind = native)"),
        msgspec.structs.replace(compiled("y"), function=None),
        msgspec.structs.replace(vm("f"), kind="signal", function=None),
        msgspec.structs.replace(native("f"), kind="unknown", module=None),
    ]
)
STATES = st.builds(
    Jvm,
    version=st.sampled_from([None, "", "17", "25.1-b2"]),
    vm_operation=st.sampled_from([None, "G1CollectFull", "Exit"]),
    error=st.sampled_from([None, VmError(), GUARANTEE, OUT_OF_MEMORY, VmError(id=11), VmError(file="C:\\a.cpp")]),
    flags=st.sampled_from([(), TIMEOUT, (Flag(name="StackRedPages", value="9" * 30),)]),
    signal_handlers=st.sampled_from([(), HANDLERS, (SignalHandler(signal="SIGSEGV", expected=False),)]),
    compilations=st.sampled_from([(), (Compilation(),), (Compilation(tid=100, method="(", level=99),)]),
    heap=st.sampled_from([None, Heap(), Heap(collector="Z", gc_active=True)]),
)


@settings(max_examples=400, deadline=None)
@given(
    frames=st.lists(FRAMES, max_size=6),
    handler=st.one_of(st.none(), st.lists(FRAMES, max_size=4).map(tuple)),
    kind=st.sampled_from([None, "JavaThread", "VMThread", "WorkerThread", ""]),
    name=st.sampled_from([None, "", "C1 CompilerThread0", "VM Thread"]),
    number=st.sampled_from([0, 4, 6, 7, 11]),
    code=st.sampled_from([None, -6, 0, 1, 2, 128]),
    address=st.sampled_from([None, 0, BAD, LOW - 8, LOW + 8, LEDGER.start]),
    sp=st.sampled_from([None, 0, LOW + 64, LOW + 0x5000]),
    jvm=STATES,
    unwrapped=st.booleans(),
)
def test_never_raises_and_evidence_always_resolves(
    frames: list[Frame],
    handler: tuple[Frame, ...] | None,
    kind: str | None,
    name: str | None,
    number: int,
    code: int | None,
    address: int | None,
    sp: int | None,
    jvm: Jvm,
    unwrapped: bool,
) -> None:
    thread = {"handler_frames": handler, "registers": {} if sp is None else {"rsp": Address(sp)}}
    item = java_crash(
        *frames,
        kind=kind,
        name=name,
        number=number,
        code=code,
        address=address,
        sender=100,
        jvm=jvm,
        mappings=(ZONE, ROOM, LEDGER),
        operands=(RAW,),
        thread=thread,
        unwrapped=unwrapped,
    )
    for found in run(item, strict=True).findings:
        assert found.evidence
        for evidence in found.evidence:
            resolve(item, evidence.where)


@pytest.mark.parametrize(
    ("end", "address", "expected"),
    [
        (1 << 32, 0x41414141, "four bytes 0x41, text 'AAAA'"),
        (3 << 32, (0x41414141 << 3) + 12, "four bytes 0x41, text 'AAAA'"),
        (3 << 32, (0xFEFEFEFE << 3) + 8, "four bytes 0xfe"),
        (1 << 32, int.from_bytes(b"name", "little") + 8, "the text 'name'"),
        (1 << 32, 0x10014, None),
        (1 << 32, 0xDEAD000, None),
    ],
)
def test_what_a_compressed_reference_was_overwritten_with(end: int, address: int, expected: str | None) -> None:
    heap = Heap(spaces=(HeapSpace(name="eden", start=Address(1 << 30), end=Address(end)),))
    flags = (Flag(name="UseCompressedOops", value="true"),)
    operands = (operand(address, base="rcx", base_value=address - 8),) if "text 'n" in str(expected) else ()
    jvm = state(flags=flags, heap=heap)
    report = java_crash(compiled("shop.Row.get"), *MAIN, address=address, operands=operands, jvm=jvm)
    assert jvm_views.overwritten_reference(report) == expected
    uncompressed = java_crash(compiled("shop.Row.get"), *MAIN, address=address, jvm=state(heap=heap))
    assert jvm_views.overwritten_reference(uncompressed) is None
