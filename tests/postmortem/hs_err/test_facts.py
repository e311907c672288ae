"""What a log says of the machine, the console, dates and registers is in the report, and shown by each format."""

# ruff: noqa: E501 (lines as HotSpot prints them)
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import postmortem
from postmortem.errors import AnalysisError
from postmortem.model import Report, from_json, to_json
from postmortem.model.queries import jdk
from reports import FORMATS
from tests.parsers.foreign.test_foreign import TEXTS

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = """#
# There is insufficient memory for the Java Runtime Environment to continue.
# Native memory allocation (malloc) failed to allocate 1048576 bytes for AllocateHeap
#
#  Out of Memory Error (allocation.cpp:46), pid=7, tid=9
#
# JRE version:  (11.0.4+10) (build )
# Java VM: OpenJDK 64-Bit Server VM (11.0.4+10, mixed mode, tiered, g1 gc, {platform})
#

---------------  S U M M A R Y ------------

Command Line: -Xmx2g -Dname=value app.Main --serve

Host: Example CPU, 4 cores, 4G, Example
Time: {time} elapsed time: 90.5 seconds (0d 0h 1m 30s)

"""
_LINUX = """---------------  P R O C E S S  ---------------

VM Mutex/Monitor currently owned by a thread:  ([mutex/lock_event])
[0x00007f0010000aa0] Threads_lock - owner thread: 0x00007f0010003000

OutOfMemory and StackOverflow Exception counts:
OutOfMemoryError java_heap_errors=3
StackOverflowErrors=1

Total number of mappings: 65529

JVMTI agents:
sampler /opt/libsampler.so none

---------------  S Y S T E M  ---------------

OS: Example Linux
uname: Linux 6.1.0 x86_64
OS uptime: 0 days 1:02 hours
rlimit (soft/hard): STACK 8192k/infinity , NPROC 4096/4096 , AS infinity/infinity
load average: 1.00 2.00 3.00

/proc/meminfo:
MemTotal:        4000000 kB
CommitLimit:     3000000 kB
Committed_AS:    3500000 kB
SwapTotal:             0 kB
SwapFree:              0 kB
HugePages_Total:       2

/proc/sys/kernel/threads-max (system-wide limit on the number of threads): 30000
/proc/sys/vm/max_map_count (maximum number of memory map areas a process may have): 65530

Process Memory:
Virtual Size: 5000000K (peak: 5100000K)
Resident Set Size: 1000000K (peak: 1000000K) (anon: 900000K, file: 100000K, shmem: 0K)

container (cgroup) information:
container_type: cgroupv2
memory_limit_in_bytes: 1048576 k
maximum number of tasks: 512
current number of tasks: 511

CPU: total 4 (initial active 4) (4 cores per cpu, 1 threads per core) family 6 model 85 stepping 7, cx8, cmov, AVX2, avx512f

Memory: 4k page, physical 4000000k(100000k free), swap 0k(0k free)

END.
"""
_WINDOWS = """---------------  S Y S T E M  ---------------

OS: Windows 10 , 64 bit Build 18362

Memory: 4k page, system-wide physical 4092M (390M free)
TotalPageFile size 6140M (AvailPageFile size 5M)
current process WorkingSet (physical memory assigned to process): 11M, peak: 11M

END.
"""
_CONSOLE = """[0.003s][warning][os,thread] Failed to start thread "GC Thread#0" - pthread_create failed (EPERM) for attributes: \
stacksize: 1024k, guardsize: 4k, detached.
OpenJDK 64-Bit Server VM warning: INFO: os::commit_memory(0x00000000c0000000, 8192, 0) failed; error='Not enough space' \
(errno=12)
#
# There is insufficient memory for the Java Runtime Environment to continue.
# Cannot create worker GC thread. Out of system resources.
# An error report file with more information is saved as:
# /tmp/hs_err_pid9.log
"""
_REGISTERS = """siginfo: si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x0000000000000008

Registers:
X0=0x00000000f0001000, X1=0x0000000000000008
PC=0x0000ffff70d3fc5c, SP=0x0000ffff70d30000

Register to memory mapping:

X0=0x00000000f0001000 is an oop: demo.Box
{0x00000000f0001000} - klass: 'demo/Box'
X1=0x0000000000000008 is an unknown value

Instructions: (pc=0x0000ffff70d3fc5c)
0x0000ffff70d3fc5c:   e0 03 1f aa c0 03 5f d6
"""
_STACK = """Stack: [0x00007f1000000000,0x00007f1000100000],  sp=0x00007f10000fde78,  free space=1019k
Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)
C  [libc.so.6+0x16ac20]  __memcpy_avx_unaligned+0xc0
C  [libstore.so+0x87ff2]  store::Cursor::Read()+0x92
J 12  org.store.Cursor.read0(J)V (0 bytes) @ 0x00007f10cc4e80f3 [0x00007f10cc4e8040+0xb3]
"""


