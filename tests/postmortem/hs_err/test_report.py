"""A log as a report, and beside its core."""

from __future__ import annotations

import random
import time
from pathlib import Path

import msgspec
import pytest

import postmortem
from parsers import hs_err as parser
from postmortem import hs_err
from postmortem.errors import AnalysisError
from postmortem.model import Report, from_json, to_json
from postmortem.rules.engine import run
from tests.parsers.hs_err import texts
from tests.postmortem.rules.jvm_cases import java_crash, native

_LOG = """#
# A fatal error has been detected by the Java Runtime Environment:
#
#  SIGSEGV (0xb) at pc=0x0000000000001234, pid=21376, tid=21391
#
# JRE version: OpenJDK Runtime Environment (8.0_504) (build 1.8.0_504-b01)
# Java VM: OpenJDK 64-Bit Server VM (25.504-b01 mixed mode linux-amd64 compressed oops)
# Problematic frame:
# C  0x0000000000001234
#

---------------  T H R E A D  ---------------

Current thread (0x00007fb62400a000):  JavaThread "main" [_thread_in_native, id=21391, stack(0x00007fb628d00000,0x00007fb628e00000)]

siginfo: si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x0000000000001234

Registers:
RAX=0x0000000000001234, RBX=0x00007fb624135250, RCX=0x0000000000000000, RDX=0x00007fb624135250
RSP=0x00007fb628dfe7a8, RBP=0x00007fb62400a1f8, RSI=0x00007fb6140730b4, RDI=0x00007fb624135250
RIP=0x0000000000001234, EFLAGS=0x0000000000010246, CSGSFS=0x002b000000000033, ERR=0x0000000000000014
  TRAPNO=0x000000000000000e

Top of Stack: (sp=0x00007fb628dfe7a8)
0x00007fb628dfe7a8:   00007fb6140723e8 00007fb600000000

Stack: [0x00007fb628d00000,0x00007fb628e00000],  sp=0x00007fb628dfe7a8,  free space=1017k
Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)
C  0x0000000000001234

Java frames: (J=compiled Java code, j=interpreted, Vv=VM code)
j  crash.Library.parse0(Ljava/lang/String;I)I+0
j  crash.Library.parse(Ljava/lang/String;)V+18
v  ~StubRoutines::call_stub

---------------  P R O C E S S  ---------------

Java Threads: ( => current thread )
  0x00007fb6240bf800 JavaThread "Service Thread" daemon [_thread_blocked, id=21397, stack(0x00007fb60f7fc000,0x00007fb60f8fc000)]
=>0x00007fb62400a000 JavaThread "main" [_thread_in_native, id=21391, stack(0x00007fb628d00000,0x00007fb628e00000)]

Dynamic libraries:
7fb614071000-7fb614072000 r--p 00000000 fe:00 1491252                    /opt/crash/libcrash.so
7fb614072000-7fb614073000 r-xp 00001000 fe:00 1491252                    /opt/crash/libcrash.so
7fb614073000-7fb614074000 rw-p 00002000 fe:00 1491252                    /opt/crash/libcrash.so
"""  # noqa: E501


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "hs_err_pid21376.log"
    path.write_text(_LOG)
    return path


def test_a_log_gives_a_whole_report(log: Path) -> None:
    report = postmortem.analyze(log, postmortem.Options(strict=True))
    assert report.core.format == "hs_err" and report.process.pid == 21376
    assert report.crash.signal is not None and report.crash.signal.code_name == "SEGV_MAPERR"
    assert report.crash.access == "execute" and report.crash.fault_address == 0x1234
    main, service = report.threads
    assert main.crashed and main.java is not None and main.java.thread_state == "_thread_in_native"
    assert [frame.function for frame in main.frames[2:]] == ["crash.Library.parse0", "crash.Library.parse", "call_stub"]
    assert service.name == "Service Thread" and not service.frames
    assert from_json(to_json(report)) == report


def test_the_caller_of_a_call_to_nowhere_is_found_on_the_dumped_stack(log: Path) -> None:
    report = postmortem.analyze(log)
    caller = report.threads[0].frames[1]
    assert (caller.module, caller.module_offset, caller.trust) == ("/opt/crash/libcrash.so", 0x13E8, "frame-pointer")
    assert report.verdict is not None and report.verdict.rule == "jvm-crash-in-native-library"


