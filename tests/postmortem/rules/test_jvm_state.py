"""The state of a JVM beside what ended it: it is the verdict only where nothing else explains the end."""

from __future__ import annotations

import msgspec
import pytest

from postmortem.model import Address, Host, Memory, Report, Thread, VmError
from postmortem.model.jvm import Deadlock, DeadlockMember, Jvm, Metaspace, Safepoint, VirtualThread
from postmortem.model.queries import jdk
from postmortem.rules.engine import run
from postmortem.rules.jvm import jvm_outdated
from tests.postmortem.rules import jvm_state_cases as cases
from tests.postmortem.rules.jvm_cases import (
    JNI_CRASH,
    MAIN,
    NATIVE_METHOD,
    from_log,
    interpreted,
    java_abort,
    native,
    operation,
    state,
    vm,
)
from tests.postmortem.rules.reports import findings, verdict


def crash_with(jvm: Jvm) -> Report:
    return msgspec.structs.replace(JNI_CRASH, jvm=jvm)


@pytest.mark.parametrize(
    ("jvm", "beside"),
    [
        (state(deadlocks=(cases.circle(cases.FIRST, cases.SECOND),)), "jvm-java-deadlock"),
        (state(metaspace=cases.FULL_METASPACE), "jvm-metaspace-exhausted"),
        (cases.code(cases.segment("CodeCache", 48 << 20, 48 << 20)), "jvm-code-cache-full"),
        (cases.direct(8 << 20, 8 << 20), "jvm-direct-memory"),
    ],
)
def test_a_crash_elsewhere_keeps_its_verdict(jvm: Jvm, beside: str) -> None:
    report = crash_with(jvm)
    assert verdict(report) == "jvm-crash-in-native-library"
    assert findings(report, beside)


def test_a_fault_is_no_stall_of_the_safepoint_that_it_holds_up() -> None:
    assert not findings(crash_with(state(safepoint=cases.WAITED_FOR)), "jvm-safepoint-stall")


def test_a_thread_in_a_signal_handler_stalls_no_safepoint() -> None:
    held_up = cases.java_thread(102, "held-up", "_thread_in_Java", vm("os::infinite_sleep"), cases.HANDLER, *MAIN)
    assert not findings(cases.killed(state(safepoint=cases.WAITED_FOR), held_up), "jvm-safepoint-stall")
    (finding,) = findings(
        cases.killed(state(safepoint=cases.WAITED_FOR), held_up, cases.SPINNING), "jvm-safepoint-stall"
    )
    assert "pricing-1 (101)" in finding.explanation and "held-up" not in finding.explanation


@pytest.mark.parametrize(("waited", "expected"), [(0.004, None), (None, "possible"), (12.5, "likely")])
def test_a_stall_must_have_lasted_when_an_error_was_reported(waited: float | None, expected: str | None) -> None:
    point = msgspec.structs.replace(cases.WAITED_FOR, waited=waited)
    report = cases.killed(state(safepoint=point), cases.SPINNING)
    report = msgspec.structs.replace(report, crash=msgspec.structs.replace(report.crash, unwrapped=True))
    found = findings(report, "jvm-safepoint-stall")
    assert [finding.confidence for finding in found] == ([expected] if expected else [])
    assert verdict(report) == ("jvm-safepoint-stall" if expected == "likely" else "killed-by-signal")


def test_a_log_s_threads_run_on_while_it_is_written() -> None:
    report = cases.killed(state(safepoint=cases.JUST_BEGUN), cases.SPINNING)
    report = msgspec.structs.replace(report, core=msgspec.structs.replace(report.core, format="hs_err"))
    (finding,) = findings(report, "jvm-safepoint-stall")
    assert finding.confidence == "possible" and verdict(report) == "killed-by-signal"
    crashed = msgspec.structs.replace(cases.SPINNING, crashed=True)
    report = msgspec.structs.replace(report, threads=(crashed,))
    assert not findings(report, "jvm-safepoint-stall")