def _analyzed(tmp_path: Path, text: str) -> Report:
    path = tmp_path / "log.txt"
    path.write_text(text)
    report = postmortem.analyze(path, postmortem.Options(strict=True))
    assert from_json(to_json(report)) == report
    for render in FORMATS.values():
        assert render(report)
    return report


def test_the_machine_of_a_linux_log(tmp_path: Path) -> None:
    report = _analyzed(tmp_path, _HEAD.format(platform="linux-amd64", time="Mon Jan  5 10:11:12 2026 UTC") + _LINUX)
    host, jvm = report.host, report.jvm
    assert host is not None and jvm is not None
    assert (host.commit_limit, host.committed) == (3_000_000 << 10, 3_500_000 << 10)
    assert host.commit_available == -(500_000 << 10)
    assert (host.swap, host.swap_free) == (0, 0)
    assert host.meminfo["HugePages_Total"] == 2
    assert host.parameters == {"kernel.threads-max": "30000", "vm.max_map_count": "65530"}
    assert (host.tasks, host.tasks_limit, host.memory_limit) == (511, 512, 1 << 30)
    assert host.process_memory["Virtual Size"] == "5000000K (peak: 5100000K)"
    assert host.details["OS uptime"] == "0 days 1:02 hours"
    assert "avx512f" in host.cpu_features and "avx2" in host.cpu_features
    assert host.limits["NPROC"] == "4096/4096"
    assert report.memory.mappings == 65529
    assert jvm.exception_counts == {"OutOfMemoryError java_heap_errors": 3, "StackOverflowErrors": 1}
    assert jvm.vm_locks == ("Threads_lock, held by thread 0x7f0010003000",)
    assert jvm.agents == ("sampler /opt/libsampler.so none",)
    assert jvm.arguments == ("-Xmx2g", "-Dname=value")
    assert (report.crash.time, report.crash.time_source) == ("2026-01-05T10:11:12+00:00", "log")
    for name in ("html", "markdown", "text"):
        assert "2026-01-05 10:11:12 UTC" in FORMATS[name](report)


def test_windows_has_a_commit_limit_and_no_swap(tmp_path: Path) -> None:
    newer = _analyzed(tmp_path, _HEAD.format(platform="windows-amd64", time="Mon Jan  5 10:11:12 2026 CET") + _WINDOWS)
    assert newer.host is not None
    assert (newer.host.commit_limit, newer.host.commit_available) == (6140 << 20, 5 << 20)
    assert newer.host.swap is None and newer.host.swap_free is None
    assert newer.crash.time == "2026-01-05T10:11:12"  # nobody knows which of its zones CET is
    old = _WINDOWS.replace(
        "Memory: 4k page, system-wide physical 4092M (390M free)\nTotalPageFile size 6140M (AvailPageFile size 5M)\n",
        "Memory: 4k page, physical 4190208k(399360k free), swap 6287360k(5120k free)\n",
    )
    older = _analyzed(tmp_path, _HEAD.format(platform="windows-amd64", time="Mon Jan  5 10:11:12 2026 CET") + old)
    assert older.host is not None and older.host.swap is None
    assert (older.host.commit_limit, older.host.commit_available) == (6140 << 20, 5 << 20)


def test_no_swap_is_claimed_where_the_log_says_none_of_it(tmp_path: Path) -> None:
    head = _HEAD.format(platform="linux-amd64", time="Mon Jan  5 10:11:12 2026 UTC")
    report = _analyzed(tmp_path, head + "---------------  S Y S T E M  ---------------\n\nOS: Example Linux\n")
    assert report.host is not None
    assert report.host.swap is None and report.host.commit_limit is None


