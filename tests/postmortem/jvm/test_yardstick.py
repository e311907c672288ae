"""The yardstick itself: its parsers know the wordings of all versions, and every comparison notices a difference."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.postmortem.jvm import check, compare, corpus, truth

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = """\
#  SIGSEGV (0xb) at pc=0x00007f44bc5e0000 (sent by kill), pid=7, tid=0x00007f44bc5e1111
Current thread (0x00007fed0800a000):  JavaThread "main" [_thread_in_Java, id=24011, stack(0x1,0x2)]
Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)
J 6% C2 crash.Hot.osr(J)V (73 bytes) @ 0x00007fd2bd07b589 [0x00007fd2bd07b4a0+0xe9]
J 83  java.lang.ClassLoader.defineClass1(I)Ljava/lang/Class; java.base@17 (0 bytes) @ 0x00007fd2bd07b599 [0x1+0x2]
j  crash.Busy$$Lambda+0x000000005f040628.run()V+7 java.base@17
v  ~StubRoutines::call_stub_stub (stub gen) 0x00007ff5279394a2
V  [libjvm.so+0x717ec2]
C  [libjli.so+0x4a66]  JavaMain+0x1026
C  0x0000000000001234
...<more frames>...

=>0x00007fed0800a000 JavaThread "main"             daemon [_thread_in_Java, id=24011, stack(0x1,0x2) (1024K)]
  0x00007fed08074800 VMThread [stack: 0x00007fed0c594000,0x00007fed0c694000] [id=24014]
"""

DUMP = """\
7:
"a "quoted" name" #24 daemon prio=5 os_prio=0 tid=0x00007f2ab4192000 nid=0x2eb1 in Object.wait() [0x00007f2a8e7fa000]
   java.lang.Thread.State: WAITING (on object monitor)
\tat java.lang.Object.wait(java.base@11.0.33-ea/Native Method)
\t- waiting on <0x00000000fc0979c0> (a java.lang.ref.ReferenceQueue$Lock)
\tat java.lang.ref.ReferenceQueue.remove(java.base@11.0.33-ea/ReferenceQueue.java:155)
\t- waiting to re-lock in wait() <0x00000000fc0979c0> (a java.lang.ref.ReferenceQueue$Lock)
\tat crash.Quiet$$Lambda$19/885284298.run(Unknown Source)

"worker" #46 [26994] daemon prio=5 os_prio=0 cpu=0.18ms elapsed=6.36s tid=0x00007f90a4002de0  [0x00007f90ec8ba000]
   Carrying virtual thread #45
\tat jdk.internal.vm.Continuation.run(java.base@27.0.1.0.3/Continuation.java:248)
   Mounted virtual thread #45
\tat crash.Library.block(Native Method)

"GC Thread#1" os_prio=0 cpu=5.26ms elapsed=1.68s tid=0x00007f9e2c006880 nid=27635 runnable

Found one Java-level deadlock:
=============================
"bystander":
  waiting to lock monitor 0x00007fae2c006448 (object 0x00000000fc05e378, a crash.Deadlock$Account),
  which is held by "one"
"one":
  waiting for ownable synchronizer 0x00000000fc0563d8, (a java.util.concurrent.locks.ReentrantLock$FairSync),
  which is held by "two"
"two":
  waiting to lock monitor 0x00007fae2c006449 (object 0x00000000fc05e378, a crash.Deadlock$Account),
  which is held by "one"