def test_a_circle_with_a_time_out_may_open() -> None:
    timed = cases.blocked(101, "transfer-1", "transfer-2", state="TIMED_WAITING")
    report = cases.killed(state(deadlocks=(cases.circle(timed, cases.SECOND),)), timed, cases.SECOND)
    (finding,) = findings(report, "jvm-java-deadlock")
    assert finding.confidence == "possible" and "time-out" in finding.explanation
    assert verdict(report) == "killed-by-signal"


def test_virtual_threads_without_a_carrier_stand_in_their_stacks() -> None:
    member, other = (
        DeadlockMember(name=f"order-{me}", java_tid=20 + me, waiting_for="shop.Account@0x10", held_by=f"order-{3 - me}")
        for me in (1, 2)
    )
    stack = (interpreted("java.util.concurrent.locks.LockSupport.park"), interpreted("shop.Order.place"))
    ours = VirtualThread(java_tid=21, name="order-1", state="PARKED", frames=stack)
    timed = VirtualThread(java_tid=22, name="order-2", state="TIMED_PARKED", frames=stack)
    circle = (Deadlock(threads=(member, other)),)
    (finding,) = findings(cases.killed(state(deadlocks=circle, virtual_threads=(ours,))), "jvm-java-deadlock")
    assert finding.confidence == "certain"
    assert "order-1 (virtual thread #21) waits for shop.Account@0x10, which order-2 holds" in finding.explanation
    carrier = msgspec.structs.replace(other, tid=101)
    (mounted,) = findings(cases.killed(state(deadlocks=(Deadlock(threads=(member, carrier)),))), "jvm-java-deadlock")
    assert "order-2 (thread 101, carrying virtual thread #22) waits for" in mounted.explanation
    assert "jvm.virtual_threads[0].frames[1].function" in [item.where for item in finding.evidence]
    (finding,) = findings(cases.killed(state(deadlocks=circle, virtual_threads=(ours, timed))), "jvm-java-deadlock")
    assert finding.confidence == "possible"


def test_a_circle_of_class_initializers_is_broken_between_them() -> None:
    report = cases.killed(state(deadlocks=(cases.circle(*cases.LOADING),)), *cases.LOADING)
    (finding,) = findings(report, "jvm-java-deadlock")
    assert "waits for the initialization of shop.C1, which loads-1 has begun." in finding.explanation
    assert "static initializers" in finding.remedies[0]
    assert not any("tryLock" in remedy for remedy in finding.remedies)
    assert verdict(report) == "jvm-java-deadlock"
    # With a lock in the circle, both may be what to change.
    mixed = cases.circle(cases.LOADING[0], cases.SECOND)
    (finding,) = findings(cases.killed(state(deadlocks=(mixed,))), "jvm-java-deadlock")
    assert "static initializers" in finding.remedies[0]
    assert any("tryLock" in remedy for remedy in finding.remedies)


@pytest.mark.parametrize(("used", "expected"), [(None, "killed-by-signal"), (290 << 20, "jvm-memory-over-limit")])
def test_a_limit_is_the_verdict_only_near_it(used: int | None, expected: str) -> None:
    report = cases.killed(state(heap=cases.java_heap(1 << 20, 512 << 20)))
    host = Host(container="cgroupv2", memory_limit=300 << 20, memory_used=used)
    assert verdict(msgspec.structs.replace(report, host=host)) == expected


def test_threads_that_the_vm_could_not_start() -> None:
    report = cases.exhausted("unable to create native thread: possibly out of memory or resource limits reached")
    assert verdict(report) == "thread-exhaustion"


def test_no_claim_on_classes_without_the_vm_s_words() -> None:
    (finding,) = findings(cases.killed(state(metaspace=cases.FULL_METASPACE)), "jvm-metaspace-exhausted")
    assert finding.confidence == "possible" and "did not fit" not in finding.explanation


def test_an_abort_of_the_vm_is_not_explained_by_a_full_metaspace() -> None:
    report = java_abort(vm("report_vm_out_of_memory"), *MAIN, jvm=state(metaspace=Metaspace()))
    assert verdict(report) == "jvm-native-oom"


MIB, GIB = 1 << 20, 1 << 30
INFINITE = {"AS": "infinity/infinity"}