def test_no_caller_is_made_up_of_a_word_that_is_no_code(log: Path) -> None:
    log.write_text(_LOG.replace("00007fb6140723e8", "00007fb6140733e8"))
    frames = postmortem.analyze(log).threads[0].frames
    assert [frame.kind for frame in frames[:2]] == ["unknown", "java-interpreted"]


def test_the_sender_that_jdk_8_prints_as_an_address(log: Path) -> None:
    raised, sent = "1 (SEGV_MAPERR), si_addr: 0x0000000000001234", "-6 (SI_TKILL), si_addr: 0x000003e80000138f"
    log.write_text(_LOG.replace(raised, sent))
    report = postmortem.analyze(log, postmortem.Options(strict=True))
    assert report.crash.signal is not None and report.crash.fault_address is None
    assert (report.crash.signal.sender_pid, report.crash.signal.sender_uid) == (0x138F, 1000)
    assert report.verdict is not None and report.verdict.rule == "killed-by-signal"


def _core(**changes: object) -> Report:
    report = java_crash(native("parse"))
    return msgspec.structs.replace(report, **changes)


def test_a_log_fills_gaps_and_replaces_nothing() -> None:
    told = parser.parse(_LOG.encode())
    report = _core(process=msgspec.structs.replace(_core().process, pid=21376))
    both = hs_err.merged(report, told, "log")
    assert both.threads == report.threads and both.crash == report.crash
    assert both.host is not None and both.jvm is not None
    assert any("pc: the core says" in problem.what for problem in both.problems)


def test_a_log_of_another_process_is_not_used() -> None:
    told = parser.parse(_LOG.encode())
    report = _core(process=msgspec.structs.replace(_core().process, pid=7))
    both = hs_err.merged(report, told, "log")
    assert both.jvm == report.jvm and both.host is None
    assert "process 21376" in both.problems[-1].what


def test_only_a_regular_file_beside_the_core_is_taken(tmp_path: Path, log: Path) -> None:
    core = log.parent / "core"
    assert hs_err.find(core, 21376) == log
    assert hs_err.find(core, 1) is None
    (tmp_path / "hs_err.log").symlink_to(log)
    assert hs_err.find(core, 1) is None


@pytest.mark.parametrize("text", [b"", b"\x7fELF", b"no log at all\n"])
def test_what_is_no_log_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "hs_err.log"
    path.write_bytes(text)
    with pytest.raises(AnalysisError):
        hs_err.load(path)


REAL = sorted((Path(__file__).resolve().parents[3] / "fixtures" / "logs").glob("jni-*.log"))


def _texts() -> list[bytes]:
    made = [value.encode() for value in vars(texts).values() if isinstance(value, str)]
    real = [path.read_bytes() for path in REAL]
    return [_LOG.encode(), *(data for data in made if parser.looks_like(data)), *real]


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_an_excerpt_without_its_head_is_read(tmp_path: Path, path: Path) -> None:
    whole = postmortem.analyze(path, postmortem.Options(strict=True))
    text = path.read_text()
    cut = tmp_path / "excerpt.txt"
    cut.write_text(text[text.index("---------------  T H R E A D") :])
    excerpt = postmortem.analyze(cut, postmortem.Options(strict=True))
    assert excerpt.verdict == whole.verdict
    assert excerpt.threads == whole.threads
    assert excerpt.crash == msgspec.structs.replace(whole.crash, time=None, time_source=None)  # of S U M M A R Y
    assert any("no head" in problem.what for problem in excerpt.problems)

    cut.write_text(text[text.index("siginfo:") :])
    later = postmortem.analyze(cut, postmortem.Options(strict=True))
    assert later.crash.tid == whole.crash.tid and later.crash.pc == whole.crash.pc
    assert not later.threads[0].frames and later.threads[0].ended_detail == "the log has no stack"
    assert later.verdict is not None and later.verdict.rule == "null-dereference"