def test_the_console_of_a_jvm_that_was_refused_a_thread(tmp_path: Path) -> None:
    report = _analyzed(tmp_path, _CONSOLE)
    jvm = report.jvm
    assert jvm is not None and jvm.error is not None
    assert [(thread.name, thread.error) for thread in jvm.failed_threads] == [("GC Thread#0", "EPERM")]
    assert jvm.error.detail == "Cannot create worker GC thread. Out of system resources"
    assert len(jvm.warnings) == 2
    assert report.crash.signal is None
    assert not any("no head" in problem.what for problem in report.problems)


def test_registers_are_described_in_the_log_s_words(tmp_path: Path) -> None:
    report = _analyzed(tmp_path, _REGISTERS)
    notes = {note.register: note.text for note in report.crash.registers}
    assert notes["x0"].startswith("an oop: demo.Box")
    assert notes["x1"] == "an unknown value"
    assert report.crash.instruction_bytes == "e0031faac0035fd6"


def test_a_stack_alone_is_shown(tmp_path: Path) -> None:
    report = _analyzed(tmp_path, _STACK)
    assert [thread.tid for thread in report.threads] == [None]
    assert [frame.function for frame in report.threads[0].frames] == [
        "__memcpy_avx_unaligned",
        "store::Cursor::Read()",
        "org.store.Cursor.read0",
    ]
    assert report.crash.signal is None and report.crash.tid is None
    for name in ("html", "markdown", "text"):
        shown = FORMATS[name](report)
        assert "org.store.Cursor.read0" in shown and "thread None" not in shown


@pytest.mark.parametrize(
    ("jre", "vm", "name"),
    [
        ("7.0_80-b15", "Java HotSpot(TM) 64-Bit Server VM (24.80-b11 mixed mode linux-amd64 compressed oops)", "7u80"),
        ("6.0_45-b06", "Java HotSpot(TM) Server VM (20.45-b01 mixed mode linux-x86 )", "6u45"),
        ("1.5.0_22-b03", "Java HotSpot(TM) Client VM (1.5.0_22-b03 mixed mode, sharing)", "5u22"),
        (
            "OpenJDK Runtime Environment (8.0_392-b08) (build 1.8.0_392-b08)",
            "OpenJDK VM (25.392-b08 mixed mode)",
            "8u392",
        ),
        ("OpenJDK Runtime Environment (25.0.1+8) (build 25.0.1+8)", "OpenJDK VM (25.0.1+8, mixed mode)", "25.0.1"),
    ],
)
def test_the_jdk_s_release(tmp_path: Path, jre: str, vm: str, name: str) -> None:
    report = _analyzed(
        tmp_path,
        "#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n"
        "#  SIGSEGV (0xb) at pc=0x00007f0809a2d681, pid=297, tid=298\n#\n"
        f"# JRE version: {jre}\n# Java VM: {vm}\n# Problematic frame:\n# C  [libx.so+0x2a10]  x+0x40\n#\n",
    )
    assert jdk.name(report) == name


@pytest.mark.parametrize(
    "head",
    [
        "# An unexpected error has been detected by HotSpot Virtual Machine:\n#\n#  SIGSEGV (0xb) at pc=0xb7e2c2a0, "
        "pid=1234, tid=3086\n#\n# Java VM: Java HotSpot(TM) Server VM (1.5.0_22-b03 mixed mode)\n# Problematic frame:\n"
        "# V  [libjvm.so+0x1c2a0]\n#\n",
        "# An unexpected error has been detected by Java Runtime Environment:\n#\n#  SIGSEGV (0xb) at pc=0xb7e2c2a0, "
        "pid=1234, tid=3086\n#\n# Java VM: Java HotSpot(TM) Server VM (11.0-b15 mixed mode linux-x86)\n# Problematic frame:\n"
        "# V  [libjvm.so+0x1c2a0]\n#\n",
    ],
)
def test_heads_of_jdk_5_and_6(tmp_path: Path, head: str) -> None:
    report = _analyzed(tmp_path, f"#\n{head}")
    assert report.crash.signal is not None and report.crash.signal.name == "SIGSEGV"
    assert [frame.module for frame in report.threads[0].frames] == ["libjvm.so"]


def test_memory_refused_to_jdk_6(tmp_path: Path) -> None:
    text = (
        "#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n"
        "# java.lang.OutOfMemoryError: requested 32756 bytes for ChunkPool::allocate. Out of swap space?\n#\n"
        "#  Internal Error (allocation.cpp:166), pid=7, tid=8\n#  Error: ChunkPool::allocate\n#\n"
        "# JRE version: 6.0_20-b02\n# Java VM: Java HotSpot(TM) Server VM (16.3-b01 mixed mode linux-x86 )\n#\n"
    )
    report = _analyzed(tmp_path, text)
    assert report.jvm is not None and report.jvm.error is not None
    assert (report.jvm.error.size, report.jvm.error.detail) == (32756, "ChunkPool::allocate")