@pytest.mark.parametrize(
    ("host", "threads", "asked", "said"),
    [
        (Host(memory=16 * GIB, memory_available=6 * GIB, swap=0, limits=INFINITE), 20, 32 * GIB, "had 6 GiB left"),
        (Host(memory=16 * GIB, memory_available=GIB // 8, swap=0), 20, 65536, "was out of memory"),
        (Host(memory=16 * GIB, memory_available=GIB, swap=8 * GIB, swap_free=1 << 20), 20, 65536, "was out of memory"),
        (Host(memory=16 * GIB, memory_available=9 * GIB, swap=0), 20, 65536, "which limit was met is not known"),
        (Host(memory_limit=GIB, memory_used=GIB - 4096), 20, 65536, "the container was at its limit"),
        (Host(limits={"AS": "2000000k/infinity"}), 20, 65536, "its address space is limited"),
        (Host(memory=16 * GIB, memory_available=9 * GIB), 8510, 32768, "it had 8,510 threads"),
        (Host(), 20, 65536, "memory for Chunk::new; which limit"),
        (None, 20, 0, "memory for Chunk::new; which limit"),
        (Host(platform="windows-amd64", commit_limit=20 * GIB, commit_available=5 << 20), 20, 65536, "commit limit"),
        (Host(platform="windows-amd64", commit_limit=20 * GIB, commit_available=9 * GIB), 20, 65536, "is not known"),
        (Host(platform="linux-x86", memory=8 * GIB, memory_available=4 * GIB, swap=0), 20, 65536, "of 32 bits is full"),
        (
            Host(
                memory=32 * GIB,
                memory_available=25 * GIB,
                swap=0,
                commit_limit=27 * GIB,
                commit_available=6 * GIB,
                committed=21 * GIB,
            ),
            20,
            16 * GIB,
            "strict overcommit",
        ),
    ],
)
def test_what_was_short(host: Host | None, threads: int, asked: int, said: str) -> None:
    report = from_log(error=VmError(id=0xE0000001, detail="Chunk::new", size=asked), host=host)
    others = tuple(Thread(tid=1000 + number) for number in range(threads - len(report.threads)))
    report = msgspec.structs.replace(report, threads=(*report.threads, *others))
    (finding,) = findings(report, "jvm-native-oom")
    assert said in finding.title
    assert ("which, this report does not tell" in finding.explanation) == said.startswith("memory:")


@pytest.mark.parametrize(("memory", "confidence"), [(768 * MIB, "likely"), (768 * MIB - 4096, "certain")])
def test_a_total_that_is_a_containers_limit_proves_nothing(memory: int, confidence: str) -> None:
    host = Host(platform="linux-amd64", memory=memory, memory_available=232 * MIB, swap=0)
    error = VmError(id=0xE0000001, detail="Chunk::new", size=357 * MIB)
    (finding,) = findings(from_log(error=error, host=host), "jvm-native-oom")
    assert finding.confidence == confidence
    assert any("container" in rival for rival in finding.rivals) == (confidence == "likely")


def test_mappings_that_ran_out() -> None:
    error = VmError(id=0xE0000002, detail="committing reserved memory", size=65536)
    (finding,) = findings(from_log(error=error, memory=Memory(mappings=65_528)), "jvm-native-oom")
    assert finding.title.endswith("it had no mappings left")


# --- releases of the JDK


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("17.0.15+6-Debian-1deb12u1", (17, 0, 15)),
        ("27.0.1.0.3+1-1-Debian", (27, 0, 1, 0, 3)),
        ("21+35-LTS", (21,)),
        ("11.0.9.1+1", (11, 0, 9, 1)),
        ("25.504-b01", (8, 504)),
        ("25.0.1+8-LTS", (25, 0, 1)),
        ("1.8.0_402-b06", (8, 402)),
        ("8u275", (8, 275)),
        ("24.80-b11", (7, 80)),
        ("7.0_80-b15", (7, 80)),
        ("23.25-b01", (7,)),
        ("20.45-b01", (6, 45)),
        ("16.3-b01", (6,)),
        ("1.5.0_22-b03", (5, 22)),
        ("8.0_392-b08", (8, 392)),
        ("25+36", (25,)),
        ("next", ()),
    ],
)
def test_numbers_of_a_version(version: str, numbers: tuple[int, ...]) -> None:
    assert jdk.numbers(version) == numbers


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("17.0.2+8", "18 updates behind 17.0.20"),
        ("25.302-b08", "20 updates behind 8u502"),
        ("25.301-b09", "20 updates behind 8u502"),
        ("25.202-b26", "at least 26 updates behind 8u502"),
        ("23.0.1+11", "JDK 23 has no more updates"),
        ("24.80-b11", "JDK 7u80 has no more updates"),
        ("20.45-b01", "JDK 6u45 has no more updates"),
    ],
)
def test_age(version: str, said: str) -> None:
    report = run(Report(jvm=Jvm(version=version), core=JNI_CRASH.core, tool=JNI_CRASH.tool), strict=True)
    assert any(said in finding.title for finding in report.findings), [finding.title for finding in report.findings]