def test_a_head_alone_names_the_frame(tmp_path: Path) -> None:
    path = tmp_path / "head.txt"
    path.write_text("".join(REAL[0].read_text().splitlines(keepends=True)[:16]))
    report = postmortem.analyze(path, postmortem.Options(strict=True))
    assert [frame.function for frame in report.threads[0].frames] == ["parent_length"]
    assert report.verdict is not None and report.verdict.rule == "jvm-crash-in-native-library"


def test_an_error_of_the_vm_is_no_signal(tmp_path: Path) -> None:
    path = tmp_path / "hs_err.log"
    path.write_text(
        "#\n# There is insufficient memory for the Java Runtime Environment to continue.\n"
        "# Native memory allocation (mmap) failed to map 65536 bytes for committing reserved memory.\n"
        "#\n#  INVALID (0xe0000002) at pc=0x0000000000000000, pid=7, tid=140121\n#\n"
        "# JRE version: OpenJDK Runtime Environment (8.0_282-b08) (build 1.8.0_282-b08)\n"
    )
    report = postmortem.analyze(path, postmortem.Options(strict=True))
    assert report.crash.signal is None and report.crash.pc is None
    assert report.verdict is not None and report.verdict.rule == "jvm-native-oom"


def test_text_of_another_kind_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Meeting notes\n\nTime: noon\nWe spoke of the crash.\nNobody knew more.\n" * 20)
    with pytest.raises(AnalysisError, match="not a core"):
        postmortem.analyze(path)


def test_cut_and_corrupt_logs_give_a_report_within_a_second(tmp_path: Path) -> None:
    dice = random.Random(4)
    sources = _texts()
    path = tmp_path / "hs_err.log"
    for number in range(400):
        data = bytearray(dice.choice(sources))
        if number % 2:
            del data[dice.randrange(200, len(data)) :]
        else:
            for _ in range(dice.randrange(1, 40)):
                data[dice.randrange(200, len(data))] = dice.randrange(256)
        path.write_bytes(data)
        start = time.process_time()
        report = postmortem.analyze(path, postmortem.Options(strict=True))
        assert report.core.format == "hs_err"
        assert run(report, strict=True).verdict == report.verdict
        assert time.process_time() - start < 1


_WALKED = """C  0x0000000000001234
j  crash.Library.parse(Ljava/lang/String;)V+18
v  ~StubRoutines::call_stub
V  [libjvm.so+0x8282d2]  JavaCalls::call_helper(JavaValue*, methodHandle*, JavaCallArguments*, Thread*)+0x302
"""


@pytest.mark.parametrize(
    ("walked", "expected"),
    [
        (
            _WALKED,
            ["crash.Library.parse0", "crash.Library.parse", "call_stub", "JavaCalls::call_helper"],
        ),
        (
            _WALKED.replace("\nj  ", "\nj  crash.Library.parse0(Ljava/lang/String;I)I+0\nj  "),
            ["crash.Library.parse0", "crash.Library.parse", "call_stub", "JavaCalls::call_helper"],
        ),
        # Of the Java code only the stub that called it.
        (
            _WALKED.replace("j  crash.Library.parse(Ljava/lang/String;)V+18\n", ""),
            ["crash.Library.parse0", "crash.Library.parse", "call_stub", "JavaCalls::call_helper"],
        ),
        # The walk ended early, below a frame that both lists have.
        (
            "C  0x0000000000001234\nj  crash.Library.parse0(Ljava/lang/String;I)I+0\n",
            ["crash.Library.parse0", "crash.Library.parse", "call_stub"],
        ),
        # Nothing in common: what the first list has of Java stands alone.
        ("C  0x0000000000001234\nj  crash.Other.run()V+3\n", ["crash.Other.run"]),
    ],
)
def test_what_the_walk_of_native_frames_missed_is_put_where_it_belongs(
    log: Path, walked: str, expected: list[str]
) -> None:
    head, _, rest = _LOG.partition("C  0x0000000000001234\n\n")
    log.write_text(f"{head}{walked}\n{rest}")
    frames = postmortem.analyze(log).threads[0].frames
    functions = [frame.function.partition("(")[0] for frame in frames if frame.function is not None]
    assert functions == expected