Java stack information for the threads listed above:
===================================================
"one":
\tat crash.Deadlock.lambda$main$5(Deadlock.java:61)
"""


def test_log() -> None:
    log = truth.hs_err(LOG)
    assert (log.signal, log.pc, log.tid, log.native_cut, log.java) == ("SIGSEGV", 0x7F44BC5E0000, 24011, True, None)
    assert [(frame.kind, frame.name, frame.bci, frame.compiler) for frame in log.native] == [
        ("J", "crash.Hot.osr", None, "c2"),
        ("J", "java.lang.ClassLoader.defineClass1", None, None),
        ("j", "crash.Busy$$Lambda+0x000000005f040628.run", 7, None),
        ("v", "~StubRoutines::call_stub_stub (stub gen)", None, None),
        ("V", None, None, None),
        ("C", "JavaMain+0x1026", None, None),
        ("C", None, None, None),
    ]
    assert (log.native[4].module, log.native[4].offset, log.native[6].pc) == ("libjvm.so", 0x717EC2, 0x1234)
    assert log.threads == (
        truth.LogThread(24011, "main", True, True, "_thread_in_Java", True),
        truth.LogThread(24014, None, False, False, None, False),
    )


def test_an_unknown_frame_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="does not know"):
        truth.hs_err("Native frames: (J=compiled Java code)\nJ 12 what is this\n")


def test_dump() -> None:
    dump = truth.thread_print(DUMP)
    quoted, worker, collector = dump.threads
    assert (quoted.name, quoted.tid, quoted.java, quoted.daemon, quoted.state) == (
        'a "quoted" name', 0x2EB1, True, True, "WAITING",
    )  # fmt: skip
    assert quoted.frames == [
        truth.StackLine("java.lang.Object.wait", None, None),
        truth.StackLine("java.lang.ref.ReferenceQueue.remove", "ReferenceQueue.java", 155),
        truth.StackLine("crash.Quiet$$Lambda$19/885284298.run", None, None),
    ]
    assert [what for what, _, _ in quoted.locks] == ["waiting on", "waiting to re-lock in wait()"]
    assert (worker.tid, worker.carries, len(worker.frames), len(worker.mounted)) == (26994, 45, 1, 1)
    assert (collector.java, collector.tid) == (False, 27635)
    assert [[member.name for member in cycle] for cycle in dump.deadlocks] == [["one", "two"]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("    intx CICompilerCount                          := 2                {product}", ("2", None, True)),
        ("   ccstr AOTCache           =                     {product} {default}", ("", "default", False)),
        ("  double X                 = 1.500000             {C2 product} {command line}",
         ("1.500000", "command line", True)),
    ],
)  # fmt: skip
def test_flags(line: str, expected: tuple[str, str | None, bool]) -> None:
    (flag,) = truth.flags(line).values()
    assert (flag.value, flag.origin, flag.set) == expected


def test_properties() -> None:
    text = "7:\n#Tue Nov 24 03:05:35 UTC 2026\njava.vendor.url=http\\://x\\=y\nline.separator=\\n\nwide=\\u65E5\nno=\n"
    assert truth.properties(text) == {
        "java.vendor.url": "http://x=y",
        "line.separator": "\n",
        "wide": "\u65e5",
        "no": "",
    }


@pytest.mark.parametrize(
    ("text", "capacity", "used"),
    [
        (" PSYoungGen      total 2048K, used 1K [0x1,\n ParOldGen       total 5632K, used 1074K [", 7680, 1075),
        ("DefNew     total 2624K, used 0K [0x1\nTenured    total 5504K, used 2460K [0x1", 8128, 2460),
        (" garbage-first heap   total 10240K, used 1805K [0x1", 10240, 1805),
        ("garbage-first heap   total reserved 65536K, committed 8192K, used 1858K [0x1", 8192, 1858),
        (" ZHeap           used 6M, capacity 48M, max capacity 64M", 48 << 10, 6 << 10),
        ("Shenandoah Heap\n 65536K max, 65536K soft max, 8192K committed, 2560K used", 8192, 2560),
        (
            "Generational Shenandoah Heap\n Young:\n  62720K max, 2304K used\n Old:\n  2816K max, 0B used\n"
            " Entire heap:\n  65536K soft max, 8192K committed\n",
            8192, 2304,
        ),
    ],
)  # fmt: skip
def test_heap_info(text: str, capacity: int, used: int) -> None:
    info = truth.heap_info(text)
    assert info is not None
    assert (info.capacity, info.used) == (capacity << 10, used << 10)


def test_histogram() -> None:
    text = "   1:  6059  363504  [C\n 12:  2  32  sun.util.X (java.base@21.0.13)\n 13:  1  16  sun.util.X\nTotal 9 9\n"
    assert truth.histogram(text) == {"[C": (6059, 363504), "sun.util.X": (3, 48)}


# --- every comparison notices --------------------------------------------------------------------------------

Json = dict[str, Any]


def _java(report: Json) -> list[Json]:
    return [frame for frame in report["threads"][0]["frames"] if frame["kind"] in compare.JAVA]


def _drop_java(report: Json) -> None:
    report["threads"][0]["frames"].remove(_java(report)[1])


def _change_bci(report: Json) -> None:
    _java(report)[-1]["bci"] += 1


def _change_name(report: Json) -> None:
    _java(report)[0]["function"] += "x"


def _change_kind(report: Json) -> None:
    _java(report)[-1]["kind"] = "java-compiled"


@pytest.mark.jdk
@pytest.mark.parametrize("change", [_drop_java, _change_bci, _change_name, _change_kind])
@pytest.mark.parametrize("kind", ["interpreter", "jni-nested"])
def test_a_wrong_java_frame_of_a_crash_is_noticed(change: Callable[[Json], None], kind: str) -> None:
    log = check.log_of(corpus.case(17, kind))
    assert log is not None
    report = check.report_of(corpus.case(17, kind))
    assert not compare.crash_java_frames(report, log)
    change(report)
    assert compare.crash_java_frames(report, log)


@pytest.mark.jdk
def test_a_missing_native_frame_of_a_crash_is_noticed() -> None:
    log = check.log_of(corpus.case(17, "gc-g1"))
    assert log is not None
    whole = check.report_of(corpus.case(17, "gc-g1"))
    for n in range(len(log.native)):
        report = copy.deepcopy(whole)
        del report["threads"][0]["frames"][n]
        assert compare.crash_native_frames(report, log)


@pytest.mark.jdk
def test_a_wrong_line_of_a_dumped_thread_is_noticed() -> None:
    text = check.told(corpus.case(17, "deadlock"), "Thread.print")
    assert text is not None
    dump = truth.thread_print(text)
    whole = check.report_of(corpus.case(17, "deadlock"))
    for thread in whole["threads"]:
        lines = [frame for frame in thread["frames"] if frame["line"] is not None and frame["kind"] in compare.JAVA]
        for frame in lines[:2]:
            frame["line"] += 1
            assert compare.dumped_frames(whole, dump)
            frame["line"] -= 1
    assert not compare.dumped_frames(whole, dump)


@pytest.mark.jdk
def test_a_wrong_count_in_the_histogram_is_noticed() -> None:
    place = corpus.case(17, "quiet-g1")
    text = check.told(place, "GC.class_histogram-all")
    assert text is not None
    expected = truth.histogram(text)
    report = check.report_of(place, histogram=True)
    for row in report["jvm"]["histogram"][::7]:
        row["instances"] += 1
        assert compare.histogram_exact(report, expected)
        row["instances"] -= 1
    del report["jvm"]["histogram"][3]
    assert compare.histogram_exact(report, expected)