def test_the_releases_are_consistent() -> None:
    data = jvm_outdated.releases()
    assert list(data.quarters.dates) == sorted(set(data.quarters.dates))
    assert [train.major for train in data.trains] == list(range(8, 28))
    for train in data.trains:
        assert train.source
        assert train.first_update is None or train.first < train.first_update
        assert train.first_update is None or train.first_update in data.quarters.dates
    for fix in data.fixes:
        assert fix.source.endswith(fix.id.removeprefix("Red Hat ")) and fix.verified
        assert fix.frames or fix.text or fix.java, "no pattern, no claim"
        for major, update in (*fix.fixed.items(), *fix.since.items()):
            assert jdk.numbers(update)[0] == int(major)


def test_a_known_defect_names_its_update() -> None:
    known = next(finding for finding in findings(KNOWN, "jvm-outdated") if finding.references)
    assert known.title == "A crash like this one was mended in 11.0.9.1: JDK-8250861"
    assert known.confidence == "possible"


KNOWN = cases.JVM_STATE_CASES["jvm-outdated"].fires[-1]


def test_a_jvm_that_was_shot_says_what_it_was_at() -> None:
    stopped = operation("G1CollectFull", safepoint=Safepoint(state="synchronized", waiting_to_block=0))
    (finding,) = findings(cases.killed(stopped), "killed-by-signal")
    assert "safepoint for G1CollectFull" in finding.explanation and "GC log" in finding.remedies[0]
    running = operation("G1CollectFull", safepoint=Safepoint(state="not synchronized", waiting_to_block=0))
    (finding,) = findings(cases.killed(running), "killed-by-signal")
    assert "safepoint" not in finding.explanation


def _with_registers(item: Thread) -> Thread:
    return msgspec.structs.replace(item, registers={"rip": Address(1)})


def test_who_was_at_work_is_told_of_a_jvm_that_was_ended_from_outside() -> None:
    spinning = _with_registers(cases.SPINNING)
    only = findings(cases.killed(state(), spinning, cases.FIRST), "killed-by-signal")[0]
    assert "The only thread at work in Java code" in only.explanation
    assert "in shop.Prices.total()." in only.explanation
    filtering = cases.java_thread(102, "filter", "_thread_in_native", native("fir"), *NATIVE_METHOD)
    both = findings(cases.killed(state(), spinning, _with_registers(filtering)), "killed-by-signal")[0]
    assert "2 threads were at work" in both.explanation and "in fir()" in both.explanation
    assert any(item.value == "fir" for item in both.evidence)


def test_who_waits_or_belongs_to_the_vm_is_not_at_work() -> None:
    waits = _with_registers(cases.PINNER)
    compiler = _with_registers(cases.java_thread(103, "C2", "_thread_in_native", vm("Compile::Optimize")))
    blocked = _with_registers(cases.FIRST)
    found = findings(cases.killed(state(), waits, compiler, blocked), "killed-by-signal")[0]
    assert "at work" not in found.explanation