def test_compiled_frames_of_jdk_5_to_7(tmp_path: Path) -> None:
    stack = _STACK.replace(
        "J 12  org.store.Cursor.read0(J)V (0 bytes) @ 0x00007f10cc4e80f3 [0x00007f10cc4e8040+0xb3]",
        "J  org.store.Cursor.read0(J)V\nj  org.store.Main.main([Ljava/lang/String;)V+4\nv  ~StubRoutines::call_stub",
    )
    frames = _analyzed(tmp_path, stack).threads[0].frames
    assert [(frame.kind, frame.function) for frame in frames[2:]] == [
        ("java-compiled", "org.store.Cursor.read0"),
        ("java-interpreted", "org.store.Main.main"),
        ("stub", "call_stub"),
    ]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("v  ~StubRoutines::call_stub_stub (stub gen) 0x00007fc4f04014a2", "call_stub"),
        ("v  ~StubRoutines::call_stub", "call_stub"),
        ("v  ~RuntimeStub::new_type_array_blob (C1 runtime) 0x00007fc4f04014a2", "new_type_array_blob (C1 runtime)"),
    ],
)
def test_stubs_have_the_names_of_all_versions(tmp_path: Path, line: str, name: str) -> None:
    before = "J 12  org.store.Cursor.read0(J)V (0 bytes) @ 0x00007f10cc4e80f3 [0x00007f10cc4e8040+0xb3]"
    frames = _analyzed(tmp_path, _STACK.replace(before, line)).threads[0].frames
    assert ("stub", name) in [(frame.kind, frame.function) for frame in frames]


def test_what_an_excerpt_has_is_said(tmp_path: Path) -> None:
    report = _analyzed(tmp_path, _REGISTERS)
    assert any("it has siginfo, registers" in problem.what for problem in report.problems)
    head = _HEAD.replace("Out of Memory Error (allocation.cpp:46)", "SIGSEGV (0xb) at pc=0x00007f0809a2d681")
    head = "".join(line for line in head.splitlines(keepends=True) if "memory" not in line)
    told = _analyzed(tmp_path, head.format(platform="linux-amd64", time="Mon Jan  5 10:11:12 2026 UTC"))
    assert any("no siginfo" in problem.what for problem in told.problems)


def test_several_logs_and_prefixes_are_problems_of_the_report(tmp_path: Path) -> None:
    one = _HEAD.format(platform="linux-amd64", time="Mon Jan  5 10:11:12 2026 UTC")
    text = "".join(f"api-1  | {line}\n" for line in f"{one}{one.replace('pid=7', 'pid=8')}".splitlines())
    problems = [problem.what for problem in _analyzed(tmp_path, text).problems]
    assert any("parts of 2 logs, which begin at lines 1, " in what for what in problems)
    assert any("the prefix 'api-1  |'" in what and "lines were understood" in what for what in problems)


def test_a_report_of_our_own_is_no_log_though_it_quotes_one(tmp_path: Path) -> None:
    report = _analyzed(tmp_path, _STACK.replace("Stack: [", "siginfo: si_signo: 11 (SIGSEGV)\n\nStack: ["))
    made = {name: render(report).encode() for name, render in FORMATS.items() if name != "flamegraph"}
    for name, data in {**made, "json": to_json(report)}.items():
        path = tmp_path / f"report.{name}"
        path.write_bytes(data)
        with pytest.raises(AnalysisError, match="a report that this program made"):
            postmortem.analyze(path)


@pytest.mark.parametrize("what", TEXTS)
def test_text_of_another_kind_around_a_head_leaves_it_a_log(tmp_path: Path, what: str) -> None:
    if "this program made" in what:
        pytest.skip("a report of our own quotes the logs that it was made of")
    head = "#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n#  SIGSEGV (0xb) at pc=0x00007f0809a2d681"
    head += ", pid=297, tid=298\n#\n# Problematic frame:\n# C  [libx.so+0x2a10]  x+0x40\n#\n"
    report = _analyzed(tmp_path, f"{TEXTS[what]}\n{head}\n{TEXTS[what]}")
    assert report.process.pid == 297
    assert [frame.function for frame in report.threads[0].frames] == ["x"]
